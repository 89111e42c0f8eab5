"""What are the kernels by brute force? Textbook recursions over all pairs of steps, in NumPy, slow and plain.

Nothing here is shared with the library: covariances instead of chords, atan2 instead of polynomials, the whole
(t, s) grid instead of one diagonal, right-padded instead of right-aligned. `real=np.longdouble` carries more digits,
for near-duplicate inputs, where the textbook form loses half of them. The empirical kernel is the exception to NumPy:
one Jacobian by JAX per example, contracted in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Pair = tuple[np.ndarray, np.ndarray]
Dual = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], Pair]
"""(c, p, q, same) -> (E[phi phi'], E[dphi dphi']); same: both Gaussians are one and the same variable."""


def rectifier(positive: float, negative: float) -> Dual:
    """positive * max(z, 0) + negative * min(z, 0), by the angle atan2(sqrt(p q - c^2), c)."""

    def pair(c: np.ndarray, p: np.ndarray, q: np.ndarray, same: np.ndarray) -> Pair:
        s = np.sqrt(np.maximum(p * q - c * c, 0))
        # both zero: silent; its slope multiplies a tangent kernel of zero. pi in the precision of c
        pi = 4 * np.arctan(np.ones((), c.dtype))
        angle = np.where((s == 0) & (c == 0), pi / 2, np.arctan2(s, c))
        value = np.where(same, c / 2, (s + c * (pi - angle)) / (2 * pi))
        slope = np.where(same, 0.5, (pi - angle) / (2 * pi))
        across, both = (positive - negative) ** 2, positive * negative
        return across * value + both * c, across * slope + both

    return pair


def identity() -> Dual:
    return lambda c, p, q, same: (c, np.ones_like(c))


def erf(a: float = 1.0) -> Dual:
    """erf(a z), in the arcsine form."""

    def pair(c: np.ndarray, p: np.ndarray, q: np.ndarray, same: np.ndarray) -> Pair:
        pi = 4 * np.arctan(np.ones((), c.dtype))
        c, p, q = a * a * c, a * a * p, a * a * q
        product = (1 + 2 * p) * (1 + 2 * q)
        return 2 / pi * np.arcsin(2 * c / np.sqrt(product)), a * a * 4 / pi / np.sqrt(product - 4 * c * c)

    return pair


def sine(a: float = 1.0, phase: float = 0.0) -> Dual:
    """sin(a z + phase), from E[cos] of the sum and of the difference of the arguments."""

    def pair(c: np.ndarray, p: np.ndarray, q: np.ndarray, same: np.ndarray) -> Pair:
        apart = np.exp(-a * a * (p + q - 2 * c) / 2)
        together = np.exp(-a * a * (p + q + 2 * c) / 2) * np.cos(2 * phase)
        return (apart - together) / 2, a * a * (apart + together) / 2

    return pair


def gelu() -> Dual:
    """z Phi(z)."""

    def pair(c: np.ndarray, p: np.ndarray, q: np.ndarray, same: np.ndarray) -> Pair:
        pi = 4 * np.arctan(np.ones((), c.dtype))
        product = (1 + p) * (1 + q)
        gap = product - c * c
        n = c * c + p * q * gap
        angle = np.arctan2(c, np.sqrt(gap))
        value = c / 4 + (c * angle + n / (product * np.sqrt(gap))) / (2 * pi)
        bend = c * (2 * (1 - p * q) * gap + n) / (product * gap**1.5)
        return value, 0.25 + (angle + c / np.sqrt(gap) + bend) / (2 * pi)

    return pair


def quadrature(function: Callable[[np.ndarray], np.ndarray], derivative: Callable[[np.ndarray], np.ndarray]) -> Dual:
    """Any smooth function, by the trapezoid rule in two dimensions (129 x 129 nodes on [-9, 9]^2)."""
    z = np.linspace(-9, 9, 129)
    weight = np.exp(-(z**2) / 2)
    weight /= weight.sum()

    def one(c: float, p: float, q: float) -> tuple[float, float]:
        root = math.sqrt(p)
        u = root * z[:, None]
        v = (c / root if root else 0.0) * z[:, None] + math.sqrt(max(q - (c * c / p if p else 0.0), 0.0)) * z[None]
        both = weight[:, None] * weight[None]
        value = np.sum(both * function(u + 0 * v) * function(v))
        return float(value), float(np.sum(both * derivative(u + 0 * v) * derivative(v)))

    def pair(c: np.ndarray, p: np.ndarray, q: np.ndarray, same: np.ndarray) -> Pair:
        c, p, q = np.broadcast_arrays(c, p, q)
        values = [one(*map(float, row)) for row in zip(c.ravel(), p.ravel(), q.ravel(), strict=True)]
        both = np.array(values, dtype=c.dtype).reshape(*c.shape, 2)
        return both[..., 0], both[..., 1]

    return pair


def logistic(z: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(z / 2))


DUALS: dict[str, Dual] = {
    "relu": rectifier(1.0, 0.0),
    "leaky_relu": rectifier(1.0, 0.01),
    "abs": rectifier(1.0, -1.0),
    "identity": identity(),
    "erf": erf(),
    "sin": sine(),
    "cos": sine(1.0, math.pi / 2),
    "gelu": gelu(),
    "tanh": quadrature(np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "sigmoid": quadrature(logistic, lambda z: logistic(z) * logistic(-z)),
    "softplus": quadrature(lambda z: np.logaddexp(0, z), logistic),
}


def recurrent(
    x1: Any,
    x2: Any = None,
    *,
    lengths: Any = None,
    lengths2: Any = None,
    dual: Dual = DUALS["relu"],
    sigma_w: Any = 1.0,
    sigma_u: Any = 1.0,
    sigma_b: Any = 0.0,
    sigma_r: float = 1.0,
    sigma_h: float = 0.0,
    depth: int = 1,
    read: str = "last",
    direction: str = "forward",
    h0: str = "zero",
    train: Any = "WUbR",
    input_scale: str = "dim",
    kind: str = "ntk",
    param: str = "ntk",
    real: Any = np.float64,
) -> np.ndarray:
    """The kernel of an Elman network between two batches, (n, m); `x2=None` is `x1` with itself, diagonal exact.

    The arguments mean what they mean in `kernels.Recurrent`, but for `dual` instead of `activation`.
    """
    same = np.eye(len(x1), dtype=bool) if x2 is None else np.zeros((len(x1), len(x2)), bool)
    x1 = np.asarray(x1, real)
    x2 = x1 if x2 is None else np.asarray(x2, real)
    lengths = np.full(len(x1), x1.shape[1]) if lengths is None else np.asarray(lengths)
    if same.any():
        lengths2 = lengths
    lengths2 = np.full(len(x2), x2.shape[1]) if lengths2 is None else np.asarray(lengths2)
    total = np.zeros(same.shape, real)
    for reverse in {"forward": (False,), "reversed": (True,), "both": (False, True)}[direction]:
        one = _reversed(x1, lengths) if reverse else x1
        two = _reversed(x2, lengths2) if reverse else x2
        grid = steps(
            one, two, same, dual=dual, sigma_w=sigma_w, sigma_u=sigma_u, sigma_b=sigma_b, sigma_r=sigma_r,
            sigma_h=sigma_h, depth=depth, h0=h0, train=train, input_scale=input_scale, kind=kind, param=param,
        )  # fmt: skip
        for i, t in enumerate(lengths):
            for j, s in enumerate(lengths2):
                block = grid[i, j, :t, :s]
                total[i, j] += {
                    "last": block[-1, -1],
                    "mean": block.sum() / (t * s),
                    "sum": block.sum(),
                    "steps": np.trace(block),
                }[read]
    return total


def _reversed(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    moved = np.zeros_like(x)
    for i, t in enumerate(lengths):
        moved[i, :t] = x[i, :t][::-1]
    return moved


def steps(
    x1: np.ndarray, x2: np.ndarray, same: np.ndarray, *, dual: Dual, sigma_w: Any, sigma_u: Any, sigma_b: Any,
    sigma_r: float, sigma_h: float, depth: int, h0: str, train: Any, input_scale: str, kind: str, param: str,
) -> np.ndarray:  # fmt: skip
    """The kernel of the outputs of every two steps, (n, m, t, s): recurrent.2 to recurrent.6 as they stand."""
    n, t, d = x1.shape
    m, s, _ = x2.shape
    real = x1.dtype.type
    divisor = d if input_scale == "dim" else 1
    w, u, b = (np.broadcast_to(np.asarray(a, real), (depth,)) ** 2 for a in (sigma_w, sigma_u, sigma_b))
    v, h = real(sigma_r) ** 2, (real(sigma_h) ** 2 if h0 != "zero" else real(0))
    own_w, own_u, own_b, own_v = (w, u, b, v) if param == "ntk" else (w * 0 + 1, u * 0 + 1, b * 0 + 1, real(1))
    letters = (train,) * depth if isinstance(train, str) else tuple(train)
    p = _variances((x1**2).sum(-1) / divisor, dual, w, u, b, h)  # (depth, n, t)
    q = _variances((x2**2).sum(-1) / divisor, dual, w, u, b, h)
    # C[l][t][s], slopes and tangents, with index 0 the initial state
    C = np.zeros((depth, t + 1, s + 1, n, m), real)
    slopes, tangents = np.zeros_like(C), np.zeros_like(C)
    C[:, 0, 0] = h * (same if h0 == "independent" else 1)
    for i in range(1, t + 1):
        for j in range(1, s + 1):
            below, slope_below, tangent_below = (x1[:, None, i - 1] * x2[None, :, j - 1]).sum(-1) / divisor, 0, 0
            for k in range(depth):
                past = C[k, i - 1, j - 1]
                covariance = w[k] * past + u[k] * below + b[k]
                tangents[k, i, j] = (
                    ("W" in letters[k]) * own_w[k] * past
                    + ("U" in letters[k]) * own_u[k] * below
                    + ("b" in letters[k]) * own_b[k]
                    + w[k] * slopes[k, i - 1, j - 1] * tangents[k, i - 1, j - 1]
                    + u[k] * slope_below * tangent_below
                )
                one_variable = same & (i == j)
                C[k, i, j], slopes[k, i, j] = dual(covariance, p[k, :, None, i - 1], q[k, None, :, j - 1], one_variable)
                below, slope_below, tangent_below = C[k, i, j], slopes[k, i, j], tangents[k, i, j]
    values = C[-1, 1:, 1:]
    if kind == "nngp":
        grid = v * values
    else:
        grid = ("R" in letters[-1]) * own_v * values + v * slopes[-1, 1:, 1:] * tangents[-1, 1:, 1:]
    return np.moveaxis(grid, (0, 1), (2, 3))


def _variances(energy: np.ndarray, dual: Dual, w: Any, u: Any, b: Any, h: Any) -> np.ndarray:
    """recurrent.4: (depth, n, t)."""
    n, t = energy.shape
    p = np.zeros((len(w), n, t), energy.dtype)
    before = np.full((len(w), n), h, energy.dtype)
    for i in range(t):
        below = energy[:, i]
        for k in range(len(w)):
            p[k, :, i] = w[k] * before[k] + u[k] * below + b[k]
            below = dual(p[k, :, i], p[k, :, i], p[k, :, i], np.ones(n, bool))[0]
            before[k] = below
    return p


def dense(
    x1: Any, x2: Any = None, *, sigma_w: Any = 1.0, sigma_b: Any = 0.0, sigma_r: float = 1.0,
    train: str | tuple[str, ...] = "WbR", depth: int = 1, **others: Any,
) -> np.ndarray:  # fmt: skip
    """The kernel of a fully connected network: a recurrent one with a single step and no past."""
    x1, x2 = np.asarray(x1)[:, None], (None if x2 is None else np.asarray(x2)[:, None])
    parts = (train,) * depth if isinstance(train, str) else train
    letters = tuple(part.replace("W", "U") for part in parts)
    return recurrent(
        x1, x2, sigma_w=0.0, sigma_u=sigma_w, sigma_b=sigma_b, sigma_r=sigma_r, train=letters, depth=depth, **others
    )


def explicit_ntk(f: Callable[[Any, Any], Any], params: Any, x1: Any, x2: Any = None) -> np.ndarray:
    """The empirical kernel of f(params, x) -> (o,) by the Jacobian of one example after the other, (n, m, o, o).

    Contracted leaf by leaf in NumPy, in float64. Leaves that are no floats are constants. Reverse mode, or forward
    mode where f has no other (`while_loop`).
    """
    leaves, tree = jax.tree.flatten(params)
    floats = [jnp.issubdtype(jnp.result_type(leaf), jnp.floating) for leaf in leaves]

    def of_floats(moving: list[Any], x: Any) -> Any:
        rest = iter(moving)
        return f(tree.unflatten([next(rest) if here else leaf for here, leaf in zip(floats, leaves, strict=True)]), x)

    moving = [leaf for here, leaf in zip(floats, leaves, strict=True) if here]
    modes = iter([jax.jacrev, jax.jacfwd])
    jacobian = jax.jit(next(modes)(of_floats))

    def rows(x: Any) -> list[np.ndarray]:
        """Per leaf, (n, o, size)."""
        nonlocal jacobian
        examples = [jax.tree.map(lambda a, i=i: a[i], x) for i in range(len(jax.tree.leaves(x)[0]))]
        try:
            each = [jacobian(moving, one) for one in examples]
        except ValueError as error:
            if "everse-mode differentiation does not work" not in str(error):
                raise
            jacobian = jax.jit(next(modes)(of_floats))
            each = [jacobian(moving, one) for one in examples]
        together = [np.stack([np.asarray(one, np.float64) for one in leaf]) for leaf in zip(*each, strict=True)]
        return [leaf.reshape(*leaf.shape[:2], -1) for leaf in together]

    left = rows(x1)
    right = left if x2 is None else rows(x2)
    products = [np.einsum("nop,mqp->nmoq", a, b, optimize=True) for a, b in zip(left, right, strict=True)]
    return np.sum(products, axis=0)
