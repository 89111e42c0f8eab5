"""How does a kernel look while its network is trained? Each function draws columns of histories into an Axes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ntkseq import _checks
from ntkseq._plots import COLOURS, DASHES, INK, NEUTRAL, PALE, WARM, axes, finish, plain
from ntkseq.training.history import History
from ntkseq.training.tables import ProbeTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "alignment", "attention", "certificate", "drift", "leading_eigenvalues", "losses", "min_eigenvalue", "ranks",
    "rotation",
]  # fmt: skip

Histories: TypeAlias = History | Mapping[str, History]
"""One history, or several to be overlaid, by the label that the legend shows."""

RANKS = ("entropy", "stable", "participation")
SPAN = 40  # steps from the first measured to the last beyond which a linear axis would squeeze the beginning


def leading_eigenvalues(history: History, ax: Axes | None = None, *, table: str = "kernel") -> Axes:
    """The largest eigenvalues and the least one with its interval, over the steps.

    A triangle marks the upper end where the least eigenvalue is not told from zero.

    Args:
        history: with a table of a kernel probe.
        ax: where to draw.
        table: its name.

    Raises:
        ValueError: no history, or none with such a table.
    """
    columns = ("top", "top_error", "min_eigenvalue", "min_eigenvalue_lower", "min_eigenvalue_upper", "resolved")
    ax, found = axes(ax), _table(history, table, *columns)
    steps, top, least = found.steps, found["top"], found["min_eigenvalue"]
    for k in range(top.shape[1])[::-1]:
        shade = _between(INK, PALE, k / max(top.shape[1] - 1, 1))
        label = f"largest {top.shape[1]}" if top.shape[1] > 1 else "largest"
        _band(ax, steps, top[:, k], found["top_error"][:, k], shade, label=label if k == 0 else None)
    clear = found["resolved"].astype(bool)
    upper = found["min_eigenvalue_upper"]
    floor = _floor(found["min_eigenvalue_lower"][clear], least[clear], upper, top)
    low, high = np.maximum(found["min_eigenvalue_lower"], floor), np.maximum(upper, floor)
    ax.fill_between(steps, low, high, color=WARM, alpha=0.22, lw=0)
    ax.plot(steps, np.where(clear, least, np.nan), color=WARM, lw=1.6, marker=".", ms=4, label="least, its interval")
    if (~clear).any():
        ax.plot(steps[~clear], high[~clear], "v", ms=5, color=WARM, mfc="white", label="not told from zero: upper end")
    ax.set_yscale("log")
    ax.set_ylim(bottom=floor)
    return steps_axis(ax, steps, "eigenvalue of K")


def min_eigenvalue(histories: Histories, ax: Axes | None = None, *, table: str = "kernel") -> Axes:
    """The least eigenvalues of one or more runs with their intervals; triangles where it is not told from zero.

    Args:
        histories: one `training.History`, or several by the label to be shown.
        ax: where to draw; new axes if None.
        table: that of a kernel probe.

    Raises:
        ValueError: no history, or none with such a table.
    """
    ax, all_steps = axes(ax), []
    found = [
        _table(one, table, "min_eigenvalue", "min_eigenvalue_lower", "min_eigenvalue_upper", "resolved")
        for _, one in _each(histories)
    ]
    floor = _floor(
        *(t["min_eigenvalue_lower"][t["resolved"].astype(bool)] for t in found),
        *(t["min_eigenvalue_upper"] for t in found),
    )
    for i, ((label, _), one) in enumerate(zip(_each(histories), found, strict=True)):
        clear, high = one["resolved"].astype(bool), np.maximum(one["min_eigenvalue_upper"], floor)
        ax.fill_between(
            one.steps, np.maximum(one["min_eigenvalue_lower"], floor), high, color=_colour(i), alpha=0.2, lw=0
        )
        shown = np.where(clear, one["min_eigenvalue"], np.nan)
        ax.plot(one.steps, shown, color=_colour(i), lw=1.6, marker=".", ms=4, label=label or "least eigenvalue")
        ax.plot(one.steps[~clear], high[~clear], "v", ms=5, color=_colour(i), mfc="white")
        all_steps.append(one.steps)
    if not all(one["resolved"].all() for one in found):
        ax.plot([], [], "v", ms=5, color=NEUTRAL, mfc="white", label="not told from zero: upper end")
    ax.set_yscale("log")
    ax.set_ylim(bottom=floor)
    return steps_axis(ax, np.concatenate(all_steps), "least eigenvalue of K")


def drift(histories: Histories, ax: Axes | None = None, *, table: str = "kernel", movement: str = "movement") -> Axes:
    """How far kernel and parameters are from the start: |K - K_0|/|K_0| with its error, |theta - theta_0|/|theta_0|.

    Both are 0 at the first step, which a logarithmic axis does not show. The parameters are left out where no such
    table is.

    Args:
        histories, ax, table: as for `min_eigenvalue`.
        movement: the table of a `MovementProbe`.

    Raises:
        ValueError: no history, or none with such a table.
    """
    _checks.text("movement", movement)
    ax, all_steps, values = axes(ax), [], []
    several = isinstance(histories, Mapping)
    for i, (label, history) in enumerate(_each(histories)):
        kernel = _table(history, table, "distance", "distance_error")
        moved, error = _positive(kernel["distance"]), kernel["distance_error"]
        values.append(moved)
        _band(ax, kernel.steps, moved, error, _colour(i), label=label if several else "kernel", marker=".")
        all_steps.append(kernel.steps)
        if movement in history.tables:
            there = _table(history, movement, "relative", name="movement")
            relative = _positive(there["relative"])
            values.append(relative)
            colour = _colour(i) if several else WARM
            ax.plot(there.steps, relative, color=colour, ls="--", lw=1.4, label=None if several else "parameters")
            all_steps.append(there.steps)
    if several:
        _key(ax, ("kernel", "parameters"))
    ax.set_yscale("log")
    ax.set_ylim(bottom=_floor(*values))
    return steps_axis(ax, np.concatenate(all_steps), "distance from the start, relative")


def rotation(histories: Histories, ax: Axes | None = None, *, table: str = "kernel") -> Axes:
    """The largest principal angle between the leading eigenvectors now and at the start, in degrees, with its error.

    Args:
        histories, ax, table: as for `min_eigenvalue`.

    Raises:
        ValueError: no history, or none with such a table.
    """
    ax, all_steps, most = axes(ax), [], 0.0
    for i, (label, history) in enumerate(_each(histories)):
        found = _table(history, table, "rotation", "rotation_error")
        angle, error = np.rad2deg(found["rotation"]), np.rad2deg(found["rotation_error"])
        low, high = np.clip(angle - error, 0.0, 90.0), np.clip(angle + error, 0.0, 90.0)
        ax.fill_between(found.steps, low, high, color=_colour(i), alpha=0.2, lw=0)
        ax.plot(found.steps, angle, color=_colour(i), lw=1.6, marker=".", ms=4, label=label)
        all_steps.append(found.steps)
        most = max([most, *high[np.isfinite(high)]])
    ax.set_ylim(0.0, 92.0 if most > 30 else max(1.15 * most, 1e-6))
    if most > 30:
        ax.set_yticks((0, 15, 30, 45, 60, 75, 90))
    return steps_axis(ax, np.concatenate(all_steps), "rotation of the leading eigenvectors (°)")


def ranks(
    histories: Histories, ax: Axes | None = None, *, table: str = "kernel", kinds: tuple[str, ...] = RANKS
) -> Axes:
    """Effective ranks of the kernel with their intervals. For several runs: colours tell runs, dashes kinds.

    Args:
        histories, ax, table: as for `min_eigenvalue`.
        kinds: which effective ranks, by name.

    Raises:
        ValueError: no history, or none with such a table; no kind.
    """
    kinds = _checks.listed("kinds", kinds, "names of effective ranks")
    if not kinds:
        raise ValueError("kinds must name one or more effective ranks; got none.")
    ax, all_steps, several = axes(ax), [], isinstance(histories, Mapping)
    for i, (label, history) in enumerate(_each(histories)):
        columns = [f"rank_{_checks.text('kinds', kind)}{end}" for kind in kinds for end in ("", "_lower", "_upper")]
        found = _table(history, table, *columns)
        for j, kind in enumerate(kinds):
            colour = _colour(i if several else j)
            low, high = found[f"rank_{kind}_lower"], found[f"rank_{kind}_upper"]
            ax.fill_between(found.steps, low, high, color=colour, alpha=0.2, lw=0)
            shown = (label if j == 0 else None) if several else kind
            ax.plot(found.steps, found[f"rank_{kind}"], color=colour, ls=DASHES[j % 4], lw=1.6, label=shown)
        all_steps.append(found.steps)
    if several and len(kinds) > 1:
        _key(ax, kinds)
    ax.set_ylim(bottom=0.0)
    return steps_axis(
        ax, np.concatenate(all_steps), f"{kinds[0]} rank of K" if len(kinds) == 1 else "effective rank of K"
    )


def losses(histories: Histories, ax: Axes | None = None, *, table: str = "loss", end: str = "_loss") -> Axes:
    """The columns whose names end in `end`, by data set; "_error" shows the shares of wrong answers instead.

    For several runs: colours tell runs, dashes data sets.

    Args:
        histories, ax: as for `min_eigenvalue`.
        table: that of a loss probe.

    Raises:
        ValueError: no history, or none with such a table; another `end`.
    """
    _checks.choice("end", end, ("_loss", "_error"))
    ax, all_steps, several, sets = axes(ax), [], isinstance(histories, Mapping), []
    _checks.text("table", table)
    of = {str(history.about.get(table, {}).get("loss", "")) for _, history in _each(histories)} - {"", "function"}
    for i, (label, history) in enumerate(_each(histories)):
        found = _table(history, table)
        here = [c.removesuffix(end) for c in found.columns if c.endswith(end) and np.isfinite(found[c]).any()]
        here.sort(key=lambda name: name != "train")  # first, whatever the order of the file
        sets += [name for name in here if name not in sets]
        for name in here:
            j = sets.index(name)
            shown = (label if name == here[0] else None) if several else plain(name)
            curve = _positive(found[name + end]) if end == "_loss" else found[name + end]
            ax.plot(found.steps, curve, color=_colour(i if several else j), ls=DASHES[j % 4], lw=1.6, label=shown)
        all_steps.append(found.steps)
    if several:
        _key(ax, tuple(map(plain, sets)))
    if end == "_loss":
        ax.set_yscale("log")
    else:
        ax.set_ylim(bottom=0.0)
    return steps_axis(ax, np.concatenate(all_steps), _loss(of) if end == "_loss" else "share of wrong answers")


def _loss(of: set[str]) -> str:
    """The label of the axis: which loss it is, where that is known and one."""
    return f"loss ({plain(of.pop())})" if len(of) == 1 else "loss"


def alignment(histories: Histories, ax: Axes | None = None, *, table: str = "kernel") -> Axes:
    """Alignment of the kernel with the targets (solid) and with what is still wrong, y - f (dashed).

    Args:
        histories, ax, table: as for `min_eigenvalue`.

    Raises:
        ValueError: no history, or none with such a table.
    """
    ax, all_steps, several = axes(ax), [], isinstance(histories, Mapping)
    for i, (label, history) in enumerate(_each(histories)):
        found = _table(history, table)
        pairs = (("alignment", "with the targets"), ("alignment_residual", "with the residual"))
        for j, (name, words) in enumerate(pairs):
            if name in found.columns and np.isfinite(found[name]).any():
                shown, colour = (label if j == 0 else None) if several else words, _colour(i if several else j)
                error = found.columns.get("alignment_error", np.zeros(len(found.steps)))
                ax.fill_between(found.steps, found[name] - error, found[name] + error, color=colour, alpha=0.2, lw=0)
                ax.plot(found.steps, found[name], color=colour, ls=DASHES[j], lw=1.6, label=shown)
        all_steps.append(found.steps)
    if several:
        _key(ax, ("with the targets", "with the residual"))
    return steps_axis(ax, np.concatenate(all_steps), "alignment of K")


def attention(history: History, ax: Axes | None = None, *, table: str = "attention", kind: str = "entropy") -> Axes:
    """Effective ranks of the attention matrices by layer: the mean over heads as a line, each head as a thin one.

    Args:
        history: of an `AttentionRankProbe`.
        ax: where to draw; new axes if None.
        table: its name.
        kind: which of its ranks.

    Raises:
        ValueError: no history, or none with such a table; a kind that is not in it.
    """
    ax, found = axes(ax), _table(history, table)
    ends = ("_error", "_spread", "_lower", "_upper")
    there = [name[5:] for name in found.columns if name.startswith("rank_") and not name.endswith(ends)]
    _checks.choice("kind", kind, tuple(there))
    values = found[f"rank_{kind}"]
    values = values.reshape(len(values), values.shape[1] if values.ndim > 1 else 1, -1)  # (r, layers, heads)
    for layer in range(values.shape[1]):
        ax.plot(found.steps, values[:, layer], color=_colour(layer), lw=0.7, alpha=0.45)
        mean = values[:, layer].mean(axis=1)
        ax.plot(
            found.steps, mean, color=_colour(layer), ls=DASHES[layer // len(COLOURS) % 4], lw=2.0,
            label=f"layer {layer + 1}",
        )  # fmt: skip
    return steps_axis(ax, found.steps, f"{kind} rank of attention")


def certificate(histories: Histories, ax: Axes | None = None, *, table: str = "certificate") -> Axes:
    """Certified bounds of the network (solid) and of its linearisation (dashed); thin, the errors that were counted.

    A step at which something objects to the second has no point there.

    Args:
        histories: with tables of a `bounds.CertificateProbe`.
        ax: where to draw.
        table: its name.

    Raises:
        ValueError: no history, or none with such a table.
    """
    ax, all_steps, several = axes(ax), [], isinstance(histories, Mapping)
    names = ("network", "linearised")
    for i, (label, history) in enumerate(_each(histories)):
        columns = [f"{name}{end}" for name in names for end in ("", "_error")]
        found = _table(history, table, *columns, "certified")
        for j, name in enumerate(names):
            stands = np.ones(len(found.steps), bool) if j == 0 else found["certified"].astype(bool)
            shown, colour = (label if j == 0 else None) if several else f"{name}, at most", _colour(i if several else j)
            upper = np.where(stands, found[name], np.nan)
            ax.plot(found.steps, upper, lw=1.8, marker=".", ms=5, label=shown, color=colour, ls=DASHES[j])
            ax.plot(found.steps, found[f"{name}_error"], lw=0.8, alpha=0.7, color=colour, ls=DASHES[j])
        all_steps.append(found.steps)
    if several:
        _key(ax, names)
    ax.set_ylim(0.0, 1.02)
    return steps_axis(ax, np.concatenate(all_steps), "error, at most")


def _key(ax: Axes, names: tuple[str, ...]) -> None:
    """What the dashes say, for the legend."""
    for j, name in enumerate(names):
        ax.plot([], [], color=NEUTRAL, ls=DASHES[j % 4], lw=1.6, label=name)


def _table(history: Any, table: str, *columns: str, name: str = "table") -> ProbeTable:
    """A table of a history that has these columns.

    Raises:
        ValueError: no history; no such table; not the table of a probe that makes the columns.
    """
    _checks.kind("history", history, History, "training.track gives one.")
    if _checks.text(name, table) not in history.tables:
        there = ", ".join(map(repr, sorted(history.tables))) or "none"
        raise ValueError(f"{name} must be a table of the history, {there}; got {table!r}.")
    found = history.tables[table]
    missing = [column for column in columns if column not in found.columns]
    if missing:
        raise ValueError(f"{name} {table!r} has no column {missing[0]!r}; it has {', '.join(sorted(found.columns))}.")
    return found


def _each(histories: Histories) -> Iterator[tuple[str | None, History]]:
    """(label, history); no label where there is one history only."""
    several = isinstance(histories, Mapping)
    for one in histories.values() if several else [histories]:
        if not isinstance(one, History):
            raise ValueError(
                f"histories must be a training.History or a mapping of labels to some; got {_checks.shown(one)}."
            )
    if several:
        if not histories:
            raise ValueError("histories must be a History or a mapping of labels to one or more; got an empty mapping.")
        yield from ((plain(str(label)), history) for label, history in histories.items())
    else:
        yield None, histories


def _colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]


def _between(first: str, last: str, share: float) -> tuple[float, ...]:
    from matplotlib.colors import to_rgb

    return tuple((1 - share) * a + share * b for a, b in zip(to_rgb(first), to_rgb(last), strict=True))


def _positive(values: np.ndarray) -> np.ndarray:
    """For a logarithmic axis: nan where nothing can be shown."""
    return np.where(values > 0, values, np.nan)


def _floor(*parts: np.ndarray) -> float:
    """Where a logarithmic axis ends below: half the least positive number."""
    positive = np.concatenate([np.ravel(part) for part in parts])
    positive = positive[np.isfinite(positive) & (positive > 0)]
    return 0.5 * float(positive.min()) if positive.size else 1e-12


def _band(ax: Axes, steps: np.ndarray, values: np.ndarray, errors: np.ndarray, colour: Any, **line: Any) -> None:
    """A line with its error on a logarithmic axis; what is beyond twice the largest value is cut."""
    floor, top = _floor(values), 2.0 * np.max(values, initial=0.0, where=np.isfinite(values))
    low, high = np.maximum(values - errors, floor), np.minimum(values + errors, top)
    ax.fill_between(steps, low, high, color=colour, alpha=0.2, lw=0)
    ax.plot(steps, values, **{"color": colour, "lw": 1.6, "ms": 4} | line)


def steps_axis(ax: Axes, steps: np.ndarray, ylabel: str) -> Axes:
    """Step axis, and the rest."""
    last, first = int(steps.max()), int(min(steps[steps > 0], default=1))
    if last > SPAN * first:  # linear from 0 to the first step, logarithmic from there
        ax.set_xscale("symlog", linthresh=first, linscale=0.5)
    ax.set_xlim(0, max(last, 1) * (1.08 if last > SPAN * first else 1.01))
    ax.set_xlabel("training step")
    ax.set_ylabel(ylabel)
    return finish(ax)
