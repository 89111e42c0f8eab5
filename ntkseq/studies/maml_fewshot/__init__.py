"""What does meta-training add to adaptation on few-shot tasks, in the kernel limit and in finite networks?"""

from ntkseq.studies.maml_fewshot.study import MamlFewShot as MamlFewShot
