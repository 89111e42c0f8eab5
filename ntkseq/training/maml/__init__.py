"""Networks trained by MAML, and how well they adapt."""

from ntkseq.training.maml.networks import Accuracy, Learner, accuracy, fit, learner, scored

__all__ = ["Accuracy", "Learner", "accuracy", "fit", "learner", "scored"]
