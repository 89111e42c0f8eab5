"""What do kernels predict? Ridge regression, interpolation, and training for a time, each with its errors."""

from ntkseq.predictors.attribution import Attribution, trak
from ntkseq.predictors.conjugate import IterativeRidge, ridge_cg
from ntkseq.predictors.datamodels import DatamodelingScore, data_subsets, datamodeling_score
from ntkseq.predictors.flow import GradientFlow, Stopping, early_stopping, gradient_flow
from ntkseq.predictors.influences import Influence, influence
from ntkseq.predictors.kernel_ridge import Ridge, Selection, one_hot, ridge, select_reg
from ntkseq.predictors.learning_curves import LossCurve, RiskCurve, learning_curve
from ntkseq.predictors.posterior import Estimates, GaussianProcess, gaussian_process
from ntkseq.predictors.risk import PredictedRisk, RiskEstimate, predicted_risk
from ntkseq.predictors.task_prediction import FewShot, few_shot

__all__ = [
    "Attribution",
    "DatamodelingScore",
    "Estimates",
    "FewShot",
    "GaussianProcess",
    "GradientFlow",
    "Influence",
    "IterativeRidge",
    "LossCurve",
    "PredictedRisk",
    "Ridge",
    "RiskCurve",
    "RiskEstimate",
    "Selection",
    "Stopping",
    "data_subsets",
    "datamodeling_score",
    "early_stopping",
    "few_shot",
    "gaussian_process",
    "gradient_flow",
    "influence",
    "learning_curve",
    "one_hot",
    "predicted_risk",
    "ridge",
    "ridge_cg",
    "select_reg",
    "trak",
]
