"""Does the interval of the exponent cover it, and does the verdict follow from the interval?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from ntkseq import empirical
from ntkseq.training.lazy_training import deviation, laziness

WIDTHS = np.array([64.0, 128.0, 256.0, 512.0])


def drawn(exponent: float, noise: float, seeds: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 3.0 * WIDTHS[:, None] ** exponent * np.exp(noise * rng.standard_normal((4, seeds)))


def test_slope_and_interval_are_those_of_a_textbook_regression():
    changes = drawn(-0.5, 0.2, 3)
    found = laziness(WIDTHS, changes, level=0.9)
    line = scipy.stats.linregress(np.repeat(np.log(WIDTHS), 3), np.log(changes).ravel())
    reach = scipy.stats.t.ppf(0.95, 10) * line.stderr
    assert found.slope == pytest.approx(line.slope, rel=1e-12)
    assert (found.lower, found.upper) == pytest.approx((line.slope - reach, line.slope + reach), rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("level", "seeds"), [(0.95, 1), (0.95, 3), (0.6, 2)])
def test_the_interval_covers_the_exponent_as_often_as_it_says(level: float, seeds: int):
    runs = 1500
    covered = 0
    for seed in range(runs):
        found = laziness(WIDTHS, drawn(-0.5, 0.3, seeds, seed), level=level)
        covered += found.lower <= -0.5 <= found.upper
    assert scipy.stats.binomtest(covered, runs, level).pvalue > 1e-3  # neither too narrow nor too wide


@pytest.mark.parametrize(
    ("exponent", "noise", "seeds", "verdict"),
    [
        (-0.5, 0.05, 2, "lazy"),
        (-0.45, 0.001, 2, "lazy"),  # near -1/2: finite widths
        (-1.0, 0.05, 2, "lazy"),  # steeper
        (0.0, 0.05, 2, "feature learning"),
        (-0.05, 0.001, 2, "feature learning"),  # hardly falls
        (0.3, 0.05, 2, "feature learning"),
        (-0.25, 0.01, 3, "undecided"),  # falls, slowly
        (-0.3, 1.5, 1, "undecided"),  # too few runs
    ],
)
def test_the_verdict_follows_from_the_interval(exponent: float, noise: float, seeds: int, verdict: str):
    found = laziness(WIDTHS, drawn(exponent, noise, seeds))
    lazy = found.lower <= -0.4 and found.upper < 0
    learns = found.lower > -0.4 and found.upper >= -0.1
    assert (lazy, learns) == (verdict == "lazy", verdict == "feature learning"), "the draw shows what it is for"
    assert found.verdict == verdict
    assert str(found).startswith(f"{verdict}: ")


def test_the_reason_tells_a_slow_fall_from_too_few_runs():
    assert "more slowly" in laziness(WIDTHS, drawn(-0.25, 0.01, 3)).reason
    assert "add seeds or widths" in laziness(WIDTHS, drawn(-0.3, 1.5, 1)).reason


def test_two_runs_have_a_slope_and_no_interval():
    found = laziness([100, 400], [0.4, 0.2])
    assert found.slope == pytest.approx(-0.5)
    assert np.isnan([found.lower, found.upper]).all()
    assert found.verdict == "undecided" and "no interval" in str(found)
    assert not np.isnan(laziness([100, 400], [[0.4, 0.41], [0.2, 0.19]]).lower), "two seeds give one"


def test_a_perfect_line_keeps_its_exponent_within_the_interval():
    rng = np.random.default_rng(0)
    for case in range(300):
        widths = np.cumsum(rng.integers(1, 300, 2 + case % 3))
        changes = 10.0 ** rng.uniform(-9, 9) * np.repeat(widths[:, None], 2, axis=1) ** -0.5  # no scatter
        found = laziness(widths, changes)
        assert found.lower <= -0.5 <= found.upper < -0.499999


@pytest.mark.slow
def test_networks_in_the_two_regimes_are_told_apart():
    """Two layers with a mean over 1/sqrt(width) (kernel regime) or 1/width (mean field), trained for the same time."""
    x = jax.random.normal(jax.random.key(0), (6, 3))
    y = jnp.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    sizes, changes = (32, 128, 512), {0.5: [], 1.0: []}
    for power, rows in changes.items():
        for width in sizes:
            scale = float(width) ** -power

            def f(params, x, scale=scale):
                return scale * (params["V"] @ jnp.tanh(params["W"] @ x))

            @jax.jit
            def train(params, f=f, rate=0.3 * width ** (2 * power - 1)):
                def loss(params):
                    return 0.5 * jnp.mean((jax.vmap(f, (None, 0))(params, x)[:, 0] - y) ** 2)

                def step(_, params):
                    return jax.tree.map(lambda leaf, slope: leaf - rate * slope, params, jax.grad(loss)(params))

                return jax.lax.fori_loop(0, 50, step, params)

            row = []
            for seed in range(4):
                keys = jax.random.split(jax.random.key(seed))
                start = {"W": jax.random.normal(keys[0], (width, 3)), "V": jax.random.normal(keys[1], (1, width))}
                K, after = (empirical.NTK(f, params)(x) for params in (start, train(start)))
                row.append(float(jnp.linalg.norm(after - K) / jnp.linalg.norm(K)))
            rows.append(row)
    assert laziness(sizes, changes[0.5]).verdict == "lazy"
    assert laziness(sizes, changes[1.0]).verdict == "feature learning"


def test_what_has_no_exponent_is_refused():
    with pytest.raises(ValueError, match="two different widths"):
        laziness([64, 64], [[0.1, 0.2], [0.1, 0.2]])
    with pytest.raises(ValueError, match=r"changes must be > 0; got 0.*nothing was trained"):
        laziness(WIDTHS, [0.1, 0.1, 0.0, 0.1])
    with pytest.raises(ValueError, match="changes must be finite"):
        laziness(WIDTHS, [0.1, 0.1, np.inf, 0.1])
    with pytest.raises(ValueError, match="widths must be > 0"):
        laziness([0, 64], [0.1, 0.1])
    with pytest.raises(ValueError, match="must have shape"):
        laziness(WIDTHS, [0.1, 0.2])
    with pytest.raises(ValueError, match="level"):
        laziness(WIDTHS, WIDTHS, level=1.0)


def test_a_deviation_is_relative_to_the_longest_output_of_the_run():
    linear = np.zeros((3, 4, 1))
    linear[1], linear[2] = 3.0, -1.0
    mine = linear.copy()
    mine[0, 0, 0] += 0.6
    mine[2, :, 0] += 0.3
    found = deviation(mine, linear)
    np.testing.assert_allclose(found.relative, [0.6 / 6, 0.0, 0.6 / 6])  # |linear[1]| = 6
    assert found.resolved.tolist() == [True, False, True]


def test_rounding_is_no_deviation_also_where_outputs_start_at_zero():
    rng = np.random.default_rng(0)
    linear = rng.standard_normal((5, 20, 2))
    linear[0] = 0.0  # such as the difference of two equal networks
    noise = 4 * float(np.finfo(np.float32).eps) * rng.uniform(-1, 1, linear.shape)
    found = deviation((linear + noise).astype(np.float32), linear)
    assert not found.resolved.any()
    assert deviation((linear + 100 * noise).astype(np.float32), linear).resolved.all()
    assert not deviation((linear + 100 * noise).astype(np.float32), linear, rounding=1e-3).resolved.any()


def test_outputs_that_left_the_range_have_no_deviation():
    linear = np.ones((3, 2, 1))
    mine = linear.copy()
    mine[2] = np.inf
    found = deviation(mine, linear)
    assert found.relative[:2].tolist() == [0.0, 0.0] and np.isnan(found.relative[2])
    assert not found.resolved.any()


def test_outputs_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        deviation(np.ones((3, 2, 1)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="floats"):
        deviation(np.ones((3, 2), int), np.ones((3, 2)))
    with pytest.raises(ValueError, match="linear not zero, at some record"):
        deviation(np.ones((3, 2)), np.zeros((3, 2)))
