"""The PAC-Bayes inequalities: from the mean loss on the examples and the relative entropy to the expected loss."""

from __future__ import annotations

import abc
import dataclasses
import math

from ntkseq import _checks, _display
from ntkseq.bounds.binary_kl import EPS, kl_inverse, log_xi

SLACK = 16 * EPS  # of a few operations, relative


@dataclasses.dataclass(frozen=True)
class Inequality(abc.ABC):
    """An inequality that holds for all posteriors at once with probability at least exp(-price).

    A new one is a class with `upper`, `slopes` and `formula`, and its derivation on the theory page.
    """

    @abc.abstractmethod
    def upper(self, loss: float, second: float, complexity: float, price: float, n: int) -> float:
        """An upper bound of the expected loss, rounded upwards.

        Args:
            loss: the mean loss on the n examples under the posterior, in [0, 1], an upper estimate.
            second: the mean of the squared losses, an upper estimate.
            complexity: the relative entropy of the posterior and the prior.
            price: log of one over the probability that the inequality fails.
            n: the number of examples that pay.
        """

    @abc.abstractmethod
    def slopes(self, loss: float, complexity: float, price: float, n: int) -> tuple[float, float, float]:
        """`upper` for zero-one losses and its derivatives in `loss` and `complexity`, to search for a posterior."""

    @property
    @abc.abstractmethod
    def formula(self) -> str:
        """As printed."""

    @property
    def name(self) -> str:
        """As printed: the class with its number."""
        numbers = ", ".join(f"{getattr(self, one.name):g}" for one in dataclasses.fields(self))
        return type(self).__name__ + (f"({numbers})" if numbers else "")


@dataclasses.dataclass(frozen=True)
class Kl(Inequality):
    """kl(loss || expected loss) <= (KL + log xi(n) + price)/n, with Maurer's constant xi(n) as the sum that it is.

    Reference: maurer2004, Theorem 1; derived at (pac_bayes.2).

    Example:
        >>> round(Kl().upper(0.1, 0.1, 5.0, 3.0, 1000), 3)  # loss, its square, KL, log(1/delta), n
        0.152
    """

    __repr__ = _display.record

    def upper(self, loss: float, second: float, complexity: float, price: float, n: int) -> float:
        return kl_inverse(min(1.0, loss), (complexity + log_xi(n) + price) * (1 + SLACK) / n)

    def slopes(self, loss: float, complexity: float, price: float, n: int) -> tuple[float, float, float]:
        q = min(max(loss, 1e-12), 1 - 1e-9)
        p = min(max(kl_inverse(q, (complexity + log_xi(n) + price) / n), q + 1e-12), 1 - 1e-12)
        steep = (p - q) / (p * (1 - p))
        return p, (math.log(p / (1 - p)) - math.log(q / (1 - q))) / steep, 1.0 / (steep * n)

    @property
    def formula(self) -> str:
        return "kl(q || p) <= (KL + log xi(n) + log(1/delta))/n"


@dataclasses.dataclass(frozen=True)
class Catoni(Inequality):
    """expected loss <= (1 - exp(-strength loss - (KL + price)/n))/(1 - exp(-strength)).

    Sharper than `Kl` by the constant xi(n) if the strength was guessed well: about log of (1 - q) p/(q (1 - p)), with
    the loss q and the bound p to come.

    Attributes:
        strength: > 0, fixed beforehand.

    Raises:
        ValueError: a strength that is not positive.

    Reference: catoni2007, Theorem 1.2.6; derived at (pac_bayes.5).

    Example:
        >>> round(Catoni(0.5).upper(0.1, 0.1, 5.0, 3.0, 1000), 3)
        0.143
    """

    strength: float = 1.0

    __repr__ = _display.record

    def __post_init__(self) -> None:
        _checks.nonnegative("strength", self.strength, positive=True)

    def upper(self, loss: float, second: float, complexity: float, price: float, n: int) -> float:
        below = math.expm1(-self.strength * loss - (complexity + price) / n) / math.expm1(-self.strength)
        return min(1.0, below * (1 + SLACK))

    def slopes(self, loss: float, complexity: float, price: float, n: int) -> tuple[float, float, float]:
        left, whole = math.exp(-self.strength * loss - (complexity + price) / n), -math.expm1(-self.strength)
        return (1.0 - left) / whole, self.strength * left / whole, left / (whole * n)

    @property
    def formula(self) -> str:
        return "p <= (1 - exp(-s q - (KL + log(1/delta))/n))/(1 - exp(-s))"


@dataclasses.dataclass(frozen=True)
class Bernstein(Inequality):
    """expected loss <= loss + c second/strength + (KL + price)/(n strength), c = -strength - log(1 - strength).

    Small where the losses are small, not only where they are rare: `second` is the mean of their squares.

    Attributes:
        strength: in (0, 1), fixed beforehand.

    Raises:
        ValueError: a strength outside (0, 1).

    Reference: mhammedi2019, Theorem 3 in form; derived at (pac_bayes.6).

    Example:
        >>> round(Bernstein(0.3).upper(0.1, 0.02, 5.0, 3.0, 1000), 3)
        0.13
    """

    strength: float = 0.5

    __repr__ = _display.record

    def __post_init__(self) -> None:
        _checks.probability("strength", self.strength)

    def upper(self, loss: float, second: float, complexity: float, price: float, n: int) -> float:
        return min(1.0, (loss + self._share * second + (complexity + price) / (n * self.strength)) * (1 + SLACK))

    def slopes(self, loss: float, complexity: float, price: float, n: int) -> tuple[float, float, float]:
        value = loss * (1 + self._share) + (complexity + price) / (n * self.strength)
        return value, 1.0 + self._share, 1.0 / (n * self.strength)

    @property
    def _share(self) -> float:
        # c/strength: log1p loses digits for a small strength, its series does not
        s = self.strength
        return (-s - math.log1p(-s)) / s + EPS / s if s > 1e-3 else s / 2 * (1 + s)

    @property
    def formula(self) -> str:
        return "p <= q + c V/s + (KL + log(1/delta))/(n s), c = -s - log(1 - s)"


SEVERAL = (Kl(), Catoni(0.5), Catoni(1.0), Catoni(2.0), Catoni(4.0), Bernstein(0.1), Bernstein(0.4))
"""Those among which "best" chooses, and for which it pays."""

SHORT = {"kl": (Kl(),), "catoni": (Catoni(),), "bernstein": (Bernstein(),), "best": SEVERAL}


def as_inequalities(given: str | Inequality) -> tuple[Inequality, ...]:
    """The inequalities of a short name or an object; `best` is a union of several, for which a bound pays."""
    found = _checks.named("inequality", given, Inequality, SHORT, "bounds.Catoni(2.0)")
    return found if isinstance(found, tuple) else (found,)
