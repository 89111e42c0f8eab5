"""What does a recurrent layer do at one step? Cells: one description for network and kernel.

All of them stand in `blocks.Recurrent`; a network with a `GRU` or an `LSTM` has a kernel that is sampled.

A cell is a frozen pytree: scales are leaves, choices are static. NTK parametrisation: raw weights are N(0, 1); the
scales and one over the root of the fan-in stand in the forward pass. n is the width, x_t the token that the layer gets.
"""

from ntkseq.cells.base import Cell
from ntkseq.cells.diagonal import LRU, S4D
from ntkseq.cells.gates import GRU, LSTM
from ntkseq.cells.units import ControlledResNet, Elman, Leaky

__all__ = ["GRU", "LRU", "LSTM", "S4D", "Cell", "ControlledResNet", "Elman", "Leaky"]
