"""Is the Monte Carlo of attention with Gaussian scores right, honest about its error, and the same both ways round?"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.kernels import matrix_normal
from ntkseq.kernels.chordal import fold
from ntkseq.kernels.matrix_normal import GROUPS, Pieces

XS = np.random.default_rng(0).standard_normal((2, 3, 4))
ALL = np.ones((3, 3), bool)
CAUSAL = np.tril(ALL)
WEIGHTS = ("softmax", "identity", "relu", "abs")


def kap(i, j):
    return jnp.asarray(XS[i] @ XS[j].T / 4)


@functools.partial(jax.jit, static_argnames=("samples", "weights", "same"))
def pair(kap_ii, kap_ij, kap_jj, th, sigma_qk, seen_i, seen_j, key, samples=4096, weights="softmax", same=False):
    return matrix_normal.estimate_pair(
        kap_ii, kap_ij, kap_jj, th, sigma_qk, seen_i, seen_j, key=key, samples=samples, weights=weights, same=same
    )


def of_two(weights, samples, seed=0, th=None, seen=ALL):
    """The pieces of the golden pair of sequences."""
    th = kap(0, 1) if th is None else th
    seen = jnp.asarray(seen)
    key = jax.random.key(seed)
    return pair(kap(0, 0), kap(0, 1), kap(1, 1), th, 1.3, seen, seen, key, samples=samples, weights=weights)


def mean_and_error(groups):
    groups = np.asarray(groups)
    return groups.mean(0), groups.std(0, ddof=1) / np.sqrt(len(groups))


# golden numbers: 4e5 draws by another program, so only as many digits as that gives
GOLDEN = {
    "softmax": (
        [[0.01926, 0.04283, 0.02385], [0.02948, 0.07351, 0.04301], [0.07590, 0.05204, 0.02127]],
        [[-0.0078, 0.1584, 0.0255], [0.0329, 0.3473, 0.1309], [0.3670, 0.1986, -0.0179]],
    ),
    "relu": ([[0.3717, 0.1038, -0.0520]], [[2.268, 0.543, -0.574]]),
}


@pytest.mark.slow
@pytest.mark.parametrize("weights", GOLDEN)
def test_golden_kernel(weights, x64):
    pieces = of_two(weights, samples=65536 if weights == "softmax" else 16384)
    rows = 3 - len(GOLDEN[weights][0])
    tangent = matrix_normal.tangent(pieces, kap(0, 1), kap(0, 1), "QKVO")
    for got, want in zip((pieces.values_kap, tangent), GOLDEN[weights], strict=True):
        mean, error = mean_and_error(0.99**2 * np.asarray(got)[:, rows:])
        assert np.all(np.abs(mean - want) < np.maximum(2e-3, 4 * error))
        assert error.max() < 0.03


def exact(weights, th, seen):
    """Closed forms of the golden pair: of the identity from the theory, of relu and abs by loops over c and d."""
    k, v, w = kap(0, 1), jnp.diagonal(kap(0, 0)), jnp.diagonal(kap(1, 1))
    k, v, w, th = (np.asarray(a) for a in (k, v, w, th))
    out = np.zeros((4, 3, 3))
    for a, b, c, d in np.ndindex(3, 3, 3, 3):
        if not (seen[a, c] and seen[b, d]):
            continue
        both, sizes = k[a, b] * k[c, d], np.sqrt(v[a] * v[c] * w[b] * w[d])
        rho = np.clip(both / sizes, -1, 1)
        absolute = 2 / np.pi * (np.sqrt(1 - rho**2) + rho * np.arcsin(rho)) * sizes  # E|u||v|
        sign = 2 / np.pi * np.arcsin(rho)
        value, slope = {
            "identity": (both, 1.0),
            "abs": (absolute, sign),
            "relu": ((both + absolute) / 4, (1 + sign) / 4),
        }[weights]
        out[:, a, b] += 1.3**2 * np.array(
            [k[c, d] * value, th[c, d] * value, k[c, d] ** 2 * slope, k[c, d] * th[c, d] * slope]
        )
    return out


@pytest.mark.slow(but=["abs-causal"])
@pytest.mark.parametrize("seen", [ALL, CAUSAL], ids=["all", "causal"])
@pytest.mark.parametrize("weights", ["identity", "relu", "abs"])
def test_the_draws_agree_with_closed_forms(weights, seen, x64):
    th = jnp.asarray(np.random.default_rng(5).standard_normal((3, 3)))
    got = of_two(weights, samples=16384, th=th, seen=seen)
    for piece, want in zip(got, exact(weights, th, seen), strict=True):
        mean, error = mean_and_error(piece)
        assert np.all(np.abs(mean - want) < 7 * error + 1e-12)  # of 216 t-values with 7 degrees of freedom
        assert error.max() < 0.04


def test_the_closed_form_of_the_identity_is_that_of_the_theory(x64):
    k = np.asarray(kap(0, 1))
    pieces = Pieces(*(jnp.asarray(a) for a in exact("identity", k, ALL)))
    got = 0.99**2 * np.asarray(matrix_normal.tangent(pieces, jnp.asarray(k), jnp.asarray(k), "QKVO"))
    np.testing.assert_allclose(got[0], [-3.0599670508217933, 0.931131657689488, -1.574978005464318], rtol=1e-12)


@pytest.mark.slow(but=["abs"])
@pytest.mark.parametrize("weights", ["relu", "abs"])
def test_elementwise_weights_equal_their_loop_without_draws(weights, x64):
    th = jnp.asarray(np.random.default_rng(5).standard_normal((3, 3)))
    one, two = jnp.sqrt(jnp.diagonal(kap(0, 0))), jnp.sqrt(jnp.diagonal(kap(1, 1)))
    m = (1 - kap(0, 1) / one[:, None] / two[None, :]) / 2
    for seen in (ALL, CAUSAL):
        form = jax.jit(functools.partial(matrix_normal.elementwise, weights=weights))
        got = form(one, two, fold(m, 1 - m), th, 1.3, jnp.asarray(seen), jnp.asarray(seen))
        np.testing.assert_allclose(np.stack(got), exact(weights, th, seen), rtol=1e-12, atol=1e-13)


@pytest.mark.slow
def test_elementwise_weights_keep_float32_digits_for_equal_and_opposite_tokens():
    x = XS[0] * np.array([1.0, 30.0, 0.1])[:, None]
    x[2] = -x[0] * (1 + 1e-4 * x[1])
    results = []
    for dtype in ("float32", "float64"):
        with jax.enable_x64(True):
            unit = x / np.linalg.norm(x, axis=1, keepdims=True)
            m, rest = (jnp.asarray(((unit[:, None] + s * unit[None]) ** 2).sum(-1) / 4, dtype) for s in (-1, 1))
            std = jnp.asarray(np.linalg.norm(x, axis=1) / 2, dtype)
            k = std[:, None] * std[None, :] * (1 - 2 * m)
            seen = jnp.asarray(ALL)
            pieces = matrix_normal.elementwise(std, std, fold(m, rest), k, 1.3, seen, seen)
            results.append(np.asarray(matrix_normal.tangent(pieces, k, k, "QKVO"), np.float64))
    size = np.sqrt(np.outer(np.diagonal(results[1]), np.diagonal(results[1])))
    assert np.abs((results[0] - results[1]) / size).max() < 3e-6


# ------------------------------------------------------------------------------------------- one draw, by plain loops


def loop(weights, G, H, seen_i, seen_j, k, th):
    """matrix_normal.2 and .3 with sigma_qk = 1, by explicit Jacobians and sums over c, d, e, f."""

    def rows(scores, seen):
        P, J = np.zeros(scores.shape), np.zeros((*scores.shape, scores.shape[1]))
        for a, row in enumerate(scores):
            at = np.flatnonzero(seen[a])
            if weights == "softmax" and len(at):
                p = np.exp(row[at] - row[at].max())
                P[a, at] = p / p.sum()
                J[a] = np.diag(P[a]) - np.outer(P[a], P[a])
            elif weights != "softmax":
                f = {"identity": lambda z: z, "relu": lambda z: np.maximum(z, 0), "abs": np.abs}[weights]
                slope = {"identity": np.ones_like, "relu": lambda z: (z > 0) * 1.0, "abs": np.sign}[weights]
                P[a, at], J[a, at, at] = f(row[at]), slope(row[at])
        return P, J

    (P, J), (Q, R) = rows(G, seen_i), rows(H, seen_j)
    values = [np.einsum("ac,bd,cd->ab", P, Q, one) for one in (k, th)]
    scores = [np.einsum("ace,bdf,cd,ef->ab", J, R, k, one) for one in (k, th)]
    return [*values, *scores]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_one_draw_equals_its_loop_with_masks_and_two_lengths(weights, x64):
    rng = np.random.default_rng(1)
    G, H, k, th = (rng.standard_normal(shape) for shape in ((4, 4), (3, 3), (4, 3), (4, 3)))
    seen_i = np.tril(np.ones((4, 4), bool)) & (np.arange(4) < 3)[:, None]  # token 3 is padding
    args = (G, H, seen_i, ALL, k, th)
    got = jax.jit(functools.partial(matrix_normal._draw, weights))(*map(jnp.asarray, args))
    for piece, want in zip(got, loop(weights, *args), strict=True):
        np.testing.assert_allclose(np.asarray(piece), want, rtol=1e-12, atol=1e-14)


# ---------------------------------------------------------------------------------------------------- roots and pairs


def test_the_root_of_a_singular_covariance_is_exact_and_equal_tokens_have_equal_rows():
    for dtype, tolerance in (("float32", 1e-6), ("float64", 1e-15)):
        with jax.enable_x64(True):
            x = np.random.default_rng(2).standard_normal((7, 3)) * 10.0 ** np.arange(-3, 4)[:, None]
            x[4], x[5] = x[1], 0.0
            a = jnp.asarray(x @ x.T, dtype)
            root = np.asarray(jax.jit(matrix_normal.semidefinite_cholesky)(a), np.float64)
        size = np.linalg.norm(x, axis=1)
        wrong = np.abs(root @ root.T - x @ x.T)
        assert (wrong <= 5 * tolerance * np.outer(size, size) + 1e-300).all()
        np.testing.assert_allclose(root[4], root[1], rtol=0, atol=tolerance * size[1])
        assert not np.any(root[5]) and not np.any(np.triu(root, 1)) and np.isfinite(root).all()
        assert np.sum(np.any(root != 0, axis=0)) == 3  # the rank


@pytest.mark.slow
def test_a_pair_turned_round_is_its_transpose_bit_by_bit():
    k = [[kap(i, j).astype(jnp.float32) for j in range(2)] for i in range(2)]
    th = jnp.asarray(np.random.default_rng(3).standard_normal((3, 3)), jnp.float32)
    seen, causal = jnp.asarray(ALL), jnp.asarray(CAUSAL & (np.arange(3) < 2)[:, None])
    key = jax.random.key(1)
    one = pair(k[0][0], k[0][1], k[1][1], th, 1.3, seen, causal, key, samples=64)
    two = pair(k[1][1], k[0][1].T, k[0][0], th.T, 1.3, causal, seen, key, samples=64)
    for a, b in zip(one, two, strict=True):
        assert a.shape == (GROUPS, 3, 3) and np.any(a != 0)
        np.testing.assert_array_equal(a, np.swapaxes(b, 1, 2))


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["softmax", "abs"])
def test_equal_sequences_and_a_sequence_with_itself_have_one_value(weights):
    k, seen, key = kap(0, 0).astype(jnp.float32), jnp.asarray(CAUSAL), jax.random.key(1)
    same = pair(k, k, k, k, 1.3, seen, seen, key, samples=64, weights=weights, same=True)
    twins = pair(k, k, k, k, 1.3, seen, seen, key, samples=64, weights=weights)
    for a, b in zip(same, twins, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6 * np.abs(a).max())
        np.testing.assert_allclose(a, np.swapaxes(a, 1, 2), rtol=0, atol=2e-6 * np.abs(a).max())


@pytest.mark.slow
def test_padding_plays_no_role_whatever_stands_in_it(x64):
    k = [[np.asarray(kap(i, j)) for j in range(2)] for i in range(2)]
    wide = [[np.full((5, 5), 0.5) + 50 * np.eye(5) for _ in range(2)] for _ in range(2)]
    for i, j in np.ndindex(2, 2):
        wide[i][j][:3, :3] = k[i][j]
    seen = np.zeros((5, 5), bool)
    seen[:3, :3] = CAUSAL
    key = jax.random.key(1)
    short = pair(
        *map(jnp.asarray, (k[0][0], k[0][1], k[1][1], k[0][1])), 1.3, *2 * [jnp.asarray(CAUSAL)], key, samples=64
    )
    long = pair(
        *map(jnp.asarray, (wide[0][0], wide[0][1], wide[1][1], wide[0][1])),
        1.3,
        *2 * [jnp.asarray(seen)],
        key,
        samples=64,
    )
    turned = (wide[1][1], wide[0][1].T, wide[0][0], wide[0][1].T)
    turned = pair(*map(jnp.asarray, turned), 1.3, *2 * [jnp.asarray(seen)], key, samples=64)
    for a, b, c in zip(short, long, turned, strict=True):
        np.testing.assert_array_equal(np.swapaxes(b, 1, 2), c)
        np.testing.assert_allclose(np.asarray(b)[:, :3, :3], a, rtol=1e-11, atol=1e-14)
        assert not np.any(np.asarray(b)[:, 3:]) and not np.any(np.asarray(b)[:, :, 3:])


def test_features_as_roots_give_one_positive_semi_definite_matrix(x64):
    x = np.random.default_rng(4).standard_normal((4, 3, 2)) / np.sqrt(2)
    x[3] = x[0] + 1e-3
    seen, key = jnp.asarray(ALL), jax.random.key(0)

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, 0))
    @functools.partial(jax.vmap, in_axes=(0, None))
    def value(one, two):
        k = jnp.matmul(one, two.T)
        return matrix_normal.estimate(one, two, k, None, 1.3, seen, seen, key=key, samples=16).values_kap

    K = np.asarray(value(jnp.asarray(x), jnp.asarray(x))).mean(2)  # (4, 4, 3, 3): j, i, a of i, b of j
    K = K.transpose(1, 2, 0, 3).reshape(12, 12)
    assert np.abs(K - K.T).max() < 1e-14
    assert np.linalg.eigvalsh(K).min() > -1e-14


# ------------------------------------------------------------------------------------------- errors and derivatives


@pytest.mark.slow
def test_the_standard_errors_are_honest_over_many_seeds(x64):
    k = kap(0, 1)
    seeds = range(100, 132)
    groups = np.stack([matrix_normal.tangent(of_two("softmax", 256, seed), k, k, "QKVO") for seed in seeds])
    truth = np.asarray(matrix_normal.tangent(of_two("softmax", 65536), k, k, "QKVO")).mean(0)
    means, errors = groups.mean(1), groups.std(1, ddof=1) / np.sqrt(GROUPS)
    spread = np.sqrt(((means - truth) ** 2).mean(0))
    stated = np.sqrt((errors**2).mean(0))
    assert np.all((spread / stated > 0.6) & (spread / stated < 1.5))  # 32 seeds: the ratio has a spread of 0.13
    within = np.abs(means - truth) < 2.365 * errors  # 95 % for t with 7 degrees of freedom
    assert 0.87 < within.mean() <= 1


@pytest.mark.slow
def test_draws_with_both_signs_lower_the_error(x64):
    """Against plain draws of the same number: the values of one half of each pair."""
    k, seen, count = kap(0, 1), jnp.asarray(ALL), 512
    rows = matrix_normal.roots(kap(0, 0), k, kap(1, 1))
    g = jax.random.normal(jax.random.key(0), (2 * count, 6, 6))

    @jax.jit
    @jax.vmap
    def value(g):
        G, H = (1.3 * root @ g @ root.T for root in rows)
        return matrix_normal._draw("softmax", G, H, seen, seen, k, None)[0]

    plain = np.asarray(value(g)).var(0) / (2 * count)
    twice = np.asarray((value(g[:count]) + value(-g[:count])) / 2).var(0) / count
    assert np.median(twice / plain) < 0.9


@pytest.mark.slow
def test_derivatives_go_through_the_draws_and_the_roots(x64):
    k00, k01, k11, seen = kap(0, 0), kap(0, 1), kap(1, 1), jnp.asarray(ALL)

    @jax.jit
    def f(scale, sigma_qk):
        ks = [scale**2 * k for k in (k00, k01, k11)]
        p = pair(*ks, ks[1], sigma_qk, seen, seen, jax.random.key(0), samples=16)
        return matrix_normal.tangent(p, ks[1], ks[1], "QKVO").mean(0).sum()

    grads = jax.grad(f, argnums=(0, 1))(1.1, 1.3)
    h = 1e-6
    slopes = (f(1.1 + h, 1.3) - f(1.1 - h, 1.3)) / (2 * h), (f(1.1, 1.3 + h) - f(1.1, 1.3 - h)) / (2 * h)
    np.testing.assert_allclose(grads, slopes, rtol=1e-6)


# ------------------------------------------------------------------------------------------------------ finite networks


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["softmax", "relu"])
def test_every_parameter_group_of_a_wide_network_has_its_term(weights):
    from ntkseq.blocks import Attention, Linear
    from ntkseq.models.serial import Serial

    block = Attention(1.3, 0.99, weights=weights, scaling="root")
    model = Serial(Linear(), block, width=192, heads=64, d_k=96, d_v=4, train_readout=False)
    x = jnp.asarray(XS, jnp.float32)

    def one(key):
        grads = jax.vmap(jax.grad(lambda p, x: model.apply(p, x)[0]), in_axes=(None, 0))(model.init(key, x[0]), x)
        group = lambda leaf: jnp.vdot(leaf[0].ravel(), leaf[1].ravel(), precision="highest")  # noqa: E731
        return {name: group(grads["blocks"][1][name]) for name in "QKVO"} | {"W": group(grads["blocks"][0]["W"])}

    samples = jax.lax.map(one, jax.random.split(jax.random.key(0), 48))
    pieces, k = of_two(weights, 65536), kap(0, 1)
    zero = matrix_normal.tangent(pieces, k, k, "")
    want = {name: matrix_normal.tangent(pieces, k, k, name) - zero for name in "QKVO"} | {"W": zero}
    for name, exact in want.items():
        exact = 0.99**2 * float(exact.mean())
        mean, error = samples[name].mean(), samples[name].std() / np.sqrt(48)
        assert abs(mean - exact) < 4 * error, name
        assert error < 0.15 * abs(exact), name
