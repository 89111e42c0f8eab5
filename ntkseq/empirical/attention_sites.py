"""Where are the attention matrices of a function made? Its equations, run one by one, and what they meet."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from ntkseq._types import Text
from ntkseq.empirical import weights
from ntkseq.empirical.trace import CALLS, REMAT, Traced, evaluate, is_literal, opened, scan_counts

CUSTOM = ("call_jaxpr", "fun_jaxpr", "jaxpr")
LIKE_ATTENTION = frozenset({"dot_general", "exp"})
"""What the inside of an equation that cannot be run step by step must hold to be taken for attention."""


@dataclasses.dataclass(frozen=True)
class Site:
    """Where an attention matrix was found.

    Attributes:
        scope: the named scopes around it: paths of modules in flax.linen, names of classes in equinox, and whatever
            `jax.named_scope` was given. flax.nnx names none: there it is empty, and the order tells sites apart.
        shape: of the matrices for one example, (..., queries, keys).
        loop: lengths of the loops around it, whose axes stand in front of the shape.
        tagged: whether a name tag marks it; otherwise its structure does.
        branch: whether it stands in a conditional: its matrix is that of the branch that ran.
    """

    scope: str
    shape: tuple[int, ...]
    loop: tuple[int, ...] = ()
    tagged: bool = False
    branch: bool = False

    def __str__(self) -> str:
        how = "named" if self.tagged else "found"
        where = f" in {self.scope}" if self.scope else ""
        return f"{how} {self.shape}{where}" + (", in a branch of a conditional" if self.branch else "")


class Run:
    """Runs equations and keeps the matrices it meets."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.found: list[tuple[Site, Array]] = []
        self.hidden: list[tuple[str, bool]] = []
        """Attention that cannot be handed out: where it is, and whether it is marked."""

    def run(self, traced: Traced, values: list[Any]) -> tuple[list[tuple[Site, Array]], list[Any]]:
        out, _ = self._equations(traced, values, [None] * len(values), list(range(len(values))), "")
        return self.found, out

    def _equations(
        self, traced: Traced, values: list[Any], tags: list[Any], tokens: list[Any], scope: str
    ) -> tuple[list[Any], list[Any]]:
        """The results, and a (tag, token) of each. A token names a value: two values with one token are equal."""
        jaxpr = traced.jaxpr
        env: dict[Any, Any] = dict(zip(jaxpr.constvars, traced.consts, strict=True))
        known: dict[Any, Any] = {variable: (None, variable) for variable in jaxpr.constvars}
        env |= dict(zip(jaxpr.invars, values, strict=True))
        known |= dict(zip(jaxpr.invars, zip(tags, tokens, strict=True), strict=True))
        value = lambda v: v.val if is_literal(v) else env[v]  # noqa: E731
        told = lambda v: (None, id(v)) if is_literal(v) else known[v]  # noqa: E731
        for equation in jaxpr.eqns:
            given, kinds = [value(v) for v in equation.invars], [told(v) for v in equation.invars]
            at = _joined(scope, str(equation.source_info.name_stack))
            inner = _body(equation)
            if inner is not None:
                out, what = self._equations(inner, given, [k[0] for k in kinds], [k[1] for k in kinds], at)
            elif equation.primitive.name == "scan":
                out, what = self._scan(equation, given, kinds, at)
            elif equation.primitive.name == "cond":
                out, what = self._branches(jaxpr, equation, given, kinds, at)
            else:
                self._beyond(equation, at)
                out = evaluate(jaxpr, equation, given)
                what = self._learn(equation, given, kinds, out, at)
            env |= dict(zip(equation.outvars, out, strict=True))
            known |= dict(zip(equation.outvars, what, strict=True))
        return [value(v) for v in jaxpr.outvars], [told(v) for v in jaxpr.outvars]

    def _learn(self, equation: Any, given: list[Any], kinds: list[Any], out: list[Any], scope: str) -> list[Any]:
        tags, tokens = [kind[0] for kind in kinds], [kind[1] for kind in kinds]
        name = equation.primitive.name
        if name == "name" and equation.params.get("name") == self.tag:
            if out[0].ndim < 2:
                raise ValueError(
                    f"what is named {self.tag!r} must be matrices (..., queries, keys); got shape {out[0].shape}."
                )
            self._keep(scope, out[0], True)
        for operand, tag in enumerate(tags):
            if isinstance(tag, weights.Weights):
                axes = weights.matrix_axes(equation, operand, tag)
                if axes is not None:
                    self._keep(scope, jnp.transpose(given[operand], axes), False)
        first = weights.through(equation, tags, tokens)
        token = tokens[0] if name in weights.SAME else equation.outvars[0]
        return [(first, token), *[(None, variable) for variable in equation.outvars[1:]]]

    def _keep(self, scope: str, matrix: Array, tagged: bool) -> None:
        single = tuple(k for k, size in enumerate(matrix.shape[:-2]) if size == 1)
        matrix = jnp.squeeze(matrix, single)
        self.found.append((Site(scope, tuple(matrix.shape), (), tagged), matrix))

    def _scan(self, equation: Any, given: list[Any], kinds: list[Any], scope: str) -> tuple[list[Any], list[Any]]:
        """The loop, with the matrices of its body stacked beside what it stacks."""
        traced, options = opened(equation.params["jaxpr"]), equation.params
        held, carried = scan_counts(equation)
        body, sites, made = traced.jaxpr, [], []
        tags = (
            [tag for tag, _ in kinds[:held]]
            + [None] * carried
            + [_beside(tag, -1) for tag, _ in kinds[held + carried :]]
        )
        tokens = [token for _, token in kinds[:held]] + [object() for _ in kinds[held:]]

        def step(carry: list[Any], xs: list[Any]) -> tuple[list[Any], Any]:
            inner = Run(self.tag)
            out, what = inner._equations(traced, [*given[:held], *carry, *xs], tags, tokens, "")
            sites[:] = [site for site, _ in inner.found]
            made[:] = [(what, inner.hidden)]
            carry = [jnp.asarray(v, w.aval.dtype) for v, w in zip(out[:carried], body.outvars, strict=False)]
            return carry, (out[carried:], [array for _, array in inner.found])

        start = [
            jnp.asarray(v, w.aval.dtype) for v, w in zip(given[held : held + carried], body.invars[held:], strict=False)
        ]
        last, (stacked, matrices) = lax.scan(
            step, start, given[held + carried :], length=options["length"], reverse=options["reverse"]
        )
        ((what, hidden),) = made
        self.hidden += hidden
        for site, array in zip(sites, matrices, strict=True):
            loop = (options["length"], *site.loop)
            self.found.append((dataclasses.replace(site, scope=_joined(scope, site.scope), loop=loop), array))
        told = [None] * carried + [_beside(tag, 1) for tag, _ in what[carried:]]
        return [*last, *stacked], list(zip(told, equation.outvars, strict=True))

    def _branches(
        self, jaxpr: Any, equation: Any, given: list[Any], kinds: list[Any], scope: str
    ) -> tuple[list[Any], list[Any]]:
        """A conditional, with the matrices of the branch that runs where all branches have like ones."""
        branches, looks = [opened(branch) for branch in equation.params["branches"]], []
        tags, tokens = [tag for tag, _ in kinds[1:]], [token for _, token in kinds[1:]]

        def ran(traced: Traced, look: list[Any], *values: Any) -> Any:
            inner = Run(self.tag)
            out, what = inner._equations(traced, list(values), tags, tokens, "")
            look[:] = [[site for site, _ in inner.found], inner.hidden, [tag for tag, _ in what]]
            return out, [array for _, array in inner.found]

        for branch in branches:
            look: list[Any] = []
            _, matrices = jax.eval_shape(partial(ran, branch, look), *given[1:])
            looks.append((*look, [(a.shape, a.dtype, site.tagged) for a, site in zip(matrices, look[0], strict=True)]))
            self.hidden += look[1]
        told = [
            next((tag for tag in some if tag is not None), None)
            for some in zip(*(look[2] for look in looks), strict=True)
        ]
        what = list(zip(told, equation.outvars, strict=True))
        sites, alike = looks[0][0], all(look[3] == looks[0][3] for look in looks)
        if alike and sites:
            runs = [partial(ran, branch, []) for branch in branches]
            out, matrices = lax.switch(jnp.asarray(given[0], jnp.int32), runs, *given[1:])
            for site, array in zip(sites, matrices, strict=True):
                site = dataclasses.replace(site, scope=_joined(scope, site.scope), branch=True)
                self.found.append((site, array))
            return out, what
        for k, (found, *_) in enumerate(looks):
            for site in found:
                where = f"{site.shape} in branch {k} of {len(branches)} of a conditional"
                self._hide(where, _joined(scope, site.scope), site.tagged)
        return evaluate(jaxpr, equation, given), what

    def _beyond(self, equation: Any, scope: str) -> None:
        """Attention within an equation that is run as a whole."""
        name = equation.primitive.name
        for value in jax.tree.leaves(list(equation.params.values())):
            traced = opened(value)
            if not hasattr(traced.jaxpr, "eqns"):
                continue
            if name == "while":
                inner = Run(self.tag)
                jax.eval_shape(
                    lambda *v, inner=inner, traced=traced: inner.run(traced, list(v))[1],
                    *(jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in traced.jaxpr.invars),
                )
                self.hidden += inner.hidden
                for site, _ in inner.found:
                    self._hide(f"{site.shape} in a while loop", _joined(scope, site.scope), site.tagged)
            else:
                names = set(_primitives(traced.jaxpr, self.tag))
                if names >= LIKE_ATTENTION or self.tag in names:
                    self._hide(f"a {name}, which is not looked into", scope, self.tag in names)

    def _hide(self, what: str, scope: str, tagged: bool) -> None:
        self.hidden.append((what + (f" ({scope})" if scope else ""), tagged))


def _beside(tag: Text | None, shift: int) -> Any:
    """The tag of weights that get one axis more in front, or lose it; of what is not weights nothing is known."""
    return weights.Weights(tag.axis + shift) if isinstance(tag, weights.Weights) and tag.axis + shift >= 0 else None


def _primitives(jaxpr: Any, tag: str) -> Iterator[str]:
    """The names of all primitives of a jaxpr and of those within it, and the tag where it marks a value."""
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        if equation.primitive.name == "name" and equation.params.get("name") == tag:
            yield tag
        for value in jax.tree.leaves(list(equation.params.values())):
            inner = opened(value).jaxpr
            if hasattr(inner, "eqns"):
                yield from _primitives(inner, tag)


def _body(equation: Any) -> Traced | None:
    """The equations within a call, which are run as if they stood here; their own derivative rules are dropped."""
    name, given = equation.primitive.name, equation.params
    if (name in CALLS and "jaxpr" in given) or name in REMAT:
        return opened(given["jaxpr"])
    if name.startswith("custom_") and "call" in name:
        for key in CUSTOM:
            if key in given:
                body = opened(given[key])
                return body if len(body.jaxpr.invars) == len(equation.invars) else None
    return None


def _joined(outer: str, inner: str) -> str:
    """One path of two; what `jnp.einsum` adds to it, its subscripts, is no module."""
    parts = [part for part in inner.split("/") if part and "->" not in part]
    return "/".join(part for part in (outer, *parts) if part)
