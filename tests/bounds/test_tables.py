"""Does the table hold all bounds that apply, at one delta, certified ones first, and is its best one a true one?"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import scipy.special

from ntkseq import bounds

X = np.linspace(-1.0, 1.0, 60)
Y = np.where(X > 0.1, 1.0, -1.0)
K = np.outer(X, X) + 1.0 + np.exp(-((X[:, None] - X) ** 2)) + 0.01 * np.eye(60)


@pytest.fixture(scope="module")
def made() -> bounds.BoundTable:
    return bounds.table(K, Y, reg=0.1)


@pytest.mark.slow
def test_certified_rows_stand_first_by_their_value_then_estimates(made):
    ranks = [(not one.certified, one.value) for one in made.rows.values()]
    assert ranks == sorted(ranks) and len(made.rows) == 10
    assert {"tested 40 %", "gibbs", "gibbs 20 %", "mean", "rademacher", "margin", "arora2019"} <= set(made.rows)


@pytest.mark.slow
def test_the_best_is_the_least_certified_bound_and_says_something(made):
    certified = [one.value for one in made.rows.values() if one.certified]
    assert made.best is not None and made.best.value == min(certified) < 0.5
    assert str(made).splitlines()[-1].startswith("best: P(y f(x) <= 0) <= ")


@pytest.mark.slow
def test_delta_is_divided_so_that_all_certified_rows_hold_at_once(made):
    """Five parts share it: each bound is that of a fifth of delta, said at delta."""
    assert all(one.delta == made.delta == 0.05 for one in made.rows.values())
    alone = bounds.rademacher(K, Y, reg=0.1, delta=0.05 / 5)
    assert made.rows["rademacher"].value == pytest.approx(alone.value, rel=1e-12)
    search = bounds.Search(delta=0.05 / 5, priors=(bounds.Prior(),))
    assert made.rows["gibbs"].value > search.best(K, Y).value  # which shares it with no other prior
    assert made.rows["arora2019"].value == bounds.arora2019(K, Y).value


@pytest.mark.slow
def test_what_was_tried_before_raises_every_certified_row(made):
    more = bounds.table(K, Y, reg=0.1, tried=100)
    for key, one in made.rows.items():
        assert (float(more.rows[key].value or 0) > float(one.value or 0)) == one.certified, key
    settings = more.rows["gibbs"].constants.settings
    assert settings == 100 * made.rows["gibbs"].constants.settings
    (counted,) = [a for a in more.rows["gibbs"].assumptions if a.name == "fixed beforehand"]
    assert f"{settings} settings" in counted.statement


@pytest.mark.slow
def test_a_ridge_picked_on_the_data_does_not_enter_rows_that_hold_for_one_ridge(made):
    """`reg` may be chosen by looking: what is said for a fixed ridge, compression, must not know it."""
    found = [bounds.table(K, Y, reg=reg).rows["compression"] for reg in (0.0, 3.0)]
    assert found[0].to_dict() == found[1].to_dict() == made.rows["compression"].to_dict()
    assert found[0].constants.reg == 0.0


@pytest.mark.slow
def test_a_table_that_says_nothing_has_no_best():
    noise = np.random.default_rng(0).choice([-1.0, 1.0], 12)
    table = bounds.table(np.eye(12), noise, reg=0.1, delta=1e-6)
    assert table.best is None or not table.best.vacuous
    assert bounds.table(np.eye(1), [1.0], delta=1e-9, tried=10**6).best is None


def test_classes_of_any_number_and_numbers_have_the_rows_that_apply():
    several = bounds.table(K, np.eye(3)[np.arange(60) // 20])
    assert set(several.rows) == {"gibbs", "gibbs 20 %", "gibbs 40 %", "tested 40 %", "mean"}
    assert several.majority_error == pytest.approx(2 / 3)
    numbers = bounds.table(K, 0.5 * Y, reg=0.1)
    assert {"mean", "margin", "cao_gu2019"}.isdisjoint(numbers.rows) and "rademacher" in numbers.rows
    assert numbers.majority_error is None and numbers.rows["gibbs"].quantity.startswith("E min(1, |f")


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_examples_leave_out_priors_that_need_more(n: int):
    table = bounds.table(np.eye(n), np.where(np.arange(n) % 2, 1.0, -1.0), reg=0.1)
    assert "gibbs" in table.rows and "rademacher" in table.rows
    assert len(table.rows) == {1: 7, 2: 9}.get(n, 10)


@pytest.mark.slow
def test_a_bound_without_a_value_stands_last_and_says_so():
    twice = np.ones((20, 20))
    table = bounds.table(twice, Y[:20])
    assert not list(table.rows.values())[-1].computable
    assert "no value" in str(table)


def test_the_record_is_strict_json(made):
    found = json.loads(json.dumps(made.to_dict(), allow_nan=False))
    assert found["best"] == next(iter(made.rows)) and found["n"] == 60
    assert list(found["rows"]) == list(made.rows) and found["rows"]["gibbs"]["certified"]


def test_the_columns_of_the_print_are_aligned(made):
    lines = str(made).splitlines()[1:-2]
    for key, line in zip(made.rows, lines, strict=True):
        assert line.index(key) == lines[0].index(next(iter(made.rows)))


@pytest.mark.slow
def test_in_simulated_draws_no_certified_row_is_below_its_truth():
    """A coin of 1 in 5 behind a constant kernel: f is a constant c, which errs with 0.2 for c > 0 and 0.8 for c < 0."""
    rng = np.random.default_rng(1)
    for _ in range(3):
        y = np.where(rng.random(24) < 0.2, -1.0, 1.0)
        one = np.ones((1, 24))
        for key, said in bounds.table(np.ones((24, 24)), y, reg=1.0).rows.items():
            if "gibbs" not in key and "tested" not in key and key != "mean":
                continue
            known = said.constants.predictor
            mean = float(known.mean(one)[0])
            spread = 0.0 if key == "mean" else math.sqrt(float(known.variance(one, np.ones((1, 1)))[0]))
            ahead = float(mean > 0) if spread == 0 else float(scipy.special.ndtr(mean / spread))
            assert said.value is not None and said.value >= 0.2 * ahead + 0.8 * (1 - ahead), key


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"delta": 0.0}, "delta"),
        ({"tried": 0}, "tried"),
        ({"reg": -1.0}, "reg"),
        ({"B0": 0.0}, "B0"),
        ({"depth": 0}, "depth"),
        ({"y": Y[:3]}, "y must have shape"),
        ({"y": np.ones((60, 2))}, "one largest entry"),
        ({"y": Y > 0}, "y must hold class labels"),  # or they would be taken for numbers
        ({"y": np.arange(60) % 3}, "y must hold class labels"),
        ({"K": K[:, :3]}, "K must be square"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, message):
    given = {"K": K, "y": Y, **changes}
    with pytest.raises(ValueError, match=message):
        bounds.table(given.pop("K"), given.pop("y"), **given)


@pytest.mark.slow
def test_the_matrix_is_decomposed_once_for_all_rows(monkeypatch: pytest.MonkeyPatch):
    sizes, own = [], np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda A, *rest: sizes.append(len(A)) or own(A, *rest))
    x = np.random.default_rng(0).standard_normal((50, 4))
    made = bounds.table(x @ x.T, np.where(x[:, 0] > 0, 1.0, -1.0), reg=0.1)
    assert sizes.count(50) == 1 and len(made.rows) == 10
    assert len(sizes) == len(set(sizes)) == 5  # and so is each part of it that a prior learns on
