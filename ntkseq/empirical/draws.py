"""How much does the kernel depend on the draw of the parameters, and how fast does that fall with the width?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _checks
from ntkseq._struct import static, struct
from ntkseq._types import AnyFunction, ArrayLike, Key, PyTree

PRIOR = 4
"""Degrees of freedom with which the variances of all widths together count in that of one width."""


@struct
class Average:
    """Mean and spread of kernel matrices over independent draws, host arrays in float64 of the kernel's shape.

    `spread` is the standard deviation of one draw (count - 1 in the denominator), `standard_error` that of the mean,
    spread / sqrt(count).
    """

    mean: np.ndarray
    spread: np.ndarray
    count: int = static()

    @property
    def standard_error(self) -> np.ndarray:
        """The standard error of each entry of the mean."""
        return self.spread / np.sqrt(self.count)

    def __str__(self) -> str:
        size = float(np.linalg.norm(self.mean)) or 1.0
        return (
            f"mean of {self.count} kernels {self.mean.shape}; relative to it, in Frobenius norm: "
            f"spread {np.linalg.norm(self.spread) / size:.2g}, standard error "
            f"{np.linalg.norm(self.standard_error) / size:.2g}"
        )


@struct
class Convergence:
    """How far the kernels of networks of finite width are from a limit, width by width.

    `deviation` is the root of the mean over draws of |K - limit|^2 / |limit|^2 (Frobenius norm), `error` its standard
    error; `bias` is |mean of K - limit| / |limit|, which for a true limit falls faster until sampling, `bias_noise`,
    hides it. `slope` is that of log deviation against log width, -1/2 for the networks of the theory.
    """

    widths: tuple[int, ...] = static()
    deviation: np.ndarray
    error: np.ndarray
    bias: np.ndarray
    bias_noise: np.ndarray
    slope: float
    slope_error: float
    count: int = static()

    def __str__(self) -> str:
        lines = [f"deviation from the limit over {self.count} draws of each width, relative in Frobenius norm"]
        for row in zip(self.widths, self.deviation, self.error, self.bias, self.bias_noise, strict=True):
            lines.append("width {:6d}: {:.3g} +- {:.1g}, of the mean {:.2g} (sampling alone {:.2g})".format(*row))
        lines.append(f"deviation ~ width^({self.slope:.3f} +- {self.slope_error:.3f})")
        return "\n".join(lines)


def average(make: Callable[[Any], Any], keys: Key | int | Iterable[Any], x: PyTree, x2: PyTree = None) -> Average:
    """Mean and spread of the kernels of several draws of the parameters.

    One kernel is held at a time, beside two matrices of running sums in float64. A kernel whose parameters are leaves
    of its pytree, as `empirical.NTK`, compiles once for all draws.

    Args:
        make: make(key) -> a kernel, or any function of inputs: `kernel(x)` is taken, or `kernel(x, x2)`.
        keys: random keys, two at least: `jax.random.split(key, count)`, or a list.
        x: inputs of the kernel.
        x2: other inputs, for a matrix between the two.

    Raises:
        ValueError: fewer than two keys, a `make` that returns no kernel, kernels of several shapes or not finite.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq.empirical import average
        >>> def make(key):  # the kernel of x -> relu(w x) in w
        ...     w = jax.random.normal(key, (64, 3))
        ...     slope = lambda x: (x @ w.T > 0).astype(x.dtype)
        ...     return lambda x: (x @ x.T) * (slope(x) @ slope(x).T) / 64
        >>> found = average(make, jax.random.split(jax.random.key(0), 32), jnp.eye(3))
        >>> found.count, found.mean.shape
        (32, (3, 3))
        >>> bool(abs(found.mean[0, 0] - 0.5) < 4 * found.standard_error[0, 0])
        True
    """
    _check_draws("(key) -> a kernel", make, x, x2)
    running = None
    for index, key in enumerate(_keys(keys)):
        running = _add(running, _values(make, (key,), index, x, x2))
    assert running is not None
    count, mean, squares = running
    return Average(mean, np.sqrt(squares / (count - 1)), count)


def convergence(
    make: Callable[[Any, Any], Any],
    widths: Sequence[int],
    keys: Key | int | Iterable[Any],
    x: PyTree,
    limit: ArrayLike,
    x2: PyTree = None,
) -> Convergence:
    """The deviation of kernels of finite width from a limit, and the power of the width with which it falls.

    log deviation = a + slope log width by least squares, weighted with the inverse variances of log deviation. These
    come from the scatter of |K - limit|^2 over the draws, each width's own taken together with the mean over widths,
    which counts as 4 more draws: the widths' own variances from few draws would favour those that happen to be small,
    and understate the error 2.3-fold for 3 draws, 1.4-fold for 5. `slope_error` is that of the weighted fit, enlarged
    by sqrt(chi^2 / (widths - 2)) where the points lie off the line by more than their errors.

    Args:
        make: make(width, key) -> a kernel, as in `average`. The key of a draw is folded with the width, so that
            networks of two widths are independent.
        widths: two different widths at least.
        keys: random keys, two at least.
        x: inputs of the kernel.
        limit: the matrix that the kernels tend to, an array or a Gram, such as that of the infinite kernel at x.
        x2: other inputs, for a matrix between the two.

    Raises:
        ValueError: as `average`; widths or a limit that do not fit; a kernel that equals the limit at every draw.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq.empirical import convergence
        >>> def make(width, key):  # a mean over `width` coordinates, as of a last layer
        ...     features = lambda x: jnp.cos(x @ jax.random.normal(key, (1, width)))
        ...     return lambda x: features(x) @ features(x).T / width
        >>> found = convergence(
        ...     make,
        ...     (16, 64, 256),
        ...     jax.random.split(jax.random.key(0), 16),
        ...     jnp.ones((2, 1)),
        ...     jnp.full((2, 2), (1 + jnp.exp(-2.0)) / 2),
        ... )
        >>> bool(abs(found.slope + 0.5) < 3 * found.slope_error)
        True
    """
    _check_draws("(width, key) -> a kernel", make, x, x2)
    widths = tuple(_checks.positive_int("each of widths", one) for one in _checks.listed("widths", widths, "widths"))
    if len(set(widths)) != len(widths) or len(widths) < 2:
        raise ValueError(f"widths must be two or more different widths; got {widths}.")
    keys = _keys(keys)
    exact = _checks.real("limit", limit)
    size = float(np.linalg.norm(exact))
    if size == 0.0:
        raise ValueError("limit must not vanish: deviations are relative to it.")
    squares = np.zeros((len(widths), len(keys)))
    bias, noise = np.zeros(len(widths)), np.zeros(len(widths))
    for i, width in enumerate(widths):
        running = None
        for j, key in enumerate(keys):
            values = _values(make, (width, jax.random.fold_in(key, width)), j, x, x2)
            if values.shape != exact.shape:
                raise ValueError(f"limit must have the shape of the kernel, {values.shape}; got {exact.shape}.")
            squares[i, j] = (np.linalg.norm(values - exact) / size) ** 2
            running = _add(running, values)
        assert running is not None
        bias[i] = np.linalg.norm(running[1] - exact) / size
        noise[i] = np.sqrt(running[2].sum() / (len(keys) - 1) / len(keys)) / size
    mean = squares.mean(axis=1)
    if (mean == 0.0).any():
        raise ValueError("the kernels equal the limit at every draw: there is no deviation to fit a slope to.")
    own = squares.var(axis=1, ddof=1) / len(keys) / mean**2 / 4  # of log deviation = log(mean) / 2
    draws = len(keys) - 1
    slope, slope_error = _slope(widths, np.log(mean) / 2, (draws * own + PRIOR * own.mean()) / (draws + PRIOR))
    deviation = np.sqrt(mean)
    return Convergence(widths, deviation, deviation * np.sqrt(own), bias, noise, slope, slope_error, len(keys))


def _slope(widths: tuple[int, ...], y: np.ndarray, variances: np.ndarray) -> tuple[float, float]:
    """The slope of y against log width by weighted least squares, and its standard error."""
    x = np.log(np.asarray(widths, np.float64))
    # draws that do not differ: every width counts the same, and only the misfit says more
    weights = np.ones_like(y) if (variances == 0.0).all() else 1 / variances
    x = x - weights @ x / weights.sum()
    y = y - weights @ y / weights.sum()
    size = weights @ x**2
    slope = float(weights @ (x * y) / size)
    freedom = len(widths) - 2
    misfit = float(weights @ (y - slope * x) ** 2) / freedom if freedom else 0.0
    floor = 0.0 if (variances == 0.0).all() else 1.0
    return slope, float(np.sqrt(max(floor, misfit) / size))


def _keys(keys: Key | int | Iterable[Any]) -> list[Any]:
    """Random keys one by one, two of them at least."""
    try:
        found = [_checks.prng_key(f"keys[{i}]", key) for i, key in enumerate(_each(keys))]
    except TypeError:
        raise ValueError(
            f"keys must be random keys; got {type(keys).__name__}. Pass jax.random.split(key, 8)."
        ) from None
    if len(found) < 2:
        raise ValueError(f"keys must be two or more random keys; got {len(found)}. Pass jax.random.split(key, 8).")
    return found


def _each(keys: Any) -> Iterable[Any]:
    if isinstance(keys, jax.Array) and jnp.issubdtype(keys.dtype, jax.dtypes.prng_key) and keys.ndim == 0:
        return [keys]
    return list(keys)


def _check_draws(takes: str, make: AnyFunction, x: PyTree, x2: PyTree) -> None:
    _checks.function("make", make, takes)
    for name, given in (("x", x), ("x2", x2)):
        _checks.outside(name, given, "")


def _values(make: Callable[..., Any], arguments: tuple[Any, ...], index: int, x: PyTree, x2: PyTree) -> np.ndarray:
    """The kernel matrix of one draw, in float64 on the host."""
    kernel = make(*arguments)
    if not callable(kernel):
        raise ValueError(
            f"make must return a kernel, a function of inputs; got {type(kernel).__name__}. "
            "E.g. lambda key: empirical.NTK(net.apply, net.init(key, x[0]))."
        )
    values = np.asarray(kernel(x) if x2 is None else kernel(x, x2)).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"the kernel of draw {index} is not finite. Look at its parameters, or leave its key out.")
    return values


def _add(running: tuple[int, np.ndarray, np.ndarray] | None, values: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """Count, mean and sum of squared deviations with one more matrix (Welford)."""
    if running is None:
        return 1, values, np.zeros_like(values)
    count, mean, squares = running
    if values.shape != mean.shape:
        raise ValueError(f"the kernels of all draws must have one shape; got {mean.shape} and {values.shape}.")
    step = values - mean
    mean = mean + step / (count + 1)
    return count + 1, mean, squares + step * (values - mean)
