"""By what are a kernel and its inputs known again? By what a user can set in the one, and each example of the other."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
import re
import sys
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
_METHODS, _FREE = "ntkseq.empirical.methods.", ("memory",)  # where factors lie moves no bit of a stored matrix
_LIBRARIES = ("jax", "numpy", "scipy")  # their functions are known by name


def of_kernel(kernel: AnyKernel, x: Inputs, lengths: Lengths) -> dict[str, Any]:
    """Class and hyper-parameters, as JSON holds them: numbers themselves, arrays by dtype, shape and digest.

    A function that is held (a network of `empirical.NTK`) is known by its equations.
    """
    return _described(kernel, lambda function: _equations(function, x, lengths))


def without_memory(kernel: Any) -> Any:
    """The same description of a kernel, whatever memory its method may use."""
    if isinstance(kernel, Mapping):
        free = _FREE if str(kernel.get("class")).startswith(_METHODS) else ()
        return {key: without_memory(value) for key, value in kernel.items() if key not in free}
    return [without_memory(one) for one in kernel] if isinstance(kernel, list) else kernel


def digests(x: Mapping[str, Any]) -> list[str]:
    """Those of the examples, one by one, of what `of_inputs` says."""
    code = x["digests"]
    return [code[i : i + _LETTERS] for i in range(0, len(code), _LETTERS)]


def of_inputs(x: Inputs, lengths: Lengths) -> dict[str, Any]:
    """What one example is, and a digest of each: of the bytes that JAX is given. `x`: as the kernel reads it."""
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
        free = _FREE if str(was["class"]).startswith(_METHODS) else ()
        for key in {**was, **now}:
            if key not in ("class", *free):
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


def _described(value: Any, equations: Callable[[Function], Any], inside: tuple[int, ...] = ()) -> Any:
    """What JSON can hold of a value; `inside` are the ids of what it is part of, which a function may be of itself."""
    again = lambda one: _described(one, equations, (*inside, id(value)))  # noqa: E731
    if value is None or isinstance(value, (bool, int, str, float)):
        return value
    if id(value) in inside:
        return "itself"
    if isinstance(value, Function):
        known = {"equations of f": equations(value), "outputs": value.outputs, "trained": value.names}
        held = {jax.tree_util.keystr(path): again(leaf) for path, leaf in
                jax.tree.leaves_with_path(jax.tree.unflatten(value.tree, value.leaves))}  # fmt: skip
        rates = {"rates": again(value.roots)} | ({} if value.shares is None else {"shares": again(value.shares)})
        return {"class": "Function", **known, "params": {"class": "params", **held}, **rates}
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        return _array(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: again(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"class": f"{type(value).__module__}.{type(value).__qualname__}", **fields}
    if isinstance(value, Mapping):
        return {"class": "dict", **{str(key): again(one) for key, one in value.items()}}
    if isinstance(value, (list, tuple)):
        return [again(one) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted((again(one) for one in value), key=repr)
    if isinstance(value, types.ModuleType):
        return f"module {value.__name__}"
    if callable(value):
        return _code(value, again)
    if type(value).__repr__ is object.__repr__:  # which tells two of a class apart by their addresses alone
        return {**again(_attributes(value)), "class": f"{type(value).__module__}.{type(value).__qualname__}"}
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
    """A function by its name, what Python made of its text, and all that it looks up: what it holds, and globals."""
    name = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    code = hashlib.sha256(repr(_held(value, again)).encode())
    python = ".".join(platform.python_version_tuple()[:2])
    return {"name": name, "code": code.hexdigest()[:_LETTERS], "python": python}


def _held(value: Any, again: Callable[[Any], Any]) -> Any:
    """What the answers of something that can be called depend on, beside its name."""
    if isinstance(value, (type, types.BuiltinFunctionType)):
        return None
    if isinstance(value, types.MethodType):
        return [again(value.__func__), again(value.__self__)]
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if _full(cell)]
        own = [again(cells), again(value.__defaults__), again(value.__kwdefaults__)]
        root = value.__globals__.get("__name__", "").split(".")[0]
        if root in _LIBRARIES or (root in sys.stdlib_module_names and root != "__main__"):
            return own  # JAX of another version has another text, and is gone on with
        names: set[str] = set()
        text = _text(value.__code__, names)
        installed = "-packages" in value.__code__.co_filename
        seen = {} if installed else {one: value.__globals__[one] for one in sorted(names) if one in value.__globals__}
        return [text, own, again(seen)]
    if hasattr(value, "func"):  # functools.partial
        return [again(value.func), again(list(value.args)), again(value.keywords)]
    attributes = _attributes(value)
    if not attributes:  # jax.jit holds its function out of sight
        return again(getattr(value, "__wrapped__", None))
    methods = [again(one) for one in vars(type(value)).values() if isinstance(one, types.FunctionType)]
    return [methods, again(attributes)]


def _text(code: types.CodeType, names: set[str]) -> list[Any]:
    """What Python made of the text of a function; the names that it looks up go into `names`."""
    names.update(code.co_names)
    constants = [
        _text(one, names)
        if isinstance(one, types.CodeType)
        else sorted(map(repr, one))  # whose order is another in each process
        if isinstance(one, frozenset)
        else repr(one)
        for one in code.co_consts
    ]
    return [code.co_code, code.co_names, constants]


def _full(cell: types.CellType) -> bool:
    """Whether a variable that a function holds has a value yet."""
    try:
        _ = cell.cell_contents
        return True
    except ValueError:
        return False


def _attributes(value: Any) -> dict[str, Any]:
    """What an object of a user holds."""
    return dict(getattr(value, "__dict__", {}))


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
