"""Are the kernels of all depths, made in one pass, those of the networks one by one?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.kernels import Dense, depths

X = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32) * 4
X[1], X[3] = 0.0, -X[2]
X[5] = X[4]


def published(x: np.ndarray, layers: int, frozen: int) -> np.ndarray:
    """The kernel by arc cosines, as the code beside arora2020harnessing has it, in float64."""
    S = x.astype(np.float64) @ x.astype(np.float64).T
    T = np.zeros_like(S)
    for layer in range(layers):
        if layer:
            size = np.sqrt(np.outer(np.diagonal(S), np.diagonal(S)))
            rho = np.clip(S / np.where(size > 0, size, 1), -1, 1)
            T = T * (np.pi - np.arccos(rho)) / (2 * np.pi)
            S = (rho * (np.pi - np.arccos(rho)) + np.sqrt(1 - rho**2)) * size / (2 * np.pi)
        if layer >= frozen:
            T = T + S
    return T


def test_every_depth_and_every_number_of_frozen_layers_is_the_published_recursion():
    for layers, each in enumerate(depths.frozen(X, 5), 1):
        assert len(each) == layers
        for frozen, K in enumerate(each):
            want = published(X, layers, frozen)
            assert K.dtype == np.float32
            np.testing.assert_allclose(K, want, atol=2e-6 * want.max())  # 16 roundings of float32


def test_inner_products_that_overflow_are_refused():
    with pytest.raises(ValueError, match=r"fit float32; got norms up to 1\.73e\+20"):
        next(depths.frozen(np.full((2, 3), 1e20, np.float32), 2))


@pytest.mark.slow
def test_they_are_the_dense_kernels_with_their_first_layers_frozen():
    each = list(depths.frozen(X, 4))
    for frozen in range(4):
        train = tuple("W" * (i >= frozen) + "R" * (i == 2) for i in range(3))
        want = np.asarray(Dense(depth=3, train=train, input_scale="none")(X))
        np.testing.assert_allclose(each[3][frozen], want, atol=2e-6 * want.max())
