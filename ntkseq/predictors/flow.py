"""What does a network in the kernel regime predict after some time of training, and when should it stop?"""

from __future__ import annotations

import dataclasses
import math
import warnings

import numpy as np
from jaxtyping import Float

from ntkseq import _checks, _display
from ntkseq._filters import Clock
from ntkseq._types import AnyArray, ArrayLike, GramLike, Number
from ntkseq.grams.arrays import Symmetric, at_hand, products, symmetric
from ntkseq.grams.base import Gram
from ntkseq.predictors.kernel_ridge import predict
from ntkseq.predictors.krylov_flow import apply
from ntkseq.spectra.dense import dense_spectrum

DENSE = 4096
"""Rows of a held Gram up to which `gradient_flow` takes its eigenvectors unasked."""


@dataclasses.dataclass(frozen=True, eq=False)
class GradientFlow:
    """A network in the kernel regime, trained on |f - y|^2 / 2 for some time: f = f0 + K(., x) dual.

    Attributes:
        y: the targets, (n,) or (n, k).
        dual: coefficients phi(K) (y - f0), shape of y.
        fitted: the outputs at the training examples, shape of y.
        error: upper estimate of |dual - exact| over all columns: of the method, and of the Gram's own rounding.
        time: t, or lr times steps.
        method: how it was computed, and why.
        converged: whether the method reached its tolerance; if not, `error` says how far it got.

    Reference: jacot2018.
    """

    y: Float[np.ndarray, "n ..."]
    dual: Float[np.ndarray, "n ..."]
    fitted: Float[np.ndarray, "n ..."]
    error: float
    time: float
    method: str
    converged: bool = True

    @property
    def residuals(self) -> Float[np.ndarray, "n ..."]:
        """y - fitted."""
        return self.y - self.fitted

    @property
    def loss(self) -> float:
        """The mean squared residual."""
        return float(np.mean(np.square(self.residuals)))

    def __call__(self, K_cross: ArrayLike, f0: float | AnyArray = 0.0) -> AnyArray:
        """Predict at queries from their kernel values with the training examples, `gram(kernel, xq, x)`, (n_query, n).

        Args:
            K_cross: kernel values (n_query, n).
            f0: outputs of the network at the queries before training; 0 if they were.
        """
        return predict(self.dual, K_cross) + f0

    def __repr__(self) -> str:
        return _display.folded(
            f"GradientFlow(n={len(self.y)}, time={self.time:.4g}, loss={self.loss:.4g}, error={self.error:.1e})"
        )


def gradient_flow(
    K: GramLike,
    y: ArrayLike,
    *,
    time: float | None = None,
    steps: int | None = None,
    lr: float | None = None,
    f0: ArrayLike | None = None,
    method: str = "auto",
    tol: float = 1e-8,
    max_iterations: int = 200,
) -> GradientFlow:
    """Train the kernel machine by gradient flow for a time, or by steps of gradient descent, from its closed form.

    Of the loss |f - y|^2 / 2, a sum over examples:

        flow:     f' = -K (f - y),               f(x) = f0(x) + K(x, X) phi(K) (y - f0),  phi(s) = (1 - exp(-s t)) / s
        descent:  f_{j+1} = f_j - lr K (f_j - y),                                    phi(s) = (1 - (1 - lr s)^steps) / s

    Args:
        K: Gram matrix of the training examples: held, lazy or an Operator, or an array (n, n).
        y: targets (n,) or (n, k).
        time: of the flow, > 0; inf for the interpolant.
        steps, lr: of gradient descent instead.
        f0: outputs before training, shape of y; None: 0.
        method: "dense" (eigenvectors), "matrix-free" (products), or "auto": dense up to n = 4096 if the Gram is held.
        tol: matrix-free: error of the coefficients, relative.
        max_iterations: matrix-free: products at most; too few end in a warning and `converged` False.

    Raises:
        ValueError: neither or both of time and steps; a rate at which descent diverges; shapes that do not fit;
            time=inf where the least eigenvalue cannot be told from zero; K clearly indefinite.

    Reference: jacot2018 (the flow); arora2019finegrained (its speed along eigenvectors).

    Example:
        >>> import numpy as np
        >>> gradient_flow(np.diag([2.0, 1.0]), [1.0, 1.0], time=1.0).fitted.round(4).tolist()
        [0.8647, 0.6321]
    """
    clock = _clock(time, steps, lr)
    tol, max_iterations = _checks.nonnegative("tol", tol), _checks.positive_int("max_iterations", max_iterations)
    _checks.choice("method", method, ("auto", "dense", "matrix-free"))
    held = at_hand(K)
    known = symmetric(K) if not isinstance(K, Gram) or held else K
    n = known.shape[0]
    y = _checks.fitted("y", y, n)
    start = np.zeros_like(y) if f0 is None else _checks.targets("f0", f0, n)
    if start.shape != y.shape:
        raise ValueError(f"f0 must have the shape of y, {y.shape}; got {start.shape}.")
    rest = (y - start).reshape(n, -1)
    if method == "dense" or (method == "auto" and held and n <= DENSE):
        return _dense(known, y, start, rest, clock)
    if not math.isfinite(clock.time):
        raise ValueError(
            'time = inf needs method="dense"; from products alone take ridge(K, y, reg=...), or a finite time.'
        )
    gram = products(known)
    found = apply(gram, rest, clock, tol=tol, most=max_iterations)
    if not found.converged:
        warnings.warn(
            f"gradient_flow did not converge in {found.products} products; error {found.error:.2g}. "
            "Raise max_iterations= or tol=.",
            RuntimeWarning,
            stacklevel=2,
        )
    fitted = start + gram.times(found.dual).reshape(y.shape)
    error = found.error + _rounded(gram.rounding, clock, found.dual)
    text = f"matrix-free, {found.products} products (n = {n}{'' if held else ', not held'})"
    return GradientFlow(y, found.dual.reshape(y.shape), fitted, error, clock.time, text, found.converged)


def _dense(K: GramLike | Symmetric, y: np.ndarray, start: np.ndarray, rest: np.ndarray, clock: Clock) -> GradientFlow:
    eigen = dense_spectrum(K)
    assert eigen.vectors is not None
    if not eigen.semidefinite:
        raise ValueError(
            f"K must be positive semi-definite; its least eigenvalue is {eigen.min_eigenvalue}. Training would diverge."
        )
    if clock.lr is not None and eigen.max_eigenvalue.lower * clock.lr >= 2.0:
        raise ValueError(
            f"gradient descent diverges at lr = {clock.lr:.3g}: lr lambda_max must be below 2, and lambda_max is "
            f"{eigen.max_eigenvalue}. Take lr < {2 / eigen.values[0]:.3g}."
        )
    if not math.isfinite(clock.time) and not eigen.min_eigenvalue.positive:
        raise ValueError(
            f"time = inf asks for the interpolant, and the least eigenvalue cannot be told from zero: "
            f"{eigen.min_eigenvalue}. Take a finite time, or ridge(K, y, reg=...)."
        )
    filtered = clock.phi(eigen.values)[:, None] * (eigen.vectors.T @ rest)
    dual = eigen.vectors @ filtered
    fitted = start + (eigen.vectors @ (eigen.values[:, None] * filtered)).reshape(y.shape)
    worst = float(eigen.errors.max())
    if math.isfinite(clock.time):
        error = _rounded(worst, clock, dual)
    else:  # |K^-1 - exact| |r| <= worst / lower |a|
        error = worst / eigen.min_eigenvalue.lower * float(np.linalg.norm(dual))
    return GradientFlow(y, dual.reshape(y.shape), fitted, error, clock.time, f"dense, all eigenvectors (n = {len(y)})")


def _rounded(rounding: float, clock: Clock, dual: np.ndarray) -> float:
    """What the Gram's own rounding moves: |a - exact| <= rounding t |a| e^(rounding t), for a' = r - K a."""
    moved = float(rounding) * clock.time
    return (moved * math.exp(min(moved, 700.0)) + 64.0 * float(np.finfo(float).eps)) * float(np.linalg.norm(dual))


def _clock(time: Number | None, steps: Number | None, lr: Number | None) -> Clock:
    if (time is None) == (steps is None) or (steps is None) != (lr is None):
        raise ValueError(
            "give time= (gradient flow), or steps= and lr= (gradient descent); "
            f"got time={_checks.shown(time)}, steps={_checks.shown(steps)}, lr={_checks.shown(lr)}."
        )
    if time is not None:
        if not (isinstance(time, (float, int)) and time == math.inf):
            _checks.nonnegative("time", time, positive=True)
        return Clock(float(time))
    steps, lr = _checks.positive_int("steps", steps), _checks.nonnegative("lr", lr, positive=True)
    return Clock(lr * steps, steps, lr)


@dataclasses.dataclass(frozen=True, eq=False)
class Stopping:
    """The time of least validation error.

    Attributes:
        time: the first candidate of least error.
        times: the candidates, as given.
        errors: mean squared error at the validation examples, per candidate.
        train_errors: at the training examples.

    Reference: jacot2018 (the flow).
    """

    time: float
    times: Float[np.ndarray, " candidates"]
    errors: Float[np.ndarray, " candidates"]
    train_errors: Float[np.ndarray, " candidates"]

    def __repr__(self) -> str:
        return f"Stopping(time={self.time:.4g}, error={self.errors.min():.4g}, from {len(self.times)} candidates)"


def early_stopping(
    K: GramLike, y: ArrayLike, K_validation: GramLike, y_validation: ArrayLike, times: ArrayLike
) -> Stopping:
    """The time of gradient flow after which the error at validation examples is least, from one eigendecomposition.

    A bound that holds for one time only must be told how many were tried (`tried=` in `ntkseq.bounds`).

    Args:
        K: Gram matrix of the training examples, (n, n).
        y: targets, (n,) or (n, k).
        K_validation: kernel values of the validation examples with the training ones, (m, n).
        y_validation: their targets, (m,) or (m, k).
        times: candidates, > 0.

    Raises:
        ValueError: shapes that do not fit, no candidate, K indefinite.

    Reference: jacot2018 (the flow).

    Example:
        >>> import jax.numpy as jnp
        >>> K, K_validation = jnp.eye(4) + 1.0, jnp.ones((2, 4))
        >>> early_stopping(K, jnp.ones(4), K_validation, jnp.array([0.5, 0.5]), times=[0.1, 1.0, 10.0]).time
        0.1
    """
    eigen = dense_spectrum(K)
    assert eigen.vectors is not None
    n = eigen.n
    y = _checks.fitted("y", y, n)
    cross = _checks.numbers("K_validation", K_validation)
    if cross.ndim != 2 or cross.shape[1] != n:
        raise ValueError(f"K_validation must have shape (m, {n}), one row per validation example; got {cross.shape}.")
    _checks.finite("K_validation", cross)
    target = _checks.targets("y_validation", y_validation, cross.shape[0])
    if target.shape[1:] != y.shape[1:]:
        raise ValueError(f"y_validation must have as many outputs as y; got {target.shape} and {y.shape}.")
    if not eigen.semidefinite:
        raise ValueError(f"K must be positive semi-definite; its least eigenvalue is {eigen.min_eigenvalue}.")
    candidates = _checks.each("times", times, positive=True)
    if not candidates.size:
        raise ValueError("times must hold at least one candidate; got none.")
    turned, seen = eigen.vectors.T @ y.reshape(n, -1), cross @ eigen.vectors
    errors, train = np.empty(candidates.size), np.empty(candidates.size)
    for i, time in enumerate(candidates):
        filtered = Clock(float(time)).phi(eigen.values)[:, None] * turned
        errors[i] = np.mean((seen @ filtered - target.reshape(len(target), -1)) ** 2)
        train[i] = np.mean((eigen.values[:, None] * filtered - turned) ** 2)
    return Stopping(float(candidates[int(np.argmin(errors))]), candidates, errors, train)
