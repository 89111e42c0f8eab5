"""What does each example contribute to the kernel on its own? Records and deltas at every site, rows of the rest."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ntkseq._precision import wide
from ntkseq._struct import static, struct
from ntkseq._types import AnyArray, PyTree
from ntkseq.empirical import contract, costs
from ntkseq.empirical.contract import Layout, Outputs
from ntkseq.empirical.function import Function, shapes
from ntkseq.empirical.groups import Group, arrange, factors
from ntkseq.empirical.sites import scaled
from ntkseq.empirical.tags import DATA, Param, Place
from ntkseq.empirical.taps import Tapper
from ntkseq.empirical.trace import Traced, coarsest, trace
from ntkseq.empirical.twins import earliest
from ntkseq.empirical.views import whole


@dataclasses.dataclass(frozen=True)
class Found:
    """What was found in a function: groups of sites, plain leaves, and what becomes of its outputs.

    twins: (site, earlier site with the same delta, ratio of the deltas).
    eps: that of the coarsest dtype in which the function computes anything.
    """

    groups: tuple[Group, ...]
    plain: tuple[int, ...]
    outputs: Outputs
    twins: tuple[tuple[Place, Place, complex], ...] = ()
    eps: float = 0.0


@dataclasses.dataclass(frozen=True)
class Choice:
    """What is done with it: the groups whose factors are kept, the leaves whose Jacobian rows are.

    orders: for each group the order that the caller wants, or None for the cheapest.
    asked: plain leaves that the caller wants to be plain.
    """

    groups: tuple[Group, ...]
    plain: tuple[int, ...]
    outputs: Outputs
    orders: tuple[str | None, ...]
    asked: tuple[int, ...]
    speeds: costs.Speeds
    twins: tuple[tuple[Place, Place, complex], ...] = ()


@struct
class Prepared:
    """All that tiles need of a batch.

    factors: of each group and bucket, two arrays with leading axis n.
    rows: of each plain leaf, the Jacobian (n, o, p).
    inputs: the checked inputs, from which the rounding is measured.
    """

    factors: tuple[tuple[tuple[Array, Array], ...], ...]
    rows: tuple[Array, ...]
    inputs: Any
    choice: Choice = static()


def examine(function: Function, x: PyTree, join: bool = True, beside: bool = True) -> Found:
    """The groups of sites of a function and its plain leaves; looked for once for all inputs of one shape.

    x: checked inputs. join: whether leaves that a concatenation joins may share a group. beside: those with the same
    deltas.
    """
    leaves, tree = jax.tree.flatten(function)
    inputs, inputs_tree = jax.tree.flatten(x)
    return _examine(shapes(leaves, 0), tree, shapes(inputs, 1), inputs_tree, join, beside)


def prepare(function: Function, x: PyTree, choice: Choice) -> Prepared:
    """Run and differentiate the function once for every example of a batch."""
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), x)
    plain, groups = choice.plain, choice.groups
    places = {place: site for group in groups for place, site in group.places}
    tapped, ratio = _shared(list(places), choice)
    weights = function.weights
    with jax.default_matmul_precision("highest"):
        traced = trace(function.outputs_at, weights, one)

        def example(leaves: list[Any]) -> tuple[Any, Any, Any]:
            def run(taps: PyTree, free: list[Any]) -> tuple[Array, Any]:
                values = list(weights)
                for k, value in zip(plain, free, strict=True):
                    values[k] = value
                found = Tapper(taps).run(traced, [*values, *leaves], _tags(function, one), (), ())
                return found.values[0], {place: _times(found.records[place], ratio[place]) for place in places}

            taps = {
                place: jnp.zeros((*(n for n, _ in site.loops), *site.shape), site.dtype)
                if tapped[place] == place
                else None
                for place, site in places.items()
            }
            out, pull, records = jax.vjp(run, taps, [weights[k] for k in plain], has_aux=True)
            deltas, rows = jax.vmap(pull)(jnp.eye(out.shape[0], dtype=out.dtype))
            return records, {place: delta for place, delta in deltas.items() if delta is not None}, rows

        records, deltas, rows = jax.vmap(example)(jax.tree.leaves(x))
    single = choice.outputs.single
    deltas = {place: deltas[other] for place, other in tapped.items()}
    found = tuple(factors(group, records, deltas, single) for group in groups)
    wide = tuple(_row(row, function.root(k)) for k, row in zip(plain, rows, strict=True))
    return Prepared(found, wide, x, choice)


def terms(left: Prepared, right: Prepared | None) -> dict[tuple[int, ...], Array]:
    """The kernel as a sum: (n, m, ...) for each group of leaves and each plain leaf. `right=None`: left with itself."""
    square, choice = right is None, left.choice
    other, outputs = left if right is None else right, choice.outputs
    found: dict[tuple[int, ...], Array] = {}
    for group, order, mine, theirs in zip(choice.groups, choice.orders, left.factors, other.factors, strict=True):
        value = _contracted(group, order, mine, None if square else theirs, choice)
        found[group.members] = _plus([found[group.members], value]) if group.members in found else value
    for k, mine, theirs in zip(choice.plain, left.rows, other.rows, strict=True):
        found[(k,)] = contract.rows_product(mine, theirs, outputs)
    if outputs.kept == "mean":
        return {members: value / outputs.count for members, value in found.items()}
    if outputs.single:  # computed without the axes of the outputs
        ones = (1, 1) if outputs.kept == "full" else (1,)
        return {members: value.reshape(*value.shape, *ones) for members, value in found.items()}
    return found


def total(left: Prepared, right: Prepared | None) -> Array:
    """(n, m, ...): the sum of all terms. `right=None`: left with itself."""
    return _plus(list(terms(left, right).values()))


def order_of(group: Group, order: str | None, n: int, m: int, square: bool, choice: Choice) -> costs.Cost:
    """The cost of the order that is taken for a group: the one that was asked for, or the cheapest."""
    found = costs.orders(group, n, m, choice.outputs, square, choice.speeds)
    return next((cost for cost in found if cost.order == order), found[0])


def _plus(values: list[Array]) -> Array:
    """Their sum in the widest dtype: some products of a function may be in another than its parameters."""
    dtype = wide(*(value.dtype for value in values))
    first, *rest = (value.astype(dtype) for value in values)
    return sum(rest, first)


def _contracted(group: Group, order: str | None, left: contract.Factors, right: Any, choice: Choice) -> Array:
    layouts = [Layout(bucket.rows, not bucket.record_first) for bucket in group.buckets]
    square, outputs = right is None, choice.outputs
    n, m = left[0][0].shape[0], (left if square else right)[0][0].shape[0]
    if order_of(group, order, n, m, square, choice).order == costs.WEIGHTS:
        return contract.weights(layouts, left, right, outputs, group.extents[0])
    if square:
        return contract.gram_square(layouts, left, outputs)
    return contract.gram(layouts, left, right, outputs)


def _shared(places: list[Place], choice: Choice) -> tuple[dict[Place, Place], dict[Place, complex]]:
    """For each site the one whose tap it shares, and the ratio of its delta to that one's."""
    twins = {place: (other, ratio) for place, other, ratio in choice.twins}
    stands = {place: earliest(place, twins) for place in places}
    first: dict[Place, Place] = {}
    for place in places:
        first.setdefault(stands[place][0], place)
    tapped = {place: first[stands[place][0]] for place in places}
    return tapped, {place: stands[place][1] / stands[other][1] for place, other in tapped.items()}


def _times(record: Array, ratio: complex) -> Array:
    return record if ratio == 1.0 else scaled(record, ratio)


@lru_cache(maxsize=64)
def _examine(own: tuple, tree: PyTree, inputs: tuple, inputs_tree: Any, join: bool, beside: bool) -> Found:
    leaves = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in own]
    function: Function = jax.tree.unflatten(tree, leaves)
    one = jax.tree.unflatten(inputs_tree, [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in inputs])
    tapper, eps = Tapper(), []

    def look(whole_: Function, one: PyTree) -> Any:
        traced: Traced = trace(whole_.outputs_at, whole_.weights, one)
        eps.append(coarsest(traced.jaxpr))
        values = [*whole_.weights, *jax.tree.leaves(one)]
        found = tapper.run(traced, values, _tags(whole_, one), (), ())
        tapper.opaque(found.tags)
        return found.values

    (out,) = jax.eval_shape(look, function, one)
    groups, plain = arrange(tapper, out.shape[0] == 1, join, beside)
    twins = tuple((place, *earliest(place, tapper.twins)) for place in tapper.twins)
    return Found(tuple(groups), tuple(sorted(plain)), Outputs(out.shape[0], function.kept), twins, max(eps))


def _tags(function: Function, x: PyTree) -> list[Any]:
    params = [
        Param(frozenset([k]), whole(k, weight.ndim, function.root(k))) for k, weight in enumerate(function.weights)
    ]
    return [*params, *[DATA] * len(jax.tree.leaves(x))]


def _row(row: Array, root: AnyArray | None) -> Array:
    """(n, o, p) in float32 at least, with the root of the learning rate."""
    row = row.reshape(*row.shape[:2], -1).astype(wide(row.dtype))
    return row if root is None else row * root.astype(row.dtype)
