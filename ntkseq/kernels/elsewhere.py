"""Where is that found which the constructors of kernels do not take? Said by the error for such an argument."""

from __future__ import annotations

ELSEWHERE = {
    **dict.fromkeys(("width", "hidden", "hidden_size", "units", "features"), "A kernel is the limit of infinite "
                    "width; .finite(width) is the network of a width."),
    **dict.fromkeys(("heads", "num_heads"), "The limit has infinitely many heads."),
    **dict.fromkeys(("params", "parameters", "weights"), "The kernel of a network with weights is empirical.NTK."),
    "bidirectional": "Networks that read both ways are kernels.Bidirectional.",
    "cell": "Gated cells are kernels.Gated; any cell is kernels.Serial(blocks.Recurrent(cell)).",
    "leak": "Leaky units are kernels.LeakyRecurrent.",
    "layers": "The number of layers is depth; layers of several kinds are kernels.Serial.",
    "num_layers": "The number of layers is depth; layers of several kinds are kernels.Serial.",
}  # fmt: skip
