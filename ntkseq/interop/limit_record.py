"""What is known of the infinite-width limit of a module of another library: kernel, scales, and what was assumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ntkseq import _checks, _display, blocks, kernels
from ntkseq._struct import replace, struct
from ntkseq._types import AnyModel, Inputs, Lengths, PyTree
from ntkseq.interop.networks import Network, factors_of
from ntkseq.interop.recurrences import Recurrence
from ntkseq.interop.stacks import Stack
from ntkseq.kernels.base import Side


@dataclasses.dataclass(frozen=True, eq=False)
class Limit:
    """The infinite-width kernel of a module, and what was assumed. Printing it says both.

    Attributes:
        name: the class, such as "nnx.GRUCell", and its library with the version: "flax 0.12.8".
        library: the library with its version; empty where it is not installed.
        layer: what the module is in the terms of this library: cell, scales or blocks, width n and features d.
        kernel: the tangent kernel in NTK parametrisation, over weights and biases, and the read-out where there is
            one. `kernel.with_(kind="nngp")` is the covariance of the outputs, the same in every parametrisation.
            Without a read-out: the mean over the n states, E<h, h'>/n.
        read_out: whether a linear read-out came with the module.
        assumed: one sentence for each thing that was read or taken for granted.
        degenerate: why the scales hold at this width only; empty otherwise.
    """

    name: str
    library: str
    layer: Recurrence | Stack | Network
    kernel: kernels.Kernel
    read_out: bool
    assumed: tuple[str, ...]
    degenerate: str

    __repr__ = _display.printed

    def standard(self) -> kernels.Kernel:
        """The tangent kernel of the weights as the module stores them, at its width n.

        A library draws weights with their small variance and trains those numbers (standard parametrisation). With
        the groups of the kernel taken by raw gradients (`param="raw"`) and m trained vectors for each bias it is

            K_std = n K_W + d K_U + m K_b + n K_R.

        The parts with n grow with the width: divided by n, K_std tends to K_W + K_R. To train at the rates of NTK
        parametrisation instead, divide the learning rate of each group by its factor.

        Of a stack every array has the factor of its own layer: weights their fan-in, each vector of biases 1, and n is
        that of each layer. Scales and biases of layer norms are held, as in `kernel`; a trained bias of the read-out,
        which is left out of both, adds 1 to every entry.

        Raises:
            ValueError: a GRU with two biases, where z and r have both and g only one of them; a stack with one, with
                self-attention, or with a registered cell that is none of Elman, GRU and LSTM. It names the layer.

        Example:
            >>> import jax, jax.numpy as jnp
            >>> import equinox as eqx  # doctest: +SKIP
            >>> from ntkseq.interop import limits
            >>> x = jnp.ones((3, 5, 2))
            >>> found = limits.limit_of(eqx.nn.LSTMCell(2, 64, key=jax.random.key(0)), x)  # doctest: +SKIP
            >>> found.standard()(x).shape  # doctest: +SKIP
            (3, 3)
        """
        layer = self.layer
        if isinstance(layer, Stack):
            return _sum(_of_stack(layer))
        factors, why = (layer.factors, layer.mixed) if isinstance(layer, Network) else factors_of(layer)
        if why:
            raise ValueError(
                f"standard() needs a factor for each trained array; {self.name}: {why}. Use its kernel, in NTK "
                "parametrisation, or empirical.NTK."
            )
        last = (layer.last if isinstance(layer, Network) else layer.width) * self.read_out
        each = (factors,) if isinstance(factors, dict) else factors
        groups = sorted({factor for of in (*each, {"R": last}) for factor in of.values()} - {0})
        return _sum((factor, _training(self.kernel, each, last, factor)) for factor in groups)

    def __str__(self) -> str:
        layer, kernel = self.layer, type(self.kernel).__name__
        if isinstance(layer, Network):
            shown = [f"  {_display.short(block)}" for block in layer.blocks]
            end = f"  read {layer.read!r}" + (f", sigma_r = {_number(layer.sigma_r)}" if self.read_out else "")
            return self._lines(", ".join(map(str, layer.widths)), [*shown, end], "these widths")
        of, names = (layer.cell, ("sigma_w", "sigma_u", "sigma_b")) if isinstance(layer, Recurrence) else (
            layer, ("sigma_w", "sigma_b", "sigma_r"))  # fmt: skip
        what = type(of).__name__ if isinstance(layer, Recurrence) else layer.activation
        scales = ", ".join(f"{name} = {_number(getattr(of, name))}" for name in names)
        return self._lines(layer.width, [f"  {kernel}, {what}: {scales}"], f"n = {layer.width}")

    def _lines(self, n: object, shown: list[str], where: str) -> str:
        head = f"{self.name} ({self.library or 'library not installed'}), n = {n}, d = {self.layer.features}"
        at_width = [f"  at {where} only: {self.degenerate}"] if self.degenerate else []
        return "\n".join([head, *shown, *at_width, *(f"  - {line}" for line in self.assumed)])


def _number(value: PyTree) -> str:
    return f"{value:.4g}" if np.ndim(value) == 0 else "(" + ", ".join(f"{v:.4g}" for v in value) + ")"


def _sum(parts: Iterable[tuple[float, kernels.Kernel]]) -> kernels.Kernel:
    """The sum of kernels times their factors."""
    scaled = [float(factor) * kernel for factor, kernel in parts]
    total: kernels.Kernel = scaled[0]
    for one in scaled[1:]:
        total = total + one
    return total


def _training(kernel: kernels.Kernel, each: tuple[dict[str, int], ...], last: int, factor: int) -> kernels.Kernel:
    """The kernel of the groups of that factor, by gradients without their sigmas.

    Args:
        kernel: of one layer or several.
        each: the factors of the groups, layer by layer.
        last: that of the read-out; 0 where there is none.
        factor: which of them.
    """
    letters = ["".join(letter for letter, own in of.items() if own == factor) for of in each]
    head = last == factor
    if isinstance(kernel, kernels.Serial):
        made = tuple(map(_block, kernel.blocks, letters))
        return kernel.with_(blocks=made, train_readout=head, param="raw")
    if isinstance(kernel, kernels.Gated):
        return kernel.with_(cell=replace(kernel.cell, train=letters[0]), train_readout=head, param="raw")
    return kernel.with_(train=letters[0] + "R" * head, param="raw")


def _block(block: blocks.Block, letters: str) -> blocks.Block:
    if isinstance(block, blocks.Recurrent):
        return replace(block, cell=replace(block.cell, train=letters))
    return replace(block, train=letters) if isinstance(block, blocks.Linear) else block


@struct
class Feedforward(kernels.Recurrent):
    """A stack of layers for vectors (n, d), each with trained groups of its own: sequences of one step."""

    def prepare(self, x: Inputs, lengths: Lengths = None) -> Side:
        """Check the vectors and compute their variances layer by layer."""
        if lengths is not None:
            raise ValueError("vectors (n, d) have no lengths; got lengths. Drop the argument.")
        return super().prepare(_checks.matrix("x", x)[:, None])

    def finite(self, width: int) -> AnyModel:
        """Refused: the kernel is that of a module, which is its network."""
        raise ValueError(f"finite() of width {width}: this kernel is the limit of a module of yours; take that one.")


def _of_stack(layer: Stack) -> Iterator[tuple[float, kernels.Kernel]]:
    """The kernels of the arrays of linear layers, and what each is multiplied by."""
    depth, fans = len(layer.widths), (layer.features, *layer.widths)
    scales: dict[str, Any] = {"sigma_u": layer.sigma_w, "sigma_b": layer.sigma_b, "sigma_r": layer.sigma_r}
    for factor in sorted({*fans, 1}):
        train = ["U" * (fans[i] == factor) + "b" * (factor == 1 and layer.biased[i]) for i in range(depth)]
        train[-1] += "R" * (fans[-1] == factor)
        if any(train):
            yield (
                factor,
                Feedforward(
                    sigma_w=0.0, **scales, activation=layer.activation, depth=depth, train=tuple(train), param="raw"
                ),
            )
