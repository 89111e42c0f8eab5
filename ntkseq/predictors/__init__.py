"""What do kernels predict? Ridge regression, interpolation, and training for a time, each with its errors."""

from ntkseq.predictors.conjugate import IterativeRidge, ridge_cg
from ntkseq.predictors.flow import Flow, Stopping, early_stopping, flow
from ntkseq.predictors.ridge import Ridge, Selection, one_hot, ridge, select_reg

__all__ = [
    "Flow",
    "IterativeRidge",
    "Ridge",
    "Selection",
    "Stopping",
    "early_stopping",
    "flow",
    "one_hot",
    "ridge",
    "ridge_cg",
    "select_reg",
]
