"""What does every public callable answer to junk? Run by itself, without the hooks of the test run: users have none.

Every argument of a call that works is replaced by one piece of junk after another. An answer is an error of this
library, of one line, that names the argument, or a result without NaN.
"""

from __future__ import annotations

import collections
import json
import os
import pathlib
import re
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import junk_calls
import numpy as np
from junk_calls import CALLS, KEY

import ntkseq

PACKAGE = str(pathlib.Path(ntkseq.__file__).parent)
ANSWERS = (ValueError, OSError, ImportError, FloatingPointError)
LONGEST = 700
LEFT_OUT = {("Curve", name, "an array of NaN") for name in ("x", "y", "low", "high")}
"""Numbers of a picture that are not finite are not drawn. Of `Model.init` only the shape and dtype of x count."""
USERS = ("linear", "attention", "recur", "seen", "updated")
"""Functions that stand for those of a user: what they raise themselves is theirs."""


def junk(valid: Any) -> Iterator[tuple[str, Any]]:
    """What may be passed by mistake in the place of `valid`."""
    yield "None", None
    yield "a string", "junk"
    yield "an empty string", ""
    yield "a complex number", 1j
    yield "-1", -1
    yield "a huge int", 2**70
    yield "nan", float("nan")
    yield "inf", float("inf")
    yield "[]", []
    yield "{}", {}
    yield "an object", object()
    yield "a list of unequal length", [[1.0, 2.0], [3.0]]
    yield "an array of objects", np.array([None, "a", 1.0], dtype=object)
    yield "an empty array", np.zeros((0,))
    shape = np.shape(valid) if isinstance(valid, (np.ndarray, jax.Array)) and not _is_key(valid) else (4,)
    dtype = valid.dtype if isinstance(valid, np.ndarray) and valid.dtype.kind == "f" else np.float64
    yield "an array of NaN", np.full(shape, np.nan, dtype)
    yield "a complex array", np.full(shape, 1j)
    yield "an array of strings", np.full(shape, "a")
    yield "another rank", np.ones((*shape, 1, 1), dtype)
    yield "masked", np.ma.masked_array(np.ones(shape, dtype), mask=True)
    yield "a key", KEY


def _is_key(value: Any) -> bool:
    return isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def judged(call: Callable[[], Any], argument: str, what: str) -> str | None:
    """What is wrong with the answer; None: nothing."""
    try:
        call()
    except ANSWERS as error:
        said, frames = str(error), traceback.extract_tb(error.__traceback__)
        if frames[-1].filename == junk_calls.__file__ and frames[-1].name in USERS:  # the user's own function
            return None
        own = isinstance(error, OSError) or frames[-1].filename.startswith(PACKAGE)
        if not own:
            return f"foreign: {type(error).__name__}: {said.splitlines()[0] if said else ''}"
        if "\n" in said.strip() or len(said) > LONGEST:
            return f"long: {said.splitlines()[0][:80]}"
        if not isinstance(error, OSError) and not re.search(rf"\b({argument}|{argument.strip('_012')})\b", said):
            return f"unnamed: {said[:100]}"
        return None
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        if at.filename == junk_calls.__file__ and at.name in USERS:  # the user's own function
            return None
        return (
            f"foreign: {type(error).__name__} at {at.filename[-40:]}:{at.lineno}: {str(error).strip().splitlines()[:1]}"
        )
    return "accepted" if "nan" in what.lower() or what == "masked" else None


def traced(function: Callable[..., Any], arguments: dict[str, Any], name: str) -> Callable[[], Any]:
    """The call with one argument traced."""

    def call() -> Any:
        def inside(value: Any) -> Any:
            function(**(arguments | {name: value}))
            return 0

        return jax.jit(inside)(arguments[name])

    return call


def sweep(only: str = "") -> tuple[int, list[tuple[str, str, str, str]]]:
    """How many calls, and those that were answered wrongly: callable, argument, junk, what is wrong.

    only: letters in the names of the callables that are tried.
    """
    count, wrong = 0, []
    for title, (function, arguments) in CALLS.items():
        if only not in title:
            continue
        for name, valid in arguments.items():
            calls: list[tuple[str, Callable[[], Any]]] = [
                (what, partial(function, **(arguments | {name: value}))) for what, value in junk(valid)
            ]
            if isinstance(valid, (np.ndarray, jax.Array)) and not _is_key(valid):
                calls.append(("a tracer", traced(function, arguments, name)))
            for what, call in calls:
                count += 1
                found = judged(call, name, what)
                if found == "accepted" and ((title, name) == ("Model.init", "x") or (title, name, what) in LEFT_OUT):
                    continue
                if found is not None:
                    wrong.append((title, name, what, found))
    return count, wrong


def broken() -> list[str]:
    """The calls that do not work as they stand: they would show nothing."""
    found = []
    for title, (function, arguments) in CALLS.items():
        try:
            function(**arguments)
        except Exception as error:
            if "nothing." not in str(error):  # a file that is not there
                found.append(f"{title}: {type(error).__name__}: {str(error)[:200]}")
    return found


if __name__ == "__main__":
    os.chdir(tempfile.mkdtemp())
    warnings.simplefilter("ignore")
    failed = broken()
    count, wrong = sweep(*sys.argv[1:])
    kinds = collections.Counter(what.split(":")[0] for *_, what in wrong)
    json.dump({"calls": count, "kinds": kinds, "broken": failed, "wrong": wrong}, sys.stdout)
