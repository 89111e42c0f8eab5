"""Is this one number, word, key or function what was asked for? Checked with messages of one line."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq._types import DType, Key


def is_concrete(x: object) -> bool:
    """Whether the numbers of `x` can be looked at now (not a tracer, not a placeholder)."""
    if isinstance(x, jax.Array):
        try:
            x.devices()
        except jax.errors.ConcretizationTypeError:  # a tracer lives on no device
            return False
        return True
    return isinstance(x, (bool, int, float, np.ndarray, np.generic))


SHOWN = 80
"""Letters of a value in a message."""


def shown(value: object) -> str:
    """A value in a message, in one short line: of an array its shape and dtype only."""
    if isinstance(value, jax.Array) and not is_concrete(value):
        return f"a tracer of shape {value.shape}"
    if isinstance(value, (np.ndarray, jax.Array)) and value.ndim:
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if callable(value):
        return f"{type(value).__name__} {getattr(value, '__name__', '')}".strip()
    if isinstance(value, (np.ndarray, jax.Array)) and getattr(value.dtype, "kind", "key") not in tuple("fiubcUSO"):
        return f"an array of dtype {value.dtype}"
    text = " ".join(repr(value).split())
    return text if len(text) <= SHOWN else f"{type(value).__name__} {text[: SHOWN - 3]}..."


def why(error: Exception) -> str:
    """The first line of another library's complaint."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Check that `value` is one of the allowed words."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {shown(value)}.")


def positive_int(name: str, value: object) -> int:
    """Check a count: an integer >= 1."""
    return integer(name, value, 1)


def integer(name: str, value: Any, least: int, most: int = 2**63 - 1) -> int:
    """Check an integer >= `least`."""
    try:
        number = operator.index(value)
    except (TypeError, jax.errors.JAXTypeError):
        raise ValueError(f"{name} must be an integer >= {least}; got {shown(value)}.") from None
    if number < least or isinstance(value, bool):
        raise ValueError(f"{name} must be an integer >= {least}; got {shown(value)}.")
    if number > most:
        raise ValueError(f"{name} must be an integer of at most {most}; got {shown(value)}.")
    return number


def seed(name: str, value: object) -> int:
    """Check the seed of a generator of NumPy: an integer >= 0."""
    return integer(name, value, 0, 2**128)


def number(name: str, value: object, wanted: str = "a finite number") -> float:
    """Check a number, finite, as a Python float."""
    plain = isinstance(value, (bool, str, bytes, complex, np.complexfloating, type(None))) or np.ma.is_masked(value)
    try:
        held = None if plain or np.ndim(value) else float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError, OverflowError, jax.errors.JAXTypeError):
        held = None
    if held is None or not np.isfinite(held):
        raise ValueError(f"{name} must be {wanted}; got {shown(value)}.")
    return held


def probability(name: str, value: object) -> float:
    """Check a failure probability, strictly between 0 and 1."""
    held = number(name, value, "a number strictly between 0 and 1")
    if not 0.0 < held < 1.0:
        raise ValueError(f"{name} must lie strictly between 0 and 1; got {shown(value)}.")
    return held


def function(name: str, value: object, takes: str) -> Any:
    """Check that `value` can be called; `takes` says how it will be."""
    if not callable(value):
        raise ValueError(f"{name} must be a function {takes}; got {shown(value)}.")
    return value


def hashes(value: object) -> bool:
    """Whether a value and all that it holds can be hashed, as what programs are compiled for must be."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def flag(name: str, value: object) -> bool:
    """Check a choice between True and False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False; got {shown(value)}.")
    return bool(value)


def text(name: str, value: object) -> str:
    """Check words."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text; got {shown(value)}.")
    return value


def path(name: str, value: object, of: str = "a file") -> str:
    """Check the path of a file or folder, which may not be there yet."""
    if not isinstance(value, (str, os.PathLike)) or not str(value):
        raise ValueError(f"{name} must be the path of {of}; got {shown(value)}.")
    return os.fspath(value)  # pyright: ignore[reportReturnType]


def kind(name: str, value: object, wanted: type | tuple[type, ...], remedy: str = "") -> None:
    """Check that `value` is an object of a class, or of one of several."""
    if not isinstance(value, wanted):
        classes = wanted if isinstance(wanted, tuple) else (wanted,)
        names = " or ".join(f"{one.__module__}.{one.__name__}" for one in classes)
        raise ValueError(f"{name} must be a {names}; got {shown(value)}.{' ' * bool(remedy)}{remedy}")


def listed(name: str, value: object, of: str) -> tuple[Any, ...]:
    """Several things as a tuple, from a list or whatever else yields them one by one; a text or an array is none."""
    if isinstance(value, (str, bytes, Mapping, np.ndarray, jax.Array)) or not isinstance(value, Iterable):
        raise ValueError(f"{name} must be a list of {of}; got {shown(value)}.")
    return tuple(value)


def mapping(name: str, value: object, to: str) -> None:
    """Check a dictionary from names to something."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name} must be a dict from names to {to}; got {shown(value)}.")


def float_dtype(name: str, dtype: DType | None) -> np.dtype:
    """Check a requested floating dtype: one that JAX can hold in its present mode; None is the default float."""
    if dtype is None:
        return np.dtype(jnp.result_type(float))
    try:
        wanted = np.dtype(jnp.dtype(dtype))
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a floating dtype; got {shown(dtype)}. Pass e.g. jnp.float32.") from None
    if not jnp.issubdtype(wanted, jnp.floating):
        raise ValueError(f"{name} must be a floating dtype; got {wanted}. Pass e.g. jnp.float32.")
    if jax.dtypes.canonicalize_dtype(wanted) != wanted:
        raise ValueError(
            f"{name} {wanted} needs JAX's 64-bit mode, which is off. Switch it on with "
            'jax.config.update("jax_enable_x64", True), or ask for float32.'
        )
    return wanted


def prng_key(name: str, key: Key) -> jax.Array:
    """Check one random key: `jax.random.key(seed)`, or the older uint32 pair of `jax.random.PRNGKey(seed)`."""
    if isinstance(key, jax.Array):
        if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.shape == ():
            return key
        if key.dtype == jnp.uint32 and key.shape == (2,):
            return key
        came = f"an array of dtype {key.dtype} and shape {key.shape}"
    else:
        came = f"{type(key).__name__} {shown(key)}"
    raise ValueError(f"{name} must be one random key; got {came}. Pass jax.random.key(seed).")


def nonnegative(name: str, value: object, *, positive: bool = False) -> float:
    """Check a number: finite and >= 0 (or > 0), as a Python float."""
    wanted = "> 0" if positive else ">= 0"
    held = number(name, value, f"a finite number {wanted}")
    if held < 0 or (positive and held == 0):
        raise ValueError(f"{name} must be a finite number {wanted}; got {shown(value)}.")
    return held


def named(name: str, value: object, cls: type | tuple[type, ...], short: Mapping[str, Any], such_as: str) -> Any:
    """The object that a short name stands for, or the object itself; `such_as` is one to write, in messages."""
    if isinstance(value, str) and value in short:
        return short[value]
    if isinstance(value, type) and issubclass(value, cls):
        raise ValueError(f"{name} must be an object, not a class; got {value.__name__}. Write {value.__name__}(...).")
    if not isinstance(value, cls):
        words = ", ".join(map(repr, short))
        raise ValueError(f"{name} must be one of {words}, or an object such as {such_as}; got {shown(value)}.")
    return value
