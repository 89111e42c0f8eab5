"""Is a study that does not fit into memory refused before anything is computed, with what would fit?"""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from ntkseq import _memory
from ntkseq.studies import Study, run
from ntkseq.studies.tangent import size
from ntkseq.studies.tangent.inputs import problem

STUDY = Study(np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32), ["a", "b"] * 30, n_test=20)


def test_what_does_not_fit_is_refused_with_what_does(monkeypatch):
    posed = problem(STUDY)
    monkeypatch.setattr(_memory, "available", lambda device: size.need(40, 20, 4, 1) // 4)
    with pytest.raises(
        ValueError, match=r"40 training examples take about .* are free. Take fewer, --n-train 20"
    ) as raised:
        run(STUDY)
    assert "\n" not in str(raised.value)
    fewer = int(re.findall(r"--n-train (\d+)", str(raised.value))[0])
    assert size.need(fewer, 20, 4, 1) <= 1.2 * _memory.available(None)
    monkeypatch.setattr(_memory, "available", lambda device: size.need(40, 20, 4, 1))
    size.check(STUDY, posed, 1, None)


@pytest.mark.slow
def test_only_a_large_study_says_its_size(monkeypatch):
    said: list[str] = []
    posed = problem(STUDY)
    size.check(STUDY, posed, 1, said.append)
    assert said == []
    monkeypatch.setattr(size, "SAID", 1)
    size.check(STUDY, posed, 1, said.append)
    assert len(said) == 1 and re.fullmatch(r"estimate: [\d.]+ \w+ of memory, [\d.]+ GiB are free", said[0])


def test_only_a_long_study_says_its_time_which_counts_all_kernels_and_spectra(monkeypatch):
    said: list[str] = []
    posed = problem(STUDY)
    monkeypatch.setattr(size.estimates, "seconds", lambda kernel, x, lengths: 6.0)
    size.check(dataclasses.replace(STUDY, kernel="dense,recurrent"), posed, 2, said.append)
    # a triangle, and 20 x 40 pairs beside its 40 x 40 / 2; of two kernels
    assert said == ["estimate: 24 s (8 s to 72 s) once compiled, if the machine stays as busy"]
    monkeypatch.setattr(size.estimates, "seconds", lambda kernel, x, lengths: 4.0)
    assert size.duration(STUDY, posed) is None
    monkeypatch.setattr(size, "DENSE", 40)
    monkeypatch.setattr(size, "_dense", lambda n: 100.0)
    assert size.duration(STUDY, posed) == pytest.approx(100 + 4 * (1 + 2 * 20 / 40))
