"""Which uses of which leaf are contracted together? Groups of sites; the rest is left to plain Jacobians."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import defaultdict

import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkseq._precision import is_complex, wide
from ntkseq.empirical.sites import Site
from ntkseq.empirical.tags import Place
from ntkseq.empirical.taps import Tapper
from ntkseq.empirical.twins import Twins, earliest
from ntkseq.empirical.views import Leaf, disjoint


@dataclasses.dataclass(frozen=True)
class Bucket:
    """Sites of one leaf whose factors are laid end to end along their uses.

    Beside each site stand those of other leaves that have its delta: their records are one longer record.
    """

    kind: str
    record_first: bool
    sites: tuple[tuple[tuple[Place, Site], ...], ...]

    @property
    def rows(self) -> bool:
        """Whether the first factor holds row numbers of a table instead of numbers."""
        return self.kind == "rows"

    @property
    def uses(self) -> int:
        return sum(beside[0][1].uses for beside in self.sites)


@dataclasses.dataclass(frozen=True)
class Group:
    """J = sum over buckets and uses of first factor (x) second factor: all that one view of one leaf does.

    `members` are the trained leaves behind it: several if a concatenation joined them, or if they share their deltas.
    """

    members: tuple[int, ...]
    buckets: tuple[Bucket, ...]

    @property
    def stack(self) -> int:
        """B, the number of matrices."""
        return self.buckets[0].sites[0][0][1].stack

    @property
    def extents(self) -> tuple[int, int]:
        """c and d, the two sides of a matrix."""
        beside = [site.extents for _, site in self.buckets[0].sites[0]]
        if self.buckets[0].sites[0][0][1].record_first:
            return sum(c for c, _ in beside), beside[0][1]
        return beside[0][0], sum(d for _, d in beside)

    @property
    def uses(self) -> int:
        """T, how often an example uses it."""
        return sum(bucket.uses for bucket in self.buckets)

    @property
    def rows(self) -> bool:
        return any(bucket.rows for bucket in self.buckets)

    @property
    def places(self) -> list[tuple[Place, Site]]:
        return [pair for bucket in self.buckets for beside in bucket.sites for pair in beside]


def arrange(tapper: Tapper, single: bool, join: bool = True, beside: bool = True) -> tuple[list[Group], set[int]]:
    """The groups of a function that was run once, and the leaves that stay plain.

    single: whether there is one output, so that records and deltas have the same axes.
    join: whether leaves joined by a concatenation may share a group.
    beside: whether leaves with the same deltas share one.
    """
    by_leaf: dict[Leaf, dict[tuple, list[tuple[Place, Site]]]] = defaultdict(lambda: defaultdict(list))
    for place, site in tapper.sites.items():
        by_leaf[site.leaf][site.chain].append((place, site))
    behind = lambda leaf: frozenset([leaf]) if isinstance(leaf, int) else tapper.joined[leaf]  # noqa: E731
    plain = set(tapper.plain)
    for leaf, chains in by_leaf.items():
        apart = all(disjoint(one, other) for one, other in itertools.combinations(chains, 2))
        alike = all(len({(s.batch, s.first, s.second) for _, s in found}) == 1 for found in chains.values())
        alone = all(leaf == other or not behind(leaf) & behind(other) for other in by_leaf)
        if not (apart and alike and alone and (join or isinstance(leaf, int))):
            plain |= behind(leaf)
    while touched := [leaf for leaf in by_leaf if behind(leaf) & plain and not behind(leaf) <= plain]:
        for leaf in touched:
            plain |= behind(leaf)
    groups = []
    for leaf, chains in by_leaf.items():
        if behind(leaf) <= plain:
            continue
        for found in chains.values():
            buckets: dict[tuple[str, bool], list[tuple[Place, Site]]] = defaultdict(list)
            for place, site in found:
                kind = "rows" if site.kind == "rows" else "dense"
                buckets[kind, site.record_first or single].append((place, site))
            parts = tuple(Bucket(kind, first, tuple((p,) for p in pairs)) for (kind, first), pairs in buckets.items())
            groups.append(Group(tuple(sorted(behind(leaf))), parts))
    return _side_by_side(groups, tapper.twins) if beside else groups, plain


def _side_by_side(groups: list[Group], twins: Twins) -> list[Group]:
    """Groups with the same deltas at all their sites become one: h W + u U is (h, u) times the two matrices stacked."""
    found: dict[object, Group] = {}
    for group in groups:
        key: object = group
        if len(group.buckets) == 1 and not group.rows:
            key = tuple(
                (earliest(place, twins)[0], site.record_first, site.order, site.sizes, site.loops, site.dtype)
                for place, site in group.places
            )
        other = found.get(key)
        if other is None or set(other.members) & set(group.members):
            found[group if key in found else key] = group
            continue
        (mine,), (theirs,) = group.buckets, other.buckets
        sites = tuple((*one, *two) for one, two in zip(theirs.sites, mine.sites, strict=True))
        found[key] = Group(tuple(sorted({*other.members, *group.members})), (dataclasses.replace(theirs, sites=sites),))
    return list(found.values())


def factors(group: Group, records: dict, deltas: dict, single: bool) -> tuple[tuple[Array, Array], ...]:
    """Of each bucket two real factors (n, [o,] B, T, c) and (n, [o,] B, T, d), all of one dtype.

    The one that is a delta has the axis of the outputs. Row numbers are (n, B, T).

    Args:
        records: place -> (n, loops, ...).
        deltas: place -> (n, o, loops, ...).
        single: whether there is one output.
    """
    found = [_factors(bucket, records, deltas, single) for bucket in group.buckets]
    dtypes = {a.dtype for pair in found for a in pair if jnp.issubdtype(a.dtype, jnp.floating)}
    if len(dtypes) > 1:  # uses in several precisions
        dtype = wide(*dtypes)
        cast = lambda a: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a  # noqa: E731
        found = [(cast(one), cast(two)) for one, two in found]
    return tuple(found)


def _factors(bucket: Bucket, records: dict, deltas: dict, single: bool) -> tuple[Array, Array]:
    first, second = [], []
    for beside in bucket.sites:
        place, site = beside[0]
        parts = [_laid_out(records[one], other, 1, delta=False) for one, other in beside]
        record, delta = _real(_joined(parts, -1), _laid_out(deltas[place], site, 2, delta=True))
        if single:
            delta = delta[:, 0]
        one, two = (record, delta) if site.record_first else (delta, record)
        first.append(one)
        second.append(two)
    axis = 3 if not single and not bucket.record_first else 2
    other = 3 if not single and bucket.record_first else 2
    return _joined(first, axis), _joined(second, other)


def _real(record: Array, delta: Array) -> tuple[Array, Array]:
    """Real factors whose product over uses is the real part of the sum of a_t (x) delta_t, as for a real leaf."""
    if not is_complex(delta.dtype):
        return (record.real if is_complex(record.dtype) else record), delta
    if not is_complex(record.dtype):
        return record, delta.real
    return jnp.concatenate([record.real, record.imag], -2), jnp.concatenate([delta.real, -delta.imag], -2)


def _joined(parts: list[Array], axis: int) -> Array:
    """End to end along an axis, in a dtype that holds all of them."""
    if len(parts) == 1:
        return parts[0]
    dtypes = {part.dtype for part in parts}
    if len(dtypes) > 1:
        dtype = np.dtype(wide(*dtypes))
        dtype = np.promote_types(dtype, np.complex64) if any(map(is_complex, dtypes)) else dtype
        parts = [part.astype(dtype) for part in parts]
    return jnp.concatenate(parts, axis)


def _laid_out(array: Array, site: Site, lead: int, delta: bool) -> Array:
    """(lead, loops, own axes) -> (lead, B, T, rest): loops over the leaf's own axes go to B, all others to T."""
    count = len(site.loops)
    loops = array.shape[lead : lead + count]
    if delta:
        order = [*range(lead + count), *(lead + count + k for k in site.order)]
        array = array.transpose(order).reshape(*array.shape[:lead], *loops, *site.sizes)
    stacked = [k for k, (_, own) in enumerate(site.loops) if own]
    others = [k for k, (_, own) in enumerate(site.loops) if not own]
    at = lead + count
    rest = range(at + 2, array.ndim)
    array = array.transpose(*range(lead), *(lead + k for k in stacked), at, *(lead + k for k in others), at + 1, *rest)
    own = math.prod(loops[k] for k in stacked) * array.shape[lead + len(stacked)]
    uses = math.prod(loops[k] for k in others) * array.shape[at + 1]
    return array.reshape(*array.shape[:lead], own, uses, *array.shape[at + 2 :])
