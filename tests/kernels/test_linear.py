"""Is the kernel of explicit features that of the recurrence without nonlinearity?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.kernels import Recurrent
from ntkseq.kernels.linear import LinearRecurrent

SCALES: dict[str, Any] = dict(sigma_w=1.4, sigma_u=1.1, sigma_b=0.3, sigma_r=0.9)
N, T, D = np.meshgrid(np.arange(3), np.arange(4), np.arange(2), indexing="ij")
X = np.sin(1 + N + 2 * T + 3 * D) + 0.5 * np.cos(N * T + D)  # the inputs of golden.json
RAGGED = np.array([4, 2, 3])


def relative(got: Any, want: Any, left: Any = None, right: Any = None) -> float:
    left = np.diagonal(want) if left is None else left
    right = left if right is None else right
    return float(np.max(np.abs(np.asarray(got) - np.asarray(want)) / np.sqrt(np.outer(left, right))))


CHOICES: list[dict[str, Any]] = [
    {},
    {"read": "mean", "train": "WbR", "input_scale": "none"},
    {"train": "W", "input_scale": "none"},
    {"train": "Ub"},
    {"train": "bR", "read": "sum"},
    {"kind": "nngp", "read": "mean", "train": "U"},
    {"sigma_w": 0.0},
]


@pytest.mark.slow
@pytest.mark.parametrize("lengths", [RAGGED, None], ids=["ragged", "equal"])
@pytest.mark.parametrize(
    "choice",
    CHOICES,
    ids=lambda c: "-".join(map(str, c.values())) or "plain",
)
def test_the_kernel_is_that_of_the_recurrence(choice: dict[str, Any], lengths: Any, x64: None) -> None:
    arguments = {**SCALES, **choice}
    kernel, recurrence = LinearRecurrent(**arguments), Recurrent(activation="identity", **arguments)
    want = recurrence(X, lengths=lengths)
    assert relative(kernel(X, lengths=lengths), want) < 1e-12
    two = np.array([2, 4])
    across = recurrence(X, X[:2] + 1, lengths=lengths, lengths2=two)
    diag = [np.diagonal(want), recurrence.diag(X[:2] + 1, two)]
    assert relative(kernel(X, X[:2] + 1, lengths=lengths, lengths2=two), across, *diag) < 1e-12


def test_golden_numbers(x64: None) -> None:
    values = [51.668070670118, 44.381913951563, 13.8792742140564, 55.8044796169173, 27.4462475136145, 25.7051706076766]
    np.testing.assert_allclose(np.asarray(LinearRecurrent(**SCALES)(X))[np.triu_indices(3)], values, rtol=1e-13)


def test_the_features_are_tokens_by_lag(x64: None) -> None:
    F = np.asarray(LinearRecurrent(**SCALES).features(X, RAGGED))
    assert F.shape == (3, 4 * 3)
    for i, length in enumerate(RAGGED):
        for k in range(4):
            want = np.sqrt(k + 2) * 1.4**k * 0.9 * (1.1 / np.sqrt(2)) * (X[i, length - 1 - k] if k < length else 0)
            np.testing.assert_allclose(F[i, 2 * k : 2 * k + 2], want, rtol=1e-14)
        np.testing.assert_allclose(
            F[i, 8:], np.sqrt(np.arange(4) + 2) * 1.4 ** np.arange(4) * 0.27 * (np.arange(4) < length)
        )


@pytest.mark.slow
def test_gradients_are_those_of_finite_differences(x64: None) -> None:
    value = lambda s, x: jnp.sum(LinearRecurrent(*s, read="mean", train="WbR")(x, lengths=RAGGED))  # noqa: E731
    for scales in (jnp.array([0.9, 1.1, 0.3, 0.8]), jnp.array([0.0, 1.0, 0.0, 1.0])):
        grads, dx = jax.grad(value, argnums=(0, 1))(scales, jnp.asarray(X))
        h = 1e-5
        for i in range(4):
            e = h * np.eye(4)[i]
            up, mid, down = (
                value(scales + e, X),
                value(scales, X),
                value(np.asarray(scales) - e, X) if scales[i] else None,
            )
            want = (up - down) / (2 * h) if down is not None else (up - mid) / h
            assert abs(grads[i] - want) < 1e-3 * max(1, abs(want))
        e = np.zeros_like(X)
        e[1, 1, 0] = h
        assert abs(dx[1, 1, 0] - (value(scales, X + e) - value(scales, X - e)) / (2 * h)) < 1e-7


@pytest.mark.slow
def test_nothing_behind_a_length_counts_and_the_diagonal_is_diag() -> None:
    x = np.random.default_rng(0).standard_normal((5, 6, 3)).astype(np.float32)
    lengths = np.array([6, 1, 3, 4, 2])
    dirty = x.copy()
    for i, length in enumerate(lengths):
        dirty[i, length:] = np.nan
    for read in ("last", "mean"):
        kernel = LinearRecurrent(sigma_b=0.2, read=read)
        got = kernel(dirty, lengths=lengths)
        np.testing.assert_array_equal(got, kernel(x, lengths=lengths))
        np.testing.assert_array_equal(np.diagonal(got), kernel.diag(x, lengths))
        alone = [kernel.diag(x[i : i + 1], lengths[i : i + 1])[0] for i in range(5)]
        np.testing.assert_array_equal(np.diagonal(got), alone)


@pytest.mark.slow(cases=["0.7-last", "0.7-mean", "0.7-sum", "1.0-last", "1.0-mean", "1.0-sum"])
@pytest.mark.parametrize("read", ["last", "mean", "sum"])
@pytest.mark.parametrize("sigma_w", [0.7, 1.0, 1.1])
def test_single_precision_is_within_the_rounding_that_it_states(read: str, sigma_w: float) -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((8, 64, 3)) * 10.0 ** rng.uniform(-2, 1, (8, 64, 1))
    x[1] = x[0] * (1 + 1e-4)
    x[2] -= x[2].mean(axis=0)  # tokens that cancel
    x = x.astype(np.float32)
    kernel = LinearRecurrent(sigma_w=sigma_w, sigma_b=0.1, read=read)
    got = np.asarray(kernel(x))
    with jax.enable_x64(True):
        want = kernel(x.astype(np.float64))
    error = relative(got.astype(np.float64), want)
    assert error < kernel.entry_rounding(kernel.prepare(x))
    assert error < 3e-6


def test_wrong_inputs_are_refused_at_the_door() -> None:
    with pytest.raises(ValueError, match='read="steps" has t\\^2 features'):
        LinearRecurrent(read="steps")
    with pytest.raises(ValueError, match="train must be"):
        LinearRecurrent(train="X")
    with pytest.raises(ValueError, match="overflow"):
        LinearRecurrent(sigma_w=10.0)(np.ones((1, 60, 1), np.float32))
    with pytest.raises(ValueError, match="got kind='nngp'"):
        LinearRecurrent(kind="nngp").finite(8)


def test_finite_is_the_recurrent_network_without_nonlinearity() -> None:
    net = LinearRecurrent(sigma_w=0.5, sigma_u=1.2, read="mean", train="WR", input_scale="none").finite(8)
    recurrence = Recurrent(sigma_w=0.5, sigma_u=1.2, read="mean", train="WR", input_scale="none", activation="identity")
    assert jax.tree.structure(net) == jax.tree.structure(recurrence.finite(8))
    assert (net.sigma_w, net.sigma_u, net.width) == (0.5, 1.2, 8)
