"""How do answers, overlaps and frequencies look over the steps of several runs?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ntkseq._plots import COLOURS, NEUTRAL, axes
from ntkseq.reports.trajectories import steps_axis
from ntkseq.studies.grokking.runs import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def answers(outcomes: Sequence[Outcome], accuracy: float, ax: Axes | None = None) -> Axes:
    """Shares of right answers on both sets; thick: means over seeds, thin: seeds.

    Args:
        outcomes: runs, all of the same steps.
        accuracy: from which on a set counts as known, dashed.
        ax: where to draw.
    """
    ax, steps = axes(ax), outcomes[0].watched
    for colour, name in zip(COLOURS[:2], ("train", "test"), strict=True):
        values = np.stack([getattr(one, name) for one in outcomes])
        ax.plot(steps, values.T, color=colour, lw=0.7, alpha=0.45)
        ax.plot(
            steps,
            values.mean(axis=0),
            color=colour,
            lw=2.0,
            label="training pairs" if name == "train" else "test pairs",
        )
    ax.axhline(accuracy, color=NEUTRAL, ls="--", lw=1, label="counts as known")
    ax.set_ylim(0.0, 1.02)
    return steps_axis(ax, steps, "share of right answers")


def layers(outcomes: Sequence[Outcome], feature: str, ax: Axes | None = None) -> Axes:
    """The overlap of each layer with a feature: mean over seeds, and a band of all intervals.

    Args:
        outcomes: runs, all of the same steps.
        feature: by name.
        ax: where to draw.
    """
    ax, one = axes(ax), outcomes[0]
    j = one.features.index(feature)
    for i, layer in enumerate(one.layers):
        _band(ax, outcomes, (i, j), NEUTRAL if layer == one.layers[-1] else COLOURS[i % 6], layer)
    ax.axhline(one.floor[j], color="black", lw=1, ls=":", label="floor: at random")
    highest = max(float(np.mean([o.overlap[:, :, j] for o in outcomes], axis=0).max()), float(one.floor[j]))
    ax.set_ylim(0.0, min(1.02, 1.25 * highest))
    return steps_axis(ax, one.steps, f"overlap with {feature}")


def families(outcomes: Sequence[Outcome], layer: str, names: Sequence[str], ax: Axes | None = None) -> Axes:
    """The overlap of one layer with several features: mean over seeds; dotted, the floor of each.

    Args:
        outcomes: runs, all of the same steps.
        layer: by name.
        names: of the features.
        ax: where to draw.
    """
    ax, one = axes(ax), outcomes[0]
    i = one.layers.index(layer)
    for colour, name in zip(COLOURS[: len(names)], names, strict=True):
        j = one.features.index(name)
        _band(ax, outcomes, (i, j), colour, f"waves of {name}")
        ax.axhline(one.floor[j], color=colour, lw=0.9, ls=":")
    ax.set_ylim(0.0, 1.02)
    return steps_axis(ax, one.steps, f"overlap of the {layer} layer")


def _band(ax: Axes, outcomes: Sequence[Outcome], which: tuple[int, int], colour: str, label: str) -> None:
    """The overlap of one layer with one feature: mean over seeds, and a band of all intervals."""
    low, middle, high = (
        np.stack([getattr(one, end)[:, *which] for one in outcomes]) for end in ("lower", "overlap", "upper")
    )
    steps = outcomes[0].steps
    ax.fill_between(steps, low.min(axis=0), high.max(axis=0), color=colour, alpha=0.13, lw=0)
    ax.plot(steps, middle.mean(axis=0), color=colour, lw=1.8, marker=".", ms=4, label=label)


def spectrogram(outcome: Outcome, layer: str, frequencies: Sequence[str], ax: Axes | None = None) -> Axes:
    """The overlap of one layer with each frequency, a row per frequency and a column per record.

    Args:
        outcome: one run.
        layer: by name.
        frequencies: names of features.
        ax: where to draw.
    """
    ax, i = axes(ax), outcome.layers.index(layer)
    values = outcome.overlap[:, i, [outcome.features.index(name) for name in frequencies]].T
    shown = ax.imshow(values, vmin=0.0, vmax=1.0, cmap="viridis", aspect="auto", origin="lower")
    some = np.unique(np.linspace(0, len(outcome.steps) - 1, 6).round().astype(int))
    ax.set_xticks(some, [f"{outcome.steps[k]}" for k in some])
    ax.set_yticks(range(len(frequencies)), [f"{k + 1}" for k in range(len(frequencies))])
    ax.set_xlabel("training step")
    ax.set_ylabel("frequency of a + b")
    ax.figure.colorbar(shown, ax=ax, label="overlap")
    return ax
