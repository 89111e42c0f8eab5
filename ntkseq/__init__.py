"""Neural tangent kernels of sequence models on JAX: kernel, Gram matrix, spectrum, bound, prediction."""

from ntkseq import (
    activations,
    blocks,
    bounds,
    concepts,
    data,
    empirical,
    grams,
    interop,
    kernels,
    models,
    predictors,
    spectra,
    training,
)
from ntkseq.grams import gram, lazy
from ntkseq.predictors import ridge
from ntkseq.references import cite
from ntkseq.spectra import effective_rank, spectrum
from ntkseq.training import fit

__version__ = "0.1.0"

__all__ = [
    "activations",
    "blocks",
    "bounds",
    "cite",
    "concepts",
    "data",
    "effective_rank",
    "empirical",
    "fit",
    "gram",
    "grams",
    "interop",
    "kernels",
    "lazy",
    "models",
    "predictors",
    "ridge",
    "spectra",
    "spectrum",
    "training",
]
