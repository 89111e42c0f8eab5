"""How is a number printed that stands behind `<=`, `>=`, "at least" or "at most"? Never on its wrong side."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

_DIGITS = 16  # behind the point; one more, and a float takes 0.99999999999999999 for 1
_EXACT = Context(prec=1200)  # enough for the digits of every float


def outward(value: float | None, lower: bool = False, digits: int = 4) -> str:
    """`value` to some digits, never below it, or above it: what stands behind `<=` or `>=` must itself be a bound."""
    return _shown(Decimal(float(value or 0.0)), lower, digits)


def interval(lower: float, upper: float, digits: int = 4) -> str:
    """[lower, upper], neither end moved inwards. An end is taken as the shortest decimal number that is read as it."""
    ends = zip((lower, upper), (True, False), strict=True)
    low, high = (_shown(Decimal(repr(float(x))), how, digits) for x, how in ends)
    return f"[{low}, {high}]"


def around(middle: float, lower: float, upper: float, digits: int = 2) -> float:
    """The least error to some digits with which [middle - error, middle + error] holds [lower, upper]."""
    ends = (_EXACT.subtract(Decimal(upper), Decimal(middle)), _EXACT.subtract(Decimal(middle), Decimal(lower)))
    return float(_shown(max(ends), False, digits))


def percents(lower: float, upper: float) -> tuple[str, str]:
    """The ends of an interval of shares in percent, neither moved inwards."""
    ends = zip((lower, upper), (ROUND_FLOOR, ROUND_CEILING), strict=True)
    low, high = (str((100 * Decimal(end)).quantize(Decimal("0.01"), rounding=how)) for end, how in ends)
    return f"{low} %", f"{high} %"


def at_most(delta: float, digits: int = 6) -> str:
    """A probability of failure, rounded up: 0.05, 1e-07. It is taken as the decimal number that was written."""
    return _shown(Decimal(repr(float(delta))), False, digits)


def at_least(delta: float) -> str:
    """1 - delta, rounded down: 0.95, 0.9999999; never 1, nor any other float above 1 - delta."""
    failure = Decimal(repr(float(delta)))
    if delta >= 0.5:
        return _shown(min(Decimal(1.0 - delta), 1 - failure), True, 4)
    unit = Decimal(1).scaleb(max(failure.adjusted() - 3, -_DIGITS))
    left = 1 - failure.quantize(unit, rounding=ROUND_CEILING)
    while float(left) > 1.0 - delta:  # both were rounded to floats
        left -= unit
    return format(left.normalize(), "f")


def _shown(exact: Decimal, lower: bool, digits: int) -> str:
    if not exact or not exact.is_finite():
        return f"{float(exact):.{digits}g}"
    unit = Decimal(1).scaleb(exact.adjusted() - digits + 1, _EXACT)
    moved = exact.quantize(unit, rounding=ROUND_FLOOR if lower else ROUND_CEILING, context=_EXACT)
    return f"{float(moved):.{digits}g}"
