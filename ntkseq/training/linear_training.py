"""What would the network have done in the kernel regime? Its linearisation, trained by the same steps."""

from __future__ import annotations

import dataclasses
import math
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # its parts load when they are first used
from jaxtyping import Array, Float, Int

from ntkseq import _checks, _display
from ntkseq._filters import Clock
from ntkseq._precision import eps, wide
from ntkseq._struct import fill
from ntkseq._types import AnyFunction, ArrayLike, GramLike, Inputs, Lengths, Number, PyTree, Trainable
from ntkseq.empirical.ntk import NTK
from ntkseq.grams import DenseGram
from ntkseq.spectra.dense import dense_spectrum
from ntkseq.training import linear_steps

_DENSE = 512
"""Rows up to which all eigenvalues are found sooner than the largest alone."""


@dataclasses.dataclass(frozen=True, eq=False)
class LinearRun:
    """What the linearised network puts out while it is trained.

    Attributes:
        steps: steps done before each record, (r,); None for gradient flow.
        times: the learning rates summed up to each record, or the times of the flow, (r,).
        outputs: at the training examples, (r, n, o).
        probe: at the probe examples, (r, m, o); None without any.
        residuals: outputs - y; more exact than that difference where little is left to learn.
        unstable: a learning rate was above `Linearised.limit` (full batch), or outputs left the range of the dtype.

    Reference: lee2019wide.
    """

    steps: Int[np.ndarray, " r"] | None
    times: Float[np.ndarray, " r"]
    outputs: Float[np.ndarray, "r n o"]
    probe: Float[np.ndarray, "r m o"] | None
    residuals: Float[np.ndarray, "r n o"]
    unstable: bool = False

    @property
    def losses(self) -> Float[np.ndarray, " r"]:
        """The mean over the training examples of |f - y|^2 / 2."""
        with np.errstate(over="ignore"):
            return 0.5 * np.mean(np.sum(np.square(self.residuals.astype(np.float64)), axis=2), axis=1)

    def __repr__(self) -> str:
        losses, warning = self.losses, ", unstable" if self.unstable else ""
        return _display.folded(f"LinearRun({len(losses)} records, loss {losses[0]:.4g} -> {losses[-1]:.4g}{warning})")


@dataclasses.dataclass(frozen=True, eq=False, init=False)
class Linearised:
    """The network f_0(x) + J(x) (theta - theta_0), for training on the mean over a batch of |f - y|^2 / 2.

    Its outputs follow from the kernel at the start alone (training.6):

        f <- f - (lr / b) K[:, B] (f[B] - y[B])                                         B: the b examples of the step

    The steps are computed in the dtype of K as JAX holds it, float32 at least; float64 needs JAX's 64-bit mode.

    Args:
        K: the tangent kernel of the n training examples, (n, n, o, o) as `empirical.NTK(f, params, outputs="full")`
            gives it. (n, n): of one output, or one kernel that all outputs share and that does not couple them. The
            mean over several outputs (`outputs="mean"`) is such a kernel for the limit of infinite width only.
        f0: outputs at the start, (n, o) or (n,).
        y: targets, of the shape of f0.
        K_probe: kernel of m other examples with the training ones, (m, n) or (m, n, o, o).
        f0_probe: outputs at the start there, (m, o) or (m,).

    Raises:
        ValueError: shapes that do not fit, K not symmetric, numbers that are not finite, one of K_probe and f0_probe.

    Reference: lee2019wide.

    Example:
        >>> import numpy as np
        >>> linear = Linearised(np.diag(np.float32([2, 1])), f0=[0.0, 0.0], y=[1.0, 1.0])
        >>> linear.follow(None, lr=1.0, record=[0, 1, 2]).outputs[:, :, 0].tolist()
        [[0.0, 0.0], [1.0, 0.5], [1.0, 0.75]]
    """

    K: Float[Array, "n n ..."]
    f0: Float[Array, "n o"]
    y: Float[Array, "n o"]
    K_probe: Float[Array, "m n ..."] | None
    f0_probe: Float[Array, "m o"] | None

    def __init__(
        self,
        K: GramLike,
        f0: ArrayLike,
        y: ArrayLike,
        K_probe: GramLike | None = None,
        f0_probe: Any = None,
    ) -> None:
        for name, given in (("K", K), ("K_probe", K_probe), ("f0_probe", f0_probe)):
            _checks.outside(name, given, "")
        K = _checks.floating("K", K)
        if K.ndim not in (2, 4) or K.shape[0] != K.shape[1] or 0 in K.shape:
            raise ValueError(f"K must have shape (n, n) or (n, n, o, o), n training examples; got {K.shape}.")
        n, dtype = len(K), wide(K.dtype)
        start, target = _checks.targets("f0", f0, n), _checks.fitted("y", y, n)
        if start.shape != target.shape:
            raise ValueError(f"f0 and y must have one shape, outputs by outputs; got {start.shape} and {target.shape}.")
        o = start.reshape(n, -1).shape[1]
        if K.ndim == 4 and K.shape[2:] != (o, o):
            raise ValueError(f"K must have shape ({n}, {n}, {o}, {o}) for {o} output(s) of y; got {K.shape}.")
        _checks.symmetric("K", linear_steps.matrix(np.asarray(K)))
        if (K_probe is None) != (f0_probe is None):
            raise ValueError("give K_probe and f0_probe together, or neither: the kernel and where the outputs start.")
        cross = begin = None
        if K_probe is not None:
            cross = _checks.floating("K_probe", K_probe)
            if cross.ndim != K.ndim or cross.shape[1:] != K.shape[1:] or not len(cross):
                wanted = ("m", *K.shape[1:])
                raise ValueError(
                    f"K_probe must have shape ({', '.join(map(str, wanted))}), as K has; got {cross.shape}."
                )
            _checks.finite("K_probe", cross)
            begin = _checks.targets("f0_probe", f0_probe, len(cross)).reshape(len(cross), -1)
            if begin.shape[1] != o:
                raise ValueError(f"f0_probe must have {o} output(s), as y; got shape {np.shape(f0_probe)}.")
        held = {"K": K, "f0": start.reshape(n, o), "y": target.reshape(n, o), "K_probe": cross, "f0_probe": begin}
        fill(self, **{name: None if value is None else jnp.asarray(value, dtype) for name, value in held.items()})

    @cached_property
    def limit(self) -> float:
        """2 n / lambda_max: above this learning rate, full-batch gradient descent grows along an eigenvector of K."""
        matrix = _checks.symmetric("K", linear_steps.matrix(np.asarray(self.K)))
        if len(matrix) <= _DENSE:
            largest = float(np.linalg.eigvalsh(matrix)[-1])
        else:
            start = np.random.default_rng(0).standard_normal(len(matrix))
            largest = float(scipy.sparse.linalg.eigsh(matrix, k=1, v0=start, return_eigenvectors=False)[0])
        return 2.0 * len(self.K) / largest if largest > 0 else math.inf

    def follow(
        self,
        batches: ArrayLike | None,
        lr: Number,
        *,
        record: ArrayLike,
        loss: str = "squared",
        momentum: float = 0.0,
    ) -> LinearRun:
        """Train by stochastic gradient descent and keep the outputs after some steps; O((n + m) b o^2) per step.

        Args:
            batches: indices of the examples of each step, integers (steps, b); one that stands twice counts twice.
                None: all examples in every step.
            lr: learning rate, a number or one per step. A kernel with rates, `empirical.NTK(rates=)`, holds those too.
            record: steps after which the outputs are kept, ascending; 0 is the start, the last one ends the training.
                `history["kernel"].steps` of a tracked run, for instance.
            loss, momentum: of the run that is compared with; only "squared" and 0.0 are followed.

        Raises:
            ValueError: batches or rates that end before the last record, an index that is no example, another loss
                or optimizer.
        """
        linear_steps.check_plain(lr, loss, momentum)
        record = linear_steps.check_record(record)
        total, n = int(record[-1]), len(self.K)
        rates = _checks.real("lr", lr)
        if rates.ndim > 1 or (rates < 0).any():
            raise ValueError(f"lr must be finite numbers >= 0, one or one per step; got {_checks.shown(lr)}.")
        if rates.ndim and len(rates) < total:
            raise ValueError(
                f"lr must hold a rate for each of the {total} steps up to the last record; got {len(rates)}."
            )
        rates = np.broadcast_to(rates, (total,)) if not rates.ndim else rates[:total]
        order = None if batches is None else linear_steps.check_batches(batches, total, n)
        size = n if order is None else order.shape[1]
        beyond = (
            order is None and bool(rates.size) and rates.max() > self.limit * (1.0 + self.y.size * eps(self.K.dtype))
        )
        slots = np.searchsorted(record, np.arange(1, total + 1))
        xs = (order, jnp.asarray(rates / size, self.K.dtype), jnp.asarray(slots.astype(np.int32)))
        left, probe = linear_steps.run(self.K, self.K_probe, self.f0 - self.y, self.f0_probe, xs, len(record))
        residuals = np.asarray(left)
        times = np.concatenate([[0.0], np.cumsum(rates)])[record]
        outputs = residuals + np.asarray(self.y)[None]
        seen = None if probe is None else np.asarray(probe)
        lost = not (np.isfinite(outputs).all() and (seen is None or np.isfinite(seen).all()))
        return LinearRun(record, times, outputs, seen, residuals, bool(beyond or lost))

    def flow(self, times: ArrayLike) -> LinearRun:
        """Train by gradient flow, the limit of small learning rates at time = lr * steps (training.8).

        From all eigenvectors of K, in float64 on the host: O((n o)^3). For one kernel that outputs share,
        `predictors.gradient_flow(K, y, time=times / n)` is the same.

        Args:
            times: times >= 0 at which the outputs are kept.

        Raises:
            ValueError: times that are negative or not finite, K clearly indefinite.
        """
        at = np.atleast_1d(_checks.real("times", times))
        if at.ndim != 1 or not at.size or (at < 0).any():
            raise ValueError(f"times must be finite numbers >= 0; got {_checks.shown(times)}.")
        matrix, n = linear_steps.matrix(np.asarray(self.K)), len(self.K)
        rounded = float(eps(matrix.dtype) * np.linalg.norm(matrix))  # nothing certified comes of it
        eigen = dense_spectrum(DenseGram(matrix, rounding=rounded))
        assert eigen.vectors is not None
        if not eigen.semidefinite:
            raise ValueError(f"K must be positive semi-definite; its least eigenvalue is {eigen.min_eigenvalue}.")
        y, f0 = np.asarray(self.y, np.float64), np.asarray(self.f0, np.float64)
        values = np.maximum(eigen.values, 0.0)  # the exact ones are: one that rounding left below zero would grow
        rest = eigen.vectors.T @ (f0 - y).reshape(len(matrix), -1)
        decayed = np.exp(-values[None, :, None] * at[:, None, None] / n) * rest[None]
        residuals = np.matmul(eigen.vectors, decayed).reshape(at.size, *y.shape)
        probe = None
        if self.K_probe is not None:
            seen = linear_steps.matrix(np.asarray(self.K_probe, np.float64)) @ eigen.vectors
            moved = np.stack([Clock(t / n).phi(values)[:, None] * rest for t in at])
            begin = np.asarray(self.f0_probe, np.float64)
            probe = begin[None] - np.matmul(seen, moved).reshape(at.size, *begin.shape)
        return LinearRun(None, at, residuals + y[None], probe, residuals)

    def __repr__(self) -> str:
        m = 0 if self.f0_probe is None else len(self.f0_probe)
        return _display.folded(f"Linearised(n={len(self.y)}, m={m}, o={self.y.shape[1]}, {self.K.dtype})")


def linearised(
    f: AnyFunction,
    params: PyTree,
    x: Inputs,
    y: ArrayLike,
    *,
    x_probe: Inputs | None = None,
    lengths: Lengths = None,
    lengths_probe: Lengths = None,
    trainable: Trainable = None,
    rates: PyTree = None,
) -> Linearised:
    """The linearisation of a network at its parameters, from its exact tangent kernel; holds K, n^2 o^2 numbers.

    Args:
        f: f(params, x) -> (o,) for one example, as for `empirical.NTK`.
        params: the parameters at which training starts.
        x: n training inputs.
        y: targets, (n, o), or (n,) for one output.
        x_probe: m other inputs at which the outputs are followed.
        lengths, lengths_probe: of sequences.
        trainable, rates: which leaves are trained and how fast, as for `empirical.NTK`.

    Raises:
        ValueError: what `empirical.NTK` does not take, y that is not (n, o).

    Reference: lee2019wide.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import models
        >>> from ntkseq.training.linear_training import linearised
        >>> net = models.Recurrent(width=32)
        >>> x, y = jax.random.normal(jax.random.key(0), (6, 5, 2)), jnp.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
        >>> params = net.init(jax.random.key(1), x[0])
        >>> linear = linearised(net.apply, params, x, y)
        >>> run = linear.follow(None, lr=0.5 * linear.limit, record=[0, 10])
        >>> bool(run.losses[1] < run.losses[0])
        True
    """
    for name, given in (("x", x), ("x_probe", x_probe)):
        _checks.outside(name, given, "")
    kernel = NTK(f, params, outputs="full", trainable=trainable, rates=rates)
    inputs = kernel.function.inputs(x, lengths)
    f0 = _outputs(kernel.function, inputs)
    n, o = f0.shape
    if o == 1:
        kernel = kernel.with_(outputs="mean")
    target = _checks.fitted("y", y, n).reshape(n, -1)
    if target.shape != f0.shape:
        raise ValueError(
            f"y must have shape ({n}, {o}), the outputs of f; got {np.shape(y)}. Encode classes as one-hot."
        )
    K = kernel(x, lengths=lengths)
    if x_probe is None:
        return Linearised(K, f0, target)
    probe = kernel.function.inputs(x_probe, lengths_probe, "x_probe")
    cross = kernel(x_probe, x, lengths=lengths_probe, lengths2=lengths)
    return Linearised(K, f0, target, cross, _outputs(kernel.function, probe))


@jax.jit
def _outputs(function: Any, inputs: Inputs) -> Float[Array, "n o"]:
    return function.values(inputs)
