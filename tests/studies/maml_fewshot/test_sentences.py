"""Do the sentences on few-shot tasks follow the numbers?"""

from __future__ import annotations

import numpy as np

from ntkseq.bounds import Bound, Term
from ntkseq.spectra import Interval
from ntkseq.studies.maml_fewshot import MamlFewShot
from ntkseq.studies.maml_fewshot.sentences import Gain, findings, gain
from ntkseq.training import laziness

LAZY = laziness([64, 256, 1024], [[0.41, 0.39], [0.20, 0.21], [0.10, 0.098]])


def bound(value: float) -> Bound:
    term = Term("loss", "mean", value, explicit=True, provenance="exact")
    return Bound("a", "P(err)", value, terms=(term,), assumptions=(), delta=0.05, trivial=1.0)


def said(study: MamlFewShot, gains: list[Gain], value: float, diverged: int = 0) -> tuple[str, ...]:
    return findings(
        study, gains=gains, slopes={"MAML": LAZY}, scores={"Theta": 66.0, "MAML": 5.0}, bounds={"MAML": bound(value)},
        measured={"MAML": 0.2}, diverged=diverged, runs=4,
    )  # fmt: skip


def test_what_is_gained_what_is_lost_and_what_is_proved():
    up = Gain("labels fixed", "meta-kernel of MAML", "seen classes", Interval(0.03, 0.07, 0.11))
    down = Gain("labels fixed", "meta-kernel of MAML", "new classes", Interval(-0.35, -0.27, -0.2))
    gained, score, proved, limit, after = said(MamlFewShot(), [up, down], 0.25)
    assert "adds right answers, in points of 100, for meta-kernel of MAML, labels fixed, seen classes (+7 " in gained
    assert "It takes some away for meta-kernel of MAML, labels fixed, new classes (-27 [-35, -20])" in gained
    assert score == "The condition number of the kernel of a few tasks goes from 66 to 5 (MAML) by adaptation."
    assert proved == "Proved for new tasks of seen classes: an error <= 0.25 (MAML), where 0.20 was measured."
    assert "MAML: lazy (width^-0.5" in limit and after.startswith(
        "Next: more tasks to learn from: ntkseq study maml-fewshot"
    )


def test_a_gain_that_is_not_told_and_a_bound_that_says_nothing():
    one = gain(
        "labels permuted", "meta-kernel of ANIL", "new classes", np.array([1.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.0])
    )
    gained, _, proved, _, after = said(MamlFewShot(), [one], 1.09)
    assert gained.startswith("It is not told whether it adds anything to adaptation alone for meta-kernel of ANIL")
    assert proved == "Nothing is proved of the error on new tasks: the bounds are 1.09 (MAML), of at most 1."
    assert after.startswith("Next: more test tasks, to tell the rest:") and "--test-tasks 1000" in after
    assert said(MamlFewShot(quick=True), [one], 1.09)[-1].startswith("Next: more tasks and wider networks in full:")


def test_networks_that_diverged_are_said():
    assert said(MamlFewShot(), [], 0.4, diverged=2)[-2].endswith(
        "2 of 4 networks diverged and are left out; lower --outer-rate."
    )


def test_the_interval_of_a_gain_is_that_of_the_mean_difference_over_tasks():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        first, second = (rng.random((2, 40)) < np.array([[0.6], [0.7]])).astype(float)
        held += 0.1 in gain("", "", "", first, second).more
    assert held >= 180  # 0.95 of 200, three standard errors below
    alike = gain("", "", "", np.ones(30), np.ones(30)).more
    assert (alike.lower, alike.upper) == (-0.1, 0.1)
