"""Is the sampled kernel of a GRU or an LSTM the one of the theory, within the error that it states?"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.cells import GRU, LRU, LSTM
from ntkseq.kernels import particle_batches
from ntkseq.kernels.gated import Gated
from ntkseq.models import gated as models_gated
from tests.models import explicit

# One shape and few choices for nearly all tests: what compiles once is free afterwards.
X = explicit.sequences()[[0, 1, 0, 2], :3].astype(np.float32)  # the third sequence is the first again
SCALES = {"sigma_w": 1.3, "sigma_u": 1.0, "sigma_b": 0.2}
CELLS = ("gru", "lstm")
OWN = ("sigma_c", "reset", "forget", "law", "train")
NUMBERS = {"particles": 8192, "batches": 32}


def make(cell: str, **changes: Any) -> Gated:
    own = {**SCALES, **{name: changes.pop(name) for name in (*SCALES, *OWN) if name in changes}}
    return Gated({"gru": GRU, "lstm": LSTM}[cell](**own), **{**NUMBERS, **changes})


@lru_cache(maxsize=32)
def estimate(cell: str, lengths: tuple[int, ...] | None = None, **changes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Values and standard errors between all of X."""
    kernel = make(cell, **changes)
    side = kernel.prepare(X, None if lengths is None else np.array(lengths))
    return tuple(np.asarray(a, np.float64) for a in (kernel.tile(side, side), kernel.standard_error(side, side)))


def root(K: np.ndarray) -> np.ndarray:
    return np.sqrt(np.outer(np.diagonal(K), np.diagonal(K)))


# --------------------------------------------------------------------------------------------- numbers of the theory


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "golden", "error"),
    [
        ("gru", (0.3692, 0.0989, 0.1618), (0.0007, 0.0002, 0.0002)),
        ("lstm", (0.08554, 0.01683, 0.03339), (0.00013, 0.00004, 0.00004)),
    ],
)
def test_values_are_those_of_the_theory_within_both_errors(cell, golden, error) -> None:
    values, own = estimate(cell)  # recurrent.md 3.3: K11, K12, K22 by a Cholesky factor for every step
    pick = lambda K: np.array([K[0, 0], K[0, 1], K[1, 1]])  # noqa: E731
    assert np.all(np.abs(pick(values) - golden) < 3.5 * np.hypot(pick(own), error))
    assert np.all(pick(own) < 0.02 * np.sqrt(np.array([1, 1, 1]) * pick(root(values))))


def normal_rule(points: int) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    return nodes, weights / weights.sum()


def sigmoid(u: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-u))


def factor(C: np.ndarray) -> np.ndarray:
    """The Cholesky factor of a covariance (2, 2), of equal arguments as well."""
    rest = max(C[1, 1] - C[0, 1] ** 2 / C[0, 0], 0)
    return np.array([[np.sqrt(C[0, 0]), 0], [C[0, 1] / np.sqrt(C[0, 0]), np.sqrt(rest)]])


def dual(f: Any, g: Any, covariance: np.ndarray) -> float:
    """E[f(u) g(v)] for Gaussian u, v by a product of Gauss rules."""
    nodes, weights = normal_rule(40)
    u, v = factor(covariance) @ np.stack([a.ravel() for a in np.meshgrid(nodes, nodes, indexing="ij")])
    return float(np.sum(np.outer(weights, weights).ravel() * f(u) * g(v)))


def one_step(x: np.ndarray, y: np.ndarray, cell: str) -> float:
    """The kernel of sequences of one step: the gates are independent, and each needs a double integral only."""
    dot = lambda a, b: float(a @ b) / 2 + 0.04  # noqa: E731  sigma_u = 1, d = 2, sigma_b = 0.2
    C = np.array([[dot(x, x), dot(x, y)], [dot(x, y), dot(y, y)]])
    tanh, slope = np.tanh, lambda u: 1 - np.tanh(u) ** 2
    gate, gate_slope = sigmoid, lambda u: sigmoid(u) * (1 - sigmoid(u))
    if cell == "gru":  # h = (1 - z) g, and 1 - s(u) has the law of s(u)
        zz, gg = dual(gate, gate, C), dual(tanh, tanh, C)
        dz, dg = dual(gate_slope, gate_slope, C), dual(slope, slope, C)
        return zz * gg + C[0, 1] * (zz * dg + gg * dz)
    nodes, weights = normal_rule(24)  # h = o tanh(i g): the products i g need an integral over four Gaussians
    pair = factor(C) @ np.stack([a.ravel() for a in np.meshgrid(nodes, nodes, indexing="ij")])
    w = np.outer(weights, weights).ravel()
    joint = lambda f: sum(  # noqa: E731  E[f(i, g) f(i', g')]
        w[k] * np.sum(w * f(pair[0, k], pair[0]) * f(pair[1, k], pair[1])) for k in range(len(w))
    )
    out = joint(lambda i, g: tanh(gate(i) * tanh(g)))
    through_g = joint(lambda i, g: slope(gate(i) * tanh(g)) * gate(i) * slope(g))
    through_i = joint(lambda i, g: slope(gate(i) * tanh(g)) * gate_slope(i) * tanh(g))
    oo, do = dual(gate, gate, C), dual(gate_slope, gate_slope, C)
    return oo * out + C[0, 1] * (do * out + oo * (through_g + through_i))


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
def test_one_step_is_an_integral_that_a_quadrature_gives(cell) -> None:
    values, error = estimate(cell, (1, 1, 1, 1))
    wanted = np.array([[one_step(X[i, 0], X[j, 0], cell) for j in (0, 1, 3)] for i in (0, 1, 3)])
    rows = np.ix_([0, 1, 3], [0, 1, 3])
    assert np.all(np.abs(values[rows] - wanted) < 4 * error[rows] + 1e-6)
    assert np.all(error < 0.02 * root(values))


def two_steps(x: np.ndarray) -> float:
    """K(x, x) of a GRU after two steps: gates correlated over time, by quadrature over z_1, z_2, g_1, g_2 and r_2.

    Written with explicit conditional variances of the backward Gaussians, for sigma_w = 1.3, sigma_b = 0.2.
    """
    w2 = 1.3**2
    G = x @ x.T / 2 + 0.04
    nodes, weights = normal_rule(14)
    axes = np.meshgrid(*[nodes] * 5, indexing="ij", sparse=True)
    law: Any = 1.0
    for k in range(5):
        law = law * weights.reshape([-1 if j == k else 1 for j in range(5)])
    mean = lambda f: float(np.sum(law * f))  # noqa: E731
    first = [np.sqrt(G[0, 0]) * a for a in (axes[0], axes[2])]  # z_1, g_1

    def second(before: np.ndarray, fresh: np.ndarray, variance: float) -> np.ndarray:
        return G[0, 1] / G[0, 0] * before + np.sqrt(variance - G[0, 1] ** 2 / G[0, 0]) * fresh

    slope, bend = lambda u: 1 - np.tanh(u) ** 2, lambda u: sigmoid(u) * (1 - sigmoid(u))
    z1, g1 = sigmoid(first[0]), np.tanh(first[1])
    h1 = (1 - z1) * g1
    moment = mean(h1**2)
    r_in = np.sqrt(G[1, 1] + w2 * moment) * axes[4]
    r2 = sigmoid(r_in)
    reset = mean(r2**2) * moment  # r_2 is independent of h_1: its own weights
    z_in, g_in = second(first[0], axes[1], G[1, 1] + w2 * moment), second(first[1], axes[3], G[1, 1] + w2 * reset)
    z2, g2 = sigmoid(z_in), np.tanh(g_in)
    K = mean((z2 * h1 + (1 - z2) * g2) ** 2)
    dg2, dz2 = (1 - z2) * slope(g_in), (h1 - g2) * bend(z_in)  # times the read-out's v, E v^2 = 1
    drh = w2 * mean(dg2**2)  # variance of the Gaussian that comes back through the candidate
    dr2 = drh * mean((h1 * bend(r_in)) ** 2)
    fresh = w2 * mean(dz2**2) + w2 * dr2 + drh * mean(r2**2)  # of dh_1, beyond v z_2
    dg1, dz1 = (1 - z1) * slope(first[1]), -g1 * bend(first[0])
    for late, early, own in ((dg2, dg1, G[1, 1] + w2 * reset), (dz2, dz1, G[1, 1] + w2 * moment)):
        K += mean(late**2) * own + 2 * mean(late * z2 * early) * G[0, 1]
        K += (mean((z2 * early) ** 2) + fresh * mean(early**2)) * G[0, 0]
    return K + dr2 * (G[1, 1] + w2 * moment)


@pytest.mark.slow
def test_two_steps_of_a_gru_are_an_integral_that_a_quadrature_gives() -> None:
    values, error = estimate("gru", (2, 2, 2, 2))
    wanted = np.array([two_steps(np.asarray(X[i, :2], np.float64)) for i in range(4)])
    assert np.all(np.abs(np.diagonal(values) - wanted) < 4 * np.diagonal(error))
    assert np.all(np.diagonal(error) < 0.02 * wanted)


# --------------------------------------------------------------------------------------------------- what it promises


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
def test_the_matrix_is_symmetric_positive_and_blind_to_the_place_of_a_sequence(cell) -> None:
    K = estimate(cell, (3, 2, 3, 1))[0]
    assert np.max(np.abs(K - K.T) / root(K)) < 4e-7
    assert np.linalg.eigvalsh((K + K.T) / 2)[0] > -1e-6 * np.trace(K)  # exactly, but for rounding
    np.testing.assert_allclose(K[0], K[2], rtol=1e-6)  # duplicates
    other = make(cell).prepare(X[[3, 2, 1, 0]], np.array([1, 3, 2, 3]))
    np.testing.assert_allclose(make(cell).tile(other, other), K[::-1, ::-1], rtol=1e-5, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
def test_last_is_at_the_own_end_and_padding_is_never_looked_at(cell) -> None:
    lengths = (2, 3, 1, 2)
    behind = np.arange(3)[None, :, None] >= np.array(lengths)[:, None, None]
    kernel = make(cell)
    dirty = kernel.prepare(np.where(behind, np.nan, X), np.array(lengths))
    K = np.asarray(kernel.tile(dirty, dirty), np.float64)
    np.testing.assert_array_equal(K, estimate(cell, lengths)[0])
    pairs = {(1, 1): (1, 1, 1, 1), (2, 2): (2, 2, 2, 2)}
    assert abs(K[2, 2] - estimate(cell, pairs[1, 1])[0][2, 2]) < 1e-6 * K[2, 2]
    assert abs(K[0, 3] - estimate(cell, pairs[2, 2])[0][0, 3]) < 1e-6 * root(K)[0, 3]


def test_zero_inputs_without_bias_have_a_kernel_of_zero() -> None:
    kernel = make("gru", sigma_b=0.0)
    side = kernel.prepare(X * np.array([1, 0, 1, 1], np.float32)[:, None, None])
    K, error = np.asarray(kernel.tile(side, side)), np.asarray(kernel.standard_error(side, side))
    assert np.all(K[1] == 0) and np.all(K[:, 1] == 0) and np.isfinite(K).all() and np.isfinite(error).all()


@pytest.mark.slow
def test_the_diagonal_comes_from_one_sequence_at_a_time() -> None:
    diag = np.asarray(make("gru").diag(X))
    np.testing.assert_allclose(diag, np.diagonal(estimate("gru")[0]), rtol=1e-6)


@pytest.mark.slow
def test_the_stated_error_of_an_entry_covers_another_seed_and_is_not_idle() -> None:
    first, second = estimate("gru")[0], estimate("gru", seed=9)[0]
    kernel = make("gru")
    stated = kernel.entry_rounding(kernel.prepare(X))
    assert 0 < np.max(np.abs(first - second) / root(first)) < 1.5 * stated < 0.1
    assert np.all(first != second)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers_and_another_compiles_nothing(caplog) -> None:
    estimate("gru")
    kernel = make("gru", seed=5, sigma_w=0.7)
    with jax.log_compiles(), caplog.at_level("WARNING"):
        side = kernel.prepare(X)
        one, two = np.asarray(kernel.tile(side, side)), np.asarray(make("gru", seed=5, sigma_w=0.7).tile(side, side))
    assert [r.message for r in caplog.records if "ompil" in r.message] == []
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cell": "rnn"}, "cell must be one of 'gru', 'lstm', or a cells.GRU or cells.LSTM; got 'rnn'"),
        ({"cell": LRU()}, "a cells.GRU or cells.LSTM; got"),
        ({"sigma_r": -1.0}, "sigma_r must be a finite standard deviation"),
        ({"param": "std"}, "param must be one of 'ntk', 'raw'"),
        ({"read": "steps"}, "read must be one of 'last', 'mean', 'sum'"),
        ({"kind": "ck"}, "kind must be one of"),
        ({"input_scale": "d"}, "input_scale must be one of"),
        ({"particles": 8, "batches": 8}, "2 to 4096 for each; got particles=8, batches=8"),
        ({"particles": 30, "batches": 8}, "must be a multiple of batches"),
        ({"particles": 2**16, "batches": 8}, "raise batches as well"),
        ({"batches": 1}, "batches must be at least 2"),
        ({"particles": 0}, "particles must be an integer >= 1"),
        ({"seed": -1}, "seed must be an integer in 0"),
        ({"seed": True}, "seed must be an integer in 0"),
    ],
)
def test_wrong_arguments_are_refused_at_the_door(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        Gated(**changes)


def test_wrong_inputs_are_refused_at_the_door() -> None:
    with pytest.raises(ValueError, match=r"x must be finite; .*\(2, 1, 0\)"):
        Gated().prepare(np.where(np.arange(24).reshape(4, 3, 2) == 14, np.nan, X))
    with pytest.raises(ValueError, match=r"shape \(n, t, d\); got \(3, 2\)"):
        Gated().prepare(X[0])
    with pytest.raises(ValueError, match="overflow float32"):
        Gated().prepare(X * np.float32(1e30))
    with pytest.raises(ValueError, match=r"lie in 1\.\.3"):
        Gated().prepare(X, lengths=np.array([1, 2, 3, 4]))
    with pytest.raises(ValueError, match="param='raw'"):
        Gated(param="raw").finite(8)
    with pytest.raises(ValueError, match="kind='nngp'"):
        Gated(kind="nngp").finite(8)


@pytest.mark.slow
def test_gradients_without_their_sigmas_are_those_divided_by_them_and_a_bias_at_zero_counts() -> None:
    own: Any = {"sigma_w": (1.3, 0.8, 1.1), "sigma_b": (0.2, 0.4, 0.3), "sigma_c": 0.5, "reset": "after"}
    few: Any = {"particles": 32, "batches": 2}
    raw = make("gru", **own, **few, param="raw", sigma_r=1.5)
    side = raw.prepare(X[:2])

    def part(kernel: Gated, letters: str) -> np.ndarray:
        cell = dataclasses.replace(kernel.cell, train=letters.replace("R", ""))
        return np.asarray(kernel.with_(cell=cell, train_readout="R" in letters).tile(side, side))

    scaled = raw.with_(param="ntk")
    np.testing.assert_allclose(part(raw, "R") * 2.25, part(scaled, "R"), rtol=1e-6)
    np.testing.assert_allclose(part(raw, "U"), part(scaled, "U"), rtol=1e-6)  # sigma_u = 1
    np.testing.assert_allclose(part(raw, "WUbR"), sum(part(raw, letter) for letter in "WUbR"), rtol=1e-5)
    bare = [part(raw.with_(cell=GRU(sigma_b=s)), "b") for s in (0.0, 1e-3)]
    np.testing.assert_allclose(*bare, rtol=1e-3)
    np.testing.assert_allclose(part(scaled.with_(cell=GRU(sigma_b=1e-3)), "b"), 1e-6 * bare[1], rtol=1e-4)
    np.testing.assert_allclose(raw.with_(kind="nngp").tile(side, side), part(scaled, "R"), rtol=1e-6)


# ------------------------------------------------------------------------------------------- statistics, derivatives


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
def test_the_standard_error_is_honest(cell) -> None:
    """Over 24 seeds, |estimate - long run| in standard errors has a root mean square near 1 (t with 31 degrees)."""
    truth, truth_error = estimate(cell, seed=1000, particles=2**17, batches=256)
    scores = []
    for seed in range(24):
        values, error = estimate(cell, seed=seed)
        scores.append(((values - truth) / np.hypot(error, truth_error))[np.triu_indices(4)])
    assert 0.7 < np.sqrt(np.mean(np.square(scores))) < 1.4
    rms = np.sqrt(np.mean(np.square(scores), axis=0))  # each entry: chi^2 with 24 degrees
    assert np.all((rms > 0.55) & (rms < 1.6))


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
def test_the_bias_of_a_batch_is_below_its_share(cell) -> None:
    """The docstring's (0.4 +- 0.2) sqrt(K_ii K_jj) / P: batches of 16 against batches of 512."""
    truth, truth_error = estimate(cell, seed=1000, particles=2**17, batches=256)
    values, error = estimate(cell, particles=2**18, batches=2**14)
    assert np.all(np.abs(values - truth) < 0.6 / 16 * root(truth) + 3 * np.hypot(error, truth_error))


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("read", ["last", "mean"])
def test_finite_networks_tend_to_the_kernel_like_one_over_the_root_of_the_width(cell, read) -> None:
    check_growing_width(cell, read, {})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "own"),
    [
        ("gru", {"sigma_w": (2.5, 1.5, 2.5), "sigma_c": 0.7, "reset": "after"}),
        ("gru", {"sigma_u": (1.0, 2.0, 1.5), "law": "uniform", "reset": "after"}),
        ("lstm", {"sigma_b": (0.2, 0.5, 0.1, 0.3), "forget": 1.0, "law": "truncated"}),
    ],
)
def test_so_do_those_of_every_variant(cell, own) -> None:
    check_growing_width(cell, "mean", own)


def check_growing_width(cell: str, read: str, own: dict[str, Any]) -> None:
    lengths = (3, 2, 3, 1)
    truth, error = estimate(cell, lengths, seed=1000, read=read, particles=2**16, batches=64, **own)
    widths, spread = (32, 64, 128, 256), []
    for width in widths:
        net = make(cell, read=read, **own).finite(width)
        assert isinstance(net, models_gated.Gated)
        samples = explicit.over_seeds(net, jnp.asarray(X), jnp.asarray(lengths, jnp.int32), seeds=24)
        spread.append(np.sqrt(np.mean(np.square((samples - truth) / root(truth)))))
    slope = np.polyfit(np.log(widths), np.log(spread), 1)[0]
    assert abs(slope + 0.5) < 0.15
    of_mean = samples.std(axis=0, ddof=1) / np.sqrt(24)  # the widest
    assert np.max(np.abs(samples.mean(axis=0) - truth) / np.hypot(of_mean, error)) < 4


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
def test_derivatives_are_those_of_the_estimate(cell, x64) -> None:
    kernel = make(cell, particles=64, batches=2)
    x, lengths = jnp.asarray(X, jnp.float64), np.array([3, 2, 3, 1])
    total = jax.jit(lambda k, x: jnp.sum(jnp.asarray([[1, -2, 0.5, 3]]) * k(x, lengths=lengths)))
    kernel = jax.tree.map(jnp.float64, kernel)
    grads, tokens = jax.grad(total, argnums=(0, 1))(kernel, x)
    leaves, tree = jax.tree.flatten(kernel)
    for i, slope in enumerate(jax.tree.leaves(grads)):
        up, down = (total(tree.unflatten([a + h * (j == i) for j, a in enumerate(leaves)]), x) for h in (1e-5, -1e-5))
        np.testing.assert_allclose(slope, (up - down) / 2e-5, rtol=1e-6)
    move = jnp.zeros_like(x).at[0, 1, 1].set(1e-5)
    np.testing.assert_allclose(tokens[0, 1, 1], (total(kernel, x + move) - total(kernel, x - move)) / 2e-5, rtol=1e-6)
    assert np.all(np.asarray(tokens[1, 2]) == 0) and np.all(np.asarray(tokens[3, 1:]) == 0)


@pytest.mark.slow
def test_small_chunks_and_pieces_give_the_same_values_and_derivatives(monkeypatch) -> None:
    kernel = make("gru", particles=64, batches=2, read="sum")
    run = lambda: jax.value_and_grad(lambda k: jnp.sum(k(X[:3], X[1:])))(kernel)  # noqa: E731
    one = run()
    monkeypatch.setattr(particle_batches, "_RUN", 16 * 3 * 32)
    monkeypatch.setattr(particle_batches, "_HELD", 2 * (5 * 3 * 32 + 32))
    particle_batches._estimate.clear_cache()
    two = run()
    particle_batches._estimate.clear_cache()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5), one, two)


@pytest.mark.slow
def test_groups_add_up_and_the_covariance_of_outputs_is_the_read_outs_part() -> None:
    one = lambda group: {"train": group.replace("R", ""), "train_readout": group == "R"}  # noqa: E731
    parts = [estimate("lstm", **one(group), particles=256, batches=2)[0] for group in "WUbR"]
    np.testing.assert_allclose(sum(parts), estimate("lstm", particles=256, batches=2)[0], rtol=1e-5)
    np.testing.assert_allclose(parts[3], estimate("lstm", kind="nngp", particles=256, batches=2)[0], rtol=1e-6)


@pytest.mark.slow
def test_half_precision_is_computed_in_single_and_rounded_once() -> None:
    kernel = make("gru", particles=256, batches=2)
    half = kernel.prepare(jnp.asarray(X, jnp.bfloat16))
    got = kernel.tile(half, half)
    assert got.dtype == jnp.bfloat16
    wanted = estimate("gru", particles=256, batches=2)[0]
    assert np.max(np.abs(np.asarray(got, np.float64) - wanted) / root(wanted)) < 0.03
