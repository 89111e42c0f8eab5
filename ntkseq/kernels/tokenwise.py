"""How does a block that treats each token alike act: Linear, activation, LayerNorm, Positions?"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import activations, blocks
from ntkseq._precision import safe_sqrt
from ntkseq.activations import is_rectifier
from ntkseq.kernels import duals
from ntkseq.kernels.chordal import fold, folded, second_moment
from ntkseq.kernels.tokens import (
    Context,
    Entry,
    Features,
    How,
    Own,
    Pair,
    Rule,
    chord,
    column,
    covariance,
    inverse,
    mix,
    row,
)
from ntkseq.models.attention import position_root

# ------------------------------------------------------------------------------------------------------ Linear


def _linear_features(block: blocks.Linear, x: Features, context: Context) -> Features:
    w, one = block.sigma_w, jnp.ones_like(x.f[..., :1])
    b, letters, g = block.sigma_b * one, context.letters(block), [block.sigma_w * x.g]
    if "W" in letters:
        g.append(x.f if context.raw else w * x.f)
    if "b" in letters:
        g.append(one if context.raw else b)
    return Features(jnp.concatenate([w * x.f, b], axis=-1), jnp.concatenate(g, axis=-1))


def _linear_enter(block: blocks.Linear, own: Own, context: Context) -> tuple[Entry, Array]:
    std = safe_sqrt((block.sigma_w * own.std) ** 2 + block.sigma_b**2)
    inv = inverse(std)
    return {"in": own.std, "x": block.sigma_w * own.std * inv, "b": block.sigma_b * inv}, std


def _linear_pair(block: blocks.Linear, left: Entry, right: Entry, pair: Pair, how: How) -> Pair:
    z = mix((left["x"], right["x"], pair.z), (left["b"], right["b"], None))
    th = pair.th
    if th is not None:
        w, b = (1, 1) if how.raw else (block.sigma_w**2, block.sigma_b**2)
        th = block.sigma_w**2 * th
        if "W" in block.train:
            th = th + w * covariance(left["in"], right["in"], pair.z)
        if "b" in block.train:
            th = th + b
    return Pair(z, th)


# ------------------------------------------------------------------------------------------------ Nonlinearity


def behind(
    act: activations.Activation, std: Float[Array, "*n"]
) -> tuple[Entry, Float[Array, "*n"], Float[Array, "*n"]]:
    """What pairs need of each token at an activation, the standard deviation behind it, and E[phi'^2]."""
    if isinstance(act, activations.Identity):
        return {}, std, jnp.ones_like(std)
    if is_rectifier(act):
        moment = jnp.asarray(second_moment(act.positive, act.negative), std.dtype)
        return {}, safe_sqrt(moment) * std, jnp.broadcast_to(moment, std.shape)
    it = duals.get(act)
    p = std**2
    moments = it.moments(p)
    variance, slope = it.pair(p, moments, moments)
    after = safe_sqrt(variance)
    return {"in": std, "out": after, "moments": moments}, after, slope


def _activation_enter(block: blocks.Nonlinearity, own: Own, context: Context) -> tuple[Entry, Array]:
    return behind(block.activation, own.std)[:2]


def activation_pair(block: blocks.Nonlinearity, left: Entry, right: Entry, pair: Pair, how: How) -> Pair:
    """A pair of sequences behind an activation."""
    act = block.activation
    if isinstance(act, activations.Identity):
        return pair
    if is_rectifier(act):
        gain, slope = folded(pair.z, act.positive, act.negative)
        moment = second_moment(act.positive, act.negative)
        return Pair(fold(gain, 1 - gain), None if pair.th is None else moment * slope * pair.th)
    c = covariance(left["in"], right["in"], pair.z)
    it, noise = duals.get(act), 4.0
    if how.jolt is not None:
        root = row(left["in"]) * column(right["in"])
        equal = (pair.z == 0) & (row(left["in"]) == column(right["in"]))  # by the same roundings on either side
        noise = jnp.where(equal, 0, 32.0 if it.by_series else 4.0)
        units = 8.0 if it.by_series else 2.0
        c = c - jnp.where(equal, 0, how.jolt * units * float(jnp.finfo(c.dtype).eps) * root)
    moments = tuple(map(row, left["moments"])), tuple(map(column, right["moments"]))
    k, slope = it.pair(c, *moments)
    z = chord(k, left["out"], right["out"], how, noise)
    return Pair(z, None if pair.th is None else slope * pair.th)


# ------------------------------------------------------------------------------------------- LayerNorm, Positions


def _normaliser(block: blocks.LayerNorm, variance: Array, context: Context) -> Array:
    """1 / sqrt(variance + eps)."""
    total = variance + block.eps
    context.silent.append(jnp.any(context.inside & ~(total > 0)))
    return inverse(safe_sqrt(total))


def _norm_features(block: blocks.LayerNorm, x: Features, context: Context) -> Features:
    scale = _normaliser(block, jnp.sum(x.f * x.f, axis=-1), context)[..., None]
    return Features(x.f * scale, x.g * scale)


def _norm_enter(block: blocks.LayerNorm, own: Own, context: Context) -> tuple[Entry, Array]:
    scale = _normaliser(block, own.std**2, context)
    return {"scale": scale}, own.std * scale


def _norm_pair(block: blocks.LayerNorm, left: Entry, right: Entry, pair: Pair, how: How) -> Pair:
    return Pair(pair.z, None if pair.th is None else row(left["scale"]) * column(right["scale"]) * pair.th)


def _position_features(block: blocks.Positions, x: Features, context: Context) -> Features:
    n, t, _ = x.f.shape
    root = position_root(block.decay, t, x.f.dtype)
    f = jnp.concatenate(
        [safe_sqrt(1 - block.share) * x.f, jnp.broadcast_to(safe_sqrt(block.share) * root, (n, t, t))], -1
    )
    return Features(f, safe_sqrt(1 - block.share) * x.g)


def _position_enter(block: blocks.Positions, own: Own, context: Context) -> tuple[Entry, Array]:
    std = safe_sqrt((1 - block.share) * own.std**2 + block.share)
    inv = inverse(std)
    return {"x": safe_sqrt(1 - block.share) * own.std * inv, "p": safe_sqrt(block.share) * inv}, std


def _position_pair(block: blocks.Positions, left: Entry, right: Entry, pair: Pair, how: How) -> Pair:
    t, s = pair.z.shape[2:]
    gap = (jnp.arange(t)[:, None] - jnp.arange(s)[None]).astype(pair.z.dtype)[None, None]
    if block.decay is None:
        m = jnp.where(gap == 0, 0, 0.5).astype(gap.dtype)
    else:
        m = -jnp.expm1(-block.decay * gap**2) / 2
    z = mix((left["x"], right["x"], pair.z), (left["p"], right["p"], m))
    return Pair(z, None if pair.th is None else (1 - block.share) * pair.th)


RULES: dict[type, Rule] = {
    blocks.Linear: Rule(_linear_features, _linear_enter, _linear_pair),
    blocks.Nonlinearity: Rule(None, _activation_enter, activation_pair),
    blocks.LayerNorm: Rule(_norm_features, _norm_enter, _norm_pair),
    blocks.Positions: Rule(_position_features, _position_enter, _position_pair),
}
