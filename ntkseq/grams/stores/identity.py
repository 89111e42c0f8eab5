"""By what are a kernel and its inputs known again? By what a user can set in the one, and each example of the other."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
import re
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _keys
from ntkseq._types import AnyKernel, ArrayLike, Inputs, Lengths
from ntkseq.empirical import fingerprint
from ntkseq.empirical.function import Function

_SHOWN = 5  # examples that a refusal names
_LETTERS = 16  # hexadecimal digits by which an example is known


def of_kernel(kernel: AnyKernel, x: Inputs, lengths: Lengths) -> dict[str, Any]:
    """Class and hyper-parameters, as JSON holds them: numbers themselves, arrays by dtype, shape and digest.

    A function that is held (a network of `empirical.NTK`) is known by its equations.
    """
    return _described(kernel, lambda function: _equations(function, x, lengths))


def of_inputs(x: Inputs, lengths: Lengths) -> dict[str, Any]:
    """What one example is, and a digest of each: of the bytes that JAX is given."""
    leaves = [_canonical(leaf) for leaf in jax.tree.leaves(_keys.laid_open(x))]
    parts = leaves if lengths is None else [*leaves, np.asarray(lengths).astype(np.int64)]
    digests = []
    for i in range(len(leaves[0])):
        code = hashlib.blake2b(digest_size=_LETTERS // 2)
        for leaf in parts:
            code.update(np.ascontiguousarray(leaf[i]).tobytes())
        digests.append(code.hexdigest())
    return {
        "examples": len(digests),
        "dtype": [leaf.dtype.name for leaf in leaves],
        "shape": [list(leaf.shape[1:]) for leaf in leaves],
        "lengths": lengths is not None,
        "digests": "".join(digests),
    }


def kernel_differences(was: Any, now: Any, name: str = "kernel") -> Iterator[str]:
    """In which hyper-parameters two kernels differ, in words: "kernel.sigma_w was 1.4 and is 1.5"."""
    if _is_fingerprint(was) and _is_fingerprint(now):
        if not fingerprint.same(was, now) and not fingerprint.rewritten(was, now):
            yield f"what {name} computes {fingerprint.difference(was, now)}"
        return
    if isinstance(was, Mapping) and isinstance(now, Mapping) and "code" in was and "code" in now:
        other_python = was["python"] != now["python"]  # which compiles the same text to other bytes
        if was["name"] != now["name"] or (was["code"] != now["code"] and not other_python):
            yield f"{name} was {was['name']}" + (
                f" and is {now['name']}" if was["name"] != now["name"] else ", changed"
            )
        return
    if isinstance(was, Mapping) and isinstance(now, Mapping) and was.get("class") == now.get("class"):
        for key in {**was, **now}:
            if key != "class":
                yield from kernel_differences(was.get(key), now.get(key), f"{name}.{key}")
        return
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for i, (one, other) in enumerate(zip(was, now, strict=True)):
            yield from kernel_differences(one, other, f"{name}[{i}]")
        return
    if was != now:
        yield f"{name} was {_shown(was)} and is {_shown(now)}"


def input_differences(was: Mapping[str, Any], now: Mapping[str, Any], name: str) -> Iterator[str]:
    """In what the examples of a store differ from those that are given; more of them is no difference."""
    if was["lengths"] != now["lengths"]:
        yield f"lengths of {name} were " + ("given and are not" if was["lengths"] else "not given and are")
        return
    for key, words in (("dtype", "dtype"), ("shape", "shape of an example")):
        if was[key] != now[key]:
            one, other = (of[key][0] if len(of[key]) == 1 else of[key] for of in (was, now))
            yield f"{words} of {name} was {_shown(one)} and is {_shown(other)}"
            return
    if was["examples"] > now["examples"]:
        yield f"{name} had {was['examples']} examples and has {now['examples']}"
        return
    differ = [
        i
        for i in range(was["examples"])
        if was["digests"][i * _LETTERS : (i + 1) * _LETTERS] != now["digests"][i * _LETTERS : (i + 1) * _LETTERS]
    ]
    if differ:
        some = ", ".join(map(str, differ[:_SHOWN]))
        more = f" and {len(differ) - _SHOWN} more" if len(differ) > _SHOWN else ""
        one = len(differ) == 1
        yield f"{'example' if one else 'examples'} {some}{more} of {name} {'is' if one else 'are'} not the same"


def _described(value: Any, equations: Callable[[Function], Any]) -> Any:
    again = lambda one: _described(one, equations)  # noqa: E731
    if isinstance(value, Function):
        known = {"equations of f": equations(value), "outputs": value.outputs, "trained": value.names}
        held = {jax.tree_util.keystr(path): again(leaf) for path, leaf in
                jax.tree.leaves_with_path(jax.tree.unflatten(value.tree, value.leaves))}  # fmt: skip
        return {"class": "Function", **known, "params": {"class": "params", **held}, "rates": again(value.roots)}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        return _array(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: again(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"class": f"{type(value).__module__}.{type(value).__qualname__}", **fields}
    if isinstance(value, Mapping):
        return {"class": "dict", **{str(key): again(one) for key, one in value.items()}}
    if isinstance(value, (list, tuple)):
        return [again(one) for one in value]
    if callable(value):
        return _code(value, again)
    return re.sub(r"0x[0-9a-f]+", "", repr(value))


def _array(value: ArrayLike) -> Any:
    """One number as a number; an array by dtype, shape and digest."""
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    held = np.ascontiguousarray(value)
    if held.size == 1 and held.dtype.kind in "iufb":
        return held.reshape(()).item()
    return f"{held.dtype.name}{list(held.shape)} {hashlib.sha256(held.tobytes()).hexdigest()[:_LETTERS]}"


def _code(value: Any, again: Callable[[Any], Any]) -> dict[str, Any]:
    """A function by its name, and what Python made of its text."""
    name = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    code = hashlib.sha256()

    def add(code_object: types.CodeType) -> None:
        code.update(code_object.co_code + repr(code_object.co_names).encode())
        for constant in code_object.co_consts:
            if isinstance(constant, types.CodeType):
                add(constant)
            else:
                code.update(repr(constant).encode())

    if isinstance(value, types.FunctionType):
        add(value.__code__)
        held = [cell.cell_contents for cell in value.__closure__ or ()]
        code.update(repr([again(one) for one in held if one is not value]).encode())
        code.update(repr(again(list(value.__defaults__ or ()))).encode())
    elif hasattr(value, "func"):  # functools.partial
        code.update(repr([again(value.func), again(list(value.args)), again(value.keywords)]).encode())
    python = ".".join(platform.python_version_tuple()[:2])
    return {"name": name, "code": code.hexdigest()[:_LETTERS], "python": python}


def _equations(function: Function, x: Inputs, lengths: Lengths) -> dict[str, Any]:
    """What f computes at one example."""
    examples = function.inputs(x, lengths)
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), examples)
    return fingerprint.fingerprint(function.outputs_at, function.weights, one)


def _is_fingerprint(value: object) -> bool:
    return isinstance(value, Mapping) and {"equations", "operations", "arrays", "by"} <= set(value)


def _canonical(leaf: ArrayLike) -> np.ndarray:
    """As JAX holds it: float64 is float32 in its 32-bit mode."""
    array = np.asarray(leaf)
    return array.astype(jax.dtypes.canonicalize_dtype(array.dtype), copy=False)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and "class" in value:
        value = str(value["class"]).removeprefix("ntkseq.")
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
