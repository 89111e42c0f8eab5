"""Which order of contraction is cheapest for a group of sites? Counted in multiply-adds, weighted by what they take."""

from __future__ import annotations

import dataclasses

from ntkseq.empirical.contract import BLOCK, Outputs
from ntkseq.empirical.groups import Group

GRAM, WEIGHTS, ROWS = "gram", "weights", "jacobian"
ORDERS = (GRAM, WEIGHTS, ROWS)

SIZE = 4
"""Bytes of a number."""
REPEATED = 4
"""Times more numbers that factors may be than gradients, where these are summed up over uses."""


@dataclasses.dataclass(frozen=True)
class Speeds:
    """Seconds that a device takes, as `calibrate` measures them.

    product: per multiply-add of one large matrix product.
    uses: per multiply-add between the uses of two examples, in tiles.
    entry: per product of two uses that is multiplied and summed.
    written: per entry of a weight gradient that is made and read again.
    """

    product: float
    uses: float
    entry: float
    written: float
    source: str = "assumed"


@dataclasses.dataclass(frozen=True)
class Cost:
    """What an order takes: multiply-adds, numbers held beside the factors, and seconds."""

    order: str
    work: float
    held: float
    seconds: float


def orders(group: Group, n: int, m: int, outputs: Outputs, square: bool, speeds: Speeds) -> list[Cost]:
    """The possible orders for n x m examples, cheapest first.

    square: whether the two batches are one, so that half of the products is enough.
    """
    (c, d), t, b, o = group.extents, group.uses, group.stack, outputs.count
    half = 0.5 if square and n > 1 else 1.0
    pairs = n * m * half * b * t * t
    kept = o * o if outputs.out == "op" else o
    sides = c + d * kept if group.buckets[0].record_first else c * kept + d
    gram = pairs * (d * kept if group.rows else sides)
    passes = pairs * (2 if outputs.out == "" else 2 * kept)
    found = [Cost(GRAM, gram, passes, speeds.uses * gram + speeds.entry * passes)]
    examples = n if square else n + m
    make = examples * o * b * t * c * d
    meet = n * m * b * c * d * kept
    written = examples * o * b * c * d
    reach = min(1.0, written * SIZE / BLOCK)  # what stays in cache is written and read again for little
    seconds = speeds.product * (make + meet) + speeds.written * written * reach
    found.append(Cost(WEIGHTS, make + meet, written, seconds))
    return sorted(found, key=lambda cost: cost.seconds)


def structured(group: Group, outputs: Outputs, speeds: Speeds, n: int = 64) -> bool:
    """Whether to keep the group's factors, rather than the Jacobian rows of its leaves: what is cheaper.

    Decided for a batch of n, whatever the batch is: two batches of one kernel are to fit together.
    """
    (c, d), b, o = group.extents, group.stack, outputs.count
    if orders(group, n, n, outputs, True, speeds)[0].order == GRAM:
        return True
    convolution = any(site.kind == "convolution" for _, site in group.places)  # the patches have to be made
    return factor_entries(group, o) < (1 if convolution else REPEATED) * o * b * c * d


def factor_entries(group: Group, o: int) -> int:
    """Numbers that the factors of one example hold."""
    (c, d), total = group.extents, 0
    for bucket in group.buckets:
        first, second = (1 if bucket.rows else c, d)
        total += bucket.uses * group.stack * (first + o * second if bucket.record_first else o * first + second)
    return total
