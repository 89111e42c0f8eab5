"""What do kernels predict? Ridge regression, interpolation, and training for a time, each with its errors."""

from ntkseq.predictors.conjugate import IterativeRidge, ridge_cg
from ntkseq.predictors.flow import GradientFlow, Stopping, early_stopping, gradient_flow
from ntkseq.predictors.kernel_ridge import Ridge, Selection, one_hot, ridge, select_reg
from ntkseq.predictors.posterior import Estimates, GaussianProcess, gaussian_process
from ntkseq.predictors.task_prediction import FewShot, few_shot

__all__ = [
    "Estimates",
    "FewShot",
    "GaussianProcess",
    "GradientFlow",
    "IterativeRidge",
    "Ridge",
    "Selection",
    "Stopping",
    "early_stopping",
    "few_shot",
    "gaussian_process",
    "gradient_flow",
    "one_hot",
    "ridge",
    "ridge_cg",
    "select_reg",
]
