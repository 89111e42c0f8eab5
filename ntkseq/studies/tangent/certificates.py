"""What is proved of the two-class problem, and what the same predictors do on the test examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import scipy  # its parts load when they are first used
from jaxtyping import Float

from ntkseq import bounds, predictors
from ntkseq.bounds import Bound
from ntkseq.bounds.compressed import CompressionConstants
from ntkseq.bounds.gibbs import PacBayesConstants
from ntkseq.bounds.gibbs_predictor import GibbsPredictor
from ntkseq.grams import DenseGram
from ntkseq.spectra import Interval
from ntkseq.studies.tangent.fits import Fit
from ntkseq.studies.tangent.inputs import Problem
from ntkseq.studies.tangent.regression import bounds_of_scaled
from ntkseq.studies.tangent.spec import Study


@dataclasses.dataclass(frozen=True)
class Certificates:
    """The bounds of a study.

    Attributes:
        bounds: by short name; the certified ones hold at once.
        measured: what their quantity is on the test examples, where that is the same predictor.
        best: the name of the least certified one that says something; empty if there is none.
        predicted: the share of the test examples on which the ridge predictor errs, as the training examples predict
            it by leave-one-out, with the interval for that many; None where they are too few.
    """

    bounds: Mapping[str, Bound]
    measured: Mapping[str, float]
    best: str
    predicted: Interval | None


def certificates(
    one: Fit,
    posed: Problem,
    study: Study,
    reg: float,
    *,
    compared: int = 1,
) -> Certificates:
    """The table of bounds for the two-class problem, with `bounds.du2019`, and what is measured of each.

    Args:
        one: the kernel on the examples.
        posed: the data. study: its options. reg: the ridge of the predictor.
        compared: how many kernels, fixed beforehand, the study looked at; the bounds count them.
    """
    K, y = one.K, posed.signs(posed.train)
    made = bounds.table(
        K, y, delta=study.delta, reg=reg, B0=study.norm_grid, depth=one.depth, tried=study.tried * compared
    )
    said = dict(made.rows)
    if posed.scale is not None:
        said = {key: bounds_of_scaled(one) for key, one in said.items()}
    best = next((key for key, one in said.items() if one.certified and not one.vacuous), "")
    measured = {} if posed.repeated else _measured(said, K, one.cross, one.diagonal(posed.test), posed, reg)
    return Certificates(
        said | {"du2019": bounds.du2019(K, y)}, measured, best, _predicted(K, y, len(posed.test.y), reg)
    )


def _predicted(K: DenseGram, y: Float[np.ndarray, " n"], m: int, reg: float) -> Interval | None:
    if reg == 0 or len(y) < 3:
        return None
    told = predictors.predicted_risk(K, y, reg=reg).zero_one
    if told is None or told.reason:
        return None
    on = told.on(max(m, 1))
    return Interval(on.lower, on.value, on.upper)


def _measured(
    said: Mapping[str, Bound],
    K: DenseGram,
    cross: DenseGram,
    diagonal: Float[np.ndarray, " m"],
    posed: Problem,
    reg: float,
) -> dict[str, float]:
    y_test = posed.signs(posed.test)
    f = np.asarray(predictors.ridge(K, posed.signs(posed.train), reg=reg)(cross))
    found = {
        "rademacher": float(np.mean(np.minimum(1.0, np.abs(f - y_test)))),
        "margin": float(np.mean(y_test * f <= 0)),
    }
    values = np.asarray(cross, np.float64)
    for key, one in said.items():
        if isinstance(one.constants, CompressionConstants) and one.computable:
            members, dual = list(one.constants.members), np.asarray(one.constants.dual)
            found[key] = float(np.mean(y_test * (values[:, members] @ dual) <= 0))
        if isinstance(one.constants, PacBayesConstants):
            found[key] = gibbs_error(one.constants.predictor, values, diagonal, y_test, mean=key == "mean")
    return found


def gibbs_error(
    predictor: GibbsPredictor,
    cross: Float[np.ndarray, "m n"],
    diagonal: Float[np.ndarray, " m"],
    y: Float[np.ndarray, " m"],
    *,
    mean: bool = False,
) -> float:
    """The share of test examples on which a function drawn from the posterior errs, in the mean over draws.

    Args:
        predictor: of the bound.
        cross: kernel of test with training examples.
        diagonal: K(x, x) of the test examples.
        y: labels -1/+1 of these.
        mean: of the sign of the mean instead.
    """
    ahead = y * np.asarray(predictor.mean(cross), np.float64)
    if mean or predictor.scale == 0:
        return float(np.mean(ahead <= 0))
    variance = predictor.variance(cross, diagonal)
    spread = np.sqrt(np.maximum(variance, np.finfo(np.float64).tiny))
    return float(np.mean(scipy.special.ndtr(-ahead / spread)))
