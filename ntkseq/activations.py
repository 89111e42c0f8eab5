"""Which activations are there, and what are their parameters? Shared by finite models and infinite-width kernels."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import _checks, _display
from ntkseq._struct import static, struct
from ntkseq._types import Scale

__all__ = ["Activation", "Erf", "Gelu", "Identity", "LeakyRelu", "Rectifier", "Sine", "Smooth", "get", "names"]


class Activation(abc.ABC):
    """A scalar function applied coordinatewise. A frozen pytree: its parameters are leaves."""

    @abc.abstractmethod
    def __call__(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        """The function at z."""

    def _short(self) -> str:
        """The name of one that has a name, for what holds it."""
        named = (name for name, make in _NAMED.items() if _display.same(make(), self))
        return next((repr(name) for name in named), _display.call(self))


@struct
class Rectifier(Activation):
    """positive * max(z, 0) + negative * min(z, 0).

    relu is (1, 0), leaky relu (1, slope), abs (1, -1). The derivative at zero is taken as zero.

    Args:
        positive, negative: slopes on either side of zero.

    Raises:
        ValueError: not a finite number.

    Example:
        >>> import jax.numpy as jnp
        >>> Rectifier(1.2, 0.3)(jnp.array([-1.0, 0.0, 1.0])).tolist() == jnp.array([-0.3, 0.0, 1.2]).tolist()
        True
    """

    positive: Scale = static(default=1.0)
    negative: Scale = static(default=0.0)

    def __post_init__(self) -> None:
        _checks.number("positive", self.positive)
        _checks.number("negative", self.negative)

    def __call__(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.where(z == 0, jnp.zeros_like(z), jnp.where(z > 0, self.positive * z, self.negative * z))


@struct
class LeakyRelu(Activation):
    """max(z, 0) + slope * min(z, 0), with the slope a leaf: it can be swept and differentiated.

    Args:
        slope: below zero.

    Raises:
        ValueError: not a finite number.

    Example:
        >>> from ntkseq import kernels
        >>> kernels.Recurrent(activation=LeakyRelu(0.2)).activation
        LeakyRelu(slope=0.2)
    """

    slope: Scale = 0.01

    def __post_init__(self) -> None:
        _checks.parameter("slope", self.slope)

    @property
    def positive(self) -> float:
        return 1.0

    @property
    def negative(self) -> Any:
        return self.slope

    def __call__(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.where(z == 0, jnp.zeros_like(z), jnp.where(z > 0, z, self.slope * z))


def is_rectifier(activation: object) -> TypeGuard[Rectifier | LeakyRelu]:
    """Whether the activation is linear on either side of a kink at zero: relu, leaky relu, abs.

    Kernels carry it by the chord between two inputs (`ntkseq.kernels.chordal`), others by their covariance.
    """
    return isinstance(activation, (Rectifier, LeakyRelu))


@struct
class Identity(Activation):
    """z.

    Example:
        >>> Identity()(jnp.array([-1.0, 2.0])).tolist()
        [-1.0, 2.0]
    """

    def __call__(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        return z


@struct
class Erf(Activation):
    """erf(frequency * z).

    Args:
        frequency: a number. A leaf.

    Raises:
        ValueError: not a finite number.

    Example:
        >>> round(float(Erf(2.0)(jnp.array(0.5))), 4)
        0.8427
    """

    frequency: Scale = 1.0

    def __post_init__(self) -> None:
        _checks.parameter("frequency", self.frequency)

    def __call__(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.scipy.special.erf(self.frequency * z)


@struct
class Sine(Activation):
    """sin(frequency * z + phase); cos has phase pi/2.

    Args:
        frequency, phase: numbers; the phase in radians. Leaves.

    Raises:
        ValueError: not a finite number.

    Example:
        >>> round(float(Sine(2.0, 0.5)(jnp.array(0.0))), 4)
        0.4794
    """

    frequency: Scale = 1.0
    phase: Scale = 0.0

    def __post_init__(self) -> None:
        _checks.parameter("frequency", self.frequency)
        _checks.parameter("phase", self.phase)

    def __call__(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.sin(self.frequency * z + self.phase)


@struct
class Gelu(Activation):
    """z * Phi(z), Phi the normal distribution function (the exact form, not the tanh approximation).

    Example:
        >>> round(float(Gelu()(jnp.array(1.0))), 4)
        0.8413
    """

    def __call__(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        return z * jax.scipy.stats.norm.cdf(z)


@struct
class Smooth(Activation):
    """Any smooth function; its Gaussian expectations come from a Hermite series of `terms` terms.

    `parity` says whether the function is "odd", "even" or neither ("none"): it is used to make the lumped
    remainder of the series of the right parity. A wrong parity is an error of up to the certified remainder.

    Args:
        function: of arrays, elementwise.

    Raises:
        ValueError: not a function, terms below 1, an unknown parity.

    Example:
        >>> from ntkseq import kernels
        >>> swish = Smooth(lambda z: z * jax.nn.sigmoid(z))
        >>> kernels.Dense(activation=swish)(jnp.ones((2, 3))).shape
        (2, 2)
    """

    function: Callable[[Array], Array] = static()
    terms: int = static(default=64)
    parity: str = static(default="none")

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ValueError(f"function must be callable on arrays; got {_checks.shown(self.function)}.")
        _checks.positive_int("terms", self.terms)
        _checks.choice("parity", self.parity, ("odd", "even", "none"))

    def __call__(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.function(z)


_HALF_PI = 1.5707963267948966

_NAMED: dict[str, Callable[[], Activation]] = {
    "relu": lambda: Rectifier(1.0, 0.0),
    "leaky_relu": LeakyRelu,
    "abs": lambda: Rectifier(1.0, -1.0),
    "identity": Identity,
    "erf": Erf,
    "sin": Sine,
    "cos": lambda: Sine(1.0, _HALF_PI),
    "gelu": Gelu,
    "tanh": lambda: Smooth(jnp.tanh, terms=64, parity="odd"),
    "sigmoid": lambda: Smooth(jax.nn.sigmoid, terms=64, parity="none"),
    "softplus": lambda: Smooth(jax.nn.softplus, terms=64, parity="none"),
}


def names() -> tuple[str, ...]:
    """The names that `get` knows.

    Example:
        >>> names()[:3]
        ('relu', 'leaky_relu', 'abs')
    """
    return tuple(_NAMED)


def get(activation: str | Activation) -> Activation:
    """The activation of that name, or the activation itself.

    Args:
        activation: a name of `names()`, or an `Activation`.

    Raises:
        ValueError: an unknown name, or a bare function (wrap it: `Smooth(function)`).

    Example:
        >>> get("leaky_relu")
        LeakyRelu(slope=0.01)
    """
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str):
        _checks.choice("activation", activation, names())
        return _NAMED[activation]()
    word = getattr(activation, "__name__", type(activation).__name__)
    came = (
        f"the function {word}"
        if callable(activation)
        else (repr(activation) if isinstance(activation, (int, float, type(None))) else word)
    )
    ours = callable(activation) and word in _NAMED
    remedy = (f'Pass "{word}". ' if ours else "") + "A smooth function of your own: activations.Smooth(function)"
    raise ValueError(
        f"activation must be a name ({', '.join(names())}) or an ntkseq.activations.Activation; got {came}. {remedy}."
    )
