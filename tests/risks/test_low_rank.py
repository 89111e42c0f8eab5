"""Do coordinates act on each other through five numbers?"""

from __future__ import annotations

import numpy as np

from ntkseq.risks import low_rank, moments


def test_the_mixing_of_coordinates_is_that_of_the_moments():
    rng = np.random.default_rng(0)
    for _ in range(50):
        d, n1, n2 = (int(k) for k in rng.integers((2, 1, 1), (20, 9, 9)))
        lam = rng.random(d) * rng.choice([0.01, 1.0, 30.0])
        beta = rng.uniform(-2, 2) / lam.max()
        Q = moments.second(lam, beta, n1, n2, 0.1, np.ones(d)).Q
        P, M = low_rank.mixing(lam, beta, n1, n2)
        other = ~np.eye(d, dtype=bool)
        np.testing.assert_allclose((P @ M @ P.T)[other], Q[other], rtol=1e-12)
        np.testing.assert_allclose(M, M.T, rtol=1e-12)
