"""Kernels of infinitely wide networks: `kernels.x` is the limit of `models.x`."""

from ntkseq.kernels.base import Kernel, Scaled, Sum
from ntkseq.kernels.dense import Dense
from ntkseq.kernels.gated import Gated
from ntkseq.kernels.inner import GD, Flow, Prox
from ntkseq.kernels.meta import Meta
from ntkseq.kernels.recurrent import Recurrent

__all__ = ["GD", "Dense", "Flow", "Gated", "Kernel", "Meta", "Prox", "Recurrent", "Scaled", "Sum"]
