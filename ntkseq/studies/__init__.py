"""Which whole questions are answered by one command? Studies: from data to a report."""

from ntkseq.studies.accuracy import Accuracy, accuracy
from ntkseq.studies.run import run
from ntkseq.studies.spec import Study
from ntkseq.studies.stored import Stored, stored

__all__ = ["Accuracy", "Stored", "Study", "accuracy", "run", "stored"]
