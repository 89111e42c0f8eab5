"""How often is a support vector machine wrong that a few of the examples determine? Sample compression, exact tails."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ntkseq import _checks
from ntkseq._bound import Bound, Constants, Term, total
from ntkseq._types import ArrayLike, GramLike
from ntkseq.bounds.assumptions import beforehand
from ntkseq.bounds.svm import hard_margin
from ntkseq.bounds.system import EPS, System, system
from ntkseq.bounds.tails import binomial_upper, log_choose

_CANDIDATES = 256  # of one step of the search
_PATIENCE = 6  # steps without a smaller bound before the search ends
_CHOICES = ("best", "support", "greedy")


def compression(
    K: GramLike,
    y: ArrayLike,
    *,
    reg: float = 0.0,
    members: ArrayLike = "best",
    delta: float = 0.05,
    tried: int = 1,
) -> Bound[CompressionConstants]:
    """Bound the classification error of the support vector machine of d examples by the others, rigorously.

    The machine of a set I of examples is f_I, the function of least norm with y_i f(x_i) >= 1 on I (reg > 0: with
    squared hinge losses, K + reg in place of K), without an offset. It is a function of the examples in I alone, so the
    other n - d are a test set for it; with probability at least 1 - delta, for every I of every size d at once,

        P(sign f_I(x) != y) <= max{p : P(Binomial(n - d, p) <= k) >= delta / (tried (d+1)(d+2) C(n, d))}

    with k the errors of f_I on the examples outside I. So I may be chosen with these data in any way, for nothing: its
    price, log C(n, d) + log((d+1)(d+2)), is in the bound. f_I is that of exact arithmetic, which is one function
    whatever rounding did to the search for I: an example counts as right only where its computed margin is larger than
    all that rounding and the solver may hide. Without errors, k = 0, this is 1 - (delta / (...))^(1/(n - d)).

    Args:
        K: Gram matrix of the training examples, (n, n).
        y: labels -1/+1, (n,).
        reg: the ridge, added to the diagonal; 0 for the hard margin.
        members: the set I. "support": the support vectors of the machine of all examples; "greedy": examples added one
            by one, each where it leaves the fewest errors outside; "best": of the two the one with the smaller bound;
            or row numbers of K, however they were found.
        delta: the probability that the bound fails.
        tried: how many kernels or settings of `reg` were looked at with these data.

    Returns:
        Bound, certified unless K is contradicted by its own numbers; NaN with the reason where no machine of I is known
        to exist. `constants.members` is I, `constants.dual` its coefficients: f(x) = sum_j dual_j K(x, x_members[j]).

    Raises:
        ValueError: labels other than -1/+1; members that are no row numbers, or repeat; options that do not fit.

    Reference: littlestone1986compression, floyd1995compression; langford2005tutorial for the exact tail;
        risk_bounds.1 to 4.

    Example:
        >>> import numpy as np
        >>> y = np.where(np.arange(400) % 20 == 0, -1.0, 1.0)
        >>> bound = compression(np.ones((400, 400)), y, reg=1.0)
        >>> print(bound.constants.size, bound.verdict)
        1 P(sign f(x) != y) <= 0.1099 with probability at least 0.95
    """
    reg, delta = _checks.nonnegative("reg", reg), _checks.probability("delta", delta)
    tried = _checks.positive_int("tried", tried)
    known = system(K, y, signs=True)
    setting = _Setting(known, reg, math.log(delta) - math.log(tried))
    machines = [_machine(setting, chosen) for chosen in _chosen(setting, members)]
    machine = min(machines, key=lambda one: one.value if math.isfinite(one.value) else math.inf)
    n, d, rest = known.n, len(machine.members), known.n - len(machine.members)
    share = machine.errors / rest if rest else 1.0
    loose = math.nan if machine.reason else share + math.sqrt(-setting.level(d) / (2 * rest)) if rest else 1.0
    beyond = machine.value - share
    while share + beyond < machine.value:  # the terms add up to no less than the value
        beyond = math.nextafter(beyond, math.inf)
    union = f"delta/(tried (d+1)(d+2) C({n},{d}))"
    terms = (
        Term(
            "errors outside the set",
            f"k/(n-d) = {machine.errors}/{rest}",
            share if not machine.reason else math.nan,
            explicit=True,
            provenance="exact",
            note="counted as errors where rounding hides the sign",
        ),
        Term("binomial tail", f"beyond k/(n-d), at {union}", beyond, explicit=True, provenance="derived"),
        Term(
            "Hoeffding form",
            "k/(n-d) + sqrt(log(1/...)/(2(n-d)))",
            loose,
            explicit=True,
            provenance="derived",
            counted=False,
        ),
    )
    return Bound(
        name=f"sample compression, support vector machine of {d} of {n} examples, reg = {reg:.3g}",
        quantity="P(sign f(x) != y)",
        value=total(terms),
        terms=terms,
        assumptions=(
            known.independent(),
            beforehand("kernel, reg, delta", tried),
            known.semidefinite(),
            known.arithmetic(),
        ),
        delta=delta,
        applies_to=f"the support vector machine of the {d} examples `constants.members` alone, without an offset",
        references=("littlestone1986compression", "floyd1995compression", "langford2005tutorial"),
        constants=CompressionConstants(
            n, d, machine.errors, tuple(machine.members.tolist()), tuple(machine.dual.tolist()), reg, machine.off, tried
        ),
        reason=machine.reason,
    )


@dataclass(frozen=True)
class CompressionConstants(Constants):
    """Numbers of a compression bound.

    Attributes:
        n: the number of examples.
        size: d, the number of members of the set.
        errors: of the machine on the n - d others, those included whose sign rounding hides.
        members: row numbers of the set, ascending.
        dual: coefficients of the machine in the order of `members`, as computed.
        reg, tried: as given.
        off: how far f as computed may be from the exact one at a training example, at most.
    """

    n: int
    size: int
    errors: int
    members: tuple[int, ...]
    dual: tuple[float, ...]
    reg: float
    off: float
    tried: int


@dataclass(frozen=True)
class _Setting:
    known: System
    reg: float
    log_delta: float  # of delta/tried

    def level(self, d: int) -> float:
        """log of the failure that is left to one set of d examples, (risk_bounds.2), rounded down."""
        union = math.log((d + 1) * (d + 2)) + log_choose(self.known.n, d)
        return self.log_delta - union - 8.0 * EPS * (union + abs(self.log_delta))

    def bound(self, errors: int, d: int) -> float:
        return binomial_upper(errors, self.known.n - d, self.level(d))


@dataclass(frozen=True)
class _Machine:
    members: Int[np.ndarray, " d"]
    dual: Float[np.ndarray, " d"]
    errors: int
    off: float
    value: float
    reason: str = ""


def _machine(setting: _Setting, members: np.ndarray | str) -> _Machine:
    """f_I with the errors outside I that the exact one has at most; (risk_bounds.3)."""
    if isinstance(members, str):
        return _refused(members)
    known, n, d = setting.known, setting.known.n, len(members)
    dual, gap = np.zeros(0), 0.0
    if d:
        try:
            own = known.matrix[np.ix_(members, members)]
            solved = hard_margin(own, known.y[members], rounding=known.rounding_of(members), reg=setting.reg)
        except np.linalg.LinAlgError:
            return _refused(_SINGULAR)
        if not math.isfinite(solved.upper):
            return _refused(_SINGULAR)
        size = float(np.abs(solved.dual).sum())
        dual = solved.dual * (solved.lower / size)  # where the dual value is `lower` at least
        gap = max(solved.upper * (1 + 4 * EPS) - solved.lower, 0.0)
    outside = np.setdiff1d(np.arange(n), members)
    cross = known.matrix[np.ix_(outside, members)]
    sums = 4 * (d + 4) * EPS * (np.abs(cross) @ np.abs(dual))
    own = np.maximum(np.diagonal(known.matrix)[outside], 0.0) + known.rounding
    off = known.moved(outside, members, dual) + sums + np.sqrt(own * gap)
    errors = int(np.sum(known.y[outside] * (cross @ dual) <= off))
    return _Machine(members, dual, errors, float(off.max(initial=0.0)), setting.bound(errors, d))


def _refused(reason: str) -> _Machine:
    return _Machine(np.zeros(0, int), np.zeros(0), 0, math.nan, math.nan, reason)


_SINGULAR = (
    "the machine of these members is not known to exist: K + reg on them cannot be told from a singular matrix, or "
    "they cannot be separated; use reg > 0, other members, or compute K in float64"
)


def _chosen(setting: _Setting, members: ArrayLike) -> list[np.ndarray | str]:
    if isinstance(members, str):
        _checks.choice("members", members, _CHOICES)
        ways = {"support": _support, "greedy": _greedy}
        return [ways[name](setting) for name in ways if members in (name, "best")]
    rows, n = _checks.numbers("members", members), setting.known.n
    whole = rows.ndim == 1 and (rows == np.floor(rows)).all() and (rows >= 0).all() and (rows < n).all()
    if not whole or len(np.unique(rows)) != len(rows):
        raise ValueError(
            f"members must be {', '.join(_CHOICES)} or different row numbers of K, 0 to {n - 1}; got "
            f"{_checks.shown(members)}."
        )
    return [np.sort(rows.astype(int))]


def _support(setting: _Setting) -> np.ndarray | str:
    known = setting.known
    try:
        solved = hard_margin(known.matrix, known.y, rounding=known.rounding, reg=setting.reg)
    except np.linalg.LinAlgError:
        return _SINGULAR
    return np.flatnonzero(solved.dual)


def _greedy(setting: _Setting) -> np.ndarray | str:
    """Examples added one by one, each then exchanged where that leaves fewer errors; the set of least bound."""
    known = setting.known
    now = _Choice((), (known.n, math.inf), np.zeros(known.n))
    best, least = np.zeros(0, int), math.inf
    while len(now.members) < known.n - 1 and len(now.members) < len(best) + _PATIENCE:
        grown = _least(setting, now, now.members)
        if grown is None:
            break
        now = _exchanged(setting, grown)
        bound = setting.bound(now.score[0], len(now.members))
        if bound < least:
            least, best = bound, np.sort(np.asarray(now.members))
        if now.score[0] == 0 or setting.bound(0, len(now.members) + 1) >= least:
            break
    return best if len(best) else _SINGULAR


@dataclass(frozen=True)
class _Choice:
    members: tuple[int, ...]
    score: tuple[int, float]  # errors outside, and the mean squared hinge loss
    values: Float[np.ndarray, " n"]  # of the machine at all examples


def _exchanged(setting: _Setting, now: _Choice) -> _Choice:
    """Each member in turn replaced by the best other example, as long as that helps, three times round at most."""
    for _ in range(3 if len(now.members) > 1 else 0):
        before = now.score
        for one in now.members:
            other = _least(setting, now, tuple(i for i in now.members if i != one))
            now = other if other is not None and other.score < now.score else now
        if now.score == before:
            break
    return now


def _least(setting: _Setting, now: _Choice, kept: tuple[int, ...]) -> _Choice | None:
    """The best machine of the kept members and one candidate."""
    known, new = setting.known, _candidates(setting.known, now)
    rows = np.concatenate([np.tile(np.asarray(kept, int), (len(new), 1)), new[:, None]], axis=1)  # (c, d)
    duals = _duals(setting, rows)
    values = known.matrix[:, rows[0, :-1]] @ duals[:, :-1].T + known.matrix[:, new] * duals[:, -1]  # (n, c)
    margins = known.y[:, None] * values
    np.put_along_axis(margins, rows.T, 1.0, axis=0)
    errors, losses = np.sum(~(margins > 0), axis=0), np.mean(np.maximum(0.0, 1.0 - margins) ** 2, axis=0)
    order = np.lexsort((new, losses, errors))
    best = int(order[0])
    if not np.isfinite(losses[best]):
        return None
    members = (*kept, int(new[best]))
    return _Choice(members, (int(errors[best]), float(losses[best])), values[:, best])


def _duals(setting: _Setting, rows: Int[np.ndarray, "c d"]) -> Float[np.ndarray, "c d"]:
    """Coefficients of the machines of several sets; nan where there is none."""
    known, d = setting.known, rows.shape[1]
    signs = known.y[rows]
    Q = (
        signs[:, :, None]
        * (known.matrix[rows[:, :, None], rows[:, None, :]] + setting.reg * np.eye(d))
        * signs[:, None]
    )
    duals = np.full(rows.shape, np.nan)
    regular = np.linalg.eigvalsh(Q)[:, 0] > d * EPS * np.trace(Q, axis1=1, axis2=2)
    a = np.linalg.solve(Q[regular], np.ones((int(regular.sum()), d, 1)))[:, :, 0]
    duals[regular] = signs[regular] * a  # right where all are support vectors, as most often
    for i in np.flatnonzero(regular)[(a < 0).any(axis=1)]:
        try:
            duals[i] = hard_margin(known.matrix[np.ix_(rows[i], rows[i])], known.y[rows[i]], reg=setting.reg).dual
        except np.linalg.LinAlgError:
            duals[i] = np.nan
    return duals


def _candidates(known: System, now: _Choice) -> Int[np.ndarray, " c"]:
    """Examples outside the set, evenly spread over their margins where there are many."""
    order = np.argsort(known.y * now.values, kind="stable")
    order = order[~np.isin(order, now.members)]
    places = np.unique(np.linspace(0, len(order) - 1, min(len(order), _CANDIDATES)).astype(int))
    return order[places]
