"""Do kernels side by side have the numbers that each has alone, at bounds that pay for all of them?"""

from __future__ import annotations

import shlex

import numpy as np
import pytest
import tyro

from ntkseq import bounds, kernels
from ntkseq.reports import Folder, Sheet
from ntkseq.studies import Study, run
from ntkseq.studies.kernel_choices import Choice
from ntkseq.studies.options import command as command_line
from ntkseq.studies.tangent import comparison
from ntkseq.studies.tangent.fits import Fit
from ntkseq.studies.tangent.inputs import Part, Problem

RNG = np.random.default_rng(3)
X = RNG.normal(size=(24, 4, 1)).astype(np.float32)
Y = np.where(X[:, -1, 0] + 0.3 * X[:, 0, 0] > 0, "up", "down")
KERNELS = "recurrent:read=last,dense,gru:particles=16"


@pytest.fixture(scope="module")
def made():
    return run(Study(X, Y, kernel=KERNELS, n_test=8))


@pytest.mark.slow
def test_each_kernel_has_the_numbers_it_has_alone(made):
    assert isinstance(made, Sheet)
    for i, (name, found) in enumerate(made.numbers["kernels"].items()):
        alone = run(Study(X, Y, kernel=name, n_test=8))
        assert np.array_equal(made.arrays[f"K_{i}"], np.asarray(alone.gram.array))
        assert found["test_error"] == alone.prediction.test_error and found["reg"] == alone.prediction.reg
        least, own = found["min_eigenvalue"], alone.spectrum.min_eigenvalue
        assert (least.lower, least.estimate, least.upper) == (own.lower, own.estimate, own.upper)
        signs = np.where(alone.y == 1, 1.0, -1.0)
        paid = bounds.table(alone.gram, signs, reg=alone.prediction.reg, tried=3).rows["rademacher"]
        assert found["bounds"]["rademacher"]["value"] == paid.value > alone.bounds["rademacher"].value


@pytest.mark.slow
def test_a_sampled_kernel_is_named_as_one_and_nothing_of_it_is_certified(made):
    held = made.numbers["kernels"]["gru:particles=16"]
    assert held["sampled"] == "16 particles" and held["best_bound"] is None
    randomly = [b for key, b in held["bounds"].items() if key != "du2019"]
    assert not any(bound["certified"] for bound in randomly)
    assert any("gru:particles=16 is sampled (16 particles)" in note for note in made.notes)
    assert any(bound["certified"] for bound in made.numbers["kernels"]["dense"]["bounds"].values())


@pytest.mark.slow
def test_a_sampled_kernel_alone_says_so_on_its_page():
    alone = run(Study(X, Y, kernel="gru:particles=16", n_test=8))
    assert "sampled (16 particles)" in alone.kernel and "is sampled (16 particles)" in alone.notes[0]
    assert alone.best == "" and "with the samples of this kernel" in " ".join(alone.findings)


@pytest.mark.slow
def test_the_page_opens_with_what_was_learned_and_ends_in_a_command(made, tmp_path):
    assert 3 <= len(made.findings) <= 5 and "has the least test error" in made.findings[0]
    with Folder(tmp_path / "out") as folder:
        folder.write(made)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert 'class="findings"' in page and "gru:particles=16" in page
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    named = run(Study(str(tmp_path / "a.npz"), kernel="dense,recurrent:read=last", n_test=8))
    assert "Next: tune the one of least leave-one-out error: ntkseq study " in named.findings[-1]
    assert named.findings[-1].endswith(" --tried 2 --tune --n-test 8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "options", "said"),
    [
        ("a.toml,b.toml", {}, None),
        ({"mine": kernels.Dense(), "yours": "b.toml"}, {}, None),
        ("a.toml,dense:sigma_b=0.2", {}, "of those with a short name the one of least leave-one-out error: {} --kernel "
         "dense:sigma_b=0.2 --tried 2 --tune"),
        ("dense,linear", {"activation": "erf", "read": "last", "reg": 1e4, "tried": 2}, " --tried 4 --tune"),
    ],
)  # fmt: skip
def test_the_next_step_can_be_taken_and_pays_for_this_one(kernel, options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.toml").write_text('kernel = "dense"')
    (tmp_path / "b.toml").write_text('kernel = "recurrent"\nread = "last"')
    np.savez("c.npz", x=X, y=Y)
    made = run(Study("c.npz", kernel=kernel, n_test=8, **options))
    if said is None:
        assert not made.findings[-1].startswith("Next")
        return
    step = made.findings[-1]
    assert said.format("ntkseq study c.npz") in step
    command, line = command_line(Study, "source"), shlex.split(step.partition("ntkseq study ")[2])
    assert tyro.cli(command, args=line).record().tune  # refused if it cannot be asked


def bare(cls: type, **fields: object):
    """A record of which nothing is known but this."""
    made = object.__new__(cls)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


@pytest.mark.parametrize(
    ("losses", "repeated", "said"),
    [
        ({"a": [1.0], "b": [1.0]}, 0,
         "a and b have the least test error, 1; on 1 test example none is told from another."),
        ({"a": [0.0] * 9, "b": [1.0] * 9}, 0,
         "a has the least test error, 0; on 9 test examples it is told from all others."),
        # better in the mean, and worse on nearly all examples
        ({"a": [2.0] * 20, "b": [1.0] * 19 + [99.0]}, 0,
         "a has the least test error, 2; on 20 test examples it is not told from b."),
        # 6 of 6 is told from one other, not as the best of three
        ({"a": [0.0] * 6, "b": [1.0] * 6}, 0, "it is told from all others."),
        ({"a": [0.0] * 6, "b": [1.0] * 6, "c": [2.0] * 6}, 0, "it is not told from b and c."),
        ({"a": [0.0] * 9, "b": [1.0] * 9}, 3, "some of them were trained on, so that no kernel is told from another."),
    ],
)  # fmt: skip
def test_kernels_are_told_apart_where_chance_does_not(losses, repeated, said):
    rows = [
        bare(
            comparison.Row,
            one=bare(Fit, choice=Choice(name, name, lambda shape: kernels.Linear())),
            error=float(np.mean(own)),
            losses=np.asarray(own),
        )
        for name, own in losses.items()
    ]
    y = np.zeros(len(rows[0].losses))
    posed = bare(Problem, classes=(), repeated=repeated, test=Part(np.zeros((len(y), 1, 1)), y, None))
    assert comparison._least(posed, rows, min(rows, key=lambda row: row.error)).endswith(said)
