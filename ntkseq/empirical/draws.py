"""How much does the kernel depend on the draw of the parameters?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _checks, _display
from ntkseq._struct import static, struct
from ntkseq._types import AnyFunction, Key, PyTree


@struct
class Average:
    """Mean and spread of kernel matrices over independent draws, host arrays in float64 of the kernel's shape.

    `spread` is the standard deviation of one draw (count - 1 in the denominator), `standard_error` that of the mean,
    spread / sqrt(count).

    Attributes:
        mean, spread: arrays of the shape of the kernel, (n, m) or (n, m, o, o).
        count: draws.
    """

    mean: np.ndarray
    spread: np.ndarray
    count: int = static()

    __repr__ = _display.printed

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
    check_draws("(key) -> a kernel", make, x, x2)
    running = None
    for index, key in enumerate(random_keys(keys)):
        running = add(running, matrix(make, (key,), index, x, x2))
    assert running is not None
    count, mean, squares = running
    return Average(mean, np.sqrt(squares / (count - 1)), count)


def random_keys(keys: Key | int | Iterable[Any]) -> list[Any]:
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


def check_draws(takes: str, make: AnyFunction, x: PyTree, x2: PyTree) -> None:
    """Raise if `make` is no function or the inputs are traced."""
    _checks.function("make", make, takes)
    for name, given in (("x", x), ("x2", x2)):
        _checks.outside(name, given, "")


def matrix(make: Callable[..., Any], arguments: tuple[Any, ...], index: int, x: PyTree, x2: PyTree) -> np.ndarray:
    """The kernel matrix of one draw, in float64 on the host."""
    kernel = make(*arguments)
    if not callable(kernel):
        raise ValueError(
            f"make must return a kernel, a function of inputs; got {type(kernel).__name__}. "
            f"E.g. lambda {'width, ' if len(arguments) > 1 else ''}key: empirical.NTK(f, params), f and params as "
            "net.apply and net.init(key, x[0]), or flax.function(model) gives both."
        )
    values = np.asarray(kernel(x) if x2 is None else kernel(x, x2)).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"the kernel of draw {index} is not finite. Look at its parameters, or leave its key out.")
    return values


def add(running: tuple[int, np.ndarray, np.ndarray] | None, values: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """Count, mean and sum of squared deviations with one more matrix (Welford)."""
    if running is None:
        return 1, values, np.zeros_like(values)
    count, mean, squares = running
    if values.shape != mean.shape:
        raise ValueError(f"the kernels of all draws must have one shape; got {mean.shape} and {values.shape}.")
    step = values - mean
    mean = mean + step / (count + 1)
    return count + 1, mean, squares + step * (values - mean)
