"""What a study found, to read: one page with plots, its numbers as JSON, its arrays as npz."""

from ntkseq.reports.files import Folder as Folder
from ntkseq.reports.record import Prediction as Prediction
from ntkseq.reports.record import Rank as Rank
from ntkseq.reports.report import Report as Report
from ntkseq.reports.sheet import Figure as Figure
from ntkseq.reports.sheet import Section as Section
from ntkseq.reports.sheet import Sheet as Sheet
from ntkseq.reports.sheet import Table as Table

__all__ = ["Figure", "Folder", "Prediction", "Rank", "Report", "Section", "Sheet", "Table"]
