"""Does one recurrent network learn a function for every position of its output, and how does it use earlier tokens?"""

from ntkseq.studies.rnn_positions.study import RnnPositions as RnnPositions
