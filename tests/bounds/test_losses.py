"""Is every loss of the table in [0, 1], as steep as it says, and above the error that it bounds?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.bounds.losses import NAMES, named

F = np.linspace(-3, 3, 601)


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_lies_between_zero_and_one_and_is_as_steep_as_it_says_and_no_less(name: str):
    loss = named(name, gamma=0.5 if name == "margin" else None)
    for y in (-1.0, 1.0):
        values = loss.value(F, y)
        slopes = np.abs(np.diff(values) / np.diff(F))
        assert values.min() == 0 and values.max() == 1
        assert 0.98 * loss.lipschitz <= slopes.max() <= loss.lipschitz * (1 + 1e-9)  # steps of 0.01


@pytest.mark.parametrize("name", ["absolute", "margin"])
def test_of_signs_a_loss_is_at_least_the_classification_error(name: str):
    for y in (-1.0, 1.0):
        assert (named(name).value(F, y) >= (y * F <= 0)).all()


def test_a_loss_is_printed_of_the_prediction_that_it_is_asked_for():
    absolute, margin = named("absolute"), named("margin", 0.5)
    assert absolute.risk() == "E min(1, |f(x) - y|)" and absolute.training() == "mean min(1, |f - y|)"
    assert absolute.risk("f_t(x)", "y_t", "E mean_t") == "E mean_t min(1, |f_t(x) - y_t|)"
    assert margin.risk() == "P(sign f(x) != y)" and margin.training() == "mean min(1, max(0, 1 - y f/0.5))"
    assert named("squared").risk("F") == "E min(1, (F - y)^2)" and margin.signs and not absolute.signs


@pytest.mark.parametrize(("name", "gamma"), [("hinge", None), ("margin", 0.0)])
def test_what_no_loss_of_the_table_is_called_raises(name, gamma):
    with pytest.raises(ValueError, match=r"loss|gamma"):
        named(name, gamma)
