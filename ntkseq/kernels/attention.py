"""What does attention do to the kernel of two sequences, when there are infinitely many heads?

At scaling "dim" (tied Wq = Wk) the attention matrix is a fixed function of each sequence:

    A_i = zeta(sigma_qk kap_ii),   B_i = A_i, or A_i + I where `skip` adds tokens that were not projected
    kap <- sigma_ov^2 B_i kap_ij B_j^T + sigma_b^2                                                     (tokens.12)
    th  <- sigma_ov^2 B_i (th_ij + ([V] + [O]) kap_ij) B_j^T + [b] sigma_b^2

[V] is 1 if V is trained. Wq and Wk have no share in th: their gradients vanish. Without projections sigma_ov = 1,
sigma_b = 0 and [V] = [O] = 0. At scaling "root" scores are Gaussian, with covariance sigma_qk^2 kap_ab kap_cd between
(a, c) of i and (b, d) of j. For zeta the identity, S = sum over c, d of kap_cd^2, T = sum of kap_cd th_cd:

    kap <- sigma_qk^2 sigma_ov^2 S kap + sigma_b^2                                                     (tokens.10)
    th  <- sigma_qk^2 sigma_ov^2 (S th + 2 T kap + ([Q] + [K] + [V] + [O]) S kap) + [b] sigma_b^2

S th comes through the token that asks, 2 T kap through those that are looked at, as keys and as values. Squared
distances of tokens pass softmax by D_y = B D B'^T - h_a - h'_b, h half of D of a token's own average with itself.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ntkseq import blocks
from ntkseq._layers import count_trained
from ntkseq._precision import product, safe_sqrt
from ntkseq.kernels import root_attention
from ntkseq.kernels.chordal import unfold
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
    settle,
)
from ntkseq.models.attention import attend


def seen_by(block: blocks.Attention, inside: Bool[Array, "n t"]) -> Bool[Array, "n t t"]:
    """Whether token a (first axis) sees token c: both in the sequence, and c <= a if causal."""
    t = inside.shape[1]
    seen = inside[:, :, None] & inside[:, None, :]
    return seen & jnp.tril(jnp.ones((t, t), bool))[None] if block.causal else seen


def matrix(block: blocks.Attention, kap: Float[Array, "n t t"], seen: Bool[Array, "n t t"]) -> Float[Array, "n t t"]:
    """The attention matrix at scaling "dim": zeta of the scores, 0 where nothing is seen."""
    return attend(block.weights, block.sigma_qk * kap, seen)


def average(block: blocks.Attention, A: Array) -> Array:
    """B of tokens.12 from A."""
    if block.project or not block.skip:
        return A
    return A + jnp.eye(A.shape[1], dtype=A.dtype)[None]


def _total(block: blocks.Attention) -> int | None:
    """The sum of every row of B, where it is one number."""
    if block.weights != "softmax":
        return None
    return 2 if block.skip and not block.project else 1


def _features(block: blocks.Attention, x: Features, context: Context) -> Features:
    if block.scaling == "root":
        return _finished(block, root_attention.features(block, x, context), x, context)
    std = safe_sqrt(jnp.sum(x.f**2, axis=-1))
    kap = context.rattle(product("nap,ncp->nac", x.f, x.f), std[:, :, None] * std[:, None, :])
    A = matrix(block, kap, seen_by(block, context.inside))
    B = average(block, A)
    f, g = product("nac,ncp->nap", B, x.f), product("nac,ncq->naq", B, x.g)
    if not block.project:
        return Features(f, g)
    if count := count_trained(context.letters(block), "VO"):
        g = jnp.concatenate([g, count**0.5 * f], -1)
    return _finished(block, Features(f, g), x, context)


def _finished(block: blocks.Attention, y: Features, x: Features, context: Context) -> Features:
    """The projected output y with its scale, bias and skip."""
    bias = jnp.full_like(y.f[..., :1], block.sigma_b)
    fs, gs = [block.sigma_ov * y.f, bias], [block.sigma_ov * y.g]
    if "b" in context.letters(block):
        gs.append(bias)
    if block.skip:
        fs.append(x.f)
        gs.append(x.g)
    return Features(jnp.concatenate(fs, -1), jnp.concatenate(gs, -1))


def _enter(block: blocks.Attention, own: Own, context: Context) -> tuple[Entry, Array]:
    if block.scaling == "root":
        return _enter_root(block, own, context)
    m = unfold(own.z)
    outer = own.std[:, :, None] * own.std[:, None, :]
    kap = outer * (1 - 2 * m)
    B = average(block, matrix(block, context.rattle(kap, outer), seen_by(block, context.inside)))
    variance = product("nac,ncd,nad->na", B, kap, B)
    mid = context.rattle(safe_sqrt(jnp.where(variance > 0, variance, 0)))
    entry: Entry = {"in": own.std, "B": B, "mid": mid}
    total = _total(block)
    if total is None:  # how much larger the terms of the average are than the average
        entry["loss"] = jax.lax.stop_gradient(jnp.sum(jnp.abs(B) * own.std[:, None, :], axis=-1) * inverse(mid))
    else:
        apart = (own.std[:, :, None] - own.std[:, None, :]) ** 2 + 4 * outer * m
        entry["half"] = product("nac,ncd,nad->na", B, apart, B) / (2 * total**2)
    if not block.project:
        return entry, mid
    std, shares = _shares(block, block.sigma_ov * mid, own.std)
    return entry | shares, std


def _shares(block: blocks.Attention, out: Array, std: Array) -> tuple[Array, dict[str, Array]]:
    """Standard deviation behind a block that projects, and the share of each part in it."""
    new = safe_sqrt(out**2 + block.sigma_b**2 + (std**2 if block.skip else 0))
    inv = inverse(new)
    return new, {"y": out * inv, "b": block.sigma_b * inv, "x": std * inv}


def _pair(block: blocks.Attention, left: Entry, right: Entry, pair: Pair, how: How) -> Pair:
    if block.scaling == "root":
        return _pair_root(block, left, right, pair, how)
    total = _total(block)
    if total is None:
        kap = _both_sides(left["B"], covariance(left["in"], right["in"], pair.z), right["B"])
        z = chord(kap, left["mid"], right["mid"], how, 4 * row(left["loss"]) * column(right["loss"]))
    else:
        a, b = row(left["in"]), column(right["in"])
        apart = _both_sides(left["B"], (a - b) ** 2 + 4 * a * b * unfold(pair.z), right["B"])
        within = total**2 * (row(left["half"]) + column(right["half"]))
        a, b = left["mid"], right["mid"]
        scale = row(inverse(a)) * column(inverse(b)) / 4
        floor = 8 * float(jnp.finfo(apart.dtype).eps) * (apart + within) * scale
        z = settle((apart - within - (row(a) - column(b)) ** 2) * scale, floor, how)
    th = None if pair.th is None else _both_sides(left["B"], pair.th, right["B"])
    if not block.project:
        return Pair(z, th)
    if th is not None:
        if count := count_trained(block.train, "VO"):
            th = th + count * covariance(left["mid"], right["mid"], z)
        th = block.sigma_ov**2 * th
    return _assembled(block, left, right, pair, Pair(z, th))


def _assembled(block: blocks.Attention, left: Entry, right: Entry, x: Pair, y: Pair) -> Pair:
    """Bias and skip added to the projected output y."""
    parts = [(left["y"], right["y"], y.z), (left["b"], right["b"], None)]
    if block.skip:
        parts.append((left["x"], right["x"], x.z))
    th = y.th
    if th is not None and x.th is not None:
        if "b" in block.train:
            th = th + block.sigma_b**2
        if block.skip:
            th = th + x.th
    return Pair(mix(*parts), th)


def _both_sides(left: Array, pair: Array, right: Array) -> Float[Array, "n m t s"]:
    half = product("nac,nmcd->nmad", left, pair)
    return product("nmad,mbd->nmab", half, right)


def _enter_root(block: blocks.Attention, own: Own, context: Context) -> tuple[Entry, Array]:
    entry, mid = root_attention.enter(block, own, seen_by(block, context.inside), context)
    std, shares = _shares(block, block.sigma_ov * mid, own.std)
    return entry | shares, std


def _pair_root(block: blocks.Attention, left: Entry, right: Entry, pair: Pair, how: How) -> Pair:
    y = root_attention.pair(block, left, right, pair, how)
    th = None if y.th is None else block.sigma_ov**2 * y.th
    return _assembled(block, left, right, pair, Pair(y.z, th))


ATTENTION = Rule(_features, _enter, _pair)
