"""Is the exact risk at every horizon that of the recursion, and of what the recursion stands for?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq import risks
from ntkseq.risks import MixedRegression
from ntkseq.risks.population import BLOCK
from tests.risks.problems import golden


def some(seed: int, d: int = 12) -> MixedRegression:
    rng = np.random.default_rng(seed)
    lam = [rng.random(d), np.arange(1.0, d + 1) ** -2, np.exp(-0.6 * np.arange(d)), 2.0 ** -np.arange(d)][seed % 4]
    lam = lam * rng.choice([0.01, 1.0, 30.0])
    rates = rng.uniform(-2, 2, 2) / lam.max()
    sizes = (int(k) for k in rng.integers(1, 20, 3))
    problem = MixedRegression(
        lam, rng.normal(size=d), rng.random(d), rng.random(),
        **dict(zip(("n1", "n2", "m"), sizes, strict=True)), beta_tr=rates[0], beta_te=rates[1],
    )  # fmt: skip
    return problem.with_(alpha=problem.alpha_max * rng.choice([0.001, 0.1, 0.5, 0.95]))


def looped(problem: MixedRegression, steps: int, start: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """The double sum over pairs of iterates, E delta_s delta_t = a^(t-s) c_s, with all of the matrix Q."""
    alpha, mu, Q = problem.alpha, problem.mu_tr, problem.moments.Q
    c = [start]
    for _ in range(steps - 1):
        c.append((1 - 2 * alpha * mu) * c[-1] + alpha**2 * (Q @ c[-1] + noise))
    a, found = 1 - alpha * mu, []
    for T in range(1, steps + 1):
        pairs = sum(a ** abs(t - s) * c[min(s, t)] for s in range(T) for t in range(T))
        found.append(0.5 * float(problem.mu_te @ pairs) / T**2)
    return np.array(found)


def test_risks_are_the_numbers_of_the_theory_file():
    curve = risks.risk(golden(), 1000)
    for T, bias, variance in (
        (1, 0.50345703125, 0.0),
        (2, 0.49538903359698283, 3.623699234397101e-05),
        (10, 0.4379525597821502, 3.6200990136847345e-04),
        (50, 0.2672919525187828, 0.0011622932238473127),
        (500, 0.025920920092058698, 0.0007244393716348775),
    ):
        assert curve.bias[T - 1] == pytest.approx(bias, rel=1e-12)
        assert curve.variance[T - 1] == pytest.approx(variance, rel=1e-12)
    assert (curve.stopping(0.1), curve.stopping(0.01), curve.stopping(1e-9)) == (189, 861, None)
    assert risks.limit(golden()) == pytest.approx(0.4843125386166703, rel=1e-12)
    small = risks.limit(golden(alpha=1e-9))
    assert small == pytest.approx(0.4767579929803916, rel=1e-7)


def test_the_trade_off_in_the_inner_rate_is_that_of_the_theory_file():
    lam = np.array([1.0] * 6 + [0.1] * 54)
    start = np.where(lam == 1, 0.3 / np.sqrt(6), 0.3 / np.sqrt(54))
    problem = MixedRegression(lam, start, np.sqrt(0.05), 1.0, n1=20, n2=5, m=20, beta_te=0.2, alpha=0.03)
    rates = [-0.6, -0.4, -0.2, 0, 0.2, 0.4, 0.6, 0.8, 0.95]
    found = risks.grid(problem, [200], {"beta_tr": rates})
    bias = [
        0.00238286586315535, 0.002590846279751923, 0.0028749323134513766, 0.0033754807655291203,
        0.0044410404890054085, 0.006547951658341495, 0.009063970206823145, 0.00942287818107107, 0.007798866587128942,
    ]  # fmt: skip
    variance = [
        0.008562196818315115, 0.007208023825799529, 0.0064457449652959254, 0.006185518885260864,
        0.00633788752961013, 0.00667927012568521, 0.007027840968867919, 0.008000048086832126, 0.009558139129955807,
    ]  # fmt: skip
    np.testing.assert_allclose(found.bias[:, 0], bias, rtol=1e-10)
    np.testing.assert_allclose(found.variance[:, 0], variance, rtol=1e-10)
    assert rates[int(np.argmin(found.total[:, 0]))] == -0.2


@pytest.mark.slow(but=["1"])
@pytest.mark.parametrize("seed", range(8))
def test_blocks_of_steps_are_the_double_sum_over_iterates(seed: int):
    problem, none = some(seed), np.zeros(12)
    curve = risks.risk(problem, 70)
    assert BLOCK < 70
    np.testing.assert_allclose(curve.bias, looped(problem, 70, problem.start**2, none), rtol=1e-10)
    np.testing.assert_allclose(curve.variance, looped(problem, 70, none, problem.moments.pi), rtol=1e-10)


@pytest.mark.parametrize("steps", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_a_longer_run_begins_like_a_shorter_one(steps: int):
    long, short = risks.risk(some(1), 4 * BLOCK), risks.risk(some(1), steps)
    assert short.total.shape == (steps,)
    np.testing.assert_allclose(short.bias, long.bias[:steps], rtol=1e-12)
    np.testing.assert_allclose(short.variance, long.variance[:steps], rtol=1e-12)


def test_without_an_inner_step_it_is_averaged_sgd_on_regression():
    """With whole matrices, not in the basis of Sigma: E[S C S] = (1 + 1/n2) Sigma C Sigma + tr(Sigma C) Sigma/n2."""
    rng = np.random.default_rng(3)
    d, n2, alpha, noise, T = 4, 3, 0.1, 0.7, 40
    root, tasks = rng.normal(size=(2, d, d)) / 2
    Sigma, tasks, start = root @ root.T, tasks @ tasks.T, rng.normal(size=d)
    problem = MixedRegression.of(Sigma, start, tasks, noise=noise, n1=5, n2=n2, m=2, beta_te=0.0, alpha=alpha)
    assert problem.beta_tr == 0

    def squared(C: np.ndarray) -> np.ndarray:
        return (1 + 1 / n2) * Sigma @ C @ Sigma + np.trace(Sigma @ C) * Sigma / n2

    added = alpha**2 * (squared(tasks) + noise**2 / n2 * Sigma)
    C, cross, both, found = np.outer(start, start), np.zeros((d, d)), np.zeros((d, d)), []
    for t in range(T):
        both = both + C + cross + cross.T
        found.append(0.5 * np.trace(Sigma @ both) / (t + 1) ** 2)
        cross = (np.eye(d) - alpha * Sigma) @ (cross + C)  # sum over s <= t of E delta_{t+1} delta_s'
        C = C - alpha * (Sigma @ C + C @ Sigma) + alpha**2 * squared(C) + added
    np.testing.assert_allclose(risks.risk(problem, T).total, found, rtol=1e-11)


def test_units_of_the_inputs_do_not_matter():
    problem, k = golden(), 7.0
    scaled = problem.with_(
        spectrum=k * problem.spectrum, start=problem.start / np.sqrt(k), spread=problem.spread / np.sqrt(k),
        alpha=problem.alpha / k, beta_tr=problem.beta_tr / k, beta_te=problem.beta_te / k,
    )  # fmt: skip
    np.testing.assert_allclose(risks.risk(scaled, 100).bias, risks.risk(problem, 100).bias, rtol=1e-12)
    np.testing.assert_allclose(risks.risk(scaled, 100).variance, risks.risk(problem, 100).variance, rtol=1e-12)


def test_horizons_times_risk_tend_to_their_limit():
    problem = golden(alpha=0.5)
    assert 10**5 * risks.risk(problem, 10**5).variance[-1] == pytest.approx(risks.limit(problem), rel=1e-3)


def test_a_step_size_of_zero_stays_at_the_start():
    problem = golden(alpha=0.0)
    curve = risks.risk(problem, 100)
    np.testing.assert_allclose(curve.bias, 0.5 * np.sum(problem.mu_te * problem.start**2), rtol=1e-13)
    assert not curve.variance.any() and curve.stable and risks.limit(problem) == np.inf


def test_an_unstable_step_size_is_said_and_never_ends_in_nan():
    problem = golden(alpha=3.0)
    curve = risks.risk(problem, 5000)
    assert not curve.stable and not np.isnan(curve.total).any() and curve.total[-1] == np.inf
    assert risks.limit(problem) == np.inf
    assert curve.total[20] > curve.total[10] > curve.total[1]


def test_a_grid_is_its_problems_one_by_one():
    problem = golden()
    found = risks.grid(problem, [1, 7, 80], {"beta_tr": [-0.3, 0.5], "n2": [1, 4], "alpha": [0.01, 0.1, 2.0]})
    assert found.total.shape == (2, 2, 3, 3) and found.stable.shape == (2, 2, 3)
    for index in np.ndindex(2, 2, 3):
        i, j, k = index
        one = problem.with_(beta_tr=[-0.3, 0.5][i], n2=[1, 4][j], alpha=[0.01, 0.1, 2.0][k])
        curve = risks.risk(one, 80)
        np.testing.assert_array_equal(found.total[index], curve.total[[0, 6, 79]])
        assert found.stable[index] == curve.stable
    assert found.stable.any() and not found.stable.all()


def test_grids_and_horizons_that_make_no_sense_are_refused():
    for horizons in ([0, 1], [2, 2], [], [[1]], [1.5]):
        with pytest.raises(ValueError, match="horizons"):
            risks.grid(golden(), horizons, {"alpha": [0.1]})
    for axes in ({"spectrum": [1.0]}, {"alpha": 0.1}, {"alpha": []}):
        with pytest.raises(ValueError, match="axes"):
            risks.grid(golden(), [1], axes)
    with pytest.raises(ValueError, match="steps"):
        risks.risk(golden(), 0)
    with pytest.raises(ValueError, match="eps"):
        risks.risk(golden(), 5).stopping(0.0)
