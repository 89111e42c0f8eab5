"""Which risk does a learner have in closed form? MAML trained by averaged SGD on mixed linear regression."""

from ntkseq.risks.grids import Grid, grid
from ntkseq.risks.moments import fourth_moment, operator
from ntkseq.risks.population import Risk, limit, risk
from ntkseq.risks.problem import MixedRegression
from ntkseq.risks.simulation import Simulated, simulate

__all__ = [
    "Grid",
    "MixedRegression",
    "Risk",
    "Simulated",
    "fourth_moment",
    "grid",
    "limit",
    "operator",
    "risk",
    "simulate",
]
