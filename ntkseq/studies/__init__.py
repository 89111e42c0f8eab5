"""Which whole questions are answered by one command? Studies: from data to a report."""

from ntkseq.studies.accuracies import Accuracy, accuracy
from ntkseq.studies.filled_grams import Filling, filled
from ntkseq.studies.store_status import Status, status
from ntkseq.studies.stored_grams import Stored, stored
from ntkseq.studies.tangent.run import run
from ntkseq.studies.tangent.spec import Study

__all__ = ["Accuracy", "Filling", "Status", "Stored", "Study", "accuracy", "filled", "run", "status", "stored"]
