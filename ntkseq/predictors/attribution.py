"""Which training examples made a network put out what it does? TRAK, by the tangent kernel or a sketch of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float, Int

from ntkseq import _checks, _display, _statistics
from ntkseq._types import AnyFunction, PyTree, Trainable
from ntkseq.empirical import products
from ntkseq.empirical.function import Function
from ntkseq.empirical.methods.base import Method
from ntkseq.empirical.methods.short import as_method
from ntkseq.empirical.methods.sketch import Sketch
from ntkseq.empirical.ntk import NTK
from ntkseq.grams import gram
from ntkseq.grams.arrays import symmetric
from ntkseq.predictors.scalars import Margin, Scalar, Single

LOSSES = {"cross-entropy": Margin, "squared": Single}
MEASURES = ("output", "loss")
_EPS = float(np.finfo(np.float64).eps)


@dataclasses.dataclass(frozen=True, eq=False)
class Attribution:
    """What each of n training examples added to each of m test examples. Made by `trak`.

    Attributes:
        scores: (m, n); what including example i adds to the margin, the prediction or the loss at test example j, to
            first order. The sum over a group of examples is the score of the group.
        sampling_error: how far the scores of a sketch may be from those without, root mean square: its spread and its
            bias, by the jackknife over groups of directions. (m, n); None where nothing was sampled.
        rounding: how far the rounding of the kernel may have moved each score, an estimate, (m, n); inf where the
            damping is lost in it. None for a sketch, whose rounding was not looked at.
        model_error: standard error of the scores for what other models of the same law would have given, by the
            jackknife over models, (m, n); None for one model.
        models: their number.
        damping: what was added to the kernel, in units of the mean of its diagonal.

    Reference: park2023trak.
    """

    scores: Float[np.ndarray, "m n"]
    sampling_error: Float[np.ndarray, "m n"] | None
    rounding: Float[np.ndarray, "m n"] | None
    model_error: Float[np.ndarray, "m n"] | None
    models: int
    damping: float

    def top(self, count: int = 10) -> Int[np.ndarray, "m count"]:
        """The training examples of the largest scores of each test example, by index, the largest first.

        Args:
            count: how many, at most all.

        Raises:
            ValueError: more than there are.
        """
        count = _checks.integer("count", count, 1, self.scores.shape[1])
        return np.argsort(-self.scores, axis=1, kind="stable")[:, :count]

    def __repr__(self) -> str:
        m, n = self.scores.shape
        size = float(np.sqrt(np.mean(np.square(self.scores))))
        errors = {"sampling": self.sampling_error, "rounding": self.rounding, "models": self.model_error}
        shown = ", ".join(f"{k} {np.sqrt(np.mean(np.square(e))):.1e}" for k, e in errors.items() if e is not None)
        return _display.folded(
            f"Attribution({n} examples on {m}, {self.models} models, scores {size:.2e}, errors: {shown})"
        )


def trak(
    f: AnyFunction,
    params: Sequence[PyTree],
    train: tuple[PyTree, Any],
    test: tuple[PyTree, Any],
    *,
    loss: str = "cross-entropy",
    measure: str = "output",
    method: str | Method = "auto",
    damping: float = 1.0,
    groups: int = 8,
    trainable: Trainable = None,
) -> Attribution:
    """TRAK: the influence of training examples on the outputs of networks, by their tangent kernel.

        scores_ji = mean over models of [k(x_j, X) (K + damping mean(diag K))^-1]_i  times  mean over models of q_i

    K is the kernel of the scalar s that the loss is of, with q = -d loss/d s at the training examples: for
    "cross-entropy" the margin s = log p/(1 - p) of the probability of the label, q = 1 - p; for "squared" s = f,
    q = y - f. This is TRAK with the gradients themselves, in the space of examples instead of parameters: with an exact
    method no projection is made, and no gradient per example is held. With `empirical.Sketch(key, directions)` the
    gradients are projected to that many directions, another set for each model, as in the paper.

    Nothing here is a bound: scores are first-order estimates of what leaving out does to training. How good they are
    is measured by `datamodeling_score`. Several models make them better than one.

    Args:
        f: f(params, x) -> (o,) of one example, logits for "cross-entropy".
        params: a list of parameters, one per trained model; [params] for one.
        train: (x, y): n training examples, an array or a pytree with leading axis n, and their labels: whole numbers
            0..o-1, or -1 and +1 for one logit; for "squared" targets (n,), of an f with one output.
        test: (x, y): m test examples and their labels, in the same form.
        loss: "cross-entropy" or "squared"; what the models were trained with.
        measure: "output", scores of the margin or prediction; "loss", of the loss at the test example, where a
            negative score is an example that lowers it.
        method: of `empirical.NTK`, an object or a short name; `empirical.Sketch` for an estimate.
        damping: what is added to the diagonal of K, in units of its mean, > 0. Measured on digits 1 did best; the
            order of the scores changes slowly with it.
        groups: of the directions of a sketch, left out one after the other for its error; 2 or more, a divisor of
            the number of directions.
        trainable: which leaves of params count, as in `empirical.NTK`.

    Raises:
        ValueError: labels or examples that do not fit f, no model, damping of 0, directions that groups do not divide.

    Reference: park2023trak, section 3; the kernel form is (attribution.6).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import predictors
        >>> f = lambda W, x: W @ x
        >>> x, y = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.2]]), jnp.array([0, 1, 0])
        >>> found = predictors.trak(f, [jnp.zeros((2, 2))], (x, y), (x[:1], y[:1]))
        >>> found.top(2).tolist(), found.scores.shape
        ([[0, 2]], (1, 3))
    """
    _checks.choice("loss", loss, tuple(LOSSES))
    _checks.choice("measure", measure, MEASURES)
    damping = _checks.nonnegative("damping", damping, positive=True)
    models = _checks.listed("params", params, "parameters, one per model; [params] for one")
    if not models:
        raise ValueError("params must hold the parameters of at least one model; got none.")
    method = as_method(method)
    groups = _checks.integer("groups", groups, 2)
    if isinstance(method, Sketch) and method.directions % groups:
        raise ValueError(
            f"groups must divide the {method.directions} directions of the sketch; got {groups}. Pass "
            f"directions={-(-method.directions // groups) * groups}."
        )
    scalar = LOSSES[loss](_checks.function("f", f, "(params, x)"))
    learned, asked = scalar.examples("train", train), scalar.examples("test", test)
    sides = Sides(scalar, learned, asked, measure)
    found: list[Part] = []
    deleted: Any = None
    for i, one in enumerate(models):
        kernel = NTK(scalar, one, method=_own(method, i), trainable=trainable)
        for name, (x, y) in (("train", learned), ("test", asked)):
            kernel.function.inputs((x, y), name=name)
            scalar.check(name, one, x, y)
        if isinstance(method, Sketch):
            part, less = _sketched(kernel, sides, damping, groups)
            deleted = less / len(models) if deleted is None else deleted + less / len(models)
        else:
            part = _exact(kernel, sides, damping)
        found.append(part)
    return _joined(found, deleted, damping)


class Sides(NamedTuple):
    """What the loss is of, and the examples with labels that were learned and that are asked for."""

    scalar: Scalar
    train: tuple[PyTree, np.ndarray]
    test: tuple[PyTree, np.ndarray]
    measure: str


class Part(NamedTuple):
    """What one model says.

    Attributes:
        weights: k(x_j, X) (K + damping)^-1, times the slope of what is measured at x_j, (m, n).
        slopes: -d loss / d s at the training examples, (n,).
        rounding: how far each weight may be off, (m, n); None for a sketch.
    """

    weights: np.ndarray
    slopes: np.ndarray
    rounding: np.ndarray | None = None


def _exact(kernel: NTK, sides: Sides, damping: float) -> Part:
    """By the kernel itself: (attribution.6), its rounding by (attribution.7)."""
    slopes, factors = _slopes(kernel, sides)
    held = symmetric(gram(kernel, sides.train))
    cross = gram(kernel, sides.test, sides.train)
    n = len(held.matrix)
    reg = damping * _mean(float(np.trace(held.matrix)), n)
    inverse = _inverse(held.matrix + reg * np.eye(n), damping)
    weights = np.asarray(cross, np.float64) @ inverse
    moved = (1.0 + damping) * held.rounding + 8.0 * n * _EPS * (float(np.linalg.norm(held.matrix, 2)) + reg)
    off = float(cross.rounding) + moved * np.linalg.norm(weights, axis=1)
    rounding = np.full_like(weights, np.inf)
    if moved < reg:
        rounding = off[:, None] * np.linalg.norm(inverse, axis=0) / (1.0 - moved / reg)
    return Part(weights * factors[:, None], slopes, rounding * np.abs(factors)[:, None])


def _sketched(kernel: NTK, sides: Sides, damping: float, groups: int) -> tuple[Part, np.ndarray]:
    """By random features, in the smaller space of examples and directions; and without each group, (groups, m, n)."""
    slopes, factors = _slopes(kernel, sides)
    rows, queries = (np.asarray(kernel.prepare(side)[:, :, 0], np.float64) for side in (sides.train, sides.test))
    n, directions = rows.shape
    size = directions // groups
    own = [np.arange(g * size, (g + 1) * size) for g in range(groups)]
    if directions <= n:
        products = rows.T @ rows

        def weights(rest: np.ndarray) -> np.ndarray:
            some = products[np.ix_(rest, rest)]
            damped = some + damping * _mean(float(np.trace(some)), n) * np.eye(len(rest))
            return queries[:, rest] @ (_inverse(damped, damping) @ rows[:, rest].T)
    else:
        products, cross = rows @ rows.T, queries @ rows.T

        def weights(rest: np.ndarray) -> np.ndarray:
            out = np.setdiff1d(np.arange(directions), rest)
            some = products - rows[:, out] @ rows[:, out].T
            damped = some + damping * _mean(float(np.trace(some)), n) * np.eye(n)
            return (cross - queries[:, out] @ rows[:, out].T) @ _inverse(damped, damping)

    every = np.arange(directions)
    deleted = np.stack([weights(np.setdiff1d(every, group)) for group in own])
    return Part(weights(every) * factors[:, None], slopes), deleted * factors[:, None]


def _joined(parts: list[Part], deleted: np.ndarray | None, damping: float) -> Attribution:
    """The mean over models of the weights times that of the slopes (attribution.8), with its errors.

    deleted: the mean over models of the weights without each group of directions.
    """
    count = len(parts)
    weights, slopes = np.mean([part.weights for part in parts], axis=0), np.mean([p.slopes for p in parts], axis=0)
    scores = weights * slopes
    sampling = spread = None
    if deleted is not None:
        variance, bias = _statistics.jackknife(scores, deleted * slopes)
        sampling = np.sqrt(variance + bias**2)  # (attribution.9)
    off = [part.rounding for part in parts if part.rounding is not None]
    rounding = np.abs(slopes) * np.mean(off, axis=0) if off else None
    if count > 1:
        others = np.stack(
            [(count * weights - p.weights) * (count * slopes - p.slopes) / (count - 1) ** 2 for p in parts]
        )
        spread = np.sqrt(_statistics.jackknife(scores, others)[0])
    return Attribution(scores, sampling, rounding, spread, count, damping)


def _slopes(kernel: NTK, sides: Sides) -> tuple[np.ndarray, np.ndarray]:
    """-d loss / d s at the training examples, and the slope in s of what is measured at the test examples."""
    found = []
    for name, (x, y) in (("train", sides.train), ("test", sides.test)):
        s = np.asarray(_values(kernel.function, kernel.function.inputs((x, y))), np.float64)[:, 0]
        if not np.isfinite(s).all():
            raise ValueError(
                f"f must be finite at {name}; got {int(np.sum(~np.isfinite(s)))} examples where it is not."
            )
        found.append(sides.scalar.slope(s, y))
    return found[0], -found[1] if sides.measure == "loss" else np.ones(len(found[1]))


@jax.jit
def _values(function: Function, x: PyTree) -> Array:
    n = jax.tree.leaves(x)[0].shape[0]
    return products.join(jax.lax.map(function.values, products.split(x, products.BATCH)), n)


def _mean(trace: float, n: int) -> float:
    """The mean of the diagonal, in whose units the damping is."""
    if not trace > 0:
        raise ValueError("f must depend on the trained parameters at train; all its gradients are zero.")
    return trace / n


def _inverse(damped: np.ndarray, damping: float) -> np.ndarray:
    try:
        factor = scipy.linalg.cho_factor(damped, lower=True)
    except np.linalg.LinAlgError:
        raise ValueError(f"damping must be above the rounding of the kernel; got {damping:.3g}. Pass more.") from None
    return scipy.linalg.cho_solve(factor, np.eye(len(damped)))


def _own(method: Method, i: int) -> Method:
    """The method for the i-th model: a sketch has directions of its own."""
    if not isinstance(method, Sketch):
        return method
    return dataclasses.replace(method, key=jax.random.fold_in(method.key, i))
