"""Networks of finite width in NTK parametrisation: one example in, (o,) out. Their limits are in `ntkseq.kernels`."""

from ntkseq.models.adaptation import adapt, squared_error
from ntkseq.models.base import Model
from ntkseq.models.bidirectional import Bidirectional
from ntkseq.models.dense import Dense
from ntkseq.models.gated import Gated
from ntkseq.models.leaky import LeakyRecurrent
from ntkseq.models.recurrent import Recurrent
from ntkseq.models.serial import Serial

__all__ = [
    "Bidirectional",
    "Dense",
    "Gated",
    "LeakyRecurrent",
    "Model",
    "Recurrent",
    "Serial",
    "adapt",
    "squared_error",
]
