"""Are the ranks of a model's attention those of its matrices, and is the sampling error honest?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import empirical, spectra, training
from ntkseq.spectra import effective_ranks

X = jax.random.normal(jax.random.key(0), (21, 6, 3))
P = jax.random.normal(jax.random.key(1), (2, 3, 3))


def matrices(params, x):
    return jax.nn.softmax(jnp.einsum("ad,hde,ce->hac", x, params, x))


def f(params, x):
    return jnp.einsum("hac,cd->had", matrices(params, x), x).sum((0, 1))


def by_hand(A, kind):
    s = np.linalg.svd(np.asarray(A, np.float64), compute_uv=False)
    p = s / s.sum()
    return {"entropy": np.exp(-np.sum(p * np.log(p))), "stable": np.sum(s**2) / s[0] ** 2,
            "participation": s.sum() ** 2 / np.sum(s**2)}[kind]  # fmt: skip


@pytest.mark.slow
def test_means_and_errors_are_those_of_a_loop_over_examples():
    found = spectra.attention_ranks(empirical.attention_weights(f), P, X, batch=4)
    (layer,) = found.layers
    for kind in found.kinds:
        loop = np.array([[by_hand(A, kind) for A in matrices(P, x)] for x in X])
        np.testing.assert_allclose(layer.mean[kind], loop.mean(0), rtol=1e-5)
        np.testing.assert_allclose(layer.spread[kind], loop.std(0, ddof=1), rtol=1e-4)
        np.testing.assert_allclose(layer.error[kind], loop.std(0, ddof=1) / np.sqrt(21), rtol=1e-4)
    assert layer.stochastic
    assert layer.shape == (6, 6)
    assert found.aggregate("stable", "max") == pytest.approx(layer.mean["stable"].max())


@pytest.mark.slow
def test_blocks_do_not_matter():
    one, other = (spectra.attention_ranks(matrices, P, X, batch=batch) for batch in (1, 50))
    np.testing.assert_allclose(one.layers[0].mean["entropy"], other.layers[0].mean["entropy"], rtol=1e-6)


@pytest.mark.slow
def test_uniform_attention_has_rank_one_and_a_permutation_has_rank_t():
    uniform = spectra.attention_ranks(lambda p, x: jnp.full((4, 4), 0.25), None, X).layers[0]
    permutation = spectra.attention_ranks(lambda p, x: jnp.roll(jnp.eye(4), 1, 0), None, X).layers[0]
    for kind in spectra.attention_ranks(matrices, P, X).kinds:
        assert uniform.mean[kind] == pytest.approx(1, abs=1e-5)
        assert permutation.mean[kind] == pytest.approx(4, abs=1e-5)
    assert uniform.residual == pytest.approx(0, abs=1e-6)
    assert permutation.residual == pytest.approx(np.sqrt(3) / 2, abs=1e-5)


@pytest.mark.slow
def test_the_mean_of_a_population_lies_within_the_stated_error():
    rng = np.random.default_rng(0)
    inside = 0
    everyone = jnp.asarray(rng.standard_normal((2000, 6, 3)), jnp.float32)
    truth = spectra.attention_ranks(matrices, P, everyone, kinds=("stable",)).layers[0].mean["stable"]
    for k in range(30):
        layer = spectra.attention_ranks(matrices, P, everyone[60 * k : 60 * k + 60], kinds=("stable",)).layers[0]
        inside += int(np.all(np.abs(layer.mean["stable"] - truth) <= 3 * layer.error["stable"]))
    assert inside >= 29


@pytest.mark.slow
def test_what_stands_behind_a_sequence_does_not_count():
    lengths = jnp.asarray([2, 6, 3] * 7, jnp.int32)
    found = spectra.attention_ranks(matrices, P, X, lengths=lengths, kinds=("entropy",)).layers[0]

    def cut(x, length):
        return matrices(P, x)[:, :length, :length]

    loop = np.array([[by_hand(A, "entropy") for A in cut(x, int(k))] for x, k in zip(X, lengths, strict=True)])
    np.testing.assert_allclose(found.mean["entropy"], loop.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.hidden, np.mean(6 - np.asarray(lengths)), rtol=1e-6)


@pytest.mark.slow
def test_attention_that_takes_a_length_is_given_it():
    def attention(params, x, length):
        seen = jnp.arange(6) < length
        return jax.nn.softmax(jnp.where(seen[None, None, :], jnp.einsum("ad,hde,ce->hac", x, params, x), -1e30))

    lengths = jnp.asarray([2, 6, 3] * 7, jnp.int32)
    layer = spectra.attention_ranks(attention, P, X, lengths=lengths).layers[0]
    assert layer.stochastic
    assert not spectra.attention_ranks(matrices, P, X, lengths=lengths).layers[0].stochastic


def test_linear_attention_is_said_to_be_no_probabilities():
    found = spectra.attention_ranks(lambda p, x: x @ x.T, None, X)
    assert not found.layers[0].stochastic
    assert found.layers[0].negative
    assert "rows do not sum to 1" in str(found)


def test_hidden_rows_are_counted_and_do_not_break_the_sums():
    def attention(params, x):
        return jnp.concatenate([matrices(params, x)[:, :4], jnp.zeros((2, 2, 6))], axis=1)

    layer = spectra.attention_ranks(attention, P, X).layers[0]
    np.testing.assert_array_equal(layer.hidden, [2, 2])
    assert layer.stochastic


@pytest.mark.slow
def test_scores_that_are_nan_are_said_with_layer_and_example():
    def attention(params, x):
        A = matrices(params, x)
        return A, jnp.where(x[0, 0] > X[4, 0, 0] - 1e-6, jnp.nan, 1) * A

    with pytest.raises(ValueError, match="layer 1 is not finite"):
        spectra.attention_ranks(attention, P, X)


def test_one_token_and_one_example():
    layer = spectra.attention_ranks(matrices, P, X[:1, :1]).layers[0]
    np.testing.assert_allclose(layer.mean["entropy"], [1, 1], rtol=1e-6)
    assert np.isnan(layer.error["entropy"]).all()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"kinds": ()}, "kinds"),
        ({"kinds": ("best",)}, "best"),
        ({"x": X[:0]}, "examples"),
        ({"lengths": jnp.zeros(21, jnp.int32)}, "lengths"),
        ({"lengths": jnp.ones(3, jnp.int32)}, "lengths"),
        ({"attention": None}, "attention"),
        ({"attention": lambda p, x: x[0]}, "matrices"),
        ({"attention": lambda p, x: ()}, "layers"),
        ({"batch": 0}, "batch"),
    ],
)
def test_bad_inputs_are_refused(changes, match):
    given = {"attention": matrices, "params": P, "x": X} | changes
    with pytest.raises(ValueError, match=match):
        spectra.attention_ranks(**given)


class Attends:
    """Two heads of attention over 8 features that compute in a dtype of their own."""

    def __init__(self, dtype: Any) -> None:
        self.params = jax.random.normal(jax.random.key(1), (3, 2, 8, 4)) / 2

        def f(params: Any, x: Any) -> Any:
            q, k, v = (jnp.einsum("td,hde->hte", x.astype(dtype), w.astype(dtype)) for w in params)
            A = jax.nn.softmax(jnp.einsum("hte,hse->hts", q, k))
            return jnp.einsum("hts,hse->hte", A, v).sum((0, 1))

        self.attention = empirical.attention_weights(f)


@pytest.mark.slow
def test_lengths_and_half_precision_go_through_both_doors() -> None:
    x, lengths = jax.random.normal(jax.random.key(0), (4, 5, 8)), jnp.array([5, 3, 2, 1])
    ranks = []
    for dtype in (jnp.float32, jnp.bfloat16):
        made = Attends(dtype)
        table = spectra.attention_ranks(made.attention, made.params, x, lengths=lengths)
        probe = training.AttentionRankProbe(made.attention, x, lengths=lengths)
        probed = training.track([probe], made.params)["attention"]["rank_entropy"]
        np.testing.assert_allclose(np.ravel(probed), table.layers[0].mean["entropy"], rtol=1e-5)
        ranks.append(table.layers[0].mean["entropy"])
    made = Attends(jnp.float32)
    A = np.stack([made.attention(made.params, one)[0] for one in x])
    alone = [effective_ranks(jnp.asarray(A[i, :, :n, :n])) for i, n in enumerate([5, 3, 2, 1])]
    np.testing.assert_allclose(ranks[0], np.mean(alone, axis=0), rtol=1e-5)
    np.testing.assert_allclose(ranks[1], ranks[0], rtol=0.05)
