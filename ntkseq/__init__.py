"""Neural tangent kernels of sequence models on JAX: kernel, Gram matrix, spectrum, bound, prediction."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ntkseq import (
        activations,
        blocks,
        bounds,
        cells,
        concepts,
        data,
        empirical,
        grams,
        interop,
        kernels,
        models,
        norms,
        predictors,
        risks,
        spectra,
        training,
    )
    from ntkseq.grams import gram, lazy
    from ntkseq.predictors import ridge
    from ntkseq.references import cite
    from ntkseq.spectra import effective_rank, spectrum
    from ntkseq.training import tune

__version__ = "0.1.0"

__all__ = [
    "activations",
    "blocks",
    "bounds",
    "cells",
    "cite",
    "concepts",
    "data",
    "effective_rank",
    "empirical",
    "gram",
    "grams",
    "interop",
    "kernels",
    "lazy",
    "models",
    "norms",
    "predictors",
    "ridge",
    "risks",
    "spectra",
    "spectrum",
    "training",
    "tune",
]

_VERBS = {
    "cite": "references",
    "effective_rank": "spectra",
    "tune": "training",
    "gram": "grams",
    "lazy": "grams",
    "ridge": "predictors",
    "spectrum": "spectra",
}


def __getattr__(name: str) -> Any:
    """A room or a verb, loaded when it is first asked for, so that the command line answers Ctrl-C while they load."""
    if name not in __all__:
        raise AttributeError(f"module 'ntkseq' has no attribute {name!r}")
    import jax

    with jax.ensure_compile_time_eval():  # also inside jit: what modules hold are numbers, not tracers
        room = import_module(f"ntkseq.{_VERBS.get(name, name)}")
    value = getattr(room, name) if name in _VERBS else room
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
