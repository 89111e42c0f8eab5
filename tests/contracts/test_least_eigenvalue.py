"""Does the interval of a float32 least eigenvalue hold the float64 one, whatever the kernel and the data?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import kernels

# name: (kernel of random scales, t); few shapes, so that few programs are compiled
CHOICES = {
    "relu": (lambda w, u, b: kernels.Recurrent(w, u, b), 24),
    "leaky relu, mean": (lambda w, u, b: kernels.Recurrent(w, u, b, activation="leaky_relu", read="mean"), 6),
    "erf": (lambda w, u, b: kernels.Recurrent(0.7 * w, u, b, activation="erf"), 12),
    "sin, two layers": (lambda w, u, b: kernels.Recurrent(0.7 * w, u, b, activation="sin", depth=2), 8),
    "abs, both directions": (lambda w, u, b: kernels.Recurrent(0.7 * w, u, b, activation="abs", direction="both"), 8),
}


def series(rng: np.random.Generator, n: int, t: int) -> np.ndarray:
    """Sequences of which some are nearly equal, equal, opposite, or of other norms."""
    x = rng.standard_normal((n, t, 2))
    x[1] = x[0] + 10.0 ** rng.uniform(-7, -1) * rng.standard_normal((t, 2))
    if rng.random() < 0.3:
        x[3] = x[2]
    if rng.random() < 0.3:
        x[5] = -x[4]
    if rng.random() < 0.3:
        x *= 10.0 ** rng.uniform(-2, 1, (n, 1, 1))
    return x.astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHOICES)
def test_the_interval_holds_the_truth_in_a_hundred_random_cases(name: str) -> None:
    """Five choices: 500 cases."""
    make, t = CHOICES[name]
    rng = np.random.default_rng(len(name))
    resolved = 0
    for case in range(100):
        x = series(rng, 8 if case % 2 else 24, t)
        scales = rng.uniform(0.3, 1.5), 10 ** rng.uniform(-1, 0.5), rng.choice([0.0, 0.1, 0.5])
        kernel = make(*map(float, scales))
        interval = ntkseq.spectrum(ntkseq.gram(kernel, jnp.asarray(x), workers=1)).min_eigenvalue
        with jax.enable_x64(True):
            truth = ntkseq.spectrum(ntkseq.gram(kernel, jnp.asarray(x, jnp.float64), workers=1)).min_eigenvalue
        # the truth has an error of its own, far smaller
        assert interval.lower <= truth.upper and truth.lower <= interval.upper
        assert truth.upper - truth.lower < 1e-3 * (interval.upper - interval.lower)
        resolved += interval.resolved
    assert resolved > 10  # and not by saying nothing
