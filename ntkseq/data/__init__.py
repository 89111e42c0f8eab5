"""Where do sequences come from? Real ones that are bundled or in files, and made ones with known answers."""

from ntkseq.data import bundled, files, held_out, sequences, spectra, tasks, text
from ntkseq.data.dataset import Dataset
from ntkseq.data.files import load

__all__ = ["Dataset", "bundled", "files", "held_out", "load", "sequences", "spectra", "tasks", "text"]
