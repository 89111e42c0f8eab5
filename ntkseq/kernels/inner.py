"""What does an inner loop of meta-learning do in the infinite-width limit? A function of the support kernel.

With a frozen kernel K of the support inputs and the loss 1/2 sum (f - y)^2, every inner loop moves the function by
k(x, X') T(K) (y - f(X')). T is a function of the eigenvalues w of K:

    GD:    T(w) = (1 - (1 - lr w)^steps) / w        Flow: T(w) = (1 - e^{-time w}) / w        Prox: T(w) = 1 / (w + reg)

T is taken by eigen-decomposition, its derivative by divided differences of T(w) (the theorem of Daleckii and Krein),
which equal and vanishing eigenvalues leave finite: two support points may be the same.
"""

from __future__ import annotations

import abc
import math
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _filters, _precision
from ntkseq._struct import replace, static, struct
from ntkseq._types import DType, PyTree, Scale


class Stability(NamedTuple):
    """Whether gradient descent with this step size settles; arrays over the leading axes of the support kernels.

    Attributes:
        stable: 0 <= rate < 2.
        rate: step size times the largest eigenvalue.
        limit: step sizes from 0 up to this one (not included) are stable.
    """

    stable: Any
    rate: Any
    limit: Any


class Inner(abc.ABC):
    """An inner loop with squared loss, as a frozen pytree: numbers are leaves."""

    @abc.abstractmethod
    def value(self, w: Float[Array, "*batch s"]) -> Float[Array, "*batch s"]:
        """T(w) for the eigenvalues w >= 0 of one support kernel."""

    @abc.abstractmethod
    def divided(self, w: Float[Array, "*batch s"]) -> Float[Array, "*batch s s"]:
        """(T(w_i) - T(w_j)) / (w_i - w_j), and T'(w_i) where they are equal, without cancellation."""

    def transfer(self, K: Float[Array, "*batch s s"]) -> Float[Array, "*batch s s"]:
        """T(K) of symmetric positive semi-definite matrices K.

        Eigenvalues that rounding made negative count as zero. First derivatives, forward and reverse, are right for
        equal and for zero eigenvalues; second derivatives need distinct ones.

        Example:
            >>> import jax.numpy as jnp
            >>> Flow(jnp.inf).transfer(2.0 * jnp.eye(2)).tolist()  # the inverse
            [[0.5, 0.0], [0.0, 0.5]]
        """
        return _transfers(self, K)

    def in_sum(self, s: int) -> Inner:
        """The same inner loop written for the loss 1/2 sum over s support examples."""
        return self

    def in_dtype(self, dtype: DType) -> Any:
        """The same inner loop with its numbers as arrays of that dtype."""
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), self)

    def stability(self, K: Float[Array, "*batch s s"]) -> Stability:
        """Whether the loop settles on support kernels `K`; only gradient descent may not."""
        shape = K.shape[:-2]
        return Stability(jnp.ones(shape, bool), jnp.zeros(shape, K.dtype), jnp.full(shape, jnp.inf, K.dtype))


@struct
class GD(Inner):
    """`steps` steps of gradient descent with step size `lr` (MAML's inner loop).

    T(w) = lr sum_{j < steps} (1 - lr w)^j

    Args:
        steps: number of steps; 0 adapts nothing.
        lr: step size, a leaf. Stable while lr * w < 2.
        reduction: loss 1/2 "sum" over the support examples, or 1/2 of their "mean" (lr / s for s examples).

    Raises:
        ValueError: steps not an integer >= 0, a step size that is not a finite number, unknown reduction.

    Reference: finn2017maml.
    """

    steps: int = static(default=1)
    lr: Scale = 0.1
    reduction: str = static(default="sum")

    def __post_init__(self) -> None:
        if isinstance(self.steps, bool) or not isinstance(self.steps, (int, np.integer)) or self.steps < 0:
            raise ValueError(f"steps must be an integer >= 0; got {_checks.shown(self.steps)}.")
        _number("lr", self.lr, None)
        _checks.choice("reduction", self.reduction, ("sum", "mean"))

    def in_sum(self, s: int) -> GD:
        return self if self.reduction == "sum" else replace(self, lr=self.lr / s, reduction="sum")

    def value(self, w: Float[Array, "*batch s"]) -> Float[Array, "*batch s"]:
        return _filters.descent(w, self.lr, self.steps)

    def divided(self, w: Float[Array, "*batch s"]) -> Float[Array, "*batch s s"]:
        pair = _Divided(w, jnp.ones((*w.shape, w.shape[-1]), w.dtype))
        return _filters.descent(pair, self.lr, self.steps).differences

    def stability(self, K: Float[Array, "*batch s s"]) -> Stability:
        return _stability(self, K)


@struct
class Flow(Inner):
    """Gradient flow for `time` (step size times number of steps): T(w) = (1 - e^{-time w}) / w.

    Args:
        time: >= 0, or `jnp.inf` for the minimum-norm interpolant, where T is the pseudo-inverse. A leaf.
        cutoff: for time = inf, eigenvalues up to cutoff times the largest count as zero. None: 32 s eps for s support
            examples, which is what the rounding of kernel entries leaves of a zero.

    Raises:
        ValueError: a time that is negative or no number, a cutoff outside [0, 1).

    Reference: wang2020meta.
    """

    time: Scale = np.inf
    cutoff: float | None = static(default=None)

    def __post_init__(self) -> None:
        _checks.not_a_key("time", self.time)
        if not (_checks.is_concrete(self.time) and np.ndim(self.time) == 0 and self.time == np.inf):
            _number("time", self.time, ">= 0")
        if self.cutoff is not None and not 0 <= self.cutoff < 1:
            raise ValueError(
                f"cutoff must lie in [0, 1), a fraction of the largest eigenvalue; got {_checks.shown(self.cutoff)}."
            )

    def value(self, w: Float[Array, "*batch s"]) -> Float[Array, "*batch s"]:
        ended, time = self._time()
        return jnp.where(ended, self._inverse(w), _filters.flow(w, time, jnp))

    def divided(self, w: Float[Array, "*batch s"]) -> Float[Array, "*batch s s"]:
        ended, time = self._time()
        inverse = self._inverse(w)
        a, b = inverse[..., :, None], inverse[..., None, :]
        at_end = jnp.where((a > 0) & (b > 0), -a * b, a * a + b * b)  # zeros stay zeros: the rank is held
        w1, w2 = w[..., :, None], w[..., None, :]
        x, y = time * jnp.maximum(w1, w2), time * jnp.minimum(w1, w2)
        # phi[x, y] = (e^{-y} phi(x - y) - phi(y)) / x: no difference of x and y in the denominator
        far = x > 0.5
        safe = jnp.where(far, x, 1)
        large = (time * (jnp.exp(-y) * _phi(x - y) - _phi(y))) * (time / safe)
        small = time * time * _phi_series(jnp.where(far, 0, x), jnp.where(far, 0, y))
        return jnp.where(ended, at_end, jnp.where(far, large, small))

    def _time(self) -> tuple[Array, Array]:
        time = jnp.asarray(self.time)
        ended = jnp.isposinf(time)
        return ended, jnp.where(ended, 1, time)

    def _inverse(self, w: Array) -> Array:
        share = 32 * w.shape[-1] * float(jnp.finfo(w.dtype).eps) if self.cutoff is None else self.cutoff
        kept = w > share * jnp.max(w, axis=-1, keepdims=True)
        return jnp.where(kept, 1 / jnp.where(kept, w, 1), 0)


@struct
class Prox(Inner):
    """The minimiser of 1/2 sum (f - y)^2 + reg / 2 |phi - theta|^2 (iMAML): T(w) = 1 / (w + reg).

    Args:
        reg: weight of the distance from the shared parameters, > 0. A leaf.

    Raises:
        ValueError: reg not a finite number > 0.

    Reference: rajeswaran2019imaml.

    Example:
        >>> import jax
        >>> from ntkseq import data, kernels
        >>> tasks = data.tasks.sinusoids(3, shots=4, queries=2, key=jax.random.key(0))
        >>> kernels.Meta(kernels.Dense(sigma_b=0.5), Prox(reg=0.1))(tasks).shape  # 3 tasks of 2 queries
        (6, 6)
    """

    reg: Scale = 1.0

    def __post_init__(self) -> None:
        _number("reg", self.reg, "> 0")

    def value(self, w: Float[Array, "*batch s"]) -> Float[Array, "*batch s"]:
        return 1 / (w + self.reg)

    def divided(self, w: Float[Array, "*batch s"]) -> Float[Array, "*batch s s"]:
        value = self.value(w)
        return -value[..., :, None] * value[..., None, :]


def warn_if_unstable(inner: Inner, K: Array) -> None:
    """Say with numbers where gradient descent in the inner loop diverges; does nothing under a trace."""
    if not isinstance(inner, GD) or not (_checks.is_concrete(K) and _checks.is_concrete(inner.lr)):
        return
    stable, rate, limit = (np.asarray(a) for a in inner.stability(K))
    if not stable.all():
        worst = int(np.argmax(np.abs(rate - 1)))
        warnings.warn(
            f"the inner loop diverges on {int((~stable).sum())} of {stable.size} tasks: lr times the largest "
            f"eigenvalue of the support kernel must lie in [0, 2), and is {rate[worst]:.3g} for task {worst}. "
            f"With lr below {float(limit.min()):.3g} it settles on all of them.",
            stacklevel=4,
        )


@jax.jit
def _stability(loop: GD, K: Array) -> Stability:
    K = K.astype(_precision.wide(K.dtype))
    largest = jnp.maximum(jnp.linalg.eigvalsh(K)[..., -1], 0)
    lr = jnp.asarray(loop.lr, K.dtype)
    over = K.shape[-1] if loop.reduction == "mean" else 1
    rate = lr * largest / over
    limit = jnp.where(largest > 0, 2 * over / jnp.where(largest > 0, largest, 1), jnp.inf)
    stable = (rate >= 0) & (rate < 2)
    return Stability(stable if loop.steps > 0 else jnp.ones_like(stable), rate, limit)


@jax.jit
def _transfers(inner: Inner, K: Array) -> Array:
    dtype, K = K.dtype, K.astype(_precision.wide(K.dtype))  # half precision has no eigenvalues of its own
    inner = inner.in_sum(K.shape[-1]).in_dtype(K.dtype)
    flat = jax.vmap(lambda one: _transfer(inner, one))(jnp.reshape(K, (-1, *K.shape[-2:])))
    return jnp.reshape(flat, K.shape).astype(dtype)


@jax.custom_jvp
def _transfer(inner: Inner, K: Array) -> Array:
    w, U = _eigen(K)
    return _product(U * inner.value(w)[None, :], U)


@_transfer.defjvp
def _(primals: PyTree, tangents: PyTree) -> tuple[Array, Array]:
    (inner, K), (dinner, dK) = primals, tangents
    w, U = _eigen(K)
    value, dvalue = jax.jvp(lambda i: i.value(w), (inner,), (dinner,))
    turned = jnp.einsum("ki,kl,lj->ij", U, dK, U, precision="highest")
    inside = inner.divided(w) * turned + jnp.diag(dvalue)
    return _product(U * value[None, :], U), _product(jnp.matmul(U, inside, precision="highest"), U)


def _eigen(K: Array) -> tuple[Array, Array]:
    w, U = jnp.linalg.eigh(K)
    return jnp.maximum(w, 0), U


def _product(left: Array, right: Array) -> Array:
    return jnp.einsum("ik,jk->ij", left, right, precision="highest")


class _Divided:
    """Numbers f(w) (..., s) with their divided differences (..., s, s): of sums and products by the product rule."""

    def __init__(self, values: Array, differences: Array) -> None:
        self.values, self.differences = values, differences

    def __add__(self, other: Any) -> _Divided:
        if isinstance(other, _Divided):
            return _Divided(self.values + other.values, self.differences + other.differences)
        return _Divided(self.values + other, self.differences)

    def __mul__(self, other: Any) -> _Divided:
        if isinstance(other, _Divided):
            first = self.values[..., :, None] * other.differences
            second = self.differences * other.values[..., None, :]
            return _Divided(self.values * other.values, first + second)
        return _Divided(self.values * other, self.differences * other)

    def __neg__(self) -> _Divided:
        return _Divided(-self.values, -self.differences)

    def __sub__(self, other: Any) -> _Divided:
        return self + -other

    def __rsub__(self, other: Any) -> _Divided:
        return -self + other

    __radd__, __rmul__ = __add__, __mul__


def _phi(z: Array) -> Array:
    """(1 - e^{-z}) / z, 1 at z = 0."""
    return _filters.flow(z, 1, jnp)


def _phi_series(x: Array, y: Array) -> Array:
    """The divided difference of (1 - e^{-z}) / z = sum_m (-z)^m / (m + 1)! at 0 <= x, y <= 1/2.

    sum_m (-1)^m h_{m-1}(x, y) / (m + 1)! with h the complete homogeneous polynomials; term 15 is below 1e-16.
    """
    h, power, total = jnp.ones_like(x), y, jnp.full_like(x, -0.5)
    for m in range(2, 16):
        h = x * h + power
        power = power * y
        total = total + (-1) ** m / math.factorial(m + 1) * h
    return total


def _number(name: str, value: object, wanted: str | None) -> None:
    """Check one finite number, with a sign where one is wanted; does nothing under a trace."""
    if not _checks.is_concrete(value):
        if value is None or isinstance(value, (str, bytes, complex)):
            raise ValueError(f"{name} must be a number{' ' + wanted if wanted else ''}; got {_checks.shown(value)}.")
        return
    _checks.not_a_key(name, value)
    if not isinstance(value, jax.Array) or np.ndim(value):
        value = _checks.number(name, value, f"one finite number{' ' + wanted if wanted else ''}")
    bad = {None: False, ">= 0": np.any(np.asarray(value) < 0), "> 0": np.any(np.asarray(value) <= 0)}[wanted]
    if np.ndim(value) != 0 or not np.isfinite(value) or bad:
        raise ValueError(
            f"{name} must be one finite number{' ' + wanted if wanted else ''}; got {_checks.shown(value)}."
        )
