"""What do Tu, He and Tao say of a trained relu network of recurrence? Their form, recalled, with a term that stays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks
from ntkseq._bound import Assumption, Bound, Constants, Term, total
from ntkseq._types import ArrayLike
from ntkseq.bounds.assumptions import beforehand, independent


def tu_he_tao2020(
    U: ArrayLike,
    W: ArrayLike,
    V: ArrayLike,
    x: ArrayLike,
    y: ArrayLike,
    *,
    gamma: float = 1.0,
    delta: float = 0.05,
) -> Bound[TuHeTaoConstants]:
    """Evaluate the bound of Tu, He and Tao for a trained recurrent relu network, as recalled.

        P(error) <= share of margins below gamma + (4 k/gamma) (r |X|_F sqrt(1/lambda)/(2n) + b_V b_U S |X'|_1/n)
                    + 3 sqrt(log(2/delta)/(2n))

    for h_t = relu(U x_t + W h_{t-1}), f = V h_T, k classes; X holds the n sequences, lambda is the least eigenvalue of
    their mean x x', r the Fisher-Rao norm sqrt(mean <w, grad f_y>^2), b the largest sum of |entries| of a column, and
    S = 1 + b_W + .. + b_W^(T-1). |X'|_1/n is the largest mean |entry|: that term does not shrink with n.

    Args:
        U: input weights (width, d).
        W: recurrent weights (width, width).
        V: read-out weights (k, width), k >= 2.
        x: training sequences, (n, t, d).
        y: their classes, integers 0 to k - 1, (n,).
        gamma: the margin.
        delta: the probability that the bound fails.

    Returns:
        Bound, an estimate; NaN with the reason where the mean of x x' is singular, as it is for n below t d.

    Raises:
        ValueError: shapes that do not fit; classes that are none.

    Reference: tu2020rnn; risk_bounds.19.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).standard_normal((50, 2, 2), np.float32)
        >>> bound = tu_he_tao2020(np.eye(2), 0.1 * np.eye(2), np.eye(2), x, np.arange(50) % 2)
        >>> bound.certified, bound.vacuous
        (False, True)
    """
    gamma, delta = _checks.nonnegative("gamma", gamma, positive=True), _checks.probability("delta", delta)
    weights = _weights(U, W, V)
    _checks.outside("x", x, "")
    sequences = np.asarray(_checks.sequences("x", x)[0], np.float64)
    (n, t, d), k = sequences.shape, len(weights[2])
    if d != weights[0].shape[1]:
        raise ValueError(f"x must have the features of U, {weights[0].shape[1]}; got {d}.")
    classes = _checks.labels("y", y, n)
    if not np.isin(classes, np.arange(k)).all():
        raise ValueError(f"y must hold classes, integers 0 to {k - 1}; got {_checks.shown(y)}.")
    rows = classes.astype(int)
    answers, slopes = _answers(weights, sequences)
    own = answers[np.arange(n), rows]
    rest = np.where(np.arange(k) == rows[:, None], -np.inf, answers).max(axis=1)
    training = float(np.mean(own - rest < gamma))
    fisher_rao = float(np.sqrt(np.mean(slopes[np.arange(n), rows] ** 2)))
    flat = sequences.reshape(n, t * d)
    least = float(np.linalg.eigvalsh(flat.T @ flat / n)[0])
    singular = not least > t * d * float(np.finfo(np.float64).eps) * float(np.sum(flat**2)) / n
    b_U, b_W, b_V = (float(np.abs(one).sum(axis=0).max()) for one in weights)
    S = float(np.sum(b_W ** np.arange(t)))
    entry = float(np.abs(flat).mean(axis=0).max())
    slope = 4 * k / gamma
    first = math.nan if singular else slope * fisher_rao * float(np.linalg.norm(flat)) / (2 * n * math.sqrt(least))
    parts = (
        ("training loss", "share of margins below gamma", training, ""),
        ("Fisher-Rao norm", "(4k/gamma) r |X|_F sqrt(1/lambda)/(2n)", first, f"r = {fisher_rao:.4g}"),
        ("1-norms of the weights", "(4k/gamma) b_V b_U S |X'|_1/n", slope * b_V * b_U * S * entry,
         "does not shrink with n"),
        ("confidence", "3 sqrt(log(2/delta)/(2n))", 3 * math.sqrt((math.log(2) - math.log(delta)) / (2 * n)), ""),
    )  # fmt: skip
    terms = tuple(Term(*one[:3], explicit=True, provenance="recalled", note=one[3]) for one in parts)
    return Bound(
        name="Tu, He and Tao 2020, trained recurrent network",
        quantity="P(arg max f(x) != y)",
        value=total(terms),
        terms=terms,
        assumptions=(
            independent(),
            beforehand("architecture, gamma, delta", 1),
            Assumption("norms", "r, b_U, b_W and b_V are limits that were fixed beforehand", "fails", "read off here"),
            Assumption("covariance", "the mean of x x' is positive definite, lambda that of the law",
                       "fails" if singular else "unchecked", f"least eigenvalue {least:.3g} on these data"),
        ),
        delta=delta,
        applies_to="this network with these weights",
        references=("tu2020rnn",),
        constants=TuHeTaoConstants(n, t, k, fisher_rao, least, b_U, b_W, b_V, entry, gamma),
        reason="the mean of x x' is singular: the theorem asks for more sequences than t d" if singular else "",
    )  # fmt: skip


@dataclass(frozen=True)
class TuHeTaoConstants(Constants):
    """Numbers of the bound for a recurrent network.

    Attributes:
        n, t, k: examples, steps, classes.
        fisher_rao: r.
        least: the least eigenvalue of the mean of x x'.
        b_U, b_W, b_V: matrix 1-norms.
        entry: the largest mean |entry| of x.
        gamma: as given.
    """

    n: int
    t: int
    k: int
    fisher_rao: float
    least: float
    b_U: float
    b_W: float
    b_V: float
    entry: float
    gamma: float


def _weights(U: ArrayLike, W: ArrayLike, V: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    held = []
    for name, one in (("U", U), ("W", W), ("V", V)):
        array = _checks.numbers(name, one)
        if array.ndim != 2 or 0 in array.shape:
            raise ValueError(f"{name} must be a matrix; got shape {array.shape}.")
        _checks.finite(name, array)
        held.append(array)
    width = held[0].shape[0]
    if held[1].shape != (width, width):
        raise ValueError(f"W must have shape ({width}, {width}), the rows of U twice; got {held[1].shape}.")
    if held[2].shape[1] != width or held[2].shape[0] < 2:
        raise ValueError(f"V must have shape (k, {width}), k >= 2 classes; got {held[2].shape}.")
    return held[0], held[1], held[2]


def _answers(
    weights: tuple[np.ndarray, np.ndarray, np.ndarray], x: Float[np.ndarray, "n t d"]
) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """f and <weights, grad f> of every sequence."""

    def f(held: tuple[Array, ...]) -> Array:
        U, W, V = held

        def step(h: Array, x_t: Array) -> tuple[Array, None]:
            return jax.nn.relu(x_t @ U.T + h @ W.T), None

        h, _ = jax.lax.scan(step, jnp.zeros((x.shape[0], U.shape[0]), U.dtype), jnp.asarray(x.swapaxes(0, 1), U.dtype))
        return h @ V.T

    held = tuple(jnp.asarray(one) for one in weights)
    answers, slopes = jax.jvp(f, (held,), (held,))
    return np.asarray(answers, np.float64), np.asarray(slopes, np.float64)
