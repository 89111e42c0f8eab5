"""Which method does a short name stand for?"""

from __future__ import annotations

from typing import Any

from ntkseq import _checks
from ntkseq.empirical.methods.base import Method, apart
from ntkseq.empirical.methods.held import Cheapest, Jacobian, Structured
from ntkseq.empirical.methods.products import Products

SHORT: dict[str, Method] = {
    "auto": Cheapest(),
    "structured": Structured(),
    "jacobian": Jacobian(),
    "products": Products(),
}
"""The methods that a short name stands for."""


def as_method(method: Any) -> Method:
    """The method that a short name stands for, or the object itself.

    Raises:
        ValueError: an unknown name, a class in place of an object, an object whose fields are not hashable.
    """
    if isinstance(method, str) and method == "sketch":
        raise ValueError("a sketch needs a random key; write method=Sketch(jax.random.key(0)).")
    known = _checks.named("method", method, Method, SHORT, "empirical.Sketch(jax.random.key(0))")
    try:
        hash(apart(known)[1])
    except TypeError as error:
        raise ValueError(
            f"method must have hashable fields; got {_checks.shown(known)} ({_checks.why(error)}). Hold lists as "
            "tuples, and name fields that are arrays in `leaves`."
        ) from None
    return known
