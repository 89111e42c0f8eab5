"""Training: kernels fitted to data."""

from ntkseq.training.fit import Fitted, fit

__all__ = ["Fitted", "fit"]
