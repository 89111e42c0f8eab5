"""What are the eigenvalues of a Gram matrix, how sure are they, and what do they say?"""

from ntkseq.spectra.base import Interval, Spectrum
from ntkseq.spectra.certify import positive_definite
from ntkseq.spectra.decay import Decay
from ntkseq.spectra.measures import effective_rank
from ntkseq.spectra.partial import Partial
from ntkseq.spectra.spectrum import spectrum

__all__ = ["Decay", "Interval", "Partial", "Spectrum", "effective_rank", "positive_definite", "spectrum"]
