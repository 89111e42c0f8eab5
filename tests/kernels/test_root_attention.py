"""Is attention with Gaussian scores the limit of its finite network, and is its sampling error stated honestly?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.blocks import Attention, LayerNorm, Linear, Residual
from ntkseq.kernels import matrix_normal, serial
from ntkseq.kernels.root_attention import seeded
from ntkseq.kernels.serial import Serial
from tests.kernels.test_attention import between_tokens
from tests.kernels.test_serial import RAGGED, X

DEEP = (Linear(), Residual(LayerNorm(), Attention(scaling="root", samples=128)), Linear(2**0.5), "relu")


def softmax(samples: int = 512, seed: int = 0, **arguments: Any) -> Serial:
    block = Attention(1.3, 0.99, scaling="root", samples=samples, seed=seed)
    return Serial(Linear(), block, **{"read": "mean"} | arguments)


def test_golden_relu_within_the_error_of_its_draws(x64: None) -> None:
    choice: dict[str, Any] = {"weights": "relu", "scaling": "root"}
    np.testing.assert_allclose(between_tokens("nngp", 3, **choice)[2], [0.3717, 0.1038, -0.0520], atol=4e-3)
    np.testing.assert_allclose(between_tokens("ntk", 3, **choice)[2], [2.268, 0.543, -0.574], atol=0.015)


@pytest.mark.slow
@pytest.mark.parametrize("skip", [False, True])
def test_features_and_pairs_are_one_kernel(skip: bool, x64: None, monkeypatch: pytest.MonkeyPatch) -> None:
    block = Attention(1.3, 0.9, 0.2, weights="identity", scaling="root", skip=skip, train="QVb")
    kernel = Serial(Linear(1.1, 0.3), block, Linear(0.7), read="mean")
    assert "pooled" in kernel.prepare(X, RAGGED)
    K = kernel(X, lengths=RAGGED)
    monkeypatch.setattr(serial, "_WIDEST", 0)
    jax.clear_caches()
    assert "pooled" not in kernel.prepare(X, RAGGED)
    np.testing.assert_allclose(kernel(X, lengths=RAGGED), K, rtol=1e-11, atol=1e-13)


@pytest.mark.slow
def test_golden_softmax_within_four_standard_errors(x64: None) -> None:
    recorded = np.array([[0.01926, 0.04283, 0.02385], [0.02948, 0.07351, 0.04301], [0.07590, 0.05204, 0.02127]])
    got = between_tokens("nngp", 3, scaling="root", samples=20_000)
    np.testing.assert_allclose(got, recorded, atol=2e-3)


@pytest.mark.slow
def test_padding_plays_no_role_and_the_matrix_is_symmetric(x64: None) -> None:
    kernel = softmax(64)
    K = kernel(X, lengths=RAGGED)
    moved = np.where(np.arange(X.shape[1])[None, :, None] < RAGGED[:, None, None], X, 7.0)
    np.testing.assert_allclose(kernel(moved, lengths=RAGGED), K, rtol=1e-12)
    longer = np.concatenate([X, np.full((len(X), 2, X.shape[2]), 3.0)], axis=1)
    np.testing.assert_allclose(kernel(longer, lengths=RAGGED), K, rtol=1e-9)
    np.testing.assert_allclose(K, K.T, rtol=1e-12)
    np.testing.assert_array_equal(kernel.diag(X, RAGGED), np.diagonal(K))


@pytest.mark.slow
def test_the_seed_decides_and_blocks_do_not_share_draws(x64: None) -> None:
    assert np.array_equal(softmax(64)(X), softmax(64)(X))
    assert not np.allclose(softmax(64)(X), softmax(64, seed=1)(X), rtol=1e-6)
    block = Attention(scaling="root")
    one, branch = seeded((block, Residual(block, Attention())))
    assert (one.seed, branch.blocks[0].seed, branch.blocks[1].seed) == (0, 1_000_003, 0)  # pyright: ignore


@pytest.mark.slow
def test_only_sampled_kernels_have_a_standard_error(x64: None) -> None:
    side = softmax(64).prepare(X)
    error = softmax(64).standard_error(side, side)
    assert error is not None and error.shape == (len(X), len(X)) and np.all(error > 0)
    exact = Serial(Linear(), Attention(weights="relu", scaling="root"))
    assert exact.standard_error(exact.prepare(X), exact.prepare(X)) is None
    assert exact.entry_rounding(exact.prepare(X)) < 1e-10 < softmax(64).entry_rounding(side)


@pytest.mark.slow
@pytest.mark.parametrize("parts", [(Linear(), Attention(1.3, 0.99, scaling="root", samples=128)), DEEP], ids=len)
def test_the_standard_error_is_that_of_repeated_draws(parts: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, x = Serial(*parts), jnp.asarray(X, jnp.float32)
    estimate, drawn = matrix_normal.estimate_pair, []
    again = lambda *arguments, key, **rest: estimate(*arguments, key=drawn[-1], **rest)  # noqa: E731
    monkeypatch.setattr(matrix_normal, "estimate_pair", again)

    @jax.jit  # the seed is a constant of the program: with the key as an argument 200 of them compile once
    def once(key: Any) -> Any:
        drawn.append(key)
        side = kernel.prepare(x)
        return kernel.tile(side, side), kernel.standard_error(side, side)

    jax.clear_caches()
    values, errors = zip(*[once(jax.random.key(seed)) for seed in range(200)], strict=True)
    jax.clear_caches()
    ratio = np.sqrt(np.mean(np.square(errors), axis=0)) / np.std(values, axis=0, ddof=1)
    assert np.all(ratio > 0.8) and np.all(ratio < 1.25)  # 200 seeds know a spread to five percent


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["softmax", "relu"])
def test_the_finite_network_tends_to_it(weights: str) -> None:
    x = jnp.asarray(X[:3], jnp.float32)
    kernel = Serial(Linear(), Attention(weights=weights, scaling="root", samples=8192))
    exact = np.asarray(kernel(x))
    net = kernel.finite(384)

    @jax.jit
    def tangent(key: jax.Array) -> jax.Array:
        params = net.init(key, x[0])
        grads = [jax.grad(lambda p, e=e: net.apply(p, e)[0])(params) for e in x]
        flat = jnp.stack([jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(g)]) for g in grads])
        return jnp.matmul(flat, flat.T, precision="highest")

    samples = np.stack([tangent(jax.random.key(seed)) for seed in range(16)])
    mean, error = samples.mean(axis=0), samples.std(axis=0, ddof=1) / 4
    assert np.linalg.norm(error) < 0.1 * np.linalg.norm(exact)
    assert np.all(np.abs(mean - exact) < 4 * error + 0.03 * np.abs(exact))
