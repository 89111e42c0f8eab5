"""What do all target functions share: how they are read, checked and evaluated?"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks
from ntkseq._types import AnyArray, ArrayLike
from ntkseq.concepts.series import Series

Own = TypeVar("Own", bound="Target")  # not Self, which the check of types at run time does not know in a method


class Target(abc.ABC):
    """A function f of one sequence x (t, d), whose class a theorem on recurrent networks names. A frozen pytree.

    Positions count from 0, as in `x[0]`; the papers count from 1. Directions (beta, w) are leaves, of NumPy float64
    unless given as JAX arrays, and take the dtype of x; positions and series are structure. A batch is
    `jax.vmap(target)(x)`.
    """

    references: tuple[str, ...]

    @property
    @abc.abstractmethod
    def features(self) -> int:
        """The number d of features of a token."""

    @property
    @abc.abstractmethod
    def steps(self) -> int:
        """The least number t of steps of a sequence that holds all positions."""

    @property
    @abc.abstractmethod
    def members(self) -> tuple[tuple[Series, float], ...]:
        """`(series, norm of its direction)` of each function of the target. Not under a trace."""

    @property
    def family(self) -> tuple[Series, ...]:
        """The distinct series of the target, in order: the set Phi of the theorems."""
        return tuple(dict.fromkeys(series for series, _ in self.members))

    @property
    def departures(self) -> tuple[str, ...]:
        """Where this target leaves the class as its paper states it; empty if it does not. Not under a trace."""
        return ()

    def scaled(self: Own, factor: float) -> Own:
        """The same target with all directions times `factor`: of tokens that much shorter it has the same values."""
        return jax.tree.map(lambda beta: beta * float(factor), self)

    @property
    def degree(self) -> int | None:
        """The largest degree of the polynomials; None if a series does not end."""
        degrees = [one.degree for one in self.family]
        return None if None in degrees else max(d for d in degrees if d is not None)

    @abc.abstractmethod
    def __call__(self, x: ArrayLike) -> Any:
        """f(x) for one sequence."""

    def read(self, x: ArrayLike) -> Float[Array, "t d"]:
        """The sequence, if all positions and features are there.

        Raises:
            ValueError: not one sequence of this many features, or too short for the positions.
        """
        x = _checks.example("x", x, "t d")
        _checks.finite("x", x)
        if x.shape[1] != self.features:
            raise ValueError(f"x must have d = {self.features} features, as the directions have; got {x.shape}.")
        if x.shape[0] < self.steps:
            raise ValueError(
                f"x must have at least {self.steps} steps, since the target looks at position {self.steps - 1} "
                f"(counted from 0); got {x.shape}. Pass longer sequences, or move the target."
            )
        return x


class Parts(Target):
    """A target that is a sum over `parts`, each a function `series` of one token along a direction `beta`."""

    parts: Any

    @property
    def members(self) -> tuple[tuple[Series, float], ...]:
        return tuple((part.series, norm(part.beta)) for part in self.parts)

    @property
    def features(self) -> int:
        return self.parts[0].beta.shape[-1]

    @property
    def norms(self) -> Float[np.ndarray, " k"]:
        """|beta| of each part, in host float64."""
        return np.array([norm(part.beta) for part in self.parts])


def position(name: str, value: object) -> int:
    """Check one position: an integer >= 0."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise ValueError(
            f"{name} must be an integer >= 0, counted from 0 at the first token; got {_checks.shown(value)}."
        )
    return int(value)


def directions(name: str, beta: AnyArray, axes: str) -> Any:
    """Check directions with the named axes; NumPy float64 unless they are JAX arrays. Placeholders pass."""
    wanted = f"({axes.replace(' ', ', ')}{'' if ' ' in axes else ','})"
    _checks.unmasked(name, beta)
    if not isinstance(beta, jax.Array):
        try:
            beta = np.asarray(beta, np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"{name} must be numbers of shape {wanted}; got {_checks.shown(beta)}.") from None
    if beta.ndim != len(axes.split()) or 0 in beta.shape or not jnp.issubdtype(beta.dtype, jnp.floating):
        raise ValueError(f"{name} must be floats of shape {wanted}, no axis empty; got {beta.dtype} {beta.shape}.")
    _checks.finite(name, beta)
    return beta


def same_features(name: str, betas: Iterable[Any]) -> int:
    """The one number of features that all directions have."""
    sizes = sorted({beta.shape[-1] for beta in betas})
    if len(sizes) > 1:
        raise ValueError(f"all {name} must have one number d of features, that of a token; got {sizes}.")
    return sizes[0]


def norm(beta: AnyArray) -> float:
    """|beta| in host float64."""
    return float(np.linalg.norm(np.asarray(beta, np.float64)))


def in_dtype(beta: AnyArray, x: Array) -> Array:
    """Directions in the dtype of x."""
    return beta.astype(x.dtype) if isinstance(beta, jax.Array) else jnp.asarray(beta, x.dtype)


def product(equation: str, x: Array, beta: Array) -> Array:
    """An einsum at full precision."""
    return jnp.einsum(equation, x, beta, precision="highest")


def by_series(series: Iterable[Series]) -> Iterator[tuple[Series, np.ndarray]]:
    """Each series with the places where it stands, so that it is evaluated once."""
    listed = list(series)
    for one in dict.fromkeys(listed):
        yield one, np.array([k for k, other in enumerate(listed) if other == one])
