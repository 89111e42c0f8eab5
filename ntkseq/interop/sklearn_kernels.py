"""How do the arguments of a kernel become parameters of an estimator, and which kernels does "auto" try?"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from ntkseq import _checks
from ntkseq._types import AnyKernel, Text
from ntkseq.interop.sklearn_inputs import Batch
from ntkseq.kernels import catalogue
from ntkseq.kernels.base import Kernel
from ntkseq.kernels.dense import Dense
from ntkseq.kernels.recurrent import Recurrent

PREFIX = "kernel__"


class KernelParameters:
    """A base of estimators with a parameter `kernel`, whose own arguments are `kernel__sigma_w` and the like."""

    kernel: Any

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters of this estimator, and with `deep` those of its kernel.

        Args:
            deep: name the arguments of the kernel, too: `kernel__sigma_w`; of a kernel in it `kernel__first__sigma_w`.
        """
        params = super().get_params(deep)  # pyright: ignore[reportAttributeAccessIssue]
        if deep and isinstance(self.kernel, Kernel):
            params.update(_arguments(self.kernel, PREFIX))
        return params

    def set_params(self, **params: Any) -> Any:
        """Set parameters, those of the kernel by a new kernel in the place of the old one, and return the estimator.

        Args:
            **params: by name.

        Raises:
            ValueError: a name that neither the estimator nor its kernel has, a value the kernel refuses.
        """
        nested = {name: params.pop(name) for name in list(params) if name.startswith(PREFIX)}
        super().set_params(**params)  # pyright: ignore[reportAttributeAccessIssue]
        if not nested:
            return self
        if not isinstance(self.kernel, Kernel):
            raise ValueError(
                f"kernel must be a Kernel for its arguments to be set, as by {next(iter(nested))}; got "
                f"{_checks.shown(self.kernel)}. Pass kernel=ntkseq.kernels.Recurrent() first."
            )
        self.kernel = _changed(self.kernel, {name.removeprefix(PREFIX): value for name, value in nested.items()})
        return self


def _arguments(kernel: AnyKernel, prefix: Text) -> Iterator[tuple[str, Any]]:
    """The arguments of a kernel and of the kernels that are among them."""
    for name in _names(kernel):
        value = getattr(kernel, name)
        yield prefix + name, value
        if isinstance(value, Kernel):
            yield from _arguments(value, f"{prefix}{name}__")


def _names(kernel: AnyKernel) -> list[str]:
    return [field.name for field in dataclasses.fields(kernel) if field.init]  # pyright: ignore[reportArgumentType]


def _changed(kernel: AnyKernel, values: dict[str, Any]) -> Kernel:
    """A copy with other arguments: all that are named at once, since some go together (depth and sigma_w of layers)."""
    inner: dict[str, dict[str, Any]] = {}
    changes: dict[str, Any] = {}
    for name, value in values.items():
        first, _, rest = name.partition("__")
        if first not in _names(kernel) or (rest and not isinstance(getattr(kernel, first), Kernel)):
            raise ValueError(
                f"kernel has no argument {name!r}; {type(kernel).__name__} takes {', '.join(_names(kernel))}."
            )
        if rest:
            inner.setdefault(first, {})[rest] = value
        else:
            changes[first] = value
    for first, below in inner.items():
        changes[first] = _changed(changes.get(first, getattr(kernel, first)), below)
    return kernel.with_(**changes)


def candidates(kernel: Any, batch: Batch) -> list[Kernel]:
    """The kernels that are compared: those given, or for "auto" a grid that fits the data.

    Raises:
        ValueError: no Kernel, no name of one, no list of them, and not "auto"; a dense kernel for sequences.
    """
    if isinstance(kernel, str) and kernel == "auto":
        return _grid(batch)
    each: list[Any] = list(kernel) if isinstance(kernel, (list, tuple)) else [kernel]
    each = [catalogue.get(one) if isinstance(one, str) and one in catalogue.ENTRIES else one for one in each]
    if not each or not all(isinstance(one, Kernel) for one in each):
        raise ValueError(
            f'kernel must be a Kernel, a list of them to choose from, "auto", or a short name '
            f"({', '.join(catalogue.names())}); got {_checks.shown(kernel)}. See ntkseq.kernels."
        )
    if batch.lengths is not None and any(isinstance(one, Dense) for one in each):
        raise ValueError(
            'layout must be "nd" for kernels.Dense, which takes vectors (n, d); without it the rows of X are read as '
            "sequences, for kernels.Recurrent and its like."
        )
    return each


def default(batch: Batch) -> Kernel:
    """The kernel of features that are to be made without targets."""
    return _grid(batch)[0]


PAIRS = 4e10
"""Pairs of steps of all pairs of examples, n^2 t^2, up to which "auto" tries the mean over steps: some 200 seconds."""


def _grid(batch: Batch) -> list[Kernel]:
    """Kernels for tokens of any size, sigma_u = 1 / rms of the data: 12 recurrent ones, or 6 dense ones for vectors.

    The last step, and the mean over all or, where that takes too long, a read-out for each step; recurrent weights that
    forget, nearly keep and keep a past; a small and a large bias.
    """
    scale = _root_mean_square(batch)
    if batch.lengths is None:
        depths = itertools.product((1, 2, 3), (0.1, 0.7))
        return [Dense(sigma_w=(2**0.5 / scale, *[2**0.5] * (depth - 1)), sigma_b=b, depth=depth) for depth, b in depths]
    mean = "mean" if float(len(batch) * batch.x.shape[1]) ** 2 <= PAIRS else "steps"
    grid = itertools.product(("last", mean), (0.8, 1.1, 2**0.5), (0.1, 0.7))
    return [Recurrent(sigma_w=w, sigma_u=1.0 / scale, sigma_b=b, read=read) for read, w, b in grid]


def _root_mean_square(batch: Batch) -> float:
    """Of all numbers but padding; 1 if all are zero."""
    total = float(np.sum(np.square(batch.x, dtype=np.float64)))
    count = batch.x.shape[-1] * (len(batch) if batch.lengths is None else int(np.sum(batch.lengths)))
    return float(np.sqrt(total / count)) or 1.0
