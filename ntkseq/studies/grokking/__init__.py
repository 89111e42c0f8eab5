"""Which features do the kernels of networks that grok modular addition hold, in which layer, and when?"""

from ntkseq.studies.grokking.study import Grokking as Grokking
