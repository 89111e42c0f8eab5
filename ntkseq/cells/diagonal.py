"""What do linear recurrences with a diagonal state do at one step?"""

from __future__ import annotations

import math

from ntkseq import _checks
from ntkseq._layers import check_letters
from ntkseq._struct import fill, static, struct
from ntkseq._types import Scale
from ntkseq.cells.base import Cell

_MOST_STATES = 4096  # of a state-space model: its moments are summed mode by mode


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
