"""From which law does an initialiser draw? Of JAX (flax) and of haiku, by their own numbers; of others, by draws."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq._laws import CUT_VARIANCE
from ntkseq._types import AnyArray, Key, PyTree

_CUT = {"normal": "normal", "truncated_normal": "truncated", "uniform": "uniform"}
_NUMBERS = 1 << 18  # drawn from an initialiser that is not known: its variance to half a per cent


class Draw(NamedTuple):
    """The law of the entries of one array of weights."""

    variance: float
    law: str
    """"normal", "truncated", "uniform", "orthogonal" or "zero"; "none" where there is no array."""
    measured: bool = False


def of_jax(init: PyTree, shape: tuple[int, int]) -> Draw:
    """The law of `init(key, shape)`, with the fan-in as the first axis, as in flax."""
    label = getattr(init, "__qualname__", "")
    held = dict(inspect.getclosurevars(init).nonlocals) if inspect.isfunction(init) else {}
    if getattr(init, "__module__", "").startswith("jax."):
        if label == "zeros":
            return Draw(0.0, "zero")
        if label.startswith("variance_scaling.") and (held["in_axis"], held["out_axis"]) == (-2, -1):
            return _scaled(held["scale"], held["mode"], held["distribution"], shape)
        if label.startswith("orthogonal."):
            return Draw(float(held["scale"]) ** 2 / max(shape), "orthogonal")
    return _measured(lambda key, shape: init(key, shape, jnp.float32), shape)


def of_haiku(init: PyTree, shape: tuple[int, int]) -> Draw:
    """The law of `init(shape, dtype)`."""
    import haiku as hk

    known = hk.initializers
    if init in (jnp.zeros, np.zeros) or (isinstance(init, known.Constant) and init.constant == 0):
        return Draw(0.0, "zero")
    if isinstance(init, known.VarianceScaling) and init.fan_in_axes is None:
        return _scaled(init.scale, init.mode, init.distribution, shape)
    if isinstance(init, known.TruncatedNormal) and np.all(np.asarray([init.mean, init.lower + 2, init.upper - 2]) == 0):
        return Draw(CUT_VARIANCE * float(init.stddev) ** 2, "truncated")
    if isinstance(init, known.RandomNormal) and init.mean == 0:
        return Draw(float(init.stddev) ** 2, "normal")
    if isinstance(init, known.Orthogonal) and init.axis in (-1, 1):
        return Draw(float(init.scale) ** 2 / max(shape), "orthogonal")
    run = hk.transform(lambda shape: init(shape, jnp.float32))
    return _measured(lambda key, shape: run.apply({}, key, shape), shape)


def _scaled(scale: float, mode: str, distribution: str, shape: tuple[int, int]) -> Draw:
    geometric = (shape[0] * shape[1]) ** 0.5
    fan = {"fan_in": shape[0], "fan_out": shape[1], "fan_avg": sum(shape) / 2, "fan_geo_avg": geometric}[mode]
    return Draw(float(scale) / fan, _CUT[distribution])


def _measured(draw: Callable[[Key, tuple[int, int]], jax.Array], shape: tuple[int, int]) -> Draw:
    """The law that the second and the fourth moments of many numbers are nearest to."""
    count = max(2, -(-_NUMBERS // int(np.prod(shape))))
    keys = jax.random.split(jax.random.key(0), count)
    values = np.asarray(jax.vmap(lambda key: draw(key, shape))(keys), np.float64)
    square = float(np.mean(values**2))
    if square == 0:
        return Draw(0.0, "zero")
    if abs(float(values.mean())) > 6 * (square / values.size) ** 0.5:
        raise ValueError(
            f"weights must be drawn with mean 0; got an initialiser with mean {values.mean():.3g} and standard "
            f"deviation {values.std():.3g}. Such a network has no limit of this kind; its own kernel: empirical.NTK."
        )
    kurtosis = float(np.mean(values**4)) / square**2
    laws = {"normal": 3.0, "truncated": 2.37, "uniform": 1.8}
    return Draw(square, min(laws, key=lambda law: abs(laws[law] - kurtosis)), measured=True)


def check(label: str, array: AnyArray, wanted: Draw) -> None:
    """Raise unless an array that was drawn may come from that law: its mean square is what is looked at."""
    values = np.asarray(array, np.float64)
    square = float(np.mean(values**2))
    spread = 0.0 if wanted.law in ("zero", "orthogonal") else wanted.variance * (2 / values.size) ** 0.5
    if abs(square - wanted.variance) > 6 * spread + 1e-3 * wanted.variance:
        raise ValueError(
            f"{label} must be as its class draws it by default, for the module does not hold its initialiser: with "
            f"mean square {wanted.variance:.4g}; got {square:.4g}. If it is trained, make a new one; if the "
            "initialiser is your own, say its scales in kernels.Gated(cells.GRU(...)) or kernels.Recurrent(...)."
        )
