"""Tests of `ntkseq.training.kernel_probe`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import models, spectra, training

NET = models.Recurrent(width=12, sigma_b=0.2, outputs=2)
X = jax.random.normal(jax.random.key(0), (7, 4, 2))
Y = jax.random.normal(jax.random.key(1), (7, 2))
PARAMS = NET.init(jax.random.key(2), X[0])


def jittered(params: Any, seed: int = 3) -> Any:
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    return tree.unflatten(
        [leaf + 0.2 * jax.random.normal(k, leaf.shape, leaf.dtype) for leaf, k in zip(leaves, keys, strict=True)]
    )


def explicit(params: Any, x: Any) -> tuple[np.ndarray, np.ndarray]:
    """The mean kernel over outputs from explicit Jacobians, and the outputs; in float64."""
    cast = lambda tree: jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), tree)  # noqa: E731
    with jax.enable_x64(True):
        jacobian = jax.vmap(jax.jacrev(NET.apply), (None, 0))(cast(params), cast(x))
        rows = np.concatenate([np.asarray(j).reshape(len(x), 2, -1) for j in jax.tree.leaves(jacobian)], axis=2)
        outputs = np.asarray(jax.vmap(NET.apply, (None, 0))(cast(params), cast(x)))
    return np.einsum("iop,jop->ij", rows, rows) / 2, outputs


@pytest.mark.slow
def test_every_column_is_what_an_explicit_kernel_says():
    history = training.track([training.KernelProbe(NET.apply, X, y=Y, every=1, k=3)], PARAMS)
    after = jittered(PARAMS)
    table = history.update(1, after)["kernel"]
    (K0, _), (K, f) = explicit(PARAMS, X), explicit(after, X)
    values, vectors = np.linalg.eigh(K)
    first = np.linalg.eigh(K0)[1]
    row = {name: column[1] for name, column in table.columns.items()}
    assert row["min_eigenvalue_lower"] <= values[0] <= row["min_eigenvalue_upper"] and row["resolved"]
    assert abs(row["max_eigenvalue"] - values[-1]) <= row["max_eigenvalue_error"]
    assert (np.abs(row["top"] - values[::-1][:3]) <= row["top_error"]).all()
    assert 0 < row["rounding"] < 1e-3 * values[-1]
    for kind in ("entropy", "stable", "participation"):
        exact = spectra.effective_rank(K, kind)
        assert row[f"rank_{kind}_lower"] <= exact <= row[f"rank_{kind}_upper"]
    distance = np.linalg.norm(K - K0) / np.linalg.norm(K0)
    assert abs(row["distance"] - distance) <= row["distance_error"] < 1e-3
    cosines = np.linalg.svd(first[:, -3:].T @ vectors[:, -3:], compute_uv=False)
    assert abs(row["rotation"] - np.arccos(cosines.min())) <= row["rotation_error"] < 0.1
    for name, y in (("alignment", np.asarray(Y, np.float64)), ("alignment_residual", f - np.asarray(Y))):
        exact = np.sum(K * (y @ y.T)) / (np.linalg.norm(K) * np.linalg.norm(y @ y.T))
        assert abs(row[name] - exact) <= row["alignment_error"] + 1e-6
    np.testing.assert_allclose(row["sharpness"], values[-1] / 7, rtol=1e-5)
    np.testing.assert_allclose(row["trace"], np.trace(K), rtol=1e-5)
    np.testing.assert_allclose(row["condition"], values[-1] / values[0], rtol=1e-2)
    np.testing.assert_allclose(row["outputs"], f, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_first_row_has_not_moved():
    row = training.track([training.KernelProbe(NET.apply, X)], PARAMS)["kernel"]
    assert row["distance"][0] == 0 and row["rotation"][0] <= row["rotation_error"][0]
    assert np.isnan(row["alignment"][0])


@pytest.mark.slow(cases=["0", "1"])
@pytest.mark.parametrize("seed", range(5))
def test_intervals_hold_the_exact_least_eigenvalue_of_near_duplicates(seed: int):
    x = X.at[1].set(X[0] * (1 + 1e-4)).at[3].set(X[2] + 1e-3)
    params = jittered(PARAMS, seed)
    row = training.track([training.KernelProbe(NET.apply, x)], params)["kernel"]
    exact = np.linalg.eigvalsh(explicit(params, x)[0])[0]
    assert row["min_eigenvalue_lower"][0] <= exact <= row["min_eigenvalue_upper"][0]


@pytest.mark.slow
def test_the_sharpness_is_below_that_of_the_gauss_newton_matrix(x64):
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), PARAMS)
    x = X.astype(jnp.float64)
    for outputs in ("mean", "pseudo", 1):
        row = training.track([training.KernelProbe(NET.apply, x, outputs=outputs)], params)["kernel"]
        jacobian = jax.vmap(jax.jacrev(NET.apply), (None, 0))(params, x)
        rows = np.concatenate([np.asarray(j).reshape(7 * 2, -1) for j in jax.tree.leaves(jacobian)], axis=1)
        assert 0 < row["sharpness"][0] <= np.linalg.norm(rows, 2) ** 2 / 7 * (1 + 1e-12)


@pytest.mark.slow
def test_targets_of_one_output_are_compared_with_that_output():
    one = training.track([training.KernelProbe(NET.apply, X, y=Y[:, 1], outputs=1)], PARAMS)["kernel"]
    other = models.Recurrent(width=12, sigma_b=0.2)
    params = jax.tree.map(lambda leaf: leaf[1:] if leaf.shape[0] == 2 and leaf.ndim == 2 else leaf, PARAMS)
    alone = training.track([training.KernelProbe(other.apply, X, y=Y[:, 1])], params)["kernel"]
    for name in ("alignment", "alignment_residual", "min_eigenvalue"):
        np.testing.assert_allclose(one[name], alone[name], rtol=1e-4)


@pytest.mark.slow
def test_one_example_has_a_row():
    row = training.track([training.KernelProbe(NET.apply, X[:1], y=Y[:1])], PARAMS)["kernel"]
    assert row["min_eigenvalue"][0] == row["max_eigenvalue"][0] > 0
    assert row["rank_entropy"][0] == pytest.approx(1)


@pytest.mark.slow
def test_leaves_that_are_not_trainable_do_not_count():
    all_ = training.track([training.KernelProbe(NET.apply, X)], PARAMS)["kernel"]["trace"]
    some = training.track([training.KernelProbe(NET.apply, X, trainable="'R'")], PARAMS)["kernel"]["trace"]
    assert 0 < some[0] < all_[0]


@pytest.mark.slow
def test_bad_inputs_are_turned_away():
    probe = training.KernelProbe
    with pytest.raises(ValueError, match="x must hold 1 to 4096 examples"):
        probe(NET.apply, X[:0])
    with pytest.raises(ValueError, match="x must hold 1 to 4096 examples"):
        probe(NET.apply, jnp.zeros((4097, 1, 1)))
    with pytest.raises(ValueError, match="y must have shape"):
        probe(NET.apply, X, y=Y[:3])
    with pytest.raises(ValueError, match="y must have the shape of the outputs"):
        training.track([probe(NET.apply, X, y=Y[:, 0])], PARAMS)
    with pytest.raises(ValueError, match='outputs must be "mean"'):
        probe(NET.apply, X, outputs="diagonal")
    with pytest.raises(ValueError, match="a matrix of 4098 rows"):
        probe(NET.apply, X, outputs="full").remember({"K": np.zeros((2049, 2049, 2, 2), np.float32)})
    with pytest.raises(ValueError, match="k must be an integer"):
        probe(NET.apply, X, k=0)
    with pytest.raises(ValueError, match="x must be finite"):
        training.track([probe(NET.apply, X.at[0, 0, 0].set(jnp.nan))], PARAMS)
    with pytest.raises(ValueError, match="f must be a function"):
        training.track([probe(3, X)], PARAMS)
    with pytest.raises(ValueError, match="lengths of x must lie in"):
        training.track([probe(NET.apply, X, lengths=jnp.full(7, 9))], PARAMS)
    huge = jax.tree.map(lambda leaf: leaf * 1e30, PARAMS)
    with pytest.raises(ValueError, match="the kernel at the initial parameters is not finite"):
        training.track([probe(NET.apply, X)], huge)


@pytest.mark.slow
def test_a_probe_of_all_outputs_measures_the_whole_matrix():
    probe = training.KernelProbe(NET.apply, X, y=Y, every=1, k=3, outputs="full")
    row = {name: column[0] for name, column in training.track([probe], PARAMS)["kernel"].columns.items()}
    cast = lambda tree: jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), tree)  # noqa: E731
    with jax.enable_x64(True):
        jacobian = jax.vmap(jax.jacrev(NET.apply), (None, 0))(cast(PARAMS), cast(X))
        J = np.concatenate([np.asarray(j).reshape(14, -1) for j in jax.tree.leaves(jacobian)], axis=1)
    K, y = J @ J.T, np.asarray(Y, np.float64).reshape(-1)
    values = np.linalg.eigvalsh(K)
    assert (np.abs(row["top"] - values[::-1][:3]) <= row["top_error"]).all()
    assert row["min_eigenvalue_lower"] <= values[0] <= row["min_eigenvalue_upper"]
    assert abs(row["alignment"] - y @ K @ y / (np.linalg.norm(K) * (y @ y))) <= row["alignment_error"] + 1e-6
    np.testing.assert_allclose(row["sharpness"], values[-1] / 7, rtol=1e-5)


@pytest.mark.parametrize("ranks", ["stable", ["stable"], spectra.ranks.Stable()])
def test_one_rank_needs_no_tuple(ranks: Any) -> None:
    row = training.track([training.KernelProbe(NET.apply, X, ranks=ranks)], PARAMS)["kernel"]
    wanted = training.track([training.KernelProbe(NET.apply, X)], PARAMS)["kernel"]["rank_stable"]
    assert row["rank_stable"][0] == wanted[0] and "rank_entropy" not in row
