"""Kernels of infinitely wide networks: `kernels.x` is the limit of `models.x`."""

from typing import Any

from ntkseq.kernels.all_steps import every_step
from ntkseq.kernels.base import Kernel, Scaled, Sum
from ntkseq.kernels.bidirectional import Bidirectional
from ntkseq.kernels.catalogue import get, names
from ntkseq.kernels.dense import Dense
from ntkseq.kernels.gated import Gated
from ntkseq.kernels.inner import GD, Flow, Prox
from ntkseq.kernels.leaky import LeakyRecurrent
from ntkseq.kernels.linear import LinearRecurrent
from ntkseq.kernels.meta import Meta
from ntkseq.kernels.recurrent import Recurrent
from ntkseq.kernels.serial import Serial
from ntkseq.kernels.transformer import Attention, Transformer

__all__ = [
    "GD",
    "Attention",
    "Bidirectional",
    "Dense",
    "Flow",
    "Gated",
    "Kernel",
    "LeakyRecurrent",
    "LinearRecurrent",
    "Meta",
    "Prox",
    "Recurrent",
    "Scaled",
    "Serial",
    "Sum",
    "Transformer",
    "every_step",
    "get",
    "names",
]

_NAMED_OTHERWISE = {
    **dict.fromkeys(("Elman", "RNN", "SimpleRNN", "VanillaRNN"), 'Recurrent("tanh")'),
    "GRU": 'Gated("gru")',
    "LSTM": 'Gated("lstm")',
    **dict.fromkeys(("LRU", "S4D"), "Serial(blocks.Recurrent(cells.{name}(...)))"),
    **dict.fromkeys(("NTK", "Empirical"), "ntkseq.empirical.NTK"),
    "NNGP": '.with_(kind="nngp") of any kernel',
    "MLP": "Dense(depth=...)",
}


def __getattr__(name: str) -> Any:
    meant = _NAMED_OTHERWISE.get(name)
    hint = f" Use {meant.format(name=name)}." if meant else ""
    raise AttributeError(f"module 'ntkseq.kernels' has no attribute {name!r}.{hint}")
