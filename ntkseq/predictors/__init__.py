"""What do kernels predict? Ridge regression and interpolation, with leave-one-out errors."""

from ntkseq.predictors.ridge import Ridge, Selection, one_hot, ridge, select_reg

__all__ = [
    "Ridge",
    "Selection",
    "one_hot",
    "ridge",
    "select_reg",
]
