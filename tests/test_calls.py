"""Tests of ntkseq._calls: which functions take the length of a sequence."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import empirical, models, training
from ntkseq._calls import takes_length

X, LENGTHS = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32), np.array([4, 2, 1])


def last(params: Any, x: Any, length: Any) -> Any:
    return x[length - 1] @ params


def masked(params: Any, x: Any, mask: Any = None) -> Any:
    return (x if mask is None else x * mask).sum(0) @ params


@pytest.mark.parametrize(
    ("f", "takes"),
    [
        (last, True),
        (masked, False),
        (lambda params, x: x, False),
        (lambda params, *x: x, True),
        (lambda params, x, lengths=None: x, True),
        (lambda params, x, *, length=None: x, False),
        (partial(lambda scale, params, x, length: x, 2.0), True),
        (empirical.attention_weights(last), True),
        (empirical.attention_weights(masked), False),
        (models.Recurrent(width=2).apply, True),
        (max, False),
    ],
)
def test_a_length_goes_where_an_argument_is_meant_for_it(f, takes) -> None:
    assert takes_length(f, 2) is takes


@pytest.mark.slow(cases=["kernel probe"])
@pytest.mark.parametrize(
    "use",
    [
        lambda f, p: empirical.NTK(f, p)(X, lengths=LENGTHS),
        lambda f, p: training.track([training.KernelProbe(f, X, lengths=LENGTHS)], p),
        lambda f, p: training.track([training.LossProbe(f, {"a": (X, np.ones(3), LENGTHS)})], p),
    ],
    ids=["kernel", "kernel probe", "loss probe"],
)
def test_lengths_for_a_function_that_takes_none_are_refused_and_never_its_third_argument(use) -> None:
    params = jnp.ones((2, 1))
    with pytest.raises(ValueError, match=r"lengths= needs f\(params, x, length\)"):
        use(masked, params)
    use(last, params)
