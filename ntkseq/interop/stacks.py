"""What do linear layers of another library draw, as a read-out or stacked with activations between them?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from ntkseq import activations
from ntkseq._types import PyTree
from ntkseq.interop.initialisers import Draw, check, of_haiku, of_jax


@dataclasses.dataclass(frozen=True, eq=False)
class Stack:
    """Linear layers with one activation between them, in the terms of `kernels.Dense`.

    Attributes:
        widths: of the hidden layers.
        features: d.
        sigma_w, sigma_b: one for each hidden layer.
        sigma_r: of the read-out.
        activation: its name.
        biased: which of the hidden layers have a bias, also where it starts at 0.
        assumed: what was read from where, one sentence each.
        degenerate: empty.
    """

    widths: tuple[int, ...]
    features: int
    sigma_w: tuple[float, ...]
    sigma_b: tuple[float, ...]
    sigma_r: float
    activation: str
    biased: tuple[bool, ...]
    assumed: tuple[str, ...]
    degenerate: str = ""

    @property
    def width(self) -> int:
        return min(self.widths)


def _nnx(layer: PyTree, fan: int) -> tuple[Draw, Draw, int]:
    weights, bias = Draw(1 / fan, "truncated"), Draw(0.0, "none")
    check("the kernel of an nnx.Linear", layer.kernel[...], weights)
    if layer.bias is not None:
        bias = Draw(0.0, "zero")
        check("the bias of an nnx.Linear", layer.bias[...], bias)
    return weights, bias, layer.out_features


def _linen(layer: PyTree, fan: int) -> tuple[Draw, Draw, int]:
    bias = of_jax(layer.bias_init, (1, layer.features)) if layer.use_bias else Draw(0.0, "none")
    return of_jax(layer.kernel_init, (fan, layer.features)), bias, layer.features


def _equinox(layer: PyTree, fan: int) -> tuple[Draw, Draw, int]:
    draw = Draw(1 / (3 * fan), "uniform")
    check("the weight of an equinox.nn.Linear", layer.weight, draw)
    return draw, draw if layer.use_bias else Draw(0.0, "none"), layer.weight.shape[0]


def _haiku(layer: PyTree, fan: int) -> tuple[Draw, Draw, int]:
    weights = of_haiku(layer.w_init or haiku_default(fan), (fan, layer.output_size))
    bias = of_haiku(layer.b_init, (1, layer.output_size)) if layer.with_bias else Draw(0.0, "none")
    return weights, bias, layer.output_size


def haiku_default(fan: int) -> Any:
    """The initialiser of hk.Linear, which holds none where it was given none."""
    import haiku as hk

    return hk.initializers.TruncatedNormal(stddev=1 / np.sqrt(fan))


LINEAR: dict[str, Callable[[Any, int], tuple[Draw, Draw, int]]] = {
    "nnx.Linear": _nnx,
    "linen.Dense": _linen,
    "equinox.Linear": _equinox,
    "haiku.Linear": _haiku,
}
"""(layer, fan-in) -> the laws of its weights and of its bias, and how many numbers it gives."""


def activation(module: str, function: PyTree, wanted: str = "") -> str:
    """The name of an activation of JAX.

    Raises:
        ValueError: another one than `wanted`, or than those that kernels know; one that only has such a name.
    """
    label = getattr(function, "__name__", type(function).__name__)
    known = activations.names()
    if (wanted and label != wanted) or (not wanted and label not in known):
        raise ValueError(
            f"{module} must have the activation {wanted or 'one of ' + ', '.join(known)}; got {label}. "
            "Its own kernel: empirical.NTK."
        )
    if not _computes(function, activations.get(label)):
        raise ValueError(
            f"{module} must have an activation that computes what its name says; got another function named {label}. "
            "Its own kernel: empirical.NTK."
        )
    return label


def _computes(function: PyTree, known: activations.Activation) -> bool:
    """Whether it gives, number by number, what the activation gives, up to the approximation of jax.nn.gelu."""
    points = jnp.asarray([[-1.3, 0.4, 0.0], [2.1, -0.2, -3.0]], jnp.float32)
    try:
        found = np.asarray(function(points))
    except Exception:  # a guest's own, with any of them
        return False
    return found.shape == points.shape and np.allclose(found, known(points), rtol=0, atol=1e-3)


def unfolded(mlp: PyTree, key: str) -> list[Any]:
    """The layers and activations of an MLP of equinox or haiku.

    Raises:
        ValueError: another activation behind the last layer.
    """
    points = jnp.asarray([-1.3, 0.4])
    ends = mlp.activate_final if key == "haiku.MLP" else not np.array_equal(mlp.final_activation(points), points)
    if ends:
        raise ValueError(f"{key} must end in its last linear layer; got one with an activation behind it.")
    found: list[Any] = []
    for layer in mlp.layers:
        found += [layer, mlp.activation]
    return found[:-1]


def stack(layers: list[Any], names: list[str], d: int) -> Stack:
    """The stack of linear layers, each but the last with an activation behind it.

    Raises:
        ValueError: another order, or more than one activation.
    """
    linear, between = layers[::2], layers[1::2]
    if len(layers) < 3 or len(layers) % 2 == 0 or any(name not in LINEAR for name in names[::2]):
        raise ValueError(
            f"a stack must be linear layers ({', '.join(LINEAR)}) with an activation between each two; got "
            f"{', '.join(names)}. Describe others with kernels.Serial, or take their own kernel: empirical.NTK."
        )
    words = {activation("a stack", one) for one in between}
    if len(words) > 1:
        raise ValueError(
            f"a stack must have one activation; got {', '.join(sorted(words))}. Describe it with kernels.Serial."
        )
    fan, read = d, []
    for name, layer in zip(names[::2], linear, strict=True):
        weights, bias, out = LINEAR[name](layer, fan)
        read.append(((weights.variance * fan) ** 0.5, bias.variance**0.5, out, weights.law, bias.law != "none"))
        fan = out
    said = [f"{len(read) - 1} hidden layers; squared sigma_w {', '.join(f'{w**2:.4g}' for w, *_ in read[:-1])}"]
    if any(b for _, b, *_ in read[:-1]):
        said.append("sigma_b is that of these widths; where a library draws biases with 1/width, it falls with them")
    if read[0][3] in ("truncated", "uniform"):
        said.append("weights of the first layer taken as Gaussian: their own law shows for few features")
    said.append(f"read-out: squared sigma_r {read[-1][0] ** 2:.4g}; its bias is left out")
    return Stack(
        widths=tuple(out for _, _, out, *_ in read[:-1]),
        features=d,
        sigma_w=tuple(w for w, *_ in read[:-1]),
        sigma_b=tuple(b for _, b, *_ in read[:-1]),
        sigma_r=read[-1][0],
        activation=words.pop(),
        biased=tuple(biased for *_, biased in read[:-1]),
        assumed=tuple(said),
    )
