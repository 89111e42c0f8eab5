"""What do kernels predict? Ridge regression and interpolation, with leave-one-out errors."""

from ntkseq.predictors.ridge import Ridge as Ridge
from ntkseq.predictors.ridge import Selection as Selection
from ntkseq.predictors.ridge import one_hot as one_hot
from ntkseq.predictors.ridge import ridge as ridge
from ntkseq.predictors.ridge import select_reg as select_reg
