"""What can be said about the test loss? Bounds with their terms, assumptions, and what could not be checked."""

from ntkseq.bounds.base import Assumption as Assumption
from ntkseq.bounds.base import Bound as Bound
from ntkseq.bounds.base import Term as Term
from ntkseq.bounds.descent import du as du
from ntkseq.bounds.kernel import margin as margin
from ntkseq.bounds.kernel import rademacher as rademacher
from ntkseq.bounds.networks import arora as arora
from ntkseq.bounds.networks import cao_gu as cao_gu
