"""Is a printed number never on the wrong side of the number that it stands for?"""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest

from ntkseq._outward import around, at_least, at_most, interval, outward, percents

DELTAS = (0.05, 1e-6, 5e-7, 1e-7, 1e-12, 0.0500004, 0.1234567, 0.9, 0.5, 1 - 1e-9, float(np.nextafter(1, 0)), 1e-300)


def _deltas() -> list[float]:
    rng = np.random.default_rng(0)
    drawn = [*10.0 ** rng.uniform(-18, -0.001, 4000), *(1 - 10.0 ** rng.uniform(-15.9, -0.3, 2000))]
    plain = [k / 10**e for e in range(1, 17) for k in (1, 2, 3, 5, 7, 9)]
    return [*DELTAS, 5e-324, *map(float, drawn), *(d for d in plain if d < 1)]


@pytest.mark.parametrize(
    ("delta", "text"),
    [(0.05, "0.95"), (0.1, "0.9"), (1e-3, "0.999"), (1e-7, "0.9999999"), (5e-7, "0.9999995"), (1e-12, "0.999999999999"),
     (0.0500004, "0.94999"), (0.1234567, "0.8765"), (0.9, "0.09999"), (1e-300, "0.9999999999999999")],
)  # fmt: skip
def test_a_probability_is_printed_as_it_was_asked_for_or_rounded_down(delta: float, text: str):
    assert at_least(delta) == text


def test_no_printed_probability_overstates():
    for delta in _deltas():
        text = at_least(delta)
        assert float(text) <= 1 - delta and float(text) < 1, (delta, text)
        assert Decimal(text) <= 1 - Decimal(repr(delta)), (delta, text)
        assert float(text) >= (1 - delta) * (1 - 1e-3) - 1e-3 * delta - 2e-16, (delta, text)


def test_no_printed_chance_of_failure_understates():
    for delta in _deltas():
        for digits in (2, 6):
            said = float(at_most(delta, digits))
            assert delta <= said <= delta * (1 + 10.0 ** (1 - digits)) or math.isclose(said, 5e-324), (delta, said)
    assert (at_most(0.05), at_most(1e-7), at_most(1.4e-6, 2), at_most(1.41e-6, 2)) == (
        "0.05",
        "1e-07",
        "1.4e-06",
        "1.5e-06",
    )


def test_no_printed_number_is_on_the_wrong_side():
    rng = np.random.default_rng(1)
    for value in [
        *(rng.choice([-1, 1], 3000) * 10.0 ** rng.uniform(-310, 300, 3000)),
        0.0,
        1.7976931348623157e308,
        5e-324,
    ]:
        below, above = float(outward(value, True)), float(outward(value))
        assert below <= value <= above
        low, high = interval(float(value), float(value), 3)[1:-1].split(", ")
        assert float(low) <= value <= float(high)
    assert outward(math.inf) == "inf" and outward(math.nan) == "nan" and outward(None) == "0"


def test_percent_of_an_interval_go_outwards():
    assert percents(0.0, 1.0) == ("0.00 %", "100.00 %")
    assert percents(0.123456, 0.123456) == ("12.34 %", "12.35 %")


def test_what_is_infinite_or_unknown_is_printed_as_such():
    inf = float("inf")
    assert (at_most(inf), outward(inf), interval(-inf, inf)) == ("inf", "inf", "[-inf, inf]")
    assert at_most(float("nan")) == outward(float("nan")) == "nan"
    assert around(1.0, -inf, inf) == inf and at_most(0.0) == "0"
