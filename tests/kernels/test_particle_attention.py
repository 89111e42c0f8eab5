"""Are there as many heads as particles allow, of the sizes that their contraction asks for?"""

from __future__ import annotations

from ntkseq.kernels.particle_attention import sizes


def test_heads_share_the_particles_and_queries_come_in_whole_sets_of_them() -> None:
    for p in (2, 3, 6, 7, 16, 30, 64, 100, 127, 512, 4096):
        heads, d_k, d_v = sizes(p)
        assert heads * d_v == p and heads * d_k % p == 0 and d_k >= 1
    assert sizes(512) == (64, 64, 8)
    assert sizes(16) == (2, 8, 8) and sizes(7) == (1, 7, 7)
