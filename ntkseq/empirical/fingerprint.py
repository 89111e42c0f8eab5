"""By what is a computation known again in another process? By its equations, and the numbers in them."""

from __future__ import annotations

import hashlib
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq._precision import eps, wide
from ntkseq._types import ArrayLike, Inputs, PyTree
from ntkseq.empirical import trace

LIBRARIES = ("jax", "jaxlib", "optax", "flax", "equinox")
"""Whose versions may write the same function in other equations."""

ULPS = 64.0
"""What another machine may round otherwise in an array that was computed before the run."""

NAMES = ("name", "debug_info", "name_and_src_info")
"""Parameters of equations that say where they come from."""

SHOWN = 4
"""Operations that a refusal names for each side."""


def fingerprint(f: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """What f computes at arguments of these shapes, as JSON holds it.

    Names of functions and variables, and where `jit` stands, do not count. What a callback into Python does is not
    seen.

    Args:
        f: any function that JAX traces.
        arguments: arrays or ShapeDtypeStructs, as for `jax.make_jaxpr`.

    Returns:
        A hash of the equations with the numbers written into them; how often each operation occurs; the arrays that f
        holds, with hashes and three sums each; the versions and the backend by which the equations were written.
    """
    traced = trace.trace(f, *arguments)
    walk = _Walk()
    outs = walk.equations(traced, [walk.fresh(variable) for variable in traced.jaxpr.invars])
    walk.lines.append(" ".join(outs))
    return {
        "equations": hashlib.sha256("\n".join(walk.lines).encode()).hexdigest()[:16],
        "operations": dict(sorted(walk.operations.items())),
        "arrays": walk.arrays,
        "by": {name: version for name in LIBRARIES if (version := _version(name))} | {"backend": jax.default_backend()},
    }


def parts(f: Callable[..., Any], weights: PyTree, x: Inputs, loss: Callable[..., Any], y: ArrayLike) -> dict[str, Any]:
    """Fingerprints of f(weights, x) -> (o,) and of the loss, each with its derivative.

    The derivative counts, since a function may bring one of its own.
    """
    out = jax.eval_shape(f, weights, x)
    wanted = jax.ShapeDtypeStruct(out.shape, wide(out.dtype))

    def pulled(weights: PyTree, x: Inputs, slope: PyTree) -> Any:
        value, pull = jax.vjp(lambda weights: f(weights, x), weights)
        return value, pull(slope)

    return {
        "what f computes": fingerprint(pulled, weights, x, out),
        "what the loss computes": fingerprint(jax.value_and_grad(loss), wanted, y),
    }


def same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two fingerprints are of one computation; arrays up to what another machine may round differently."""
    if a["equations"] != b["equations"] or len(a["arrays"]) != len(b["arrays"]):
        return False
    return all(map(_same_array, a["arrays"], b["arrays"]))


def difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """In what two fingerprints differ, in words."""
    old, new = Counter(was["operations"]), Counter(now["operations"])
    if old != new:
        return f"had {_listed(old - new)} and has {_listed(new - old)}, among {sum(new.values())} operations"
    if was["equations"] != now["equations"]:
        return "has the same operations with other numbers in them, or in another order"
    return "is the same with other numbers in the arrays that it holds"


def rewritten(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Which versions or backends may have written one computation in two ways, "jax 0.10.2, now 0.12.0"; "" if none."""
    before, after = was["by"], now["by"]
    moved = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return ", ".join(f"{name} {before.get(name, 'absent')}, now {after.get(name, 'absent')}" for name in moved)


class _Walk:
    """Equations as lines of text, the same in every process."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.operations: Counter[str] = Counter()
        self.arrays: list[dict[str, Any]] = []
        self.count = 0

    def fresh(self, variable: Any) -> str:
        """A new name."""
        self.count += 1
        return f"{self.count}:{variable.aval.str_short()}"

    def equations(self, traced: trace.Traced, given: list[str]) -> list[str]:
        """Write them down; the names of the results."""
        known = dict(zip(traced.jaxpr.invars, given, strict=True))
        known |= {v: self.array(value) for v, value in zip(traced.jaxpr.constvars, traced.consts, strict=False)}

        def name(variable: Any) -> str:
            if trace.is_literal(variable):
                return self.number(variable.val)
            return known[variable] if variable in known else self.fresh(variable)

        for equation in traced.jaxpr.eqns:
            inputs, body = [name(variable) for variable in equation.invars], equation.params.get("jaxpr")
            if equation.primitive.name in trace.CALLS and body is not None:
                known |= dict(zip(equation.outvars, self.equations(trace.opened(body), inputs), strict=True))
                continue
            self.operations[equation.primitive.name] += 1
            params = [
                f"{key}={self.param(value)}" for key, value in sorted(equation.params.items()) if key not in NAMES
            ]
            known |= {variable: self.fresh(variable) for variable in equation.outvars}
            outs = " ".join(known[variable] for variable in equation.outvars)
            self.lines.append(f"{outs} = {equation.primitive.name}[{' '.join(params)}] {' '.join(inputs)}")
        return [name(variable) for variable in traced.jaxpr.outvars]

    def param(self, value: ArrayLike) -> str:
        """A parameter of an equation; bodies of loops and branches are written down as well."""
        if hasattr(getattr(value, "jaxpr", value), "eqns"):
            body = trace.opened(value)
            inputs = [self.fresh(variable) for variable in body.jaxpr.invars]
            self.lines.append(f"body of {' '.join(inputs)}")
            return f"({' '.join(self.equations(body, inputs))})"
        if isinstance(value, (np.ndarray, jax.Array)):
            return self.number(value)
        if isinstance(value, (set, frozenset)):
            return self.param(sorted(value, key=str))
        if isinstance(value, (tuple, list)):
            return f"[{' '.join(self.param(one) for one in value)}]"
        if isinstance(value, Mapping):
            return self.param([(str(key), one) for key, one in value.items()])
        if (callable(value) and not isinstance(value, type)) or hasattr(value, "call_wrapped"):
            return "function"  # its derivative is written down where it is taken
        return re.sub(r"0x[0-9a-f]+", "", str(value))

    def number(self, value: ArrayLike) -> str:
        """A number written into an equation, exactly; an array goes to the arrays."""
        if np.ndim(value):
            return self.array(value)
        held = _host(value)
        return f"{held.dtype}:{held.tobytes().hex()}"

    def array(self, value: ArrayLike) -> str:
        """The name of an array that is held."""
        held = _host(value)
        about: dict[str, Any] = {
            "kind": f"{held.dtype}{list(held.shape)}",
            "hash": hashlib.sha256(held.tobytes()).hexdigest()[:16],
        }
        if jnp.issubdtype(held.dtype, jnp.inexact):
            numbers = np.ravel(held.astype(np.complex128 if np.iscomplexobj(held) else np.float64)).view(np.float64)
            if np.isfinite(numbers).all():
                signs = np.random.default_rng(len(self.arrays)).choice([-1.0, 1.0], (2, numbers.size))
                size = float(np.linalg.norm(numbers))
                about["sums"] = [*(signs @ numbers).tolist(), size]
                about["within"] = ULPS * float(eps(held.dtype)) * size
        self.arrays.append(about)
        return f"array {len(self.arrays)} {about['kind']}"


def _host(value: ArrayLike) -> np.ndarray:
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    return np.ascontiguousarray(value)


def _same_array(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    if a["hash"] == b["hash"] or a["kind"] != b["kind"] or "sums" not in a or "sums" not in b:
        return a["hash"] == b["hash"] and a["kind"] == b["kind"]
    return bool(np.allclose(a["sums"], b["sums"], rtol=0.0, atol=max(a["within"], b["within"])))


def _listed(operations: Counter[str]) -> str:
    named = [name if count == 1 else f"{name} {count} times" for name, count in sorted(operations.items())]
    more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
    return (", ".join(named[:SHOWN]) + more) or "nothing instead"


def _version(name: str) -> str | None:
    """Of a library that is loaded."""
    if name not in sys.modules:
        return None
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
