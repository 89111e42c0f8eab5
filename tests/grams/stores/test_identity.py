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
