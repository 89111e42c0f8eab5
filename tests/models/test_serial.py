"""Does the finite network on tokens compute its blocks one by one, ignore padding and refuse what it cannot read?"""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import activations
from ntkseq.blocks import (
    GLU,
    Attention,
    Block,
    Convolution,
    LayerNorm,
    Linear,
    Nonlinearity,
    Positions,
    Recurrent,
    Residual,
)
from ntkseq.cells import Elman
from ntkseq.models.serial import Serial
from tests.models import explicit

X = explicit.sequences()  # (3, 4, 2)


def draw(model, x, seed=0):
    """What init draws, from NumPy: nothing to compile."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda shape: jnp.asarray(rng.standard_normal(shape.shape), x.dtype), model.shapes(x.shape))


# ---------------------------------------------------------------------------------------- a loop over heads and tokens


def weigh(name, row):
    if name == "softmax":
        e = np.exp(row - row.max())
        return e / e.sum()
    return {"identity": lambda z: z, "relu": lambda z: np.maximum(z, 0), "abs": np.abs}[name](row)


def attend(block, raw, x):
    t, n = x.shape
    out = []
    for a in range(t):
        seen = range(a + 1) if block.causal else range(t)
        if not block.project:
            weights = weigh(block.weights, np.array([block.sigma_qk * x[a] @ x[c] / n for c in seen]))
            y = sum(w * x[c] for w, c in zip(weights, seen, strict=True))
        else:
            y = block.sigma_b * raw["b"]
            heads, d_v, _ = raw["V"].shape
            for h in range(heads):
                Q, K = raw["Q"][h], raw["Q" if block.scaling == "dim" else "K"][h]
                d_k = Q.shape[0]
                scale = block.sigma_qk / (d_k if block.scaling == "dim" else np.sqrt(d_k))
                scores = np.array([scale * (Q @ x[a] / np.sqrt(n)) @ (K @ x[c] / np.sqrt(n)) for c in seen])
                weights = weigh(block.weights, scores)
                if block.decay:
                    gamma = block.decay[0] if h < heads / 2 else block.decay[-1]
                    weights = [w * gamma ** (a - c) for w, c in zip(weights, seen, strict=True)]
                v = sum(w * raw["V"][h] @ x[c] / np.sqrt(n) for w, c in zip(weights, seen, strict=True))
                y = y + block.sigma_ov / np.sqrt(heads * d_v) * raw["O"][:, h] @ v
        out.append(y + x[a] if block.skip else y)
    return np.array(out)


def recur(block, raw, x):
    if block.direction == "both":
        ways = [Recurrent(block.cell, way) for way in ("forward", "reversed")]
        return np.concatenate([recur(way, raw[way.direction], x) for way in ways], axis=1)
    h, found = np.zeros(len(raw["b"])), []
    for token in x if block.direction == "forward" else x[::-1]:
        u = block.cell.sigma_w / np.sqrt(max(len(h), 1)) * raw["W"] @ h + block.cell.sigma_b * raw["b"]
        h = np.asarray(
            block.cell.activation(jnp.asarray(u + block.cell.sigma_u / np.sqrt(len(token)) * raw["U"] @ token))
        )
        found.append(h)
    return np.array(found if block.direction == "forward" else found[::-1])


def through(block, raw, x):
    t, n = x.shape
    match block:
        case Linear():
            return np.array([block.sigma_w / np.sqrt(n) * raw["W"] @ token + block.sigma_b * raw["b"] for token in x])
        case Convolution():
            y = [block.sigma_b * raw["b"] for _ in x]
            lags = range(block.size) if block.causal else range(-(block.size // 2), block.size // 2 + 1)
            for a, (tap, k) in itertools.product(range(t), enumerate(lags)):
                if 0 <= a - k < t:
                    W = np.diag(raw["W"][:, tap]) * np.sqrt(n) if block.depthwise else raw["W"][:, tap]
                    y[a] = y[a] + block.sigma_w / np.sqrt(block.size * n) * W @ x[a - k]
            return np.array(y)
        case GLU():
            gate = through(block.gate, raw["gate"], x)
            phi = np.asarray(block.activation(jnp.asarray(gate)))
            return through(block.value, raw["value"], x) * phi
        case Attention():
            return attend(block, raw, x)
        case LayerNorm():
            return np.array([(token - token.mean()) / np.sqrt(token.var() + block.eps) for token in x])
        case Residual():
            y = x
            for part, own in zip(block.blocks, raw["blocks"], strict=True):
                y = through(part, own, y)
            return x + y
        case Recurrent():
            return recur(block, raw, x)
        case Positions():
            gap = np.subtract.outer(np.arange(t), np.arange(t))
            R = np.eye(t) if block.decay is None else np.exp(-block.decay * gap**2)
            return np.sqrt(1 - block.share) * x + np.sqrt(block.share) * np.linalg.cholesky(R) @ raw["p"][:t]
        case _:
            return np.vectorize(lambda z: float(block.activation(jnp.asarray(z))))(x)


def loop(model, params, x, length):
    x, params = np.asarray(x)[:length], jax.tree.map(np.asarray, params)
    if model.input_scale == "none":
        x = x * np.sqrt(x.shape[1])
    for block, raw in zip(model.blocks, params["blocks"], strict=True):
        x = through(block, raw, x)
    pooled = {"mean": x.mean(0), "sum": x.sum(0), "last": x[-1], "first": x[0]}[model.read]
    return model.sigma_r / np.sqrt(len(pooled)) * params["R"] @ pooled


ROOT = dict(scaling="root", sigma_qk=1.3, sigma_ov=0.8, sigma_b=0.2)
DIM = dict(sigma_qk=1.7, sigma_ov=0.9, sigma_b=0.3)
NETS = {
    "linear-relu-linear": (Linear(1.2, 0.3), "relu", Linear(0.7)),
    "softmax-dim": (Linear(), Attention(**DIM)),
    "softmax-root-causal": (Linear(), Attention(causal=True, **ROOT)),
    "relu-root-skip": (Linear(), Attention(weights="relu", skip=True, **ROOT)),
    "abs-dim-causal-first": (Attention(weights="abs", causal=True, **DIM),),
    "identity-root-first": (Attention(weights="identity", **ROOT), "tanh", Linear()),
    "retention": (Attention(weights="identity", causal=True, decay=(0.5, 0.9), **ROOT), Linear()),
    "tokens-skip": (Linear(), Attention(project=False, skip=True, sigma_qk=1.4)),
    "tokens-relu-causal": (Linear(), Attention(project=False, weights="relu", causal=True)),
    "norm": (Linear(), LayerNorm(eps=0.1), activations.Smooth(jnp.tanh)),
    "residual": (
        Linear(),
        Residual(LayerNorm(), Linear(1.1), Nonlinearity("relu"), Linear(0.6), LayerNorm(eps=0.2)),
        "erf",
    ),
    "residual-of-features": (Residual(Linear(), Residual(Nonlinearity("relu"), Linear()), Attention(**DIM)), Linear()),
    "positions": (Linear(), Positions(0.3, decay=0.4), "relu"),
    "recurrences": (Recurrent(Elman("tanh", 1.3, 0.8, 0.4), "reversed"), Recurrent(Elman(sigma_w=0.7), "both")),
    "residual-recurrence": (Linear(), Residual(Recurrent(Elman("identity", 0.5))), Attention(**DIM)),
    "convolutions": (Convolution(3, sigma_w=1.2, sigma_b=0.3), "relu", Convolution(3, False, 0.7), "tanh"),
    "convolutions-longer-than-a-sequence": (Convolution(7, causal=False), Convolution(6, depthwise=True)),
    "gated": (GLU("sigmoid", Linear(1.2, 0.3), Linear(0.7, 0.4)), Residual(GLU("relu"), Linear(0.6))),
    "positions-independent-first": (Positions(0.6), Linear()),
}


SLOW = (
    "linear-relu-linear",
    "residual-recurrence",
    "abs-dim-causal-first",
    "tokens-relu-causal",
    "norm",
    "positions-independent-first",
)


@pytest.mark.slow(but=["convolutions-longer-than-a-sequence", "retention"])
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in NETS])
def test_the_network_equals_its_loop_for_sequences_of_different_length(name, x64):
    reads = ("mean", "sum", "last", "first")
    read = reads[(list(NETS).index(name) + 1) % 4]
    scale = "none" if name in ("norm", "softmax-dim") else "dim"
    model = Serial(*NETS[name], width=6, heads=2, read=read, sigma_r=1.1, outputs=2, input_scale=scale)
    x = jnp.asarray(X)
    params = draw(model, x[0])
    lengths = jnp.array([4, 2, 1])
    got = jax.vmap(model.apply, in_axes=(None, 0, 0))(params, x, lengths)
    wanted = [loop(model, params, x[i], int(lengths[i])) for i in range(3)]
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=1e-11, atol=1e-12)


def test_without_a_length_the_whole_sequence_counts(x64):
    model = Serial(Linear(), Attention(**DIM), width=6)
    x = jnp.asarray(X[1])
    params = draw(model, x)
    np.testing.assert_allclose(np.asarray(model.apply(params, x)), loop(model, params, x, 4), rtol=1e-11)


MIXED = (
    Linear(1.0, 0.3),
    Positions(0.2, decay=0.5),
    Residual(LayerNorm(), Attention(scaling="root", causal=True)),
    Attention(project=False, skip=True),
    Residual(Attention(weights="abs")),
    LayerNorm(),
    "relu",
)


@pytest.mark.slow
@pytest.mark.parametrize("read", ["last", "mean", "sum", "first"])
def test_padding_is_never_looked_at_by_values_or_gradients(read):
    model = Serial(*MIXED, width=6, read=read)
    x = jnp.asarray(X[0], jnp.float32)
    params = draw(model, x)
    both = [x, x.at[2:].set(jnp.nan)]
    values, grads = zip(
        *(jax.value_and_grad(lambda p, z=z: model.apply(p, z, length=2)[0])(params) for z in both), strict=True
    )
    np.testing.assert_array_equal(values[0], values[1])
    jax.tree.map(np.testing.assert_array_equal, grads[0], grads[1])
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(grads[1]))
    assert any(bool((leaf != 0).any()) for leaf in jax.tree.leaves(grads[1]))


def test_a_token_without_variance_is_zero_behind_a_norm_without_eps_and_has_finite_gradients():
    model = Serial(Linear(), LayerNorm(), width=6, read="first")
    x = jnp.asarray(X[0], jnp.float32).at[0].set(0.0)
    value, grads = jax.value_and_grad(lambda p: model.apply(p, x)[0])(draw(model, x))
    assert value == 0 and all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(grads))


@pytest.mark.slow
def test_a_causal_network_reads_at_every_token_what_it_reads_of_the_prefix():
    model = Serial(
        Linear(), Attention(causal=True), Residual(Attention(scaling="root", causal=True)), width=6, read="first"
    )
    x = jnp.asarray(X[0], jnp.float32)
    params = draw(model, x)
    first = model.apply(params, x)
    np.testing.assert_allclose(first, model.apply(params, x.at[1:].add(1.0)), rtol=1e-6)
    seeing = Serial(Linear(), Attention(), width=6, read="first")
    params = draw(seeing, x)
    assert abs(seeing.apply(params, x)[0] - seeing.apply(params, x.at[1:].add(1.0))[0]) > 1e-3


@pytest.mark.slow(but=[""])
@pytest.mark.parametrize("train", ["QV", "KOb", ""])
def test_only_trained_groups_have_gradients(train):
    blocks = (Linear(train="b"), Attention(scaling="root", sigma_b=0.2, train=train), Positions(0.3, decay=1.0))
    model = Serial(*blocks, width=8, train_readout=False)
    x = jnp.asarray(X[0], jnp.float32)
    grads = jax.grad(lambda p: model.apply(p, x)[0])(draw(model, x))
    moved = lambda tree: {name for name, leaf in tree.items() if bool(jnp.any(leaf != 0))}  # noqa: E731
    assert moved(grads["blocks"][1]) == set(train)
    assert moved(grads["blocks"][0]) == set() and moved(grads["blocks"][2]) == set()  # sigma_b = 0; positions
    assert not bool(jnp.any(grads["R"] != 0))


@pytest.mark.slow(but=["K-True"])
@pytest.mark.parametrize(("train", "moves"), [("Q", True), ("K", True), ("VO", False)])
def test_tied_queries_and_keys_are_trained_if_either_is(train, moves):
    model = Serial(Linear(), Attention(train=train), width=8)
    x = jnp.asarray(X[0], jnp.float32)
    grads = jax.grad(lambda p: model.apply(p, x)[0])(draw(model, x))
    assert bool(jnp.any(grads["blocks"][1]["Q"] != 0)) == moves


def test_parameters_have_the_shapes_and_the_dtype_of_the_example():
    small = Serial(Linear(), Positions(), width=3)
    params = small.init(jax.random.key(0), jax.ShapeDtypeStruct((4, 2), jnp.float16))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float16)}
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(lambda shape: shape.shape, small.shapes((4, 2)))
    residual = Residual(Linear(), Nonlinearity("relu"), Linear())
    model = Serial(residual, Attention(), Attention(scaling="root"), Positions(), width=16, outputs=3)
    shapes = jax.tree.map(lambda shape: shape.shape, model.shapes((4, 2)))
    inner = ({"W": (16, 2), "b": (16,)}, {}, {"W": (2, 16), "b": (2,)})
    dim = {"Q": (8, 16, 2), "V": (8, 2, 2), "O": (16, 8, 2), "b": (16,)}
    root = {"Q": (2, 4, 16), "K": (2, 4, 16), "V": (2, 8, 16), "O": (16, 2, 8), "b": (16,)}
    assert shapes == {"blocks": ({"blocks": inner}, dim, root, {"p": (4, 16)}), "R": (3, 16)}
    chosen = model.with_(heads=3, d_k=5, d_v=7).shapes((4, 2))["blocks"][1]
    assert chosen["Q"].shape == (3, 5, 2) and chosen["O"].shape == (16, 3, 7)


def test_positions_with_a_small_decay_have_their_covariance(x64):
    model = Serial(Linear(0.0), Positions(1.0, decay=1e-7), width=4, read="last")
    x = jnp.ones((12, 1))
    params = draw(model, x)  # 12 nearly equal vectors: no Cholesky factorisation in float64
    p = params["blocks"][1]["p"]
    assert float(model.apply(params, x)[0]) == pytest.approx(float(params["R"][0] @ p[0]) / 2, abs=0.02)


@pytest.mark.slow
def test_hyper_parameters_are_leaves_and_a_second_call_compiles_nothing(caplog):
    x = jnp.asarray(X[0], jnp.float32)

    def make(sigma_qk, share, decay, eps, slope):
        blocks = (Linear(), Positions(share, decay), Residual(LayerNorm(eps), Attention(sigma_qk)))
        return Serial(*blocks, activations.LeakyRelu(slope), width=4)

    params = draw(make(1.4, 0.1, 0.5, 0.1, 0.2), x)
    grads = jax.grad(lambda s: make(*s).apply(params, x)[0])((1.4, 0.1, 0.5, 0.1, 0.2))
    assert all(float(g) != 0 for g in grads)
    make(1.4, 0.1, 0.5, 0.1, 0.2).apply(params, x)
    other, new = make(0.3, 0.2, 0.6, 0.2, 0.3), x + 1
    with jax.log_compiles(), caplog.at_level("WARNING"):
        jax.block_until_ready(other.apply(params, new))
    assert [r.message for r in caplog.records if "ompil" in r.message] == []


@pytest.mark.parametrize(
    ("parts", "changes", "message"),
    [
        ((), {}, "Serial takes one or more blocks"),
        ((3,), {}, "Serial takes one or more blocks .*got 3"),
        (("relu",), {"width": 0}, "width must be an integer >= 1; got 0"),
        (("relu",), {"width": None}, "width must be an integer >= 1; got None"),
        (("relu",), {"heads": 0}, "heads must be an integer >= 1"),
        (("relu",), {"d_k": 1.5}, "d_k must be an integer >= 1"),
        (("relu",), {"outputs": 0}, "outputs must be an integer >= 1"),
        (("relu",), {"read": "steps"}, "read must be one of 'mean', 'last', 'first', 'sum'"),
        (("relu",), {"sigma_r": -1.0}, "sigma_r must be a finite standard deviation"),
        (("relu",), {"train_readout": "V"}, "train_readout must be True or False; got 'V'"),
        (("relu",), {"input_scale": "d"}, "input_scale must be one of"),
    ],
)
def test_wrong_arguments_are_refused_at_the_door(parts, changes, message):
    with pytest.raises(ValueError, match=message):
        Serial(*parts, **{"width": 3, **changes})


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((4,), {}, r"one example of shape \(t, d\); got \(4,\)"),
        ((4, 3), {}, r"params\['blocks'\]\[0\]\['W'\] must have shape \(3, 3\)"),
        ((5, 2), {}, r"params\['blocks'\]\[1\]\['p'\] must have shape \(5, 3\)"),
        ((4, 2), {"length": 5}, r"must lie in 1\.\.4 .*got 5"),
    ],
)
def test_wrong_inputs_are_refused_at_the_door(shape, options, message):
    model = Serial(Linear(), Positions(), width=3)
    params = draw(model, jnp.zeros((4, 2), jnp.float32))
    with pytest.raises(ValueError, match=message):
        model.apply(params, jnp.zeros(shape, jnp.float32), **options)


def test_a_block_without_a_rule_is_named():
    class Other(Block):
        pass

    jax.tree_util.register_static(Other)
    model = Serial(Linear(), Other(), width=3)
    x = jnp.zeros((4, 2), jnp.float32)
    with pytest.raises(TypeError, match="no rule for a block Other"):
        model.apply(draw(model, x), x)


# ------------------------------------------------------------------------------------------- the limit of large width

COMPOSITIONS = {
    "attention, norm, relu": (Linear(), Attention(1.3, 0.9, 0.2), LayerNorm(), Linear(2**0.5, 0.1), "relu"),
    "causal tokens with positions": (
        Linear(1.2), Positions(0.4, 0.3), Attention(1.5, project=False, skip=True, causal=True), Linear(), "erf",
    ),
    "residual with abs": (
        Linear(), Residual(LayerNorm(), Attention(weights="abs", train="VO")), Residual(Linear(0.7, train="W")),
    ),
    "recurrence, attention, both ways": (
        Recurrent(Elman("erf", 1.2, 0.9, 0.2)), Attention(0.9, 1.1), Recurrent(Elman("relu", 0.8, 1.1, 0.1), "both"),
    ),
    "retention": (Linear(), Attention(1.1, weights="identity", scaling="root", causal=True, decay=(0.3, 0.8))),
    "convolutions": (
        Convolution(2, sigma_w=1.2, sigma_b=0.3), "relu", Convolution(3, False, 1.1, 0.2),
        Convolution(2, depthwise=True, sigma_b=0.2), Linear(), "erf",
    ),
    "gated units": (
        GLU("relu", Linear(1.2, 0.3), Linear(1.1, 0.2)), Convolution(2), "erf", Residual(GLU("erf"), Linear(0.5)),
    ),
    "random scores": (Linear(), Attention(1.1, weights="identity", scaling="root", skip=True, train="QOb")),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "read"),
    list(zip(COMPOSITIONS, ("mean", "last", "first", "last", "last", "last", "mean", "mean"), strict=True)),
)
def test_the_tangent_kernel_of_a_wide_network_is_that_of_the_limit(name, read):
    from ntkseq.kernels.serial import Serial as Limit

    lengths = np.array([4, 2, 3], np.int32)
    exact = np.asarray(Limit(*COMPOSITIONS[name], read=read, sigma_r=0.9)(X.astype(np.float32), lengths=lengths))
    model = Serial(*COMPOSITIONS[name], width=384, read=read, sigma_r=0.9)
    samples = explicit.over_seeds(model, jnp.asarray(X, jnp.float32), jnp.asarray(lengths), seeds=16)
    # the bias, of relative order 1/d_k, is a third of the standard error or less
    assert np.abs(explicit.z_scores(samples, exact)).max() < 4
    assert explicit.relative(samples, exact) < 0.06
