"""Do the counts of the planner agree with what XLA counts in the compiled contraction?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from ntkseq import empirical
from ntkseq.empirical import contract, costs
from ntkseq.empirical.contract import Layout, Outputs
from ntkseq.empirical.structure import examine

SPEEDS = costs.Speeds(1e-11, 1e-11, 1e-10, 1e-9)


def group(n: int, t: int, c: int, d: int, o: int) -> tuple[Any, Any]:
    """The group of a matrix c x d that is used t times, and its factors for n examples."""

    def f(p: Any, x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.tanh(x @ p) @ jnp.ones((d, o)), axis=0)

    x = jnp.ones((n, t, c))
    kernel = empirical.NTK(f, jnp.ones((c, d)), method="structured")
    (found,) = examine(kernel.function, kernel.function.inputs(x)).groups
    return found, kernel.prepare(x).factors[0]


@pytest.mark.parametrize("o", [1, 3])
@pytest.mark.parametrize("order", [costs.GRAM, costs.WEIGHTS])
def test_multiply_adds_are_those_of_the_compiled_contraction(order: str, o: int) -> None:
    n, t, c, d = 4, 8, 32, 24
    found, factors = group(n, t, c, d, o)
    assert (found.extents, found.uses, found.stack) == ((c, d), t, 1)
    layouts, outputs = [Layout(False, False)], Outputs(o)
    if order == costs.GRAM:
        run = lambda a, b: contract.gram(layouts, a, b, outputs)  # noqa: E731
    else:
        run = lambda a, b: contract.weights(layouts, a, b, outputs, 0)  # noqa: E731
    analysis: Any = jax.jit(run).lower(factors, factors).compile().cost_analysis()
    (cost,) = [one for one in costs.orders(found, n, n, outputs, False, SPEEDS) if one.order == order]
    assert analysis["flops"] / 2 == pytest.approx(cost.work, rel=0.1)


def test_numbers_held_are_those_of_the_factors() -> None:
    found, factors = group(1, 8, 32, 24, 3)
    assert costs.factor_entries(found, 3) == sum(a.size for pair in factors for a in pair)


def test_the_cheaper_order_comes_first() -> None:
    few, _ = group(2, 2, 64, 64, 1)
    many, _ = group(2, 128, 8, 8, 1)
    single = Outputs(1)
    assert costs.orders(few, 64, 64, single, True, SPEEDS)[0].order == costs.GRAM
    assert costs.orders(many, 64, 64, single, True, SPEEDS)[0].order == costs.WEIGHTS
