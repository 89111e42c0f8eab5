"""Tests of `ntkseq.training.attention_probe`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import models, spectra, training
from ntkseq.blocks import Attention, Linear, Residual
from ntkseq.spectra.ranks import Energy
from tests.spectra.own_rank import Above

X = jax.random.normal(jax.random.key(0), (6, 5, 2))
NET = models.Serial(
    Linear(), Residual(Attention(scaling="root")), Attention(scaling="root", causal=True), width=8, heads=2
)
PARAMS = NET.init(jax.random.key(1), X[0])


@pytest.mark.slow
def test_ranks_are_those_of_each_matrix_alone():
    probe = training.AttentionRankProbe(NET.attention_weights, X, kinds=("entropy", "stable", "numerical"))
    row = training.track([probe], PARAMS)["attention"]
    for kind in probe.kinds:
        each = np.array(
            [
                [[spectra.effective_rank(np.asarray(head, np.float64), kind) for head in layer] for layer in layers]
                for layers in (NET.attention_weights(PARAMS, x) for x in X)
            ]
        )  # (examples, layers, heads)
        np.testing.assert_allclose(row[f"rank_{kind}"][0], each.mean(0), rtol=1e-3)
        spread = each.std(0, ddof=1)
        np.testing.assert_allclose(row[f"rank_{kind}_spread"][0], spread, rtol=1e-2, atol=2e-3)
        np.testing.assert_allclose(row[f"rank_{kind}_error"][0], spread / 6**0.5, rtol=1e-2, atol=2e-3)


@pytest.mark.slow
def test_definitions_with_a_number_and_of_ones_own_have_their_columns():
    kinds = ("stable", Energy(0.9), Above(0.5))
    row = training.track([training.AttentionRankProbe(NET.attention_weights, X, kinds=kinds)], PARAMS)["attention"]
    matrices = np.array([NET.attention_weights(PARAMS, x) for x in X])
    for name, rank in (("energy_90", Energy(0.9)), ("above_0_5", Above(0.5))):
        wanted = np.asarray(spectra.effective_ranks(matrices, rank)).mean(0)
        np.testing.assert_allclose(row[f"rank_{name}"][0], wanted, rtol=1e-5)


def test_the_weights_are_where_each_token_looks():
    layers = NET.attention_weights(PARAMS, X[0], length=3)
    assert [layer.shape for layer in layers] == [(2, 5, 5)] * 2
    for layer in layers:
        np.testing.assert_allclose(np.asarray(layer).sum(-1), [[1, 1, 1, 0, 0]] * 2, atol=1e-6)
        assert (np.asarray(layer)[:, :, 3:] == 0).all()
    assert (np.triu(np.asarray(layers[1]), 1) == 0).all()


def test_the_weights_are_those_that_the_network_uses():
    net = models.Serial(Attention(scaling="dim"), width=4, heads=1)
    params = net.init(jax.random.key(0), X[0])
    (A,) = net.attention_weights(params, X[0])
    p, d = params["blocks"][0], 2
    x = X[0] * 1.0
    values = jnp.einsum("ac,cn,hvn->hav", A[0], x, p["V"]) * d**-0.5
    h = jnp.einsum("mhv,hav->am", p["O"], values) * (p["O"].shape[2]) ** -0.5
    out = (params["R"] @ jnp.mean(h, axis=0)) * h.shape[1] ** -0.5
    np.testing.assert_allclose(net.apply(params, X[0]), out, rtol=1e-5)


def test_uniform_attention_has_rank_one_and_a_permutation_all():
    for matrix, rank in ((jnp.full((4, 4), 0.25), 1.0), (jnp.eye(4)[jnp.array([2, 0, 3, 1])], 4.0)):
        probe = training.AttentionRankProbe(lambda params, x, matrix=matrix: matrix + 0 * params, X)
        row = training.track([probe], jnp.zeros(()))["attention"]
        assert all(row[f"rank_{kind}"][0] == pytest.approx(rank, abs=1e-5) for kind in probe.kinds)


def test_one_example_has_no_spread():
    row = training.track([training.AttentionRankProbe(NET.attention_weights, X[:1])], PARAMS)["attention"]
    assert np.isfinite(row["rank_entropy"]).all() and np.isnan(row["rank_entropy_spread"]).all()


def test_bad_inputs_are_turned_away():
    probe = training.AttentionRankProbe
    with pytest.raises(ValueError, match="attention must be a function"):
        probe(3, X)
    with pytest.raises(ValueError, match="kinds must name one or more"):
        probe(NET.attention_weights, X, kinds=())
    with pytest.raises(ValueError, match="must be one of"):
        probe(NET.attention_weights, X, kinds=("big",))
    with pytest.raises(ValueError, match="x must hold one or more examples"):
        probe(NET.attention_weights, X[:0])
    with pytest.raises(ValueError, match="x must be finite"):
        probe(NET.attention_weights, X.at[0, 0, 0].set(jnp.inf))
    with pytest.raises(ValueError, match="attention must return matrices"):
        training.track([probe(lambda params, x: x[0], X)], PARAMS)
    with pytest.raises(ValueError, match="arrays of one shape, one per layer"):
        training.track([probe(lambda params, x: (x, x.T), X)], PARAMS)


def test_one_kind_needs_no_tuple() -> None:
    row = training.track([training.AttentionRankProbe(NET.attention_weights, X, kinds="stable")], PARAMS)["attention"]
    assert "rank_stable" in row and "rank_entropy" not in row
