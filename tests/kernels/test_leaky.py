"""Is the kernel of leaky units that of the theory, of the loop over all pairs of steps, and of wide networks?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.kernels import Recurrent
from ntkseq.kernels.leaky import LeakyRecurrent
from tests import oracles
from tests.models import explicit

SCALES: dict[str, Any] = dict(sigma_w=1.4, sigma_u=1.1, sigma_b=0.3, sigma_r=0.9)
X = explicit.sequences()  # the inputs of golden.json
RAGGED = np.array([4, 2, 3])
GOLDEN = {
    "last": [3.39859895282677, 2.18495162881915,1.69404728143072, 2.86500708601499, 1.59347002746759, 1.68368438552115],
    "mean": [1.12275344874662, 0.83783222448748, .542288165068136, .91647199241828, .526783131711997, .476706073759102],
}  # fmt: skip


def relative(got: Any, want: Any) -> float:
    root = np.sqrt(np.diagonal(want))
    return float(np.max(np.abs(np.asarray(got, np.float64) - want) / np.outer(root, root)))


def loop(
    x: np.ndarray, lengths: np.ndarray, dual: oracles.Dual, keep: float, gate: float, train: str, read: str
) -> Any:
    """The backward form of the theory: adjoints D[t, s] from the read-out back to the first step."""
    n, d = len(x), x.shape[2]
    w, u, b, v = (SCALES[k] ** 2 for k in ("sigma_w", "sigma_u", "sigma_b", "sigma_r"))

    def forward(one: np.ndarray, two: np.ndarray, p: Any, q: Any, same: bool) -> Any:
        t, s = len(one), len(two)
        C, S, slope = (np.zeros((t + 1, s + 1)) for _ in range(3))
        for i in range(1, t + 1):
            if p is q and same:
                p[i] = w * C[i - 1, i - 1] + u * one[i - 1] @ one[i - 1] / d + b
            for j in range(1, min(s, i) + 1 if same else s + 1):
                S[i, j] = w * C[i - 1, j - 1] + u * one[i - 1] @ two[j - 1] / d + b
                a, slope[i, j] = dual(S[i, j], p[i], q[j], np.asarray(same and i == j))
                up = C[j, i - 1] if same and j > i - 1 else C[i - 1, j]
                C[i, j] = keep * up + keep * C[i, j - 1] - keep**2 * C[i - 1, j - 1] + gate**2 * a
                if same:
                    C[j, i], S[j, i], slope[j, i] = C[i, j], S[i, j], slope[i, j]
        return C, slope

    seqs = [x[i, : lengths[i]] for i in range(n)]
    variances = []
    for one in seqs:
        p = np.zeros(len(one) + 1)
        forward(one, one, p, p, True)
        variances.append(p)
    K = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            t, s = lengths[i], lengths[j]
            C, slope = forward(seqs[i], seqs[j], variances[i], variances[j], i == j)
            r, r2 = (np.eye(k)[-1] if read == "last" else np.full(k, 1 / k if read == "mean" else 1) for k in (t, s))
            D = np.zeros((t + 2, s + 2))
            for a in range(t, 0, -1):
                for c in range(s, 0, -1):
                    Z = w * gate**2 * slope[a + 1, c + 1] * D[a + 1, c + 1] if a < t and c < s else 0
                    D[a, c] = keep * (D[a + 1, c] + D[a, c + 1] - keep * D[a + 1, c + 1]) + Z + v * r[a - 1] * r2[c - 1]
                    own = ("W" in train) * w * C[a - 1, c - 1] + ("b" in train) * b
                    own += ("U" in train) * u * seqs[i][a - 1] @ seqs[j][c - 1] / d
                    K[i, j] += gate**2 * slope[a, c] * D[a, c] * own
            K[i, j] += ("R" in train) * v * r @ C[1:, 1:] @ r2
    return K


@pytest.mark.slow(but=["last"])
@pytest.mark.parametrize("read", ["last", "mean"])
def test_golden_numbers(read: str, x64: None) -> None:
    got = np.asarray(LeakyRecurrent(0.6, 0.7, **SCALES, read=read)(X))[np.triu_indices(3)]
    np.testing.assert_allclose(got, GOLDEN[read], rtol=1e-13)


CASES = [
    ("relu", "WUbR", "mean", RAGGED),
    ("abs", "bR", "last", RAGGED),
    ("erf", "WU", "sum", RAGGED),
    ("leaky_relu", "W", "last", np.full(3, 4)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "train", "read", "lengths"), CASES)
def test_the_kernel_is_the_backward_loop_over_all_pairs(
    name: str, train: str, read: str, lengths: Any, x64: None
) -> None:
    for keep, gate in ((0.6, 0.7), (1.0, 0.3)):
        kernel = LeakyRecurrent(keep, gate, **SCALES, activation=name, train=train, read=read)
        want = loop(X, lengths, oracles.DUALS[name], keep, gate, train, read)
        assert relative(kernel(X, lengths=lengths), want) < 1e-12
        across = kernel(X[[0, 2]], X[[1, 1]], lengths=lengths[[0, 2]], lengths2=lengths[[1, 1]])
        np.testing.assert_allclose(np.asarray(across)[:, 0], want[[0, 2], 1], rtol=1e-11)


LIMITS: list[Any] = [
    ({"read": "mean"}, RAGGED),
    *[
        pytest.param({"activation": a, "read": r, "train": "WbR"}, RAGGED, marks=pytest.mark.slow)
        for a in ("leaky_relu", "erf", "cos", "tanh")
        for r in ("last", "sum")
    ],
    pytest.param({"input_scale": "none", "kind": "nngp"}, None, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("choice", "lengths"), LIMITS)
def test_without_leak_it_is_the_elman_network(choice: dict[str, Any], lengths: Any, x64: None) -> None:
    want = np.asarray(Recurrent(**SCALES, **choice)(X, lengths=lengths))
    assert relative(LeakyRecurrent(0.0, 1.0, **SCALES, **choice)(X, lengths=lengths), want) < 1e-12


def near_duplicates(seed: int, t: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((6, t, 3)) * 10.0 ** rng.uniform(-2, 1, (6, 1, 1))
    x[1], x[3], x[5] = x[0] + 1e-3 * x[2], x[2] * (1 + 1e-5), x[4]
    return x.astype(np.float32)


@pytest.mark.parametrize(
    "choice",
    [
        pytest.param({"keep": 0.6, "gate": 0.7, "sigma_w": 1.4}, marks=pytest.mark.slow),
        *[
            pytest.param(c, marks=pytest.mark.slow)
            for c in (
                {"keep": 1.0, "gate": 0.3, "read": "mean"},
                {"activation": "erf", "keep": 0.9, "gate": 0.5, "sigma_w": 2.0},
                {"activation": "sin", "keep": 0.5, "gate": 1.0, "sigma_w": 1.5, "read": "mean"},
                {"activation": "gelu", "keep": 0.3, "gate": 0.7},
                {"activation": "leaky_relu", "keep": 0.2, "gate": 0.9, "sigma_w": 1.5, "read": "sum"},
            )
        ],
    ],
    ids=str,
)
def test_single_precision_is_within_the_rounding_that_it_states(choice: dict[str, Any]) -> None:
    kernel = LeakyRecurrent(**{"sigma_b": 0.1, **choice})
    for seed in range(3):
        x = near_duplicates(seed, 12)
        got = np.asarray(kernel(x), np.float64)
        with jax.enable_x64(True):
            want = np.asarray(kernel(x.astype(np.float64)))
        error = relative(got, want)
        assert error < kernel.entry_rounding(kernel.prepare(x))
        apart = np.abs(np.subtract.outer(np.arange(6) // 2, np.arange(6) // 2)) > 0  # no near-duplicates
        root = np.sqrt(np.diagonal(want))
        assert np.max(apart * np.abs(got - want) / np.outer(root, root)) < 1e-5


@pytest.mark.slow
def test_gradients_are_those_of_finite_differences(x64: None) -> None:
    value = lambda s, x: jnp.sum(LeakyRecurrent(*s, read="mean")(x, lengths=RAGGED))  # noqa: E731
    scales, x, h = jnp.array([0.6, 0.7, 1.4, 1.1, 0.3, 0.9]), jnp.asarray(X), 1e-6
    grads, dx = jax.grad(value, argnums=(0, 1))(scales, x)
    for i, e in enumerate(h * np.eye(6)):
        assert abs(grads[i] - (value(scales + e, x) - value(scales - e, x)) / (2 * h)) < 1e-6 * abs(grads[i])
    e = np.zeros_like(X)
    e[1, 1, 0] = h
    assert abs(dx[1, 1, 0] - (value(scales, x + e) - value(scales, x - e)) / (2 * h)) < 1e-6


@pytest.mark.slow
def test_nothing_behind_a_length_counts_and_the_diagonal_is_diag() -> None:
    x = near_duplicates(0, 5)
    lengths = np.array([5, 1, 3, 4, 2, 5])
    dirty = x.copy()
    for i, length in enumerate(lengths):
        dirty[i, length:] = np.nan
    kernel = LeakyRecurrent(sigma_w=1.4, sigma_b=0.1)
    got = np.asarray(kernel(dirty, lengths=lengths))
    np.testing.assert_array_equal(got, kernel(x, lengths=lengths))
    np.testing.assert_array_equal(np.diagonal(got), kernel.diag(x, lengths))
    np.testing.assert_array_equal(kernel.diag(x[2:4], lengths[2:4]), np.diagonal(got)[2:4])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "lengths"),
    [
        ({}, None),
        ({"read": "mean", "train": "WbR"}, RAGGED),
        ({"activation": "erf", "read": "sum"}, RAGGED),
        ({"keep": 1.0, "gate": 0.3}, None),
    ],
)
def test_the_tangent_kernel_at_width_512_is_its_limit_within_the_error(options: dict[str, Any], lengths: Any) -> None:
    kernel = LeakyRecurrent(**{"keep": 0.6, "gate": 0.7, **SCALES, **options})
    rest = () if lengths is None else (jnp.asarray(lengths),)
    x = jnp.asarray(X, jnp.float32)
    samples = explicit.over_seeds(kernel.finite(512), x, *rest, seeds=16)
    exact = np.asarray(kernel(x, lengths=lengths))
    assert np.abs(explicit.z_scores(samples, exact)).max() < 4
    assert explicit.relative(samples, exact) < 0.06


def test_wrong_inputs_are_refused_at_the_door() -> None:
    with pytest.raises(ValueError, match="keep must be a finite number >= 0"):
        LeakyRecurrent(keep=-0.1)
    with pytest.raises(ValueError, match="gate must be a number"):
        LeakyRecurrent(gate=None)
    with pytest.raises(ValueError, match="read must be one of"):
        LeakyRecurrent(read="steps")
    with pytest.raises(ValueError, match="overflow"):
        LeakyRecurrent(keep=100.0)(np.ones((1, 12, 1), np.float32))
    with pytest.raises(ValueError, match="got kind='nngp'"):
        LeakyRecurrent(kind="nngp").finite(8)
