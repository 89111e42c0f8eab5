"""Is my RNN lazy? Networks of several widths are trained, and their kernels looked at before, meanwhile and after.

python examples/lazy_rnn.py [--quick]

Elman networks tell the bundled digits 3 and 8 apart, row by row.
"""

from __future__ import annotations

import sys

import jax
import numpy as np

from ntkseq import data, models, training

QUICK = "--quick" in sys.argv
WIDTHS, SEEDS, STEPS, N = ((8, 16), 2, 4, 16) if QUICK else ((32, 64, 128, 256), 3, 150, 64)

x, y = (np.asarray(part) for part in data.bundled.digits(classes=(3, 8)))
train, test = (x[:N], y[:N]), (x[N:], y[N:])
drifts, misses = np.zeros((2, len(WIDTHS), SEEDS))
for i, width in enumerate(WIDTHS):
    net = models.Recurrent(width=width, activation="tanh", sigma_w=1.2, sigma_b=0.1, read="mean")
    for j, key in enumerate(jax.random.split(jax.random.key(0), SEEDS)):
        params = net.init(key, x[0])
        linear = training.linearised(net.apply, params, *train)  # the network that never leaves its first kernel
        lr = linear.limit / 4  # a quarter of the largest step that is stable in the kernel regime
        probes = [
            training.KernelProbe(net.apply, train[0], y=train[1], every=STEPS // 2),
            training.LossProbe(net.apply, {"test": test}, every=STEPS // 2),
        ]
        done = training.sgd.train(net.apply, params, train, lr=lr, batch=N, steps=STEPS, key=key, probes=probes)
        kernel = done.history["kernel"]
        batches = np.tile(np.arange(N), (STEPS, 1))
        run = linear.follow(batches, lr, record=kernel.steps)
        drifts[i, j] = kernel["distance"][-1]
        misses[i, j] = training.deviation(kernel["outputs"], run.outputs).relative[-1]
    error = kernel["distance_error"][-1]
    print(f"width {width}: the kernel moved by {drifts[i].mean():.3f} of its size (each known to {error:.1g}),")
    print(f"  outputs are off the linearised network's by {misses[i].mean():.3f};", end=" ")
    print(f"test error of the last {done.history['loss']['test_error'][-1]:.3f}")

for what, values in (("the kernel's drift", drifts), ("the error of linearisation", misses)):
    told = training.laziness(WIDTHS, values)
    print(f"{what} goes as width^{told.slope:.2f}, 95 % interval {told.lower:.2f} to {told.upper:.2f}: {told.verdict}")
print("in the kernel regime both go as width^-0.5 or steeper; where nothing is told, add widths and seeds")
