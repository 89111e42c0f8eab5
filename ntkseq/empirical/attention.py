"""Where does a model look? The attention matrices inside any function f(params, x), without editing the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from ntkseq.empirical import weights
from ntkseq.empirical.trace import CALLS, REMAT, Traced, evaluate, is_literal, opened, scan_counts, trace

CUSTOM = ("call_jaxpr", "fun_jaxpr", "jaxpr")
CLOSED_LOOPS = frozenset({"while", "cond"})


@dataclasses.dataclass(frozen=True)
class Site:
    """Where an attention matrix was found.

    Attributes:
        scope: the names of the modules around it, as the framework gave them; may be empty.
        shape: of the matrices for one example, (..., queries, keys).
        loop: lengths of the loops around it, whose axes stand in front of the shape.
        tagged: whether a name tag marks it; otherwise its structure does.
    """

    scope: str
    shape: tuple[int, ...]
    loop: tuple[int, ...] = ()
    tagged: bool = False

    def __str__(self) -> str:
        how = "named" if self.tagged else "found"
        return f"{how} {self.shape}" + (f" in {self.scope}" if self.scope else "")


@dataclasses.dataclass(frozen=True)
class AttentionWeights:
    """attention(params, x) -> the attention matrices of f for one example, one array (..., queries, keys) per layer.

    Made by `attention_weights`. Two of the same f and tag are equal and share their compiled programs.
    """

    f: Callable[..., Any]
    tag: str

    def __call__(self, params: Any, *x: Any) -> tuple[Array, ...]:
        """The matrices in the order in which f makes them; layers in a `lax.scan` are one array, stacked in front.

        Axes of length 1 in front of a matrix, such as a batch axis of a model that wants one, are dropped.

        Args:
            params: of f.
            *x: one example; whatever f takes behind the parameters.

        Raises:
            ValueError: f has no attention that can be seen.
        """
        return self.with_output(params, *x)[1]

    def with_output(self, params: Any, *x: Any) -> tuple[Any, tuple[Array, ...]]:
        """f(params, *x) and the matrices, from one run."""
        found, out = self._run(params, x)
        return out, tuple(array for _, array in found)

    def sites(self, params: Any, *x: Any) -> tuple[Site, ...]:
        """What was found where, without computing anything."""
        told: list[Site] = []

        def look(*arguments: Any) -> Any:
            found, _ = self._run(arguments[0], arguments[1:])
            told[:] = [site for site, _ in found]
            return [array for _, array in found]

        jax.eval_shape(look, params, *x)
        return tuple(told)

    def _run(self, params: Any, x: tuple[Any, ...]) -> tuple[list[tuple[Site, Array]], Any]:
        leaves, tree = jax.tree.flatten((params, x))
        out_tree: list[Any] = []

        def flat(*values: Any) -> list[Any]:
            params, x = jax.tree.unflatten(tree, values)
            out, shape = jax.tree.flatten(self.f(params, *x))
            out_tree[:] = [shape]
            return out

        traced = trace(flat, *leaves)
        found, out, blind = _Run(self.tag).run(traced, list(leaves))
        if not found:
            where = f" It has {' and '.join(sorted(blind))} loops, which are not looked into." if blind else ""
            raise ValueError(
                "no attention matrix was found in f: no values that are divided by their own sum and then multiplied "
                f"with values along that axis.{where} Mark the matrices in your model: "
                f'A = checkpoint_name(A, "{self.tag}"), from jax.ad_checkpoint import checkpoint_name.'
            )
        if named := [pair for pair in found if pair[0].tagged]:
            found = named  # whoever marks matrices says which they are
        return found, jax.tree.unflatten(out_tree[0], out)


def attention_weights(f: Any, *, tag: Any = "attention") -> AttentionWeights:
    """The function (params, x) -> attention matrices of a model, read off its equations.

    Nothing in the model changes. An attention matrix is what is divided by its own sum and then contracted with other
    values along that axis: a softmax, or the exponential of a log-softmax, with masks, dropout and casts on the way,
    in a `vmap`, a `scan` or a rematerialised block. Where you normalise otherwise, or not at all (linear or relu
    attention), or where a softmax of another kind is taken for attention, mark the matrices (..., queries, keys)
    yourself, by a tag that JAX carries along and that costs nothing:

        from jax.ad_checkpoint import checkpoint_name
        A = checkpoint_name(A, "attention")

    If one matrix is marked, only marked ones are returned.

    Args:
        f: f(params, x) for one example, as `empirical.NTK` takes it; for flax and equinox what `interop.flax.function`
            and `interop.equinox.function` return. Dropout must be off, or the matrices are those behind it.
        tag: the name that marks matrices.

    Returns:
        AttentionWeights: a function for `training.AttentionRankProbe` and `spectra.attention_ranks`, to be called,
        jitted and vmapped.

    Raises:
        ValueError: f is not callable; when called, no attention was found. A fused attention kernel that never forms
            the matrix has none to show; while loops and conditionals are not looked into.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import empirical
        >>> def f(params, x):  # x (t, d)
        ...     A = jax.nn.softmax(x @ params @ x.T)
        ...     return (A @ x).mean(0)
        >>> x = jax.random.normal(jax.random.key(0), (5, 3))
        >>> (A,) = empirical.attention_weights(f)(jnp.eye(3), x)
        >>> A.shape, A.sum(1).round(3).tolist()
        ((5, 5), [1.0, 1.0, 1.0, 1.0, 1.0])
    """
    if not callable(f):
        raise ValueError(f"f must be a function f(params, x); got {type(f).__name__}.")
    if not isinstance(tag, str) or not tag:
        raise ValueError(f"tag must be a name; got {tag!r}.")
    return AttentionWeights(f, tag)


class _Run:
    """Runs equations and keeps the matrices it meets."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.found: list[tuple[Site, Array]] = []
        self.blind: set[str] = set()

    def run(self, traced: Traced, values: list[Any]) -> tuple[list[tuple[Site, Array]], list[Any], set[str]]:
        out, _ = self._equations(traced, values, [None] * len(values), list(range(len(values))), "")
        return self.found, out, self.blind

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
                out = self._scan(equation, given, at)
                what = [(None, variable) for variable in equation.outvars]
            else:
                if equation.primitive.name in CLOSED_LOOPS:
                    self.blind.add(equation.primitive.name)
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

    def _scan(self, equation: Any, given: list[Any], scope: str) -> list[Any]:
        """The loop, with the matrices of its body stacked beside what it stacks."""
        traced, options = opened(equation.params["jaxpr"]), equation.params
        held, carried = scan_counts(equation)
        body, sites = traced.jaxpr, []

        def step(carry: list[Any], xs: list[Any]) -> tuple[list[Any], Any]:
            inner = _Run(self.tag)
            _, out, blind = inner.run(traced, [*given[:held], *carry, *xs])
            sites[:] = [site for site, _ in inner.found]
            self.blind |= blind
            carry = [jnp.asarray(v, w.aval.dtype) for v, w in zip(out[:carried], body.outvars, strict=False)]
            return carry, (out[carried:], [array for _, array in inner.found])

        start = [
            jnp.asarray(v, w.aval.dtype) for v, w in zip(given[held : held + carried], body.invars[held:], strict=False)
        ]
        last, (stacked, matrices) = lax.scan(
            step, start, given[held + carried :], length=options["length"], reverse=options["reverse"]
        )
        for site, array in zip(sites, matrices, strict=True):
            loop = (options["length"], *site.loop)
            self.found.append((dataclasses.replace(site, scope=_joined(scope, site.scope), loop=loop), array))
        return [*last, *stacked]


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
