"""Is a short name its object, and is what stands for no method named?"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import pytest

from ntkseq.empirical import Cheapest, Jacobian, Products, Sketch, Structured
from ntkseq.empirical.methods.short import SHORT, as_method
from tests.empirical.own_method import Gradients


def test_a_short_name_is_its_object() -> None:
    objects = {"auto": Cheapest(), "structured": Structured(), "jacobian": Jacobian(), "products": Products()}
    assert objects == SHORT
    sketch = Sketch(jax.random.key(0))
    assert as_method("auto") == Cheapest() and as_method(sketch) is sketch


@dataclasses.dataclass(frozen=True)
class Listed(Gradients):
    """It holds a list, which is no structure."""

    numbers: Any = dataclasses.field(default_factory=list)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            "best",
            "method must be one of 'auto', 'structured', 'jacobian', 'products', or an object such as emp",
        ),
        ("sketch", r"needs a random key; write method=Sketch\(jax\.random\.key\(0\)\)"),
        (Sketch, r"must be an object, not a class; got Sketch"),
        (None, "method must be one of"),
        (Listed(), "hashable fields; got .*unhashable.*Hold lists as tuples"),
    ],
)
def test_what_is_no_method_is_named(method: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_method(method)


def test_a_sketch_needs_one_key_and_a_direction() -> None:
    with pytest.raises(ValueError, match="key must be one random key"):
        Sketch(jax.numpy.ones(3))
    with pytest.raises(ValueError, match="directions must be an integer >= 1"):
        Sketch(jax.random.key(0), 0)
