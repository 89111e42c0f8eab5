"""Are times, exponents and bytes what they say?"""

from __future__ import annotations

import time

import numpy as np
import pytest

from benchmarks import timing


def test_calls_are_timed_in_turn_and_the_first_is_kept_apart(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timing, "SETTLE", 0.0)
    monkeypatch.setattr(timing, "ENOUGH", 0.0)
    order: list[str] = []

    def call(name: str) -> None:
        time.sleep(0.03 if name not in order else 0.001)
        order.append(name)

    times = timing.measure_in_turn({"a": lambda: call("a"), "b": lambda: call("b")}, repeats=3)
    assert order == ["a", "b"] * 4
    assert all(one.first >= 0.03 > one.median >= one.least and one.repeats == 3 for one in times.values())
    assert times["a"].compile == times["a"].first - times["a"].median


def test_short_calls_are_repeated_more_often(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timing, "SETTLE", 0.0)
    call = lambda: time.sleep(0.001)  # noqa: E731
    assert timing.measure(call, repeats=3).repeats == timing.MOST
    assert timing.measure_in_turn({"a": call, "b": call}, repeats=3)["a"].repeats == timing.MOST


def test_an_exponent_comes_with_its_standard_error():
    sizes = [1.0, 2.0, 4.0, 8.0]
    slope, error = timing.growth(sizes, [3.0 * size**1.5 for size in sizes])
    assert slope == pytest.approx(1.5) and error == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(timing.growth([1.0, 2.0], [1.0, 4.0])[1])
    rng, true = np.random.default_rng(0), 2.0  # an interval of two standard errors is one of Student's t: 90 % here
    noisy = [
        timing.growth(sizes, np.exp(true * np.log(sizes) + 0.1 * rng.standard_normal(4)).tolist()) for _ in range(400)
    ]
    inside = np.mean([abs(slope - true) <= 4.303 * error for slope, error in noisy])  # t at 2 degrees of freedom, 95 %
    assert 0.92 < inside < 0.98


def test_an_exponent_of_one_size_is_refused():
    with pytest.raises(ValueError, match=r"two sizes or more; got the sizes \[4\.0\]"):
        timing.growth([4.0], [1.0])


@pytest.mark.slow
def test_peak_memory_sees_what_is_freed_before_the_call_ends():
    def call() -> np.ndarray:
        held = np.ones(16 << 20)  # 128 MiB
        time.sleep(0.05)
        return held[:1].copy()

    assert timing.peak_memory(call) > 100 << 20
