"""Training: networks tracked by their kernels while they learn, theory beside them, and kernels fitted to data."""

from ntkseq.training import maml, sgd
from ntkseq.training.attention_probe import AttentionRankProbe
from ntkseq.training.batches import Batches
from ntkseq.training.feature_probe import FeatureProbe
from ntkseq.training.fine_tuning import KernelPart, KernelRegime, RegimeTest, kernel_regime
from ntkseq.training.history import History, track
from ntkseq.training.kernel_probe import KernelProbe
from ntkseq.training.lazy_training import Deviation, Laziness, deviation, laziness
from ntkseq.training.linear_training import Linearised, LinearRun, linearised
from ntkseq.training.loss_probe import LossProbe
from ntkseq.training.probes import MovementProbe, Probe
from ntkseq.training.sgd import Trained
from ntkseq.training.tables import ProbeTable
from ntkseq.training.tape import Tape
from ntkseq.training.tuning import Tuned, tune

__all__ = [
    "AttentionRankProbe",
    "Batches",
    "Deviation",
    "FeatureProbe",
    "History",
    "KernelPart",
    "KernelProbe",
    "KernelRegime",
    "Laziness",
    "LinearRun",
    "Linearised",
    "LossProbe",
    "MovementProbe",
    "Probe",
    "ProbeTable",
    "RegimeTest",
    "Tape",
    "Trained",
    "Tuned",
    "deviation",
    "kernel_regime",
    "laziness",
    "linearised",
    "maml",
    "sgd",
    "track",
    "tune",
]
