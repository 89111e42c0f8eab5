"""Are kernels and inputs known again, and is what differs told by its name?"""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from typing import Any

import jax
import numpy as np

from ntkseq import kernels
from ntkseq.grams.stores import identity

X = np.random.default_rng(0).standard_normal((5, 2)).astype(np.float32)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Own(kernels.Kernel):
    """A kernel of a user, with a function and an array in it."""

    scale: Any = 1.0
    f: Any = dataclasses.field(default=np.tanh, metadata={"static": True})

    def prepare(self, x: Any, lengths: Any = None) -> Any:
        return x

    def tile(self, left: Any, right: Any) -> Any:
        return left @ right.T


def told(one: Any, other: Any) -> list[str]:
    described = [json.loads(json.dumps(identity.of_kernel(kernel, X, None))) for kernel in (one, other)]
    return list(identity.kernel_differences(*described))


def shifted(by: float) -> Any:
    return lambda x: x + by


def test_functions_are_told_by_what_they_do_and_hold() -> None:
    assert told(Own(f=shifted(1.0)), Own(f=shifted(1.0))) == []
    assert told(Own(f=shifted(1.0)), Own(f=shifted(2.0))) == [
        f"kernel.f was {__name__}.shifted.<locals>.<lambda>, changed"
    ]
    assert told(Own(f=partial(max, 1)), Own(f=partial(max, 1))) == []
    assert len(told(Own(f=partial(max, 1)), Own(f=partial(max, 2)))) == 1
    assert told(Own(f=shifted(1.0)), Own(f=lambda x: x))[0].startswith("kernel.f was ")


class Shift:
    """A function with a number in it."""

    def __init__(self, by: float) -> None:
        self.by = by

    def apply(self, x: Any) -> Any:
        return x + self.by

    def __call__(self, x: Any) -> Any:
        return self.apply(x)


def test_functions_that_are_jitted_bound_or_objects_are_told_by_what_they_hold() -> None:
    def keyword(by: float) -> Any:
        return lambda x, *, by=by: x + by

    def mapped(by: float) -> Any:
        return jax.vmap(shifted(by))

    def bound(by: float) -> Any:
        return Shift(by).apply

    def closed(by: float) -> Any:
        held = Shift(by)
        return lambda x: held.apply(x)

    def jitted(by: float) -> Any:
        return jax.jit(shifted(by))

    for made in (jitted, bound, Shift, keyword, mapped, closed):
        assert told(Own(f=made(1.0)), Own(f=made(1.0))) == [], made
        assert len(told(Own(f=made(1.0)), Own(f=made(2.0)))) == 1, made


SLOPE = 1.0


def sloped(x: Any) -> Any:
    return SLOPE * x


def through(x: Any) -> Any:
    return sloped(x)


def test_functions_are_told_by_the_globals_that_they_look_up(monkeypatch: Any) -> None:
    def known(f: Any) -> Any:
        return json.loads(json.dumps(identity.of_kernel(Own(f=f), X, None)))

    before = [known(f) for f in (sloped, through)]
    assert [
        list(identity.kernel_differences(one, known(f))) for one, f in zip(before, (sloped, through), strict=True)
    ] == [[], []]
    monkeypatch.setitem(globals(), "SLOPE", 2.0)
    assert all(
        list(identity.kernel_differences(one, known(f))) for one, f in zip(before, (sloped, through), strict=True)
    )


def test_a_function_that_calls_itself_and_one_of_a_library_are_described() -> None:
    def fall(x: Any, n: int = 3) -> Any:
        return x if n == 0 else fall(x, n - 1)

    assert told(Own(f=fall), Own(f=fall)) == []
    assert told(Own(f=jax.numpy.tanh), Own(f=jax.numpy.tanh)) == []
    assert told(Own(f=jax.numpy.tanh), Own(f=jax.numpy.sin)) != []


def test_another_version_of_python_knows_a_function_by_its_name_alone() -> None:
    one, other = (identity.of_kernel(Own(f=shifted(by)), X, None) for by in (1.0, 2.0))
    other["f"]["python"] = "2.7"
    assert list(identity.kernel_differences(one, other)) == []


def test_arrays_are_told_by_their_bytes_and_single_numbers_by_value() -> None:
    assert told(Own(np.float32(0.5)), Own(0.5)) == []
    assert told(Own(0.5), Own(np.float32(0.7)))[0].startswith("kernel.scale was 0.5 and is 0.69999")
    assert told(Own(X), Own(X.copy())) == [] and told(Own(X), Own(X + 1))[0].startswith(
        "kernel.scale was float32[5, 2]"
    )
    assert told(kernels.Dense() + Own(), kernels.Dense(depth=2) + Own()) == ["kernel.first.depth was 1 and is 2"]


def test_inputs_are_a_pytree_or_float64_in_the_32_bit_mode() -> None:
    wide = identity.of_inputs(X.astype(np.float64), None)
    assert wide == identity.of_inputs(X, None) and wide["examples"] == 5
    tree = identity.of_inputs({"a": X, "b": np.arange(5)}, None)
    other = identity.of_inputs({"a": X, "b": np.array([0, 1, 7, 3, 4])}, None)
    assert list(identity.input_differences(tree, other, "x")) == ["example 2 of x is not the same"]
    assert list(identity.input_differences(wide, identity.of_inputs(np.concatenate([X, X]), None), "x")) == []
    long = X[:, None].repeat(3, 1)
    one, two = (identity.of_inputs(long, lengths) for lengths in (None, np.array([3, 3, 3, 3, 3])))
    assert list(identity.input_differences(one, two, "x")) == ["lengths of x were not given and are"]
