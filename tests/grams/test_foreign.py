"""Does an array that left jit or NumPy get the rounding of the Gram that it is?"""

from __future__ import annotations

import re

import jax
import numpy as np
import pytest

import ntkseq
from ntkseq import bounds, grams, kernels
from ntkseq.grams.facts import flat

KERNEL = kernels.Recurrent(activation="erf", sigma_w=1.4, sigma_b=0.3)


def inputs(n: int = 6, t: int = 4) -> np.ndarray:
    x = np.random.default_rng(0).standard_normal((n, t, 2))
    x[1] = x[0] + 1e-3 * x[2]
    return x.astype(np.float32)


@pytest.mark.slow(but=["None-float64 of float32", "lengths1-NumPy", "lengths1-float64 of float32"])
@pytest.mark.parametrize(
    "made",
    [lambda x, n: jax.jit(KERNEL)(x, lengths=n), lambda x, n: np.asarray(KERNEL(x, lengths=n)),
     lambda x, n: np.asarray(KERNEL(x, lengths=n), np.float64)],
    ids=["jit", "NumPy", "float64 of float32"],
)  # fmt: skip
@pytest.mark.parametrize("lengths", [None, np.array([4, 4, 2, 1, 3, 4])])
def test_it_states_what_the_gram_states(made, lengths):
    x = inputs()
    K, G = grams.computed(made(x, lengths), KERNEL, x, lengths=lengths), ntkseq.gram(KERNEL, x, lengths=lengths)
    assert K.entrywise == G.entrywise and K.rounding == pytest.approx(G.rounding, rel=1e-6)
    assert K.symmetric and K.frobenius and K.stated
    np.testing.assert_allclose(np.asarray(K), np.asarray(G), rtol=1e-5)


@pytest.mark.slow
def test_of_two_sets_of_inputs():
    x = inputs()
    K, G = grams.computed(jax.jit(KERNEL)(x, x[:2]), KERNEL, x, x[:2]), ntkseq.gram(KERNEL, x, x[:2])
    assert not K.symmetric and K.entrywise == G.entrywise and K.rounding == pytest.approx(G.rounding)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "erf", "tanh"])
def test_values_at_every_step_state_an_error_that_holds(activation):
    kernel, x = KERNEL.with_(activation=activation), inputs()
    K = kernels.every_step(kernel, x)
    whole = np.asarray(K).transpose(0, 2, 1, 3).reshape(24, 24)
    with jax.enable_x64(True):
        exact = flat(kernels.every_step(kernel, x.astype(np.float64)))
    for gram in (grams.as_gram(K), grams.computed(jax.jit(kernels.every_step)(kernel, x), kernel, x),
                 grams.computed(whole, kernel, x)):  # fmt: skip
        gap, size = np.abs(np.asarray(gram, np.float64) - exact), np.sqrt(np.diagonal(exact))
        assert (gap <= gram.entrywise * size[:, None] * size).all()
        assert np.linalg.norm(gap) <= gram.rounding < 1e-3 * np.trace(exact)


@pytest.mark.slow
def test_bounds_of_every_step_state_the_error_of_the_kernel():
    x = inputs()
    y = np.random.default_rng(1).standard_normal((6, 4))
    K = kernels.every_step(KERNEL, x)
    direct = bounds.rademacher_steps(K, y, reg=0.1)
    through = bounds.rademacher_steps(grams.computed(np.asarray(K), KERNEL, x), y, reg=0.1)
    assert direct.certified and through.certified and direct.value == pytest.approx(through.value)
    with jax.enable_x64(True):
        exact = flat(kernels.every_step(KERNEL, x.astype(np.float64)))
    stated = next(a.statement for a in direct.assumptions if a.name == "rounding")
    number = float(re.findall(r"<= ([\d.e+-]+)", stated)[0])
    assert np.linalg.norm(np.asarray(flat(K), np.float64) - exact, 2) <= number


@pytest.mark.slow
def test_what_does_not_fit_is_refused():
    x = inputs()
    K = np.asarray(KERNEL(x))
    with pytest.raises(ValueError, match=r"K is not what this kernel gives .* K\[\d, \d\] is"):
        grams.computed(K, KERNEL.with_(sigma_w=1.3), x)
    with pytest.raises(ValueError, match="K is not what this kernel gives"):
        grams.computed(K[:, :2] * 1.01, KERNEL, x, x[:2])
    with pytest.raises(ValueError, match=r"K must have shape \(6, 6\)"):
        grams.computed(K[:5, :5], KERNEL, x)
    with jax.enable_x64(True), pytest.raises(ValueError, match=r"K must have the dtype .* float64; got float32"):
        grams.computed(K, KERNEL, x.astype(np.float64))
    with pytest.raises(ValueError, match="got x2"):
        grams.computed(kernels.every_step(KERNEL, x, x), KERNEL, x, x)
    with pytest.raises(ValueError, match="got a tracer"):
        jax.jit(lambda x: grams.computed(KERNEL(x), KERNEL, x).array)(x)
