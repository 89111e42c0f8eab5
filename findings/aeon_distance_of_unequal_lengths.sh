#!/usr/bin/env bash
# aeon's Euclidean distance (squared, Manhattan and Minkowski, too) of series of unequal length compares the first steps that both
# have and drops the rest: a series and its beginning have distance 0, though they are two, and a third one is at 0 from the
# short one and at 7.8 from the long one. A Gaussian kernel of these distances has large negative eigenvalues, and the nearest
# neighbour of a training series is another one.
# Guessed: series of unequal length are refused, or said to be cut. aeon 1.6.0; its documentation speaks
# of two series of length m. Safe: dtw_distance, or resample to one length first.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q aeon==1.6.0
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from aeon.classification.distance_based import KNeighborsTimeSeriesClassifier
from aeon.distances import euclidean_distance, euclidean_pairwise_distance, manhattan_distance, minkowski_distance, squared_distance

long, short, other = np.array([[0.0, 1, 2, 3, 4]]), np.array([[0.0, 1, 2]]), np.array([[0.0, 1, 2, 9, 9]])
for distance in (euclidean_distance, squared_distance, manhattan_distance, minkowski_distance):
    print(distance.__name__, "of a series and its first three steps:", distance(long, short))
    assert distance(long, short) == 0, "unequal lengths count now"
print(euclidean_pairwise_distance([long, short, other]))
model = KNeighborsTimeSeriesClassifier(distance="euclidean", n_neighbors=1).fit([long, short, other], np.array(["a", "b", "c"]))
predicted = model.predict([long, short, other]).tolist()
print("nearest neighbours of the training series a, b, c:", predicted)
assert predicted != ["a", "b", "c"]
rng = np.random.default_rng(0)
series = [rng.standard_normal((1, t)) for t in rng.integers(2, 30, 40)]
eigenvalues = np.linalg.eigvalsh(np.exp(-(euclidean_pairwise_distance(series) ** 2) / 20))
print(f"eigenvalues of a Gaussian kernel: {eigenvalues[0]:.2f} to {eigenvalues[-1]:.2f}")
assert eigenvalues[0] < -1
PYTHON
