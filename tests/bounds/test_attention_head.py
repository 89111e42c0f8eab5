"""Is the head of the bounds the function that networks compute, and are the facts about it true?"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import activations, models
from ntkseq.blocks import Attention, LayerNorm, Linear
from ntkseq.bounds.attention_head import AttentionHead

rng = np.random.default_rng


def made(seed=0, d=3, k=4, **options):
    generator = rng(seed)
    return AttentionHead(
        generator.normal(size=k), generator.normal(size=(d, k)), generator.normal(size=(d, d)), **options
    )


def one(head: AttentionHead, x: np.ndarray) -> float:
    """The head on one sequence, by plain loops."""
    relu = lambda z: max(z, 0.0)  # noqa: E731
    found = []
    for q in {"last": [len(x) - 1], "first": [0], "mean": range(len(x))}[head.read]:
        keys = range(q + 1) if head.causal else range(len(x))
        scores = [math.exp(sum(x[c, i] * head.W[i, j] * x[q, j] for i in range(3) for j in range(3))) for c in keys]
        token = sum(s / sum(scores) * x[c] for s, c in zip(scores, keys, strict=True))
        found.append(sum(head.w[j] * relu(float(token @ head.V[:, j])) for j in range(len(head.w))))
    return sum(found) / len(found)


@pytest.mark.parametrize("read", ["last", "first", "mean"])
@pytest.mark.parametrize("causal", [False, True])
def test_a_head_equals_its_loop_on_padded_sequences(read: str, causal: bool):
    head = made(read=read, causal=causal)
    x = rng(1).normal(size=(6, 5, 3))
    lengths = np.array([5, 1, 3, 2, 4, 5])
    padded = x.copy()
    for i, n in enumerate(lengths):
        padded[i, n:] = np.nan
    found = head.predict(padded, lengths)
    np.testing.assert_allclose(found, [one(head, x[i, :n]) for i, n in enumerate(lengths)], rtol=1e-12, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("read", ["last", "first", "mean"])
@pytest.mark.parametrize("scaling", ["dim", "root"])
@pytest.mark.parametrize("causal", [False, True])
def test_a_serial_network_of_one_head_is_folded_into_the_same_function(read: str, scaling: str, causal: bool, x64):
    net = models.Serial(
        Linear(1.2), Linear(0.8), Attention(1.3, 0.9, scaling=scaling, causal=causal), Linear(1.1), "relu", Linear(0.7),
        width=5, heads=1, read=read, sigma_r=1.4, input_scale="none" if causal else "dim",
    )  # fmt: skip
    x = rng(2).normal(size=(4, 6, 3))
    lengths = np.array([6, 2, 1, 4], np.int32)
    params = net.init(jax.random.key(0), jnp.asarray(x[0]))
    head = AttentionHead.of(net, params)
    assert head.V.shape[0] == 3 and head.causal is causal and head.read == read
    wanted = [float(net.apply(params, x[i], length=lengths[i])[0]) for i in range(4)]
    np.testing.assert_allclose(head.predict(x, lengths), wanted, rtol=1e-10, atol=1e-13)


@pytest.mark.slow
def test_attention_without_projections_and_without_an_activation_folds_too(x64):
    x = rng(2).normal(size=(3, 4, 2))
    for net in (
        models.Serial(Linear(1.2), Attention(1.5, project=False), "tanh", width=4),
        models.Serial(Attention(), width=4, heads=1),
    ):
        params = net.init(jax.random.key(0), jnp.asarray(x[0]))
        wanted = [float(net.apply(params, one)[0]) for one in x]
        np.testing.assert_allclose(AttentionHead.of(net, params).predict(x), wanted, rtol=1e-10, atol=1e-13)


@pytest.mark.slow(
    cases=[
        "parts0-options0-2 heads. Build the model with heads=1",
        "parts1-options1-Linear with a bias",
        "parts2-options2-skip=True",
        "parts3-options3-weights 'relu'",
    ]
)
@pytest.mark.parametrize(
    ("parts", "options", "message"),
    [
        ((Attention(),), {"heads": 2}, "2 heads. Build the model with heads=1"),
        ((Linear(sigma_b=1.0), Attention()), {"heads": 1}, "Linear with a bias"),
        ((Attention(skip=True),), {"heads": 1}, "skip=True"),
        ((Attention(weights="relu"),), {"heads": 1}, "weights 'relu'"),
        ((LayerNorm(), Attention()), {"heads": 1}, "a block LayerNorm at this place"),
        (("relu", Attention()), {"heads": 1}, "a block Nonlinearity"),
        ((Attention(), Attention()), {"heads": 1}, "a block Attention"),
        ((Attention(), "relu", Linear(), "relu"), {"heads": 1}, "a block Nonlinearity"),
        ((Linear(),), {}, "no Attention"),
        ((Attention(project=False),), {}, "Put a Linear before it"),
        ((Attention(),), {"heads": 1, "read": "sum"}, "read 'sum'"),
        ((Attention(),), {"heads": 1, "outputs": 2}, "2 outputs"),
    ],
)
def test_a_network_that_is_no_single_head_is_refused(parts, options, message: str):
    net = models.Serial(*parts, width=4, **options)
    params = net.init(jax.random.key(0), jnp.ones((3, 2)))
    with pytest.raises(ValueError, match=message):
        AttentionHead.of(net, params)


def test_softmax_moves_at_most_as_far_as_its_scores():
    """|softmax u - softmax v|_1 <= |u - v|_inf, and nearly equal for two tokens."""
    generator = rng(0)
    largest = 0.0
    for _ in range(2000):
        t = int(generator.integers(2, 9))
        u = generator.normal(size=t) * 10 ** generator.uniform(-2, 1)
        v = u + generator.normal(size=t) * 10 ** generator.uniform(-3, 1)
        p, q = (np.exp(z - z.max()) / np.exp(z - z.max()).sum() for z in (u, v))
        ratio = np.abs(p - q).sum() / np.abs(u - v).max()
        assert ratio <= 1 + 1e-9
        largest = max(largest, ratio)
    e = 1e-4
    p = 1 / (1 + math.exp(-2 * e))
    assert 2 * abs(p - 0.5) / e == pytest.approx(1, abs=1e-6)
    assert largest > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("read", ["mean", "last"])
def test_two_heads_differ_by_no_more_than_their_weights_allow(read: str):
    """(attention.2) in 2,000 random pairs of heads, near and far; of 27 shapes, as each is compiled."""
    generator = rng(5)
    ratios = []
    for _ in range(2000):
        d, k, t = (int(n) for n in generator.choice([1, 2, 5], size=3))
        x = generator.normal(size=(1, t, d)) * 10 ** generator.uniform(-1, 0.7)
        X = float(np.sqrt(np.max(np.sum(x**2, axis=2))))
        parts = generator.normal(size=k), generator.normal(size=(d, k)), generator.normal(size=(d, d))
        moved = [part + generator.normal(size=part.shape) * 10 ** generator.uniform(-4, 0.5) for part in parts]
        sigma = ("relu", "tanh", "gelu")[generator.integers(3)]
        a, b = (AttentionHead(*weights, sigma=sigma, read=read) for weights in (parts, moved))
        op = lambda M: float(np.linalg.norm(M, 2))  # noqa: E731
        (w, V, W), (w_, V_, W_) = parts, moved
        allowed = np.linalg.norm(w - w_) * a.L * op(V_) * X + np.linalg.norm(w) * a.L * (
            X * op(V - V_) + op(V) * X**3 * op(W - W_)
        )
        gap = abs(float(a.predict(x)[0] - b.predict(x)[0]))
        ratios.append(gap / allowed)
    assert max(ratios) <= 1 + 1e-9
    assert max(ratios) > 0.3


@pytest.mark.parametrize(
    "sigma", ["identity", "relu", "leaky_relu", "abs", "tanh", "erf", "sin", "gelu", activations.Erf(3.0)]
)
def test_the_known_lipschitz_constants_are_the_steepest_slopes(sigma):
    head = AttentionHead([1.0], [[1.0]], [[0.0]], sigma=sigma)
    z = np.linspace(-6, 6, 12001)
    f = head.predict(z[:, None, None])  # one token: f = sigma(z)
    slopes = np.abs(np.diff(f) / np.diff(z))
    assert 0.999 * head.L <= slopes.max() <= head.L * (1 + 1e-9)
    assert not head.declared
    np.testing.assert_allclose(f, np.asarray(activations.get(sigma)(jnp.asarray(z, jnp.float32))), atol=2e-6)


def test_an_activation_of_ones_own_needs_its_constant():
    own = activations.Smooth(lambda z: jax.nn.softplus(z) - jnp.log(2.0).astype(z.dtype))
    with pytest.raises(ValueError, match="pass lipschitz="):
        AttentionHead([1.0], [[1.0]], [[0.0]], sigma=own)
    head = AttentionHead([1.0], [[1.0]], [[0.0]], sigma=own, lipschitz=1.0)
    assert head.declared and head.L == 1.0
    exact = math.log1p(math.exp(0.7)) - math.log(2)
    x = np.full((1, 1, 1), 0.7)
    assert abs(float(head.predict(x)[0]) - exact) <= head.rounding(x) < 1e-4


@pytest.mark.skipif(np.finfo(np.longdouble).eps > 1e-18, reason="no wider floats on this machine")
def test_the_rounding_of_predictions_is_not_understated():
    wide = lambda a: np.asarray(a, np.longdouble)  # noqa: E731
    for seed in range(20):
        head = made(seed)
        x = rng(seed + 100).normal(size=(1, 6, 3)) * 2
        scores = wide(x[0]) @ wide(head.W) @ wide(x[0, -1])
        exps = np.exp(scores - scores.max())
        exact = np.maximum((exps / exps.sum()) @ wide(x[0]) @ wide(head.V), 0) @ wide(head.w)
        gap = abs(float(wide(head.predict(x)[0]) - exact))
        assert gap <= head.rounding(x) < 1e-9


def test_norms_by_name_are_those_of_numpy():
    head = made()
    for part, matrix in (("V", head.V), ("W", head.W)):
        s = np.linalg.svd(matrix, compute_uv=False)
        for name, value in (
            ("11", np.abs(matrix).sum()), ("op", s[0]), ("1.0", s.sum()), ("2.0", np.linalg.norm(matrix)),
            ("0.5", np.sum(np.sqrt(s)) ** 2),
        ):  # fmt: skip
            assert value <= head.norm(f"{part}_{name}") <= value * (1 + 1e-12)
    assert head.norm("w_1") == pytest.approx(np.abs(head.w).sum()) and head.norm("w_2") == pytest.approx(
        np.linalg.norm(head.w)
    )
    assert AttentionHead([1.0], [[0.0]], [[0.0]]).norm("W_0.5") == 0.0


def test_one_token_is_read_whatever_the_scores():
    x = rng(0).normal(size=(5, 1, 3))
    head = made()
    np.testing.assert_allclose(head.predict(x), np.maximum(x[:, 0] @ head.V, 0) @ head.w, rtol=1e-13)
    np.testing.assert_allclose(head.predict(x), made(read="mean").predict(x), rtol=1e-13)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([1.0], [[1.0]], [[1.0, 2.0]]), {}, r"shapes \(k,\), \(d, k\), \(d, d\)"),
        (([1.0, 2.0], [[1.0]], [[1.0]]), {}, "shapes"),
        (([[1.0]], [[1.0]], [[1.0]]), {}, "w must have 1 axes"),
        (([np.nan], [[1.0]], [[1.0]]), {}, "w must be finite"),
        ((["a"], [[1.0]], [[1.0]]), {}, "array of numbers"),
        (([1.0], [[1.0]], [[1.0]]), {"sigma": "sigmoid"}, "must be 0 at 0; got 0.5"),
        (([1.0], [[1.0]], [[1.0]]), {"sigma": "cos"}, "must be 0 at 0"),
        (([1.0], [[1.0]], [[1.0]]), {"read": "sum"}, "read must be one of"),
        (([1.0], [[1.0]], [[1.0]]), {"sigma": "erf", "lipschitz": 1.0}, "not be below that of sigma"),
    ],
)
def test_bad_weights_are_turned_away(arguments, options, message: str):
    with pytest.raises(ValueError, match=message):
        AttentionHead(*arguments, **options)
    with pytest.raises(ValueError, match="3 features"):
        made().predict(np.ones((2, 3, 2)))
    with pytest.raises(ValueError, match=r"must be a models\.Serial"):
        AttentionHead.of(object(), {})
