"""Are made spectra what their formulas say?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntkseq.data import eigenvalues


def test_power_laws_are_their_formula():
    lam = eigenvalues.power_law(30, decay=1.5, logs=2.0)
    assert lam.dtype == np.float64
    np.testing.assert_allclose(lam, [i**-1.5 / math.log(i + 1) ** 2 for i in range(1, 31)], rtol=1e-13)


def test_exponentials_decay_by_one_factor():
    lam = eigenvalues.exponential(20, rate=0.7)
    np.testing.assert_allclose(lam[1:] / lam[:-1], math.exp(-0.7), rtol=1e-13)
    assert lam[0] == pytest.approx(math.exp(-0.7))


def test_both_levels_have_the_same_variance_in_all():
    lam = eigenvalues.two_levels(100, 7)
    assert lam[:7].sum() == pytest.approx(1) and lam[7:].sum() == pytest.approx(1)
    assert (lam[:7] == 1 / 7).all() and (lam[7:] == 1 / 93).all()


def test_levels_grow_with_the_steps_as_the_theorem_wants():
    for steps in (3, 50, 1000):
        lam, log = eigenvalues.two_levels_at(steps, head=2, tail=1.5), math.log(steps)
        head = int((lam == lam[0]).sum())
        assert head == max(1, round(steps / log**2)) and lam.size == round(steps * log**1.5)


def test_the_diversity_of_tasks_is_what_was_asked_for():
    lam = eigenvalues.power_law(40, decay=1.2)
    for logs in (0.0, 3.0):
        found = eigenvalues.spread(lam, diversity=2.5, logs=logs)
        assert np.sum(found**2 * lam) == pytest.approx(2.5, rel=1e-13)
        np.testing.assert_allclose(found[9] ** 2 / found[0] ** 2, (math.log(11) / math.log(2)) ** logs, rtol=1e-12)
    assert not eigenvalues.spread(lam, diversity=0.0).any()


def test_spectra_that_make_no_sense_are_refused():
    for call, said in (
        (lambda: eigenvalues.power_law(0), "d must"),
        (lambda: eigenvalues.power_law(3, decay=0.0), "decay"),
        (lambda: eigenvalues.power_law(3, logs=-1.0), "logs"),
        (lambda: eigenvalues.exponential(3, rate=-1.0), "rate"),
        (lambda: eigenvalues.two_levels(3, 3), "head must be below d = 3"),
        (lambda: eigenvalues.two_levels_at(2, head=1.0, tail=1.0), "3 or more"),
        (lambda: eigenvalues.two_levels_at(9, head=0.0, tail=1.0), "head"),
        (lambda: eigenvalues.spread([0.0], diversity=1.0), "spectrum"),
        (lambda: eigenvalues.spread([-1.0, 1.0], diversity=1.0), "spectrum"),
        (lambda: eigenvalues.spread([1.0], diversity=-1.0), "diversity"),
    ):
        with pytest.raises(ValueError, match=said):
            call()
