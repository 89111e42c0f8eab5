"""Are the covers of attention heads what is proved on the page, and the numbers those of the theory file?"""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate

from ntkseq.bounds.attention_covers import (
    SCALES,
    Sizes,
    chained,
    norm_cover,
    psi,
    rank_complexity,
    readout_entropy,
    rounded_up,
    schatten_entropies,
)

W_1, W_2, V_11, W_11 = 1.5, math.sqrt(1.25), 1.1, 1.85
V_OP = np.linalg.norm([[0.5, 0.0], [0.2, 0.1], [0.0, 0.3]], 2)
W_OP = np.linalg.norm([[1.0, 0.2, 0.0], [0.0, 0.5, 0.1], [0.0, 0.0, 0.05]], 2)


def golden(n):
    return norm_cover(Sizes(3, 2, n), 1.0, 1.0, w_1=W_1, w_2=W_2, V_11=V_11, V_op=V_OP, W_11=W_11)


def test_the_norm_cover_has_the_numbers_of_the_theory_file():
    cover = golden(10**7)
    assert cover.Gamma == pytest.approx(107.27001005663517, rel=1e-12)
    assert cover.Lam == pytest.approx(7.118826249062077, rel=1e-12)
    assert cover.b_f == pytest.approx(0.6042375766148798, rel=1e-12)
    assert cover.complexity == pytest.approx(0.2072068374006303, rel=1e-12)
    assert golden(10**5).complexity == cover.b_f


@pytest.mark.parametrize(
    ("ranks", "value"), [((2, 3), 0.023484035255012546), ((1, 1), 0.015324797387719281), ((2, 1), 0.01809764375939308)]
)
def test_the_rank_complexity_has_the_numbers_of_the_theory_file(ranks, value: float):
    found = rank_complexity(Sizes(3, 2, 10**7), golden(1).b_f, W_OP, *ranks)
    assert float(found) == pytest.approx(value, rel=1e-12)


def test_psi_is_its_integral():
    assert float(psi(1.0)) == pytest.approx(1.3862943611198906, rel=1e-14)
    assert float(psi(6.0)) == pytest.approx(2.870814228018863, rel=1e-14)
    assert float(psi(12.0)) == pytest.approx(3.525461849543974, rel=1e-14)
    for c in (1e-3, 0.7, 40.0):
        assert float(psi(c)) == pytest.approx(scipy.integrate.quad(lambda u, c=c: math.log1p(c / u), 0, 1)[0], rel=1e-7)
    assert psi(np.array([0.0, 6.0])).tolist() == [0.0, float(psi(6.0))]


def test_gamma_is_the_least_over_how_eps_is_shared():
    """Sum of M_i^2 l_i/eps_i^2 under sum b_i eps_i = 1, by brute force over the shares."""
    parts = [(W_1, math.log(5), V_11), (V_11, math.log(13), W_2), (W_11, math.log(19), W_2 * V_OP)]
    shares = np.linspace(0.01, 0.98, 195)
    first, second = np.meshgrid(shares, shares)
    third = 1 - first - second
    with np.errstate(divide="ignore"):
        costs = sum(
            M**2 * log * b**2 / u**2
            for (M, log, b), u in zip(parts, (first, second, np.maximum(third, 0)), strict=True)
        )
    least = costs[third > 0].min()
    assert golden(1).Gamma <= least <= 1.001 * golden(1).Gamma


def test_the_average_of_few_corners_is_as_near_as_maurey_says():
    """A matrix of absolute sum M is within M/sqrt(q) of an average of q signed corners: the mean square over draws."""
    generator = np.random.default_rng(0)
    target = generator.normal(size=(4, 3))
    M = float(np.abs(target).sum())
    p = (np.abs(target) / M).ravel()
    for q in (1, 5, 40):
        draws = generator.choice(12, size=(4000, q), p=p)
        counts = np.stack([(draws == i).sum(axis=1) for i in range(12)], axis=1)
        gaps = M / q * counts * np.sign(target.ravel()) - target.ravel()
        square = np.sum(gaps**2, axis=1)
        exact = (M**2 - np.sum(target**2)) / q  # at most M^2/q
        assert square.mean() == pytest.approx(exact, abs=5 * square.std() / math.sqrt(4000))
        assert square.min() <= M**2 / q  # so one of the finitely many averages is that near


def test_the_norm_integral_is_not_below_the_integral_it_stands_for():
    cover = golden(10**9)
    a = 3 * math.sqrt(cover.Gamma / cover.n)
    exact = scipy.integrate.quad(lambda e: math.sqrt(cover.Gamma / e**2 + cover.Lam), a, cover.b_f)[0]
    by_hand = 4 * a + 12 / math.sqrt(cover.n) * exact
    assert by_hand <= cover.complexity <= 1.2 * by_hand


def test_the_rank_formula_is_not_below_the_chained_integral():
    """Cauchy-Schwarz gives the closed form; the numerical sum of the same entropy is at most that and not far below."""
    sizes, b_f = Sizes(6, 4, 10**8), 0.7
    entropy = readout_entropy(sizes) + 3 * 10 * np.log1p(12 / SCALES) + 2 * 12 * np.log1p(12 * 2.0 / SCALES)
    closed = float(rank_complexity(sizes, b_f, 2.0, 3, 2))
    assert 0.9 * closed <= chained(entropy, b_f, sizes.n) <= 1.02 * closed


def test_the_chained_sum_is_from_above():
    """Against the integral of an entropy that has a closed form, at every a the sum could choose."""
    n, b_f = 10**6, 0.5
    found = chained(4.0 / (b_f * SCALES) ** 2, b_f, n)
    eps = b_f * SCALES
    exact = np.min(4 * eps + 12 / math.sqrt(n) * 2 * np.log(b_f / eps))
    assert exact <= found <= 1.02 * exact


@pytest.mark.parametrize("p", [0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("part", ["V", "W"])
def test_the_schatten_rank_suffices_for_every_matrix(p: float, part: str):
    """Cut at the rank of the formula, no more than eta/2 is lost; one of the matrices needs that rank."""
    sizes = Sizes(8, 5, 100)
    columns = 5 if part == "V" else 8
    s = np.sort(np.random.default_rng(1).exponential(size=min(8, columns)))[::-1] ** 3
    s = s / s[0]
    norm, slope, b_f = float(np.sum(s**p) ** (1 / p)), 0.8, 400.0  # so large that rank 0 is enough for the largest eps
    entropy = schatten_entropies(sizes, part, slope, s[0], norm, p, b_f)
    eta = b_f * SCALES / (3 * slope)
    rank = np.rint(entropy / ((8 + columns) * np.log1p(8 * s[0] / eta))).astype(int)
    assert len(s) in rank and (p == 0.1 or 0 in rank)
    lost = np.append(s, 0.0)[rank]
    assert (lost <= eta / 2 * (1 + 1e-12)).all()
    assert (np.diff(entropy) >= 0).all()


def test_the_schatten_entropy_is_that_of_ranks_at_half_the_distance():
    """log N of rank r and norm op at eta/2 is r (rows + columns) log(1 + 4 op/(eta/2)), as for (attention.6)."""
    sizes, slope, op, norm, p, b_f = Sizes(7, 3, 10), 1.3, 0.9, 1.6, 0.7, 2.0
    found = schatten_entropies(sizes, "V", slope, op, norm, p, b_f)
    for i in (0, 100, 500, 1399):
        eta = b_f * SCALES[i] / 3 / slope
        rank = 0
        while (
            rank < 3 and norm * (rank + 1) ** (-1 / p) > eta / 2
        ):  # the first singular value left out may be this large
            rank += 1
        assert found[i] == pytest.approx(rank * 10 * math.log(1 + 4 * op / (eta / 2)), rel=1e-12)


def test_a_spectrum_that_falls_fast_is_worth_less_than_its_full_rank():
    sizes, s = Sizes(40, 40, 10**8), 10.0 ** -np.arange(40)
    at = {p: schatten_entropies(sizes, "V", 1.0, 1.0, float(np.sum(s**p) ** (1 / p)), p, 1.0) for p in (0.25, 0.5, 2.0)}
    found = {p: chained(readout_entropy(sizes) + entropy, 1.0, sizes.n) for p, entropy in at.items()}
    full = float(rank_complexity(sizes, 1.0, 0.0, 40, 0))
    assert found[0.25] < 0.75 * full and found[0.25] < found[2.0]


def test_a_point_of_a_net_keeps_rank_and_norm_and_is_near():
    """W = A B' with |A|, |B| <= sqrt(s): factors moved by eta/(2 sqrt s) inside their balls move W by at most eta."""
    generator = np.random.default_rng(3)
    for _ in range(300):
        d1, d2, r = generator.integers(2, 7, size=3)
        r = min(r, d1, d2)
        U, s, Vt = np.linalg.svd(generator.normal(size=(d1, d2)), full_matrices=False)
        s = s[:r]
        A, B = U[:, :r] * np.sqrt(s), Vt[:r].T * np.sqrt(s)
        eta = generator.uniform(0.01, 1) * s[0]
        moved = []
        for factor in (A, B):
            step = generator.normal(size=factor.shape)
            step *= eta / (2 * math.sqrt(s[0])) / np.linalg.norm(step, 2)
            u, singular, v = np.linalg.svd(factor + step, full_matrices=False)
            moved.append(u * np.minimum(singular, math.sqrt(s[0])) @ v)  # the nearest point of the ball: no farther
        gaps = [np.linalg.norm(a - b, 2) for a, b in zip(moved, (A, B), strict=True)]
        allowed = math.sqrt(s[0]) * sum(gaps)
        assert np.linalg.norm(moved[0] @ moved[1].T - A @ B.T, 2) <= allowed * (1 + 1e-9)
        assert np.linalg.norm(moved[0] @ moved[1].T, 2) <= s[0] * (1 + 1e-9)


def test_radii_are_not_below_norms_and_their_weights_add_up_to_one():
    grid = 2**0.125
    for norm in np.geomspace(1e-6, 1e6, 97):
        radius, cost = rounded_up(float(norm), grid)
        assert norm <= radius <= norm * grid * (1 + 1e-9)
        assert cost > 0
    j = np.arange(-200_000, 200_001)
    assert float(np.sum(2 / 3 / ((np.abs(j) + 1) * (np.abs(j) + 2)))) == pytest.approx(1, abs=1e-5)
    assert rounded_up(grid**5, grid) == (grid**5, pytest.approx(math.log(1.5 * 6 * 7)))
    assert rounded_up(0.0, 2.0)[0] == 2.0**-30


def test_complexities_fall_with_n_and_grow_with_norms_and_ranks():
    values = [golden(10**k).complexity for k in range(1, 12)]
    assert (np.diff(values) <= 0).all() and values[-1] < 0.01 * values[0]
    ranks = rank_complexity(Sizes(5, 4, 10**7), 1.0, 2.0, np.arange(1.0, 5)[:, None], np.arange(0.0, 6))
    assert (np.diff(ranks, axis=0) > 0).all() and (np.diff(ranks, axis=1) > 0).all()
    base = {"w_1": 1.0, "w_2": 0.7, "V_11": 2.0, "V_op": 0.9, "W_11": 1.5}
    for name in base:
        larger = base | {name: 1.3 * base[name]}
        sizes = Sizes(4, 3, 10**8)
        assert norm_cover(sizes, 1.0, 1.0, **larger).complexity > norm_cover(sizes, 1.0, 1.0, **base).complexity


def test_a_class_of_zero_has_no_complexity():
    assert norm_cover(Sizes(3, 2, 10), 1.0, 1.0, w_1=0, w_2=0, V_11=1, V_op=1, W_11=1).complexity == 0.0
    assert float(rank_complexity(Sizes(3, 2, 10), 0.0, 1.0, 1, 1)) == 0.0
