"""Are the exact formula and the published means of finite networks those of networks that are drawn?"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import blocks, kernels
from ntkseq.activations import LeakyRelu
from ntkseq.cells import Elman
from ntkseq.empirical import HeavyTails, linear_excess


def pairings(places: list[int]) -> Iterator[list[tuple[int, int]]]:
    if not places:
        yield []
        return
    for k in range(1, len(places)):
        for rest in pairings(places[1:k] + places[k + 1 :]):
            yield [(places[0], places[k]), *rest]


def by_pairings(n: int, t: int, real: bool) -> float:
    """E tr W^t (W^t)^* / n by Wick: the sum over all pairings of n^(free indices - t - 1)."""
    size, total = 2 * t, 0.0
    ends = [(m, (m + 1) % size) if m < t else ((m + 1) % size, m) for m in range(size)]
    for pairing in pairings(list(range(size))):
        if not real and any((a < t) == (b < t) for a, b in pairing):
            continue  # E W W = 0: a complex entry meets its conjugate only
        labels = list(range(size))
        for (a, b), side in itertools.product(pairing, (0, 1)):
            old, new = labels[ends[a][side]], labels[ends[b][side]]
            labels = [new if label == old else label for label in labels]
        total += float(n) ** (len(set(labels)) - t - 1)
    return total


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_the_formula_is_the_sum_over_pairings_and_a_real_matrix_has_more(n: int) -> None:
    for t in range(1, 5):
        exact = by_pairings(n, t, real=False)
        assert linear_excess(n, t) == pytest.approx(exact, rel=1e-13)
        real = by_pairings(n, t, real=True)
        assert real >= exact
        polynomial = {2: (2,), 3: (10, 4), 4: (28, 28, 48)}.get(t, ())  # finite_width.3
        assert real == pytest.approx(1 + sum(c / n ** (k + 2) for k, c in enumerate(polynomial)), rel=1e-13)


def test_one_unit_by_hand_and_the_published_points() -> None:
    for t in range(8):
        assert linear_excess(1, t) == pytest.approx(math.factorial(t), rel=1e-12)  # E |w|^2t, w complex Gaussian
    for n, t in ((64, 6), (128, 8), (512, 16), (2048, 32)):
        assert 1.009 < linear_excess(n, t) < 1.018
    assert linear_excess(512, 64) == pytest.approx(6.66, abs=0.005)
    z = 64**2 / (2 * 10**6)
    assert linear_excess(10**6, 64) == pytest.approx(math.sinh(z) / z, rel=1e-4)
    assert linear_excess(10**12, 3) == 1.0 and linear_excess(10, 10**5) == math.inf
    with pytest.raises(ValueError, match="width must be an integer >= 1"):
        linear_excess(0, 3)
    with pytest.raises(ValueError, match="steps must be an integer >= 0"):
        linear_excess(3, -1)


@pytest.mark.parametrize(("n", "t"), [(8, 2), (8, 5), (16, 6), (24, 10)])
def test_the_formula_is_the_mean_of_complex_matrices_that_are_drawn(n: int, t: int) -> None:
    rng = np.random.default_rng(n + t)
    W = (rng.standard_normal((4000, n, n)) + 1j * rng.standard_normal((4000, n, n))) / (2 * n) ** 0.5
    h = np.broadcast_to(np.eye(n, 1), (4000, n, 1))
    for _ in range(t):
        h = W @ h
    sizes = np.sum(np.abs(h) ** 2, axis=(1, 2))
    assert abs(sizes.mean() - linear_excess(n, t)) < 4 * sizes.std() / 4000**0.5


def test_the_network_of_a_critical_relu_recurrence_warns() -> None:
    with pytest.warns(HeavyTails, match="width 64 have heavy tails after some 8 steps"):
        kernels.Recurrent(sigma_w=2**0.5).finite(64)
    with pytest.warns(HeavyTails):
        kernels.Recurrent(sigma_w=(1.0, np.float32(2**0.5)), depth=2).finite(64)
    inner = blocks.Residual(blocks.Recurrent(Elman(sigma_w=1.5)), blocks.Linear())
    with pytest.warns(HeavyTails, match="width 16 have heavy tails after some 4 steps"):
        kernels.Serial(blocks.Linear(), inner).finite(16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kernels.Recurrent(sigma_w=1.4).finite(64)
        jax.eval_shape(lambda s: kernels.Recurrent(sigma_w=s).finite(64).sigma_w, jnp.float32(2.0))
        kernels.Serial(blocks.Recurrent(Elman("erf", 3.0)), blocks.Recurrent(Elman(sigma_w=1.4))).finite(16)
        kernels.Recurrent(sigma_w=3.0, activation="erf").finite(64)


def tied_relu(n: int, t: int, count: int) -> np.ndarray:
    """|u_t|^2 / |u_0|^2 of u_t = W relu(u_{t-1}), entries of W of variance 2/n."""
    rng, sizes = np.random.default_rng(n), []
    for _ in range(count):
        W = rng.standard_normal((n, n), dtype=np.float32) * np.float32((2 / n) ** 0.5)
        u = start = rng.standard_normal(n, dtype=np.float32)
        for _ in range(t):
            u = W @ np.maximum(u, 0)
        sizes.append(u @ u / (start @ start))
    return np.array(sizes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "published", "error", "count"),
    [(64, 147, 30, 4000), (128, 13, 2, 2000), (256, 4.5, 0.7, 1000), (512, 2.1, 0.2, 300), (1024, 1.2, 0.1, 100)],
)
def test_the_published_means_of_tied_relu_networks(n: int, published: float, error: float, count: int) -> None:
    sizes = tied_relu(n, 16, count)
    assert abs(sizes.mean() - published) < 4 * math.hypot(error, sizes.std() / count**0.5)
    if n >= 256:
        assert 0.8 < np.median(sizes) < 1.1


PUBLISHED = {  # arXiv 2508.11522: limits of T00 and T01, and their means at width 20 with standard errors
    "relu": ("relu", 0.0, (2.6765104430302884, 0.99886503184261), (2.67757, 0.93473), (0.00138, 0.00132)),
    "leaky": (LeakyRelu(0.1), 0.1, (2.7576113859645495, 0.6944513450769862), (2.75917, 0.63682), (0.00140, 0.00132)),
}
POINTS = np.array([(-0.9895229339599609, -0.5992491841316223), (-0.17877478897571564, 2.253682851791382)])


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_limit_of_a_feed_forward_network(name: str) -> None:
    activation, _, limit, _, _ = PUBLISHED[name]
    with jax.enable_x64(True):
        kernel = kernels.Dense(sigma_w=2**0.5, sigma_r=2**0.5, depth=3, activation=activation, train="WR")
        K = np.asarray(kernel(jnp.asarray(POINTS))) / 2  # gradients without the variance C_W = 2
    np.testing.assert_allclose(K[0], limit, rtol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_means_of_feed_forward_networks(name: str) -> None:
    _, slope, limit, mean, errors = PUBLISHED[name]
    rng, n, samples = np.random.default_rng(0), 20, []
    for _ in range(40):
        W = [rng.standard_normal((4000, *shape)) * 2**0.5 for shape in ((n, 2), (n, n), (n, n), (1, n))]
        a, slopes = [np.broadcast_to(POINTS.T, (4000, 2, 2))], []
        for one in W[:-1]:
            z = one @ a[-1] / a[-1].shape[1] ** 0.5
            slopes.append(np.where(z > 0, 1.0, slope))
            a.append(z * slopes[-1])
        T, delta = 0.0, np.ones((4000, 1, 2))
        for k in range(3, -1, -1):
            width = a[k].shape[1]
            T = T + np.sum(delta[..., :1] * delta, axis=1) * np.sum(a[k][..., :1] * a[k], axis=1) / width
            if k:
                delta = slopes[k - 1] * (np.swapaxes(W[k], 1, 2) @ delta) / width**0.5
        samples.append(T)
    T = np.concatenate(samples)
    own = T.std(axis=0) / len(T) ** 0.5
    assert (np.abs(T.mean(axis=0) - mean) < 4 * np.hypot(errors, own)).all()
    assert abs(T[:, 0].mean() - limit[0]) < 4 * own[0] and limit[1] - T[:, 1].mean() > 5 * own[1]
