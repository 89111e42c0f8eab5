"""How does a recurrent layer act inside a network of blocks: on each sequence alone, and on all pairs of steps of two?

    u:  kap_u[t, s] = sigma_w^2 kap_h[t-1, s-1] + sigma_u^2 kap[t, s] + sigma_b^2                           (tokens.3)
        th_u[t, s] = sigma_w^2 th_h[t-1, s-1] + sigma_u^2 th[t, s]
                     + w_W sigma_w^2 kap_h[t-1, s-1] + w_U sigma_u^2 kap[t, s] + w_b sigma_b^2
    h:  the duals of phi at kap_u                                                                           (tokens.4)

Rows t are taken in turn, all s of a row at once. m = (1 - rho) / 2 of u is a sum without cancellation (tokens.2); no
weight that an output reads meets itself again, so one W at all steps changes nothing in the limit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import blocks, cells
from ntkseq._precision import safe_sqrt
from ntkseq.cells import Elman
from ntkseq.kernels import controlled, diagonal, leaky_cell, preactivation, tokens
from ntkseq.kernels.layers import shift
from ntkseq.kernels.tokens import Context, Entry, Features, How, Own, Pair, Rule
from ntkseq.kernels.tokenwise import activation_pair, behind


class CellRule(NamedTuple):
    """How a cell acts on tokens in the order in which it visits them.

    alone(cell, own, context) -> (entry, standard deviations of what it gives, (n, t));
    pair(cell, left, right, pair, how) -> pair behind it;
    pooled(cell, lagged, context) -> features of a sum of outputs from the same sum of inputs at every lag; None where
    the cell is not linear.
    """

    alone: Callable[[Any, Own, Context], tuple[Entry, Array]]
    pair: Callable[[Any, Entry, Entry, Pair, How], Pair]
    pooled: Callable[[Any, Features, Context], Features] | None = None


def _enter(block: blocks.Recurrent, own: Own, context: Context) -> tuple[Entry, Float[Array, "n t"]]:
    alone, ways = CELLS[type(block.cell)].alone, []
    if block.direction != "reversed":
        ways.append(alone(block.cell, own, context))
    if block.direction != "forward":
        turn = tokens.turn(context.inside)
        entry, h = alone(block.cell, _own_turned(own, turn), context)
        ways.append((entry | {"turn": turn}, _rows(h, turn)))
    if len(ways) == 1:
        return {"ways": (ways[0][0],)}, ways[0][1]
    (forward, one), (backwards, two) = ways
    std = safe_sqrt((one**2 + two**2) / 2)
    inv = 0.5**0.5 * tokens.inverse(std)
    return {"ways": (forward, backwards), "one": one * inv, "two": two * inv}, std


def _pair(block: blocks.Recurrent, left: Entry, right: Entry, pair: Pair, how: How) -> Pair:
    both = zip(left["ways"], right["ways"], strict=True)
    ways = [_one_way(block.cell, one, two, pair, how) for one, two in both]
    if len(ways) == 1:
        return ways[0]
    forward, backwards = ways
    z = tokens.mix((left["one"], right["one"], forward.z), (left["two"], right["two"], backwards.z))
    return Pair(z, None if forward.th is None or backwards.th is None else (forward.th + backwards.th) / 2)


RECURRENT = Rule(None, _enter, _pair)


def pools(block: blocks.Block) -> bool:
    """Whether `pooled` knows the cell of a block."""
    return isinstance(block, blocks.Recurrent) and CELLS[type(block.cell)].pooled is not None


def pooled(block: blocks.Block, x: Features, read: str, inside: Array, context: Context) -> Features:
    """Explicit features (n, 1, ...) of what is read out behind a layer; only one sum of tokens is ever expanded.

    Args:
        block: a layer that `pools`.
        x: features (n, t, ...) of the tokens that it gets.
        read: "last", "first", "mean" or "sum".
        inside: (n, t), whether a token belongs to its sequence.
        context: of the one token behind the layer.
    """
    assert isinstance(block, blocks.Recurrent)
    rule = CELLS[type(block.cell)].pooled
    assert rule is not None
    ways, turn = [], tokens.turn(inside)
    if block.direction != "reversed":
        ways.append(rule(block.cell, jax.tree.map(lambda a: _lagged(a, read, inside), x), context))
    if block.direction != "forward":
        mirrored = {"last": "first", "first": "last"}.get(read, read)
        back = lambda a: _lagged(jnp.take_along_axis(a, turn[..., None], axis=1), mirrored, inside)  # noqa: E731
        ways.append(rule(block.cell, jax.tree.map(back, x), context))
    if len(ways) == 1:
        return ways[0]
    return jax.tree.map(lambda a, b: 0.5**0.5 * jnp.concatenate([a, b], axis=-1), *ways)


def _lagged(a: Float[Array, "n t p"], read: str, inside: Array) -> Float[Array, "n t p"]:
    """For every lag p the sum over the tokens s that are read out, with their weights, of the token at s - p."""
    lag, length = jnp.arange(a.shape[1], dtype=jnp.int32)[None], jnp.sum(inside, axis=1, dtype=jnp.int32)[:, None]
    if read in ("mean", "sum"):
        a = jnp.cumsum(a, axis=1) / (length[..., None].astype(a.dtype) if read == "mean" else 1)
    at = (0 if read == "first" else length - 1) - lag
    return jnp.where((at >= 0)[..., None], jnp.take_along_axis(a, jnp.maximum(at, 0)[..., None], axis=1), 0)


# ----------------------------------------------------------------------------------------------------- one direction


def _alone(cell: Elman, own: Own, context: Context) -> tuple[Entry, Float[Array, "n t"]]:
    x, thx = own.std, None if own.th is None else jnp.diagonal(own.th, axis1=1, axis2=2)
    raw, letters = context.raw, context.letters(cell)
    w2, u2 = cell.sigma_w**2, cell.sigma_u**2

    def step(past: tuple[Array, Array, Array], now: tuple[Array, Array]) -> tuple[Any, tuple[Array, Array]]:
        h, th, rounds = past
        xt, tangent = now
        u = preactivation.std(cell, h, xt)
        new = u2 * tangent
        for group, mine in (("W", h**2 if raw else w2 * h**2), ("U", xt**2 if raw else u2 * xt**2),
                           ("b", jnp.ones_like(h) if raw else cell.sigma_b**2)):  # fmt: skip
            new = new + (mine if group in letters else 0)
        # what was rounded before counts by its share of what is now
        share = jnp.maximum(w2 * h**2 * tokens.inverse(u**2), w2 * th * tokens.inverse(w2 * th + new))
        _, after, slope = behind(cell.activation, u)
        return (after, slope * (w2 * th + new), 1 + share * rounds), (u, h)

    zero = jnp.zeros_like(x[:, 0])
    drive = (x.T, jnp.zeros_like(x.T) if thx is None else thx.T)
    (_, _, rounds), (u, before) = jax.lax.scan(step, (zero, zero, zero), drive)
    context.rounds.append(jax.lax.stop_gradient(rounds))
    u, before = context.rattle(u.T), before.T
    entry, h, _ = behind(cell.activation, u)
    return preactivation.entry(cell, x, u, before) | {"phi": entry}, h


def _states(cell: Elman, left: Entry, right: Entry, pair: Pair, how: How) -> Pair:
    """The pairs of states from the pairs of tokens, both in the order of the recursion."""
    phi = blocks.Nonlinearity(cell.activation)

    def step(past: Pair, now: tuple[Array, Entry, Pair]) -> tuple[Pair, Pair]:
        at, one, x = now
        past = jax.tree.map(lambda a: shift(a, -1), past)  # entry s follows from entry s - 1 of the old row
        z, th = preactivation.mixed(one, right, past.z, x.z), None
        if past.th is not None and x.th is not None:
            before = tokens.covariance(one["before"], right["before"], past.z)
            th = preactivation.tangent(cell, how, one, right, before, past.th, x)
        states = activation_pair(phi, one["phi"], right["phi"], Pair(z, th), how._replace(row=at))
        return states, states

    return tokens.by_rows(step, lambda row: jax.tree.map(jnp.zeros_like, row), left, pair)


# ---------------------------------------------------------------------------------------------------------- reversed


def _rows(a: Float[Array, "*n t"], turn: Array) -> Float[Array, "*n t"]:
    return jnp.take_along_axis(a, turn, axis=-1)


def _grid(a: Float[Array, "*n t s"], one: Array, two: Array) -> Float[Array, "*n t s"]:
    return jnp.take_along_axis(jnp.take_along_axis(a, one[..., :, None], axis=-2), two[..., None, :], axis=-1)


def _own_turned(own: Own, turn: Array) -> Own:
    grids = jax.tree.map(lambda a: _grid(a, turn, turn), Pair(own.z, own.th))
    return Own(_rows(own.std, turn), *grids)


def _one_way(cell: cells.Cell, left: Entry, right: Entry, pair: Pair, how: How) -> Pair:
    """A pair behind one direction of a layer: where its entries hold a `turn`, the one that begins at the end."""
    rule = CELLS[type(cell)].pair
    if "turn" not in left:
        return rule(cell, left, right, pair, how)
    turned = lambda a: _grid(a, left["turn"][:, None], right["turn"][None])  # noqa: E731
    without = lambda entry: {k: leaf for k, leaf in entry.items() if k != "turn"}  # noqa: E731
    return jax.tree.map(turned, rule(cell, without(left), without(right), jax.tree.map(turned, pair), how))


CELLS: dict[type, CellRule] = {
    Elman: CellRule(_alone, _states),
    cells.Leaky: CellRule(leaky_cell.alone, leaky_cell.pair),
    cells.ControlledResNet: CellRule(controlled.alone, controlled.pair),
} | {cell: CellRule(diagonal.alone, diagonal.pair, diagonal.pooled) for cell in diagonal.LAWS}
