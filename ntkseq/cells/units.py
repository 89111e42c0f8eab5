"""What do units without gates do at one step?"""

from __future__ import annotations

from ntkseq import _checks, activations
from ntkseq._layers import check_letters, factor
from ntkseq._struct import fill, static, struct
from ntkseq._types import ActivationLike, Scale
from ntkseq.cells.base import Cell


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
class ControlledResNet(Cell):
    """A residual network driven by its tokens: h_t = h_{t-1} + sum_k F_k(h_{t-1}) x_{t,k} / sqrt m,  h_0 = sigma_h a.

        F_k(h) = (sigma_w / sqrt n) W_k phi(h) + sigma_b b_k,     one matrix W_k for each of m coordinates of a token

    Tokens are the increments of a path, `np.diff(path, axis=1)`: the network is an Euler scheme of a differential
    equation that the path controls, and with phi = identity the kernel of its states is that of the path's
    signatures, each token taken as a jump. Nothing forgets: sequences should have a bounded length in total.

    Args:
        activation: phi, a name of `activations.names()` or an `activations.Activation`.
        sigma_w, sigma_b, sigma_h: standard deviations of the matrices, of the biases and of the start. Leaves.
        train: trained groups, letters out of "Wbh": matrices, biases, start.

    Raises:
        ValueError: negative or non-finite scales, an unknown activation, train letters out of place.

    Reference: cirone2023 (the network and the covariance of its states); the tangent kernel is derived here,
        tokens.13 and tokens.14.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from ntkseq import kernels
        >>> from ntkseq.blocks import Recurrent
        >>> from ntkseq.cells import ControlledResNet
        >>> path = jnp.cumsum(jax.random.normal(jax.random.key(0), (3, 6, 2)), axis=1)
        >>> kernel = kernels.Serial(Recurrent(ControlledResNet("erf")), read="last")
        >>> kernel(jnp.diff(path, axis=1)).shape  # n = 3 paths of 6 points, 5 increments
        (3, 3)
    """

    activation: ActivationLike = "relu"
    sigma_w: Scale = 1.0
    sigma_b: Scale = 0.0
    sigma_h: Scale = 1.0
    train: str = static(default="Wbh")

    def __post_init__(self) -> None:
        _check_units(self, ("sigma_w", "sigma_b", "sigma_h"), "Wbh")

    @property
    def gaussian(self) -> bool:
        return True


def _check_units(
    cell: Elman | Leaky | ControlledResNet,
    scales: tuple[str, ...] = ("sigma_w", "sigma_u", "sigma_b"),
    letters: str = "WUb",
) -> None:
    for name in scales:
        _checks.scale(name, getattr(cell, name), single=True)
    fill(cell, activation=activations.get(cell.activation))
    check_letters(cell.train, letters)
