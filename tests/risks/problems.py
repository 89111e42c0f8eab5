"""Problems that several tests of MAML on linear regression share."""

from __future__ import annotations

import numpy as np

from ntkseq.risks import MixedRegression


def golden(**changes) -> MixedRegression:
    """The problem of the theory file's reference numbers."""
    given = {
        "spectrum": [1, 0.5, 0.25, 0.125], "start": [1, -0.5, 0.25, 2.0], "spread": np.sqrt([0.1, 0.2, 0.3, 0.4]),
        "noise": 0.5, "n1": 4, "n2": 3, "m": 5, "beta_tr": 0.3, "beta_te": 0.4, "alpha": 0.05,
    }  # fmt: skip
    return MixedRegression(**(given | changes))
