"""Tests of `ntkseq.training.feature_probe`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import spectra, training

X = jax.random.normal(jax.random.key(0), (9, 3))
FEATURES = {"first": X[:, 0], "squares": X**2}
PARAMS = {"U": jax.random.normal(jax.random.key(1), (5, 3)), "V": jnp.ones((1, 5)), "c": jnp.zeros(1)}


def net(params, x):
    return params["V"] @ jnp.tanh(params["U"] @ x) + params["c"]


def by_hand(params) -> dict[str, np.ndarray]:
    """Kernels of the leaves, from explicit gradients in float64."""
    U, V, x = (np.asarray(a, np.float64) for a in (params["U"], params["V"], X))
    hidden = np.tanh(x @ U.T)
    back = V * (1 - hidden**2)
    return {"U": (back @ back.T) * (x @ x.T), "V": hidden @ hidden.T, "c": np.ones((9, 9))}


def test_a_row_has_the_overlaps_of_every_layer_and_of_the_sum_of_all():
    probe = training.FeatureProbe(net, X, FEATURES, layers={"in": "U", "out": "V"}, k=2, level=0.9)
    K = by_hand(PARAMS)
    memory = probe.remember({"e": np.full(3, 1e-7)})
    row = probe.row({"K": (K["U"], K["V"], K["c"]), "e": np.array([1e-7, 1e-6, 1e-6])}, memory)
    for i, layer in enumerate((K["U"], K["V"], K["U"] + K["V"] + K["c"])):  # "c" is in no layer, and in all
        for j, one in enumerate(FEATURES.values()):
            want = spectra.feature_overlap(layer, np.asarray(one, float), k=2, centre=True, level=0.9)
            assert abs(row["overlap"][i, j] - want.overlap.estimate) < 1e-9 and row["resolved"][i]
            assert row["overlap_lower"][i, j] < want.overlap.lower and want.overlap.upper < row["overlap_upper"][i, j]
            assert row["floor"][i, j] == want.floor.upper and row["above"][i, j] == want.above
    lost = probe.row({"K": (K["U"], K["V"] * np.nan, K["c"]), "e": np.array([1e-7, np.nan, 1e-6])}, memory)
    assert np.isfinite(lost["overlap"][0]).all() and np.isnan(lost["overlap"][1:]).all() and not lost["above"][1:].any()


@pytest.mark.slow
def test_every_layer_has_the_overlaps_of_its_own_kernel_along_training():
    probe = training.FeatureProbe(net, X, FEATURES, layers={"in": "U", "out": "V"}, every=1, k=2, level=0.9)
    moved = PARAMS | {"V": jnp.arange(5.0)[None]}
    table = training.track([probe], PARAMS).update(1, moved)["features"]
    assert probe.layer_names == ("in", "out", "all") and table["overlap"].shape == (2, 3, 2)
    for row, params in enumerate((PARAMS, moved)):
        leaves = by_hand(params)
        for i, K in enumerate((leaves["U"], leaves["V"], sum(leaves.values()))):  # "c" is in no layer, and in all
            for j, name in enumerate(FEATURES):
                want = spectra.feature_overlap(K, np.asarray(FEATURES[name], float), k=2, centre=True, level=0.9)
                low, high = (table[f"overlap_{end}"][row, i, j] for end in ("lower", "upper"))
                assert low <= want.overlap.estimate <= high < low + 0.02 and table["resolved"][row, i]
                assert abs(table["overlap"][row, i, j] - want.overlap.estimate) < 1e-4
                assert table["floor"][row, i, j] == want.floor.upper
                assert table["above"][row, i, j] == (low > want.floor.upper)


@pytest.mark.slow
def test_a_state_is_passed_a_tape_agrees_and_what_is_not_finite_is_nan():
    probe = training.FeatureProbe(lambda p, s, x: s * net(p, x), X, FEATURES, layers={"in": "U"}, every=1, k=2)
    plain = training.FeatureProbe(net, X, FEATURES, layers={"in": "U"}, every=1, k=2)
    with_state, without = training.track([probe], PARAMS, jnp.ones(())), training.track([plain], PARAMS)
    np.testing.assert_allclose(with_state["features"]["overlap"], without["features"]["overlap"], atol=1e-5)
    tape = jax.jit(lambda tape, params: tape.update(1, params))(without.tape(2), PARAMS)
    np.testing.assert_allclose(
        without.extend(tape)["features"]["overlap"][1], without["features"]["overlap"][0], atol=1e-5
    )
    lost = without.update(1, PARAMS | {"V": jnp.full((1, 5), jnp.nan)})["features"]
    assert np.isnan(lost["overlap"][1]).all() and not lost["above"][1].any() and not lost["resolved"][1].any()
    alone = training.track([training.FeatureProbe(net, X, FEATURES, k=2)], PARAMS)["features"]
    np.testing.assert_allclose(alone["overlap"][0, 0], without["features"]["overlap"][0, -1], atol=1e-5)


def test_bad_inputs_are_turned_away():
    probe = training.FeatureProbe
    with pytest.raises(ValueError, match=r"features\['flat'\] must span something"):
        probe(net, X, {"flat": np.ones(9)}, k=2)
    with pytest.raises(ValueError, match="k must be at most 8"):
        probe(net, X, FEATURES, k=9)
    with pytest.raises(ValueError, match='outputs must be "mean", "pseudo" or an index; got \'full\''):
        probe(net, X, FEATURES, k=2, outputs="full")
    with pytest.raises(ValueError, match="features must be a dictionary"):
        probe(net, X, X[:, 0], k=2)
    with pytest.raises(ValueError, match="layers must not be named 'all'"):
        probe(net, X, FEATURES, layers={"all": "U"}, k=2)
    with pytest.raises(ValueError, match="layers must share no leaf"):
        training.track([probe(net, X, FEATURES, layers={"one": "U", "two": "U|V"}, k=2)], PARAMS)
    with pytest.raises(ValueError, match="which is found in none of their paths"):
        training.track([probe(net, X, FEATURES, layers={"one": "missing"}, k=2)], PARAMS)
