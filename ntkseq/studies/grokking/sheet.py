"""What came of networks that learn to add modulo p, as a sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ntkseq.reports import Figure, Section, Sheet, Table
from ntkseq.spectra import Interval
from ntkseq.studies.grokking import plots
from ntkseq.studies.grokking.moments import Moment, lead, over_seeds
from ntkseq.studies.grokking.networks import FAMILIES
from ntkseq.studies.grokking.runs import CHANCE, HALF, Outcome
from ntkseq.studies.grokking.sentences import MAIN, Runs, before, never, title
from ntkseq.studies.sentences import reach


def sheet(runs: Runs, p: int, accuracy: float, notes: Sequence[str] = ()) -> Sheet:
    """The sheet.

    Args:
        runs: of every network that has one left.
        p: the modulus.
        accuracy: share of right answers from which on a set counts as known.
        notes: what a reader must know first.
    """
    boxes = []
    for name, outcomes in runs.items():
        known = over_seeds([one.generalised(accuracy) for one in outcomes])
        boxes.append((_short(known), f"{title(name)}: step by which it generalises"))
        what = f"{title(name)}: steps by which the {MAIN} layer turns to a + b before that"
        boxes.append((_short(_ahead(outcomes, MAIN, accuracy)), what))
    return Sheet(
        title=f"grokking addition modulo {p}",
        question="",
        facts=tuple(boxes),
        notes=(
            *notes,
            "The floor is what uniformly random eigenspaces stay below, at all records of all layers of a run at once, "
            f"with probability {1 - CHANCE:g}. A network that only learned the training pairs may well be above it: "
            "their answers are functions of a + b, too.",
            "A moment is the first record at which something is so. Its interval is Student's over seeds, widened by "
            "the distance of records; for few seeds it is wide.",
        ),
        sections=tuple(_section(name, outcomes, accuracy) for name, outcomes in runs.items()),
        numbers={name: _numbers(outcomes, accuracy) for name, outcomes in runs.items()},
        arrays={
            f"{name}-{seed}.{field}": getattr(outcome, field)
            for name, outcomes in runs.items()
            for seed, outcome in enumerate(outcomes)
            for field in ("watched", "train", "test", "steps", "overlap", "lower", "upper", "floor", "resolved")
        },
    )


def _section(name: str, outcomes: Sequence[Outcome], accuracy: float) -> Section:
    one = outcomes[0]
    waves = [feature for feature in one.features if feature not in FAMILIES]
    figures = [
        Figure(f"answers-{name}", partial(plots.answers, outcomes, accuracy), "Right answers; thin: seeds.", wide=True),
        Figure(f"layers-{name}", partial(plots.layers, outcomes, "a + b"),
               "Overlap of the leading eigenspace of each layer with all functions of a + b; means over seeds, bands: "
               "all intervals.", wide=True),
        Figure(f"families-{name}", partial(plots.families, outcomes, MAIN, FAMILIES),
               f"The {MAIN} layer: waves of a or b alone, of a + b, of a - b, each with its floor.", wide=True),
        Figure(f"frequencies-{name}", partial(plots.spectrogram, one, MAIN, waves),
               f"The {MAIN} layer, first seed: one row per frequency of a + b.", kind="png", wide=True),
    ]  # fmt: skip
    text = (
        f"{one.k} leading eigenvectors of the tangent kernel on all pairs, without its mean. A frequency is held where "
        f"the overlap with its two waves is certainly above {HALF:g}. The kernel of the {MAIN} layer is that of the "
        "last hidden features.",
    )
    heading = title(name)
    tables = (_moments(outcomes, accuracy), _overlaps(outcomes, len(waves)))
    return Section(heading[:1].upper() + heading[1:], text, tuple(figures), tables)


def _moments(outcomes: Sequence[Outcome], accuracy: float) -> Table:
    known, rows = [outcome.generalised(accuracy) for outcome in outcomes], []
    for layer in outcomes[0].layers:
        rose = [outcome.rose(layer) for outcome in outcomes]
        rows.append((layer, _cell(rose), lead(rose, known), f"{before(rose, known)} of {len(outcomes)}"))
    header = ("layer", "above the floor by step", "steps before generalisation", "certainly before, seeds")
    return Table(header, tuple(rows), "Overlap with functions of a + b; intervals of 95 % each.")


def _overlaps(outcomes: Sequence[Outcome], many: int) -> Table:
    one, rows = outcomes[0], []
    for i, layer in enumerate(one.layers):
        ends = []
        for family in FAMILIES:
            values = np.stack([outcome.overlap[:, i, outcome.features.index(family)] for outcome in outcomes])
            ends.append(" → ".join(f"{values[:, row].mean():.3f}" for row in (0, -1)))
        held = sorted(len(outcome.held(layer)) for outcome in outcomes)
        told = float(np.mean([outcome.resolved[:, i] for outcome in outcomes]))
        rows.append((layer, *ends, f"{reach(held)} of {many}", f"{told:.0%}"))
    header = ("layer", *FAMILIES, "frequencies held", "records with a gap")
    caption = (
        "Overlaps with waves at the start and in the end, means over seeds; frequencies of a + b held in the end, "
        "least and most of all seeds; records at which the last eigenvalue that counts is told from the next."
    )
    return Table(header, tuple(rows), caption)


def _ahead(outcomes: Sequence[Outcome], layer: str, accuracy: float) -> Interval | None:
    return lead([one.rose(layer) for one in outcomes], [one.generalised(accuracy) for one in outcomes])


def _cell(moments: Sequence[Moment]) -> Interval | str:
    found = over_seeds(moments)
    return found if found is not None else f"never in {never(moments)} of {len(moments)} seeds"


def _short(one: Interval | None) -> str:
    return "never, in some seed" if one is None else f"{one.estimate:.0f}"


def _numbers(outcomes: Sequence[Outcome], accuracy: float) -> Mapping[str, Any]:
    def plain(moments: Sequence[Moment]) -> list[list[float]]:
        return [[one.after, one.by] for one in moments]

    layers = outcomes[0].layers
    return {
        "k": outcomes[0].k,
        "layers": list(layers),
        "features": list(outcomes[0].features),
        "memorised": plain([one.memorised(accuracy) for one in outcomes]),
        "generalised": plain([one.generalised(accuracy) for one in outcomes]),
        "rose": {layer: plain([one.rose(layer) for one in outcomes]) for layer in layers},
        "lead": {layer: _ahead(outcomes, layer, accuracy) for layer in layers},
        "held": {layer: [one.held(layer) for one in outcomes] for layer in layers},
        "accuracy": {end: [float(getattr(one, end)[-1]) for one in outcomes] for end in ("train", "test")},
    }
