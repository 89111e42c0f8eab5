"""Kernels of a given function at given parameters: exact by structure, by products, or sketched."""

from ntkseq._notices import HeavyTails
from ntkseq.empirical.attention import AttentionWeights, attention_weights
from ntkseq.empirical.draws import Average, average
from ntkseq.empirical.hidden_cores import HiddenCore
from ntkseq.empirical.hidden_states import HiddenKernel
from ntkseq.empirical.methods.base import Method
from ntkseq.empirical.methods.held import Cheapest, Jacobian, Structured
from ntkseq.empirical.methods.products import Products
from ntkseq.empirical.methods.sketch import Sketch
from ntkseq.empirical.ntk import NTK
from ntkseq.empirical.optimisers import SignGDKernel, first_order_change, preconditioner
from ntkseq.empirical.plan import Plan
from ntkseq.empirical.polynomials import Taylor, linearize, taylor
from ntkseq.empirical.speeds import calibrate
from ntkseq.empirical.verdicts import Verdict
from ntkseq.empirical.widths import Convergence, convergence
from ntkseq.kernels.finite_width import linear_excess

__all__ = [
    "NTK",
    "AttentionWeights",
    "Average",
    "Cheapest",
    "Convergence",
    "HeavyTails",
    "HiddenCore",
    "HiddenKernel",
    "Jacobian",
    "Method",
    "Plan",
    "Products",
    "SignGDKernel",
    "Sketch",
    "Structured",
    "Taylor",
    "Verdict",
    "attention_weights",
    "average",
    "calibrate",
    "convergence",
    "first_order_change",
    "linear_excess",
    "linearize",
    "preconditioner",
    "taylor",
]
