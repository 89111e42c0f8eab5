"""Do kernels side by side have the numbers that each has alone, at bounds that pay for all of them?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq import bounds
from ntkseq.reports import Folder, Sheet
from ntkseq.studies import Study, run

RNG = np.random.default_rng(3)
X = RNG.normal(size=(24, 4, 1)).astype(np.float32)
Y = np.where(X[:, -1, 0] + 0.3 * X[:, 0, 0] > 0, "up", "down")
KERNELS = "recurrent:read=last,dense,gru:particles=16"


@pytest.fixture(scope="module")
def made():
    return run(Study(X, Y, kernel=KERNELS, n_test=8))


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


def test_a_sampled_kernel_is_named_as_one_and_nothing_of_it_is_certified(made):
    held = made.numbers["kernels"]["gru:particles=16"]
    assert held["sampled"] == "16 particles" and held["best_bound"] is None
    randomly = [b for key, b in held["bounds"].items() if key != "du2019"]
    assert not any(bound["certified"] for bound in randomly)
    assert any("gru:particles=16 is sampled (16 particles)" in note for note in made.notes)
    assert any(bound["certified"] for bound in made.numbers["kernels"]["dense"]["bounds"].values())


def test_a_sampled_kernel_alone_says_so_on_its_page():
    alone = run(Study(X, Y, kernel="gru:particles=16", n_test=8))
    assert "sampled (16 particles)" in alone.kernel and "is sampled (16 particles)" in alone.notes[0]
    assert alone.best == "" and "with the samples of this kernel" in " ".join(alone.findings)


def test_the_page_opens_with_what_was_learned_and_ends_in_a_command(made, tmp_path):
    assert 3 <= len(made.findings) <= 5 and "has the least test error" in made.findings[0]
    with Folder(tmp_path / "out") as folder:
        folder.write(made)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert 'class="findings"' in page and "gru:particles=16" in page
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    named = run(Study(str(tmp_path / "a.npz"), kernel="dense,recurrent:read=last", n_test=8))
    assert "Next: tune the one of least leave-one-out error: ntkseq study " in named.findings[-1]
    assert named.findings[-1].endswith(" --tune --n-test 8")


def test_numbers_are_compared_by_their_root_mean_square():
    made = run(Study(X, X[:, -1, 0] + 0.5, kernel="recurrent:read=last,dense", n_test=8))
    for name, found in made.numbers["kernels"].items():
        alone = run(Study(X, X[:, -1, 0] + 0.5, kernel=name, n_test=8))
        assert found["test_error"] == alone.numbers["root_mean_squared_error"]["test"]
