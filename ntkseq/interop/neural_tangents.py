"""How do kernels of the library neural-tangents come in? It is made importable on current JAX, and wrapped as a Kernel.

neural-tangents 0.6.5 (December 2023, the last release) does not import on jax 0.6 or newer, and asks pip for
TensorFlow. `load` imports it on this jax and without TensorFlow; `wrap` makes a `Kernel` of one of its functions.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import jax
import jax.core
import jax.extend.core
import jax.interpreters.ad

from ntkseq._types import AnyFunction
from ntkseq.interop.foreign import Foreign

__all__ = ["load", "wrap"]

_GUEST = "neural_tangents"
_INSTALL = "pip install frozendict && pip install --no-deps neural-tangents==0.6.5"
_COVERED = "0.10 to 0.12"
_lock = threading.Lock()


def load() -> types.ModuleType:
    """The package `neural_tangents`, imported without TensorFlow on the JAX that is installed.

    The few names that JAX has moved or removed are there while the package is imported, and gone afterwards; what
    exists stays as it is, and so does JAX's configuration. If the package is imported already, that is what you get.

    `stax`, `predict`, `batch`, `monte_carlo_kernel_fn` and `empirical_ntk_fn` with `implementation=1` work. Left out:
    `experimental`, which needs TensorFlow. Not kept working: implementations 2 and 3 of the empirical kernel, which
    take JAX's inner structures apart.

    Raises:
        ImportError: not installed, or this JAX has moved more than is known here.

    Example:
        >>> from ntkseq.interop import neural_tangents
        >>> nt = neural_tangents.load()  # doctest: +SKIP
        >>> _, _, kernel_fn = nt.stax.serial(nt.stax.Dense(1), nt.stax.Relu(), nt.stax.Dense(1))  # doctest: +SKIP
        >>> kernel = neural_tangents.wrap(kernel_fn)  # doctest: +SKIP
    """
    with _lock:
        found = sys.modules.get(_GUEST)
        if found is not None and hasattr(found, "stax"):
            return found
        for needed in (_GUEST, "frozendict"):
            if not _there(needed):
                raise ImportError(
                    f"{needed} is not installed, and kernels of neural-tangents need it. Install it without "
                    f"TensorFlow: {_INSTALL}"
                )
        before = set(sys.modules)
        try:
            with _names():
                return importlib.import_module(_GUEST)
        except (ImportError, AttributeError) as error:
            for name in set(sys.modules) - before:  # half of it would look like a package that was imported
                if name == _GUEST or name.startswith(f"{_GUEST}."):
                    del sys.modules[name]
            raise ImportError(
                f"neural-tangents {_version()} does not import on jax {jax.__version__} ({error}). What it needs is "
                f"known for jax {_COVERED}: install a jax in that range, or a neural-tangents that supports yours."
            ) from error


def wrap(kernel_fn: AnyFunction, *, kind: str = "ntk", rounding: float | None = None) -> Foreign:
    """A kernel function of neural-tangents as a `Kernel`: for `gram`, `spectrum`, `ridge`, the bounds, sums, multiples.

    The values are those of `kernel_fn(x1, x2, kind)`, computed under JAX's default promotion rules, for which
    neural-tangents was written.

    Args:
        kernel_fn: the third that `stax.serial` and the layers return, or any function (x1, x2 or None, get) -> (n, m).
            Keep it: another function of the same layers is another kernel, which compiles again.
        kind: "ntk" or "nngp".
        rounding: what to take for `entry_rounding`; None measures it, see `Foreign.entry_rounding`.

    Returns:
        Foreign.

    Raises:
        ValueError: not a function, an unknown kind, a negative rounding.

    Example:
        >>> import jax.numpy as jnp
        >>> from ntkseq.interop import neural_tangents
        >>> def linear(x1, x2, get):  # what stax.Dense(1, b_std=None) computes
        ...     x2 = x1 if x2 is None else x2
        ...     return x1 @ x2.T / x1.shape[1]
        >>> neural_tangents.wrap(linear)(jnp.eye(2)).tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """
    return Foreign(kernel_fn=kernel_fn, kind=kind, rounding=rounding)


@contextmanager
def _names() -> Iterator[None]:
    """What neural-tangents 0.6.5 imports and JAX has no more, there for the time of the import.

    `jax.core` lost five names to `jax.extend.core` and may lose `Value`, an annotation; `jax.util` went as a whole;
    `jax.interpreters.ad.zeros_like_p` went because no program holds it. This may go when neural-tangents has a release
    that imports.
    """
    core = jax.extend.core
    moved = {name: getattr(core, name) for name in ("Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var")}
    with ExitStack() as afterwards, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of names that are on their way out
        for module, names in (
            (jax.core, {**moved, "Value": Any}),
            (jax.interpreters.ad, {"zeros_like_p": object()}),
        ):
            for name, value in names.items():
                if not hasattr(module, name):
                    setattr(module, name, value)
                    afterwards.callback(_take_back, vars(module), name, value)
        if not _there("jax.util"):
            util = types.ModuleType("jax.util")
            vars(util).update(safe_map=_safe_map, safe_zip=_safe_zip)
            sys.modules["jax.util"] = util
            afterwards.callback(_take_back, sys.modules, "jax.util", util)
        sys.modules.setdefault(f"{_GUEST}.experimental", _Experimental(f"{_GUEST}.experimental"))
        yield


def _there(module: str) -> bool:
    return module in sys.modules or importlib.util.find_spec(module) is not None


def _safe_map(f: Callable[..., Any], *args: Any) -> list[Any]:
    return [f(*given) for given in zip(*args, strict=True)]


def _safe_zip(*args: Any) -> list[Any]:
    return list(zip(*args, strict=True))


def _take_back(names: dict[str, Any], name: str, value: object) -> None:
    if names.get(name) is value:
        del names[name]


class _Experimental(types.ModuleType):
    """Stands for `neural_tangents.experimental`, whose import needs TensorFlow."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked for by inspect, pickle and the like
            raise AttributeError(name)
        raise ImportError(
            f"neural_tangents.experimental.{name} needs TensorFlow, and was left out when ntkseq imported "
            "neural_tangents. To use it, import neural_tangents yourself first, with TensorFlow and a jax it supports."
        )


def _version() -> str:
    try:
        return importlib.metadata.version("neural-tangents")
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"
