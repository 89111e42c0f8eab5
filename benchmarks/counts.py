"""How much does a function compute? Counted in the operations that JAX records of it, loops as often as they run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.machine import Work
from ntkseq.kernels import Kernel

ONE = {"add", "sub", "mul", "div", "add_any", "max", "min", "square"}
"""One operation for each number of the result. Comparisons, selections and signs are counted as none."""
SUMS = {"reduce_sum", "reduce_max", "reduce_min", "cumsum", "argmax"}
ROOTS = {"sqrt", "rsqrt"}
EXPONENTIALS = {
    "exp", "exp2", "expm1", "log", "log1p", "tanh", "logistic", "erf", "erfc", "erf_inv", "sin", "cos", "tan", "asin",
    "acos", "atan", "atan2", "sinh", "cosh", "pow", "digamma", "lgamma",
}  # fmt: skip


@dataclasses.dataclass
class Count:
    """Operations by kind; `products` are the multiplications and additions of matrix products and convolutions."""

    products: float = 0.0
    flops: float = 0.0
    exponentials: float = 0.0
    roots: float = 0.0

    def add(self, other: Count, times: float = 1.0) -> None:
        """Add another count, so many times."""
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + times * getattr(other, field.name))

    def work(self, times: float = 1.0, **more: Any) -> Work:
        """All of it, so many times."""
        flops = times * (self.products + self.flops)
        return Work(flops=flops, exponentials=times * self.exponentials, roots=times * self.roots, **more)


def count(f: Callable[..., Any], *args: Any) -> Count:
    """Of f at these arguments. A loop of unknown length counts once."""
    return _program(jax.make_jaxpr(f)(*args).jaxpr)


def gram_work(kernel: Kernel, n: int, t: int, d: int, *, pair_steps: int | None = None, rows: int = 8,
              vectors: bool = False) -> Work:  # fmt: skip
    """Of a symmetric Gram matrix of n sequences: its pairs, by one tile; the sides are prepared once and not counted.

    Args:
        pair_steps: what times are divided by, beside the pairs; None: n n t, the full square.
        rows: of the tile.
        vectors: examples have no steps.
    """
    side = jax.eval_shape(kernel.prepare, jax.ShapeDtypeStruct((rows, d) if vectors else (rows, t, d), jnp.float32))
    one = count(kernel.tile, side, side)
    pairs = n * (n + 1) / 2
    steps = n * n * t if pair_steps is None else pair_steps
    return one.work(pairs / rows**2, pair_steps=steps, bytes=4.0 * n * n)


def _program(program: Any) -> Count:
    total = Count()
    for step in program.eqns:
        total.add(_step(step))
    return total


def _step(step: Any) -> Count:
    name, out = step.primitive.name, step.outvars[0].aval if step.outvars else None
    inner = [_program(part) for part in _programs(step.params)]
    if inner:
        whole = Count()
        if name == "cond":
            inner = [max(inner, key=lambda one: one.products + one.flops)]
        for part in inner:
            whole.add(part, step.params["length"] if name == "scan" else 1.0)
        return whole
    if out is None or not hasattr(out, "dtype") or not jnp.issubdtype(out.dtype, jnp.inexact):
        return Count()
    size = math.prod(out.shape)
    if name == "dot_general":
        (contracted, _), _ = step.params["dimension_numbers"]
        return Count(products=2.0 * size * math.prod(step.invars[0].aval.shape[axis] for axis in contracted))
    if name == "conv_general_dilated":
        filters, numbers = step.invars[1].aval.shape, step.params["dimension_numbers"]
        return Count(products=2.0 * size * math.prod(filters) / filters[numbers.rhs_spec[0]])
    if name == "integer_pow":
        return Count(flops=size * math.ceil(math.log2(max(2, abs(step.params["y"])))))
    if name in SUMS:
        return Count(flops=float(math.prod(step.invars[0].aval.shape)))
    return Count(flops=size * (name in ONE), exponentials=size * (name in EXPONENTIALS), roots=size * (name in ROOTS))


def _programs(params: dict[str, Any]) -> Iterator[Any]:
    """The programs within an operation, but for the condition of a loop; rules for derivatives are no programs yet."""
    for name, value in params.items():
        if name == "cond_jaxpr":
            continue
        for part in value if isinstance(value, tuple | list) else (value,):
            if hasattr(part, "eqns"):
                yield part
            elif hasattr(getattr(part, "jaxpr", None), "eqns"):
                yield part.jaxpr
