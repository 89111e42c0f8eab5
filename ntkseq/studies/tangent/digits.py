"""Does the kernel of an infinitely wide recurrent network tell handwritten 3s from 8s, and what can be certified?

Question: the images are read row by row, 8 steps of 8 pixels. How well does the kernel predict, how well conditioned is
its Gram matrix, and which bounds on the error can be written with "<="?

Command: ntkseq study digits --out digits-report

Time: about 15 seconds on two cores, most of it compiling.

Numbers to expect (257 training and 100 test examples, float32): no test error, so at most 3.6 % with 95 % confidence;
least eigenvalue 0.0204 in [0.0203, 0.0205]; entropy rank 2.53. The bounds by the norm are vacuous (the
Rademacher bound is 3.35): the functions that fit 257 examples need a norm of about 22. PAC-Bayes bounds say something:
at most 6.3 % for the fit of 40 % of the examples, 21 % for functions drawn around a prior without data.
"""

from __future__ import annotations

from ntkseq.reports import Report
from ntkseq.studies.tangent.run import run
from ntkseq.studies.tangent.spec import Study

STUDY = Study("digits", out="digits-report")


def main() -> Report:
    """Run it as it stands."""
    report = run(STUDY)
    assert isinstance(report, Report)
    return report
