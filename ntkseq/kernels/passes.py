"""In which order do sequences pass through the blocks of a network: alone, and in pairs?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ntkseq import activations, blocks
from ntkseq._precision import safe_sqrt
from ntkseq.kernels import recurrence, tokens
from ntkseq.kernels.attention import ATTENTION
from ntkseq.kernels.mixers import MIXERS
from ntkseq.kernels.tokens import Context, Entry, Features, How, Own, Pair, Rule
from ntkseq.kernels.tokenwise import RULES

_RULES = RULES | MIXERS | {blocks.Attention: ATTENTION, blocks.Recurrent: recurrence.RECURRENT}


def _rule(block: blocks.Block) -> Rule:
    return _RULES[type(block)]


def keeps_features(block: blocks.Block) -> bool:
    """Whether features can pass a block: it is linear in random weights, given its attention matrices."""
    if isinstance(block, blocks.Residual):
        return all(map(keeps_features, block.blocks))
    if isinstance(block, blocks.Attention) and block.scaling == "root":
        return block.weights == "identity" and not block.causal
    return _rule(block).features is not None


def through(block: blocks.Block, x: Features, context: Context) -> Features:
    """Features behind a block."""
    if not isinstance(block, blocks.Residual):
        features = _rule(block).features
        assert features is not None
        y = features(block, x, context)
        return Features(context.rattle(y.f), context.rattle(y.g))
    g = x
    for part in block.blocks:
        g = through(part, g, context)
    join = lambda a, b: jnp.concatenate([a, b], axis=-1)  # noqa: E731
    return Features(join(x.f, g.f), join(x.g, g.g))


def pooled_at(parts: tuple[blocks.Block, ...], read: str) -> int | None:
    """The place of a recurrent layer of which one token, or one sum of tokens, is all that counts in the end.

    Before it features pass; behind it each token stays by itself, and behind a sum nothing stands.
    """
    at = next((i for i, part in enumerate(parts) if not keeps_features(part)), None)
    if at is None or not recurrence.pools(parts[at]):
        return None
    rest = parts[at + 1 :]
    return at if not rest or (read in ("last", "first") and all(map(_by_itself, rest))) else None


def _by_itself(block: blocks.Block) -> bool:
    """Whether what a block does to a token depends on this token alone."""
    if isinstance(block, blocks.Residual):
        return all(map(_by_itself, block.blocks))
    return isinstance(block, (blocks.Linear, blocks.Nonlinearity, blocks.LayerNorm, blocks.GLU))


def width_behind(block: blocks.Block, x: Features, context: Context) -> int:
    """How many features a token would have behind a block."""
    fresh = Context(context.inside, context.jolts, raw=context.raw, tangent=context.tangent)
    behind = jax.eval_shape(lambda x: through(block, x, fresh), x)
    return behind.f.shape[-1] + behind.g.shape[-1]


def alone(function: Any, entry: Entry, *pairs: Pair) -> Pair:
    """function(entry, entry, *pairs) for each sequence with itself: pairs have axes (n, t, t)."""

    def one(entry: Entry, pairs: tuple[Pair, ...]) -> Pair:
        entry = jax.tree.map(lambda a: a[None], entry)
        out = function(entry, entry, *jax.tree.map(lambda a: a[None, None], pairs))
        return jax.tree.map(lambda a: a[0, 0], out)

    return jax.vmap(one)(entry, pairs)


def enter(block: blocks.Block, own: Own, context: Context) -> tuple[Entry, Own]:
    """What pairs will need of each sequence at a block, and the sequences with themselves behind it."""
    how = How(same=True, raw=context.raw, tangent=context.tangent, group=context.group)
    if not isinstance(block, blocks.Residual):
        rule = _rule(block)
        own = own._replace(std=context.rattle(own.std))
        entry, std = rule.enter(block, own, context)
        pair = alone(lambda one, two, p: rule.pair(block, one, two, p, how), entry, Pair(own.z, own.th))
        return entry, Own(std, *pair)
    g, entries = own, []
    for part in block.blocks:
        inner, g = enter(part, g, context)
        entries.append(inner)
    std = safe_sqrt(own.std**2 + g.std**2)
    inv = tokens.inverse(std)
    entry: Entry = {"x": own.std * inv, "g": g.std * inv, "entries": tuple(entries)}
    pair = alone(_joined, {k: entry[k] for k in "xg"}, Pair(own.z, own.th), Pair(g.z, g.th))
    return entry, Own(std, *pair)


def pair_behind(block: blocks.Block, left: Entry, right: Entry, pair: Pair, how: How) -> Pair:
    """A pair of sequences behind a block."""
    if not isinstance(block, blocks.Residual):
        return _rule(block).pair(block, left, right, pair, how)
    g = pair
    for part, one, two in zip(block.blocks, left["entries"], right["entries"], strict=True):
        g = pair_behind(part, one, two, g, how)
    return _joined(left, right, pair, g)


def _joined(left: Entry, right: Entry, x: Pair, g: Pair) -> Pair:
    z = tokens.mix((left["x"], right["x"], x.z), (left["g"], right["g"], g.z))
    return Pair(z, None if x.th is None or g.th is None else x.th + g.th)


def by_series(parts: tuple[blocks.Block, ...]) -> bool:
    """Whether the duals of an activation are sums of a series."""
    of = (part.cell if isinstance(part, blocks.Recurrent) else part for part in blocks.every(parts))
    return any(isinstance(getattr(one, "activation", None), activations.Smooth) for one in of)


def check(parts: tuple[blocks.Block, ...], raw: bool, sampled: bool = False) -> None:
    """Raise unless the limit of the blocks in this order is known.

    Raises:
        ValueError: a block that needs the width, or Gaussian tokens, where there are none; a branch that is not
            independent of what it is added to; `raw` with attention that projects.
    """
    if not _checked(parts, False, False, raw, sampled)[0]:
        raise ValueError(
            "no block maps the features to the width. Add a blocks.Linear or Recurrent, or an Attention that projects."
        )


def _checked(
    parts: tuple[blocks.Block, ...], wide: bool, gaussian: bool, raw: bool, sampled: bool
) -> tuple[bool, bool]:
    """Whether tokens have gone through random weights, and whether their coordinates are Gaussian, behind `parts`."""
    for part in parts:
        name = type(part).__name__
        projects = (
            isinstance(part, (blocks.Linear, blocks.GLU))
            or (isinstance(part, blocks.Convolution) and not part.depthwise)
            or (isinstance(part, blocks.Recurrent) and part.cell.mixes)
            or (isinstance(part, blocks.Attention) and part.project)
        )
        if isinstance(part, blocks.Attention) and part.project and raw:
            raise ValueError('param="raw" knows no Attention that projects. Use project=False, or param="ntk".')
        bare = _is_identity(part) or (isinstance(part, blocks.Attention) and not part.project)  # any width will do
        if not wide and not bare and (not projects or getattr(part, "skip", False)):
            raise ValueError(f"{name} needs tokens of the network's width. Put a blocks.Linear before it.")
        units = isinstance(part, (blocks.Nonlinearity, blocks.LayerNorm)) and not _is_identity(part)
        if units and not gaussian and not sampled:  # particles may have any law
            raise ValueError(
                f"{name} needs Gaussian tokens of mean zero, which an activation, a GLU or a depthwise "
                "Convolution leaves behind it no more. Put a blocks.Linear, or an Attention that projects, before it."
            )
        if isinstance(part, blocks.Residual):
            _branch(part)
            _, inner = _checked(part.blocks, True, gaussian, raw, sampled)
            gaussian = gaussian and inner
        elif isinstance(part, blocks.Nonlinearity):
            gaussian = gaussian and _is_identity(part)
        elif isinstance(part, blocks.Recurrent):
            wide, gaussian = True, part.cell.gaussian
        elif isinstance(part, blocks.GLU) or (isinstance(part, blocks.Convolution) and part.depthwise):
            wide, gaussian = True, False
        elif projects:
            wide, gaussian = True, gaussian or not getattr(part, "skip", False)
    return wide, gaussian


def _branch(block: blocks.Residual) -> None:
    for last in reversed(block.blocks):
        if isinstance(last, blocks.Linear) or (isinstance(last, blocks.Attention) and last.project and not last.skip):
            return
        if isinstance(last, blocks.Recurrent) and last.cell.gaussian:
            return
        if isinstance(last, blocks.Convolution) and not last.depthwise:
            return
        if not isinstance(last, (blocks.LayerNorm, blocks.Positions)) and not _is_identity(last):
            break
    raise ValueError(
        "the branch of a Residual must end with weights of its own (Linear, Convolution, or an Attention that "
        "projects, without skip): otherwise it is not independent of what it is added to. For attention on the tokens "
        "themselves: Attention(project=False, skip=True)."
    )


def _is_identity(block: blocks.Block) -> bool:
    return isinstance(block, blocks.Nonlinearity) and isinstance(block.activation, activations.Identity)


def without_identities(parts: tuple[blocks.Block, ...]) -> tuple[blocks.Block, ...]:
    """The blocks that do something."""
    return tuple(part for part in parts if not _is_identity(part))
