"""Which series are which? Classification of time series with tuning, and probabilities that mean what they say.

python examples/classify_series.py [FILE.npz] [--quick]

Without a file: the bundled digits, rows of pixels as steps. A file has the arrays of the UCR collections, or x, y,
x_test, y_test.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.stats import binomtest

from ntkseq import data
from ntkseq.interop.sklearn import NTKClassifier

QUICK = "--quick" in sys.argv
files = [word for word in sys.argv[1:] if not word.startswith("-")]
if files:
    loaded = data.load(files[0], dtype="float32")
    x, y, lengths = loaded.x, np.array(loaded.classes)[loaded.y], loaded.lengths
    xq, yq, lengths_q = loaded.x_test, np.array(loaded.classes)[loaded.y_test], loaded.lengths_test
else:
    x, y = (np.asarray(part) for part in data.bundled.digits(classes=(3, 5, 8)))
    n = 30 if QUICK else 100
    x, y, xq, yq, lengths, lengths_q = x[:n], np.array([3, 5, 8])[y[:n]], x[n:], np.array([3, 5, 8])[y[n:]], None, None

model = NTKClassifier().fit(x, y, lengths)  # kernel="auto": twelve recurrent kernels, chosen by leave-one-out
kernel = model.kernel_
print(f"{len(x)} series of {x.shape[1]} steps and {x.shape[2]} features, classes {model.classes_.tolist()}")
print(f"chosen: read={kernel.read!r}, sigma_w {kernel.sigma_w:.3g}, sigma_b {kernel.sigma_b:g}, ridge {model.reg_:.3g}")
print(f"leave-one-out error of the twelve: {np.sort(model.loo_errors_)[0]:.4f} .. {np.sort(model.loo_errors_)[-1]:.4f}")

p = model.predict_proba(xq, lengths_q)
right = model.classes_[p.argmax(axis=1)] == yq
span = binomtest(int(right.sum()), len(right)).proportion_ci(0.95)
usual = np.max(np.unique(yq, return_counts=True)[1]) / len(yq)
print(f"accuracy left out while tuning: {model.loo_accuracy_:.3f}; it was chosen by that, so it flatters")
print(f"accuracy on {len(yq)} unseen series: {right.mean():.3f}, 95 % interval {span.low:.3f} to {span.high:.3f}")
verdict = "more than" if span.low > usual else "less than" if span.high < usual else "not told from"
print(f"that is {verdict} the {usual:.3f} of always saying the most frequent class")
for low, high in ((0.0, 0.6), (0.6, 0.9), (0.9, 1.0)):
    chosen = (p.max(axis=1) > low) & (p.max(axis=1) <= high)
    if chosen.any():
        k, m = int(right[chosen].sum()), int(chosen.sum())
        ends = binomtest(k, m).proportion_ci(0.95)
        says = p.max(axis=1)[chosen].mean()
        print(f"says {says:.2f} of {m}, is right on {k / m:.2f} (95 % {ends.low:.2f} to {ends.high:.2f})")
