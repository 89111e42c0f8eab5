"""Which predictors do certified bounds speak of, and does their true loss stay below? One head, and one read-out."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float

from ntkseq import bounds
from ntkseq.bounds import AttentionHead, Bound
from ntkseq.spectra import Interval
from ntkseq.studies.attention_rank.correlations import mean, shifted
from ntkseq.studies.attention_rank.tasks import Examples

GAMMA = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Certified:
    """A predictor that certified bounds speak of, with its true loss.

    Attributes:
        n, seed, sigma: which run.
        kind: "head", all of it trained, or "frozen", a read-out behind attention of the start.
        train, test: mean ramp loss, min(1, max(0, 1 - y f)), which lies in [0, 1].
        bounds: on the expectation of the ramp loss, and so on the share of wrong signs, by short name.
    """

    n: int
    seed: int
    sigma: float
    kind: str
    train: float
    test: Interval
    test_error: float
    bounds: dict[str, Bound]

    @property
    def gap(self) -> Interval:
        """Test minus training loss; the interval is that of the test loss."""
        return shifted(self.test, -self.train)

    def beyond(self, name: str) -> bool:
        """Whether the measured test loss is above the bound, with or without its error."""
        value = self.bounds[name].value
        return value is not None and self.test.estimate > value

    def violated(self, name: str) -> bool:
        """Whether all of the interval of the test loss is above the bound."""
        value = self.bounds[name].value
        return value is not None and self.test.lower > value

    def allowed(self, name: str) -> float:
        """The gap that the bound allows."""
        value = self.bounds[name].value
        return math.nan if value is None else value - self.train


Which = tuple[int, int, float]
"""n, seed, sigma."""


def trained_head(which: Which, head: AttentionHead, part: Examples, test: Examples, *, delta: float) -> Certified:
    """A head of which everything was trained, and the bounds from norms, ranks and Schatten norms of its weights."""
    options: dict[str, Any] = {"Bx": 1.0, "delta": delta, "loss": "margin", "gamma": GAMMA, "lengths": part.lengths}
    said = {
        "norms": bounds.attention_norm(head, part.x, part.signs, **options),
        "ranks of weights": bounds.attention_rank(head, part.x, part.signs, **options),
        "Schatten norms": bounds.attention_schatten(head, part.x, part.signs, **options),
    }
    f, f_test = (head.predict(one.x, one.lengths) for one in (part, test))
    return _certified(which, "head", f, part, f_test, test, said)


def frozen(
    which: Which,
    A: Float[np.ndarray, "n t t"],
    part: Examples,
    A_test: Float[np.ndarray, "m t t"],
    test: Examples,
    *,
    delta: float,
) -> Certified:
    """A linear read-out behind given attention, and its bound."""
    U = readout(A, part)
    options: dict[str, Any] = {"delta": delta, "loss": "margin", "gamma": GAMMA, "lengths": part.lengths}
    said = {"frozen attention": bounds.frozen_attention(U, A, part.x, part.signs, **options)}
    f, f_test = (np.einsum("ntd,td->n", np.asarray(a, np.float64) @ one.x, U) for a, one in ((A, part), (A_test, test)))
    return _certified(which, "frozen", f, part, f_test, test, said)


def readout(A: Float[np.ndarray, "n t t"], part: Examples) -> Float[np.ndarray, "t d"]:
    """U of f(x) = <U, A(x) x>: ridge regression on the signs, mean (f - y)^2 + |U|_F^2/sqrt n, a fixed rule."""
    seen = np.asarray(A, np.float64) @ np.asarray(part.x, np.float64)  # (n, t, d)
    n, t, d = seen.shape
    F = seen.reshape(n, -1)
    gram = F.T @ F / n + np.eye(t * d) / math.sqrt(n)
    return np.linalg.solve(gram, F.T @ np.asarray(part.signs, np.float64) / n).reshape(t, d)


def ramp(f: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """min(1, max(0, 1 - y f)): between the error of classification and 1."""
    return np.clip(1 - signs * f / GAMMA, 0, 1)


def _certified(
    which: Which, kind: str, f: np.ndarray, part: Examples, f_test: np.ndarray, test: Examples,
    said: dict[str, Bound],
) -> Certified:  # fmt: skip
    error = float(np.mean(test.signs * f_test <= 0))
    return Certified(*which, kind, float(ramp(f, part.signs).mean()), mean(ramp(f_test, test.signs)), error, said)
