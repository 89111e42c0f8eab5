"""Do ranks and kernels at the start agree with closed forms, and do finite networks go to the limit?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import empirical, models
from ntkseq.grams import gram
from ntkseq.studies.attention_collapse.initial import (
    Shape,
    _attention,
    _finite_layers,
    _function,
    _start,
    limit_attention,
    limit_layers,
    measure,
)
from ntkseq.studies.tangent.inputs import Part

X = np.random.default_rng(0).standard_normal((5, 4, 3)).astype(np.float32)
PART = Part(X, np.arange(5) % 2, None)
SHAPES = [Shape(mask, skip) for mask in ("none", "causal") for skip in (False, True)]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_the_limit_of_attention_equals_its_loop_oracle(shape: Shape):
    x, sigma = X[0].astype(np.float64), 1.7
    t, d = x.shape
    kap = [[0.5 * sum(x[a] * x[b]) / d + (0.5 if a == b else 0) for b in range(t)] for a in range(t)]

    def normalised(k):
        return [[k[a][b] / ((k[a][a] + 1e-3) * (k[b][b] + 1e-3)) ** 0.5 for b in range(t)] for a in range(t)]

    kap = normalised(kap)
    for layer in limit_attention(shape, x, sigma, 3):
        A = np.zeros((t, t))
        for a in range(t):
            seen = range(a + 1) if shape.mask == "causal" else range(t)
            total = sum(np.exp(sigma * kap[a][c]) for c in seen)
            for c in seen:
                A[a, c] = np.exp(sigma * kap[a][c]) / total
        np.testing.assert_allclose(layer, A, rtol=1e-12)
        new = [
            [sum(A[a, c] * kap[c][e] * A[b, e] for c in range(t) for e in range(t)) for b in range(t)] for a in range(t)
        ]
        kap = normalised([[new[a][b] + (kap[a][b] if shape.skip else 0) for b in range(t)] for a in range(t)])


@pytest.mark.slow
@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[3]], ids=lambda shape: shape.name)
def test_attention_of_a_wide_network_goes_to_the_limit(shape: Shape):
    exact = np.stack([limit_attention(shape, x, 2.0, 2) for x in X])
    off = []
    for width in (32, 512):
        at = {"net": _start(shape, 2, width, PART, 0), "sigma": jnp.float32(2.0)}
        found = jax.vmap(lambda x, at=at, width=width: _attention(shape, 2, width)(at, x))(jnp.asarray(X))
        mean = np.stack([np.asarray(layer).mean(axis=1) for layer in found], axis=1)  # over heads
        off.append(np.sqrt(np.mean((mean - exact) ** 2)))
    assert off[1] < 0.6 * off[0] and off[1] < 0.04  # the root of 16 is 4; one network each


def test_without_mask_and_skip_attention_collapses_and_a_skip_or_sharp_scores_hold_it_up():
    flat, skip = (limit_layers(shape, PART, 0.5, 5) for shape in SHAPES[:2])
    sharp = limit_layers(SHAPES[0], PART, 50.0, 5)
    assert np.all(np.diff(flat.residual[:3]) < 0) and flat.residual[-1] < 1e-6
    assert flat.ranks["stable"][-1] == pytest.approx(1, abs=1e-5)
    assert skip.residual[-1] > 1e3 * flat.residual[-1]
    assert sharp.ranks["entropy"][-1] == pytest.approx(4, abs=1e-2)


@pytest.mark.slow
def test_finite_ranks_are_means_over_seeds_and_heads_of_the_matrices():
    shape, width = Shape("causal", False), 16
    nets = [_start(shape, 2, width, PART, seed) for seed in (0, 1)]
    found = _finite_layers(_attention(shape, 2, width), width, nets, 1.5, PART)
    residuals = np.zeros((2, 2))
    for i, net in enumerate(nets):
        for x in X:
            layers = models.Serial(*shape.parts(2, 1.5), width=width, heads=4).attention_weights(net, x)
            for k, layer in enumerate(layers):
                for A in np.asarray(layer, np.float64):
                    residuals[i, k] += np.linalg.norm(A - A.mean(axis=0)) / np.linalg.norm(A) / (4 * len(X))
    np.testing.assert_allclose(found.residual, residuals.mean(axis=0), rtol=1e-4)
    assert found.width == 16 and np.isfinite(found.spread).all()
    assert np.isnan(_finite_layers(_attention(shape, 2, width), width, nets[:1], 1.5, PART).spread).all()


@pytest.mark.slow
def test_one_program_for_all_temperatures_gives_the_kernel_of_the_network_with_that_scale():
    shape, width = Shape("none", True), 16
    net = _start(shape, 1, width, PART, 0)
    at = {"net": net, "sigma": jnp.float32(3.0)}
    one = gram(empirical.NTK(_function(shape, 1, width), at, trainable="net"), X)
    plain = models.Serial(*shape.parts(1, 3.0), width=width, heads=4)
    np.testing.assert_allclose(np.asarray(one), np.asarray(gram(empirical.NTK(plain.apply, net), X)), rtol=1e-4)


@pytest.mark.slow
def test_a_cell_holds_every_width_and_seed():
    cells = measure(Shape("none", False), PART, sigmas=(0.5, 4.0), depths=(1,), widths=(8,), seeds=2, seed=3)
    assert [cell.sigma for cell in cells] == [0.5, 4.0]
    for cell in cells:
        assert [(k.depth, k.width, k.seed) for k in cell.kernels] == [(1, None, None), (1, 8, 3), (1, 8, 4)]
        assert [one.width for one in cell.layers] == [None, 8] and len(cell.attention(8).residual) == 1
        limit = cell.limit(1)
        assert limit.distance == 0 and cell.finite(1, 8)[0].distance > 0.01
        assert limit.eigenvalues[-1] / limit.eigenvalues.mean() == pytest.approx(limit.least.estimate, rel=1e-5)
        assert limit.eigenvalues[-1] / limit.eigenvalues.mean() in limit.least
        share = limit.eigenvalues[1:]
        assert limit.rest.estimate == pytest.approx(share.sum() ** 2 / (share**2).sum(), rel=1e-4)


@pytest.mark.slow
def test_kernels_of_wide_networks_go_to_the_limit():
    (cell,) = measure(Shape("causal", True), PART, sigmas=(1.0,), depths=(1,), widths=(16, 512), seeds=4, seed=0)
    narrow, wide = (np.mean([k.distance for k in cell.finite(1, width)]) for width in (16, 512))
    assert wide < 0.35 * narrow and wide < 0.15  # the root of 32 is 5.7


@pytest.mark.slow
def test_sequences_of_several_lengths_are_those_cut_to_their_length():
    lengths = np.array([4, 2, 4, 3, 4], np.int32)
    ragged = Part(X.copy(), PART.y, lengths)
    ragged.x[np.arange(4) >= lengths[:, None]] = 7.0
    found = limit_layers(SHAPES[3], ragged, 1.0, 2)
    rows = []
    for x, size in zip(X, lengths, strict=True):
        A = limit_attention(SHAPES[3], x[:size], 1.0, 2)
        rows.append([np.linalg.norm(one - one.mean(axis=0)) / np.linalg.norm(one) for one in A])
    np.testing.assert_allclose(found.residual, np.mean(rows, axis=0), rtol=1e-12)
    nets = [_start(SHAPES[3], 2, 8, ragged, 0)]
    changed = Part(np.where((np.arange(4) < lengths[:, None])[..., None], X, np.float32(-3.0)), PART.y, lengths)
    one, two = (_finite_layers(_attention(SHAPES[3], 2, 8), 8, nets, 1.0, part) for part in (ragged, changed))
    np.testing.assert_array_equal(one.residual, two.residual)
