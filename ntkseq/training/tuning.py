"""Which hyper-parameters of a kernel suit the data? Gradient steps on marginal likelihood or leave-one-out error."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg
import numpy as np
import optax
from jaxtyping import Array, Float

from ntkseq import _checks, _display, _progress
from ntkseq._types import AnyArray, ArrayLike, DType, Inputs, Lengths, Optimizer, PyTree
from ntkseq.kernels.base import Kernel

OBJECTIVES = ("marginal_likelihood", "loo")
_ADAM = optax.adam(0.05)  # made once: another optimizer object is another program
_FROM_ZERO = 0.1  # where a scale that is zero, and named, starts: at zero every slope is zero


@dataclasses.dataclass(frozen=True, eq=False)
class Tuned:
    """A kernel fitted to data.

    Attributes:
        kernel: the kernel with the hyper-parameters of the least objective seen.
        reg: the ridge that belongs to it, as for `ntkseq.ridge`.
        history: the objective before the first step and after each, (steps + 1,).
        objective: "marginal_likelihood" or "loo".
        trained: the names that were trained and their fitted values.
    """

    kernel: Kernel
    reg: float
    history: Float[np.ndarray, " steps"]
    objective: str
    trained: dict[str, Any]

    def __repr__(self) -> str:
        best, values = float(np.min(self.history)), ", ".join(f"{k}={_shown(v)}" for k, v in self.trained.items())
        return _display.folded(f"Tuned({self.objective} {self.history[0]:.4g} -> {best:.4g}, {values})")


def tune(
    kernel: Kernel,
    x: Inputs,
    y: ArrayLike,
    *,
    lengths: Lengths = None,
    reg: float = 1e-2,
    optimizer: optax.GradientTransformation = _ADAM,
    steps: int = 200,
    objective: str = "marginal_likelihood",
    train: Sequence[str] | None = None,
    progress: bool | None = None,
) -> Tuned:
    """Choose the hyper-parameters of a kernel by gradient descent on what a Gaussian process makes of the data.

        A = K + reg I                                                                        y: (n, k)
        "marginal_likelihood":  (trace(y' A^-1 y) / 2 + k log det(A) / 2 + n k log(2 pi) / 2) / (n k)
        "loo":                  mean over i and outputs of ([A^-1 y]_i / [A^-1]_ii)^2, which is `ridge(...).loo_error`

    Each trained number is its start value times exp(u), and u is what the optimizer moves: it keeps its sign, and a
    scale that starts at zero stays zero unless it is named in `train`; then it starts at 0.1. The result is the best
    of all steps, so never worse than the start. Both objectives are fitted to the data: a bound evaluated on the same
    data no longer holds for the fitted kernel.

    Works on the whole (n, n) matrix at once, in the dtype of the data, with O(n^3) time per step.

    Args:
        kernel: the kernel to start from.
        x: n inputs, as for the kernel.
        y: targets, (n,), or (n, k) for k outputs that share the kernel (`predictors.one_hot` encodes classes).
        lengths: (n,) lengths of sequences padded on the right.
        reg: the ridge, added to the diagonal as it stands (not times n), as in `ridge`: the variance of the noise.
        optimizer: any from optax. Keep the object for several fits: a new one compiles again.
        steps: gradient steps.
        objective: see above.
        train: names of the hyper-parameters to train, such as "sigma_w", "activation.slope", "first.sigma_b" (of a
            sum), "factor" (of a multiple), and "reg". By default those of the kernel that are positive, without reg.
        progress: show a progress bar (needs tqdm); None: on a terminal, for long work.

    Returns:
        Fitted.

    Raises:
        ValueError: bad inputs, unknown names, nothing to train.
        FloatingPointError: the objective is not finite; says at which step, and the last values at which it was.

    Reference: rasmussen2006, sections 5.4.1 and 5.4.2.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import kernels
        >>> from ntkseq.training import tune
        >>> x = jax.random.normal(jax.random.key(0), (12, 4, 2))
        >>> fitted = tune(kernels.Recurrent(sigma_w=0.5), x, jnp.sum(x, axis=(1, 2)), steps=5, train=["sigma_u", "reg"])
        >>> sorted(fitted.trained), bool(fitted.history[-1] < fitted.history[0])
        (['reg', 'sigma_u'], True)
    """
    if not isinstance(kernel, Kernel):
        raise ValueError(f"kernel must be an ntkseq Kernel; got {type(kernel).__name__}. See ntkseq.kernels.")
    _checks.choice("objective", objective, OBJECTIVES)
    steps, reg = _checks.positive_int("steps", steps), _checks.nonnegative("reg", reg)
    _checks.outside("x", x, "")
    if not all(isinstance(leaf, (np.ndarray, jax.Array)) for leaf in jax.tree.leaves(x)):
        x = _checks.floating("x", x)
    side = kernel.prepare(x, lengths)  # raises what is to be said about the inputs
    n = jax.tree.leaves(side)[0].shape[0]
    y = _checks.fitted("y", y, n).reshape(n, -1)
    lengths = None if lengths is None else np.asarray(lengths)
    dtype = jax.eval_shape(kernel.diag_side, side).dtype
    start = _start(kernel, reg, train)
    names = tuple(start)
    base = {name: jnp.asarray(value, dtype) for name, value in start.items()}
    moved = {name: jnp.zeros_like(value) for name, value in base.items()}
    data = (x, lengths, jnp.asarray(y, dtype))
    state, history, best, last = optimizer.init(moved), [], (math.inf, moved), moved
    work = 3.0 * (steps + 1) * n**2 * kernel.steps(side) * kernel.entries_per_pair(side)
    with _progress.bar(progress, work, steps + 1, unit="step", name="fit") as bar:
        for step in range(steps + 1):
            value, following, state = _step(
                kernel, jnp.asarray(reg, dtype), base, moved, state, data, optimizer, objective
            )
            value = float(value)
            if not math.isfinite(value):
                raise FloatingPointError(_diverged(step, reg, dtype, {k: _value(base[k], last[k]) for k in names}))
            history.append(value)
            last = moved
            best = min(best, (value, moved), key=lambda pair: pair[0])
            moved = following
            if bar is not None:
                bar.update(1)
                bar.set_postfix_str(f"{value:.4g}", refresh=False)
    trained = {name: _value(base[name], best[1][name]) for name in names}
    return Tuned(
        kernel=_with(kernel, trained),
        reg=float(trained.get("reg", reg)),
        history=np.asarray(history),
        objective=objective,
        trained=trained,
    )


@partial(jax.jit, static_argnums=(6, 7))
def _step(
    kernel: Kernel,
    reg: Array,
    base: PyTree,
    moved: PyTree,
    state: PyTree,
    data: PyTree,
    optimizer: Optimizer,
    objective: str,
) -> tuple[Array, Any, Any]:
    """The objective at `moved`, and where the optimizer goes from there."""

    def loss(moved: dict[str, Array]) -> Array:
        x, lengths, y = data
        values = {name: base[name] * jnp.exp(moved[name]) for name in base}
        K = _with(kernel, values)(x, lengths=lengths)
        return {"marginal_likelihood": _evidence, "loo": _loo}[objective](K, y, values.get("reg", reg))

    value, slope = jax.value_and_grad(loss)(moved)
    # optax was written for the default rules
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        updates, state = optimizer.update(slope, state, moved)
        following = optax.apply_updates(moved, updates)
    return value, following, state


def _evidence(K: Float[Array, "n n"], y: Float[Array, "n k"], reg: Float[Array, ""]) -> Float[Array, ""]:
    """Minus the log marginal likelihood, per target."""
    factor = _cholesky(K, reg)
    white = jax.scipy.linalg.solve_triangular(factor, y, lower=True)
    log_det = 2.0 * jnp.sum(jnp.log(jnp.diagonal(factor)))
    return 0.5 * jnp.sum(white**2) / y.size + 0.5 * log_det / len(K) + 0.5 * math.log(2.0 * math.pi)


def _loo(K: Float[Array, "n n"], y: Float[Array, "n k"], reg: Float[Array, ""]) -> Float[Array, ""]:
    """The mean squared leave-one-out residual."""
    factor = _cholesky(K, reg)
    inverse = jax.scipy.linalg.solve_triangular(factor, jnp.eye(len(K), dtype=K.dtype), lower=True)  # of the factor
    with jax.default_matmul_precision("highest"):
        dual = inverse.T @ (inverse @ y)
    return jnp.mean((dual / jnp.sum(inverse**2, axis=0)[:, None]) ** 2)


def _cholesky(K: Array, reg: Array) -> Array:
    """NaN where K + reg is not positive definite in this dtype."""
    with jax.default_matmul_precision("highest"):
        return jnp.linalg.cholesky(0.5 * (K + K.T) + reg * jnp.eye(len(K), dtype=K.dtype))


def _named(kernel: Kernel) -> dict[str, Any]:
    """The leaves of a kernel by name, those that are real numbers."""
    pairs = jax.tree_util.tree_flatten_with_path(kernel)[0]
    named = {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in pairs}
    return {name: leaf for name, leaf in named.items() if _is_real(leaf)}


def _is_real(leaf: AnyArray) -> bool:
    if isinstance(leaf, (int, float)):
        return not isinstance(leaf, bool)
    return hasattr(leaf, "dtype") and bool(jnp.issubdtype(leaf.dtype, jnp.floating))


def _with(kernel: Kernel, values: dict[str, Any]) -> Kernel:
    """The kernel with other values of the named leaves."""

    def change(path: Any, leaf: AnyArray) -> Any:
        return values.get(jax.tree_util.keystr(path, simple=True, separator="."), leaf)

    return jax.tree_util.tree_map_with_path(change, kernel)


def _start(kernel: Kernel, reg: float, train: Sequence[str] | None) -> dict[str, Any]:
    """The numbers to train and where they start."""
    leaves = {name: np.asarray(leaf, np.float64) for name, leaf in _named(kernel).items()}
    if train is None:
        start = {name: leaf for name, leaf in leaves.items() if (leaf >= 0).all() and (leaf > 0).any()}
        if not start:
            raise ValueError(
                f"kernel must have a positive hyper-parameter to train; {type(kernel).__name__} has "
                f"{', '.join(leaves) or 'no leaves'}. Train a factor, tune(1.0 * kernel, ...), or name one in train=."
            )
        return start
    if not isinstance(train, (list, tuple)) or not all(isinstance(name, str) for name in train) or not len(train):
        raise ValueError(f'train must be a list of names, such as ["sigma_w", "reg"]; got {_checks.shown(train)}.')
    unknown = [name for name in train if name not in (*leaves, "reg")]
    if unknown:
        raise ValueError(
            f"train must name hyper-parameters of the kernel; got {', '.join(map(repr, unknown))}, "
            f"wanted some of {', '.join(map(repr, (*leaves, 'reg')))}."
        )
    if "reg" in train and reg == 0.0:
        raise ValueError("reg must be > 0 where it is trained; got 0.0. Pass reg= a start value, such as 1e-2.")
    start = {name: leaves[name] if name in leaves else np.asarray(reg) for name in train}
    return {name: np.where(leaf == 0.0, _FROM_ZERO, leaf) for name, leaf in start.items()}


def _value(base: Array, moved: Array) -> Any:
    """The number that `moved` stands for, as a float or host array."""
    value = np.asarray(base) * np.exp(np.asarray(moved))
    return float(value) if value.ndim == 0 else value


def _shown(value: object) -> str:
    return np.array2string(np.asarray(value), formatter={"float_kind": lambda number: f"{number:.4g}"})


def _diverged(step: int, reg: float, dtype: DType, last: dict[str, Any]) -> str:
    values = ", ".join(f"{name} = {_shown(value)}" for name, value in last.items())
    if step == 0:
        return (
            f"the objective is not finite at the start ({values}): K + reg is not positive definite in {dtype} with "
            f"reg = {reg:.3g}, or K overflows. Pass a larger reg, lower the scales, or use float64."
        )
    return (
        f"the objective stopped being finite at step {step}; at the step before, {values}. Pass an optimizer with a "
        "lower learning rate, a larger reg, or float64 data."
    )
