"""What is a definition of effective rank, and what can be asked of every one?"""

from __future__ import annotations

import abc
import dataclasses
import math
import re
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _precision
from ntkseq.spectra.interval import Interval

if TYPE_CHECKING:
    from ntkseq.spectra.partial import PartialSpectrum


class EffectiveRank(abc.ABC):
    """A definition of effective rank: how many directions a spectrum holds.

    A definition is a frozen object, hashable, and its options are its fields. One of your own is a subclass with `of`,
    and goes wherever a rank is asked for: `effective_rank`, spectra, batches of matrices (under `jax.jit` too), probes.
    Its bounds say nothing unless `bounds` is written as well: [-inf, inf]. `batched` and `of_partial` are worth writing
    where batches are large, or spectra partial.

    Example:
        >>> import dataclasses, numpy as np
        >>> from ntkseq import effective_rank, spectra
        >>> @dataclasses.dataclass(frozen=True)
        ... class Above(spectra.ranks.EffectiveRank):
        ...     level: float
        ...
        ...     def of(self, s):
        ...         return float(np.sum(s > self.level))
        ...
        ...     def bounds(self, s, errors):
        ...         return self.of(s - errors), self.of(s + errors)
        >>> effective_rank([3.0, 2.0, 0.1], Above(1.0)), Above(1.0).name
        (2.0, 'above_1')
    """

    @property
    def name(self) -> str:
        """A word for tables and files: the class in lower case, and the fields; a point is an underscore."""
        fields = dataclasses.fields(self) if dataclasses.is_dataclass(self) else ()
        values = (getattr(self, field.name) for field in fields)
        return word(type(self).__name__.lower(), *(value for value in values if value is not None))

    @property
    def formula(self) -> str:
        """The definition in a few words, s being the values in descending order."""
        return (type(self).__doc__ or "").split("\n")[0]

    @abc.abstractmethod
    def of(self, s: Float[np.ndarray, " n"]) -> float:
        """The rank of values in host float64, descending, >= 0, zeros included; all of them may be zero."""

    def estimate(self, s: Float[np.ndarray, " n"], errors: Float[np.ndarray, " n"]) -> float:
        """The rank of values that are known within `errors`: that of the values, unless the errors decide."""
        return self.of(s)

    def bounds(self, s: Float[np.ndarray, " n"], errors: Float[np.ndarray, " n"]) -> tuple[float, float]:
        """Lower and upper bound of the rank of every spectrum >= 0 whose values lie within `errors` of `s`.

        They hold for every choice of exact values, and need not be the least such bounds. (nan, nan): not defined for
        some of these spectra.

        Args:
            s: values, descending, >= 0.
            errors: bound of |s - exact| per value.
        """
        return -math.inf, math.inf

    def interval(self, s: Float[np.ndarray, " n"], errors: Float[np.ndarray, " n"]) -> Interval:
        """`estimate` within `bounds`."""
        lower, upper = self.bounds(s, errors)
        return Interval(lower, self.estimate(s, errors), upper)

    def of_partial(self, part: PartialSpectrum) -> Interval:
        """The rank of a matrix of which `part` is known: leading eigenvalues, and of the others a density.

        Raises:
            ValueError: the definition needs every eigenvalue, or more than is known.
        """
        raise needs_all(self)

    def batched(self, s: Float[Array, "... n"]) -> Float[Array, "..."]:
        """The rank of each row of singular values >= 0, descending, in JAX; what is not finite has any rank.

        Unless it is written, `of` runs on the host for each row.
        """
        s = jnp.where(jnp.all(jnp.isfinite(s), axis=-1, keepdims=True), s, 0)
        return jax.pure_callback(self._rows, jax.ShapeDtypeStruct(s.shape[:-1], s.dtype), s, vmap_method="expand_dims")

    def _rows(self, s: Array) -> np.ndarray:
        rows = np.asarray(s)
        flat = rows.reshape(-1, rows.shape[-1]).astype(np.float64)
        return np.array([self.of(row) for row in flat], rows.dtype).reshape(rows.shape[:-1])

    def of_matrices(self, A: Float[Array, "... rows columns"], once: float) -> Float[Array, "..."]:
        """The rank of each matrix, nan where it is not finite; singular values of the size of rounding count as 0.

        Args:
            A: the matrices, no axis empty.
            once: eps of the half precision in which entries were rounded before; 0: none.
        """
        s = jnp.linalg.svd(A, compute_uv=False)  # descending
        known = jnp.all(jnp.isfinite(s), axis=-1)  # under a trace nothing was refused
        floor = max(A.shape[-2:]) * _precision.eps(A.dtype) * s[..., :1]
        if once:
            floor = jnp.maximum(floor, 0.5 * once * jnp.sqrt(jnp.sum(s * s, axis=-1, keepdims=True)))
        return jnp.where(known, self.batched(jnp.where(s > floor, s, 0)), jnp.nan)


def word(*parts: object) -> str:
    """One word of letters, digits and underscores, as columns of a table have it."""
    texts = (f"{part:g}" if isinstance(part, float) else f"{part}" for part in parts)
    return re.sub(r"\W", "_", "_".join(texts))


def needs_all(rank: EffectiveRank) -> ValueError:
    """The error of a definition that a partial spectrum does not bound."""
    return ValueError(
        f"effective rank {rank.name!r} needs every eigenvalue; only part of them is known. Take "
        '"entropy", "stable", "intrinsic", "participation", "numerical" or ranks.Dimension(reg), or '
        'spectrum(K, method="dense").'
    )


def check_power(power: int) -> None:
    """Of s: 1, or of the energies s^2: 2."""
    if not isinstance(power, int) or isinstance(power, bool) or power not in (1, 2):
        raise ValueError(f"power must be 1 (of s) or 2 (of the energies s^2); got {_checks.shown(power)}.")


def ends(s: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[max(s - error, 0), s + error], rounded outwards."""
    low, high = np.nextafter(s - errors, -np.inf), np.nextafter(s + errors, np.inf)
    return np.maximum(np.where(errors > 0, low, s), 0.0), np.where(errors > 0, high, s)


def resolved(s: np.ndarray, errors: np.ndarray) -> int:
    """The number of values that are certainly positive: up to the last one above its error."""
    positive = np.flatnonzero(s > errors)  # and so are all that are larger
    return int(positive[-1]) + 1 if positive.size else 0


def clipped(part: PartialSpectrum, numbers: tuple[float, float, float], least: float) -> Interval:
    """(lower, estimate, upper) within [least, n]; where the largest eigenvalue may be 0, within [0, n]."""
    lower, estimate, upper = numbers
    lower, upper = max(lower, least if part.max_eigenvalue.lower > 0 else 0.0), min(upper, float(part.n))
    estimate = min(max(estimate, lower), upper)
    return Interval(float(lower), float(estimate), float(upper))


def unresolved(part: PartialSpectrum) -> tuple[float, float, float] | None:
    """What any rank is where the largest eigenvalue may be zero; None where it is positive."""
    if part.max_eigenvalue.lower > 0:
        return None
    return (0.0, 0.0, 0.0) if part.values[0] + part.errors[0] == 0 else (0.0, 1.0, float(part.n))
