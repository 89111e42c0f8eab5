"""Is a definition that is none turned away in one line that says what to write?"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntkseq.spectra import MatrixFree, attention_ranks, effective_rank, effective_ranks, spectrum
from ntkseq.spectra.ranks import Dimension, EffectiveRank, Energy, Entropy, Numerical, Participation, Tail
from ntkseq.spectra.ranks.short import NUMBERED, SHORT, as_rank, as_ranks


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: as_rank("rank"), r"rank must be one of 'entropy', .* or an object such as ranks.Energy\(0.99\)"),
        (lambda: as_rank(Entropy), r"rank must be an object, not a class; got Entropy. Write Entropy\(...\)"),
        (lambda: as_rank(0.5), r"rank must be one of .*; got 0.5"),
        (lambda: Entropy(power=3), r"power must be 1 .*; got 3"),
        (lambda: Energy(1.5), r"quantile must be a number in \(0, 1\]; got 1.5"),
        (lambda: Energy(0.0), r"quantile must be a number in \(0, 1\]; got 0.0"),
        (lambda: Numerical(-1), r"tol, relative to the largest value, must be a finite number >= 0; got -1"),
        (lambda: Dimension(0.0), r"reg must be a finite number > 0; got 0.0"),
        (lambda: as_ranks((), "kinds"), r"kinds must name one or more effective ranks; got none"),
        (lambda: as_ranks((Energy(0.5), Energy(0.5)), "kinds"), r"different names; got 'energy_50' twice"),
    ],
)
def test_what_is_no_definition_is_turned_away(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("bad", [-1, True])
def test_a_number_of_leading_values_is_an_integer(bad):
    with pytest.raises(ValueError, match=r"k must be an integer >= 0"):
        Tail(bad)


@pytest.mark.parametrize("name", [name for name in NUMBERED if name not in SHORT])
def test_a_name_that_needs_a_number_says_which_object_to_write(name: str):
    with pytest.raises(ValueError, match=rf"rank '{name}' needs a number: pass an object, ranks\."):
        effective_rank([1.0], name)


NUMBERS = [
    ("energy", {"quantile": 0.9}, Energy(0.9)),
    ("r", {"k": 1}, Tail(1)),
    ("R", {"k": 1}, Tail(1, Participation())),
    ("ridge", {"reg": 0.5}, Dimension(0.5)),
    ("ridge2", {"reg": 0.5}, Dimension(0.5, power=2)),
    ("numerical", {"tol": 0.3}, Numerical(0.3)),
]


@pytest.mark.parametrize(("name", "number", "rank"), NUMBERS, ids=[name for name, *_ in NUMBERS])
def test_a_short_name_takes_the_number_of_its_definition(name: str, number: dict[str, float], rank: EffectiveRank):
    K = np.diag([4.0, 2.0, 1.0, 0.25])
    full, part = spectrum(K), spectrum(K, MatrixFree(k=2, probes=4))
    assert effective_rank(K, name, **number) == effective_rank(K, rank) == full.effective_rank(name, **number)
    np.testing.assert_array_equal(effective_ranks(K[None], name, **number), effective_ranks(K[None], rank))
    for spec in (full, part) if name in ("ridge2", "ridge", "numerical") else (full,):
        got, want = spec.effective_rank_interval(name, **number), spec.effective_rank_interval(rank)
        assert (got.lower, got.estimate, got.upper) == (want.lower, want.estimate, want.upper)


@pytest.mark.parametrize(
    ("rank", "number", "message"),
    [
        ("entropy", {"quantile": 0.9}, r"rank 'entropy' does not take quantile=; of the short names 'energy' takes q"),
        ("energy", {"k": 1}, r"rank 'energy' does not take k=; of the short names"),
        ("energy", {"quantile": 0.9, "k": 1}, r"rank 'energy' does not take quantile=, k=; of"),
        (Energy(0.9), {"quantile": 0.9}, r"rank Energy\(.*\) does not take quantile="),
        ("energy", {"quantile": 1.5}, r"quantile must be a number in \(0, 1\]; got 1.5"),
    ],
)
def test_a_number_that_a_definition_does_not_take_is_refused(rank, number, message: str):
    spec = spectrum(np.eye(2))
    for ask in (spec.effective_rank, spec.effective_rank_interval):
        with pytest.raises(ValueError, match=message):
            ask(rank, **number)
    for ask in (effective_rank, effective_ranks):
        with pytest.raises(ValueError, match=message):
            ask(np.eye(2), rank, **number)


def test_names_are_those_of_the_table_and_tell_definitions_apart():
    assert {name: rank.name for name, rank in SHORT.items() if name != "nuclear"} == {
        name: name for name in SHORT if name != "nuclear"
    }
    others = (
        Numerical(0.1), Energy(0.99), Tail(2), Tail(1, Participation()), Tail(1, Entropy()), Dimension(0.5),
        Dimension(0.5, power=2),
    )  # fmt: skip
    assert [rank.name for rank in others] == [
        "numerical_0_1", "energy_99", "r_2", "R_1", "entropy_behind_1", "dimension_0_5", "dimension2_0_5",
    ]  # fmt: skip
    assert all(rank.formula for rank in (*SHORT.values(), *others))


@dataclasses.dataclass
class Mutable(EffectiveRank):
    level: float

    def of(self, s: np.ndarray) -> float:
        return float(np.sum(s > self.level))


@pytest.mark.parametrize(
    "ask",
    [
        lambda rank: effective_rank([1.0], rank),
        lambda rank: effective_ranks(np.eye(2), rank),
        lambda rank: spectrum(np.eye(2)).effective_rank_interval(rank),
        lambda rank: attention_ranks(lambda p, x: x, None, np.ones((1, 2, 2)), kinds=(rank,)),
    ],
)
def test_a_definition_without_a_hash_is_turned_away_at_every_door(ask):
    with pytest.raises(ValueError, match=r"must be hashable.*Make its class a dataclass with frozen=True"):
        ask(Mutable(0.5))
