"""Which functions of sequences do recurrent networks provably learn, and how complex are they?"""

from ntkseq.concepts import series
from ntkseq.concepts._target import Target
from ntkseq.concepts.complexities import Complexity, complexity
from ntkseq.concepts.sampling import Sample, sample
from ntkseq.concepts.series import Series
from ntkseq.concepts.steps import PositionToPosition
from ntkseq.concepts.targets import Additive, NVariable, WholeSequence

__all__ = [
    "Additive",
    "Complexity",
    "NVariable",
    "PositionToPosition",
    "Sample",
    "Series",
    "Target",
    "WholeSequence",
    "complexity",
    "sample",
    "series",
]
