"""What do kernels predict? Ridge regression and interpolation, with leave-one-out errors."""

from ntkseq.predictors.ridge import Ridge
from ntkseq.predictors.ridge import Selection
from ntkseq.predictors.ridge import one_hot
from ntkseq.predictors.ridge import ridge
from ntkseq.predictors.ridge import select_reg

__all__ = [
    "Ridge",
    "Selection",
    "one_hot",
    "ridge",
    "select_reg",
]
