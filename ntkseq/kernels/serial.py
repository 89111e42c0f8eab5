"""What is the infinite-width kernel of a network on tokens, built of blocks? Its NTK and its NNGP kernel."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, blocks
from ntkseq._layers import scalar
from ntkseq._precision import product, safe_sqrt
from ntkseq._struct import fill, static, struct
from ntkseq._types import AnyModel, DType, Flag, Inputs, Integer, Lengths, Number
from ntkseq.kernels import (
    jolts,
    particle_batches,
    particle_blocks,
    passes,
    presets,
    recurrence,
    scans,
    serial_group,
    tokens,
)
from ntkseq.kernels.base import Kernel, Side
from ntkseq.kernels.chordal import unfold
from ntkseq.kernels.finite_width import check_limit, warn_of_blocks
from ntkseq.kernels.layers import all_finite, read_weights
from ntkseq.kernels.matrix_normal import GROUPS
from ntkseq.kernels.particle_network import Network
from ntkseq.kernels.parts import Parts, student
from ntkseq.kernels.root_attention import sampled, seeded
from ntkseq.kernels.tokens import Context, Features, How

READS = ("mean", "last", "first", "sum")
_MOST, _WIDEST = 16, 1 << 14  # features per token beyond which pairs are cheaper: in units of d + t; without any pair


@struct
class Serial(Kernel):
    """The limit of a network of blocks in a row, read out by f = (sigma_r / sqrt n) R h, h the pooled tokens.

    Up to the first activation the network is carried by explicit features of each sequence, then by pairs of tokens:
    see `ntkseq.kernels.tokens`. A network without activations costs one product of matrices in all.

    Args:
        *parts: blocks of `ntkseq.blocks`, or names of activations. The first one that maps the d features to the
            width is `Linear`, `Convolution`, `GLU`, or an `Attention` that projects; activations, LayerNorm, Residual
            and Positions stand behind it. An activation needs Gaussian tokens: a `Linear`, a `Convolution`, or an
            `Attention` that projects, must stand between two of them, and behind a `GLU`; not where the network is
            sampled, since particles may have any law.
        read: "mean" or "sum" over a sequence's own tokens, its "last" or its "first" token.
        sigma_r: standard deviation of the read-out. A leaf.
        train_readout: whether the read-out is trained.
        input_scale: "dim" for <x, x'> / d, "none" for <x, x'>.
        kind: "ntk" or "nngp" (covariance of the outputs; what is trained plays no role).
        param: "ntk" (gradients of the raw parameters carry their sigma) or "raw" (gradients are taken without them;
            not with an `Attention` that projects, whose sigmas belong to several groups at once).
        particles, batches, seed: as of `Gated`, for a network with a `cells.GRU` or a `cells.LSTM`: then all of it is
            sampled, by `particles` in each layer. Without such a cell they play no role.

    Raises:
        ValueError: something that is no block, blocks in an order whose limit is not known, unknown words, particles
            that do not divide into batches.

    Reference: hron2020attention (attention at infinite width); yang2020tp2 (transformers).

    Example:
        >>> import jax
        >>> from ntkseq import kernels
        >>> from ntkseq.blocks import Attention, LayerNorm, Linear, Residual
        >>> x = jax.random.normal(jax.random.key(0), (3, 5, 2))  # n = 3 sequences, t = 5 tokens, d = 2 features
        >>> kernel = kernels.Serial(Linear(), Residual(LayerNorm(), Attention()), Linear(2**0.5), "relu")
        >>> kernel(x).shape
        (3, 3)
    """

    _elsewhere: ClassVar[dict[str, str]] = {
        **Kernel._elsewhere,
        **dict.fromkeys(("depth", "layers", "num_layers"), "Layers stand in a row: Serial(Linear(), *3 * block)."),
    }

    blocks: tuple[blocks.Block, ...] = ()
    sigma_r: Any = 1.0
    read: str = static(default="mean")
    train_readout: bool = static(default=True)
    input_scale: str = static(default="dim")
    kind: str = static(default="ntk")
    param: str = static(default="ntk")
    particles: int = static(default=4096)
    batches: int = static(default=8)
    seed: int = static(default=0)

    references = ("hron2020attention", "yang2020tp2")

    def __init__(
        self,
        *parts: Any,
        read: str = "mean",
        sigma_r: Number = 1.0,
        train_readout: Flag = True,
        input_scale: str = "dim",
        kind: str = "ntk",
        param: str = "ntk",
        particles: Integer = 4096,
        batches: Integer = 8,
        seed: Integer = 0,
    ) -> None:
        _checks.scale("sigma_r", sigma_r)
        words = (("read", read, READS), ("input_scale", input_scale, ("dim", "none")), ("kind", kind, ("ntk", "nngp")))
        for choice in (*words, ("param", param, ("ntk", "raw"))):
            _checks.choice(*choice)
        train_readout = _checks.flag("train_readout", train_readout)
        parts = blocks.sequence("Serial", parts)
        passes.check(parts, raw=param == "raw", sampled=particle_batches.needed(parts))
        given = {"blocks": parts, "sigma_r": sigma_r, "read": read, "train_readout": train_readout}
        fill(self, **given, input_scale=input_scale, kind=kind, param=param)
        particles, batches, seed = particle_batches.check(particles, batches, seed)
        fill(self, particles=particles, batches=batches, seed=seed)
        if self.by_particles:
            particle_blocks.check(parts, particles // batches)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Serial:
        """The kernel of the network of a paper, "yang-transformer".

        Args:
            name, **changes: see `ntkseq.kernels.presets.serial`.

        Raises:
            ValueError: an unknown name or argument, a negative variance.

        Example:
            >>> from ntkseq import kernels
            >>> len(kernels.Serial.preset("yang-transformer", depth=2).blocks)
            10
        """
        layers, options = presets.serial(name, changes)
        return cls(*layers, **options)

    def with_(self, **changes: Any) -> Serial:
        """A copy with some arguments changed; `blocks` as a tuple."""
        arguments = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)} | changes
        return Serial(*arguments.pop("blocks"), **arguments)

    @property
    def sampled(self) -> bool:
        """Whether values are Monte Carlo estimates: of gated cells, and of softmax attention at scaling "root"."""
        return self.by_particles or any(map(sampled, blocks.every(self.blocks)))

    @property
    def by_particles(self) -> bool:
        """Whether the whole network is sampled, since a cell has no closed form."""
        return particle_batches.needed(self.blocks)

    def network(self) -> Network:
        """The network by the particles of one batch, for one that is sampled so."""
        return particle_batches.network(self, passes.without_identities(self.blocks))

    @property
    def estimated(self) -> str:
        return "" if self.sampled else "measured at pairs of examples computed again, not proved"

    def how(self, same: Flag, group: Number | None = None, jolt: Any = None) -> How:
        """How pairs are computed, by one `group` of draws or all, with a `jolt` for what is traced or none."""
        return How(same=same, raw=self.param == "raw", tangent=self.kind == "ntk", group=group, jolt=jolt)

    def prepare(self, x: Inputs, lengths: Lengths = None) -> Side:
        """Run every sequence against itself through all blocks.

        Args:
            x: (n, t, d), padded on the right.
            lengths: (n,) integers in 1..t; None means all t. What stands behind a length is never looked at.

        Returns:
            Arrays with leading axis n: attention matrices, standard deviations, features.

        Raises:
            ValueError: wrong rank, NaN or infinity, lengths out of range, numbers that overflow the dtype, a token of
                variance 0 at a LayerNorm without eps.
        """
        if self.by_particles:
            return particle_batches.prepare(self, x, lengths)
        x, lengths = _checks.sequences("x", x, lengths)
        still = jolts.none(x)
        side, finite, silent = _prepare(self, x, lengths, still, None)
        if _checks.is_concrete(silent) and bool(silent):
            raise ValueError(particle_batches.SILENT)
        _checks.no_overflow(finite, x.dtype, f"{len(self.blocks)} blocks", "the sigmas of the blocks")
        if self.sampled:
            sides = [_prepare(self, x, lengths, still, jnp.int32(g))[0] for g in range(GROUPS)]
            side["groups"] = jax.tree.map(lambda *leaves: jnp.stack(leaves, axis=1), *sides)
        return side

    def tile(self, left: Side, right: Side) -> Float[Array, "n m"]:
        if self.by_particles:
            return particle_batches.tile(self, left, right)
        return _tile(self, _mean_of(left), _mean_of(right), None)

    def diag_side(self, side: Side) -> Float[Array, " n"]:
        if self.by_particles:
            return particle_batches.tile(self, side, None)
        if self.sampled:
            return _diag(self, _mean_of(side), None)
        still = np.zeros((), side["size"].dtype)
        return _each(self, side, side, np.bool_(True), still)

    def standard_error(self, left: Side, right: Side) -> Float[Array, "n m"] | None:
        """Monte Carlo standard error, from the spread of independent groups of draws through the whole network.

        Beside it stands a bias of order 1 / samples, where blocks behind the sampled one are not linear in it.
        """
        if self.by_particles:
            return particle_batches.standard_error(self, left, right)
        if "groups" not in left:
            return None
        pick = lambda side, g: jax.tree.map(lambda a: a[:, g], side["groups"])  # noqa: E731
        values = jnp.stack([_tile(self, pick(left, g), pick(right, g), jnp.int32(g)) for g in range(GROUPS)])
        return jnp.std(values, axis=0, ddof=1) / GROUPS**0.5

    def parts(self, side: Side) -> Parts | None:
        """The independent groups of draws, each through the whole network; None if nothing is sampled."""
        if self.by_particles:
            return particle_batches.parts(self, side)
        return serial_group.parts(self, side, self._rounded(side)) if "groups" in side else None

    def of_group(self, left: Side, right: Side | None, group: Number) -> Array:
        """`tile`, or `diag_side` of `left` without `right`, by one group of draws, for which they were prepared."""
        return _diag(self, left, group) if right is None else _tile(self, left, right, group)

    def entry_rounding(self, side: Side) -> float:
        """Upper estimate of |computed - exact| / sqrt(K_ii K_jj).

        The pairs of sequences that are most at risk are computed again with the errors of every block made large: see
        `kernels.jolts`. Nearly equal tokens lose most, where a kink stands behind attention or a smooth activation.
        """
        if self.by_particles:
            return particle_batches.entry_rounding(self, side)
        worst = self._rounded(side)
        few = jax.tree.map(lambda leaf: leaf[:4], side)
        sampling = self.standard_error(few, few)
        if sampling is not None:  # the largest of a few pairs
            inv = tokens.inverse(safe_sqrt(self.diag_side(few)))
            worst += student(GROUPS) * float(jnp.max(sampling * inv[:, None] * inv[None, :]))
        return worst

    def cross_rounding(self, left: Side, right: Side) -> float:
        return self.entry_rounding(jax.tree.map(lambda a, b: jnp.concatenate([a, b]), left, right))  # all pairs

    def _rounded(self, side: Side) -> float:
        """`entry_rounding` without the error of the sampling."""
        eps = float(jnp.finfo(side["size"].dtype).eps)
        worst = (16 if passes.by_series(self.blocks) else 4) * eps * max(1.0, float(jnp.max(side["size"])))
        if self.sampled:
            return worst + (64 * eps) ** 0.5
        again = lambda jolts: _prepare(self, side["x"], side["lengths"], jolts, None)[0]  # noqa: E731
        return worst + jolts.response(again, partial(_each, self), side)

    def scales(self) -> list[Any]:
        return particle_batches.squares(self)

    def entries_per_pair(self, side: Side) -> int:
        if self.by_particles:
            return max(16, side["x"].shape[1])  # so many that a batch of small tiles holds few sequences
        if "pooled" in side:
            return 1
        return (16 * GROUPS if "groups" in side else 6) * side["std"].shape[1] ** 2

    def steps(self, side: Side) -> int:
        if self.by_particles:
            return particle_batches.steps(self, side)
        return 1 if "pooled" in side else len(side["entries"]) * side["std"].shape[1] ** 2

    def finite(self, width: int) -> AnyModel:
        """The network of that width whose limit this kernel is: a `models.Serial`.

        It warns (`empirical.HeavyTails`) as `kernels.Recurrent.finite` does, of each `Elman` recurrence.

        Raises:
            ValueError: `kind="nngp"` or `param="raw"`, which no gradient in NTK parametrisation has as its limit.
        """
        from ntkseq import models

        check_limit(self)
        warn_of_blocks(self.blocks, width)
        shared = {name: getattr(self, name) for name in ("read", "sigma_r", "train_readout", "input_scale")}
        return models.Serial(*self.blocks, width=width, **shared)  # pyright: ignore[reportAttributeAccessIssue]


def _cast(kernel: Serial, dtype: DType) -> tuple[tuple[blocks.Block, ...], Any]:
    parts = seeded(passes.without_identities(kernel.blocks))
    return jax.tree.map(lambda leaf: scalar(leaf, dtype), (parts, kernel.sigma_r))


@jax.jit
def _prepare(kernel: Serial, x: Array, lengths: Array, jolts: Any, group: Number | None) -> tuple[Side, Array, Array]:
    parts, sigma_r = _cast(kernel, x.dtype)
    n, t, d = x.shape
    inside = jnp.arange(t, dtype=lengths.dtype)[None] < lengths[:, None]
    how = kernel.how(same=True, group=group)
    context = Context(inside, jolts, raw=how.raw, tangent=how.tangent, group=group)
    scale = d**-0.5 if kernel.input_scale == "dim" else 1.0
    features = Features(x * scale, jnp.zeros((n, t, 0), x.dtype))
    out = read_weights(kernel.read, inside, lengths, x.dtype)
    at = passes.pooled_at(parts, kernel.read)
    features, rest = _featured(parts, features, context)
    if at is not None and len(parts) - len(rest) == at:
        context = context.at_one()
        features = recurrence.pooled(parts[at], features, kernel.read, inside, context)
        out = context.inside.astype(x.dtype)
        features, rest = _featured(rest[1:], features, context)
    parts, linear = rest, not rest
    std = safe_sqrt(jnp.sum(features.f**2, axis=-1))
    own_v, v = _head(kernel, sigma_r)
    if linear:
        pool = lambda a: jnp.einsum("nt,ntp->np", out, a, precision="highest")  # noqa: E731
        pooled = [safe_sqrt(own_v) * pool(features.f)] + ([v * pool(features.g)] if how.tangent else [])
        side: Side = {"pooled": jnp.concatenate(pooled, axis=-1)}
        values, tangent = jnp.sum(side["pooled"] ** 2, axis=-1), jnp.sum(features.g**2, axis=-1)
    else:
        start = {"f": jnp.swapaxes(features.f * tokens.inverse(std)[..., None], 1, 2), "g": features.g}
        own = tokens.Own(std, *passes.alone(lambda a, b: tokens.meet(a, b, how), start))
        entries = []
        for part in parts:
            entry, own = passes.enter(part, own, context)
            entries.append(entry)
        side = {"start": start, "entries": tuple(entries), "std": own.std, "out": out}
        std = own.std
        kap = std[:, :, None] * std[:, None, :] * (1 - 2 * unfold(own.z))
        total = own_v * kap + (0 if own.th is None else v**2 * own.th)
        values = product("na,nab,nb->n", out, total, out)
        tangent = 0 if own.th is None else jnp.diagonal(own.th, axis1=1, axis2=2)
    size = out * safe_sqrt(own_v * std**2 + v**2 * tangent)
    side["x"], side["lengths"] = x, lengths
    size = jnp.sum(size, axis=1) * tokens.inverse(safe_sqrt(values))
    side["size"] = jax.lax.stop_gradient(size) * (1 + sum(context.rounds, jnp.zeros_like(size)))
    silent = jnp.stack([jnp.zeros((), bool), *context.silent]).any()
    return side, all_finite({k: leaf for k, leaf in side.items() if k != "size"}), silent


def _featured(
    parts: tuple[blocks.Block, ...], features: Features, context: Context
) -> tuple[Features, tuple[blocks.Block, ...]]:
    """Features behind the blocks that keep them, as far as they are worth it, and the blocks that are left."""
    linear, (t, p) = all(map(passes.keeps_features, parts)), features.f.shape[1:]
    while parts and passes.keeps_features(parts[0]):
        if passes.width_behind(parts[0], features, context) > (_WIDEST if linear else _MOST * (t + p)):
            break
        features, parts = passes.through(parts[0], features, context), parts[1:]
    return features, parts


def _mean_of(side: Side) -> Side:
    return {k: leaf for k, leaf in side.items() if k != "groups"}


def _head(kernel: Serial, sigma_r: Array) -> tuple[Array, Array]:
    """Weight of the covariance of the tokens in the kernel, and the standard deviation of the read-out."""
    if kernel.kind == "nngp":
        return sigma_r**2, jnp.zeros_like(sigma_r)
    own = (jnp.ones_like(sigma_r) if kernel.param == "raw" else sigma_r**2) if kernel.train_readout else 0 * sigma_r
    return own, sigma_r


def _pairs(kernel: Serial, left: Side, right: Side, same: Flag, group: Number | None = None, jolt: Any = None) -> Array:
    if "pooled" in left:
        return product("np,mp->nm", left["pooled"], right["pooled"])
    parts, sigma_r = _cast(kernel, left["std"].dtype)
    how = kernel.how(same, group, jolt)
    pair = tokens.meet(left["start"], right["start"], how)
    count = len(left["entries"])
    for part, one, two in zip(parts[len(parts) - count :], left["entries"], right["entries"], strict=True):
        pair = passes.pair_behind(part, one, two, pair, how)
    own, v = _head(kernel, sigma_r)
    total = own * tokens.covariance(left["std"], right["std"], pair.z)
    if pair.th is not None:
        total = total + v**2 * pair.th
    return product("na,nmab,mb->nm", left["out"], total, right["out"])


@jax.jit
def _tile(kernel: Serial, left: Side, right: Side, group: Number | None) -> Array:
    return _pairs(kernel, left, right, same=False, group=group)


@jax.jit
def _diag(kernel: Serial, side: Side, group: Number | None) -> Array:
    return scans.diagonal(lambda one: _pairs(kernel, one, one, same=True, group=group), side)


@jax.jit
def _each(kernel: Serial, left: Side, right: Side, same: Flag, jolt: Any) -> Array:
    """The kernel of the first examples with each other, of the second ones, ...: one program, and the diagonal's."""
    return scans.each(lambda one, two: _pairs(kernel, one, two, same, jolt=jolt), left, right)
