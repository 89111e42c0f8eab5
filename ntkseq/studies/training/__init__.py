"""Do kernel, spectrum and effective rank stand still while recurrent networks and a transformer learn?"""

from ntkseq.studies.training.study import Training as Training
