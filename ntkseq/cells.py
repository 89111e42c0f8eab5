"""What does a recurrent layer do at one step? Cells, for `blocks.Recurrent`: one description for network and kernel.

A cell is a frozen pytree: scales are leaves, choices are static. NTK parametrisation: raw weights are N(0, 1); the
scales and one over the root of the fan-in stand in the forward pass. n is the width, x_t the token that the layer gets.
"""

from __future__ import annotations

from typing import Any

from ntkseq import _checks, activations
from ntkseq._layers import check_letters
from ntkseq._struct import static, struct

__all__ = ["Cell", "Elman"]


class Cell:
    """One step of a recurrent layer: from the state behind the last token and the token of now to the state of now."""


@struct
class Elman(Cell):
    """h_t = phi(u_t),  u_t = (sigma_w / sqrt n) W h_{t-1} + (sigma_u / sqrt d) U x_t + sigma_b b,  h_0 = 0.

    With the activation "identity" it is a linear recurrence.

    Args:
        activation: phi, a name of `activations.names()` or an `activations.Activation`.
        sigma_w, sigma_u, sigma_b: standard deviations of recurrent weights, input weights and biases. Leaves.
        train: trained groups, letters out of "WUb".

    Raises:
        ValueError: negative or non-finite scales, an unknown activation, train letters out of place.

    Reference: yang2020tp2; alemohammad2021rntk.

    Example:
        >>> import jax.numpy as jnp
        >>> from ntkseq import kernels
        >>> from ntkseq.blocks import Attention, Linear, Recurrent
        >>> from ntkseq.cells import Elman
        >>> kernel = kernels.Serial(Recurrent(Elman(sigma_w=1.4)), Attention(), Recurrent(Elman("erf")), read="last")
        >>> kernel(jnp.ones((3, 5, 2))).shape  # n = 3 sequences, t = 5 tokens, d = 2 features
        (3, 3)
    """

    activation: Any = "relu"
    sigma_w: Any = 1.0
    sigma_u: Any = 1.0
    sigma_b: Any = 0.0
    train: str = static(default="WUb")

    def __post_init__(self) -> None:
        for name in ("sigma_w", "sigma_u", "sigma_b"):
            _checks.scale(name, getattr(self, name))
        object.__setattr__(self, "activation", activations.get(self.activation))
        check_letters(self.train, "WUb")
