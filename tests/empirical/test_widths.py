"""Is the slope over widths that of the draws, with an honest error, and what do heavy tails do?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import empirical, kernels
from tests.empirical.random_features import X, limit, make


@pytest.mark.slow
def test_the_kernel_of_networks_tends_to_the_infinite_one() -> None:
    kernel = kernels.Recurrent(sigma_w=1.2, sigma_b=0.3)
    x = jax.random.normal(jax.random.key(0), (3, 4, 2))

    def make(width: int, key: Any) -> Any:
        net = kernel.finite(width)
        return empirical.NTK(net.apply, net.init(key, x[0]))

    found = empirical.convergence(make, (32, 128), jax.random.split(jax.random.key(1), 24), x, kernel(x))
    assert abs(found.slope + 0.5) < 4 * found.slope_error and found.slope_error < 0.2
    assert found.deviation[1] < found.deviation[0] < 1


@pytest.mark.slow
def test_the_slope_is_within_its_error_and_the_error_honest() -> None:
    slopes, errors = [], []
    for seed in range(40):
        keys = jax.random.split(jax.random.key(seed), 6)
        found = empirical.convergence(make, (4, 16, 64), keys, X, limit())
        slopes.append(found.slope)
        errors.append(found.slope_error)
        assert "width^(" in str(found)
    pulls = (np.asarray(slopes) + 0.5) / np.asarray(errors)
    assert np.sqrt(np.mean(pulls**2)) < 1.25 and np.abs(pulls).max() < 4.5


def test_bad_input_is_named() -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    with pytest.raises(ValueError, match="different widths"):
        empirical.convergence(make, (4, 4), keys, X, limit())
    with pytest.raises(ValueError, match="must not vanish"):
        empirical.convergence(make, (4, 8), keys, X, np.zeros((4, 4)))
    with pytest.raises(ValueError, match="shape of the kernel"):
        empirical.convergence(make, (4, 8), keys, X, np.ones((3, 3)))
    with pytest.raises(ValueError, match="no deviation"):
        empirical.convergence(lambda width, key: lambda x: jnp.ones((4, 4)), (4, 8), keys, X, np.ones((4, 4)))
    found = empirical.convergence(make, (4, 8), keys, X, limit())
    with pytest.raises(ValueError, match="networks were drawn, 4, 8; got 16"):
        found.verdict(width=16)
    with pytest.raises(ValueError, match="error must be a finite number > 0"):
        found.verdict(error=0.0)


def test_heavy_tails_are_warned_of_and_the_verdict_says_why_it_states_no_width() -> None:
    def wild(width: int, key: Any) -> Any:  # log-normal: the mean is e^2 times the median, which is the limit
        size = jnp.exp(2.0 * jax.random.normal(key))
        kernels.Recurrent(sigma_w=1.5).finite(width)  # its warning is not repeated
        return lambda x: size * jnp.eye(2)

    keys = jax.random.split(jax.random.key(0), 40)
    with pytest.warns(empirical.HeavyTails, match="averages over networks have heavy tails at width 4, 8"):
        found = empirical.convergence(wild, (4, 8), keys, X, np.eye(2))
    told = found.verdict()
    assert found.heavy.all() and told.answer == "no" and np.isnan(told.needed)
    assert "heavy tails" in told.refused and "take larger widths" in str(told) and "see verdict()" in str(found)
    assert (told["median_low"] < 1).all() and (told["median_high"] > 1).all()  # where the mean is far from 1
    assert (told["mean"] > 2).all()


@pytest.mark.slow
def test_a_benign_case_gives_a_width_and_a_table() -> None:
    keys = jax.random.split(jax.random.key(0), 16)
    found = empirical.convergence(make, (16, 64, 256), keys, X, limit())
    told = found.verdict(error=0.05)
    # the root mean square distance is 0.78 / sqrt(width), from 4,000 networks of width 256
    assert told.needed_low < (0.78 / 0.05) ** 2 < told.needed_high and told.refused == ""
    assert not told["heavy"].any() and len(told) == 3 and list(told["width"]) == [16, 64, 256]
    np.testing.assert_allclose(told["mean"], found.sizes.mean(axis=1), rtol=1e-12)
    assert ((told["median_low"] <= told["median"]) & (told["median"] <= told["median_high"])).all()
    assert np.isinf(told["tail_high"]).all()  # 16 draws bound no 90 % quantile from above
    assert found.verdict(error=0.5).answer == "yes" and found.verdict(error=0.02, width=16).answer == "no"
    assert "from about width" in str(told) and "Is infinite width right for a network of width 256" in str(told)
    with pytest.raises(KeyError, match="no column 'medians'; there are width, mean"):
        told["medians"]
    assert "median" in told and set(told) == set(told.columns)
