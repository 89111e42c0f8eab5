"""Networks of finite width in NTK parametrisation: one example in, (o,) out. Their limits are in `ntkseq.kernels`."""

from ntkseq.models.adapt import adapt, squared_error
from ntkseq.models.base import Model
from ntkseq.models.dense import Dense
from ntkseq.models.gated import Gated
from ntkseq.models.recurrent import Recurrent

__all__ = ["Dense", "Gated", "Model", "Recurrent", "adapt", "squared_error"]
