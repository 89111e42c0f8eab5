#!/usr/bin/env bash
# aeon's soft_dtw_distance is the absolute value of soft-DTW, which is negative where series are alike: with the default gamma 1
# a series is at 0 from itself, at 37 from a copy that is off by a millionth, and at 5 from a series that has nothing to do
# with it. The nearest neighbour by this "distance" takes the unlike ones: of 40 noisy copies of 20 training series it finds the
# origin of none, and soft-DTW itself, or DTW, finds all.
# Guessed: soft-DTW of the paper (tslearn's soft_dtw, -37), or the divergence, which is 0 for like series and grows from there.
# aeon 1.6.0, whose documentation gives the paper's formula and a "minimum value 0". Safe: dtw_distance, or gamma 0.01 and less.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q aeon==1.6.0 tslearn==0.10.0
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from aeon.distances import dtw_distance, soft_dtw_distance
from tslearn.metrics import soft_dtw

rng = np.random.default_rng(0)
series, other = rng.standard_normal((2, 40))
pairs = {"itself": series, "itself + 1e-6": series + 1e-6, "itself + 0.5": series + 0.5, "another series": other}
for name, second in pairs.items():
    print(f"{name}: aeon {soft_dtw_distance(series, second):.2f}, tslearn {soft_dtw(series, second):.2f}")
assert soft_dtw_distance(series, series) == 0
assert soft_dtw_distance(series, series + 1e-6) > 3 * soft_dtw_distance(series, other), "like series are near now"
for second in list(pairs.values())[1:]:
    assert np.isclose(soft_dtw_distance(series, second), abs(soft_dtw(series, second)))

train = rng.standard_normal((20, 40))
copies = np.concatenate([train, train]) + 0.05 * rng.standard_normal((40, 40))
origins = np.tile(np.arange(20), 2)
correct = {}
for name, distance in {"soft_dtw": soft_dtw_distance, "dtw": dtw_distance, "soft-DTW with its sign": soft_dtw}.items():
    nearest = np.array([[distance(copy, one) for one in train] for copy in copies]).argmin(axis=1)
    correct[name] = int((nearest == origins).sum())
print("origins found, of 40:", correct)
assert correct["soft_dtw"] < 10, "the nearest neighbour is the near one now"
assert min(correct["dtw"], correct["soft-DTW with its sign"]) == 40
PYTHON
