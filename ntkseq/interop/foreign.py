"""How does a kernel function of another library become a Kernel? It is called as it is; its rounding is measured."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _precision
from ntkseq._struct import static, struct
from ntkseq._types import Inputs
from ntkseq.kernels.base import Kernel, Side


@struct
class Foreign(Kernel):
    """A kernel function of neural-tangents as a `Kernel`: see `wrap`, which makes one.

    Its hyper-parameters sit inside `kernel_fn`, so this kernel has no leaves: `jax.grad` with respect to it is empty,
    a change of a scale is another kernel and compiles again, and `ntkseq.tune` has nothing to train but a factor, as in
    `1.0 * kernel`. Gradients with respect to the inputs are those of neural-tangents.
    """

    kernel_fn: Any = static()
    kind: str = static(default="ntk")
    rounding: float | None = static(default=None)

    def __post_init__(self) -> None:
        if not callable(self.kernel_fn):
            raise ValueError(
                f"kernel_fn must be a function of (x1, x2, get); got {type(self.kernel_fn).__name__}. stax returns "
                "(init_fn, apply_fn, kernel_fn): pass the third."
            )
        _checks.choice("kind", self.kind, ("ntk", "nngp"))
        if self.rounding is not None:
            _checks.nonnegative("rounding", self.rounding)

    def prepare(self, x: Inputs, lengths: Any = None) -> Side:
        """Check the inputs and keep them.

        Args:
            x: (n, d), (n, t, d), images (n, height, width, d): whatever `kernel_fn` takes, the examples in front.
            lengths: (n,) for padded sequences (n, t, d). Padding is masked by `mask_constant`, so the layers of the
                network must support masking.

        Raises:
            ValueError: fewer than two axes, an empty axis, NaN or infinity, lengths out of range or without a t.
        """
        if lengths is not None:
            x, lengths = _checks.sequences("x", x, lengths)
            inside = jnp.arange(x.shape[1], dtype=jnp.int32)[None, :] < lengths[:, None]  # (n, t)
            # marked by the largest number: no input can be as large, for its square overflows
            x = jnp.where(inside[:, :, None], x, jnp.finfo(x.dtype).max)
            return {"x": x, "lengths": lengths}
        x = _checks.floating("x", x)
        if x.ndim < 2 or 0 in x.shape:
            raise ValueError(
                f"x must have shape (n, ..., d) with no empty axis; got {x.shape}. One example: pass x[None]."
            )
        _checks.finite("x", x)
        return {"x": x}

    def check_pair(self, left: Side, right: Side) -> None:
        one, two = left["x"], right["x"]
        if one.shape[1:] != two.shape[1:]:
            raise ValueError(
                f"x1 and x2 must agree after the first axis; got {one.shape} and {two.shape}. Bring them to one length "
                "(pad, and pass lengths=) and one number of features."
            )
        if one.dtype != two.dtype:
            raise ValueError(f"x1 and x2 must have one dtype; got {one.dtype} and {two.dtype}. Cast one of them.")

    def tile(self, left: Side, right: Side) -> Float[Array, "n m"]:
        return _tile(self, left, right)

    def diag_side(self, side: Side) -> Float[Array, " n"]:
        return _diag(self, side)

    by_token = False

    @property
    def estimated(self) -> str:
        return "" if self.rounding is not None else "measured on a few examples against float64, not proved"

    def entry_rounding(self, side: Side) -> float:
        """Estimate of |computed - exact| / sqrt(K_ii K_jj): nothing is known of a foreign kernel, so it is measured.

        The entries among up to 12 examples, a close pair and a pair of nearly one direction included, are computed once
        more in float64, and the largest difference counts four times. It is an estimate, not a bound: pairs outside the
        sample may be worse. float64 data cannot be checked like that; their estimate is extrapolated from e, the error
        in float32, as eps64^a with e = eps32^a, which for the textbook arc-cosine (a = 1/2 at equal inputs) and for
        plain rounding (a = 1) is what the error does. Infinite, so that nothing is claimed, where `kernel_fn` does not
        compute in float64. `wrap(..., rounding=)` states another.
        """
        if self.rounding is not None:
            return float(self.rounding)
        if not _checks.is_concrete(side["x"]):
            return math.inf
        return _measured(self, side)

    def entries_per_pair(self, side: Side) -> int:
        """Covariances between all positions of two examples, for two kernels."""
        return 2 * math.prod(side["x"].shape[1:-1]) ** 2


@jax.jit
def _tile(kernel: Foreign, left: Side, right: Side) -> Array:
    # in 64-bit mode the constants of neural-tangents make float64 of float32 data
    return _values(kernel, left, right).astype(left["x"].dtype)


@jax.jit
def _diag(kernel: Foreign, side: Side) -> Array:
    return _own(kernel, side).astype(side["x"].dtype)


@jax.jit
def _own(kernel: Foreign, side: Side) -> Array:
    def one(part: Side) -> Array:
        return _values(kernel, jax.tree.map(lambda leaf: leaf[None], part), None)[0, 0]

    return jax.vmap(one)(side)


@jax.jit
def _values(kernel: Foreign, left: Side, right: Side | None) -> Array:
    """kernel_fn of two prepared batches, or of one with itself; its shape is known before anything compiles."""
    x1, x2 = left["x"], None if right is None else right["x"]
    masked = "lengths" in left or (right is not None and "lengths" in right)
    mask = {"mask_constant": float(jnp.finfo(x1.dtype).max)} if masked else {}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        values = kernel.kernel_fn(x1, x2, kernel.kind, **mask)
    wanted = (x1.shape[0], x1.shape[0] if x2 is None else x2.shape[0])
    shape = getattr(values, "shape", None)
    if shape != wanted:
        came = type(values).__name__ if shape is None else f"shape {shape}"
        raise ValueError(
            f"kernel_fn must return one number per pair, shape {wanted}; got {came} for inputs of shape {x1.shape}. "
            "A network on sequences or images ends in stax.Flatten(), GlobalAvgPool() or GlobalSumPool(), and a Dense."
        )
    return values


def _measured(kernel: Foreign, side: Side) -> float:
    """Four times the largest error among a few entries, relative to the diagonal."""
    dtype = np.dtype(side["x"].dtype)
    low = np.dtype(np.float32) if dtype == np.float64 else dtype
    x = np.asarray(side["x"])
    padding = x == np.finfo(dtype).max if "lengths" in side else np.zeros(x.shape, bool)
    which, copies = _sample(np.where(padding, 0, x).astype(np.float64), _precision.eps(low))
    few = {name: np.asarray(leaf)[which] for name, leaf in side.items()}
    padding, numbers = padding[which], copies.astype(low)
    values = []
    for one, x64 in ((low, False), (np.dtype(np.float64), True)):
        x = np.where(padding, np.finfo(one).max, numbers.astype(one))
        with jax.enable_x64(x64):  # for this thread and this block, to compare
            part = {**few, "x": jnp.asarray(x)}
            try:
                K, diagonal = _values(kernel, part, part), _own(kernel, part)
            except (TypeError, ValueError):  # kernel_fn holds constants of one precision
                return math.inf
            if K.dtype != one:
                return math.inf
            values.append(np.array(K, np.float64))
            np.fill_diagonal(values[-1], np.asarray(diagonal, np.float64))
    root = np.sqrt(np.maximum(np.diagonal(values[1]), 0.0))
    scale, difference = np.outer(root, root), np.abs(values[0] - values[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        error = float(np.max(np.where(difference == 0, 0.0, difference / scale)))
    unit = _precision.eps(low)
    if not error < 1.0:  # NaN, overflow, or no digit left
        return math.inf
    error = max(error, unit)
    if dtype == np.float64:
        error = _precision.eps(dtype) ** (math.log(error) / math.log(unit))
    return 4.0 * error


def _sample(x: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """Up to 12 examples as indices, and their values.

    4 spread evenly, a pair that lies close, a pair of nearly one direction, and 4 copies of one of the latter, moved at
    random by as much as the pair is apart: what rounding does to a close pair is chance, so it is tried more than once.
    Close pairs are neighbours, or next to it, on a random line: this finds those much closer than the rest of the data.
    """
    n, random = len(x), np.random.default_rng(0)
    flat = x.reshape(n, -1)
    size = np.linalg.norm(flat, axis=1, keepdims=True)
    if n == 1:
        return np.zeros(1, int), x
    line = random.standard_normal(flat.shape[1])
    chosen, i, j = [np.linspace(0, n - 1, min(n, 4)).astype(int)], 0, 0
    for points in (flat, flat / np.where(size > 0, size, 1.0)):
        order = np.argsort(points @ line, kind="stable")
        one, two = (np.concatenate([order[k:] if after else order[:-k] for k in (1, 2)]) for after in (False, True))
        closest = np.argmin(np.sum((points[one] - points[two]) ** 2, axis=1))
        i, j = int(one[closest]), int(two[closest])
        chosen.append(np.array([i, j]))
    apart = max(float(np.linalg.norm(flat[i] / (size[i, 0] or 1.0) - flat[j] / (size[j, 0] or 1.0))), eps)
    moved = flat[i] * (1.0 + apart * random.standard_normal((4, flat.shape[1])))  # 0, as in padding, stays 0
    which = np.unique(np.concatenate(chosen))
    values = np.concatenate([flat[which], moved]).reshape(-1, *x.shape[1:])
    return np.concatenate([which, np.full(4, i)]), values
