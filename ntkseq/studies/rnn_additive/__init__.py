"""Do recurrent networks learn sums of functions of single tokens, from how many examples, and what is proved?"""

from ntkseq.studies.rnn_additive.study import RnnAdditive as RnnAdditive
