"""What does each block of a network on tokens compute at finite width? Its parameters, and the function."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ntkseq import blocks
from ntkseq._precision import safe_sqrt
from ntkseq._types import DType
from ntkseq.models import recurrence
from ntkseq.models.base import Params, Shape, held, product


class Sizes(NamedTuple):
    """Heads and their widths d_k, d_v of one attention block."""

    heads: int
    d_k: int
    d_v: int


class Widths(NamedTuple):
    """Width n of the network, and what was asked for of each attention block; None: a choice that tends to the limit.

    At scaling "dim" one score per pair of tokens concentrates as 1/sqrt(d_k), so d_k = n, with at most 8 heads. At
    scaling "root" scores stay random and the heads average over them: n / 8 heads of d_k = n / 4. d_v = n / heads.
    """

    width: int
    heads: int | None
    d_k: int | None
    d_v: int | None

    def sizes(self, block: blocks.Attention) -> Sizes:
        """What this block gets."""
        n, root = self.width, block.scaling == "root"
        heads = self.heads or (max(1, n // 8) if root else min(8, n))
        return Sizes(heads, self.d_k or (max(1, n // 4) if root else n), self.d_v or -(-n // heads))


def _resizes(block: blocks.Block) -> bool:
    """Whether the block is free to give its tokens another width than it gets."""
    if isinstance(block, blocks.Recurrent):
        return block.cell.mixes
    if isinstance(block, blocks.Convolution):
        return not block.depthwise
    return isinstance(block, (blocks.Linear, blocks.GLU)) or (
        isinstance(block, blocks.Attention) and block.project and not block.skip
    )


def fan_outs(parts: tuple[blocks.Block, ...], fan_in: int, width: int, end: int | None) -> list[int]:
    """The width of the tokens behind each block; `end` is that behind the last one, if it is not free."""
    free = [i for i, block in enumerate(parts) if _resizes(block)]
    outs = []
    for i, block in enumerate(parts):
        if _resizes(block):
            fan_in = end if end is not None and i == free[-1] else width
        outs.append(fan_in)
    return outs


def shapes(
    parts: tuple[blocks.Block, ...], t: int, fan_in: int, widths: Widths, end: int | None = None
) -> tuple[tuple[Params, ...], int]:
    """The parameters of blocks in a row, and the width of the tokens behind them.

    The branch of a `Residual` ends in the width of the tokens it is added to.
    """
    trees = []
    for block, out in zip(parts, fan_outs(parts, fan_in, widths.width, end), strict=True):
        tree: Params = {}
        if isinstance(block, blocks.Linear):
            tree = {"W": Shape(out, fan_in), "b": Shape(out)}
        elif isinstance(block, blocks.Convolution):
            tree = {"W": Shape(out, block.size, *(() if block.depthwise else (fan_in,))), "b": Shape(out)}
        elif isinstance(block, blocks.GLU):
            tree = {name: {"W": Shape(out, fan_in), "b": Shape(out)} for name in ("value", "gate")}
        elif isinstance(block, blocks.Attention) and block.project:
            heads, d_k, d_v = widths.sizes(block)
            tree = {"Q": Shape(heads, d_k, fan_in)}
            if block.scaling == "root":
                tree["K"] = Shape(heads, d_k, fan_in)
            tree |= {"V": Shape(heads, d_v, fan_in), "O": Shape(out, heads, d_v), "b": Shape(out)}
        elif isinstance(block, blocks.Residual):
            tree = {"blocks": shapes(block.blocks, t, fan_in, widths, end=fan_in)[0]}
        elif isinstance(block, blocks.Positions):
            tree = {"p": Shape(t, fan_in)}
        elif isinstance(block, blocks.Recurrent):
            tree = recurrence.shapes(block, fan_in, out)
        trees.append(tree)
        fan_in = out
    return tuple(trees), fan_in


def started(parts: tuple[blocks.Block, ...], raw: tuple[Params, ...]) -> tuple[Params, ...]:
    """The parameters of blocks in a row at the start of training, from standard normal numbers."""
    trees = []
    for block, own in zip(parts, raw, strict=True):
        if isinstance(block, blocks.Recurrent):
            own = recurrence.started(block, own)
        elif isinstance(block, blocks.Residual):
            own = {"blocks": started(block.blocks, own["blocks"])}
        trees.append(own)
    return tuple(trees)


def forward(
    parts: tuple[blocks.Block, ...],
    params: tuple[Params, ...],
    x: Float[Array, "t n"],
    inside: Bool[Array, " t"],
    seen: list[Array] | None = None,
) -> Float[Array, "t m"]:
    """Tokens through blocks in a row; tokens outside the sequence are zero behind each block, and never looked at.

    `seen` gets the attention matrices (heads, t, t) of each attention block, in order.
    """
    for block, raw in zip(parts, params, strict=True):
        if isinstance(block, blocks.Linear):
            x = _linear(block, raw, x)
        elif isinstance(block, blocks.Convolution):
            x = _convolution(block, raw, x)
        elif isinstance(block, blocks.GLU):
            x = _linear(block.value, raw["value"], x) * block.activation(_linear(block.gate, raw["gate"], x))
        elif isinstance(block, blocks.Nonlinearity):
            x = block.activation(x)
        elif isinstance(block, blocks.Attention):
            x = _attention(block, raw, x, inside, seen)
        elif isinstance(block, blocks.LayerNorm):
            x = _layer_norm(block, x)
        elif isinstance(block, blocks.Residual):
            x = x + forward(block.blocks, raw["blocks"], x, inside, seen)
        elif isinstance(block, blocks.Positions):
            x = _positions(block, raw, x)
        elif isinstance(block, blocks.Recurrent):
            x = recurrence.forward(block, raw, x, inside)
        else:
            raise TypeError(f"models.Serial has no rule for a block {type(block).__name__}.")
        x = jnp.where(inside[:, None], x, 0)
    return x


def _linear(block: blocks.Linear, raw: Params, x: Array) -> Array:
    p = held(raw, block.train)
    return block.sigma_w * x.shape[1] ** -0.5 * product(x, p["W"].T) + block.sigma_b * p["b"][None, :]


def _convolution(block: blocks.Convolution, raw: Params, x: Array) -> Array:
    t, n = x.shape
    p, least = held(raw, block.train), block.lags[0]
    padded = jnp.pad(x, ((block.lags[-1], -least), (0, 0)))  # token a stands at a + the largest lag
    taps = jnp.stack([padded[block.lags[-1] - k :][:t] for k in block.lags], axis=1)  # (t, size, n)
    if block.depthwise:
        y = block.size**-0.5 * jnp.einsum("tkn,nk->tn", taps, p["W"], precision="highest")
    else:
        y = (block.size * n) ** -0.5 * product(taps.reshape(t, -1), p["W"].reshape(len(p["W"]), -1).T)
    return block.sigma_w * y + block.sigma_b * p["b"][None, :]


def _attention(block: blocks.Attention, raw: Params, x: Array, inside: Array, seen: list[Array] | None) -> Array:
    t, n = x.shape
    mask = inside[:, None] & inside[None, :]
    if block.causal:
        mask = mask & jnp.tril(jnp.ones((t, t), bool))
    if not block.project:
        weights = attend(block.weights, block.sigma_qk / n * product(x, x.T), mask)
        if seen is not None:
            seen.append(weights[None])
        y = product(weights, x)
        return y + x if block.skip else y
    # tied at scaling "dim": one array, trained if Q or K is
    tied = block.scaling == "dim"
    p = held(raw, block.train + "Q" if tied and "K" in block.train else block.train)
    project = lambda w: n**-0.5 * jnp.einsum("hkn,tn->htk", w, x, precision="highest")  # noqa: E731
    q = project(p["Q"])
    k = q if tied else project(p["K"])
    d_k = q.shape[-1]
    scale = block.sigma_qk * (1 / d_k if tied else d_k**-0.5)
    scores = scale * jnp.einsum("hak,hck->hac", q, k, precision="highest")
    weights = attend(block.weights, scores, mask[None])
    if block.decay is not None:
        share = np.arange(len(scores)) * len(block.decay) // len(scores)  # of the heads for each decay
        weights = weights * fading(block.decay, t, x.dtype)[share]
    if seen is not None:
        seen.append(weights)
    y = jnp.einsum("hac,hcv->hav", weights, project(p["V"]), precision="highest")
    heads, _, d_v = y.shape
    y = block.sigma_ov * (heads * d_v) ** -0.5 * jnp.einsum("mhv,hav->am", p["O"], y, precision="highest")
    y = y + block.sigma_b * p["b"][None, :]
    return y + x if block.skip else y


def fading(decays: tuple[float, ...], t: int, dtype: DType) -> Float[Array, "g t t"]:
    """gamma^(a - c) for c <= a and each gamma, else 0."""
    gap = np.arange(t)[:, None] - np.arange(t)[None]
    powers = np.asarray(decays)[:, None, None] ** np.maximum(gap, 0)
    return jnp.asarray(np.where(gap >= 0, powers, 0), dtype)


def attend(name: str, scores: Float[Array, "... t t"], seen: Bool[Array, "... t t"]) -> Float[Array, "... t t"]:
    """zeta of the scores; zero where nothing is seen, with zero derivatives."""
    if name == "softmax":
        top = jnp.max(scores, axis=-1, keepdims=True, where=seen, initial=-jnp.inf)
        top = jax.lax.stop_gradient(jnp.where(jnp.isfinite(top), top, 0))
        exps = jnp.where(seen, jnp.exp(jnp.where(seen, scores - top, 0)), 0)
        total = jnp.sum(exps, axis=-1, keepdims=True)
        return exps / jnp.where(total > 0, total, 1)
    value = {"identity": lambda z: z, "relu": lambda z: jnp.where(z > 0, z, 0), "abs": jnp.abs}[name](scores)
    return jnp.where(seen, value, 0)


def _layer_norm(block: blocks.LayerNorm, x: Array) -> Array:
    """A token without variance becomes zero when eps is."""
    x = x - jnp.mean(x, axis=1, keepdims=True)
    total = jnp.mean(x * x, axis=1, keepdims=True) + block.eps
    there = total > 0
    return jnp.where(there, x, 0) / jnp.sqrt(jnp.where(there, total, 1))


def _positions(block: blocks.Positions, raw: Params, x: Array) -> Array:
    p = product(position_root(block.decay, x.shape[0], x.dtype), jax.lax.stop_gradient(raw["p"]))
    return safe_sqrt(1 - block.share) * x + safe_sqrt(block.share) * p


def position_root(decay: Any, t: int, dtype: DType) -> Float[Array, "t t"]:
    """The lower triangular root of exp(-decay (a - c)^2), by a recursion of positive terms.

        L[a, k] = sqrt(1 - q^k) L[a-1, k-1] + exp(-decay (2a - 1)) L[a-1, k],   q = exp(-2 decay)

    A general factorisation fails where decay is small and the matrix singular within rounding. Source: derived.
    """
    if decay is None:
        return jnp.eye(t, dtype=dtype)
    decay = jnp.asarray(decay, dtype)
    step = jnp.arange(t, dtype=dtype)
    new = safe_sqrt(-jnp.expm1(-2 * decay * step))

    def following(last: Array, a: Array) -> tuple[Array, Array]:
        now = new * jnp.concatenate([jnp.zeros_like(last[:1]), last[:-1]]) + jnp.exp(-decay * (2 * a - 1)) * last
        return now, now

    first = (step == 0).astype(dtype)
    return jnp.concatenate([first[None], jax.lax.scan(following, first, step[1:])[1]])
