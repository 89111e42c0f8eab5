"""What do gated cells do at one step?"""

from __future__ import annotations

from typing import Any

import numpy as np

from ntkseq import _checks
from ntkseq._laws import LAWS
from ntkseq._layers import check_letters
from ntkseq._struct import static, struct
from ntkseq._types import Scale
from ntkseq.cells.base import Cell


@struct
class GRU(Cell):
    """A gated recurrent unit: h_t = z h_{t-1} + (1 - z) tanh(u^g),  z, r = s(u^z), s(u^r),  h_0 = 0.

    s is the logistic function and, with weights of its own for each gate a = z, r, g,

        u^a = (sigma_w / sqrt n) W^a h_{t-1} + (sigma_u / sqrt d) U^a x_t + sigma_b b^a     for z and r,
        u^g = (sigma_w / sqrt n) W^g (r h_{t-1}) + (sigma_u / sqrt d) U^g x_t + sigma_b b^g        reset "before",
        u^g = r ((sigma_w / sqrt n) W^g h_{t-1} + sigma_c c) + (sigma_u / sqrt d) U^g x_t + sigma_b b^g     "after".

    With z for 1 - z, as some write it, the kernel is the same. Orthogonal W^a, one by one or jointly, have the kernel
    of Gaussian ones of the same variance, as far as is measured. "after" is what flax, equinox, torch and keras
    compute; "before" is the original, and haiku's.

    Args:
        sigma_w, sigma_u, sigma_b: standard deviations of recurrent weights, input weights and biases: a number, or one
            for each gate, (z, r, g). Leaves.
        sigma_c: standard deviation of the bias c inside the product, for reset "after" only; None: there is none. A
            leaf. It is trained with the biases, also where it starts at 0.
        reset: whether the reset gate stands "before" or "after" the product with the recurrent weights.
        law: of the input weights U, of which d meet in one unit, so that it shows at any width: "normal", "truncated"
            (a normal law cut at two standard deviations, then rescaled to variance 1) or "uniform".
        train: trained groups, letters out of "WUb"; c is one of the biases.

    Raises:
        ValueError: negative or non-finite scales, another number of them than gates, unknown words, sigma_c without
            a place for it, train letters out of place.

    Reference: yang2020tp2 (existence of the limit for every such architecture; recalled).

    Example:
        >>> import jax.numpy as jnp
        >>> from ntkseq import kernels
        >>> from ntkseq.cells import GRU
        >>> flax = GRU(sigma_w=3**-0.5, reset="after", law="truncated")  # what nnx.GRUCell draws
        >>> kernels.Gated(flax, particles=256)(jnp.ones((3, 5, 2))).shape
        (3, 3)
    """

    sigma_w: Scale = 1.0
    sigma_u: Scale = 1.0
    sigma_b: Scale = 0.0
    sigma_c: Scale = None
    reset: str = static(default="before")
    law: str = static(default="normal")
    train: str = static(default="WUb")

    gates = ("z", "r", "g")

    def __post_init__(self) -> None:
        _check_gates(self)
        if self.sigma_c is not None:
            _checks.scale("sigma_c", self.sigma_c)
        _checks.choice("reset", self.reset, ("before", "after"))
        if self.reset == "before" and self.sigma_c is not None:
            raise ValueError(
                'sigma_c is the scale of the bias inside the product, which reset="before" has not; got '
                f'{_checks.shown(self.sigma_c)}. Use reset="after", or sigma_b.'
            )

    @property
    def gaussian(self) -> bool:
        return False


@struct
class LSTM(Cell):
    """A long short-term memory: c_t = f c_{t-1} + i tanh(u^g),  h_t = o tanh(c_t),  h_0 = c_0 = 0.

    i, f, o = s(u^i), s(u^f + forget), s(u^o) with the logistic function s and, with weights of its own for each gate,

        u^a = (sigma_w / sqrt n) W^a h_{t-1} + (sigma_u / sqrt d) U^a x_t + sigma_b b^a,     a = i, f, g, o.

    Args:
        sigma_w, sigma_u, sigma_b: standard deviations of recurrent weights, input weights and biases: a number, or one
            for each gate, (i, f, g, o). Leaves.
        forget: a number added to u^f, which is held while the network is trained: the more, the longer it remembers.
            haiku and keras have 1, flax, equinox and torch 0. A leaf.
        law: of the input weights U, as for `GRU`.
        train: trained groups, letters out of "WUb".

    Raises:
        ValueError: negative or non-finite scales, another number of them than gates, unknown words, a forget that is
            no finite number, train letters out of place.

    Reference: yang2020tp2 (existence of the limit for every such architecture; recalled).

    Example:
        >>> import jax.numpy as jnp
        >>> from ntkseq import kernels
        >>> from ntkseq.cells import LSTM
        >>> kernels.Gated(LSTM(sigma_w=(1.0, 0.5, 1.0, 1.0), forget=1.0), particles=256)(jnp.ones((3, 5, 2))).shape
        (3, 3)
    """

    sigma_w: Scale = 1.0
    sigma_u: Scale = 1.0
    sigma_b: Scale = 0.0
    forget: Scale = 0.0
    law: str = static(default="normal")
    train: str = static(default="WUb")

    gates = ("i", "f", "g", "o")

    def __post_init__(self) -> None:
        _check_gates(self)
        _checks.parameter("forget", self.forget)
        if np.ndim(self.forget):
            raise ValueError(f"forget must be one number; got {_checks.shown(self.forget)}.")

    @property
    def gaussian(self) -> bool:
        return False


def gated(cell: Any) -> GRU | LSTM:
    """A gated cell, or the one of that name with all its defaults.

    Raises:
        ValueError: another cell, or an unknown name.
    """
    if isinstance(cell, str) and cell in ("gru", "lstm"):
        return GRU() if cell == "gru" else LSTM()
    if not isinstance(cell, (GRU, LSTM)):
        raise ValueError(
            f"cell must be one of 'gru', 'lstm', or a cells.GRU or cells.LSTM; got {_checks.shown(cell)}. "
            "Elman networks: Recurrent."
        )
    return cell


def _check_gates(cell: GRU | LSTM) -> None:
    for name in ("sigma_w", "sigma_u", "sigma_b"):
        value = getattr(cell, name)
        _checks.scale(name, value)
        shape = (len(value),) if isinstance(value, (tuple, list)) else np.shape(value)
        if shape not in ((), (len(cell.gates),)):
            raise ValueError(
                f"{name} must be a number or one for each gate, {', '.join(cell.gates)}; got {_checks.shown(value)}."
            )
    _checks.choice("law", cell.law, LAWS)
    check_letters(cell.train, "WUb")
