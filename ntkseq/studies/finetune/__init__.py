"""Is fine-tuning of a small transformer, in full, by LoRA or of its head alone, in the kernel regime?"""

from ntkseq.studies.finetune.study import Finetune as Finetune
