"""How many examples do functions of N tokens take, against their number, their span and the length of the sequence?"""

from ntkseq.studies.rnn_nvariable.study import RnnNVariable as RnnNVariable
