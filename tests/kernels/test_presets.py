"""Do the presets reproduce the conventions of their papers? The numbers are in golden.json; here are the relations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntkseq.kernels import Recurrent, presets

X = np.random.default_rng(0).standard_normal((3, 4, 2))


@pytest.mark.slow
def test_allen_zhu_li_trains_w_alone_and_divides_by_the_outputs(x64) -> None:
    one, three = (np.asarray(Recurrent.preset("allen-zhu-li", d_out=k)(X)) for k in (1, 3))
    np.testing.assert_allclose(one, 3 * three, rtol=1e-13)
    assert Recurrent.preset("allen-zhu-li").train == ("W",)


def test_allen_zhu_li_has_the_diagonal_of_its_recursion(x64) -> None:
    # theory 5: relu with 2/m keeps the norm, K(x, x) = (1/2) sum_{t = 2..T} |x_1|^2 + ... + |x_{t-1}|^2
    norms = np.cumsum((X**2).sum(-1), axis=1)
    np.testing.assert_allclose(Recurrent.preset("allen-zhu-li").diag(X), norms[:, :-1].sum(1) / 2, rtol=1e-13)


@pytest.mark.slow
def test_panigrahi_goyal_trains_a_as_well_and_has_twice_the_head(x64) -> None:
    given = np.asarray(Recurrent.preset("panigrahi-goyal")(X))
    head_of_one = Recurrent.preset("allen-zhu-li")
    np.testing.assert_allclose(given, 2 * np.asarray(head_of_one.with_(train="WU")(X)), rtol=1e-13)


def test_rntk_takes_the_defaults_of_its_code_and_changes_on_top() -> None:
    kernel = Recurrent.preset("rntk", sigma_b=0.3, depth=2)
    assert (kernel.sigma_w, kernel.sigma_u, kernel.sigma_b) == (math.sqrt(2), 0.5, 0.3)
    assert (kernel.h0, kernel.depth, kernel.param) == ("independent", 2, "ntk")


def test_ntk4a_takes_variances() -> None:
    kernel = Recurrent.preset("ntk4a", varw=4.0)
    assert (kernel.sigma_w, kernel.sigma_u, kernel.param) == (2.0, math.sqrt(2), "raw")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Recurrent.preset("yang"), "preset must be one of 'allen-zhu-li'.*got 'yang'"),
        (lambda: Recurrent.preset("ntk4a", varb=-0.1), "varb must be a variance >= 0; got -0.1"),
        (lambda: Recurrent.preset("allen-zhu-li", d_out=0), "d_out must be an integer >= 1; got 0"),
        (lambda: Recurrent.preset("rntk", sigma_w=-1.0), "sigma_w must be a finite standard deviation"),
    ],
)
def test_a_wrong_preset_is_refused_with_words(make, words) -> None:
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.slow
@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_is_the_kernel_of_the_arguments_it_names(name: str) -> None:
    kernel = np.asarray(Recurrent.preset(name)(X))
    assert np.array_equal(kernel, np.asarray(Recurrent(**presets.recurrent(name, {}))(X)))
    assert not np.allclose(kernel, Recurrent()(X))  # and another one than that of no arguments
