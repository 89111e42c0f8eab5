"""Tests of `ntkseq.studies.training.study`, its runs and its sheet."""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.reports import Sheet
from ntkseq.studies.training import networks
from ntkseq.studies.training.networks import MODELS, Task, train
from ntkseq.studies.training.study import Training

SMALL = Training(models=("elman",), widths=(4, 8), seeds=2, steps=6, n_train=12, n_test=8, batch=4)


@pytest.fixture(scope="module")
def sheet() -> Sheet:
    return SMALL.run()


def test_every_run_is_on_the_sheet(sheet: Sheet):
    runs = sheet.numbers["runs"]["elman"]
    assert [(run["width"], run["seed"]) for run in runs] == [(4, 0), (4, 1), (8, 0), (8, 1)]
    assert all(run["drift"] > 0 and run["test_deviation"] > 0 and run["moved"] > 0 for run in runs)
    assert sheet.arrays["elman-8-1.kernel.steps"].tolist() == list(range(7))
    assert sheet.numbers["drift_slope"]["elman"]["widths"] == (4.0, 8.0)
    assert sheet.command == "ntkseq study training --models elman --widths 4 8 --seeds 2 --steps 6 --batch 4 " + (
        "--n-train 12 --n-test 8"
    )


def test_its_pictures_can_be_drawn(sheet: Sheet):
    for figure in sheet.figures:
        figure.axes().figure.canvas.draw()


def test_quick_changes_what_was_not_asked_for():
    quick = Training(quick=True, widths=(8, 16))
    assert quick.widths == (8, 16) and quick.seeds == 2 and quick.steps == 150
    assert quick.command == "ntkseq study training --widths 8 16 --quick"
    assert Training(quick=True).command == "ntkseq study training --quick"


@pytest.mark.slow
@pytest.mark.parametrize("model", ["elman", "gru", "transformer"])
def test_a_small_rate_for_a_short_time_leaves_a_network_where_its_linearisation_is(model: str):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((8, 3, 2)).astype(np.float32), np.sign(rng.standard_normal(8))
    task = Task(x, y, x[:3] + 0.1, y[:3], None, None, steps=3, batch=4, every=1)
    still, moving = (train(MODELS[model](16), task, rate=rate, width=16, seed=0) for rate in (1e-2, 0.3))
    # of first order in the rate is the change of the kernel, of second what it does to the outputs, but for the kinks
    # of relu in the transformer: 1/900 and 1/56 of the deviation were seen
    assert still.drift < 0.1 * moving.drift
    assert still.test_deviation < 0.05 * moving.test_deviation
    assert still.history["kernel"].steps.tolist() == [0, 1, 2, 3]
    assert ("attention" in still.history.tables) == (model == "transformer")


@pytest.mark.slow
def test_ragged_sequences_are_trained_too():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((6, 4, 2)).astype(np.float32), np.array([1.0, -1, 1, -1, 1, -1])
    lengths = np.array([4, 1, 2, 4, 3, 4], np.int32)
    task = Task(x, y, x[:2], y[:2], lengths, lengths[:2], steps=2, batch=6, every=1)
    behind = x.copy()
    behind[1, 2:] = 1e3  # padding
    other = Task(behind, y, x[:2], y[:2], lengths, lengths[:2], steps=2, batch=6, every=1)
    one, two = (train(MODELS["elman"](8), t, rate=0.3, width=8, seed=0) for t in (task, other))
    np.testing.assert_array_equal(one.history["kernel"]["outputs"], two.history["kernel"]["outputs"])


@pytest.mark.slow
def test_runs_that_diverge_are_left_out_and_said():
    rate = 50.0
    try:
        sheet = Training(models=("elman",), widths=(4, 8), seeds=1, steps=40, n_train=12, n_test=8, rate=rate).run()
    except ValueError as error:
        assert "every network diverged" in str(error)
    else:
        assert any("diverged" in note for note in sheet.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (8,)}, "different ones, two or more"),
        ({"widths": (8, 8)}, "different ones, two or more"),
        ({"models": ()}, "models must be different ones"),
        ({"models": ("elman", "elman")}, "models must be different ones"),
        ({"rate": 0.0}, "rate must be"),
        ({"seeds": 0}, "seeds must be"),
    ],
)
def test_bad_options_are_turned_away(options, message):
    with pytest.raises(ValueError, match=message):
        Training(**options)


def test_data_of_several_classes_are_turned_away():
    with pytest.raises(ValueError, match="digits has 3 classes; the study trains networks on two"):
        Training(classes=("1", "2", "3")).run()


def test_heads_share_the_width():
    net = MODELS["transformer"](64)
    assert net.heads == networks.HEADS and net.d_k == 16  # pyright: ignore[reportAttributeAccessIssue]
