"""What are the eigenvalues of a Gram matrix, how sure are they, and what do they say?"""

from ntkseq.grams.centred import centred
from ntkseq.spectra import ranks
from ntkseq.spectra.alignment import AlignmentCurve
from ntkseq.spectra.attention import AttentionRanks, LayerRanks, attention_ranks
from ntkseq.spectra.base import Spectrum
from ntkseq.spectra.certify import positive_definite
from ntkseq.spectra.comparison import Comparison, compare
from ntkseq.spectra.decay import Decay
from ntkseq.spectra.effective import effective_rank, effective_ranks
from ntkseq.spectra.eigenvalues import spectrum
from ntkseq.spectra.features import FeatureOverlap, feature_overlap
from ntkseq.spectra.full import FullSpectrum
from ntkseq.spectra.heads import SampledRank, aggregate, sampled
from ntkseq.spectra.hidden import HiddenEstimate, hidden_alignment, hidden_dimension, hidden_operator
from ntkseq.spectra.interval import Interval
from ntkseq.spectra.landmarks import nystrom
from ntkseq.spectra.low_rank import LowRank
from ntkseq.spectra.meta import MetaSpectrum, Score, condition_score, meta_spectra
from ntkseq.spectra.methods import Auto, Full, MatrixFree
from ntkseq.spectra.partial import PartialSpectrum
from ntkseq.spectra.structure import ClassStructure, classwise

__all__ = [
    "AlignmentCurve",
    "AttentionRanks",
    "Auto",
    "ClassStructure",
    "Comparison",
    "Decay",
    "FeatureOverlap",
    "Full",
    "FullSpectrum",
    "HiddenEstimate",
    "Interval",
    "LayerRanks",
    "LowRank",
    "MatrixFree",
    "MetaSpectrum",
    "PartialSpectrum",
    "SampledRank",
    "Score",
    "Spectrum",
    "aggregate",
    "attention_ranks",
    "centred",
    "classwise",
    "compare",
    "condition_score",
    "effective_rank",
    "effective_ranks",
    "feature_overlap",
    "hidden_alignment",
    "hidden_dimension",
    "hidden_operator",
    "meta_spectra",
    "nystrom",
    "positive_definite",
    "ranks",
    "sampled",
    "spectrum",
]
