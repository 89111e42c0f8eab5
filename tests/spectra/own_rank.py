"""What does a definition of effective rank look like that is not the library's?"""

from __future__ import annotations

import dataclasses

import numpy as np

from ntkseq.spectra.ranks import EffectiveRank


@dataclasses.dataclass(frozen=True)
class Above(EffectiveRank):
    """How many values are above a level. It has nothing but `of` and `bounds`."""

    level: float

    def of(self, s: np.ndarray) -> float:
        return float(np.sum(s > self.level))

    def bounds(self, s: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
        return self.of(s - errors), self.of(s + errors)
