"""Which numbers of a function say what its parameters do? Its equations, run with a zero added at every site.

Every value is tagged: None (constant), DATA (depends on the example), `Param` (depends on parameters only), `Shifted`
(a view of a leaf plus something that depends on the example, as an inner loop of meta-learning makes). Where a view of
a leaf meets data linearly is a `Site`: the other operand is recorded, and the result gets a tap, an input of zeros,
whose cotangent is the delta. A leaf that is used in any other way is `plain`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntkseq._types import PyTree
from ntkseq.empirical import sites, views
from ntkseq.empirical.sites import Loop, Site
from ntkseq.empirical.tags import DATA, Param, Place, Results, Running, Shifted
from ntkseq.empirical.trace import CALLS, REMAT, Traced, is_literal, opened, scan_counts
from ntkseq.empirical.twins import Sums, Twins

_MOVES = frozenset(
    [
        "transpose",
        "reshape",
        "convert_element_type",
        "squeeze",
        "neg",
        "mul",
        "div",
        "copy",
        "broadcast_in_dim",
        "slice",
    ]
)  # linear in their operand, told apart by `views.through`


class Tapper:
    """Runs equations with taps; afterwards it knows the sites, the plain leaves, which leaves were joined, and which
    sites have the delta of an earlier one.

    taps: place of a site -> array of the shape of its result, loops around it in front, or None where only the record
    is wanted. None for all: none is added, and nothing recorded, as for a first run that looks for the sites.
    """

    def __init__(self, taps: dict[Place, Any] | None = None) -> None:
        self.taps = taps
        self.sites: dict[Place, Site] = {}
        self.joined: dict[Place, frozenset[int]] = {}
        self.plain: set[int] = set()
        self.twins: Twins = {}

    def run(self, traced: Traced, values: list[Any], tags: list[Any], place: Place, loops: tuple[Loop, ...]) -> Results:
        jaxpr, env, tag = traced.jaxpr, {}, {}
        for variable, value in zip(jaxpr.constvars, traced.consts, strict=True):
            env[variable], tag[variable] = value, None
        for variable, value, kind in zip(jaxpr.invars, values, tags, strict=True):
            env[variable], tag[variable] = value, kind
        value_of = lambda v: v.val if is_literal(v) else env[v]  # noqa: E731
        tag_of = lambda v: None if is_literal(v) else tag[v]  # noqa: E731
        records: dict[Place, Any] = {}
        sums = Sums(jaxpr)
        for k, equation in enumerate(jaxpr.eqns):
            at = Running(jaxpr, equation, [value_of(v) for v in equation.invars], (*place, k), loops)
            found = self._equation(at, [tag_of(v) for v in equation.invars])
            records |= found.records
            if at.place in self.sites and self.sites[at.place].kind != "rows":
                sums.site(equation, at.place)
            self.twins |= sums.seen(equation)
            for variable, value, kind in zip(equation.outvars, found.values, found.tags, strict=True):
                env[variable], tag[variable] = value, kind
        return Results([value_of(v) for v in jaxpr.outvars], [tag_of(v) for v in jaxpr.outvars], records)

    def opaque(self, tags: list[Any]) -> None:
        """These values are used in a way that is not understood: their leaves are plain."""
        for tag in tags:
            param = tag.param if isinstance(tag, Shifted) else tag
            if isinstance(param, Param):
                self.plain |= param.leaves

    def _equation(self, at: Running, tags: list[Any]) -> Results:
        name = at.equation.primitive.name
        if any(isinstance(tag, Shifted) for tag in tags):
            if (found := self._shifted(at, tags)) is not None:
                return found
        elif name in ("add", "sub") and (found := _shift(at, tags)) is not None:
            return found
        if not any(isinstance(tag, (Param, Shifted)) for tag in tags):
            return at.plainly(DATA if DATA in tags else None)
        if name in CALLS and "jaxpr" in at.equation.params:
            return self.run(opened(at.equation.params["jaxpr"]), at.values, tags, at.place, at.loops)
        if name in REMAT:
            return self._remat(at, tags)
        if name == "scan":
            return self._scan(at, tags)
        if name == "cond" and not isinstance(tags[0], (Param, Shifted)):
            return self._cond(at, tags)
        if name == "stop_gradient":
            return at.plainly(DATA if DATA in tags or any(isinstance(tag, Shifted) for tag in tags) else None)
        return self._operation(at, tags)

    def _operation(self, at: Running, tags: list[Any]) -> Results:
        self.opaque([tag for tag in tags if isinstance(tag, Shifted)])  # it was not linear in it; others may have sites
        tags = [DATA if isinstance(tag, Shifted) else tag for tag in tags]
        params = [k for k, tag in enumerate(tags) if isinstance(tag, Param)]
        view = tags[params[0]].view if len(params) == 1 else None
        depends = DATA in tags
        found = None
        if view is not None and (depends or at.equation.primitive.name in ("dot_general", "conv_general_dilated")):
            found = sites.find(at.equation, params[0], view, at.values, at.loops)
        if found is not None:
            return self._site(at, found)
        if depends:
            self.opaque(tags)
            return at.plainly(DATA)
        leaves = frozenset[int]().union(*(tags[k].leaves for k in params))
        values = at.evaluate()
        if at.equation.primitive.name == "concatenate" and len(params) == len(tags):
            join = views.joined(at.place, [tag.view for tag in tags], np.ndim(values[0]))
            if join is not None and sum(len(tag.leaves) for tag in tags) == len(leaves):
                self.joined[at.place] = leaves
            else:
                join = None
            return Results(values, [Param(leaves, join)], {})
        out = [None] * len(values) if view is None else views.through(at.equation, params[0], view, at.values)
        return Results(values, [Param(leaves, one) for one in out], {})

    def _site(self, at: Running, found: sites.Found) -> Results:
        (value,) = at.evaluate()
        self.sites[at.place] = found.site
        if self.taps is None or at.place not in self.taps:
            return Results([value], [DATA], {})
        tap, record = self.taps[at.place], found.record
        for factor in found.gain:  # on the record, for the delta may be that of another site too
            if found.site.kind == "rows":
                tap = tap * jnp.asarray(factor, tap.dtype)
            else:
                record = sites.scaled(record, factor)
        if found.inside is not None:
            tap = jnp.where(found.inside, tap, jnp.zeros((), tap.dtype))
        return Results([value if tap is None else value + tap.astype(value.dtype)], [DATA], {at.place: record})

    def _shifted(self, at: Running, tags: list[Any]) -> Results | None:
        """An equation of view + rest, split by linearity; None where it is not linear."""
        name = at.equation.primitive.name
        operands = [k for k, tag in enumerate(tags) if isinstance(tag, (Shifted, Param))]
        if len(operands) != 1:
            return None
        k, tag = operands[0], tags[operands[0]]
        if name in ("add", "sub") and (k == 0 or name == "add") and np.shape(at.values[1 - k]) == np.shape(tag.base):
            other = at.values[1 - k]
            rest = tag.rest + other if name == "add" else tag.rest - other
            return Results(at.evaluate(), [Shifted(tag.base, tag.param, rest)], {})
        if name in _MOVES and DATA not in tags and not (name == "div" and k == 1):
            (view,) = views.through(at.equation, k, tag.param.view, at.at(k, tag.base).values)
            if view is None:
                return None
            base, rest = at.at(k, tag.base).evaluate(), at.at(k, tag.rest).evaluate()
            return Results(at.evaluate(), [Shifted(base[0], Param(tag.param.leaves, view), rest[0])], {})
        if name == "dot_general":
            found = sites.find(at.equation, k, tag.param.view, at.values, at.loops)
            if found is None:
                return None
            return self._site(at, found)
        return None

    def _remat(self, at: Running, tags: list[Any]) -> Results:
        traced, seen = opened(at.equation.params["jaxpr"]), []
        inner, mine = self._inside(at.place)

        def body(values: list[Any], taps: PyTree) -> tuple[list[Any], dict[Place, Any]]:
            inner.taps = taps
            found = inner.run(traced, values, tags, at.place, at.loops)
            seen[:] = found.tags
            return found.values, found.records

        given = at.equation.params
        rerun = jax.checkpoint(body, policy=given.get("policy"), prevent_cse=given.get("prevent_cse", True))
        values, records = rerun(at.values, mine)
        self._learn(inner)
        return Results(values, seen, records)

    def _cond(self, at: Running, tags: list[Any]) -> Results:
        """Every branch returns the records of all: those of the branches not taken are zero, as are their deltas."""
        inner, mine = self._inside(at.place)
        branches = [opened(branch) for branch in at.equation.params["branches"]]

        def run(k: int, values: list[Any], taps: PyTree) -> tuple[list[Any], dict[Place, Any]]:
            inner.taps = taps
            found = inner.run(branches[k], values, tags[1:], (*at.place, "branch", k), at.loops)
            inner.opaque(found.tags)
            return found.values, found.records

        shapes = [jax.eval_shape(lambda v, t, k=k: run(k, v, t)[1], at.values[1:], mine) for k in range(len(branches))]

        def branch(k: int) -> Any:
            def taken(values: list[Any], taps: PyTree) -> tuple[list[Any], dict[Place, Any]]:
                out, records = run(k, values, taps)
                for other in shapes[:k] + shapes[k + 1 :]:
                    records |= {key: jnp.zeros(shape.shape, shape.dtype) for key, shape in other.items()}
                return out, records

            return taken

        values, records = lax.switch(at.values[0], [branch(k) for k in range(len(branches))], at.values[1:], mine)
        self._learn(inner)
        return Results(values, [DATA] * len(values), records)

    def _scan(self, at: Running, tags: list[Any]) -> Results:
        """Taps are scanned over beside what the loop scans over, records are stacked beside what it stacks."""
        traced, given = opened(at.equation.params["jaxpr"]), at.equation.params
        held, carried = scan_counts(at.equation)
        body, kinds, fixed = traced.jaxpr, [], {}
        for k, (tag, inner) in enumerate(zip(tags, body.invars, strict=True)):
            if held <= k < held + carried:
                if isinstance(tag, (Param, Shifted)) and body.outvars[k - held] is inner:  # handed on: a constant
                    fixed[k - held] = at.values[k]
                else:
                    self.opaque([tag])
                    tag = DATA
            elif k >= held + carried and isinstance(tag, Param) and tag.view is not None:
                chain = (*tag.view.frozen(), ("loop", at.place))
                axes = tuple(range(len(tag.view.axes) - 1))
                tag = Param(tag.leaves, dataclasses.replace(tag.view, chain=chain, axes=axes))
            elif k >= held + carried and isinstance(tag, Shifted):
                self.opaque([tag])
                tag = DATA
            kinds.append(tag)
        inner, mine = self._inside(at.place)
        loops = (*at.loops, (given["length"], at.place))
        constants, start, scanned = at.values[:held], at.values[held : held + carried], at.values[held + carried :]
        moving = [k for k in range(carried) if k not in fixed]

        def step(carry: list[Any], now: PyTree) -> tuple[list[Any], Any]:
            xs, taps = now
            full = [fixed.get(k) for k in range(carried)]
            for k, value in zip(moving, carry, strict=True):
                full[k] = value
            inner.taps = taps
            found = inner.run(traced, [*constants, *full, *xs], kinds, at.place, loops)
            inner.opaque([tag for k, tag in enumerate(found.tags) if k not in fixed])
            after = [jnp.asarray(found.values[k], body.outvars[k].aval.dtype) for k in moving]
            return after, (found.values[carried:], found.records)

        first = [jnp.asarray(start[k], body.invars[held + k].aval.dtype) for k in moving]
        last, (stacked, records) = lax.scan(
            step, first, (list(scanned), mine), length=given["length"], reverse=given["reverse"], unroll=given["unroll"]
        )
        self._learn(inner)
        out = dict(zip(moving, last, strict=True)) | fixed
        kept = [tags[held + k] if k in fixed else DATA for k in range(carried)]
        return Results([out[k] for k in range(carried)] + stacked, kept + [DATA] * len(stacked), records)

    def _inside(self, place: Place) -> tuple[Tapper, dict[Place, Any] | None]:
        """A tapper for the equations within this one, and their taps, which its transformation has to carry."""
        taps = None
        if self.taps is not None:
            taps = {key: tap for key, tap in self.taps.items() if key[: len(place)] == place}
        return Tapper(), taps

    def _learn(self, inner: Tapper) -> None:
        self.sites |= inner.sites
        self.joined |= inner.joined
        self.plain |= inner.plain
        self.twins |= inner.twins


def _shift(at: Running, tags: list[Any]) -> Results | None:
    """A matrix of parameters plus a matrix that depends on the example."""
    operands = [k for k, tag in enumerate(tags) if isinstance(tag, Param)]
    if len(operands) != 1 or tags[1 - operands[0]] is not DATA:
        return None
    k, name = operands[0], at.equation.primitive.name
    shape = at.equation.outvars[0].aval.shape
    if tags[k].view is None or len(shape) < 2 or any(np.shape(value) != shape for value in at.values):
        return None
    if k == 1 and name == "sub":
        return None
    rest = at.values[1 - k] if name == "add" else -at.values[1 - k]
    return Results(at.evaluate(), [Shifted(at.values[k], tags[k], rest)], {})
