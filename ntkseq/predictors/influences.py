"""What does a training example, or a group of them, do to the predictions of a kernel ridge regression? Exactly."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntkseq import _checks, _display
from ntkseq._types import ArrayLike, GramLike
from ntkseq.grams.arrays import as_gram, symmetric
from ntkseq.predictors.kernel_ridge import check_cross, factorise
from ntkseq.predictors.posterior import why_estimated

_EPS = float(np.finfo(np.float64).eps)


@dataclasses.dataclass(frozen=True, eq=False)
class Influence:
    """What each training example, or group of them, adds to each prediction. Made by `influence`.

    Attributes:
        values: f(x_j) minus what is predicted there without group i, (m, g) or (m, g, k), in the units of the targets.
        errors: how far rounding may have moved each, of the shape of values; inf where K + reg may be singular.
        predictions: f(x_j), (m,) or (m, k).
        groups: the examples that are left out together, g tuples of indices.
        reg: the ridge.
        estimated: why the errors are estimates, as where the rounding of a Gram was measured; empty if they are bounds.

    Reference: rasmussen2006, section 5.4.2 (one example left out).
    """

    values: Float[np.ndarray, "m g ..."]
    errors: Float[np.ndarray, "m g ..."]
    predictions: Float[np.ndarray, "m ..."]
    groups: tuple[tuple[int, ...], ...]
    reg: float
    estimated: str = ""

    @property
    def left_out(self) -> Float[np.ndarray, "m g ..."]:
        """What is predicted at x_j by the fit without group i."""
        return self.predictions[:, None] - self.values

    def loss(self, y: ArrayLike) -> Float[np.ndarray, "m g"]:
        """How much the squared loss at x_j grows if group i is left out: positive where the group helps.

            |y_j - f_without_i(x_j)|^2 - |y_j - f(x_j)|^2                                    summed over the k outputs

        Args:
            y: the targets at the m queries, of the shape of `predictions`.

        Raises:
            ValueError: y of another shape.
        """
        y = _checks.targets("y", y, len(self.predictions))
        if y.shape != self.predictions.shape:
            raise ValueError(f"y must have the shape of the predictions, {self.predictions.shape}; got {y.shape}.")
        grown = self.values * (2.0 * (y - self.predictions)[:, None] + self.values)
        return grown if y.ndim == 1 else grown.sum(axis=-1)

    def __repr__(self) -> str:
        m, g = self.values.shape[:2]
        largest = float(np.max(np.abs(self.values), initial=0.0))
        return _display.folded(f"Influence({g} groups on {m} predictions, largest {largest:.3g}, reg={self.reg:.3g})")


def influence(
    K: GramLike, y: ArrayLike, K_cross: ArrayLike | None = None, *, reg: float, groups: Any = None
) -> Influence:
    """The influence of training examples on the predictions of kernel ridge regression: exact leave-one-out.

        influence_ji = f(x_j) - f_without_i(x_j) = beta_ji dual_i / B_ii
        B = (K + reg)^-1,    beta = K_cross B,    dual = B y

    and for a group S in place of i, beta_jS (B_SS)^-1 dual_S: what fits without i, or S, would predict, from one factor
    of K + reg. The ridge stays as it is when examples leave.

    Args:
        K: Gram matrix of the n training examples, a Gram or an array, (n, n) and symmetric.
        y: targets, (n,), or (n, k) for k outputs that share the kernel.
        K_cross: kernel values of m queries with the training examples, (m, n): `gram(kernel, xq, x)`. None: the
            training examples themselves.
        reg: the ridge, > 0, added to the diagonal as it stands (not times n).
        groups: lists of indices of examples that are left out together; None: each example by itself.

    Returns:
        Influence: `.values` (m, n) or (m, groups), and the outputs of y behind.

    Raises:
        ValueError: shapes that do not fit, reg = 0, a group that is empty, has an example twice or all of them.

    Reference: rasmussen2006, section 5.4.2 (leave-one-out); koh2017influence, to first order.

    Example:
        >>> import numpy as np
        >>> from ntkseq import predictors
        >>> K = np.array([[2.0, 1.0], [1.0, 2.0]])
        >>> found = predictors.influence(K, [1.0, -1.0], reg=1.0)
        >>> found.values.round(12).tolist()  # without example 1 the prediction at x_0 is 2/3 instead of 1/2
        [[0.833333333333, -0.166666666667], [0.166666666667, -0.833333333333]]
    """
    held, reg = symmetric(K), _checks.nonnegative("reg", reg, positive=True)
    matrix = held.matrix
    n = len(matrix)
    y = _checks.fitted("y", y, n)
    cross, crossed = _cross(K_cross, matrix, held.rounding)
    parts = _groups(groups, n)
    factor = factorise(matrix, reg)
    inverse = scipy.linalg.cho_solve(factor, np.eye(n))
    columns = y.reshape(n, -1)
    dual = inverse @ columns
    beta = cross @ inverse  # (m, n)
    values = np.empty((len(cross), len(parts), columns.shape[1]))
    sizes = np.empty((2, len(cross), len(parts))), np.empty((len(parts), columns.shape[1]))
    for i, part in enumerate(parts):
        block, own = inverse[:, part], inverse[np.ix_(part, part)]
        solved = np.linalg.solve(own, dual[part])
        values[:, i] = beta[:, part] @ solved  # (attribution.2)
        sizes[0][0, :, i] = np.linalg.norm(block @ np.linalg.solve(own, beta[:, part].T), axis=0)
        sizes[1][i] = np.linalg.norm(block @ solved, axis=0)
    sizes[0][1] = np.linalg.norm(beta, axis=1)[:, None]
    scale = float(np.linalg.norm(matrix, 2)) + reg
    low = float(np.linalg.eigvalsh(matrix)[0]) + reg
    moved = held.rounding + 8.0 * n * _EPS * scale
    errors = _errors(sizes, np.linalg.norm(dual, axis=0), moved, crossed + 4.0 * n * _EPS * _rows(cross), low)
    shape = (len(cross), len(parts), *y.shape[1:])
    estimated = why_estimated(held.gram) or (why_estimated(as_gram(K_cross, "K_cross")) if K_cross is not None else "")
    return Influence(
        values=values.reshape(shape),
        errors=errors.reshape(shape),
        predictions=(cross @ dual).reshape(len(cross), *y.shape[1:]),
        groups=tuple(tuple(part.tolist()) for part in parts),
        reg=reg,
        estimated=estimated,
    )


def _errors(sizes: Any, dual: np.ndarray, moved: float, crossed: np.ndarray, low: float) -> np.ndarray:
    """Both predictions may move by (|d k| + |E| |beta|) |dual| / (1 - |E| / low): (attribution.3).

    Of the fit without the group, |beta| and |dual| are at most those of the whole fit and of what the group took.

    Args:
        sizes: |what the group adds to beta_j| and |beta_j|, (2, m, g); |what it adds to the dual|, (g, k).
        dual: |dual| of each output, (k,).
        moved: how far K + reg may be off in spectral norm.
        crossed: how far each row of K_cross may be off, (m,).
        low: the least eigenvalue of K + reg.
    """
    if not moved < low:
        return np.full((*sizes[0].shape[1:], len(dual)), np.inf)
    (taken, beta), away = sizes
    with_all = (crossed[:, None] + moved * beta)[:, :, None] * dual
    without = (crossed[:, None] + moved * (beta + taken))[:, :, None] * (dual + away)
    return (with_all + without) / (1.0 - moved / low)


def _rows(cross: np.ndarray) -> np.ndarray:
    return np.linalg.norm(cross, axis=1)


def _cross(K_cross: Any, matrix: np.ndarray, rounding: float) -> tuple[np.ndarray, np.ndarray]:
    """K_cross on the host, and how far each of its rows may be off."""
    if K_cross is None:
        return matrix, np.full(len(matrix), rounding)
    if not hasattr(K_cross, "shape"):
        K_cross = _checks.numbers("K_cross", K_cross)
    gram = as_gram(K_cross, "K_cross")
    shape = tuple(gram.shape)
    check_cross(shape, len(matrix))
    if not shape[0]:
        raise ValueError(f"K_cross must have a row for each query, one at least; got shape {shape}.")
    cross = _checks.numbers("K_cross", gram)
    _checks.finite("K_cross", cross)
    return cross, np.full(len(cross), float(gram.rounding))


def _groups(groups: Any, n: int) -> list[np.ndarray]:
    """Each group as an array of different indices, with an example left beside it."""
    if n < 2:
        raise ValueError(f"K must be of two examples or more, so that one can be left out; got {n}.")
    if groups is None:
        return [np.array([i]) for i in range(n)]
    if isinstance(groups, np.ndarray) and groups.ndim == 2:
        groups = list(groups)
    parts = []
    for i, given in enumerate(_checks.listed("groups", groups, "lists of indices of examples")):
        name = f"groups[{i}]"
        part = _checks.host(name, given)
        if part.ndim != 1 or part.dtype.kind not in "iu" or not part.size:
            raise ValueError(f"{name} must be a list of indices of examples, at least one; got {_checks.shown(given)}.")
        part = part.astype(np.int64)
        if part.min() < 0 or part.max() >= n or len(np.unique(part)) < len(part) or len(part) == n:
            raise ValueError(
                f"{name} must hold different indices in 0..{n - 1}, and leave an example; got {_checks.shown(given)}."
            )
        parts.append(part)
    if not parts:
        raise ValueError("groups must hold at least one group; got none. Pass None for each example by itself.")
    return parts
