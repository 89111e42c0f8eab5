"""Do the certified bounds hold in worlds of which the risk is known exactly?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from tests.bounds import worlds

PLAYED: dict[str, Callable[[np.random.Generator], worlds.Case]] = {
    "every_step": worlds.every_step,
    "meta_kernel": worlds.meta_kernel,
    "attention_norm": partial(worlds.attention, which="norm"),
    "attention_rank": partial(worlds.attention, which="rank"),
    "attention_schatten": partial(worlds.attention, which="schatten"),
    "frozen_attention": worlds.frozen,
}


def _play(name: str, cases: int, seed: int) -> list[worlds.Case]:
    return [PLAYED[name](np.random.default_rng([seed, case])) for case in range(cases)]


def _violations(played: list[worlds.Case]) -> list[str]:
    return [f"case {i}: risk {c.risk} above\n{c.bound}" for i, c in enumerate(played) if c.violated]


@pytest.mark.slow(but=["every_step", "meta_kernel"])
@pytest.mark.parametrize("name", PLAYED)
def test_no_certified_bound_is_below_the_exact_risk(name: str):
    assert not _violations(_play(name, 15, 0))


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAYED)
def test_no_certified_bound_is_below_the_exact_risk_in_many_worlds(name: str):
    played = _play(name, 250, 1)  # each was played 2,000 times by hand: none violated
    assert not _violations(played)
    assert np.mean([c.bound.certified for c in played]) > 0.5  # the others are singular, with reg = 0
