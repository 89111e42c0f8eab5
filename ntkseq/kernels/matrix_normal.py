"""What does attention with Gaussian scores do to the kernel of two sequences, by Monte Carlo?

At scaling "root" and infinitely many heads the scores of sequence i, G (t, t), and j, G' (s, s), are jointly Gaussian,

    E[G_ac G'_bd] = sigma_qk^2 kap_ab kap_cd,                                                     (matrix_normal.1)

kap the covariance of the tokens: with roots L (t, r), L' (s, r) of it, kap_ij = L L'^T, and g (r, r) of independent
N(0, 1), G = sigma_qk L g L^T and G' = sigma_qk L' g L'^T. With weights P = zeta(G), their derivatives
J_a[c, e] = dP_ac / dG_ae, and the same with a prime for the other sequence, one draw gives for kap and th of the pair

    values(k)_ab = sum over c, d of k_cd P_ac P'_bd                                               (matrix_normal.2)
    scores(k)_ab = sigma_qk^2 sum over c, d, e, f of kap_cd k_ef J_a[c, e] J'_b[d, f]             (matrix_normal.3)

and the mean over draws, in units of sigma_ov^2 and before the bias,

    nngp = values(kap)
    ntk  = values(th) + kap scores(th) + th scores(kap) + ([V] + [O]) values(kap) + ([Q] + [K]) kap scores(kap)

[Q] is 1 if Wq is trained: a score changes with Wq by (1/sqrt d_k) k_e x_a^T, whose inner product with that of (b, f)
is kap_ef kap_ab; with Wk it is the same, by the queries. The tokens' own tangent kernel comes in three ways: through
the values, values(th); through the keys, kap scores(th); through the queries, th scores(kap). Softmax has
J_a[c, e] = P_ac (1[c = e] - P_ae), the others J_a[c, e] = zeta'(G_ac) 1[c = e]: the sums are products of matrices.
Source: derived, from the gradient of the finite network; checked against finite networks in the tests.

relu and abs need no draws: `elementwise` sums their expectations over c and d in closed form.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ntkseq._layers import count_trained
from ntkseq._precision import normal, product
from ntkseq._types import Key
from ntkseq.kernels.chordal import fold, folded, unfold, unfold_rest
from ntkseq.models.attention import attend

GROUPS = 8
"""Independent groups of draws: their spread says how large the error of their mean is."""


class Pieces(NamedTuple):
    """matrix_normal.2 and .3 for kap and th (None: not wanted), in units of sigma_ov^2.

    By Monte Carlo with a leading axis of independent groups of draws, each an unbiased estimate.
    """

    values_kap: Float[Array, "*groups t s"]
    values_th: Float[Array, "*groups t s"] | None
    scores_kap: Float[Array, "*groups t s"] | None
    scores_th: Float[Array, "*groups t s"] | None


def tangent(pieces: Pieces, kap: Float[Array, "t s"], th: Float[Array, "t s"], train: str) -> Float[Array, "... t s"]:
    """The tangent kernel behind the block, in units of sigma_ov^2 and without the bias, from means over draws.

    Args:
        pieces: of `estimate` or `elementwise`.
        kap, th: covariance and tangent kernel of the tokens before the block.
        train: trained groups, letters out of "QKVO"; others are passed over.
    """
    values_kap, values_th, scores_kap, scores_th = pieces
    assert values_th is not None and scores_kap is not None and scores_th is not None
    kap, th = (a.reshape((1,) * (values_kap.ndim - 2) + a.shape) for a in (kap, th))
    total = values_th + kap * scores_th + th * scores_kap
    return total + count_trained(train, "VO") * values_kap + count_trained(train, "QK") * kap * scores_kap


def roots(
    kap_ii: Float[Array, "t t"], kap_ij: Float[Array, "t s"], kap_jj: Float[Array, "s s"]
) -> tuple[Float[Array, "t t+s"], Float[Array, "s t+s"]]:
    """L, L' with L L^T = kap_ii, L L'^T = kap_ij, L' L'^T = kap_jj: one Cholesky factorisation of all tokens.

    L has nothing right of column t and depends on kap_ii only.
    """
    root = semidefinite_cholesky(jnp.block([[kap_ii, kap_ij], [kap_ij.T, kap_jj]]))
    return root[: kap_ii.shape[0]], root[kap_ii.shape[0] :]


def semidefinite_cholesky(a: Float[Array, "r r"]) -> Float[Array, "r r"]:
    """The lower triangular root of a positive semi-definite matrix.

    A pivot below its rounding is zero, and so is its column: that token is a combination of the earlier ones. Nothing
    is added to the diagonal, and equal tokens get equal rows within a rounding.
    """
    r = a.shape[0]
    index = jnp.arange(r)
    least = 2 * r * float(jnp.finfo(a.dtype).eps) * jnp.diagonal(a)

    def eliminate(rest: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        k, floor = now
        column = jnp.where(index >= k, jnp.take(rest, k, axis=1), 0)
        pivot = jnp.take(column, k)
        there = pivot > floor
        column = jnp.where(there, column / jnp.sqrt(jnp.where(there, pivot, 1)), 0)
        return rest - column[:, None] * column[None, :], column

    return jax.lax.scan(eliminate, a, (index, least))[1].T


# ------------------------------------------------------------------------------------------------------------- draws


def estimate_pair(
    kap_ii: Float[Array, "t t"],
    kap_ij: Float[Array, "t t"],
    kap_jj: Float[Array, "t t"],
    th: Float[Array, "t t"] | None,
    sigma_qk: Any,
    seen_i: Bool[Array, "t t"],
    seen_j: Bool[Array, "t t"],
    *,
    key: Key,
    samples: int,
    weights: str = "softmax",
    same: bool = False,
    group: Any = None,
) -> Pieces:
    """`estimate` with the roots of one pair of sequences of one padded length, given by their covariances.

    The draws depend on which sequence is factorised first. They are ordered by their own numbers: the pieces of
    (j, i) are those of (i, j) transposed. Equal sequences get the draws of a sequence with itself (`same`). Tokens
    that do not see themselves are padding: they have no share in anything, and the padded length plays no role.
    """
    t = kap_ij.shape[0]
    one, two = jnp.diagonal(seen_i), jnp.diagonal(seen_j)
    kap_ii = jnp.where(one[:, None] & one[None, :], kap_ii, 0)
    kap_ij = jnp.where(one[:, None] & two[None, :], kap_ij, 0)
    kap_jj = jnp.where(two[:, None] & two[None, :], kap_jj, 0)
    th = None if th is None else jnp.where(one[:, None] & two[None, :], th, 0)
    how: dict[str, Any] = {"key": key, "samples": samples, "weights": weights, "group": group}
    if same:
        root = _woven(jnp.pad(semidefinite_cholesky(kap_ii), ((0, 0), (0, t))))
        return estimate(root, root, kap_ij, th, sigma_qk, seen_i, seen_j, **how)
    apart = jnp.ravel(jnp.stack([kap_ii - kap_jj, kap_ij - kap_ij.T]))
    ordered = jnp.take(apart, jnp.argmax(apart != 0)) <= 0  # as words in a dictionary
    turned = lambda a: jnp.where(ordered, a, jnp.swapaxes(a, -1, -2))  # noqa: E731
    swapped = lambda a, b: (jnp.where(ordered, a, b), jnp.where(ordered, b, a))  # noqa: E731
    first, second = swapped(kap_ii, kap_jj)
    left, right = map(_woven, roots(first, turned(kap_ij), second))
    seen, kap_ij, th = swapped(seen_i, seen_j), turned(kap_ij), None if th is None else turned(th)
    return jax.tree.map(turned, estimate(left, right, kap_ij, th, sigma_qk, *seen, **how))


def _woven(root: Float[Array, "t 2*t"]) -> Float[Array, "t 2*t"]:
    """Columns of the two sequences in turn: a longer padding then adds columns behind all others."""
    t = root.shape[0]
    return jnp.reshape(jnp.swapaxes(jnp.reshape(root, (t, 2, t)), 1, 2), (t, 2 * t))


def estimate(
    root_i: Float[Array, "t r"],
    root_j: Float[Array, "s r"],
    kap: Float[Array, "t s"],
    th: Float[Array, "t s"] | None,
    sigma_qk: Any,
    seen_i: Bool[Array, "t t"],
    seen_j: Bool[Array, "s s"],
    *,
    key: Key,
    samples: int,
    weights: str = "softmax",
    group: Any = None,
) -> Pieces:
    """The pieces of the kernel of one pair, by Monte Carlo, with a leading axis of GROUPS groups of draws.

    Memory for GROUPS times a few (t, s) arrays, time O(samples (t + s)^3). The draws depend on key, r and dtype only:
    pairs under `jax.vmap` share them. With roots that are features of the tokens, the same for every partner
    (kap = F F'^T), values(kap) of many sequences is a positive semi-definite, exactly symmetric matrix. With `roots`
    of pairs it is that up to the Monte Carlo error.

    Softmax and relu are drawn with g and -g, which halves the number of independent draws and lowers the error; the
    others are even in g, where it would be wasted. Derivatives in roots, kap, th and sigma_qk go through each draw;
    for relu and abs those of `scores` lack the share of their jump at zero: use `elementwise` there.

    Args:
        root_i, root_j: roots of the covariance of the tokens. For a sequence with itself: the same array twice.
        kap, th: covariance and tangent kernel between the tokens; th=None leaves out all but values(kap).
        sigma_qk: scale of the scores.
        seen_i, seen_j: whether token a (first axis) sees token c. Rows that see nothing have no weights.
        key: random key; another one for each block of a network.
        samples: draws in all, rounded up to a multiple of 2 GROUPS.
        weights: "softmax", "identity", "relu" or "abs".
        group: the number of one group of draws, which alone is drawn; None: all of them.
    """
    t, s = kap.shape
    r = root_i.shape[1]
    twice = weights in ("softmax", "relu")
    steps = -(-samples // (2 * GROUPS if twice else GROUPS))
    count = 1 if th is None else 4
    groups = jnp.arange(GROUPS, dtype=jnp.int32) if group is None else jnp.asarray(group, jnp.int32)[None]

    def one(g: Array) -> Array:
        mine = sigma_qk * product("ar,rq,cq->ac", root_i, g, root_i)
        other = sigma_qk * product("ar,rq,cq->ac", root_j, g, root_j)
        pieces = _draw(weights, mine, other, seen_i, seen_j, kap, th)
        return jnp.stack([piece for piece in pieces if piece is not None])

    def noise(key: Key) -> Array:  # row by row: larger noise holds smaller noise
        rows = jax.vmap(lambda k: jax.random.fold_in(key, k))(jnp.arange(r, dtype=jnp.int32))
        return jax.vmap(lambda k: normal(k, (r,), kap.dtype))(rows)

    def step(total: Array, draw: Array) -> tuple[Array, None]:
        keys = jax.vmap(lambda k: jax.random.fold_in(key, k))(draw * GROUPS + groups)
        g = jax.vmap(noise)(keys)
        new = jax.vmap(one)(g)
        if twice:
            new = (new + jax.vmap(one)(-g)) / 2
        return total + new, None

    zero = jnp.zeros((groups.shape[0], count, t, s), kap.dtype)
    total = jax.lax.scan(step, zero, jnp.arange(steps, dtype=jnp.int32))[0] / steps
    if th is None:
        return Pieces(total[:, 0], None, None, None)
    squared = jnp.asarray(sigma_qk, kap.dtype) ** 2
    return Pieces(total[:, 0], total[:, 1], squared * total[:, 2], squared * total[:, 3])


def _draw(
    weights: str, mine: Array, other: Array, seen_i: Array, seen_j: Array, kap: Array, th: Array | None
) -> tuple[Array, Array | None, Array | None, Array | None]:
    """matrix_normal.2 and .3 without their sigma_qk^2, for given scores."""
    P, Q = attend(weights, mine, seen_i), attend(weights, other, seen_j)
    half = product("ac,cd->ad", P, kap)  # (t, s)
    mean = product("ad,bd->ab", half, Q)
    if th is None:
        return mean, None, None, None
    half_th = product("ac,cd->ad", P, th)
    mean_th = product("ad,bd->ab", half_th, Q)
    if weights != "softmax":
        slopes = _slope(weights, mine, seen_i), _slope(weights, other, seen_j)
        scores = [product("ac,cd,bd->ab", slopes[0], kap * k, slopes[1]) for k in (kap, th)]
        return mean, mean_th, scores[0], scores[1]
    # the sum over J and J' of softmax: a covariance of k under P_a in c and under P'_b in d
    back = product("cd,bd->cb", kap, Q)
    scores = []
    for k, half_k, back_k, mean_k in ((kap, half, back, mean), (th, half_th, product("cd,bd->cb", th, Q), mean_th)):
        both = product("ac,cb->ab", P, product("cd,bd->cb", kap * k, Q) - back * back_k)
        scores.append(both - product("ad,bd->ab", half * half_k, Q) + mean * mean_k)
    return mean, mean_th, scores[0], scores[1]


def _slope(weights: str, scores: Array, seen: Array) -> Array:
    value = {"identity": jnp.ones_like, "relu": lambda z: (z > 0).astype(z.dtype), "abs": jnp.sign}[weights](scores)
    return jnp.where(seen, value, 0)


def elementwise(
    std_i: Float[Array, " t"],
    std_j: Float[Array, " s"],
    z: Float[Array, "t s"],
    th: Float[Array, "t s"] | None,
    sigma_qk: Any,
    seen_i: Bool[Array, "t t"],
    seen_j: Bool[Array, "s s"],
    *,
    weights: str = "relu",
) -> Pieces:
    """The pieces for weights "relu" and "abs" without draws or groups: O(t^2 s^2) time, O(t s^2) memory.

        E[zeta(G_ac) zeta(G'_bd)] = sigma_qk^2 s_a s_c s'_b s'_d k(rho_ab rho_cd)
        E[zeta'(G_ac) zeta'(G'_bd)] = k'(rho_ab rho_cd)

    s the standard deviations of the tokens, rho their correlations, k the arc-cosine kernel of degree 1, of which z
    is the folded m = (1 - rho) / 2 (see `chordal.fold`). The rest as in `estimate`. Reference: cho2009kernel.
    """
    m, far = unfold(z), unfold_rest(z)
    low = -1.0 if weights == "abs" else 0.0
    moment = (1.0 + low * low) / 2
    kap = std_i[:, None] * std_j[None, :] * (far - m)
    squared = jnp.asarray(sigma_qk, z.dtype) ** 2

    def row(now: tuple[Array, Array, Array, Array]) -> tuple[Array, ...]:
        near_a, far_a, scale, seen = now  # (s,), (s,), (), (t,)
        # m of the product of two correlations; its rest by sums, too: both ends keep their digits
        both = near_a[:, None, None] * far[None] + far_a[:, None, None] * m[None]  # (s, t, s): over b, c, d
        rest = near_a[:, None, None] * m[None] + far_a[:, None, None] * far[None]
        gain, slope = folded(fold(both, rest), 1.0, low)
        there = moment * (seen[None, :, None] & seen_j[:, None, :]).astype(z.dtype)
        k1 = there * (1 - 2 * gain) * (std_i[None, :, None] * std_j[None, None, :])
        k0 = there * slope
        kinds = (kap,) if th is None else (kap, th)
        out = [squared * scale * std_j * product("bcd,cd->b", k1, k) for k in kinds]
        return (*out, *(squared * product("bcd,cd->b", k0, kap * k) for k in kinds))

    rows = jax.lax.map(row, (m, far, std_i, seen_i))
    return Pieces(rows[0], None, None, None) if th is None else Pieces(*rows)
