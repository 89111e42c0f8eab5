"""What is known of the infinite-width limit of a module of another library: kernel, scales, and what was assumed."""

from __future__ import annotations

import dataclasses

import numpy as np

from ntkseq import _display, kernels
from ntkseq._struct import replace
from ntkseq._types import PyTree
from ntkseq.interop.networks import Network
from ntkseq.interop.recurrences import Recurrence
from ntkseq.interop.stacks import Stack


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

        Raises:
            ValueError: a GRU with two biases, where z and r have both and g only one of them; a stack of layers.

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
        if not isinstance(layer, Recurrence):
            raise ValueError(
                f"standard() is for one recurrent layer and its read-out; got {self.name}. Its own kernel: "
                "empirical.NTK."
            )
        if layer.biases is None:
            raise ValueError(
                f"standard() needs as many trained biases in each gate; {self.name} has two in z and r and one in g. "
                "Use its kernel, in NTK parametrisation, or empirical.NTK."
            )
        factors = {"W": layer.width, "U": layer.features, "b": layer.biases, "R": layer.width * self.read_out}
        groups: dict[int, str] = {}
        for letter, factor in factors.items():
            if factor:
                groups[factor] = groups.get(factor, "") + letter
        parts = [float(factor) * _training(self.kernel, train) for factor, train in groups.items()]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

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


def _training(kernel: kernels.Kernel, letters: str) -> kernels.Kernel:
    """The kernel of these groups of parameters, by gradients without their sigmas."""
    if not isinstance(kernel, kernels.Gated):
        return kernel.with_(train=letters, param="raw")
    cell = replace(kernel.cell, train=letters.replace("R", ""))
    return kernel.with_(cell=cell, train_readout="R" in letters, param="raw")
