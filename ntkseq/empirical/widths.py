"""How fast do kernels of finite width come near their limit, and is the limit right for a network?"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np

from ntkseq import _checks, _display, _notices
from ntkseq._struct import static, struct
from ntkseq._types import ArrayLike, Integer, Key, Number, PyTree
from ntkseq.empirical import draws
from ntkseq.empirical.verdicts import Verdict, fit, judge, told_heavy


@struct
class Convergence:
    """How far the kernels of networks of finite width are from a limit, width by width.

    `deviation` is the root of the mean over draws of |K - limit|^2 / |limit|^2 (Frobenius norm), `error` its standard
    error; `bias` is |mean of K - limit| / |limit|, which for a true limit falls faster until sampling, `bias_noise`,
    hides it. `slope` is that of log deviation against log width, -1/2 for the networks of the theory.

    Attributes:
        sizes: (widths, draws), the size <K, limit> / |limit|^2 of the kernel of each draw, 1 in the limit.
        distances: (widths, draws), |K - limit| / |limit| of each draw.
        widths, count: the widths, and how many draws there are of each.
        slope_error: standard error of `slope`.

    Reference: (finite_width.4), (finite_width.5).
    """

    widths: tuple[int, ...] = static()
    deviation: np.ndarray
    error: np.ndarray
    bias: np.ndarray
    bias_noise: np.ndarray
    slope: float
    slope_error: float
    count: int = static()
    sizes: np.ndarray
    distances: np.ndarray

    __repr__ = _display.printed

    @property
    def heavy(self) -> np.ndarray:
        """(widths,) whether a few draws make the average: the sizes spread by more than their mean."""
        return self.sizes.std(axis=1, ddof=1) > np.abs(self.sizes.mean(axis=1))

    def verdict(self, error: Number = 0.1, width: Integer | None = None) -> Verdict:
        """Is the limit right, within `error`, for a network of that width; and which width would be enough?

        Args:
            error: the wanted |K - limit| / |limit| of one network.
            width: one of `widths`, by default the largest.

        Raises:
            ValueError: an error that is not positive, a width at which nothing was drawn.

        Example:
            >>> import jax, jax.numpy as jnp
            >>> from ntkseq.empirical import convergence
            >>> def make(width, key):
            ...     features = lambda x: jnp.cos(x @ jax.random.normal(key, (1, width)))
            ...     return lambda x: features(x) @ features(x).T / width
            >>> keys = jax.random.split(jax.random.key(0), 16)
            >>> limit = jnp.full((2, 2), (1 + jnp.exp(-2.0)) / 2)
            >>> told = convergence(make, (16, 64, 256), keys, jnp.ones((2, 1)), limit).verdict(error=0.2)
            >>> told.answer, told["heavy"].any().item()
            ('yes', False)
            >>> bool(told.needed_low < 9.3 < told.needed_high)  # the deviation is sqrt(0.374 / width)
            True
        """
        return judge(self, error, width)

    def __str__(self) -> str:
        lines = [f"deviation from the limit over {self.count} draws of each width, relative in Frobenius norm"]
        for row in zip(self.widths, self.deviation, self.error, self.bias, self.bias_noise, strict=True):
            lines.append("width {:6d}: {:.3g} +- {:.1g}, of the mean {:.2g} (sampling alone {:.2g})".format(*row))
        lines.append(f"deviation ~ width^({self.slope:.3f} +- {self.slope_error:.3f})")
        if self.heavy.any():
            lines.append(f"{told_heavy(self)}: see verdict()")
        return "\n".join(lines)


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

    Whether infinite width is right for a network is answered by `Convergence.verdict`. Where averages have heavy tails
    (`Convergence.heavy`; recurrences at the norm-keeping scale, finite_width.4) this warns: compare medians there.

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
    draws.check_draws("(width, key) -> a kernel", make, x, x2)
    widths = tuple(_checks.positive_int("each of widths", one) for one in _checks.listed("widths", widths, "widths"))
    if len(set(widths)) != len(widths) or len(widths) < 2:
        raise ValueError(f"widths must be two or more different widths; got {widths}.")
    keys = draws.random_keys(keys)
    exact = _checks.real("limit", limit)
    size = float(np.linalg.norm(exact))
    if size == 0.0:
        raise ValueError("limit must not vanish: deviations are relative to it.")
    squares, sizes = np.zeros((2, len(widths), len(keys)))
    bias, noise = np.zeros(len(widths)), np.zeros(len(widths))
    for i, width in enumerate(widths):
        running = None
        for j, key in enumerate(keys):
            with warnings.catch_warnings():  # whether tails are heavy is seen here
                warnings.simplefilter("ignore", _notices.HeavyTails)
                values = draws.matrix(make, (width, jax.random.fold_in(key, width)), j, x, x2)
            if values.shape != exact.shape:
                raise ValueError(f"limit must have the shape of the kernel, {values.shape}; got {exact.shape}.")
            squares[i, j] = (np.linalg.norm(values - exact) / size) ** 2
            sizes[i, j] = np.vdot(values, exact) / size**2
            running = draws.add(running, values)
        assert running is not None
        bias[i] = np.linalg.norm(running[1] - exact) / size
        noise[i] = np.sqrt(running[2].sum() / (len(keys) - 1) / len(keys)) / size
    if (squares.mean(axis=1) == 0.0).any():
        raise ValueError("the kernels equal the limit at every draw: there is no deviation to fit a slope to.")
    line = fit(widths, squares)
    deviation = np.sqrt(squares.mean(axis=1))
    error = deviation * np.sqrt(line.own)
    rest = (line.slope, line.slope_error, len(keys), sizes, np.sqrt(squares))
    result = Convergence(widths, deviation, error, bias, noise, *rest)
    if result.heavy.any():
        _notices.warn(f"{told_heavy(result)}. Compare medians: convergence(...).verdict().", _notices.HeavyTails)
    return result
