"""Tests of `ntkseq.studies.attention_rank.study` as a whole, and of its sheet."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntkseq.reports import Folder, Sheet
from ntkseq.studies.attention_rank.networks import Bench
from ntkseq.studies.attention_rank.study import AttentionRank

BOTH = AttentionRank(
    sizes=(12, 24), class_sizes=(12, 24), sigmas=(0.5, 2.0), seeds=2, width=8, heads=2, depth=1, hidden=2, steps=8,
    batch=8, n_test=40, window=6, classes=("0", "1", "2"),
)  # fmt: skip


SMALL = dataclasses.replace(BOTH, tasks=("classes",))


@pytest.fixture(scope="module")
def sheet() -> Sheet:
    return SMALL.run()


def check(sheet: Sheet, task: str) -> None:
    found = sheet.numbers[task]
    assert [(run["n"], run["sigma"], run["seed"]) for run in found["runs"]] == [
        (n, sigma, seed) for n in (12, 24) for sigma in (0.5, 2.0) for seed in (0, 1)
    ]
    assert len(found["certified"]) == 16 and len(found["spearman_within_n"]) == 20 and "n" in found["spearman"]
    np.testing.assert_allclose(sheet.arrays[f"{task}.gap"], [run["gap"].estimate for run in found["runs"]])
    assert sheet.arrays[f"{task}.rank_entropy"].shape == (8, 1, 2)
    shown = {key: bound for section in sheet.sections for key, bound in section.bounds.items()}
    assert shown[f"{task}, template"].provenance == "template" and not shown[f"{task}, template"].certified
    assert shown[f"{task}, frozen attention"].certified and shown[f"{task}, norms"].certified


def test_every_run_is_on_the_sheet_and_no_certified_bound_is_violated(sheet: Sheet):
    """At 12 and 24 examples the bounds say nothing, so none can be violated: shown is that all are counted.

    That a bound which is too low counts as violated, and one that says something does not: test_attention_rank_runs.py.
    """
    check(sheet, "classes")
    assert sheet.numbers["violations"] == 0 and sheet.numbers["certified_checks"] == 8 * 4
    assert sheet.facts[0][0] == "0 of 32"
    assert any("many definitions" in note.lower() for note in sheet.notes)
    assert any("no theorem" in note for note in sheet.notes)
    assert sheet.expect.startswith("No certified bound is violated")


def test_it_can_be_written_with_all_its_pictures(sheet: Sheet, tmp_path):
    with Folder(tmp_path / "report") as folder:
        folder.write(sheet)
    page = (tmp_path / "report" / "report.html").read_text()
    assert "UCI digits" in page and "template" in page
    assert page.count("<img") >= len(sheet.figures)


@pytest.mark.slow
def test_text_and_sequences_stand_on_one_sheet():
    sheet = BOTH.run()
    for task in ("characters", "classes"):
        check(sheet, task)
    assert sheet.numbers["violations"] == 0 and sheet.numbers["certified_checks"] == 2 * 8 * 4
    assert "BSD 3-Clause" in sheet.numbers["data"]["characters"]
    for figure in sheet.figures:
        figure.axes().figure.canvas.draw()


def test_the_command_does_it_again():
    assert AttentionRank(quick=True).command == "ntkseq study attention-rank --quick"
    quick = AttentionRank(quick=True, seeds=2)
    assert quick.seeds == 2 and quick.sizes == (128, 512, 2048) and quick.steps == 400
    assert quick.command == "ntkseq study attention-rank --seeds 2 --quick"
    assert BOTH.command.startswith("ntkseq study attention-rank --window 6 --classes 0 1 2 --sizes 12 24")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": (8, 8)}, "sizes must be different ones"),
        ({"class_sizes": (8,)}, "class_sizes must be different ones"),
        ({"sizes": (0, 8)}, "sizes must be"),
        ({"window": 1}, "window must be 2 or more"),
        ({"sigmas": (0.0, 1.0)}, "sigmas must be"),
        ({"sigmas": (-1.0,)}, "sigmas must be"),
        ({"sigmas": (1.0, 1.0)}, "sigmas must be different ones"),
        ({"tasks": ()}, "tasks must be different ones"),
        ({"depth": 0}, "depth must be"),
        ({"rate": 0.0}, "rate must be"),
        ({"delta": 1.0}, "delta must lie"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_bad_options_are_turned_away(options, message):
    with pytest.raises(ValueError, match=message):
        AttentionRank(**options)


def test_data_that_do_not_fit_are_turned_away(tmp_path):
    short = tmp_path / "short.txt"
    short.write_text("hello")
    with pytest.raises(ValueError, match="must have more than t = 16 characters"):
        AttentionRank(text=str(short), tasks=("characters",)).run()
    with pytest.raises(ValueError, match=r"n must be at most 1297, .* got 1298. Lower --class-sizes"):
        AttentionRank(tasks=("classes",), class_sizes=(10, 1298)).run()
    one = tmp_path / "one.npz"
    np.savez(one, x=np.random.default_rng(0).standard_normal((40, 1, 2)), y=np.arange(40) % 2)
    with pytest.raises(ValueError, match="two or more tokens"):
        AttentionRank(tasks=("classes",), source=str(one), class_sizes=(4, 8), layout="ntd").run()


@pytest.mark.slow
def test_networks_that_diverge_are_left_out_and_said(monkeypatch):
    measure = Bench.measure

    def lost(self, n, seed, sigma, base, *, watch=False):
        return None if sigma == 2.0 else measure(self, n, seed, sigma, base, watch=watch)

    monkeypatch.setattr(Bench, "measure", lost)
    assert "classes: 4 transformers and 0 heads diverged and are left out." in SMALL.run().notes


@pytest.mark.slow
def test_a_study_in_which_everything_diverges_says_what_to_do(monkeypatch):
    monkeypatch.setattr(Bench, "measure", lambda *arguments, **options: None)
    monkeypatch.setattr(Bench, "certify", lambda *arguments, **options: ())
    with pytest.raises(ValueError, match="every transformer diverged at all n but one; lower --rate"):
        SMALL.run()
