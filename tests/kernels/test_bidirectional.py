"""Is the kernel of deep bidirectional networks that of the theory, of half a loop each way, and of wide networks?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.kernels import Recurrent
from ntkseq.kernels.bidirectional import Bidirectional
from tests import oracles
from tests.models import explicit

SCALES: dict[str, Any] = dict(sigma_w=1.4, sigma_u=1.1, sigma_b=0.3, sigma_r=0.9)
X = explicit.sequences()  # the inputs of golden.json
RAGGED = np.array([4, 2, 3])


def relative(got: Any, want: Any) -> float:
    root = np.sqrt(np.diagonal(want))
    return float(np.max(np.abs(np.asarray(got, np.float64) - want) / np.outer(root, root)))


def loop(x: np.ndarray, lengths: np.ndarray, dual: oracles.Dual, depth: int, train: Any, read: str) -> np.ndarray:
    """Whole grids per layer by textbook covariances, each pair of sequences cut to its own lengths."""
    w, u, b, v = (SCALES[k] ** 2 for k in ("sigma_w", "sigma_u", "sigma_b", "sigma_r"))
    n, d = len(x), x.shape[2]
    letters = (train,) * depth if isinstance(train, str) else train
    K = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            one, two = x[i, : lengths[i]], x[j, : lengths[j]]
            # covariances of [one, two] with itself: the variances stand on the diagonals of the outer blocks
            C, T = (
                {k: p @ q.T / d for k, (p, q) in {"11": (one, one), "12": (one, two), "22": (two, two)}.items()},
                None,
            )
            for part in letters:
                out: list[Any] = []
                for order in (slice(None), slice(None, None, -1)):
                    new: dict[str, Any] = {}
                    p = variances(C["11"][order, order], dual, w, u, b)
                    q = variances(C["22"][order, order], dual, w, u, b)
                    for k, left, right, same in (("11", p, p, True), ("12", p, q, i == j), ("22", q, q, True)):
                        low = C[k][order, order]
                        tang = None if T is None else T[k][order, order]
                        new[k] = [a[order, order] for a in grid(low, tang, left, right, same, dual, part, w, u, b)]
                    out.append(new)
                halves = {k: [o[k] for o in out] for k in ("11", "12", "22")}
                C = {k: (f[0] + g[0]) / 2 for k, (f, g) in halves.items()}
                T = {k: (f[1] + g[1]) / 2 for k, (f, g) in halves.items()}
            f, g = halves["12"]
            values = [v / 2 * (("R" in letters[-1]) * a[0] + a[1]) for a in (f, g)]
            t, s = values[0].shape
            K[i, j] = {
                "mean": sum(a.sum() for a in values) / (t * s),
                "sum": sum(a.sum() for a in values),
                "last": values[0][-1, -1] + values[1][0, 0],
            }[read]
    return K


def variances(low: np.ndarray, dual: oracles.Dual, w: float, u: float, b: float) -> np.ndarray:
    p, before = np.zeros(len(low)), 0.0
    for t in range(len(low)):
        p[t] = w * before + u * low[t, t] + b
        before = dual(p[t], p[t], p[t], np.asarray(True))[0]
    return p


def grid(
    low: Any, tang: Any, p: Any, q: Any, same: bool, dual: oracles.Dual, train: str, w: float, u: float, b: float
) -> Any:
    """C and C' T of one direction, in its own order of steps."""
    C, slope, T = (np.zeros((len(p) + 1, len(q) + 1)) for _ in range(3))
    for t in range(1, len(p) + 1):
        for s in range(1, len(q) + 1):
            past, below = C[t - 1, s - 1], low[t - 1, s - 1]
            own = ("W" in train) * w * past + ("U" in train) * u * below + ("b" in train) * b
            T[t, s] = own + w * slope[t - 1, s - 1] * T[t - 1, s - 1] + (0 if tang is None else u * tang[t - 1, s - 1])
            c = w * past + u * below + b
            C[t, s], slope[t, s] = dual(np.asarray(c), p[t - 1], q[s - 1], np.asarray(same and t == s))
    return C[1:, 1:], (slope * T)[1:, 1:]


@pytest.mark.slow
def test_golden_numbers(x64: None) -> None:
    values = [
        2.78831925789018,
        1.74323207355081,
        1.33632665442749,
        2.54408835178667,
        1.37628950618465,
        1.62570423000999,
    ]
    np.testing.assert_allclose(np.asarray(Bidirectional(**SCALES)(X))[np.triu_indices(3)], values, rtol=1e-13)


CASES = [
    ("relu", 2, ("Ub", "WR"), "last"),
    ("erf", 3, ("WUb", "b", "UR"), "mean"),
    ("leaky_relu", 2, "WUbR", "sum"),
    ("cos", 2, "WU", "last"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "depth", "train", "read"), CASES)
def test_the_kernel_is_the_loop_over_whole_grids(name: str, depth: int, train: Any, read: str, x64: None) -> None:
    kernel = Bidirectional(**SCALES, activation=name, depth=depth, train=train, read=read)
    want = loop(X, RAGGED, oracles.DUALS[name], depth, train, read)
    assert relative(kernel(X, lengths=RAGGED), want) < 1e-12
    across = kernel(X[[0, 2]], X[[1, 1]], lengths=RAGGED[[0, 2]], lengths2=RAGGED[[1, 1]])
    np.testing.assert_allclose(np.asarray(across)[:, 0], want[[0, 2], 1], rtol=1e-11, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("read", ["last", "mean", "sum"])
@pytest.mark.parametrize("choice", [{}, {"activation": "erf", "train": "WbR"}, {"kind": "nngp"}], ids=str)
def test_one_layer_is_half_of_two_independent_networks(choice: dict[str, Any], read: str, x64: None) -> None:
    want = np.asarray(Recurrent(**SCALES, **choice, read=read, direction="both")(X, lengths=RAGGED)) / 2
    assert relative(Bidirectional(**SCALES, **choice, read=read, depth=1)(X, lengths=RAGGED), want) < 1e-13


@pytest.mark.parametrize(
    "choice",
    [
        pytest.param({"sigma_w": 1.4}, marks=pytest.mark.slow),
        pytest.param({"activation": "erf", "sigma_w": 1.5, "depth": 3}, marks=pytest.mark.slow),
        pytest.param({"activation": "gelu", "read": "last"}, marks=pytest.mark.slow),
        pytest.param({"activation": "abs", "sigma_w": 0.7, "depth": 3, "read": "last"}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_single_precision_is_within_the_rounding_that_it_states(choice: dict[str, Any]) -> None:
    kernel = Bidirectional(**{"sigma_b": 0.1, **choice})
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 10, 3)) * 10.0 ** rng.uniform(-2, 1, (6, 1, 1))
    x[1], x[3], x[5] = x[0] + 1e-3 * x[2], x[2] * (1 + 1e-5), x[4]
    x = x.astype(np.float32)
    got = np.asarray(kernel(x))
    with jax.enable_x64(True):
        want = np.asarray(kernel(x.astype(np.float64)))
    error = relative(got, want)
    assert error < kernel.entry_rounding(kernel.prepare(x))
    assert error < 3e-6 or choice.get("activation") == "erf"  # chaotic: what is stated is larger
    np.testing.assert_array_equal(np.diagonal(got), kernel.diag(x))
    np.testing.assert_array_equal(kernel.diag(x[2:4]), np.diagonal(got)[2:4])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "lengths"),
    [({}, None), ({"read": "last", "train": ("Wb", "UR")}, RAGGED), ({"activation": "erf", "read": "sum"}, RAGGED)],
)
def test_the_tangent_kernel_at_width_512_is_its_limit_within_the_error(options: dict[str, Any], lengths: Any) -> None:
    kernel = Bidirectional(**SCALES, **options)
    rest = () if lengths is None else (jnp.asarray(lengths),)
    x = jnp.asarray(X, jnp.float32)
    samples = explicit.over_seeds(kernel.finite(512), x, *rest, seeds=16)
    exact = np.asarray(kernel(x, lengths=lengths))
    assert np.abs(explicit.z_scores(samples, exact)).max() < 4
    assert explicit.relative(samples, exact) < 0.08


def test_wrong_inputs_are_refused_at_the_door() -> None:
    with pytest.raises(ValueError, match="sigma_w must be a number or 2 numbers"):
        Bidirectional(sigma_w=np.ones(3))
    with pytest.raises(ValueError, match="read must be one of"):
        Bidirectional(read="steps")
    with pytest.raises(ValueError, match="train must be"):
        Bidirectional(train=("W",))
    with pytest.raises(ValueError, match="got kind='nngp'"):
        Bidirectional(kind="nngp").finite(8)
