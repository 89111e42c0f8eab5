"""MAML trained by SGD: on mixed linear regression exactly and by simulation, and of any network."""

from ntkseq.training.maml.grids import Grid, grid
from ntkseq.training.maml.moments import fourth_moment, operator
from ntkseq.training.maml.networks import Accuracy, Learner, accuracy, fit, learner, scored
from ntkseq.training.maml.problem import MixedRegression
from ntkseq.training.maml.risk import Risk, limit, risk
from ntkseq.training.maml.simulation import Simulated, simulate

__all__ = [
    "Accuracy",
    "Grid",
    "Learner",
    "MixedRegression",
    "Risk",
    "Simulated",
    "accuracy",
    "fit",
    "fourth_moment",
    "grid",
    "learner",
    "limit",
    "operator",
    "risk",
    "scored",
    "simulate",
]
