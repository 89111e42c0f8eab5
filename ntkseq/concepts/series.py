"""Which analytic functions make up a target, and what are their Taylor coefficients and tails?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ntkseq import _checks
from ntkseq._types import AnyArray
from ntkseq.activations import Activation
from ntkseq.concepts import _sums
from ntkseq.concepts._families import FAMILIES, NOT_ANALYTIC

__all__ = [
    "cos",
    "erf",
    "exp",
    "geometric",
    "get",
    "names",
    "polynomial",
    "sigmoid",
    "sin",
    "softplus",
    "tanh",
]


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Series:
    """An analytic function by its Taylor series at zero.

    phi(z) = sum_i c_i z^i

    Made by the functions of this module, `exp()` to `polynomial(...)`; `0.5 * sin()` is one, too. A pytree without
    leaves; two of the same function are equal.

    Attributes:
        name: which function; "polynomial" for one given by its coefficients.
        factor: what the named function is multiplied by; 1 for a polynomial.
        given: coefficients of a polynomial, from z^0 on; empty for a named function.

    Raises:
        ValueError: an unknown name, coefficients beside a name, a factor that is zero or not finite.
    """

    name: str
    factor: float = 1.0
    given: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise ValueError(f"name must be the name of a series; got {_checks.shown(self.name)}.")
        _checks.number("factor", self.factor, "a finite number, not zero")
        if bool(self.given) == (self.name in FAMILIES) or not math.isfinite(self.factor) or self.factor == 0:
            raise ValueError(f"make a series with get(name) or polynomial(coefficients); got {self}.")

    @property
    def radius(self) -> float:
        """Radius of convergence of the series at zero; inf for an entire function."""
        return math.inf if self.given else FAMILIES[self.name].radius

    @property
    def degree(self) -> int | None:
        """Degree of a polynomial; None if the series does not end."""
        return len(self.given) - 1 if self.given else None

    def coefficients(self, degree: int) -> Float[np.ndarray, " k"]:
        """c_0..c_degree in float64, `degree` >= 0, good to about 1e-15 (1 + |log|c_i||) relatively; underflow is 0."""
        i = np.arange(_degree(degree) + 1)
        if self.given:
            return np.array([self.given[j] if j < len(self.given) else 0.0 for j in i])
        family = FAMILIES[self.name]
        return self.factor * family.sign(i) * np.exp(family.log_abs(i))

    def log_abs(self, degree: int) -> Float[np.ndarray, " k"]:
        """log|c_0|..log|c_degree|, `degree` >= 0, in float64; -inf where a coefficient is zero."""
        if self.given:
            with np.errstate(divide="ignore"):
                return np.log(np.abs(self.coefficients(degree)))
        return FAMILIES[self.name].log_abs(np.arange(_degree(degree) + 1)) + math.log(abs(self.factor))

    def tail(self, R: float, degree: int) -> float:
        """An upper bound of sum_{i > degree} |c_i| R^i, rounding included; inf from the radius of convergence on.

        Terms are added until a geometric series bounds the rest, so the bound is tight.

        Args:
            R: bound of |z|, a finite number >= 0.
            degree: the last index that is left out, >= 0.

        Raises:
            ValueError: an R that is negative or not finite, a degree that is no integer >= 0.

        Example:
            >>> f"{exp().tail(1.0, 10):.4g}"
            '2.731e-08'
        """
        start = _degree(degree) + 1
        upper = self.log_sum(_checks.nonnegative("R", R), start=start).upper
        try:
            return math.exp(upper)
        except OverflowError:
            return math.inf

    def log_sum(self, R: float, *, start: int = 0, weight: _sums.Weight = _sums.ONES) -> _sums.LogSum:
        """log sum_{i >= start} w_i |c_i| R^i, enclosed. Inf from the radius on, whatever the weight."""
        return self.log_sum_anywhere(R, start=start, weight=weight) if self.radius > R else _sums.DIVERGENT

    def log_sum_anywhere(self, R: float, *, start: int, weight: _sums.Weight) -> _sums.LogSum:
        """`log_sum` at `R` from `start`, whatever the radius: for a `weight` with which every series converges."""
        if R == 0:
            if start > 0:
                return _sums.NOTHING
            return _sums.finite_log_sum(self.log_abs(0), weight.log(np.zeros(1, np.int64)))
        if not self.given:
            found = _sums.log_sum(FAMILIES[self.name], weight, math.log(R), start)
            log_factor = math.log(abs(self.factor))
            slack = 4 * float(np.finfo(np.float64).eps) * (abs(log_factor) + abs(found.upper))
            slack = slack if math.isfinite(slack) else 0.0
            return _sums.LogSum(found.lower + log_factor - slack, found.upper + log_factor + slack, found.terms)
        i = np.arange(start, len(self.given))
        log_c = self.log_abs(len(self.given))[start : len(self.given)]
        return _sums.finite_log_sum(log_c, weight.log(i), i * math.log(R))

    def __call__(self, z: AnyArray) -> Any:
        """phi(z) for z of any shape, also beyond the radius of the series; a JAX array gives one, all else NumPy."""
        if self.given:
            value = 0.0 * z if isinstance(z, jax.Array) else np.zeros(np.shape(z))
            for c in reversed(self.given):  # Horner
                value = value * z + c
            return value
        family = FAMILIES[self.name]
        if isinstance(z, jax.Array):
            return self.factor * family.jax(z)
        return self.factor * family.numpy(np.asarray(z, np.float64))

    def __mul__(self, factor: float) -> Series:
        """The function times a finite number that is not zero."""
        number = float(factor)
        if not math.isfinite(number) or number == 0:
            raise ValueError(
                f"a series can be multiplied by a finite number other than 0; got {_checks.shown(factor)}."
            )
        if self.given:
            return polynomial([number * c for c in self.given])
        return dataclasses.replace(self, factor=self.factor * number)

    __rmul__ = __mul__

    def __repr__(self) -> str:
        if self.given:
            return f"polynomial({list(self.given)})"
        return f"{self.name}()" if self.factor == 1 else f"{self.factor:g} * {self.name}()"


def exp() -> Series:
    """e^z, entire: c_i = 1/i!."""
    return Series("exp")


def sin() -> Series:
    """sin z, entire: c_i = +-1/i! at odd i."""
    return Series("sin")


def cos() -> Series:
    """cos z, entire: c_i = +-1/i! at even i."""
    return Series("cos")


def erf() -> Series:
    """erf z, entire: c_{2k+1} = (2/sqrt pi) (-1)^k / (k! (2k+1)).

    Example:
        >>> round(float(erf().coefficients(4)[1]), 4)
        1.1284
    """
    return Series("erf")


def tanh() -> Series:
    """tanh z, radius pi/2: |c_i| = 2 (2/pi)^(i+1) (1 + 3^-(i+1) + 5^-(i+1) + ...) at odd i."""
    return Series("tanh")


def sigmoid() -> Series:
    """1/(1 + e^-z) = 1/2 + tanh(z/2)/2, radius pi.

    Example:
        >>> round(float(sigmoid().coefficients(4)[1]), 4)
        0.25
    """
    return Series("sigmoid")


def softplus() -> Series:
    """log(1 + e^z), the integral of the sigmoid, radius pi.

    Example:
        >>> round(float(softplus().coefficients(4)[1]), 4)
        0.5
    """
    return Series("softplus")


def geometric() -> Series:
    """1/(1 - z), radius 1: c_i = 1. It has a pole at z = 1.

    Example:
        >>> round(float(geometric().coefficients(4)[1]), 4)
        1.0
    """
    return Series("geometric")


def polynomial(coefficients: Sequence[float]) -> Series:
    """A polynomial by its coefficients, from z^0 on; zeros at the end are dropped.

    Args:
        coefficients: c_0, c_1, ..., finite numbers.

    Raises:
        ValueError: no coefficient, or one that is not a finite number.

    Example:
        >>> square = polynomial([0, 0, 1])
        >>> square.degree, square(3.0)
        (2, np.float64(9.0))
    """
    try:
        given = [float(c) for c in coefficients]
    except (TypeError, ValueError):
        raise ValueError(
            f"coefficients must be a list of numbers, from z^0 on; got {_checks.shown(coefficients)}."
        ) from None
    if not given or not all(map(math.isfinite, given)):
        raise ValueError(
            f"coefficients must be finite numbers, at least one, from z^0 on; got {_checks.shown(coefficients)}."
        )
    while len(given) > 1 and given[-1] == 0:
        given.pop()
    return Series("polynomial", given=tuple(given))


def names() -> tuple[str, ...]:
    """The names that `get` knows.

    Example:
        >>> names()[:3]
        ('exp', 'sin', 'cos')
    """
    return tuple(FAMILIES)


def get(series: Any, name: str = "series") -> Series:
    """The series of that name, or the series itself.

    Args:
        series: a name of `names()`, or a `Series`.
        name: of the argument, for messages.

    Raises:
        ValueError: a function that is not analytic (relu), one whose coefficients are not known, or an unknown name.
    """
    if isinstance(series, Series):
        return series
    if isinstance(series, str) and series in NOT_ANALYTIC:
        raise ValueError(
            f"{name} must be analytic at 0; "
            f"got {_checks.shown(series)}: {NOT_ANALYTIC[series]}, so it has no Taylor series "
            "there and theorems on power series say nothing about it. Take softplus or erf, or a polynomial near it."
        )
    if isinstance(series, str):
        _checks.choice(name, series, names())
        return Series(series)
    what = f"the activation {series!r}" if isinstance(series, Activation) else _checks.shown(series)
    raise ValueError(
        f"{name} must be a name ({', '.join(names())}) or an ntkseq.concepts.Series; got {what}. Its Taylor "
        "coefficients cannot be read off a function: give them with series.polynomial(coefficients)."
    )


def _degree(degree: Any) -> int:
    if isinstance(degree, bool) or not isinstance(degree, (int, np.integer)) or degree < 0:
        raise ValueError(f"degree must be an integer >= 0; got {_checks.shown(degree)}.")
    return int(degree)
