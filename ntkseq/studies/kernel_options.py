"""Which kernel is asked for? The options of every command that computes one of a file."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal

from ntkseq import _checks
from ntkseq.kernels import Kernel
from ntkseq.studies.kernel_choices import Choice, choices, described


@dataclasses.dataclass(frozen=True, kw_only=True)
class KernelOptions:
    """A kernel, and the precision in which it is computed."""

    kernel: Any = "recurrent"
    """recurrent (Elman), dense (each sequence as one vector), gru, lstm, bidirectional, leaky, linear, lru, s4d,
    convolution, attention or transformer; with settings of its own gru:particles=1024,seed=1. FILE.toml: blocks.
    MODULE:OBJECT or FILE.py:OBJECT: a kernel in Python; empirical:MODULE:FUNCTION: f and its parameters."""
    sigma_w: float = 1.4
    """Standard deviation of the recurrent weights (dense: of all weights), before 1/sqrt(width). This and what follows
    goes to each short name that has it."""
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
    """Trained groups, letters of WUbR (recurrent, input, bias, read-out; dense: WbR). Default: all."""
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

    @functools.cached_property
    def kernels(self) -> tuple[Choice, ...]:
        """The kernels asked for, in their order, different names.

        Raises:
            ValueError: negative or non-finite scales, unknown words; an option that none of the kernels has.
            OSError, ImportError: a file or a module that is not there.
        """
        options = {name: getattr(self, name) for name in _DEFAULTS if name not in ("kernel", "dtype")}
        given = {name: value for name, value in options.items() if not (name == "train" and value is None)}
        return choices(self.kernel, given, self.changed)

    @property
    def changed(self) -> tuple[str, ...]:
        """The names of settings that are not as by default."""
        names = (name for name in _DEFAULTS if name not in ("kernel", "dtype"))
        return tuple(name for name in names if getattr(self, name) != _DEFAULTS[name])

    @property
    def choice(self) -> Choice:
        """The kernel, where one is asked for.

        Raises:
            ValueError: several are.
        """
        if len(self.kernels) > 1:
            raise ValueError(f"kernel must be one; got {len(self.kernels)}: {', '.join(k.name for k in self.kernels)}.")
        return next(iter(self.kernels))

    def build(self, shape: tuple[int, int] = (1, 1)) -> Kernel:
        """The kernel that is asked for.

        Args:
            shape: (t, d) of the sequences, for a function that makes it.

        Raises:
            ValueError: several kernels, and as for `kernels`.
        """
        return self.choice.make(shape)

    def describe(self) -> str:
        """The kernel in one line: what differs from nothing."""
        return described(self.choice)

    @property
    def kernel_text(self) -> str:
        """The kernel as a word of the command line; of objects in memory their names."""
        return (
            self.kernel if isinstance(self.kernel, str) else f"({', '.join(k.name for k in self.kernels)}, in memory)"
        )


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(KernelOptions)}
