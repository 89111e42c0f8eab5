"""How does a convolution over tokens act, and a gated linear unit?

    Convolution  kap <- (sigma_w^2/size) sum_k kap[a-k, b-k] + sigma_b^2
                 th  <- (sigma_w^2/size) sum_k (th + w_W kap)[a-k, b-k] + w_b sigma_b^2                      (tokens.5)
    GLU          kap <- kap_1 D(kap_2),   th <- th_1 D(kap_2) + kap_1 D'(kap_2) th_2                         (tokens.6)
                 m <- m_1 (1 - m_phi) + (1 - m_1) m_phi,   1 - m <- (1 - m_1)(1 - m_phi) + m_1 m_phi

with kap_1, th_1 and kap_2, th_2 behind the two linear branches, D and D' the duals of phi and of its derivative, and
m_phi belonging to D. Tokens outside a sequence are zero: their taps have no share in tokens.2. Nothing is subtracted.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from ntkseq import blocks
from ntkseq._precision import safe_sqrt
from ntkseq.kernels.chordal import fold, unfold, unfold_rest
from ntkseq.kernels.layers import shift
from ntkseq.kernels.tokens import Context, Entry, Features, How, Own, Pair, Rule, column, covariance, inverse, mix, row
from ntkseq.kernels.tokenwise import RULES, activation_pair, behind

LINEAR = RULES[blocks.Linear]


def _features(block: blocks.Convolution, x: Features, context: Context) -> Features:
    root, letters = block.size**-0.5, context.letters(block)
    own = context.inside[..., None]
    f, g = (jnp.where(own, a, 0) for a in x)
    taps = [root * shift(f, 1, k) for k in block.lags]
    one = jnp.ones_like(f[..., :1])
    values = [block.sigma_w * tap for tap in taps] + [block.sigma_b * one]
    tangents = [block.sigma_w * root * shift(g, 1, k) for k in block.lags]
    if "W" in letters:
        tangents += taps if context.raw else values[:-1]
    if "b" in letters:
        tangents.append(one if context.raw else values[-1])
    return Features(jnp.concatenate(values, axis=-1), jnp.concatenate(tangents, axis=-1))


def _enter(block: blocks.Convolution, own: Own, context: Context) -> tuple[Entry, Array]:
    inside = context.inside.astype(own.std.dtype)
    x = own.std * inside
    taps = [block.sigma_w * block.size**-0.5 * shift(x, 1, k) for k in block.lags]
    std = safe_sqrt(sum(tap**2 for tap in taps) + block.sigma_b**2)
    inv = inverse(std)
    return {"in": x, "inside": inside, "taps": [tap * inv for tap in taps], "b": block.sigma_b * inv}, std


def _pair(block: blocks.Convolution, left: Entry, right: Entry, pair: Pair, how: How) -> Pair:
    at = lambda a, k: shift(shift(a, 2, k), 3, k)  # noqa: E731
    taps = zip(left["taps"], right["taps"], block.lags, strict=True)
    z = mix(*((one, two, at(pair.z, k)) for one, two, k in taps), (left["b"], right["b"], None))
    if pair.th is None:
        return Pair(z, None)
    w2 = block.sigma_w**2
    inner = w2 * pair.th * row(left["inside"]) * column(right["inside"])
    if "W" in block.train:
        inner = inner + (1 if how.raw else w2) * covariance(left["in"], right["in"], pair.z)
    several = [at(inner, k) for k in block.lags]
    th = sum(several[1:], several[0]) / block.size
    if "b" in block.train:
        th = th + (1 if how.raw else block.sigma_b**2)
    return Pair(z, th)


# ----------------------------------------------------------------------------------------------------------------- GLU


def _glu_enter(block: blocks.GLU, own: Own, context: Context) -> tuple[Entry, Array]:
    value, one = LINEAR.enter(block.value, own, context)
    gate, std = LINEAR.enter(block.gate, own, context)
    one, std = context.rattle(one), context.rattle(std)
    phi, after, _ = behind(block.activation, std)
    return {"value": value, "gate": gate, "phi": phi, "one": one, "two": after}, one * after


def _glu_pair(block: blocks.GLU, left: Entry, right: Entry, pair: Pair, how: How) -> Pair:
    value = LINEAR.pair(block.value, left["value"], right["value"], pair, how)
    gate = LINEAR.pair(block.gate, left["gate"], right["gate"], pair, how)
    slope = None if gate.th is None else jnp.ones_like(gate.th)
    phi = activation_pair(blocks.Nonlinearity(block.activation), left["phi"], right["phi"], Pair(gate.z, slope), how)
    (m, rest), (far, near) = ((unfold(z), unfold_rest(z)) for z in (value.z, phi.z))
    z = fold(m * near + rest * far, rest * near + m * far)
    if value.th is None or gate.th is None or phi.th is None:
        return Pair(z, None)
    th = value.th * covariance(left["two"], right["two"], phi.z)
    return Pair(z, th + covariance(left["one"], right["one"], value.z) * phi.th * gate.th)


MIXERS: dict[type, Rule] = {
    blocks.Convolution: Rule(_features, _enter, _pair),
    blocks.GLU: Rule(None, _glu_enter, _glu_pair),
}
