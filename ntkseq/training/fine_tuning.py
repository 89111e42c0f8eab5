"""Is fine-tuning in the kernel regime? A test of the linearised network and a test of the features, with intervals."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _display, _ratios
from ntkseq._precision import eps
from ntkseq._types import AnyArray, AnyFunction, Lengths, PyTree, Trainable
from ntkseq.empirical import products
from ntkseq.empirical.function import Function, selected
from ntkseq.empirical.ntk import NTK
from ntkseq.empirical.polynomials import Taylor
from ntkseq.spectra.interval import Interval
from ntkseq.training import losses

MEASURES = ("logits", "loss", "accuracy")


@dataclasses.dataclass(frozen=True)
class RegimeTest:
    """One of the tests of the kernel regime.

    Attributes:
        value: what is tested, with its interval.
        threshold: what the interval has to lie above ("linearisation") or below ("features").
        verdict: "holds" where it does, "fails" where it lies on the other side, else "undecided".
        reason: why it is undecided; "" if it is not.
        name: "linearisation" or "features".

    Reference: malladi2023kernel.
    """

    name: str
    value: Interval
    threshold: float
    verdict: str
    reason: str = ""

    __repr__ = _display.record

    def __str__(self) -> str:
        said = {
            "linearisation": f"recovers {self.value} of the change, wanted {self.threshold:g} or more",
            "features": f"the kernel changes by {self.value} of its size, allowed {self.threshold:g}",
        }[self.name]
        return f"{self.name} {self.verdict}: {said}" + (f" ({self.reason})" if self.reason else "")


@dataclasses.dataclass(frozen=True)
class KernelPart:
    """The part of the tangent kernel that some leaves make.

    Attributes:
        start, end: its share of the trace of the kernel before and after fine-tuning; over all parts they sum to 1.
        change: |K_1 - K_0| / |K_0| of this part, with its interval.

    Reference: tomihari2024probing (head and backbone).
    """

    start: float
    end: float
    change: Interval

    __repr__ = _display.record


@dataclasses.dataclass(frozen=True, eq=False)
class KernelRegime:
    """Whether fine-tuning was in the kernel regime. Made by `kernel_regime`, which says what is tested.

    Attributes:
        verdict: "kernel", "not kernel" or "undecided".
        linearisation, features: the tests.
        recovered: by measure, "logits", "loss" and "accuracy", the share that the linearised network recovers.
        changes: of the kernel, for each of `along` and in the end.
        floor: the change of the kernel that rounding alone may show.
        split: by "head" and "backbone", what they have of the kernel; empty if it was not asked for.
        n: test examples; those of the kernel may be fewer.
        level: probability with which the intervals of both tests hold at once.

    Reference: malladi2023kernel.
    """

    verdict: str
    linearisation: RegimeTest
    features: RegimeTest
    recovered: Mapping[str, Interval]
    changes: tuple[Interval, ...]
    floor: float
    split: Mapping[str, KernelPart]
    n: int
    level: float

    def __repr__(self) -> str:
        return _display.folded(f"KernelRegime {self}")

    def __str__(self) -> str:
        return f"{self.verdict}: {self.linearisation}; {self.features} ({self.n} examples, level {self.level:g})"


def kernel_regime(
    f: AnyFunction,
    params: PyTree,
    tuned: PyTree,
    linear: PyTree,
    test: tuple[PyTree, Any],
    *,
    loss: Any = "cross_entropy",
    measure: str = "logits",
    share: float = 0.9,
    change: float = 0.5,
    level: float = 0.95,
    along: Sequence[PyTree] = (),
    head: str | None = None,
    examples: int = 256,
    outputs: str | int = "mean",
    trainable: Trainable = None,
    lengths: Lengths = None,
) -> KernelRegime:
    """Test whether a fine-tuned network did what its tangent kernel at the start says: a verdict from intervals.

        recovered = 1 - E|f_tuned - f_linear|^2 / E|f_tuned - f_start|^2                   "logits"
        recovered = E[score_linear - score_start] / E[score_tuned - score_start]           "loss", "accuracy"
        changed^2 = E|K_tuned(x, x') - K_start(x, x')|^2 / E|K_start(x, x')|^2             x, x' independent

    Linearisation holds where the interval of what is recovered lies above `share`; the features are fixed where that
    of the change lies below `change`, now and all along. "kernel": both hold. "not kernel": one of them fails. Else
    "undecided", as where fine-tuning changed nothing that these examples show. All shares are of the law of the test
    examples, which are to be independent of each other and of training.

    How sure this is: the intervals of "accuracy" hold for every number of examples; the others are Student's, widened
    for skewness by Hall's transformation, hold as n grows and were checked by simulation; below 10 examples, or 10
    pairs of them for the kernel, there are none. A measured rounding of kernels is added. Both tests share 1 - level.

    Args:
        f: f(params, x) -> (o,) of one example.
        params, tuned: parameters before and after fine-tuning.
        linear: parameters of `empirical.linearize(f, params, trainable=)`, fine-tuned by the same optimiser from params
            on the same batches. With `tuned` itself it is tested whether the outputs are linear between the two.
        test: (x, y), n test examples and their targets, in the form of `loss`.
        loss: "cross_entropy", "logistic", "squared", or a function loss(prediction, y), which has no accuracy.
        measure: which of the shares is tested: "logits", the strictest; "loss"; "accuracy", the one of the paper, which
            asks for the most examples.
        share, change: thresholds. No theorem sets them: a kernel that moves by half of its size in a straight line
            leaves some 6 % of the change unexplained (finetuning.16).
        along: parameters between both at which the features are looked at as well.
        head: a regular expression of the paths of the head's leaves: the kernel is split in head and backbone.
        examples: the first ones, of which kernels are made.
        outputs, trainable: of the kernel, see `empirical.NTK`.
        lengths: of the sequences, (n,).
        level: how sure both tests together are, in (0, 1).

    Raises:
        ValueError: parameters that differ in form, targets that do not fit the loss, an accuracy of a loss of your own.

    Reference: malladi2023kernel, section 3; chizat2019lazy. The intervals are (finetuning.11) to (finetuning.15).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import empirical, training
        >>> f = lambda W, x: W @ x  # linear: nothing but a kernel
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> y, start, tuned = (x[:, 0] > 0).astype(int), jnp.zeros((2, 3)), jnp.array([[-1.0, 0, 0], [1, 0, 0]])
        >>> training.kernel_regime(f, start, tuned, tuned, (x, y)).verdict
        'kernel'
    """
    _checks.choice("measure", measure, MEASURES)
    if measure == "accuracy" and callable(loss):
        raise ValueError('measure "accuracy" needs a loss by name; got a function, which does not say what is wrong.')
    if not callable(loss):
        _checks.choice("loss", loss, losses.NAMES)
    share, change = _checks.number("share", share), _checks.nonnegative("change", change, positive=True)
    level, count = _checks.probability("level", level), _checks.positive_int("examples", examples)
    pair = _checks.listed("test", test, "a pair (x, y)")
    if len(pair) != 2:
        raise ValueError(f"test must be a pair (x, y); got {len(pair)} parts.")
    kernel = NTK(f, params, outputs=outputs, trainable=trainable)
    whole = NTK(f, params, trainable=trainable).function  # all outputs, whichever the kernel is of
    x = whole.inputs(pair[0], lengths, "x of test")
    n = jax.tree.leaves(x)[0].shape[0]
    path = [*_checks.listed("along", along, "parameters"), tuned]
    for one in path:
        whole.at(one, "tuned" if one is tuned else "along")
    each = 0.5 + 0.5 * level  # Bonferroni: both tests at once
    recovered = _recovered(whole, tuned, linear, x, pair[1], loss, each)
    first = _tested("linearisation", recovered[measure], share, n)
    few = jax.tree.map(lambda leaf: leaf[:count], x)
    before = _Measured(kernel, few, head)
    after = [_Measured(kernel.with_(params=one), few, head) for one in path]
    changes = tuple(_change(before, one, 1.0 - (1.0 - each) / len(path)) for one in after)
    worst = max(changes, key=lambda one: one.upper)
    fails = [one for one in changes if one.lower > change]
    second = _tested("features", fails[0] if fails else worst, change, min(n, count))
    split = {} if head is None else _split(before, after[-1], each)
    verdict = "undecided"
    if "fails" in (first.verdict, second.verdict):
        verdict = "not kernel"
    elif first.verdict == second.verdict == "holds":
        verdict = "kernel"
    floor = max((before.error + one.error) / before.size if before.size else float("inf") for one in after)
    return KernelRegime(verdict, first, second, recovered, changes, floor, split, n, level)


def _tested(name: str, value: Interval, threshold: float, n: int) -> RegimeTest:
    above, below = ("holds", "fails") if name == "linearisation" else ("fails", "holds")
    if value.lower >= threshold:
        return RegimeTest(name, value, threshold, above)
    if value.upper < threshold:
        return RegimeTest(name, value, threshold, below)
    why = "the interval holds the threshold; more test examples"
    least = _ratios.LEAST * (2 if name == "features" else 1)  # pairs
    if n < least:
        why = f"{n} examples; {least} at least"
    elif not value.finite:
        why = "fine-tuning changed too little on these examples to tell what is recovered of it"
    return RegimeTest(name, value, threshold, "undecided", why)


def _recovered(
    function: Function, tuned: PyTree, linear: PyTree, x: PyTree, y: Any, loss: Any, level: float
) -> dict[str, Interval]:
    """The share that the linearised network recovers, by every measure."""
    there = function.at(tuned, "tuned")
    begin, end = (np.asarray(_values(one, x), np.float64) for one in (function, there))
    line = np.asarray(_linear(function, function.at(linear, "linear").weights, x), np.float64)
    for name, values in (("start", begin), ("tuned", end), ("linear", line)):
        if not np.isfinite(values).all():
            raise ValueError(f"f must be finite at the test examples; at {name} it is not.")
    n, o = begin.shape
    target = losses.targets(loss, y, n, o, function.weights[0].dtype)
    holds = _ratios.skewed(level)
    moved, missed = np.sum((end - begin) ** 2, axis=1), np.sum((end - line) ** 2, axis=1)
    rounded = 16.0 * max(eps(weight.dtype) for weight in function.weights) * np.linalg.norm(end, axis=1)
    if np.sum(moved) <= np.sum(rounded**2):  # nothing that these examples show
        moved, missed = np.zeros(n), np.zeros(n)
    found = {"logits": Interval(*_reordered(_ratios.ratio(moved - missed, moved, holds)))}
    for name, score in (("loss", losses.get(loss)), ("accuracy", partial(losses.wrong, loss))):
        if name == "accuracy" and callable(loss):
            continue
        at = [np.asarray(_scores(score, values, target), np.float64) for values in (begin, end, line)]
        if name == "accuracy":
            holds = _ratios.bounded(level, 1.0 + np.abs(_ratios.SHARES))
        found[name] = Interval(*_reordered(_ratios.ratio(at[0] - at[2], at[0] - at[1], holds)))
    return found


def _reordered(found: tuple[float, float, float]) -> tuple[float, float, float]:
    """(estimate, lower, upper) as lower, estimate, upper."""
    return found[1], found[0], found[2]


def _scores(score: Any, values: np.ndarray, target: Array) -> Array:
    with jax.numpy_dtype_promotion("standard"):
        return jax.vmap(score)(jnp.asarray(values, jnp.result_type(float)), target)


class _Measured:
    """The kernel of some examples with themselves, and how far rounding moved it, over pairs of different ones."""

    def __init__(self, kernel: NTK, x: tuple[Any, ...], head: str | None) -> None:
        lengths = x[1] if len(x) == 2 else None
        side = kernel.prepare(x[0], lengths)
        self.K = np.asarray(kernel.square_side(side), np.float64)
        if not np.isfinite(self.K).all():
            raise ValueError("the kernel must be finite at the test examples; it is not at start, tuned or along.")
        self.parts: dict[str, np.ndarray] = {}
        if head is not None:
            self.parts = _parts(
                {k: np.asarray(v, np.float64) for k, v in kernel.by_leaf(x[0], lengths=lengths).items()}, head
            )
        own = np.einsum("iiaa->ia" if self.K.ndim == 4 else "ii...->i...", self.K).reshape(len(self.K), -1)
        self.trace = float(own.sum())
        root = np.sqrt(np.maximum(own, 0.0)).sum(axis=1)
        # |computed - exact| of an entry <= e sqrt(K_ii K_jj): root mean squares over the pairs
        sizes = [float(np.sqrt(np.mean(_apart(A)))) if len(A) > 1 else 0.0 for A in (self.K, root[:, None] * root)]
        self.size, self.error = sizes[0], float(kernel.entry_rounding(side)) * sizes[1]


def _parts(leaves: dict[str, np.ndarray], head: str) -> dict[str, np.ndarray]:
    mine = [k for k in leaves if selected(head, k)]
    if not mine or len(mine) == len(leaves):
        raise ValueError(
            f"head must be found in the paths of some leaves and not of all; got {head!r} for {', '.join(leaves)}."
        )
    return {
        "head": sum((leaves[k] for k in mine[1:]), leaves[mine[0]]),
        "backbone": sum((leaves[k] for k in leaves if k not in mine), np.zeros_like(leaves[mine[0]])),
    }


def _apart(A: AnyArray) -> Float[np.ndarray, " pairs"]:
    """|A_ij|^2 of the pairs of an example of the first half with one of the second: each example once."""
    half = len(A) // 2
    which = np.arange(half)
    return np.square(A[which, half + which]).reshape(half, -1).sum(axis=1)


def _change(before: _Measured, after: _Measured, level: float, part: str | None = None) -> Interval:
    """|K_1 - K_0| / |K_0| over pairs of different examples, with its sampling (finetuning.14) and its rounding (15)."""
    old, new = (one.K if part is None else one.parts[part] for one in (before, after))
    nothing = Interval(0.0, float("nan"), float("inf"))
    if len(old) < 2:
        return nothing
    moved, size = _apart(new - old), _apart(old)
    whole = float(np.sqrt(size.mean()))
    errors = before.error + after.error
    if not whole > before.error:
        return nothing
    middle = float(moved.mean() / size.mean())
    tried = np.concatenate([[0.0], max(middle, 1e-30) * np.geomspace(1e-3, 1e3, 801)])
    _, low, high = _ratios.ratio(moved, size, _ratios.skewed(level), tried)
    low, high = np.sqrt(max(low, 0.0)), np.sqrt(max(high, 0.0))
    lower = max(0.0, (low * whole - errors) / (whole + before.error))
    return Interval(float(lower), float(np.sqrt(middle)), float((high * whole + errors) / (whole - before.error)))


def _split(before: _Measured, after: _Measured, level: float) -> dict[str, KernelPart]:
    found = {}
    for name in before.parts:
        start, end = (
            float(np.einsum("iiaa->" if one.K.ndim == 4 else "ii...->", one.parts[name])) / one.trace
            for one in (before, after)
        )
        found[name] = KernelPart(start, end, _change(before, after, level, name))
    return found


@jax.jit
def _values(function: Function, x: PyTree) -> Array:
    n = jax.tree.leaves(x)[0].shape[0]
    return products.join(jax.lax.map(function.values, products.split(x, products.BATCH)), n)


def _linear(function: Function, weights: list[Array], x: PyTree) -> Array:
    return Taylor(function, 1).batch(jax.tree.unflatten(function.tree, _with(function, weights)), *x)


def _with(function: Function, weights: list[Array]) -> list[Any]:
    leaves = list(function.leaves)
    for i, weight in zip(function.trained, weights, strict=True):
        leaves[i] = weight
    return leaves
