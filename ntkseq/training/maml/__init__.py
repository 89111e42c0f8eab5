"""Networks trained by MAML, and how well they adapt."""

from ntkseq.training.maml.networks import FewShotAccuracy, Learner, few_shot_accuracy, learner, meta_train, scored

__all__ = ["FewShotAccuracy", "Learner", "few_shot_accuracy", "learner", "meta_train", "scored"]
