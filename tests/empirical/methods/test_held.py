"""Does a method take its options at the door, and only those that it has?"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import pytest

from ntkseq.empirical import NTK, Cheapest, Jacobian, Structured
from ntkseq.empirical.late import Late


@pytest.mark.parametrize("kind", [Cheapest, Structured])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(orders={"W": "best"}), "an order is one of 'gram', 'weights', 'jacobian'; got 'best'"),
        (dict(orders={"(": "gram"}), "searched for a regular expression; got '\\('"),
        (dict(memory=0), "memory must be an integer >= 1"),
    ],
)
def test_bad_options_are_named(kind: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**options)


def test_an_option_of_another_method_is_refused() -> None:
    with pytest.raises(TypeError, match="orders"):
        Jacobian(orders={"W": "gram"})  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="directions"):
        NTK(lambda p, x: p @ x, jnp.ones((1, 2)), directions=3)  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize("method", [Cheapest(memory=40), Structured(memory=40), Jacobian(memory=40)])
def test_memory_is_that_of_the_method(method: Any) -> None:
    kernel = NTK(lambda p, x: jnp.tanh(p @ x), jnp.ones((2, 3)), method=method)
    x = jnp.ones((4, 3))
    assert isinstance(kernel.prepare(x), Late) and "examples at a time" in str(kernel.plan(x))
    assert dataclasses.replace(method, memory=None).memory is None


def test_orders_are_held_as_pairs_and_survive_a_replacement() -> None:
    method = Cheapest(orders={"W": "gram", "V": "jacobian"})
    assert method.orders == (("W", "gram"), ("V", "jacobian"))
    assert dataclasses.replace(method, memory=8).orders == method.orders
    assert repr(method) == "Cheapest(orders=(('W', 'gram'), ('V', 'jacobian')))"
