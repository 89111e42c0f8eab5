"""Do the sentences on attention at the start follow the numbers?"""

from __future__ import annotations

import numpy as np

from ntkseq.spectra import Interval
from ntkseq.studies.attention_collapse import AttentionCollapse
from ntkseq.studies.attention_collapse.initial import Cell, Kernel, Layers, Shape
from ntkseq.studies.attention_collapse.sentences import findings

NO = Interval(0, 1, 2)


def cell(sigma: float, residual: float, rank: float, least: Interval, distance: float = 0.1) -> Cell:
    two = np.array([0.5, residual])
    layers = Layers(None, {"entropy": np.array([3.0, rank]), "stable": two, "participation": two}, two, np.zeros(2))
    kernels = (
        Kernel(None, None, 2, least, NO, NO, 0.0, np.ones(3)),
        Kernel(8, 0, 2, Interval(-1, 0, 1), NO, NO, distance, np.ones(3)),
    )
    return Cell(Shape("none", False), sigma, (layers,), kernels)


def test_a_collapse_and_what_it_does_to_the_kernel_are_said():
    found = [cell(0.5, 1e-9, 1.0, Interval(0.001, 0.002, 0.003)), cell(8.0, 0.9, 7.5, Interval(0.01, 0.02, 0.03), 0.3)]
    where, ranks, kernel, resolved, after = findings(AttentionCollapse(dtype="float64"), found)
    assert "collapsed after 2 layers" in where and "in 1 of 2 settings: no mask, without skip, sigma = 0.5." in where
    assert "runs from 1 (no mask, without skip, sigma = 0.5) to 7.5 (no mask, without skip, sigma = 8)" in ranks
    assert "lies in [0.001, 0.003] where attention has collapsed and in [0.01, 0.03] elsewhere" in kernel
    assert kernel.endswith("the kernel is worse conditioned where attention has collapsed.")
    assert resolved.startswith("2 of 2 least eigenvalues") and "width 8 are off their limits by 0.1 to 0.3" in resolved
    assert after.startswith("Next: twice as deep: ntkseq study attention-collapse") and "--depths 1 2 4 8 16" in after


def test_ranges_that_overlap_and_eigenvalues_that_are_not_resolved_are_said():
    found = [cell(0.5, 1e-9, 1.0, Interval(0.001, 0.02, 0.05)), cell(8.0, 0.9, 7.5, Interval(0.01, 0.02, 0.03)),
             cell(2.0, 0.9, 4.0, Interval(-0.1, 0.0, 0.1))]  # fmt: skip
    said = findings(AttentionCollapse(quick=True), found)
    assert said[2].endswith("the ranges overlap, so that a collapse alone is not told to spoil this kernel.")
    assert said[3].startswith("2 of 3 least eigenvalues at infinite width are told from zero in float32")
    command = (
        "JAX_ENABLE_X64=1 ntkseq study attention-collapse --out attention-collapse-report-next --dtype float64 --quick"
    )
    assert said[-1] == f"Next: the rest in float64: {command}"


def test_without_a_collapse_nothing_is_compared():
    said = findings(AttentionCollapse(), [cell(8.0, 0.9, 7.5, Interval(-1, 0, 1))])
    assert said[0] == "At infinite width attention collapses in none of 1 settings within 2 layers."
    assert len(said) == 4 and said[2].startswith("0 of 1 least eigenvalues")
