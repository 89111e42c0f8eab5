"""Which series are which? Classification of time series with tuning, and probabilities that mean what they say.

python docs/examples/classify_series.py [FILE.npz]

Without a file: the bundled digits, rows of pixels as steps. A file has the arrays of the UCR collections, or x, y,
x_test, y_test.
"""

from __future__ import annotations

import sys

import numpy as np

from ntkseq import data
from ntkseq.interop.sklearn import NTKClassifier

if len(sys.argv) > 1:
    loaded = data.load(sys.argv[1], dtype="float32")
    x, y, lengths = loaded.x, np.array(loaded.classes)[loaded.y], loaded.lengths
    xq, yq, lengths_q = loaded.x_test, np.array(loaded.classes)[loaded.y_test], loaded.lengths_test
else:
    x, y = (np.asarray(part) for part in data.bundled.digits(classes=(3, 5, 8)))
    x, y, xq, yq, lengths, lengths_q = x[:100], y[:100], x[100:], y[100:], None, None

model = NTKClassifier().fit(x, y, lengths)  # kernel="auto": twelve recurrent kernels, chosen by leave-one-out
kernel = model.kernel_
print(f"{len(x)} series of {x.shape[1]} steps and {x.shape[2]} features, classes {model.classes_.tolist()}")
print(f"chosen: read={kernel.read!r}, sigma_w {kernel.sigma_w:.3g}, sigma_b {kernel.sigma_b:g}, ridge {model.reg_:.3g}")
print(f"leave-one-out error of the twelve: {np.sort(model.loo_errors_)[0]:.4f} .. {np.sort(model.loo_errors_)[-1]:.4f}")
print(f"accuracy: {model.loo_accuracy_:.3f} left out, {model.score(xq, yq, lengths=lengths_q):.3f} on {len(xq)} unseen")

p = model.predict_proba(xq, lengths_q)
right = model.classes_[p.argmax(axis=1)] == yq
for low, high in ((0.0, 0.6), (0.6, 0.9), (0.9, 1.0)):
    chosen = (p.max(axis=1) > low) & (p.max(axis=1) <= high)
    if chosen.any():
        print(f"says {p.max(axis=1)[chosen].mean():.2f} of {chosen.sum()}, is right on {right[chosen].mean():.2f}")
