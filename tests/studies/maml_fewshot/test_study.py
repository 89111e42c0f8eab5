"""Tests of `ntkseq.studies.maml_fewshot.study`, its pool of examples, its runs and its sheet."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from ntkseq import gram, kernels
from ntkseq.reports import Sheet
from ntkseq.studies.maml_fewshot.meta_kernels import PLACES, Kernels, draw, measure, train
from ntkseq.studies.maml_fewshot.pool import Pool, pool
from ntkseq.studies.maml_fewshot.sheet import share
from ntkseq.studies.maml_fewshot.study import KERNEL, MamlFewShot
from ntkseq.studies.tangent.inputs import Part, Problem
from ntkseq.training import maml

SMALL = {"tasks": 8, "test_tasks": 8, "widths": (4, 8), "seeds": 1, "steps": 3, "inner_steps": 2, "shots": (1, 2),
         "labels": ("permuted",), "held_out": 2, "queries": 1, "batch": 4}  # fmt: skip


def problem(ragged: bool = False, classes: int = 5) -> Problem:
    """Sequences around a mean per class; those of class 0 are near zero."""
    rng = np.random.default_rng(0)
    y = np.tile(np.arange(classes), 8)
    x = (y[:, None, None] * np.array([1.0, -0.5]) + 0.3 * rng.standard_normal((len(y), 3, 2))).astype(np.float32)
    lengths = rng.integers(1, 4, len(y)).astype(np.int32) if ragged else None
    part = Part(x, y, lengths)
    return Problem("made", part.take(slice(30)), part.take(slice(30, None)), tuple("abcde"[:classes]), 0, "by hand")


def study(**options: object) -> MamlFewShot:
    return MamlFewShot(**{**SMALL, **options})  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def ragged() -> Pool:
    return pool(problem(ragged=True), KERNEL, held=2, key=jax.random.key(0))


@pytest.fixture(scope="module")
def found(ragged: Pool) -> Kernels:
    return measure(ragged, study(), draw(ragged, study(), 1, True))


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Sheet:
    path = tmp_path_factory.mktemp("data") / "five.npz"
    posed = problem()
    np.savez(path, x=np.concatenate([posed.train.x, posed.test.x]), y=np.concatenate([posed.train.y, posed.test.y]))
    return MamlFewShot(source=str(path), **SMALL).run()  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
def test_a_table_of_kernel_values_is_the_kernel_of_the_sequences(ragged: Pool) -> None:
    tasks = ragged.tasks(True, ways=2, shots=2, queries=1, tasks=4, key=jax.random.key(1))
    (xs, _), xq = ragged.sequences(tasks)
    inner = kernels.GD(3, 0.05)
    for algorithm, head in (("maml", None), ("anil", ragged.head)):
        want = gram(kernels.Meta(KERNEL, inner, algorithm), ((xs[0], None), xq[0]), lengths=(xs[1], xq[1]))
        got = gram(kernels.Meta(ragged.theta, inner, algorithm, head), tasks)
        np.testing.assert_allclose(got.array, want.array, rtol=1e-3, atol=1e-4 * np.abs(want.array).max())
        assert float(got.rounding) >= np.linalg.norm(np.asarray(got.array) - np.asarray(want.array))


@pytest.mark.slow
def test_new_classes_are_those_held_out_and_tasks_are_of_one_side(ragged: Pool) -> None:
    drawn = draw(ragged, study(), 1, True)
    for place, tasks in drawn.test.items():
        rows = np.concatenate([np.ravel(tasks.support.x), np.ravel(tasks.query)]).astype(int)
        part = ragged.split.train if place == PLACES[0] else ragged.split.test
        assert set(ragged.y[rows]) <= set(part.classes)
    labels = np.asarray(drawn.train.support.y)
    assert len(np.unique(labels[:, 0])) == 2  # permuted


@pytest.mark.slow
def test_the_meta_kernel_learns_a_rule_of_seen_classes_where_labels_are_fixed() -> None:
    """Classes are ordered along one direction, and the smaller one is always -1."""
    examples = pool(problem(), KERNEL, held=[1, 3], key=jax.random.key(0))
    many = study(tasks=40, test_tasks=40)
    got = measure(examples, many, draw(examples, many, 1, False))
    assert got.accuracy["MAML: meta-kernel"]["seen classes"].value > 0.9
    assert got.reg["maml"] < max(got.spectra["maml"].spectrum.values)
    permuted = measure(examples, many, draw(examples, many, 1, True))  # nothing to learn: a large ridge is chosen
    assert permuted.reg["maml"] >= permuted.spectra["maml"].spectrum.values[0]


@pytest.mark.slow
def test_every_bound_is_above_what_it_bounds(found: Kernels) -> None:
    """Of 8 tasks both are above 1, which the loss cannot exceed: this shows which loss, tasks and kappa they speak of.
    In tests/contracts/test_bounds.py `meta_kernel` is near a loss that is known.
    """
    assert set(found.measured) == {"MAML", "ANIL"}
    for name, measured in found.measured.items():
        bound = found.bounds[name]
        assert bound.certified and bound.value is not None and bound.value > measured
        assert (
            bound.vacuous and bound.constants.N == 8 and bound.constants.q == found.fits[name.lower()].labels.shape[1]
        )
        assert not found.bounds[f"{name}, recalled"].certified
    assert found.bounds["MAML"].constants.kappa is not None and found.bounds["ANIL"].constants.kappa is None


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["maml", "anil"])
def test_a_wide_network_ends_where_its_kernel_says(ragged: Pool, algorithm: str) -> None:
    """SGD on all tasks at once and the flow of the kernel, for a short time; the rest falls with the width."""
    short = study(steps=20, outer_rate=0.1, batch=8)
    found = measure(ragged, short, draw(ragged, short, 1, True))
    far, near = (train(ragged, short, found, KERNEL.finite(width), algorithm, 0) for width in (16, 1024))
    # 0.08 (MAML) and 0.055 (ANIL) were seen, 0.2 with steps half as long again
    assert near.deviation < 0.12 and near.deviation < 0.5 * far.deviation
    assert near.diverged_at is None and set(near.accuracy) == set(PLACES)


@pytest.mark.slow
def test_tasks_of_three_classes_have_three_outputs() -> None:
    examples = pool(problem(classes=6), KERNEL, held=3, key=jax.random.key(0))
    three = study(ways=3)
    found = measure(examples, three, draw(examples, three, 1, True))
    net = dataclasses.replace(KERNEL.finite(8), outputs=three.outputs)
    got = train(examples, three, found, net, "maml", 0)
    assert found.fits["maml"].labels.shape == (8, 3, 3) and np.isfinite(got.losses).all()
    assert found.bounds["MAML"].quantity.startswith("E min(1, |F - y|)")


def test_everything_is_on_the_sheet(sheet: Sheet) -> None:
    assert [section.heading for section in sheet.sections] == [
        "Right answers", "Theta and the meta-kernels", "Finite networks", "Bounds: 1-shot, labels permuted",
        "Bounds: 2-shot, labels permuted",
    ]  # fmt: skip
    rows = sheet.sections[0].tables[0].rows
    assert len(rows) == 2 * 4 + 2 * 2
    assert [run["width"] for run in sheet.numbers["networks"]] == [4, 8, 4, 8]
    assert sheet.numbers["settings"]["1-shot, labels permuted"]["score"].keys() == {"none", "maml", "anil"}
    assert any("never seen" in note for note in sheet.notes)
    for figure in sheet.figures:
        figure.axes().figure.canvas.draw()


def test_shares_have_intervals_that_cover_and_do_not_vanish() -> None:
    every = share(maml.scored(np.ones((50, 2)), np.ones((50, 2))), 2)
    assert every.estimate == every.upper == 1.0 and every.lower == pytest.approx(50 / (50 + 1.96**2))
    rng, covered = np.random.default_rng(0), 0
    for _ in range(400):  # answers of one task are right with a probability of its own, 0.8 on average
        right = rng.random((60, 4)) < rng.beta(1.6, 0.4, (60, 1))
        covered += 0.8 in share(maml.scored(np.where(right, 1.0, -1.0), np.ones((60, 4))), 4)
    assert covered >= 400 * 0.95 - 3 * (400 * 0.95 * 0.05) ** 0.5


def test_quick_changes_what_was_not_asked_for() -> None:
    quick = MamlFewShot(quick=True, widths=(8, 16))
    assert quick.widths == (8, 16) and quick.tasks == 200
    assert quick.command == "ntkseq study maml-fewshot --widths 8 16 --quick"
    assert MamlFewShot(shots=(1,)).command == "ntkseq study maml-fewshot --shots 1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (8,)}, "widths must be different ones"),
        ({"shots": (1, 1)}, "shots must be different ones"),
        ({"shots": (0,)}, "shots must be"),
        ({"labels": ()}, "labels must be"),
        ({"inner_rate": 2.0}, r"inner_rate must lie in \(0, 2\)"),
        ({"tasks": 0}, "tasks must be"),
        ({"delta": 1.0}, "delta must"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_bad_options_are_turned_away(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        MamlFewShot(**options)


def test_classes_that_are_not_there_or_too_few_are_turned_away() -> None:
    with pytest.raises(ValueError, match="no class 'x'"):
        MamlFewShot(new_classes=("a", "x"))._pool(problem())
    with pytest.raises(ValueError, match="two of the 3 classes on either side"):
        MamlFewShot(held_out=2)._pool(problem(classes=3))
