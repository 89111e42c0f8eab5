"""What are the eigenvalues of a Gram matrix, how sure are they, and what do they say?"""

from ntkseq.spectra.base import Interval, Spectrum
from ntkseq.spectra.decay import Decay
from ntkseq.spectra.dense import spectrum
from ntkseq.spectra.measures import effective_rank

__all__ = ["Decay", "Interval", "Spectrum", "effective_rank", "spectrum"]
