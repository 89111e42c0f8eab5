"""Do the sentences on trained networks follow their numbers?"""

from __future__ import annotations

from ntkseq.spectra import Interval
from ntkseq.studies.training import Training
from ntkseq.studies.training.sentences import Summary, findings
from ntkseq.training import laziness

LAZY = laziness([64, 256, 1024], [[0.41, 0.39], [0.20, 0.21], [0.10, 0.098]])
STILL = laziness([64, 256, 1024], [[0.41, 0.39], [0.40, 0.41], [0.40, 0.398]])
OPEN = laziness([64, 256], [[0.4], [0.2]])
CLEAR = Summary(LAZY, LAZY, {64: 0.4, 1024: 0.1}, {64: 0.5, 1024: 0.2}, Interval(0.1, 0.2, 0.3), 0, 6)


def test_lazy_networks_and_resolved_eigenvalues_are_said_so():
    verdict, sizes, least, after = findings(Training(), {"elman": CLEAR})
    assert verdict.startswith("The wider the network, the less its kernel moves") and "elman (width^-0.5" in verdict
    assert "0.4 of its size at width 64 and 0.1 at 1024 (elman)" in sizes and "by 0.2 (elman: lazy)" in sizes
    assert least == "At the largest width the least eigenvalue ends above zero for elman (0.2 in [0.1, 0.3])."
    assert after == "Next: twice the seeds: ntkseq study training --out training-report-next --seeds 6"


def test_what_is_not_decided_and_not_resolved_is_said_and_more_is_advised():
    gru = Summary(OPEN, STILL, {64: 0.4, 256: 0.2}, {64: 1.0, 256: 1.0}, Interval(-0.1, 0.2, 0.3), 0, 2)
    verdict, _, least, after = findings(Training(quick=True), {"gru": gru})
    assert "is not told: gru" in verdict and "no interval" in verdict
    assert least == "At the largest width, for gru it is not told from zero in float32."
    assert after.startswith("Next: more widths and seeds, to decide on gru, in full: ntkseq study training --out")
    still = Summary(STILL, STILL, {64: 0.4, 256: 0.4}, {256: 1.0}, Interval(0.1, 0.2, 0.3), 0, 2)
    assert "does not vanish with the width: gru" in findings(Training(), {"gru": still})[0]


def test_runs_that_diverged_and_models_without_any_are_said():
    some = Summary(LAZY, LAZY, {64: 0.4, 1024: 0.1}, {64: 0.5, 1024: 0.2}, Interval(0.1, 0.2, 0.3), 2, 6)
    said = findings(Training(), {"elman": some}, ["gru"])[3]
    assert said.startswith("2 of 6 runs diverged and are left out; lower --rate.") and "Nothing is said of gru" in said
