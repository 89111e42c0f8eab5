"""The Gram matrix between all outputs of a network: (n o, n o), with its rounding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import empirical, grams

N, OUT = 5, 3


def f(p, x):
    return jnp.tanh(x @ p["A"]).mean(0) @ p["B"]


@functools.cache
def made():
    """The kernel, its inputs, and the float64 matrix by explicit Jacobians."""
    keys = jax.random.split(jax.random.key(0), 3)
    params = {"A": jax.random.normal(keys[0], (3, 4)), "B": jax.random.normal(keys[1], (4, OUT))}
    x = jax.random.normal(keys[2], (N, 4, 3))
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda a: jnp.asarray(np.asarray(a), jnp.float64), (params, x))
        jacobians = jax.vmap(jax.jacobian(f), (None, 0))(*wide)
        J = np.concatenate([np.asarray(leaf).reshape(N * OUT, -1) for leaf in jax.tree.leaves(jacobians)], axis=1)
    return empirical.NTK(f, params, outputs="full"), x, J @ J.T


@pytest.mark.slow
def test_the_gram_of_all_outputs_is_that_of_explicit_jacobians_within_its_rounding():
    kernel, x, exact = made()
    K = ntkseq.gram(kernel, x)
    assert K.shape == (N * OUT, N * OUT) and K.symmetric and K.stated and K.estimated
    error = np.abs(np.asarray(K, np.float64) - exact)
    assert 0 < np.linalg.norm(error) <= K.rounding < 1e-3 * np.linalg.norm(exact)
    assert (error <= K.entrywise * np.sqrt(np.outer(exact.diagonal(), exact.diagonal()))).all()
    np.testing.assert_array_equal(K, np.asarray(K).T)
    cross = ntkseq.gram(kernel, x[:2], x)
    assert cross.shape == (2 * OUT, N * OUT) and not cross.symmetric
    assert np.linalg.norm(np.asarray(cross, np.float64) - exact[: 2 * OUT]) <= cross.rounding < 1e-3


@pytest.mark.slow
def test_it_is_the_same_some_rows_after_the_other():
    kernel, x, exact = made()
    K = ntkseq.gram(kernel, x, tile=2)
    np.testing.assert_array_equal(K, np.asarray(K).T)
    np.testing.assert_allclose(K, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_gram_and_spectrum_end_in_numbers_by_every_way():
    kernel, x, exact = made()
    values = np.linalg.eigvalsh(exact)[::-1]
    K = kernel(x)
    for way in (ntkseq.gram(kernel, x), K, grams.as_gram(K), grams.computed(np.asarray(K), kernel, x)):
        found = ntkseq.spectrum(way)
        assert (np.abs(found.values - values) <= found.errors).all() and (found.errors < 1e-3).all()
        assert "measured" in found.method or "measured" in getattr(way, "estimated", "measured")
    # an array has the kernel measured again, block by block, for which 4 times the errors are taken
    held = [ntkseq.gram(kernel, x[:2], x).rounding, grams.as_gram(kernel(x[:2], x)).rounding]
    assert held[0] <= held[1] <= 4.1 * held[0]
    assert grams.computed(kernel(x[:2], x), kernel, x[:2], x).rounding > 0
    assert ntkseq.effective_rank(ntkseq.gram(kernel, x)) > 1


def test_what_takes_one_number_per_pair_says_where_there_are_more():
    kernel, x, _ = made()
    with pytest.raises(ValueError, match=r"a lazy Gram has one number per pair.*or gram\(kernel, x\)"):
        ntkseq.lazy(kernel, x)
    with pytest.raises(ValueError, match=r'a Gram matrix has one number per pair.*outputs="full"'):
        ntkseq.gram(kernel.with_(outputs="diagonal"), x)
    with pytest.raises(ValueError, match="an audited Gram has one number"):
        grams.audit(ntkseq.gram(kernel, x), kernel, x)


@pytest.mark.slow
def test_a_sketch_of_all_outputs_says_that_it_is_one():
    kernel, x, exact = made()
    sketch = kernel.with_(method=empirical.Sketch(jax.random.key(1), 4096))
    K = ntkseq.gram(sketch, x)
    assert "sampling" in K.estimated
    assert np.linalg.norm(np.asarray(K) - exact) <= K.rounding
