"""How does a study become something to read? One page with plots, its numbers as JSON, its matrices as npz."""

from ntkseq.reports.files import Folder as Folder
from ntkseq.reports.record import Prediction as Prediction
from ntkseq.reports.record import Rank as Rank
from ntkseq.reports.record import Report as Report

__all__ = ["Folder", "Prediction", "Rank", "Report"]
