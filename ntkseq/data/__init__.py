"""Where do sequences come from? Real ones that are bundled or in files, and made ones with known answers."""

from ntkseq.data import bundled, eigenvalues, held_out, sequences, tasks, text
from ntkseq.data.dataset import Dataset
from ntkseq.data.files import Doubt, load

__all__ = ["Dataset", "Doubt", "bundled", "eigenvalues", "held_out", "load", "sequences", "tasks", "text"]
