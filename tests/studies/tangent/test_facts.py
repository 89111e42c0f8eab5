"""Does a report name the next step that its numbers ask for, as a command that can be typed?"""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

import numpy as np
import pytest

from ntkseq.grams import gram
from ntkseq.spectra import spectrum
from ntkseq.studies import Study
from ntkseq.studies.tangent.facts import advice, equal, on_examples
from ntkseq.studies.tangent.fits import Fit
from ntkseq.studies.tangent.inputs import problem

X = np.random.default_rng(0).normal(size=(6, 3, 1)).astype(np.float32)


HELD = Study(X, ["a", "b"] * 3)
POSED = problem(HELD)


@pytest.mark.slow
def test_no_command_is_named_that_would_be_refused():
    ragged = problem(Study([row[: i % 3 + 1] for i, row in enumerate(X)], ["a", "b"] * 3))
    plain = Study("a.npz", read="last")
    assert "--kernel recurrent,transformer,leaky" in advice(plain, ragged, fit(plain), well=True)
    for options in ({"read": "steps"}, {"train": "WU", "read": "last"}, {"h0": "shared", "sigma_h": 0.5}):
        study = Study("a.npz", **options)
        words = shlex.split(advice(study, POSED, fit(study), well=True).partition("ntkseq study ")[2])
        if "--kernel" in words:
            dataclasses.replace(study, kernel=words[words.index("--kernel") + 1])


def fit(study: Study, twice: bool = False) -> Fit:
    """A kernel on a few examples, two of them equal if asked."""
    (choice, *_) = study.kernels
    kernel = choice.make((3, 1))
    x = np.concatenate([X, X[:1]]) if twice else X
    K = gram(kernel, *choice.inputs(x, None)[:1])
    return Fit(choice, kernel, K, K, spectrum(K, vectors=True, method="dense"))


@pytest.mark.slow(
    cases=[
        "options0-True-True-JAX_ENABLE_X64=1 ntkseq study a.npz --read last --dtype float64",
        "options1-False-False-ntkseq study a.npz --read last --tune",
        "options2-True-False-ntkseq study a.npz --kernel recurrent,dense,transformer --read last",
        "options3-True-False-ntkseq study a.npz --kernel leaky --read last --tune",
    ]
)
@pytest.mark.parametrize(
    ("options", "well", "twice", "said"),
    [
        ({}, True, True, "JAX_ENABLE_X64=1 ntkseq study a.npz --read last --dtype float64"),
        ({}, False, False, "ntkseq study a.npz --read last --tune"),
        ({}, True, False, "ntkseq study a.npz --kernel recurrent,dense,transformer --read last"),
        ({"kernel": "leaky"}, True, False, "ntkseq study a.npz --kernel leaky --read last --tune"),
        ({"tune": True}, True, False, "ntkseq study a.npz --kernel recurrent,dense,transformer --read last"),
    ],
)
def test_the_next_step_is_what_the_numbers_ask_for(options: dict[str, Any], well: bool, twice: bool, said: str):
    study = Study("a.npz", read="last", **options)
    told = advice(study, POSED, fit(study, twice), well=well)
    assert told.startswith("Next: ") and told.endswith(said)


def test_equal_training_examples_are_counted_and_no_precision_is_advised_that_cannot_help():
    assert equal(POSED) == ""
    study = Study(np.repeat(X[:2], 6, 0), ["a", "b"] * 6, read="last")
    posed = problem(study)
    n = len(posed.train.y)
    assert equal(posed) == f" Only 2 of {n} training sequences differ: {n - 2} eigenvalues are zero, in any precision."
    asked, one = Study("a.npz", read="last"), fit(study, twice=True)
    assert "float64" in advice(asked, POSED, one, well=True) and "float64" not in advice(asked, posed, one, well=True)


def test_kernels_beside_a_tuned_one_are_bounded_at_the_price_of_the_grid():
    tuned = Study("a.npz", read="last", tune=True, tried=2)
    assert "--tried 24" in advice(tuned, POSED, fit(tuned), well=True, compared=12)


def test_of_data_in_memory_the_call_is_shown_and_of_bundled_ones_a_file():
    held = Study(X, ["a", "b"] * 3, read="last")
    assert on_examples(held, tune=True) == "run(Study(..., tune=True))"
    digits = Study("digits", read="last", tune=True)
    assert advice(digits, POSED, fit(digits), well=True) == "Next: your own sequences: ntkseq study FILE.npz"


def test_the_command_asks_for_the_changed_study_and_leaves_the_folder_out():
    study = Study("my data.npz", sigma_w=1.2, out="there", overwrite=True)
    changed = dataclasses.replace(study, out=None, overwrite=False, tune=True)
    assert shlex.split(on_examples(study, tune=True)) == shlex.split(changed.command)
