"""What does attention at scaling "root" do to the kernel of two sequences? Scores stay Gaussian: `matrix_normal`.

identity has a closed form, tokens.10; relu and abs are sums of closed forms; softmax is sampled, with its error in
`Serial.standard_error`.
"""

from __future__ import annotations

from typing import TypeGuard

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkseq import blocks
from ntkseq._layers import count_trained
from ntkseq._precision import product, safe_sqrt
from ntkseq._struct import replace
from ntkseq.kernels import matrix_normal
from ntkseq.kernels.chordal import unfold
from ntkseq.kernels.matrix_normal import Pieces
from ntkseq.kernels.tokens import (
    Context,
    Entry,
    Features,
    How,
    Own,
    Pair,
    chord,
    column,
    covariance,
    inverse,
    row,
    settle,
)
from ntkseq.models.attention import fading


def sampled(block: blocks.Block) -> TypeGuard[blocks.Attention]:
    """Whether a block is computed by Monte Carlo."""
    return isinstance(block, blocks.Attention) and block.scaling == "root" and block.weights == "softmax"


def seeded(parts: tuple[blocks.Block, ...]) -> tuple[blocks.Block, ...]:
    """The blocks with another seed each: draws that two blocks share would correlate their errors."""
    count = 0

    def one(part: blocks.Block) -> blocks.Block:
        nonlocal count
        if isinstance(part, blocks.Residual):
            return blocks.Residual(*map(one, part.blocks))
        if not sampled(part):
            return part
        count += 1
        return replace(part, seed=(part.seed + 1_000_003 * (count - 1)) % 2**31)

    return tuple(map(one, parts))


def features(block: blocks.Attention, x: Features, context: Context) -> Features:
    """Features of tokens.10 for the identity without a causal mask, in units of sigma_ov.

    S is the inner product of F^T F and F'^T F', T that of F^T G and F'^T G': kap S has the features F (x) F^T F.
    """
    inside = context.inside[..., None].astype(x.f.dtype)
    f, g = inside * x.f, inside * x.g
    once, over = np.triu_indices(f.shape[-1])
    weight = np.where(once == over, 1.0, 2**0.5).astype(f.dtype)  # of a symmetric matrix, each pair once
    square = product("ntp,ntq->npq", f, f)[:, once, over] * weight[None]
    cross = product("ntp,ntq->npq", f, g).reshape(f.shape[0], -1)
    times = lambda a, b: (a[..., :, None] * b[:, None, None, :]).reshape(*a.shape[:2], -1)  # noqa: E731
    out = block.sigma_qk * times(f, square)
    tangent = [block.sigma_qk * times(g, square), (2**0.5 * block.sigma_qk) * times(f, cross)]
    if count := count_trained(context.letters(block), "QKVO"):
        tangent.append(count**0.5 * out)
    return Features(out, jnp.concatenate(tangent, -1))


def enter(block: blocks.Attention, own: Own, seen: Array, context: Context) -> tuple[Entry, Array]:
    """What pairs need of each sequence, without the shares of the output: mid is sigma-free, (n, t)."""
    inside = context.inside.astype(own.std.dtype)
    there = inside[:, :, None] * inside[:, None, :]
    kap = own.std[:, :, None] * own.std[:, None, :] * (1 - 2 * unfold(own.z)) * there
    entry: Entry = {"in": own.std, "inside": inside}
    if block.weights == "identity":
        norm = context.rattle(
            safe_sqrt(jnp.diagonal(seen_sum(block, kap * kap), axis1=-2, axis2=-1))
        )  # (n, t) or (n, 1)
        entry["norm"] = jnp.broadcast_to(norm, own.std.shape)
        return entry, block.sigma_qk * entry["norm"] * own.std
    entry |= {"kap": kap, "seen": seen.astype(kap.dtype)}
    how = How(same=True, raw=context.raw, tangent=False, group=context.group)

    def variance(one: Entry, z: Array) -> Array:
        one = jax.tree.map(lambda a: a[None], one)
        return jnp.diagonal(_expected(block, one, one, Pair(z[None, None], None), how)[0][0, 0])

    mid = context.rattle(safe_sqrt(jnp.maximum(jax.vmap(variance)(entry, own.z), 0)))
    # by Cauchy's inequality; relu and abs of scores sum terms of both signs
    terms = block.sigma_qk * own.std * jnp.sum((inside * own.std) ** 2, axis=1)[:, None]
    loss = jnp.maximum(jax.lax.stop_gradient(terms * inverse(mid)), 1)
    return entry | {"mid": mid, "loss": loss}, mid


def pair(block: blocks.Attention, left: Entry, right: Entry, x: Pair, how: How) -> Pair:
    """Folded m and tangent kernel of the projected output, in units of sigma_ov^2, without bias and skip."""
    there = row(left["inside"]) * column(right["inside"])
    if block.weights != "identity":
        k, th = _expected(block, left, right, x, how)
        noise = 4 * row(left["loss"]) * column(right["loss"])
        return Pair(chord(there * k, left["mid"], right["mid"], how, noise), None if th is None else there * th)
    kap = covariance(left["in"], right["in"], x.z) * there
    total = seen_sum(block, kap * kap)
    ratio = total * row(inverse(left["norm"])) * column(inverse(right["norm"]))
    floor = 8 * float(jnp.finfo(kap.dtype).eps)
    apart = jnp.clip((1 - ratio) / 2, 0, 0.5)
    apart = jnp.where(apart <= floor, 0, apart)
    m = unfold(x.z)
    z = settle(m + apart - 2 * m * apart, jnp.zeros_like(m), how, floor)
    if x.th is None:
        return Pair(z, None)
    looked = seen_sum(block, kap * x.th)
    count = count_trained(block.train, "QKVO")
    return Pair(z, block.sigma_qk**2 * (total * x.th + (2 * looked + count * total) * kap))


def seen_sum(block: blocks.Attention, values: Array) -> Array:
    """Sum over c and d that a and b see: (..., t, s) if causal, else (..., 1, 1). With decays, the mean over heads."""
    if block.decay is not None:
        one, two = (fading(block.decay, length, values.dtype) for length in values.shape[-2:])
        return product("gac,...cd,gbd->...ab", one, values, two) / len(block.decay)
    if block.causal:
        return jnp.cumsum(jnp.cumsum(values, axis=-1), axis=-2)
    return jnp.sum(values, axis=(-2, -1), keepdims=True)


def _expected(block: blocks.Attention, left: Entry, right: Entry, x: Pair, how: How) -> tuple[Array, Array | None]:
    """Covariance and tangent kernel (n, m, t, s) of softmax, relu and abs attention, in units of sigma_ov^2."""

    def one(left: Entry, right: Entry, z: Array, th: Array | None) -> tuple[Array, Array | None]:
        seen = left["seen"] > 0, right["seen"] > 0
        kap = left["in"][:, None] * right["in"][None, :] * (1 - 2 * unfold(z))
        if block.weights == "softmax":
            pieces = matrix_normal.estimate_pair(
                left["kap"], kap, right["kap"], th, block.sigma_qk, *seen,
                key=jax.random.key(block.seed), samples=block.samples, same=how.same, group=how.group,
            )  # fmt: skip
            pieces = jax.tree.map(lambda piece: jnp.mean(piece, axis=0), pieces)
        else:
            pieces = matrix_normal.elementwise(
                left["in"], right["in"], z, th, block.sigma_qk, *seen, weights=block.weights
            )
        return _outputs(pieces, kap, th, block.train)

    return jax.vmap(jax.vmap(one, (None, 0, 0, 0)), (0, None, 0, 0))(left, right, x.z, x.th)


def _outputs(pieces: Pieces, kap: Array, th: Array | None, train: str) -> tuple[Array, Array | None]:
    return pieces.values_kap, None if th is None else matrix_normal.tangent(pieces, kap, th, train)
