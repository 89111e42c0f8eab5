"""What do kernels predict? Ridge regression, interpolation, and training for a time, each with its errors."""

from ntkseq.predictors.conjugate import IterativeRidge, ridge_cg
from ntkseq.predictors.few_shot import FewShot, few_shot
from ntkseq.predictors.flow import Flow, Stopping, early_stopping, flow
from ntkseq.predictors.gaussian_process import Estimates, GaussianProcess, gaussian_process
from ntkseq.predictors.ridge import Ridge, Selection, one_hot, ridge, select_reg

__all__ = [
    "Estimates",
    "FewShot",
    "Flow",
    "GaussianProcess",
    "IterativeRidge",
    "Ridge",
    "Selection",
    "Stopping",
    "early_stopping",
    "few_shot",
    "flow",
    "gaussian_process",
    "one_hot",
    "ridge",
    "ridge_cg",
    "select_reg",
]
