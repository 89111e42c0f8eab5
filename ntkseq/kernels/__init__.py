"""Kernels of infinitely wide networks: `kernels.x` is the limit of `models.x`."""

from ntkseq.kernels.base import Kernel, Scaled, Sum
from ntkseq.kernels.dense import Dense
from ntkseq.kernels.recurrent import Recurrent

__all__ = ["Dense", "Kernel", "Recurrent", "Scaled", "Sum"]
