"""Is the recurrent kernel the one of the theory, number by number and for every choice?"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import activations
from ntkseq.kernels import Recurrent
from ntkseq.kernels import recurrent as module
from tests import oracles

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden.json").read_text())

# One shape for nearly all tests: what compiles once is free afterwards.
N, T, D = np.meshgrid(np.arange(3), np.arange(4), np.arange(2), indexing="ij")
X = np.sin(1 + N + 2 * T + 3 * D) + 0.5 * np.cos(N * T + D)  # the inputs of golden.json
RAGGED = np.array([4, 2, 3])


def relative(got: Any, want: np.ndarray, left: np.ndarray | None = None, right: np.ndarray | None = None) -> float:
    """The largest difference over sqrt(K_ii K_jj); the diagonals of `want`, if not given. A zero example: 0 wanted."""
    left = np.diagonal(want) if left is None else left
    right = left if right is None else right
    root = np.sqrt(np.abs(np.outer(left, right)))
    return float(np.max(np.abs(np.asarray(got) - want) / np.where(root > 0, root, np.finfo(float).tiny)))


# --------------------------------------------------------------------------------------------------- golden numbers


def golden_kernel(row: dict[str, Any], **changes: Any) -> Recurrent:
    arguments = {**row["kernel"], **changes}
    if "train" in arguments and not isinstance(arguments["train"], str):
        arguments["train"] = tuple(arguments["train"])
    match arguments.get("activation"):
        case ["LeakyRelu", slope]:
            arguments["activation"] = activations.LeakyRelu(slope)
        case ["tanh", terms]:
            arguments["activation"] = activations.Smooth(jnp.tanh, terms=terms, parity="odd")
    if "preset" in row:
        return Recurrent.preset(row["preset"], **arguments)
    return Recurrent(**{**GOLDEN["scales"], **arguments})


@pytest.mark.slow(but=["relu, last, ragged"])
@pytest.mark.parametrize("row", GOLDEN["rows"], ids=lambda row: row["name"])
def test_golden_kernel(row: dict[str, Any], x64: None) -> None:
    x, lengths = X[:, :, : row.get("features", 2)], row.get("lengths")
    got = sum(
        factor * np.asarray(golden_kernel(row, **changes)(x, lengths=lengths))
        for factor, changes in [(f, {"read": read}) for read, f in row.get("combine", {}).items()] or [(1.0, {})]
    )
    want = np.zeros((3, 3))
    want[np.triu_indices(3)] = row["values"]
    want = np.triu(want) + np.triu(want, 1).T
    assert relative(got, want) < row["tolerance"]


def test_golden_kernel_between_every_two_steps_is_that_of_the_prefixes(x64: None) -> None:
    want = np.array(GOLDEN["steps_of_0_and_1"]["values"])  # (4, 4): step t of sequence 0, step s of sequence 1
    got = np.zeros((4, 4))
    kernel = Recurrent(**GOLDEN["scales"])
    for some in ([1, 2, 3], [2, 3, 4]):
        for others in ([1, 2, 3], [2, 3, 4]):
            block = kernel(X[[0, 0, 0]], X[[1, 1, 1]], lengths=np.array(some), lengths2=np.array(others))
            got[np.ix_(np.array(some) - 1, np.array(others) - 1)] = block
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12 * np.abs(want).max())


# ------------------------------------------------------------------------------------------------ loop over (t, s)

# static choices; what is a leaf (scales, lengths, inputs) is drawn at random below without another compile
CHOICES: tuple[dict[str, Any], ...] = (
    {},
    {"depth": 2, "read": "mean"},
    {"depth": 3},
    {"read": "sum", "train": "Wb", "h0": "shared"},
    {"read": "steps"},
    {"direction": "both", "h0": "independent", "read": "mean"},
    {"direction": "reversed", "depth": 2, "train": ("Ub", "WR"), "input_scale": "none"},
    {"param": "raw", "activation": "abs", "depth": 2},
    {"kind": "nngp", "activation": "leaky_relu", "h0": "shared"},
    {"activation": "erf", "param": "raw", "depth": 2, "read": "mean"},
    {"activation": "sin", "read": "steps", "h0": "independent"},
    {"activation": "gelu", "train": ("bR", "WU"), "depth": 2, "direction": "both"},
)


def agree_with_the_loop(choice: dict[str, Any], scales: dict[str, Any], seed: int, shape: tuple[int, ...]) -> None:
    n, m, t, d = shape
    draw = np.random.default_rng(seed)
    x1, x2 = draw.standard_normal((n, t, d)), draw.standard_normal((m, t, d))
    one, two = draw.integers(1, t + 1, n), draw.integers(1, t + 1, m)
    scale = 10.0 ** draw.uniform(-1, 1, (n, 1, 1))  # unequal norms
    arguments = {**choice, **scales}
    kernel = Recurrent(**arguments)
    name = arguments.pop("activation", "relu")
    loop = lambda *x, **k: oracles.recurrent(*x, **k, **arguments, dual=oracles.DUALS[name])  # noqa: E731
    square = loop(x1 * scale, lengths=one)
    assert relative(kernel(x1 * scale, lengths=one), square) < 1e-11
    across = loop(x1 * scale, x2, lengths=one, lengths2=two)
    got = kernel(x1 * scale, x2, lengths=one, lengths2=two)
    assert relative(got, across, np.diagonal(square), np.diagonal(loop(x2, lengths=two))) < 1e-11


@pytest.mark.slow(but=["steps"])
@pytest.mark.parametrize("choice", CHOICES, ids=lambda c: "-".join(map(str, c.values())) or "plain")
@hypothesis.settings(max_examples=10)
@hypothesis.given(
    seed=st.integers(0, 2**31),
    # below, squares may leave even the range of float64 and are refused: tests/contracts/test_scales.py
    sigma_w=st.just(0.0) | st.floats(1e-30, 2),
    sigma_u=st.floats(0.2, 2),
    sigma_b=st.just(0.0) | st.floats(1e-30, 1),
    sigma_h=st.just(0.0) | st.floats(1e-30, 2),
)
def test_kernel_equals_the_loop_over_all_pairs_of_steps(
    choice: dict[str, Any], seed: int, sigma_w: float, sigma_u: float, sigma_b: float, sigma_h: float
) -> None:
    scales = {"sigma_w": sigma_w, "sigma_u": sigma_u, "sigma_b": sigma_b, "sigma_h": sigma_h, "sigma_r": 0.7}
    with jax.enable_x64(True):
        agree_with_the_loop(choice, scales, seed, (3, 3, 4, 2))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_kernel_equals_the_loop_for_choices_and_shapes_drawn_at_random(seed: int, x64: None) -> None:
    draw = np.random.default_rng(seed)
    pick = lambda *words: words[draw.integers(len(words))]  # noqa: E731
    depth = int(draw.integers(1, 4))
    letters = lambda: "".join(g for g in "WUbR" if draw.random() < 0.6)  # noqa: E731
    choice = {
        "depth": depth,
        "train": pick("WUbR", letters(), tuple(letters() for _ in range(depth))),
        "activation": pick("relu", "relu", "leaky_relu", "abs", "identity", "erf", "sin", "cos", "gelu"),
        "read": pick(*module.READS),
        "direction": pick("forward", "reversed", "both"),
        "h0": pick("zero", "shared", "independent"),
        "input_scale": pick("dim", "none"),
        "kind": pick("ntk", "ntk", "nngp"),
        "param": pick("ntk", "raw"),
    }
    if not any("R" in part or set(part) & set("WUb") for part in choice["train"]):
        choice["train"] = "WUbR"
    several = lambda low, high: draw.uniform(low, high, depth if draw.random() < 0.5 else ())  # noqa: E731
    scales = {"sigma_w": several(0, 1.5), "sigma_u": several(0.3, 1.5), "sigma_b": several(0, 1), "sigma_r": 1.3}
    shape = (int(draw.integers(1, 4)), int(draw.integers(1, 4)), int(draw.integers(1, 8)), int(draw.integers(2, 20)))
    agree_with_the_loop(choice, {**scales, "sigma_h": draw.uniform(0, 1)}, seed, shape)


# ------------------------------------------------------------------------------------------------------ edge cases


@pytest.mark.slow
def test_silent_steps_contribute_nothing(x64) -> None:
    x = X.copy()
    x[0, 0] = x[1, :2] = 0  # recurrent 1.12: variance zero, with sigma_b = 0
    for read in ("last", "mean"):
        scales = {"sigma_w": 1.4, "sigma_u": 1.1, "sigma_r": 0.9}
        assert relative(Recurrent(read=read, **scales)(x), oracles.recurrent(x, read=read, **scales)) < 1e-11
    tail = Recurrent(**scales)(x[1:2], lengths=np.array([4]))
    np.testing.assert_allclose(
        tail, Recurrent(**scales)(np.roll(x[1:2], -2, axis=1), lengths=np.array([2])), rtol=1e-13
    )


def test_an_example_of_zeros_has_a_kernel_of_zero(x64) -> None:
    x = X.copy()
    x[1] = 0
    K = np.asarray(Recurrent()(x))
    assert np.all(K[1] == 0) and np.all(K[:, 1] == 0) and np.isfinite(K).all()


@pytest.mark.slow
def test_one_step_is_a_network_of_one_hidden_layer(x64) -> None:
    from ntkseq.kernels import Dense

    lengths = np.ones(3, int)
    for read in module.READS:
        got = Recurrent(sigma_u=1.1, sigma_b=0.3, read=read)(X, lengths=lengths)
        np.testing.assert_allclose(got, Dense(sigma_w=1.1, sigma_b=0.3)(X[:, 0]), rtol=1e-13)


def test_without_recurrent_weights_only_the_last_token_counts(x64) -> None:
    scales = {"sigma_w": 0.0, "sigma_u": 1.1, "sigma_b": 0.3}
    one = Recurrent(**scales)(X, lengths=RAGGED)
    only = X[np.arange(3), RAGGED - 1][:, None].repeat(4, axis=1)
    np.testing.assert_allclose(one, Recurrent(**scales)(only, lengths=np.ones(3, int)), rtol=1e-13)


def test_a_single_example_has_the_kernel_of_its_diagonal(x64) -> None:
    np.testing.assert_allclose(Recurrent()(X[:1]), [[float(Recurrent().diag(X)[0])]], rtol=1e-15)


@pytest.mark.slow(but=["last-forward"])
@pytest.mark.parametrize(("read", "direction"), [*((read, "forward") for read in module.READS), ("last", "both")])
def test_what_stands_behind_a_length_is_never_looked_at(read, direction) -> None:
    x = X.astype(np.float32)
    behind = np.arange(4)[None, :, None] >= RAGGED[:, None, None]
    kernel = Recurrent(read=read, direction=direction, sigma_b=0.3)
    clean = kernel(np.where(behind, 0, x), lengths=RAGGED)
    np.testing.assert_array_equal(kernel(np.where(behind, np.nan, x), lengths=RAGGED), clean)
    assert np.isfinite(clean).all()


@pytest.mark.slow
def test_padding_to_another_length_changes_nothing(x64) -> None:
    longer = np.pad(X, ((0, 0), (0, 3), (0, 0)), constant_values=7.0)
    for read in ("last", "mean"):
        kernel = Recurrent(read=read, sigma_b=0.3)
        np.testing.assert_allclose(kernel(longer, lengths=RAGGED), kernel(X, lengths=RAGGED), rtol=1e-13)


@pytest.mark.slow  # of W, U, b, V the golden numbers tell the same for relu
def test_the_groups_add_up(x64) -> None:
    for param in ("ntk", "raw"):
        kernel = Recurrent(sigma_w=1.4, sigma_b=0.3, activation="erf", depth=2, param=param)
        parts = sum(np.asarray(kernel.with_(train=group)(X)) for group in ("W", "U", "b", "R"))
        np.testing.assert_allclose(kernel(X), parts, rtol=1e-12)


def test_reversed_is_forward_on_reversed_sequences(x64) -> None:
    turned = np.stack([np.roll(row[::-1], int(n) - 4, axis=0) for row, n in zip(X, RAGGED, strict=True)])
    got = Recurrent(direction="reversed", sigma_b=0.3)(X, lengths=RAGGED)
    np.testing.assert_allclose(got, Recurrent(sigma_b=0.3)(turned, lengths=RAGGED), rtol=1e-13)
