"""Kernels of a given function at given parameters: exact by structure, by products, or sketched."""

from ntkseq.empirical.attention import AttentionWeights, attention_weights
from ntkseq.empirical.draws import Average, Convergence, average, convergence
from ntkseq.empirical.ntk import NTK
from ntkseq.empirical.plan import Plan
from ntkseq.empirical.polynomials import Taylor, linearize, taylor
from ntkseq.empirical.speeds import calibrate

__all__ = [
    "NTK",
    "AttentionWeights",
    "Average",
    "Convergence",
    "Plan",
    "Taylor",
    "attention_weights",
    "average",
    "calibrate",
    "convergence",
    "linearize",
    "taylor",
]
