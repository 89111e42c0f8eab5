"""Is the least of many bounds paid for, and nothing else?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ntkseq import bounds
from ntkseq.bounds import LearnedPrior, Prior, Search

RNG = np.random.default_rng(0)
X = RNG.standard_normal((100, 4))
Y = np.sign(X[:, 0])
GRAMS = {"linear": X @ X.T, "flat": np.ones((100, 100)), "cubic": (1 + X @ X.T) ** 3}
pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.slow
def test_each_setting_has_its_share_of_delta():
    search = Search(kernels=tuple(GRAMS), delta=0.1)
    found = search.bounds(GRAMS, Y)
    shares = [math.exp(-one.constants.price) for one in found]
    ways = [1 if one.constants.scale == 0 else len(search.inequalities) for one in found]
    assert sum(share * way for share, way in zip(shares, ways, strict=True)) == pytest.approx(0.1)
    assert search.settings == 3 * 4 + 4 + 4 + 1
    assert all(one.delta == 0.1 and one.certified and "21 settings" in one.assumptions[1].statement for one in found)


@pytest.mark.slow
def test_the_best_comes_first_and_says_which_it_is():
    found = Search(kernels=tuple(GRAMS)).bounds(GRAMS, Y)
    assert [one.value for one in found] == sorted(one.value for one in found)
    assert found[0].constants.kernel in ("linear", "cubic")
    assert found[0].value == Search(kernels=tuple(GRAMS)).best(GRAMS, Y).value


@pytest.mark.slow
def test_a_setting_of_its_own_costs_less_than_among_others():
    alone = Search(kernels=("linear",), priors=(Prior(),)).best(GRAMS["linear"], Y)
    among = Search(kernels=tuple(GRAMS), priors=(Prior(),)).best(GRAMS, Y)
    direct = bounds.pac_bayes(GRAMS["linear"], Y, inequality=bounds.Kl())
    assert alone.value < among.value
    assert alone.constants.price == pytest.approx(math.log(4 / 0.05)) and direct.constants.price < alone.constants.price


def test_a_prior_that_learns_picks_its_kernel_where_it_learns():
    search = Search(kernels=tuple(GRAMS), priors=(LearnedPrior(0.5, scale=0.0),))
    found = search.bounds(GRAMS, Y)
    assert len(found) == search.settings == 1 and found[0].constants.price == pytest.approx(math.log(1 / 0.05))
    seen = LearnedPrior(0.5).split(np.arange(100))[0]
    y = Y.copy()
    y[np.setdiff1d(np.arange(100), seen)] *= -1  # the others say nothing to the choice
    assert search.best(GRAMS, y).constants.kernel == found[0].constants.kernel == "linear"


@pytest.mark.slow
def test_of_a_few_examples_the_priors_that_need_more_are_left_out_and_paid_for():
    assert [len(Search().bounds(np.eye(n), np.ones(n))) for n in (1, 2, 3)] == [1, 3, 4]
    two_units = Search().bounds(np.eye(6), np.ones(6), units=[0, 0, 0, 1, 1, 1])
    assert len(two_units) == 3 and all(one.constants.settings == 13 for one in two_units)
    with pytest.raises(ValueError, match="share"):
        Search(priors=(LearnedPrior(0.1),)).best(np.eye(3), np.ones(3))


def test_several_classes_and_the_mean_go_through():
    classes = np.eye(3)[X[:, :3].argmax(axis=1)]
    assert Search(loss="argmax", predictor="mean").best(GRAMS["linear"], classes).certified


@pytest.mark.parametrize(
    ("given", "named"),
    [(GRAMS["linear"], "kernel declared"), ({"linear": GRAMS["linear"]}, "kernel declared"),
     ({**GRAMS, "more": GRAMS["flat"]}, "kernel declared"),
     ({**GRAMS, "flat": np.ones((99, 99))}, "99")],
)  # fmt: skip
def test_kernels_other_than_those_declared_are_refused(given: Any, named: str):
    with pytest.raises(ValueError, match=named):
        Search(kernels=tuple(GRAMS)).best(given, Y)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"kernels": ()}, "kernels"), ({"kernels": ("a", "a")}, "kernels"), ({"priors": ()}, "priors"),
     ({"inequalities": ()}, "inequalities"), ({"delta": 1.0}, "delta"), ({"predictor": "vote"}, "predictor"),
     ({"loss": "squared", "predictor": "mean"}, "classifiers")],
)  # fmt: skip
def test_a_search_of_nothing_is_refused(options: dict[str, Any], named: str):
    with pytest.raises(ValueError, match=named):
        Search(**options)
