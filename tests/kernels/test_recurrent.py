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

from ntkseq import activations, kernels
from ntkseq.kernels import Recurrent
from ntkseq.kernels import recurrent as module
from tests import oracles

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden.json").read_text())

# One shape for nearly all tests: what compiles once is free afterwards.
I, T, D = np.meshgrid(np.arange(3), np.arange(4), np.arange(2), indexing="ij")
X = np.sin(1 + I + 2 * T + 3 * D) + 0.5 * np.cos(I * T + D)  # the inputs of golden.json
RAGGED = np.array([4, 2, 3])


def relative(got: Any, want: np.ndarray, scale: np.ndarray | None = None) -> float:
    """The largest difference over sqrt(K_ii K_jj)."""
    scale = want if scale is None else scale
    root = np.sqrt(np.abs(np.diagonal(scale)))
    return float(np.max(np.abs(np.asarray(got) - want) / np.outer(root, root)))


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
    {"direction": "reversed", "depth": 2, "train": ("Ub", "WV"), "input_scale": "none"},
    {"param": "raw", "activation": "abs", "depth": 2},
    {"kind": "nngp", "activation": "leaky_relu", "h0": "shared"},
    {"activation": "erf", "param": "raw", "depth": 2, "read": "mean"},
    {"activation": "sin", "read": "steps", "h0": "independent"},
    {"activation": "gelu", "train": ("bV", "WU"), "depth": 2, "direction": "both"},
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
    root = np.sqrt(np.outer(np.diagonal(square), np.diagonal(loop(x2, lengths=two))))
    got = kernel(x1 * scale, x2, lengths=one, lengths2=two)
    assert np.max(np.abs(np.asarray(got) - across) / root) < 1e-11


@pytest.mark.parametrize("choice", CHOICES, ids=lambda c: "-".join(map(str, c.values())) or "plain")
@hypothesis.settings(max_examples=10)
@hypothesis.given(
    seed=st.integers(0, 2**31),
    sigma_w=st.floats(0, 2),
    sigma_u=st.floats(0.2, 2),
    sigma_b=st.floats(0, 1),
    sigma_h=st.floats(0, 2),
)
def test_kernel_equals_the_loop_over_all_pairs_of_steps(
    choice: dict[str, Any], seed: int, sigma_w: float, sigma_u: float, sigma_b: float, sigma_h: float
) -> None:
    scales = {"sigma_w": sigma_w, "sigma_u": sigma_u, "sigma_b": sigma_b, "sigma_h": sigma_h, "sigma_v": 0.7}
    with jax.enable_x64(True):
        agree_with_the_loop(choice, scales, seed, (3, 3, 4, 2))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_kernel_equals_the_loop_for_choices_and_shapes_drawn_at_random(seed: int, x64: None) -> None:
    draw = np.random.default_rng(seed)
    pick = lambda *words: words[draw.integers(len(words))]  # noqa: E731
    depth = int(draw.integers(1, 4))
    letters = lambda: "".join(g for g in "WUbV" if draw.random() < 0.6)  # noqa: E731
    choice = {
        "depth": depth,
        "train": pick("WUbV", letters(), tuple(letters() for _ in range(depth))),
        "activation": pick("relu", "relu", "leaky_relu", "abs", "identity", "erf", "sin", "cos", "gelu"),
        "read": pick(*module.READS),
        "direction": pick("forward", "reversed", "both"),
        "h0": pick("zero", "shared", "independent"),
        "input_scale": pick("dim", "none"),
        "kind": pick("ntk", "ntk", "nngp"),
        "param": pick("ntk", "raw"),
    }
    if not any("V" in part or set(part) & set("WUb") for part in choice["train"]):
        choice["train"] = "WUbV"
    several = lambda low, high: draw.uniform(low, high, depth if draw.random() < 0.5 else ())  # noqa: E731
    scales = {"sigma_w": several(0, 1.5), "sigma_u": several(0.3, 1.5), "sigma_b": several(0, 1), "sigma_v": 1.3}
    shape = (int(draw.integers(1, 4)), int(draw.integers(1, 4)), int(draw.integers(1, 8)), int(draw.integers(2, 20)))
    agree_with_the_loop(choice, {**scales, "sigma_h": draw.uniform(0, 1)}, seed, shape)
