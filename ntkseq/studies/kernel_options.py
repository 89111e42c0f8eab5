"""Which kernel is asked for? The options of every command that computes one of a file."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from ntkseq import _checks, kernels
from ntkseq._types import AnyArray, Lengths


@dataclasses.dataclass(frozen=True, kw_only=True)
class KernelOptions:
    """A kernel, and the precision in which it is computed."""

    kernel: Literal["recurrent", "dense"] = "recurrent"
    """Elman network over the steps; or a fully connected network on each sequence laid out as one vector."""
    sigma_w: float = 1.4
    """Standard deviation of the recurrent weights (dense: of all weights), before 1/sqrt(width)."""
    sigma_u: float = 1.0
    """Standard deviation of the input weights."""
    sigma_b: float = 0.1
    """Standard deviation of the biases."""
    sigma_r: float = 1.0
    """Standard deviation of the read-out."""
    sigma_h: float = 0.0
    """Standard deviation of the initial state; counts with --h0 shared or independent."""
    h0: Literal["zero", "shared", "independent"] = "zero"
    """Initial state: none, one random state for all sequences, or one for each."""
    depth: int = 1
    """Number of layers."""
    activation: str = "relu"
    """Name of the activation: relu, erf, sin, gelu, tanh, ..."""
    read: Literal["last", "mean", "sum", "steps"] = "mean"
    """What is read out: the last step, the mean or sum over steps (cost grows with t squared), or each step alone."""
    direction: Literal["forward", "reversed", "both"] = "forward"
    """Order in which the steps are read."""
    train: str | None = None
    """Trained groups, letters of WUbV (recurrent, input, bias, read-out; dense: WbV). Default: all."""
    kind: Literal["ntk", "nngp"] = "ntk"
    """Neural tangent kernel, or the covariance of the network's output at initialisation."""
    dtype: Literal["float32", "float64"] = "float32"
    """Precision of the kernel. float64 needs JAX's 64-bit mode: set the environment variable JAX_ENABLE_X64=1."""

    def check_dtype(self) -> None:
        """Refuse float64 outside JAX's 64-bit mode.

        Raises:
            ValueError: so it is.
        """
        try:
            _checks.float_dtype("dtype", self.dtype)
        except ValueError:
            raise ValueError(
                f"dtype {self.dtype} needs JAX's 64-bit mode, which is off. Set the environment variable "
                "JAX_ENABLE_X64=1 before starting, or take float32."
            ) from None

    def inputs(self, x: AnyArray, lengths: Lengths) -> tuple[Any, Any]:
        """Sequences (n, t, d) and their lengths as the kernel takes them.

        Raises:
            ValueError: sequences of several lengths for a kernel of vectors.
        """
        if self.kernel != "dense":
            return x, lengths
        if lengths is not None:
            raise ValueError("kernel 'dense' needs sequences of one length; got ragged ones. Take kernel 'recurrent'.")
        return x.reshape(len(x), -1), None

    def build(self) -> kernels.Kernel:
        """The kernel that is asked for.

        Raises:
            ValueError: negative or non-finite scales, unknown words; an option that the kernel does not have.
        """
        common: dict[str, Any] = {
            "sigma_w": self.sigma_w,
            "sigma_b": self.sigma_b,
            "sigma_r": self.sigma_r,
            "depth": self.depth,
            "activation": self.activation,
            "kind": self.kind,
        }
        if self.kernel == "dense":
            alien = [name for name in ("sigma_u", "sigma_h", "h0", "read", "direction") if self._changed(name)]
            if alien:
                raise ValueError(
                    f"kernel 'dense' has no {alien[0]}; got {getattr(self, alien[0])!r}. Leave it out, or take "
                    "kernel 'recurrent'."
                )
            return kernels.Dense(train="WbR" if self.train is None else self.train, **common)
        names = ("sigma_u", "sigma_h", "h0", "read", "direction")
        return kernels.Recurrent(
            train="WUbR" if self.train is None else self.train,
            **common,
            **{name: getattr(self, name) for name in names},
        )

    def _changed(self, name: str) -> bool:
        return getattr(self, name) != _DEFAULTS[name]

    def describe(self) -> str:
        """The kernel in one line: what differs from nothing."""
        shown = f"{'Recurrent' if self.kernel == 'recurrent' else 'Dense'} {self.kind.upper()}, {self.activation}"
        shown += f", {self.depth} layer{'s' if self.depth > 1 else ''}, sigma_w = {self.sigma_w:g}"
        if self.kernel == "recurrent":
            shown += f", sigma_u = {self.sigma_u:g}"
        shown += f", sigma_b = {self.sigma_b:g}"
        if self.kernel == "recurrent":
            shown += f", read-out: {self.read}, direction: {self.direction}"
            if self.h0 != "zero":
                shown += f", {self.h0} initial state, sigma_h = {self.sigma_h:g}"
        if self.sigma_r != 1.0:
            shown += f", sigma_r = {self.sigma_r:g}"
        if self.train is not None:
            shown += f", trained: {self.train or 'nothing'}"
        return shown


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(KernelOptions)}
