"""Is the expected loss of a Gaussian prediction what integration says, and never below it for what is uncertain?"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from ntkseq.bounds.gibbs_losses import (
    Argmax,
    Clipped,
    Gaussians,
    GibbsLoss,
    LipschitzLoss,
    ZeroOne,
    clipped_moment,
    normal_pieces,
    trapezoid,
)


def known(mean: list[float], variance: list[float], off: float = 0.0, variance_off: float = 0.0) -> Gaussians:
    n = len(mean)
    return Gaussians(np.array(mean), np.array(variance), np.full(n, off), np.full(n, variance_off))


def integrated(function, m: float, v: float) -> float:
    s = np.sqrt(v)
    edges = [m - 10 * s, *sorted({-1.0, 0.0, 1.0} & {x for x in (-1.0, 0.0, 1.0) if abs(x - m) < 10 * s}), m + 10 * s]
    density = lambda x: function(x) * np.exp(-0.5 * ((x - m) / s) ** 2) / (s * np.sqrt(2 * np.pi))  # noqa: E731
    return sum(scipy.integrate.quad(density, a, b, limit=200)[0] for a, b in itertools.pairwise(edges))


@pytest.mark.parametrize("power", [1, 2, 4])
@pytest.mark.parametrize(("off", "s"), [(0.0, 0.3), (0.7, 0.01), (-0.4, 2.0), (3.0, 1.0), (0.999, 1e-4), (-9.0, 4.0)])
def test_a_clipped_moment_is_its_integral_to_the_rounding_it_states(power: int, off: float, s: float):
    value, error = clipped_moment(np.array([off]), np.array([s]), power)
    exact = integrated(lambda x: min(1.0, abs(x) ** power), off, s * s)
    assert abs(value[0] - exact) <= error[0] + 1e-9


def test_without_variance_a_loss_is_that_of_the_mean():
    f, y = known([0.2, -3.0], [0.0, 0.0]), np.array([0.5, 1.0])
    assert Clipped(1).upper(f, y) == pytest.approx([0.3, 1.0])
    assert Clipped(2).upper(f, y) == pytest.approx([0.09, 1.0])
    assert ZeroOne().upper(f, np.array([1.0, 1.0])).tolist() == [0.0, 1.0]


def test_the_sign_of_zero_is_wrong():
    assert ZeroOne().upper(known([0.0], [0.0]), np.array([1.0])).tolist() == [1.0]


BINARY: list[GibbsLoss] = [
    ZeroOne(),
    ZeroOne(0.7),
    Clipped(1),
    Clipped(2),
    LipschitzLoss(lambda f, y: np.minimum(1, np.abs(f - y)), 1.0),
]


@pytest.mark.slow(cases=["LipschitzLoss-lipschitz"])
@pytest.mark.parametrize("loss", BINARY, ids=lambda one: f"{type(one).__name__}-{one.name}")
def test_upper_and_second_are_above_what_any_exact_prediction_gives(loss: GibbsLoss):
    rng = np.random.default_rng(0)
    for _ in range(40):
        m, v = float(rng.normal()), float(rng.uniform(0.05, 1.0))
        off, vo = float(rng.choice([0.0, 1e-3, 0.1])), float(rng.choice([0.0, 1e-3, 0.04]))
        y = np.array([float(rng.choice([-1.0, 1.0]))])
        f = known([m], [v], off, vo)
        exact_m, exact_v = m + off * rng.uniform(-1, 1), v + vo * rng.uniform(-1, 1)
        if isinstance(loss, ZeroOne):
            found = loss.upper(f, y, np.array([0.5]))
            truth = second = scipy.stats.norm.cdf((loss.margin * 0.5 - y[0] * exact_m) / np.sqrt(exact_v))
        else:
            power = 2 if isinstance(loss, Clipped) and loss.power == 2 else 1
            found = loss.upper(f, y)
            truth = integrated(lambda x: min(1.0, abs(x) ** power), exact_m - y[0], exact_v)  # noqa: B023
            second = integrated(lambda x: min(1.0, abs(x) ** (2 * power)), exact_m - y[0], exact_v)  # noqa: B023
        assert found[0] >= truth - 1e-9
        assert loss.second(f, y)[0] >= (0 if isinstance(loss, ZeroOne) else second) - 1e-9
        if off == vo == 0.0:
            assert found[0] <= truth + 0.005


def test_medians_of_equal_parts_are_as_far_from_a_normal_as_stated():
    nodes, distance = normal_pieces(16)
    z = np.sort(np.random.default_rng(0).standard_normal(400_000))
    moved = np.abs(z - nodes[(np.arange(len(z)) * 16) // len(z)]).mean()
    assert distance == pytest.approx(moved, rel=0.02)
    assert normal_pieces(512)[1] < 0.01


def test_a_loss_that_leaves_its_range_is_refused():
    with pytest.raises(ValueError, match=r"losses in \[0, 1\]"):
        LipschitzLoss(lambda f, y: 2.0 + 0 * f, 1.0).upper(known([0.0], [1.0]), np.array([1.0]))


@pytest.mark.parametrize("k", [2, 3, 10])
def test_the_chance_to_win_is_that_of_draws(k: int):
    rng = np.random.default_rng(k)
    mean = rng.standard_normal((3, k))
    f = Gaussians(mean, np.array([0.5, 2.0, 0.01]), np.zeros(3), np.zeros(3))
    y = np.eye(k)[[0, 1, k - 1]]
    drawn = mean + np.sqrt(f.variance)[:, None] * rng.standard_normal((200_000, 3, k))
    wrong = (drawn.argmax(axis=2) != y.argmax(axis=1)).mean(axis=0)
    assert np.abs(Argmax().upper(f, y) - wrong).max() < 5e-3


def test_two_classes_by_the_larger_are_one_by_the_sign():
    f = Gaussians(np.array([[0.3, -0.2]]), np.array([0.4]), np.zeros(1), np.zeros(1))
    sign = known([0.5], [0.8])  # the difference of the two
    assert Argmax().upper(f, np.array([[1.0, 0.0]])) == pytest.approx(ZeroOne().upper(sign, np.ones(1)), abs=2e-10)


def test_errors_of_many_outputs_only_raise_the_chance_to_lose():
    rng = np.random.default_rng(1)
    mean, y = rng.standard_normal((5, 4)), np.eye(4)[[0, 1, 2, 3, 0]]
    raised = Argmax().upper(Gaussians(mean, np.full(5, 0.3), np.full(5, 0.05), np.full(5, 0.02)), y)
    for _ in range(20):
        moved = mean + rng.uniform(-0.05, 0.05, mean.shape)
        exact = Gaussians(moved, 0.3 + rng.uniform(-0.02, 0.02, 5), np.zeros(5), np.zeros(5))
        assert (Argmax().upper(exact, y) <= raised + 1e-12).all()


def test_the_trapezoidal_rule_is_off_by_less_than_stated():
    for k in (2, 30, 200):
        step, error = trapezoid(k)
        z = np.arange(-9.0, 9.0 + step, step)
        fine = np.arange(-9.0, 9.0, step / 16)

        def rule(at: np.ndarray, h: float, power: int = k - 1) -> float:
            height = np.exp(-0.5 * at * at) * scipy.stats.norm.cdf(at + 0.3) ** power
            return float(np.sum(height) * h / np.sqrt(2 * np.pi))

        assert abs(rule(z, step) - rule(fine, step / 16)) <= error


@pytest.mark.parametrize(("loss", "y"), [(ZeroOne(), [0.0, 1.0]), (Argmax(), [[1.0, 1.0]]), (Argmax(), [[1.0], [1.0]])])
def test_labels_that_do_not_fit_are_named(loss: GibbsLoss, y: list):
    assert loss.check(np.array(y)).startswith("y must hold")
    assert loss.check(np.array(y)).endswith("; got shape (2, 1), pass y[:, 0]") == (np.shape(y) == (2, 1))
