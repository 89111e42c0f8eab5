"""Gaussian expectations of smooth activations: the dual of an activation, by `get`."""

from __future__ import annotations

from ntkseq import activations
from ntkseq.kernels.duals.base import Dual
from ntkseq.kernels.duals.closed import ErfDual, GeluDual, IdentityDual, SineDual
from ntkseq.kernels.duals.hermite import HermiteDual


def get(activation: activations.Activation) -> Dual:
    """The dual of a smooth activation.

    Raises:
        ValueError: no dual is known (the relu family has none here: see `ntkseq.kernels.chordal`).
    """
    if isinstance(activation, activations.Identity):
        return IdentityDual()
    if isinstance(activation, activations.Erf):
        return ErfDual(activation.frequency)
    if isinstance(activation, activations.Sine):
        return SineDual(activation.frequency, activation.phase)
    if isinstance(activation, activations.Gelu):
        return GeluDual()
    if isinstance(activation, activations.Smooth):
        return HermiteDual(activation.function, activation.terms, activation.parity)
    raise ValueError(
        f"no dual is known for {type(activation).__name__}; wrap a smooth function as activations.Smooth(function)."
    )
