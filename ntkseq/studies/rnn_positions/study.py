"""Does one recurrent network learn a function for every position of its output, and how does it use earlier tokens?

Time: About 10 minutes on two cores, added up from its parts; --quick under a minute.
"""

from __future__ import annotations

from ntkseq.reports import Sheet
from ntkseq.studies.provenance import Clock, Fingerprint
from ntkseq.studies.rnn_positions.cases import cases
from ntkseq.studies.rnn_positions.options import PositionsOptions
from ntkseq.studies.rnn_positions.sheet import sheet


class RnnPositions(PositionsOptions):
    """Position-to-position targets: one kernel predictor, and one network, with an output at every step.

    Sequences of random tokens of one norm after a common first one; a label at every step from the third on. Kernel
    regression on all steps of all sequences with `kernels.every_step`; plain SGD on the W of the papers' network, its
    start subtracted; `bounds.rademacher_steps`. Writes report.html, report.json, arrays.npz.
    """

    name = "rnn-positions"
    summary = "Position-to-position targets: one kernel predictor, and one network, with an output at every step."
    question = (
        "Every step of a sequence has a label of its own, a sum of functions of earlier tokens that differ from step "
        "to step. One network with one read-out serves all steps. How does its error fall with the number of "
        "sequences, step by step, for kernel regression on all steps at once and for the papers' algorithm, SGD on the "
        "W of a finite relu Elman network? What is proved of it, and what becomes of early tokens on the way?"
    )
    # with --quick, sin, t = 8, n = 128, width 256
    expect = (
        "The error of one kernel predictor grows from 0.014 at the third position to 0.24 at the last where each step "
        "reads the second token, 0.28 where it reads all earlier ones and 0.39 where it reads the one before; f = 0 "
        "errs by 0.40 to 0.45 there. Fitted to the last step alone the same kernel errs by 0.21, 0.14 and 0.13: not "
        "the token is dear but that steps must be told apart. The squared norm of the one function is 7, 8 and 12 "
        "times that of the dearest step alone. Of its effect on the last output the token just before is learnt least "
        "(0.22 of it, by networks 0.16), earlier ones are by 0.5 to 0.7. Networks err 1.0 to 1.5 times as much as "
        "kernel flow of the same time. No norm and no error is above its bound. The bounds are vacuous: 2.0 to 2.6 "
        "from y'K^-1 y, 3.7 to 8.4 before any label, which certifies an error of one half from 7,000 (second token) to "
        "36,000 sequences on (token before)."
    )

    def measure(self, clock: Clock, mark: Fingerprint) -> Sheet:
        """Measure every target."""
        found = list(cases(self, mark=mark, clock=clock))
        with clock("sheet", "theorem"):
            return sheet(self, found)
