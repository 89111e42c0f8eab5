"""What does kernel ridge regression predict, and how well does it do on points left out?"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntkseq import _checks, _display, _precision
from ntkseq._struct import static, struct
from ntkseq._types import AnyArray, ArrayLike, GramLike
from ntkseq.grams.arrays import symmetric
from ntkseq.spectra.dense import dense_spectrum


@struct
class Ridge:
    """A kernel ridge predictor f(x) = sum_j dual_j K(x, x_j), fitted; with reg = 0 the interpolant of least norm.

    Everything is host float64. The residuals are those of the coefficients as computed, not as meant: with a badly
    conditioned Gram matrix they show what the solution lost.

    Attributes:
        y: the targets, (n,) or (n, k).
        dual: coefficients (K + reg)^-1 y, shape of y.
        residuals: y - K dual, shape of y.
        loo_residuals: y_i minus the prediction at x_i of the predictor fitted without example i, exact:
            dual_i / [(K + reg)^-1]_ii. Shape of y.
        rkhs_norm: sqrt(trace(dual' K dual)), the norm of f in the kernel's function space.
        effective_dimension: trace(K (K + reg)^-1), the degrees of freedom of the fit.
        reg: the ridge, added to the diagonal as it stands (not times n).
        outputs: o, where K is the matrix (n o, n o) of all outputs and y is (n, o); None otherwise.

    Reference: rasmussen2006, section 2.2 (the mean of a Gaussian process) and section 5.4.2 (leave-one-out).
    """

    y: Any
    dual: Any
    residuals: Any
    loo_residuals: Any
    rkhs_norm: Any
    effective_dimension: Any
    reg: Any
    outputs: int | None = static(default=None)

    @property
    def loo_predictions(self) -> Float[np.ndarray, "n ..."]:
        """What each example is predicted to be when it is left out of the fit."""
        return self.y - self.loo_residuals

    @property
    def loo_error(self) -> float:
        """The mean squared leave-one-out residual: an estimate of the squared test error, not a bound."""
        return float(np.mean(np.square(self.loo_residuals)))

    def __call__(self, K_cross: ArrayLike) -> AnyArray:
        """Predict at queries from their kernel values with the training examples.

        Args:
            K_cross: Gram matrix of the queries with the training examples, (n_query, n): `gram(kernel, xq, x)`; of all
                outputs, (n_query o, n o).

        Returns:
            Predictions, (n_query,), (n_query, k) or (n_query, o), host float64; under a JAX trace
            an array of K_cross's dtype.

        Raises:
            ValueError: K_cross does not have one column per training example.
        """
        if self.outputs is None:
            return predict(self.dual, K_cross)
        found = predict(self.dual.reshape(-1), K_cross)
        if found.shape[0] % self.outputs:
            raise ValueError(
                f"K_cross must have {self.outputs} rows per query, one for each output; got {found.shape[0]} rows. "
                "Pass gram(kernel, x_query, x_train) of the kernel between all outputs."
            )
        return found.reshape(-1, self.outputs)

    def __repr__(self) -> str:
        return _display.folded(
            f"Ridge(n={self.dual.shape[0]}, reg={self.reg:.3g}, rkhs_norm={self.rkhs_norm:.4g}, "
            f"effective_dimension={self.effective_dimension:.4g}, loo_error={self.loo_error:.4g})"
        )


def predict(dual: AnyArray, K_cross: ArrayLike) -> AnyArray:
    """Kernel values (n_query, n) times coefficients (n,) or (n, k); see `Ridge.__call__`."""
    n = dual.shape[0]
    if isinstance(K_cross, np.ma.MaskedArray) or not hasattr(K_cross, "shape"):
        K_cross = _checks.numbers("K_cross", K_cross)
    check_cross(tuple(np.shape(K_cross)), n)
    if not _checks.traced((K_cross, dual)):
        # coefficients are large and of both signs when reg is small: the sum needs all of float64
        values = _checks.numbers("K_cross", K_cross)
        _checks.finite("K_cross", values)
        return values @ np.asarray(dual)
    K_cross = jnp.asarray(K_cross)
    return _precision.product("qn,n...->q...", K_cross, jnp.asarray(dual, K_cross.dtype))


def check_cross(shape: tuple[int, ...], n: int) -> None:
    """Raise unless a matrix has a row for each query and a column for each of n training examples."""
    if len(shape) != 2 or shape[1] != n:
        turned = " That looks transposed: pass gram(kernel, x_query, x_train)." if shape[:1] == (n,) else ""
        raise ValueError(f"K_cross must have shape (n_query, {n}), one row per query; got {shape}.{turned}")


def ridge(K: GramLike, y: ArrayLike, *, reg: float) -> Ridge:
    """Fit kernel ridge regression: minimise |y - f|^2 over the examples plus reg times the squared RKHS norm.

        dual = (K + reg I)^-1 y        f(x) = sum_j dual_j K(x, x_j)

    Args:
        K: Gram matrix of the training examples, a Gram or an array, (n, n) and symmetric.
        y: targets, (n,), or (n, k) for k outputs that share the kernel (`one_hot` encodes classes; whole numbers that
            look like codes of classes are fitted as numbers, with a warning: as floats without). Of the matrix
            (n o, n o) of all outputs, `gram(empirical.NTK(..., outputs="full"), x)`: (n, o).
        reg: the ridge, >= 0. 0 asks for the interpolant of least norm.

    Returns:
        Ridge: call it with `gram(kernel, x_query, x)` to predict.

    Raises:
        ValueError: shapes that do not fit; reg = 0 with a Gram matrix whose least eigenvalue cannot be told from
            zero; reg so small that K + reg is not positive in float64.

    Reference: rasmussen2006, section 2.2: the mean of a Gaussian process with noise `reg`.

    Example:
        >>> import numpy as np
        >>> fit = ridge(np.array([[2.0, 1.0], [1.0, 2.0]]), [1.0, -1.0], reg=1.0)
        >>> fit.dual.round(12).tolist()
        [0.5, -0.5]
    """
    held, reg = symmetric(K), _checks.nonnegative("reg", reg)
    matrix = held.matrix
    y, outputs = _targets(y, len(matrix))
    if reg == 0.0:
        least = dense_spectrum(held, vectors=False).min_eigenvalue
        if not least.positive:
            raise ValueError(
                "reg = 0 asks for the interpolant, which needs a positive definite K; its least eigenvalue lies in "
                f"[{float(least.lower):.3g}, {float(least.upper):.3g}] and cannot be told from zero. Pass reg > 0 "
                "(select_reg chooses one), drop duplicate inputs, or compute K in float64."
            )
    factor = factorise(matrix, reg)
    dual = scipy.linalg.cho_solve(factor, y)
    inverse = scipy.linalg.cho_solve(factor, np.eye(len(matrix)))
    fitted = matrix @ dual
    if outputs is None:
        loo = _over(dual, np.diagonal(inverse))
    else:  # an example is left out with all its outputs: the block of the inverse in place of its diagonal
        four = inverse.reshape(-1, outputs, len(y) // outputs, outputs)
        loo = np.linalg.solve(np.einsum("iaib->iab", four), dual.reshape(-1, outputs, 1))[..., 0]
    shape = y.shape if outputs is None else (-1, outputs)
    return Ridge(
        y=y.reshape(shape),
        dual=dual.reshape(shape),
        residuals=(y - fitted).reshape(shape),
        loo_residuals=loo,
        rkhs_norm=float(np.sqrt(max(np.sum(dual * fitted), 0.0))),
        effective_dimension=float(np.sum(matrix * inverse)),
        reg=reg,
        outputs=outputs,
    )


def _targets(y: ArrayLike, n: int) -> tuple[np.ndarray, int | None]:
    """Targets (n,) or (n, k) of a matrix of n rows; or (n / o, o) of one of all outputs, end to end, and o."""
    shape = _checks.shape("y", y)
    if len(shape) == 2 and shape[0] < n and shape[0] * shape[1] == n:
        return _checks.fitted("y", y, shape[0]).reshape(-1), shape[1]
    return _checks.fitted("y", y, n), None


def factorise(matrix: Float[np.ndarray, "n n"], reg: float) -> tuple[np.ndarray, Any]:
    """The Cholesky factor of K + reg, for `scipy.linalg.cho_solve`.

    Raises:
        ValueError: K + reg is not positive definite in float64.
    """
    try:
        return scipy.linalg.cho_factor(matrix + reg * np.eye(len(matrix)), lower=True)
    except np.linalg.LinAlgError:
        raise ValueError(
            f"K + reg is not positive definite in float64 with reg = {reg:.3g}: K has eigenvalues near or below "
            f"-reg. Pass a larger reg (the diagonal of K is about {float(np.mean(np.diagonal(matrix))):.3g}), or check "
            "that K is a kernel matrix."
        ) from None


@dataclasses.dataclass(frozen=True, eq=False)
class Selection:
    """A ridge chosen by leave-one-out.

    Attributes:
        reg: the candidate of least leave-one-out error; of equals, the largest.
        regs: the candidates, as given.
        loo_errors: mean squared leave-one-out residual of each; NaN where K + reg is not positive.

    Reference: rasmussen2006, section 5.4.2 (leave-one-out).
    """

    reg: float
    regs: Float[np.ndarray, " candidates"]
    loo_errors: Float[np.ndarray, " candidates"]

    def __repr__(self) -> str:
        best = float(self.loo_errors[int(np.flatnonzero(self.regs == self.reg)[0])])
        return _display.folded(f"Selection(reg={self.reg:.3g}, loo_error={best:.4g}, from {len(self.regs)} candidates)")


def select_reg(K: GramLike, y: ArrayLike, regs: ArrayLike) -> Selection:
    """Choose the ridge among candidates by the leave-one-out error, all from one eigendecomposition.

        loo_i(reg) = [(K + reg)^-1 y]_i / [(K + reg)^-1]_ii

    A bound that holds for one ridge only must be told how many were tried (`tried=` in `ntkseq.bounds`).

    Args:
        K: Gram matrix of the training examples, (n, n).
        y: targets, (n,) or (n, k); (n, o) of a matrix (n o, n o) of all outputs, whose examples are left out whole.
        regs: candidates, each >= 0. Those that leave K + reg not positive in float64 are passed over.

    Returns:
        Selection: `.reg` and the error of every candidate.

    Raises:
        ValueError: no candidate given, or none that K allows.

    Reference: rasmussen2006, section 5.4.2 (leave-one-out).

    Example:
        >>> import numpy as np
        >>> x = np.linspace(-1.0, 1.0, 20)
        >>> select_reg(np.outer(x, x) + 1.0, np.sign(x), [1e-6, 1e-2, 1e2]).reg
        0.01
    """
    matrix = symmetric(K).matrix
    n = len(matrix)
    y, outputs = _targets(y, n)
    candidates = _checks.each("regs", regs)
    if not len(candidates):
        raise ValueError("regs must hold at least one candidate; got none. Try np.logspace(-6, 2, 9) times K[0, 0].")
    values, vectors = np.linalg.eigh(matrix)
    projected = vectors.T @ y
    rounding = n * float(np.finfo(np.float64).eps) * float(np.abs(values).max())
    errors = np.full(len(candidates), np.nan)
    for j, reg in enumerate(candidates):
        shifted = values + reg
        if shifted[0] <= rounding:
            continue
        dual = vectors @ _over(projected, shifted)
        if outputs is None:
            loo = _over(dual, np.square(vectors) @ (1.0 / shifted))
        else:
            rows = vectors.reshape(-1, outputs, n)
            loo = np.linalg.solve((rows / shifted) @ rows.transpose(0, 2, 1), dual.reshape(-1, outputs, 1))
        errors[j] = np.mean(np.square(loo))
    if np.isnan(errors).all():
        raise ValueError(
            f"regs must hold a candidate above {rounding - values[0]:.2g}, below which K + reg is not positive "
            f"definite in float64; the largest given is {candidates.max():.3g}."
        )
    best = float(candidates[errors == np.nanmin(errors)].max())
    return Selection(reg=best, regs=candidates, loo_errors=errors)


def one_hot(labels: ArrayLike, *, classes: Any = None) -> Float[np.ndarray, "n k"]:
    """Encode class labels as targets for `ridge`: 1 in the column of the class, 0 elsewhere.

    The class of a prediction is `classes[np.argmax(prediction, axis=1)]`.

    Args:
        labels: (n,) class labels, numbers or strings.
        classes: the classes in the order of the columns; by default the sorted labels that occur.

    Returns:
        Targets (n, k), float64.

    Raises:
        ValueError: labels of another shape, or a label that is not among the classes.

    Example:
        >>> one_hot(["b", "a", "b"]).tolist()
        [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    """
    labels = _checks.names("labels", labels)
    if labels.ndim != 1:
        raise ValueError(f"labels must have shape (n,), one class per example; got {labels.shape}.")
    classes = np.unique(labels) if classes is None else _checks.names("classes", classes)
    if classes.ndim != 1:
        raise ValueError(f"classes must be a list of class labels; got {_checks.shown(classes)}.")
    hits = labels[:, None] == classes[None, :]  # (n, k)
    if not (hits.sum(axis=1) == 1).all():
        which = int(np.flatnonzero(hits.sum(axis=1) != 1)[0])
        raise ValueError(
            f"labels must occur once in classes {_checks.shown(classes.tolist())}; got {labels[which].item()!r}."
        )
    return hits.astype(np.float64)


def _over(numbers: np.ndarray, divisors: np.ndarray) -> np.ndarray:
    return numbers / (divisors if numbers.ndim == 1 else divisors[:, None])
