"""The expected loss at one example when the prediction is Gaussian, with an upper end for what is known of it."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy  # its parts load when they are first used
from jaxtyping import Float

from ntkseq import _checks, _display
from ntkseq.bounds.orthants import some_negative, trapezoid

EPS = float(np.finfo(np.float64).eps)
Vector = Float[np.ndarray, "..."]
ABSOLUTE_MEAN = math.sqrt(2.0 / math.pi)  # E|xi| of a standard normal xi


@dataclasses.dataclass(frozen=True, eq=False)
class Gaussians:
    """Independent Gaussian predictions f_i of n examples, known to within errors; of k outputs that share a variance.

    Or, of k classes whose outputs are correlated, the k - 1 margins by which the right one leads.

    Attributes:
        mean: (n,), (n, k), or (n, k-1) margins.
        variance: (n,), or (n, k-1, k-1).
        mean_error: upper estimates of the errors, (n,), or (n, k-1).
        variance_error: the same for the variances, of their shape.
    """

    mean: Vector
    variance: Vector
    mean_error: Vector
    variance_error: Vector

    @property
    def deviation(self) -> tuple[Vector, Vector]:
        """The least and the largest standard deviations that the errors allow, (n,) each."""
        low, high = self.variance - self.variance_error, self.variance + self.variance_error
        return np.sqrt(np.maximum(low, 0.0)) * (1 - 2 * EPS), np.sqrt(np.maximum(high, 0.0)) * (1 + 2 * EPS)

    @property
    def moved(self) -> Vector:
        """E|f - g| at most, g the exact prediction with the same noise, (n,)."""
        low, high = self.deviation
        return self.mean_error + ABSOLUTE_MEAN * (high - low)


class GibbsLoss(abc.ABC):
    """A loss in [0, 1] of a prediction drawn from a Gaussian, averaged over the draw in closed form or to an error.

    A new one is a class with `upper`, `second` and what is printed.
    """

    name: str
    """Its short name."""
    outputs: bool = False
    """Whether labels are one-hot, (n, k), and the prediction has k outputs."""

    @abc.abstractmethod
    def upper(self, f: Gaussians, y: Vector) -> Vector:
        """Upper estimates of E loss(f_i, y_i), (n,), in [0, 1]."""

    @abc.abstractmethod
    def second(self, f: Gaussians, y: Vector) -> Vector:
        """Upper estimates of E loss(f_i, y_i)^2, (n,), in [0, 1]."""

    @abc.abstractmethod
    def quantity(self, drawn: str) -> str:
        """What is bounded, as printed, for a function `drawn`."""

    def check(self, y: Vector) -> str:
        """Why these labels do not fit; empty if they do."""
        return ""


@dataclasses.dataclass(frozen=True)
class ZeroOne(GibbsLoss):
    """The zero-one loss of labels -1/+1: P(y f <= margin sigma), with a margin in units of a scale of the example."""

    margin: float = 0.0
    name = "zero-one"

    def upper(self, f: Gaussians, y: Vector, scale: Vector | float = 0.0) -> Vector:
        low, high = f.deviation
        ahead = y * f.mean - f.mean_error - self.margin * scale  # of the threshold, at the least
        ahead = ahead - 4 * EPS * (np.abs(f.mean) + self.margin * np.asarray(scale))
        width = np.where(ahead > 0, high, low)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(width > 0, -ahead / np.where(width > 0, width, 1.0), np.where(ahead > 0, -np.inf, np.inf))
        return np.minimum(1.0, scipy.special.ndtr(z) * (1 + 1e-13))

    def second(self, f: Gaussians, y: Vector) -> Vector:
        return self.upper(f, y)

    def quantity(self, drawn: str) -> str:
        return f"P(y {drawn}(x) <= 0)"

    def check(self, y: Vector) -> str:
        wrong = y[~np.isin(y, (-1.0, 1.0))]
        return f"y must hold class labels -1 and +1; got {float(wrong[0]):g}" if wrong.size else ""


@dataclasses.dataclass(frozen=True)
class Clipped(GibbsLoss):
    """min(1, |f - y|^power), power 1 or 2, in closed form by the moments of a truncated normal."""

    power: int = 2

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return {1: "absolute", 2: "squared"}[self.power]

    def upper(self, f: Gaussians, y: Vector) -> Vector:
        return self._raised(f, y, self.power, self.power)

    def second(self, f: Gaussians, y: Vector) -> Vector:
        return self._raised(f, y, 2 * self.power, 2 * self.power)

    def _raised(self, f: Gaussians, y: Vector, power: int, lipschitz: int) -> Vector:
        off, s = f.mean - y, np.sqrt(np.maximum(f.variance, 0.0))
        value, error = clipped_moment(off, s, power)
        return np.clip(value + error + lipschitz * f.moved, 0.0, 1.0)

    def quantity(self, drawn: str) -> str:
        size = f"|{drawn}(x) - y|" if self.power == 1 else f"({drawn}(x) - y)^2"
        return f"E min(1, {size})"


def clipped_moment(off: Vector, s: Vector, power: int) -> tuple[Vector, Vector]:
    """E min(1, |X|^power) of X ~ N(off, s^2), power 1, 2 or 4, and an upper estimate of its rounding.

    1 - sum over the ends of what is cut; the moments between them by the recursion of a truncated normal,
    M_k = off M_{k-1} + (k-1) s^2 M_{k-2} - s^2 [x^{k-1} p(x)] (pac_bayes.9).
    """
    wide = np.where(s > 0, s, 1.0)
    # |X|^power is even: power 1 has its two halves apart, 2 and 4 the whole of [-1, 1]
    pieces = ((0.0, 1.0, 1.0), (-1.0, 0.0, -1.0)) if power == 1 else ((-1.0, 1.0, 1.0),)
    inside, between = np.zeros_like(off), np.zeros_like(off)
    for low, high, sign in pieces:
        a, b = (low - off) / wide, (high - off) / wide
        mass = _between(a, b)
        density = [np.exp(-0.5 * one * one) / (math.sqrt(2 * math.pi) * wide) for one in (a, b)]
        moments = [np.zeros_like(off), mass]  # M_{-1} stands for 0
        for k in range(1, power + 1):
            ends = high ** (k - 1) * density[1] - low ** (k - 1) * density[0]
            moments.append(off * moments[-1] + (k - 1) * wide**2 * moments[-2] - wide**2 * ends)
        inside, between = inside + sign * moments[-1], between + mass
    value = np.where(s > 0, inside + (1.0 - between), np.minimum(1.0, np.abs(off) ** power))
    error = np.where(s > 0, 32 * EPS * (1.0 + np.abs(off) + wide) ** power, 4 * EPS)
    return value, error


def _between(a: Vector, b: Vector) -> Vector:
    """P(a <= xi <= b) of a standard normal, without cancellation in its tails."""
    flip = a > 0
    return scipy.special.ndtr(np.where(flip, -a, b)) - scipy.special.ndtr(np.where(flip, -b, a))


@dataclasses.dataclass(frozen=True)
class LipschitzLoss(GibbsLoss):
    """A loss of your own in [0, 1] with a Lipschitz constant, averaged by a rule whose error is bounded by it.

    The normal is cut into `pieces` of equal probability, each replaced by its median: the mean is off by at most
    lipschitz s W, W the transport distance between the two laws (pac_bayes.10).

    Attributes:
        function: loss(f, y), of arrays of one shape, values in [0, 1].
        lipschitz: its Lipschitz constant in f.
        pieces: of the normal.
        label: as printed.

    Raises:
        ValueError: a function that is none, a lipschitz that is not positive, pieces below 1.

    Example:
        >>> import numpy as np
        >>> from ntkseq import bounds
        >>> x = np.linspace(-1.0, 1.0, 200)
        >>> hinge = bounds.LipschitzLoss(lambda f, y: np.clip(1 - y * f, 0, 1), lipschitz=1.0, label="clipped hinge")
        >>> bounds.pac_bayes(np.outer(x, x), np.sign(x), loss=hinge).certified
        True
    """

    function: Callable[[Any, Any], Any]
    lipschitz: float
    pieces: int = 512
    label: str = "loss(f(x), y)"

    __repr__ = _display.record
    name = "lipschitz"

    def __post_init__(self) -> None:
        _checks.function("function", self.function, "of predictions and labels, function(f, y)")
        _checks.text("label", self.label)
        _checks.nonnegative("lipschitz", self.lipschitz, positive=True)
        _checks.positive_int("pieces", self.pieces)

    def upper(self, f: Gaussians, y: Vector) -> Vector:
        return self._averaged(f, y, 1)

    def second(self, f: Gaussians, y: Vector) -> Vector:
        return self._averaged(f, y, 2)

    def _averaged(self, f: Gaussians, y: Vector, power: int) -> Vector:
        s = np.sqrt(np.maximum(f.variance, 0.0))
        nodes, distance = normal_pieces(self.pieces)
        total = np.zeros_like(f.mean)
        for node in nodes:
            losses = _checks.numbers("function(f, y)", self.function(f.mean + s * node, y))
            if losses.shape != f.mean.shape or not ((losses >= 0) & (losses <= 1)).all():
                raise ValueError("function must return losses in [0, 1], one for each prediction; it does not.")
            total += losses**power
        slack = power * self.lipschitz * (f.moved + s * distance)
        return np.clip(total / self.pieces * (1 + self.pieces * EPS) + slack, 0.0, 1.0)

    def quantity(self, drawn: str) -> str:
        return f"E {self.label}"


def normal_pieces(pieces: int) -> tuple[Vector, float]:
    """Medians of `pieces` parts of the standard normal of equal probability, and E|xi - its median|, raised.

    Of a part [a, b] with median c: 2 phi(c) - phi(a) - phi(b), since c halves the part.
    """
    edges = scipy.special.ndtri(np.arange(pieces + 1) / pieces)
    nodes = scipy.special.ndtri((np.arange(pieces) + 0.5) / pieces)
    height = [np.exp(-0.5 * one**2) / math.sqrt(2 * math.pi) for one in (edges, nodes)]
    # E|xi - c; part| = [phi(a) - phi(c)]... the halves have equal mass, so that the terms in c cancel
    apart = 2 * height[1] - height[0][:-1] - height[0][1:]
    return nodes, float(np.sum(np.abs(apart))) * (1 + 1e-9) + 1e-12


def one_largest(y: Float[np.ndarray, "n k"]) -> bool:
    """Whether each row has one largest entry, which is its class."""
    return bool(((y == y.max(axis=1, keepdims=True)).sum(axis=1) == 1).all())


@dataclasses.dataclass(frozen=True)
class Argmax(GibbsLoss):
    """The zero-one loss of k classes by the largest of k outputs, independent with one variance, or by margins.

    P(class c wins) = integral of phi(z) prod_j Phi(z + (m_c - m_j)/s) dz, by the trapezoidal rule, whose error is
    below 1e-10 for the step taken (pac_bayes.11). Of correlated outputs see `orthants.some_negative`.
    """

    name = "argmax"
    outputs = True

    def upper(self, f: Gaussians, y: Vector) -> Vector:
        if f.variance.ndim == 3:
            return some_negative(f.mean, f.mean_error, f.variance, f.variance_error)
        n, k = f.mean.shape
        own = np.argmax(y, axis=1)
        ahead = f.mean[np.arange(n), own][:, None] - f.mean
        ahead = ahead - 2.0 * f.mean_error[:, None] - 4 * EPS * np.abs(f.mean).max(axis=1, keepdims=True)
        low, high = f.deviation
        step, error = trapezoid(k)
        z = np.arange(-9.0, 9.0 + step, step)
        width = np.where(ahead > 0, high[:, None], low[:, None])
        with np.errstate(divide="ignore", invalid="ignore"):
            lead = np.where(width > 0, ahead / np.where(width > 0, width, 1.0), np.where(ahead > 0, np.inf, -np.inf))
        lead[np.arange(n), own] = np.inf  # it beats itself
        weight = np.exp(-0.5 * z * z) * step / math.sqrt(2 * math.pi)
        right = np.zeros(n)
        for at, mass in zip(z, weight, strict=True):
            right += mass * np.prod(scipy.special.ndtr(at + lead), axis=1)
        return np.clip(1.0 - right + error + 4 * k * EPS, 0.0, 1.0)

    def second(self, f: Gaussians, y: Vector) -> Vector:
        return self.upper(f, y)

    def quantity(self, drawn: str) -> str:
        return f"P(argmax {drawn}(x) != y)"

    def check(self, y: Vector) -> str:
        fits = y.ndim == 2 and y.shape[1] >= 2 and one_largest(y)
        column = f"; got shape {y.shape}, pass y[:, 0]" if y.ndim == 2 and y.shape[1] == 1 else ""
        return "" if fits else f"y must hold one row per example with one largest entry, that of its class{column}"
