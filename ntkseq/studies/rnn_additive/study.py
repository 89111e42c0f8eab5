"""Do recurrent networks learn sums of functions of single tokens, from how many examples, and what do the bounds say?

Time: About 20 minutes on two cores; --quick about a minute.
"""

from __future__ import annotations

from ntkseq.reports import Sheet
from ntkseq.studies.provenance import Clock, Fingerprint
from ntkseq.studies.rnn_additive.cases import AdditiveCase, cases, profiles
from ntkseq.studies.rnn_additive.options import AdditiveOptions
from ntkseq.studies.rnn_additive.sheet import sheet


class RnnAdditive(AdditiveOptions):
    """Additive targets: test error, norm and bounds of the recurrent kernel and of finite networks against n and t.

    Sequences of random unit tokens after a common first one, labelled by sums of functions of single tokens. Kernel
    regression with `kernels.Recurrent.preset("allen-zhu-li")`; plain SGD on the W of the papers' network, its start
    subtracted; the same with short tokens. Writes report.html, report.json, arrays.npz.
    """

    name = "rnn-additive"
    summary = (
        "Additive targets: test error, norm and bounds of the recurrent kernel and of finite networks against n and t."
    )
    question = (
        "Labels are sums of analytic functions of single tokens. How does the test error fall with the number n of "
        "examples for kernel regression with the kernel of the papers, and for their algorithm, SGD on the W of a "
        "finite relu Elman network, for sequences of 4 to 64 tokens? Do errors and norms stay below what is proved "
        "without seeing a label? And what changes when all tokens but the first are made short, as the first of these "
        "theorems asks?"
    )
    # K(x, x) = t (t-1)/4; linear targets, three draws, n = 32 to 1024
    expect = (
        "No y'K^-1 y above its bound and no risk bound below the error, which falls as n^-1.2, n^-1.0, n^-0.8, n^-0.4 "
        "for the last but one token and t = 4, 8, 16, 64 (to 0.002, 0.019, 0.057, 0.23), and as n^-1.25, n^-0.97, "
        "n^-0.2, n^0.00 for the second: at t = 64 that is not learnt at all, and the bound of its norm has grown from "
        "7 to 1.3e8 / K(x, x). Certified at n = 1024 for the last but one: 0.25, 0.41, 0.60, 1.3. With tokens of norm "
        "t^-1.5 the second one is learnt at all lengths (n^-1.2 to n^-0.8, to 0.08 at t = 64; norm bound 600 / K(x, "
        "x)), and late tokens less well than before (0.38 against 0.23 at t = 64), since theirs is 1e4. Functions that "
        "bend cost more, and short tokens make that worse. Networks of width 512 err as the kernel does at n = 32 (1.1 "
        "times at t = 4) and up to 3 times as much at n = 256; those of width 64 at t = 64 have nothing of their "
        "limit: K(x, x) is up to 1e6 times as large."
    )

    def measure(self, clock: Clock, mark: Fingerprint) -> Sheet:
        """Measure everything at every length, as it is and with short tokens."""
        found: dict[bool, list[AdditiveCase]] = {}
        for short in (False, True) if self.short > 0 else (False,):
            found[short] = [
                case
                for t in sorted(self.steps)
                for case in cases(self, t, t**-self.short if short else 1.0, networks=not short, mark=mark, clock=clock)
            ]
        t = max(self.steps)
        memory = {short: profiles(t, t**-self.short if short else 1.0, self.features) for short in found}
        with clock("bounds", "theorems"):
            return sheet(self, found, memory)
