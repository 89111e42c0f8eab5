"""Training: kernels fitted to data, and networks tracked by their kernels while they train."""

from ntkseq.training.attention_probe import AttentionRankProbe
from ntkseq.training.fit import Fitted, fit
from ntkseq.training.history import History, track
from ntkseq.training.kernel_probe import KernelProbe
from ntkseq.training.loss_probe import LossProbe
from ntkseq.training.probes import MovementProbe, Probe
from ntkseq.training.tables import Table
from ntkseq.training.tape import Tape

__all__ = [
    "AttentionRankProbe",
    "Fitted",
    "History",
    "KernelProbe",
    "LossProbe",
    "MovementProbe",
    "Probe",
    "Table",
    "Tape",
    "fit",
    "track",
]
