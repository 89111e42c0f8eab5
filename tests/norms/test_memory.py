"""Is the memory of the kernel per token the golden one, and the law what it tends to?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntkseq import kernels
from ntkseq.norms.memory import memory_profile
from ntkseq.norms.tokens import Tokens

PAPER = kernels.Recurrent.preset("allen-zhu-li")


@pytest.mark.parametrize(
    ("t", "first", "last"), [(4, 7.4, 24), (8, 59, 65), (16, 1.3e3, 139), (32, 1.3e5, 301), (64, 1.3e8, 686)]
)
def test_inverse_shares_are_the_golden_numbers(t, first, last):
    share = memory_profile(PAPER, Tokens.declared([1.0] * t, common=[1.0] + [0.0] * (t - 1))).share
    assert share[0] == 0.0
    assert 1 / share[1] == pytest.approx(first, rel=0.05)
    assert 1 / share[-1] == pytest.approx(last, rel=0.02)


@pytest.mark.parametrize("c", [0.0, 0.25, 0.75])
def test_the_law_has_the_exponent_that_long_sequences_show(c):
    profile = memory_profile(PAPER, Tokens.declared([1.0] * 200, common=[c] * 200))
    assert profile.law is not None
    assert math.log(profile.whole) / math.log(profile.law) == pytest.approx(1, abs=0.09)
    assert "asymptotic" in str(profile)


def test_decay_is_the_product_of_the_plain_recursion():
    t, rho, covariance = 6, [], 0.0
    for step in range(1, t + 1):
        rho.append(covariance / step)
        covariance = step * (math.sqrt(1 - rho[-1] ** 2) + rho[-1] * (math.pi - math.acos(rho[-1]))) / math.pi
    k0 = [(math.pi - math.acos(r)) / math.pi for r in rho]
    profile = memory_profile(PAPER, Tokens.declared([1.0] * t))
    np.testing.assert_allclose(profile.decay, [math.prod(k0[s + 1 :]) for s in range(t)], rtol=1e-12)
    assert profile.whole == pytest.approx(math.prod(k0), rel=1e-12)


def test_small_later_tokens_keep_the_memory_bounded():
    for t in (16, 64):
        tokens = Tokens.declared([1.0] + [t**-1.5] * (t - 1), common=[1.0] + [0.0] * (t - 1))
        profile = memory_profile(PAPER, tokens)
        assert -0.291 <= math.log(profile.whole) <= -0.280
        assert profile.law is None and "does not apply" in str(profile)


def test_the_law_is_only_given_where_it_was_derived():
    tokens = Tokens.declared([1.0] * 4)
    assert memory_profile(PAPER, tokens).law is not None
    assert memory_profile(PAPER.with_(sigma_w=1.2), tokens).law is None
    assert memory_profile(PAPER.with_(sigma_b=0.1), tokens).law is None
    assert memory_profile(PAPER.with_(depth=2, train="W"), tokens).law is None


def test_a_kernel_that_is_zero_has_no_memory_profile():
    with pytest.raises(ValueError, match="two steps at least"):
        memory_profile(PAPER, Tokens.declared([1.0]))
