"""Are the contractions of particles the sums that they stand for?"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.kernels import particle_pairs as pairs
from ntkseq.kernels.particle_pairs import Fed

rng = np.random.default_rng(0)


def stream(n: int, t: int, p: int, gates: int = 2) -> Fed:
    return Fed(*(jnp.asarray(rng.standard_normal((n, t, k))) for k in (p, gates * p)))


@pytest.mark.parametrize("p", [1, 5, 64])
def test_few_particles_are_all_paired_with_each_other(p, x64) -> None:
    left, right = stream(3, 4, p), stream(2, 5, p)
    wanted = np.einsum("ntp,msp,ntq,msq->nm", left.m, right.m, left.da, right.da) / p**2
    np.testing.assert_allclose(pairs.crossed(left, right), wanted, rtol=1e-12)


@pytest.mark.slow(but=["100"])
@pytest.mark.parametrize("p", [65, 100, 192])
def test_many_particles_are_paired_with_the_next_group(p, x64) -> None:
    left, right = stream(3, 2, p), stream(2, 3, p)
    groups = -(-p // 64)
    size = -(-p // groups)
    group = np.arange(p) // size
    near = (group[None, :] == (group[:, None] + 1) % groups).astype(float)  # rows: gradients; columns: states
    F, G = (np.einsum("ntgp,ntq->ngpq", np.reshape(s.da, (*s.m.shape[:2], 2, p)), s.m) for s in (left, right))
    wanted = np.einsum("ngpq,mgpq,pq->nm", F, G, near) / near.sum()
    np.testing.assert_allclose(pairs.crossed(left, right), wanted, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "formed"), [(3, 1 << 23), (130, 1 << 23), (130, 300)])
def test_a_set_with_itself_is_the_upper_triangle(n, formed, x64, monkeypatch) -> None:
    monkeypatch.setattr(pairs, "_FORMED", formed)
    one = stream(n, 2, 70)
    tokens = jnp.asarray(rng.standard_normal((n, 2, 3)))
    got = pairs.mirrored(pairs.crossed(one))
    np.testing.assert_allclose(got, pairs.crossed(one, one), rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(got, got.T)
    complete = pairs.mirrored(pairs.complete((tokens, one.da)))
    wanted = np.einsum("ntk,msk,ntq,msq->nm", tokens, tokens, one.da, one.da, optimize=True)
    np.testing.assert_allclose(complete, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("k", [1, 40])
def test_both_ways_of_the_complete_sum_are_one(k, x64) -> None:
    one, two = ((jnp.asarray(rng.standard_normal((n, 2, k))), stream(n, 2, 30).da) for n in (3, 4))
    wanted = np.einsum("ntk,msk,ntq,msq->nm", one[0], two[0], one[1], two[1])
    for got in (pairs.complete(one, two), pairs._by_steps(one, two)):
        np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-12)
