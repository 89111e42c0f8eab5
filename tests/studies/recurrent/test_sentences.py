"""Do the sentences that studies of recurrent networks share follow the numbers?"""

from __future__ import annotations

import numpy as np

from ntkseq.studies.recurrent.cases import Trained
from ntkseq.studies.recurrent.kernel_regression import Errors
from ntkseq.studies.recurrent.sentences import networks, speaking
from ntkseq.studies.recurrent.sgd import NetworkFit


def run(width: int, error: float, kernel: float, diverged_at: int | None = None) -> Trained:
    """A network that errs by so much beside a kernel machine."""
    both = [Errors(value, value, value, value, 10) for value in (error, kernel)]
    fit = NetworkFit(8, width, 0, 0.1, 4, 4, both[0], 0.0, np.zeros(2), np.zeros(4), 0.1, diverged_at)
    return Trained(fit, both[1])


def test_the_bound_that_says_most_stands_beside_what_was_measured():
    known = [("a", 0.2501, 0.002, True), ("b", 1.3, 0.2, True), ("c", 0.1, 0.05, False)]
    said = speaking(known, 1024)
    assert "proved to be below 1 for 1 of 3 targets at n = 1024, at best <= 0.251 where 0.002 was measured (a)" in said
    assert speaking(known[1:], 64) == "What is proved of the error before any label says nothing at n = 64."


def test_networks_of_one_width_are_compared_and_those_that_diverged_are_counted():
    runs = [run(512, 0.2, 0.1), run(512, 0.1, 0.1), run(64, 9.0, 0.1), run(512, np.nan, 0.1, 3)]
    assert networks(runs, 512) == (
        "Trained by SGD, networks of width 512 err 1 to 2 times as much as the kernel trained as long (2 runs, least "
        "to largest). 1 of 4 networks diverged and is left out; lower --rate."
    )
    assert networks(runs[3:], 512).startswith("No network of width 512 can be compared with its kernel. 1 of 1")
    assert networks([], 512) == ""
