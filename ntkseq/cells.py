"""What does a recurrent layer do at one step? Cells: one description for network and kernel.

All of them stand in `blocks.Recurrent`; a network with a `GRU` or an `LSTM` has a kernel that is sampled.

A cell is a frozen pytree: scales are leaves, choices are static. NTK parametrisation: raw weights are N(0, 1); the
scales and one over the root of the fan-in stand in the forward pass. n is the width, x_t the token that the layer gets.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ntkseq import _checks, activations
from ntkseq._laws import LAWS
from ntkseq._layers import check_letters, factor
from ntkseq._struct import fill, static, struct
from ntkseq._types import ActivationLike, Scale

__all__ = ["GRU", "LRU", "LSTM", "S4D", "Cell", "Elman", "Leaky"]


_MOST_STATES = 4096  # of a state-space model: its moments are summed mode by mode


class Cell:
    """One step of a recurrent layer: from the state behind the last token and the token of now to the state of now."""

    @property
    def gaussian(self) -> bool:
        """Whether the coordinates of what it gives are Gaussian of mean zero at infinite width."""
        raise NotImplementedError

    @property
    def mixes(self) -> bool:
        """Whether every unit reads all coordinates of a token; otherwise unit c reads coordinate c alone."""
        return True


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

    activation: ActivationLike = "relu"
    sigma_w: Scale = 1.0
    sigma_u: Scale = 1.0
    sigma_b: Scale = 0.0
    train: str = static(default="WUb")

    def __post_init__(self) -> None:
        _check_units(self)

    @property
    def gaussian(self) -> bool:
        return isinstance(self.activation, activations.Identity)


@struct
class Leaky(Cell):
    """Leaky units h_t = keep h_{t-1} + gate phi(u_t),  u_t as of an `Elman` cell,  h_0 = 0.

        u_t = (sigma_w / sqrt n) W h_{t-1} + (sigma_u / sqrt d) U x_t + sigma_b b

    keep = 0 and gate = 1 is the Elman cell, keep = 1 a residual network over time; an Euler step of size s of
    dh/dt = -h + phi(u) has keep = 1 - s and gate = s. As the only layer it is `kernels.LeakyRecurrent`.

    Args:
        activation: phi, a name of `activations.names()` or an `activations.Activation`.
        keep, gate: share of the old state that stays, factor of the new one; numbers >= 0. Leaves.
        sigma_w, sigma_u, sigma_b: standard deviations of recurrent weights, input weights and biases. Leaves.
        train: trained groups, letters out of "WUb".

    Raises:
        ValueError: negative or non-finite numbers, an unknown activation, train letters out of place.

    Reference: yang2020tp2, for the limit of any architecture; the equations are tokens.7 and tokens.8.

    Example:
        >>> import jax.numpy as jnp
        >>> from ntkseq import kernels
        >>> from ntkseq.blocks import Attention, Recurrent
        >>> from ntkseq.cells import Leaky
        >>> layer = Recurrent(Leaky("erf", keep=0.9, gate=0.1), direction="both")
        >>> kernels.Serial(layer, Attention(), read="mean")(jnp.ones((3, 5, 2))).shape
        (3, 3)
    """

    activation: ActivationLike = "relu"
    keep: Scale = 0.5
    gate: Scale = 0.5
    sigma_w: Scale = 1.0
    sigma_u: Scale = 1.0
    sigma_b: Scale = 0.0
    train: str = static(default="WUb")

    def __post_init__(self) -> None:
        for name in ("keep", "gate"):
            factor(name, getattr(self, name))
        _check_units(self)

    @property
    def gaussian(self) -> bool:
        return isinstance(self.activation, activations.Identity)


@struct
class LRU(Cell):
    """A linear recurrent unit: y_t = Re(C h_t) / sqrt n,  h_t = lam h_{t-1} + g (sigma_u / sqrt(2 d)) B x_t,  h_0 = 0.

    lam = exp(-exp(nu) + i exp(theta)) is complex, one for each of n units, and so are B and C, whose real and imaginary
    parts are N(0, 1); g = exp(gamma). At the start |lam|^2 is uniform between r_min^2 and r_max^2, the phase exp(theta)
    uniform between 0 and max_phase, and g = sqrt(1 - |lam|^2). What is trained are nu, theta, gamma, B and C.

    Where lam may come close to 1 in modulus, memory fades like a power of the lag, where that of `Elman` fades
    geometrically.

    Args:
        r_min, r_max: 0 <= r_min < r_max <= 1.
        max_phase: in (0, 2 pi].
        sigma_u: standard deviation of the input weights. A leaf.
        train: trained groups, letters out of "ntgBC": nu, theta, gamma, B, C.

    Raises:
        ValueError: a ring or a phase that is none, a negative or non-finite scale, train letters out of place.

    Reference: orvieto2023lru (the cell); its kernel is derived here, state_space.1 to state_space.4.

    Example:
        >>> import jax.numpy as jnp
        >>> from ntkseq import kernels
        >>> from ntkseq.blocks import Linear, Recurrent
        >>> from ntkseq.cells import LRU
        >>> layer = (Recurrent(LRU(r_min=0.4, r_max=0.9)), Linear(2**0.5), "relu")
        >>> kernels.Serial(*layer, read="last")(jnp.ones((3, 5, 2))).shape
        (3, 3)
    """

    r_min: float = static(default=0.0)
    r_max: float = static(default=1.0)
    max_phase: float = static(default=2 * math.pi)
    sigma_u: Scale = 1.0
    train: str = static(default="ntgBC")

    def __post_init__(self) -> None:
        ring = [_checks.nonnegative(name, getattr(self, name)) for name in ("r_min", "r_max")]
        if not ring[0] < ring[1] <= 1:
            raise ValueError(f"the ring must have 0 <= r_min < r_max <= 1; got r_min={ring[0]:g}, r_max={ring[1]:g}.")
        phase = _checks.nonnegative("max_phase", self.max_phase, positive=True)
        if phase > 2 * math.pi:
            raise ValueError(f"max_phase must be at most 2 pi; got {phase:g}.")
        fill(self, r_min=ring[0], r_max=ring[1], max_phase=phase)
        _checks.scale("sigma_u", self.sigma_u, single=True)
        check_letters(self.train, "ntgBC")

    @property
    def gaussian(self) -> bool:
        return True


@struct
class S4D(Cell):
    """A diagonal state-space model of each coordinate on its own: y_t = sigma_c sum_p k_p x_{t-p} + sigma_d D x_t.

    k_p = 2 Re sum_j C_j lam_j^p (lam_j - 1) / A_j / sqrt 2,  lam_j = exp(dt A_j): `states` / 2 complex modes of each
    coordinate, discretised by zero-order hold. At the start A_j = -1/2 + i pi j (S4D-Lin), log dt is uniform between
    the logs of dt_min and dt_max, and D and the real and imaginary parts of C are N(0, 1). What is trained are
    log dt, log -Re A, Im A, C and D.

    A coordinate of what it gives is a product of what it reads and C, and not Gaussian: `blocks.Linear`, or another
    block with weights, must stand between it and an activation.

    Args:
        states: their number, even, at most 4096; complex modes are half as many.
        dt_min, dt_max: 0 < dt_min < dt_max.
        sigma_c, sigma_d: standard deviations of C and D. Leaves.
        train: trained groups, letters out of "driCD": log dt, log -Re A, Im A, C, D.

    Raises:
        ValueError: a number of states that is odd or below 2, steps out of order, negative or non-finite scales, train
            letters out of place.

    Reference: gu2022s4d (the layer); its kernel is derived here, state_space.6 and state_space.7.

    Example:
        >>> import jax.numpy as jnp
        >>> from ntkseq import kernels
        >>> from ntkseq.blocks import Linear, Recurrent
        >>> from ntkseq.cells import S4D
        >>> layer = (Linear(), Recurrent(S4D(states=8)), Linear(2**0.5), "relu")
        >>> kernels.Serial(*layer, read="last")(jnp.ones((3, 5, 2))).shape
        (3, 3)
    """

    states: int = static(default=64)
    dt_min: float = static(default=1e-3)
    dt_max: float = static(default=0.1)
    sigma_c: Scale = 1.0
    sigma_d: Scale = 1.0
    train: str = static(default="driCD")

    def __post_init__(self) -> None:
        states = _checks.positive_int("states", self.states)
        if states % 2 or states > _MOST_STATES:
            raise ValueError(
                f"states come in pairs, their number must be even and at most {_MOST_STATES}; got {states}."
            )
        ends = [_checks.nonnegative(name, getattr(self, name), positive=True) for name in ("dt_min", "dt_max")]
        if not ends[0] < ends[1]:
            raise ValueError(f"steps must have 0 < dt_min < dt_max; got dt_min={ends[0]:g}, dt_max={ends[1]:g}.")
        fill(self, states=states, dt_min=ends[0], dt_max=ends[1])
        for name in ("sigma_c", "sigma_d"):
            _checks.scale(name, getattr(self, name), single=True)
        check_letters(self.train, "driCD")

    @property
    def gaussian(self) -> bool:
        return False

    @property
    def mixes(self) -> bool:
        return False


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


def _check_units(cell: Elman | Leaky) -> None:
    for name in ("sigma_w", "sigma_u", "sigma_b"):
        _checks.scale(name, getattr(cell, name), single=True)
    fill(cell, activation=activations.get(cell.activation))
    check_letters(cell.train, "WUb")


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
