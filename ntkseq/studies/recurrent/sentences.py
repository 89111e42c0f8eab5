"""What sentences of studies of recurrent networks share: bounds that say something, networks beside their kernel."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ntkseq._outward import outward
from ntkseq.studies.recurrent.cases import Trained
from ntkseq.studies.sentences import lost, reach

TRIVIAL = 1.0
"""What the mean of min(1, |f - y|) cannot exceed."""


def speaking(known: Sequence[tuple[str, float, float, bool]], n: int) -> str:
    """How many bounds of the error, before any label, say something, and the one that says most.

    Args:
        known: target, value of the bound at n, measured error, whether it is certified.
        n: examples.
    """
    sure = [one for one in known if one[3] and one[1] < TRIVIAL]
    if not sure:
        return f"What is proved of the error before any label says nothing at n = {n}."
    name, value, measured, _ = min(sure, key=lambda one: one[1])
    return (
        f"Before any label the error is proved to be below {TRIVIAL:g} for {len(sure)} of {len(known)} targets at n = "
        f"{n}, at best <= {outward(value, digits=3)} where {measured:.2g} was measured ({name})."
    )


def networks(trained: Sequence[Trained], width: int) -> str:
    """How much more networks of a width err than the kernel machine trained as long; empty where there are none."""
    if not trained:
        return ""
    settled = [one for one in trained if one.network.width == width and one.network.diverged_at is None]
    gone = sum(one.network.diverged_at is not None for one in trained)
    failed = lost(gone, len(trained), "networks", "lower --rate")
    ratios = [one.network.errors.mean / one.kernel.mean for one in settled if one.kernel.mean > 0]
    ratios = [ratio for ratio in ratios if math.isfinite(ratio)]
    if not ratios:
        return f"No network of width {width} can be compared with its kernel. {failed}".rstrip()
    told = f"networks of width {width} err {reach(ratios, 2)} times as much as the kernel trained as long"
    runs = f"{len(ratios)} run{'' if len(ratios) == 1 else 's'}"
    return f"Trained by SGD, {told} ({runs}, least to largest). {failed}".rstrip()
