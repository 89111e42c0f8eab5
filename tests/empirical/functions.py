"""Which functions must an empirical kernel be right about? Small per-example f(params, x) -> (o,), one table of them.

`FUNCTIONS[name].make(dtype)` returns `(f, params, inputs)`, and `inputs(key, n)` a batch with n on the first axis of
every leaf. The same float32 numbers are drawn for every dtype, so the case in float64 is the truth of the case in
float32. All of them run under strict dtype promotion and without rank promotion.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Made = tuple[Callable[[Any, Any], jax.Array], Any, Callable[[Any, int], Any]]
Maker = Callable[[np.random.Generator, int], Any]
Built = tuple[Callable[[Any, Any], jax.Array], Any, Maker]


@dataclasses.dataclass(frozen=True)
class Case:
    """One function of the table.

    outputs: o.
    slow: the derivative takes seconds to compile.
    reverse: reverse mode exists; where it does not (`while_loop`), forward mode does.
    forward: forward mode exists; where it does not (`custom_vjp`), reverse mode does.
    compute: the dtype in which the function computes, where it is not that of its parameters.
    """

    name: str
    make: Callable[[Any], Made]
    outputs: int = 1
    slow: bool = False
    reverse: bool = True
    forward: bool = True
    compute: Any = None

    def tolerance(self, dtype: Any) -> float:
        """The largest error of an entry of the kernel, over the largest entry, that rounding may leave.

        Set from the oracle in float32 against the oracle in float64: at most 5 eps on all functions of the table; a
        method that adds in another order may leave more. In bfloat16 each delta carries an error of eps of its own.
        """
        coarse = jnp.finfo(dtype if self.compute is None else self.compute)
        return (32 if self.compute is None else 2) * float(coarse.eps)


FUNCTIONS: dict[str, Case] = {}


@dataclasses.dataclass(frozen=True)
class Draw:
    """Where a case takes its numbers from."""

    dtype: Any
    rng: np.random.Generator

    def normal(self, *shape: int, scale: float | None = None, mean: float = 0.0) -> jax.Array:
        """Weights of standard deviation `scale`; None: 1 / sqrt(first axis)."""
        spread = shape[0] ** -0.5 if scale is None else scale
        values = (mean + spread * self.rng.standard_normal(shape)).astype(np.float32)
        return jnp.asarray(values.astype(self.dtype))

    def batch(self, *shape: int) -> Maker:
        """A maker of inputs (n, *shape)."""

        def maker(rng: np.random.Generator, n: int) -> jax.Array:
            return jnp.asarray(rng.standard_normal((n, *shape)).astype(np.float32).astype(self.dtype))

        return maker

    def zeros(self, *shape: int) -> jax.Array:
        return jnp.zeros(shape, self.dtype)


def integers(low: int, high: int, *shape: int) -> Maker:
    """A maker of integers below `high`, (n, *shape)."""
    return lambda rng, n: jnp.asarray(rng.integers(low, high, (n, *shape)).astype(np.int32))


def together(**makers: Maker) -> Maker:
    return lambda rng, n: {name: maker(rng, n) for name, maker in makers.items()}


def case(name: str, outputs: int = 1, *, slow: bool = False, **more: Any) -> Callable[[Any], Any]:
    """Enter builder(draw, o, **options) in the table; what `Case` does not know are options of the builder."""
    facts = {key: more.pop(key) for key in ("reverse", "forward", "compute") if key in more}

    def enter(builder: Callable[..., Built]) -> Callable[..., Built]:
        def make(dtype: Any) -> Made:
            f, params, maker = builder(Draw(np.dtype(dtype), np.random.default_rng(0)), outputs, **more)
            # not jax.random, which compiles a program for each shape
            seed = lambda key: np.asarray(jax.random.key_data(key)).ravel()  # noqa: E731
            return f, params, lambda key, n: maker(np.random.default_rng(seed(key)), n)

        assert name not in FUNCTIONS
        FUNCTIONS[name] = Case(name, make, outputs, slow, **facts)
        return builder

    return enter


# --- recurrence ------------------------------------------------------------------------------------------------------


@case("rnn")
@case("rnn_outputs", 3)
@case("rnn_unrolled", 2, unrolled=True)
@case("rnn_reverse_unroll", reverse_scan=True, unroll=2)
def rnn(draw: Draw, o: int, unrolled: bool = False, reverse_scan: bool = False, unroll: int = 1) -> Built:
    n, d, t = 8, 3, 5
    params = {
        "W": draw.normal(n, n, scale=1.0),
        "U": draw.normal(d, n, scale=1.0),
        "b": draw.normal(n, scale=0.1),
        "V": draw.normal(n, o, scale=1.0),
    }

    def f(p: Any, x: jax.Array) -> jax.Array:
        def step(h: jax.Array, xt: jax.Array) -> tuple[jax.Array, None]:
            return jnp.tanh(h @ p["W"] / n**0.5 + p["U"].T @ xt / d**0.5 + p["b"]), None

        h = jnp.zeros(n, x.dtype)
        if unrolled:
            for i in range(t):
                h, _ = step(h, x[i])
        else:
            h, _ = lax.scan(step, h, x, reverse=reverse_scan, unroll=unroll)
        return h @ p["V"] / n**0.5

    return f, params, draw.batch(t, d)


@case("rnn_all_steps", 4)
def rnn_all_steps(draw: Draw, o: int) -> Built:
    """One output per step, read off inside the scan."""
    n = 8
    params = (draw.normal(n, n), draw.normal(n, n), draw.normal(n))

    def f(p: Any, x: jax.Array) -> jax.Array:
        def step(h: jax.Array, xt: jax.Array) -> tuple[jax.Array, jax.Array]:
            h = jnp.tanh(p[0] @ h + p[1] @ xt)
            return h, h @ p[2]

        return lax.scan(step, jnp.zeros(n, x.dtype), x)[1]

    return f, params, draw.batch(o, n)


def lstm_cell(gates: Any, c: jax.Array) -> tuple[jax.Array, jax.Array]:
    i, g, forget, out = gates
    c = jax.nn.sigmoid(forget) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(out) * jnp.tanh(c), c


@case("lstm")
@case("lstm_outputs", 3)
def lstm(draw: Draw, o: int) -> Built:
    """Fused gates: one matrix, its product split."""
    n, d = 6, 4
    params = {"W": draw.normal(n, 4 * n), "U": draw.normal(d, 4 * n), "b": draw.zeros(4 * n), "V": draw.normal(n, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        def step(carry: Any, xt: jax.Array) -> tuple[Any, None]:
            h, c = carry
            return lstm_cell(jnp.split(h @ p["W"] + xt @ p["U"] + p["b"], 4), c), None

        zero = jnp.zeros(n, x.dtype)
        (h, _), _ = lax.scan(step, (zero, zero), x)
        return h @ p["V"]

    return f, params, draw.batch(5, d)


@case("lstm_concatenated", 2)
def lstm_concatenated(draw: Draw, o: int) -> Built:
    """One matrix on [h, x], split into gates before it is used."""
    n, d = 6, 4
    params = {"W": draw.normal(n + d, 4 * n), "b": draw.normal(4 * n), "V": draw.normal(n, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        def step(carry: Any, xt: jax.Array) -> tuple[Any, None]:
            h, c = carry
            hx = jnp.concatenate([h, xt])
            weights, biases = jnp.split(p["W"], 4, axis=1), jnp.split(p["b"], 4)
            return lstm_cell([hx @ w + b for w, b in zip(weights, biases, strict=True)], c), None

        zero = jnp.zeros(n, x.dtype)
        (h, _), _ = lax.scan(step, (zero, zero), x)
        return h @ p["V"]

    return f, params, draw.batch(5, d)


@case("gru", 2)
def gru(draw: Draw, o: int) -> Built:
    """The initial state is a parameter; one product is inside a gate."""
    n, d = 6, 4
    params = {
        "W": draw.normal(n, 2 * n),
        "U": draw.normal(d, 3 * n),
        "C": draw.normal(n, n),
        "b": draw.normal(3 * n, scale=0.1),
        "V": draw.normal(n, o),
        "h0": draw.normal(n),
    }

    def f(p: Any, x: jax.Array) -> jax.Array:
        def step(h: jax.Array, xt: jax.Array) -> tuple[jax.Array, None]:
            zx, zh = xt @ p["U"] + p["b"], h @ p["W"]
            reset, keep = jax.nn.sigmoid(zx[:n] + zh[:n]), jax.nn.sigmoid(zx[n : 2 * n] + zh[n:])
            return keep * h + (1 - keep) * jnp.tanh(zx[2 * n :] + (reset * h) @ p["C"]), None

        return lax.scan(step, p["h0"], x)[0] @ p["V"]

    return f, params, draw.batch(5, d)


class Cell(NamedTuple):
    W: jax.Array
    U: jax.Array
    b: jax.Array


@case("bidirectional_two_layers")
@case("bidirectional_two_layers_outputs", 2, slow=True)
def bidirectional(draw: Draw, o: int) -> Built:
    n, d = 6, 3
    cells = [[Cell(draw.normal(n, n), draw.normal(m, n), draw.zeros(n)) for _ in range(2)] for m in (d, 2 * n)]
    params = (cells, draw.normal(2 * n, o))

    def f(p: Any, x: jax.Array) -> jax.Array:
        for pair in p[0]:
            both = []
            for cell, backwards in zip(pair, (False, True), strict=True):

                def step(h: jax.Array, xt: jax.Array, cell: Cell = cell) -> tuple[jax.Array, jax.Array]:
                    h = jnp.tanh(h @ cell.W + xt @ cell.U + cell.b)
                    return h, h

                both.append(lax.scan(step, jnp.zeros(n, x.dtype), x, reverse=backwards)[1])
            x = jnp.concatenate(both, axis=1)
        return jnp.mean(x, axis=0) @ p[1]

    return f, params, draw.batch(4, d)


@case("linear_recurrence", 2)
def linear_recurrence(draw: Draw, o: int) -> Built:
    """A diagonal state space, by an associative scan."""
    n, d = 8, 3
    params = {"a": draw.normal(n, scale=1.0), "B": draw.normal(d, n), "C": draw.normal(n, o), "D": draw.normal(d, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        def join(left: Any, right: Any) -> Any:
            return left[0] * right[0], right[0] * left[1] + right[1]

        decay = jnp.broadcast_to(jax.nn.sigmoid(p["a"])[None], (x.shape[0], n))
        h = lax.associative_scan(join, (decay, x @ p["B"]))[1]
        return jnp.sum(jnp.tanh(h @ p["C"] + x @ p["D"]), axis=0)

    return f, params, draw.batch(5, d)


@case("padded_sequence", 2)
def padded_sequence(draw: Draw, o: int) -> Built:
    """Inputs are a pair: a sequence and its length."""
    n, d, t = 8, 3, 6
    params = {"W": draw.normal(n, n), "U": draw.normal(d, n), "V": draw.normal(n, o)}

    def f(p: Any, x: Any) -> jax.Array:
        sequence, length = x

        def step(h: jax.Array, now: Any) -> tuple[jax.Array, None]:
            xt, inside = now
            return jnp.where(inside, jnp.tanh(h @ p["W"] + xt @ p["U"]), h), None

        inside = jnp.arange(t, dtype=length.dtype) < length
        return lax.scan(step, jnp.zeros(n, sequence.dtype), (sequence, inside))[0] @ p["V"]

    sequence, length = draw.batch(t, d), integers(1, t + 1)
    return f, params, lambda rng, count: (sequence(rng, count), length(rng, count))


# --- attention and tokens --------------------------------------------------------------------------------------------


def layer_norm(h: jax.Array, gain: jax.Array, shift: jax.Array) -> jax.Array:
    mean, spread = jnp.mean(h, axis=-1, keepdims=True), jnp.var(h, axis=-1, keepdims=True)
    return (h - mean) / jnp.sqrt(spread + 1e-5) * gain[None] + shift[None]


@case("transformer", slow=True)
@case("transformer_outputs", 3, slow=True)
@case("transformer_one_layer", layers=1)
@case("transformer_remat", remat=True, slow=True)
@case("transformer_scanned_layers", 2, scanned=True, slow=True)
@case("transformer_scanned_remat", scanned=True, remat=True, slow=True)
@case("transformer_tied", 2, tied=True, layers=1, slow=True)
def transformer(
    draw: Draw, o: int, layers: int = 2, remat: bool = False, scanned: bool = False, tied: bool = False
) -> Built:
    """Causal; fused queries, keys and values of shape (model, 3, heads, head)."""
    d, heads, t, vocabulary = 8, 2, 5, 7
    head = d // heads

    def layer() -> dict[str, jax.Array]:
        return {
            "qkv": draw.normal(d, 3, heads, head),
            "out": draw.normal(heads, head, d, scale=d**-0.5),
            "up": draw.normal(d, 2 * d),
            "up_b": draw.zeros(2 * d),
            "down": draw.normal(2 * d, d),
            "gain": draw.normal(d, scale=0.1, mean=1.0),
            "shift": draw.zeros(d),
        }

    stack: Any = [layer() for _ in range(layers)]
    params = {
        "embed": draw.normal(vocabulary, d, scale=1.0),
        "place": draw.normal(t, d, scale=0.1),
        "layers": jax.tree.map(lambda *leaves: jnp.stack(leaves), *stack) if scanned else stack,
        "V": draw.normal(d, o),
    }

    def block(q: Any, h: jax.Array) -> jax.Array:
        z = layer_norm(h, q["gain"], q["shift"])
        query, key, value = jnp.einsum("td,dchk->cthk", z, q["qkv"])
        scores = jnp.einsum("thk,shk->hts", query, key) / head**0.5
        causal = jnp.broadcast_to(jnp.tril(jnp.ones((t, t), bool))[None], scores.shape)
        weights = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf))
        h = h + jnp.einsum("thk,hkd->td", jnp.einsum("hts,shk->thk", weights, value), q["out"])
        return h + jax.nn.gelu(h @ q["up"] + q["up_b"][None]) @ q["down"]

    apply = jax.checkpoint(block) if remat else block  # pyright: ignore[reportPrivateImportUsage]

    def f(p: Any, x: jax.Array) -> jax.Array:
        h = p["embed"][x] + p["place"]
        if scanned:
            h, _ = lax.scan(lambda h, q: (apply(q, h), None), h, p["layers"])
        else:
            for q in p["layers"]:
                h = apply(q, h)
        if tied:
            return (h @ p["embed"].T)[-1, :o] + jnp.mean(h, axis=0) @ p["V"]
        return jnp.mean(h, axis=0) @ p["V"]

    return f, params, integers(0, vocabulary, t)


@case("multihead_einsum", 2)
def multihead_einsum(draw: Draw, o: int) -> Built:
    """Weights of each head of their own, (heads, model, head), and no softmax."""
    d, heads, head = 6, 2, 3
    params = {name: draw.normal(heads, d, head, scale=d**-0.5) for name in ("Q", "K", "W")}
    params["V"] = draw.normal(heads, head, o, scale=d**-0.5)

    def f(p: Any, x: jax.Array) -> jax.Array:
        q, k, v = (jnp.einsum("td,hde->hte", x, p[name]) for name in ("Q", "K", "W"))
        mixed = jnp.einsum("hts,hse->hte", jnp.tanh(jnp.einsum("hte,hse->hts", q, k)), v)
        return jnp.einsum("hte,heo->o", mixed, p["V"])

    return f, params, draw.batch(4, d)


@case("tied_decoder", 3)
def tied_decoder(draw: Draw, o: int) -> Built:
    """One embedding reads tokens in and scores them: the logits of the first o tokens."""
    d, t, vocabulary = 6, 5, 7
    params = {"E": draw.normal(vocabulary, d, scale=1.0), "W": draw.normal(d, d)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        def step(h: jax.Array, token: jax.Array) -> tuple[jax.Array, None]:
            return jnp.tanh(h @ p["W"] + p["E"][token]), None

        h, _ = lax.scan(step, jnp.zeros(d, p["W"].dtype), x)
        return (p["E"] @ h)[:o]

    return f, params, integers(0, vocabulary, t)


@case("embedding_edges", 2)
def embedding_edges(draw: Draw, o: int) -> Built:
    """Ids from -3 to 9 of 7 rows, of a scaled table: negative, clipped, filled, dropped, and dynamic slices."""
    d, t, vocabulary = 6, 5, 7
    params = {"E": draw.normal(vocabulary, d, scale=0.4), "V": draw.normal(d, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        table = p["E"] * d**0.5
        h = table[x - 3] + jnp.take(table, x + 3, axis=0, mode="fill", fill_value=0.0)
        h = h + 0.5 * jnp.take(p["E"].T, x + 3, axis=1, mode="clip").T + table.at[x + 3].get(mode="clip")
        row = lax.dynamic_slice(p["E"], (x[0] + 3, jnp.zeros((), x.dtype)), (1, d))  # clamped to the last row
        return jnp.tanh(jnp.sum(jnp.tanh(h), axis=0) + row[0] + p["E"][x[1], :]) @ p["V"]

    return f, params, integers(0, vocabulary, t)


@case("experts", 2)
def experts(draw: Draw, o: int) -> Built:
    """A whole matrix is picked by the input, not a row."""
    n = 6
    params = {"W": draw.normal(3, n, n, scale=n**-0.5), "V": draw.normal(n, o)}

    def f(p: Any, x: Any) -> jax.Array:
        return jnp.tanh(x["x"] @ p["W"][x["expert"]]) @ p["V"]

    return f, params, together(x=draw.batch(n), expert=integers(0, 3))


@case("vmapped_tokens", 2)
def vmapped_tokens(draw: Draw, o: int) -> Built:
    """One network on every token, by vmap inside f, in a jit of its own."""
    n, d = 8, 3
    params = {"W": draw.normal(d, n), "b": draw.normal(n), "V": draw.normal(n, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        one = jax.jit(lambda xt: jnp.tanh(xt @ p["W"] + p["b"]) @ p["V"])
        return jnp.sum(jnp.sin(jax.vmap(one)(x)), axis=0)

    return f, params, draw.batch(4, d)


# --- convolutions ----------------------------------------------------------------------------------------------------


@case("cnn")
@case("cnn_outputs", 3)
def cnn(draw: Draw, o: int) -> Built:
    c = 4
    params = {"A": draw.normal(3, 3, 2, c, scale=0.3), "B": draw.normal(3, 3, c, c, scale=0.3), "V": draw.normal(c, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        h = x[None]
        for name, padding in (("A", "SAME"), ("B", "VALID")):
            h = lax.conv_general_dilated(h, p[name], (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
            h = jnp.tanh(h)
        return jnp.mean(h[0], axis=(0, 1)) @ p["V"]

    return f, params, draw.batch(5, 5, 2)


@case("conv_strides_dilation", 2)
def conv_strides_dilation(draw: Draw, o: int) -> Built:
    """One dimension, channels in front; then transposed: the input is dilated."""
    c, d = 4, 3
    params = {"A": draw.normal(c, d, 3, scale=0.4), "B": draw.normal(c, c, 2, scale=0.4), "V": draw.normal(c, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        h = lax.conv_general_dilated(x[None], p["A"] / 2, (2,), [(3, 1)], rhs_dilation=(2,))
        h = lax.conv_general_dilated(jnp.tanh(h), p["B"], (1,), [(1, 0)], lhs_dilation=(2,))
        return jnp.sum(jnp.tanh(h[0]), axis=1) @ p["V"]

    return f, params, draw.batch(d, 6)


@case("conv_depthwise", 2)
def conv_depthwise(draw: Draw, o: int) -> Built:
    """A filter of each channel of its own, then one weight per pair of channels; all positions shared."""
    c = 4
    params = {"A": draw.normal(3, 1, 2 * c, scale=0.6), "B": draw.normal(1, 2 * c, o, scale=0.4)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        axes = ("NWC", "WIO", "NWC")
        h = lax.conv_general_dilated(x[None], p["A"], (1,), "SAME", dimension_numbers=axes, feature_group_count=c)
        h = lax.conv_general_dilated(jnp.tanh(h), p["B"], (1,), "SAME", dimension_numbers=axes)
        return jnp.sum(jnp.tanh(h[0]), axis=0)

    return f, params, draw.batch(5, c)


@case("conv_parameter_left")
def conv_parameter_left(draw: Draw, o: int) -> Built:
    """The input is the filter, the parameter is what it filters."""
    params = {"image": draw.normal(1, 6, 2, scale=0.3)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        h = lax.conv_general_dilated(p["image"], x, (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC"))
        return jnp.tanh(jnp.mean(jnp.tanh(h), axis=(0, 1)) @ h[0, 0])[None]

    return f, params, draw.batch(3, 2, 4)


# --- dense networks, derivatives, adaptation -------------------------------------------------------------------------


def dense(p: Any, x: jax.Array) -> jax.Array:
    for w, b in p[:-1]:
        x = jnp.tanh(x @ w / w.shape[0] ** 0.5 + b)
    w, b = p[-1]
    return x @ w / w.shape[0] ** 0.5 + b


def dense_params(draw: Draw, *sizes: int) -> Any:
    return [(draw.normal(a, b, scale=1.0), draw.normal(b, scale=0.1)) for a, b in itertools.pairwise(sizes)]


@case("mlp")
@case("mlp_outputs", 4)
def mlp(draw: Draw, o: int) -> Built:
    return dense, dense_params(draw, 3, 8, 8, o), draw.batch(3)


@case("relu_mlp", 2)
def relu_mlp(draw: Draw, o: int) -> Built:
    def f(p: Any, x: jax.Array) -> jax.Array:
        return jax.nn.relu(jax.nn.relu(p["A"] @ x) @ p["B"]) @ p["V"]

    return f, {"A": draw.normal(8, 3), "B": draw.normal(8, 8), "V": draw.normal(8, o)}, draw.batch(3)


@case("derivative_network", 2)
def derivative_network(draw: Draw, o: int) -> Built:
    """The value and its derivative by the input: each matrix is used as it is and transposed."""

    def f(p: Any, x: jax.Array) -> jax.Array:
        value, slope = jax.value_and_grad(lambda x: dense(p, x)[0])(x)
        return jnp.stack([value, slope[0]])

    return f, dense_params(draw, 3, 8, 8, 1), draw.batch(3)


@case("laplacian_network", slow=True)
def laplacian_network(draw: Draw, o: int) -> Built:
    """The trace of the Hessian by the input, forward over reverse: the residual of a physics-informed network."""

    def f(p: Any, x: jax.Array) -> jax.Array:
        return jnp.trace(jax.hessian(lambda x: dense(p, x)[0])(x))[None]

    return f, dense_params(draw, 2, 6, 6, 1), draw.batch(2)


def adapted(p: Any, xs: jax.Array, ys: jax.Array, steps: int = 1) -> Any:
    def loss(p: Any) -> jax.Array:
        return jnp.mean((jax.vmap(lambda x: dense(p, x))(xs) - ys) ** 2)

    for _ in range(steps):
        p = jax.tree.map(lambda a, g: a - 0.1 * g, p, jax.grad(loss)(p))
    return p


@case("maml_fixed_support")
@case("maml_two_steps", 2, steps=2, slow=True)
def maml_fixed_support(draw: Draw, o: int, steps: int = 1) -> Built:
    """Adapted to one support, which is no part of x: the adapted parameters depend on parameters only."""
    xs, ys = draw.normal(4, 3, scale=1.0), draw.normal(4, o, scale=1.0)
    params = dense_params(draw, 3, 6, o)
    return lambda p, x: dense(adapted(p, xs, ys, steps), x), params, draw.batch(3)


@case("maml_task")
@case("maml_task_two_steps", 2, steps=2, slow=True)
def maml_task(draw: Draw, o: int, steps: int = 1) -> Built:
    """The support is part of x: every example adapts the parameters anew."""

    def f(p: Any, x: Any) -> jax.Array:
        return dense(adapted(p, x["xs"], x["ys"], steps), x["xq"])

    inputs = together(xs=draw.batch(4, 3), ys=draw.batch(4, o), xq=draw.batch(3))
    return f, dense_params(draw, 3, 6, o), inputs


@case("fast_weights", 2)
def fast_weights(draw: Draw, o: int) -> Built:
    """A matrix to which each step adds an outer product of activations."""
    n = 6
    params = {"W": draw.normal(n, n), "R": draw.normal(n, n), "V": draw.normal(n, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        def step(weights: jax.Array, xt: jax.Array) -> tuple[jax.Array, jax.Array]:
            h = jnp.tanh((p["W"] + weights) @ xt)
            return weights + 0.3 * jnp.outer(h, p["R"] @ xt), h

        return jnp.sum(lax.scan(step, jnp.zeros((n, n), x.dtype), x)[1], axis=0) @ p["V"]

    return f, params, draw.batch(4, n)


# --- control flow ----------------------------------------------------------------------------------------------------


@case("cond", 2)
def cond(draw: Draw, o: int) -> Built:
    n = 6
    params = {"W": draw.normal(n, n), "Z": draw.normal(n, n), "V": draw.normal(n, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        h = jnp.tanh(x @ p["W"])
        return lax.cond(h[0] > 0, lambda h: jnp.tanh(h @ p["Z"]), lambda h: jnp.sin(h), h) @ p["V"]

    return f, params, draw.batch(n)


@case("switch", 2)
def switch(draw: Draw, o: int) -> Built:
    """Three branches; the matrix of the first is also used outside."""
    n = 6
    params = {"A": draw.normal(n, n), "B": draw.normal(n, n), "V": draw.normal(n, o)}

    def f(p: Any, x: Any) -> jax.Array:
        branches = [lambda h: jnp.tanh(h @ p["A"]), lambda h: p["B"] @ h, lambda h: h * h]
        return lax.switch(x["branch"], branches, jnp.tanh(x["x"] @ p["A"])) @ p["V"]

    return f, params, together(x=draw.batch(n), branch=integers(0, 3))


@case("while_loop", 2, reverse=False)
@case("while_loop_counted_by_x", reverse=False, by_x=True)
def while_loop(draw: Draw, o: int, by_x: bool = False) -> Built:
    n = 6
    params = {"W": draw.normal(n, n), "V": draw.normal(n, o)}

    def f(p: Any, x: Any) -> jax.Array:
        h, count = (x["x"], x["count"]) if by_x else (x, jnp.int32(3))
        step = lambda state: (state[0] - 1, jnp.tanh(state[1] @ p["W"]))  # noqa: E731
        return lax.while_loop(lambda state: state[0] > 0, step, (count, h))[1] @ p["V"]

    return f, params, together(x=draw.batch(n), count=integers(0, 4)) if by_x else draw.batch(n)


@case("fori_carries_parameters", 2)
def fori_carries_parameters(draw: Draw, o: int) -> Built:
    n = 6
    params = {"W": draw.normal(n, n), "V": draw.normal(n, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        q, h = lax.fori_loop(0, 4, lambda _, c: (c[0], jnp.tanh(c[1] @ c[0]["W"] + x)), (p, x))
        return h @ q["V"]

    return f, params, draw.batch(n)


@case("scan_changes_parameters", 2)
def scan_changes_parameters(draw: Draw, o: int) -> Built:
    """The carry is a parameter that decays from step to step, and the parameters of each step leave the scan."""
    n = 6
    params = {"W": draw.normal(n, n), "V": draw.normal(n, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        def step(carry: Any, xt: jax.Array) -> tuple[Any, jax.Array]:
            w, h = carry
            return (0.5 * w, jnp.tanh(h @ w + xt)), w[0]

        (_, h), rows = lax.scan(step, (p["W"], x[0]), x)
        return (h + jnp.sum(rows, axis=0) * x[0]) @ p["V"]

    return f, params, draw.batch(3, n)


@case("nested_scans", 2)
def nested_scans(draw: Draw, o: int) -> Built:
    """The outer scan runs over parameters, the inner one over the sequence."""
    n = 6
    params = {"W": draw.normal(n, n), "S": draw.normal(3, n, n, scale=n**-0.5), "V": draw.normal(n, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        def outer(h: jax.Array, s: jax.Array) -> tuple[jax.Array, jax.Array]:
            h, _ = lax.scan(lambda h, xt: (jnp.tanh(h @ p["W"] + xt @ s), None), h, x)
            return jnp.tanh(s @ h + p["W"] @ h), jnp.sum(h)

        h, sums = lax.scan(outer, jnp.zeros(n, x.dtype), p["S"])
        return h @ p["V"] + jnp.sum(sums)

    return f, params, draw.batch(4, n)


# --- views of a parameter --------------------------------------------------------------------------------------------


@case("slices_disjoint", 2)
def slices_disjoint(draw: Draw, o: int) -> Built:
    """Three layers in one leaf, and the read-out rows of another."""
    n = 6
    params = {"W": draw.normal(3, n, n, scale=n**-0.5), "V": draw.normal(2 * n, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        h = x
        for layer in range(3):
            h = jnp.tanh(h @ p["W"][layer].T)
        return h @ p["V"][:n] + jnp.sin(x) @ p["V"][n:]

    return f, params, draw.batch(n)


@case("slices_overlapping", 2)
def slices_overlapping(draw: Draw, o: int) -> Built:
    n = 8
    params = {"W": draw.normal(n, n), "V": draw.normal(n, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        h = jnp.tanh(x[:, :5] @ p["W"][:5] + x[:, 3:] @ p["W"][3:])
        return jnp.tanh(jnp.sum(h @ p["W"][:, ::2], axis=0)) @ p["V"][1::2]

    return f, params, draw.batch(3, n)


@case("reshaped", 2)
def reshaped(draw: Draw, o: int) -> Built:
    """One leaf holds everything; reversed, permuted and joined views of it."""
    n = 6
    params = draw.normal(2 * n * n + n * o, scale=0.4)

    def f(p: jax.Array, x: jax.Array) -> jax.Array:
        a, b, v = p[: n * n].reshape(n, n), p[n * n : 2 * n * n].reshape(2, n, n // 2), p[2 * n * n :].reshape(o, n)
        h = jnp.tanh(x @ a[::-1])
        h = jnp.tanh(h @ b.transpose(1, 0, 2).reshape(n, n))
        return jnp.concatenate([v[:1], v[1:] / 2], axis=0) @ h

    return f, params, draw.batch(n)


@case("transposed_and_straight", 2)
def transposed_and_straight(draw: Draw, o: int) -> Built:
    n = 6
    params = {"W": draw.normal(n, n), "V": draw.normal(n, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        return jnp.tanh(jnp.tanh(x @ p["W"]) @ p["W"].T + p["W"] @ x) @ p["V"]

    return f, params, draw.batch(n)


@case("masked_weights", 2)
def masked_weights(draw: Draw, o: int) -> Built:
    """A constant mask times the matrix; the mask of the read-out depends on x."""
    n = 6
    params = {"W": draw.normal(n, n), "V": draw.normal(n, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        w = p["W"] * jnp.broadcast_to(jnp.arange(n, dtype=x.dtype)[:, None] % 2, (n, n)) + jnp.triu(p["W"])
        return jnp.tanh(x @ w) @ (p["V"] * (x > 0).astype(x.dtype)[:, None])

    return f, params, draw.batch(n)


@case("weight_norm", 2)
def weight_norm(draw: Draw, o: int) -> Built:
    """Not linear in the parameter, before it meets the data."""
    n = 6
    params = {"W": draw.normal(n, n), "g": draw.normal(n, scale=0.1, mean=1.0), "V": draw.normal(n, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        w = p["W"] / jnp.linalg.norm(p["W"], axis=0, keepdims=True) * p["g"][None]
        return jnp.tanh(x @ w) @ jnp.tanh(p["V"])

    return f, params, draw.batch(n)


@case("squared_matrix", 2)
def squared_matrix(draw: Draw, o: int) -> Built:
    n = 6
    params = {"W": draw.normal(n, n), "V": draw.normal(n, o)}
    return lambda p, x: jnp.tanh(x @ (p["W"] @ p["W"]) + x @ p["W"]) @ p["V"], params, draw.batch(n)


@case("low_rank", 2)
def low_rank(draw: Draw, o: int) -> Built:
    """Low-rank adaptation: two parameters meet each other before the data, beside a constant."""
    n, rank = 8, 2
    frozen = draw.normal(n, n)
    params = {"A": draw.normal(n, rank), "B": draw.normal(rank, n), "V": draw.normal(n, o)}
    return lambda p, x: jnp.tanh(x @ (frozen + p["A"] @ p["B"])) @ p["V"], params, draw.batch(n)


@case("bilinear", 2)
def bilinear(draw: Draw, o: int) -> Built:
    n = 5
    return (
        lambda p, x: jnp.tanh(jnp.einsum("i,oij,j->o", x, p, jnp.sin(x))),
        draw.normal(o, n, n, scale=0.4),
        draw.batch(n),
    )


@case("gains_and_shifts", 2)
def gains_and_shifts(draw: Draw, o: int) -> Built:
    """Elementwise parameters only, over a sequence; the last one is added to the output."""
    n = 6
    params = {"gain": draw.normal(n, scale=1.0), "shift": draw.normal(n), "c": draw.normal(o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        h = jnp.sum(layer_norm(jnp.sin(x), p["gain"], p["shift"]), axis=0)
        return jnp.tanh(h[:o] * h[-o:]) + p["c"]

    return f, params, draw.batch(4, n)


@case("stopped_gradient", 2)
def stopped_gradient(draw: Draw, o: int) -> Built:
    """One of two uses of a matrix is a constant, and so is all that one leaf does."""
    n = 6
    params = {"W": draw.normal(n, n), "Z": draw.normal(n, n), "V": draw.normal(n, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        h = jnp.tanh(jnp.tanh(x @ lax.stop_gradient(p["W"])) @ p["W"])
        return (h + lax.stop_gradient(jnp.tanh(h @ p["Z"]))) @ p["V"]

    return f, params, draw.batch(n)


# --- custom rules ----------------------------------------------------------------------------------------------------


@jax.custom_jvp
def clipped(z: jax.Array) -> jax.Array:
    return jnp.clip(z, -1, 1)


@clipped.defjvp
def _(primals: Any, tangents: Any) -> Any:
    """Straight through: the slope is not that of the function."""
    return clipped(primals[0]), tangents[0] / (1 + primals[0] ** 2)


@case("custom_jvp", 2)
def custom_jvp(draw: Draw, o: int) -> Built:
    n = 6
    params = {"W": draw.normal(n, n), "R": draw.normal(n, n), "V": draw.normal(n, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        h, _ = lax.scan(lambda h, xt: (clipped(h @ p["W"] + clipped(p["R"]) @ xt), None), jnp.zeros(n, x.dtype), x)
        return h @ p["V"]

    return f, params, draw.batch(3, n)


@jax.custom_vjp
def product(w: jax.Array, x: jax.Array) -> jax.Array:
    return x @ w


def product_back(saved: Any, g: jax.Array) -> Any:
    w, x = saved
    return 2 * jnp.outer(x, g), w @ jnp.clip(g, -1, 1)


product.defvjp(lambda w, x: (x @ w, (w, x)), product_back)


@case("custom_vjp", 2, forward=False)
def custom_vjp(draw: Draw, o: int) -> Built:
    """A product whose rule is not its derivative: twice for the matrix, clipped for the input."""
    n = 6
    params = {"W": draw.normal(n, n), "V": draw.normal(n, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        return jnp.tanh(product(p["W"], jnp.tanh(product(p["W"], x)))) @ p["V"]

    return f, params, draw.batch(n)


# --- kinds of leaves -------------------------------------------------------------------------------------------------


@case("odd_leaves", 2)
def odd_leaves(draw: Draw, o: int) -> Built:
    """A leaf that is not used, an empty one, 0-d ones, integers and booleans among the floats, None."""
    n = 6
    params = {
        "W": draw.normal(n, n),
        "V": draw.normal(n, o),
        "scale": jnp.asarray(1.5, draw.dtype),
        "power": jnp.asarray(0.5, draw.dtype),
        "unused": draw.normal(3),
        "empty": draw.zeros(0, n),
        "order": jnp.asarray([2, 0, 1, 5, 4, 3], jnp.int32),
        "steps": jnp.asarray(3, jnp.int32),
        "keep": jnp.arange(n) > 1,
        "nothing": None,
    }

    def f(p: Any, x: jax.Array) -> jax.Array:
        h = jnp.tanh(x @ p["W"] * p["scale"])[p["order"]]
        h = jnp.where(p["keep"], h, 0.0) * p["steps"].astype(x.dtype)
        return jnp.exp(p["power"] * jnp.sin(h)) @ p["V"] + jnp.sum(p["empty"])

    return f, params, draw.batch(n)


@case("no_input", 2)
def no_input(draw: Draw, o: int) -> Built:
    """The first output does not depend on x, the second not on the parameters."""
    return lambda p, x: jnp.stack([jnp.sum(p * p), jnp.sum(x)]), draw.normal(5), draw.batch(3)


@case("bfloat16_compute", 2, compute=jnp.bfloat16)
def bfloat16_compute(draw: Draw, o: int) -> Built:
    """Parameters are cast before they are used; the state of the scan is in bfloat16, the read-out in full."""
    n, d = 8, 4
    low = functools.partial(jax.tree.map, lambda a: a.astype(jnp.bfloat16))
    params = {"W": draw.normal(n, n), "U": draw.normal(d, n), "b": draw.normal(n), "V": draw.normal(n, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        q = low({name: p[name] for name in ("W", "U", "b")})
        step = lambda h, xt: (jnp.tanh(h @ q["W"] + xt @ q["U"] + q["b"]), None)  # noqa: E731
        h, _ = lax.scan(step, jnp.zeros(n, jnp.bfloat16), low(x))
        return h.astype(x.dtype) @ p["V"]

    return f, params, draw.batch(4, d)


# --- kinds of numbers ------------------------------------------------------------------------------------------------


def complex_of(dtype: Any) -> Any:
    """The complex dtype with parts of this one."""
    return np.promote_types(dtype, np.complex64)


def complex_batch(draw: Draw, *shape: int) -> Maker:
    def maker(rng: np.random.Generator, n: int) -> jax.Array:
        parts = rng.standard_normal((2, n, *shape)).astype(np.float32)
        return jnp.asarray((parts[0] + 1j * parts[1]).astype(complex_of(draw.dtype)))

    return maker


def whole(low: int, high: int, dtype: str, *shape: int) -> Maker:
    return lambda rng, n: jnp.asarray(rng.integers(low, high, (n, *shape)).astype(dtype))


def mixed(a: jax.Array, b: jax.Array) -> jax.Array:
    """a @ b of two dtypes, as jnp writes it outside strict promotion."""
    return lax.dot_general(a, b, (((a.ndim - 1,), (0,)), ((), ())))


@case("complex_state_space", 2)
@case("complex_state_space_cast", 2, cast=True)
@case("complex_state_space_real_product", 2, real=True)
def complex_state_space(draw: Draw, o: int, cast: bool = False, real: bool = False) -> Built:
    """A diagonal complex state between real matrices: the read-out is mixed, or cast first, or keeps its real part."""
    m, d, t = 5, 3, 6
    params = {
        "B": draw.normal(d, m),
        "C": draw.normal(m, o),
        "decay": draw.normal(m, scale=0.3, mean=0.5),
        "turn": draw.normal(m, scale=1.0),
    }
    kind = complex_of(draw.dtype)

    def f(p: Any, x: jax.Array) -> jax.Array:
        keep = jnp.exp(lax.complex(-jnp.abs(p["decay"]), p["turn"]))
        u = (x @ p["B"]).astype(kind)
        h = lax.scan(lambda h, u: ((keep * h + u),) * 2, jnp.zeros(m, kind), u)[1]
        if real:
            return jnp.mean(lax.dot_general(h, p["C"], (((1,), (0,)), ((), ())), preferred_element_type=x.dtype), 0)
        y = h @ p["C"].astype(kind) if cast else mixed(h, p["C"])
        return jnp.mean(y.real + 0.5 * y.imag**2, axis=0)

    return f, params, draw.batch(t, d)


@case("fourier_layer", 2)
def fourier_layer(draw: Draw, o: int) -> Built:
    """A transform of x W, weights of each frequency in two leaves, and back."""
    d, n, t = 3, 4, 6
    params = {"W": draw.normal(d, n), "re": draw.normal(t // 2 + 1, n, n), "im": draw.normal(t // 2 + 1, n, n)}
    params["V"] = draw.normal(n, o)

    def f(p: Any, x: jax.Array) -> jax.Array:
        h = jnp.fft.rfft(x @ p["W"], axis=0)
        h = jnp.einsum("kc,kcd->kd", h, lax.complex(p["re"], p["im"]))
        return jnp.mean(jnp.tanh(jnp.fft.irfft(h, axis=0)), axis=0) @ p["V"]

    return f, params, draw.batch(t, d)


@case("fourier_real_weights", 2)
def fourier_real_weights(draw: Draw, o: int) -> Built:
    """Real weights on the transform: the part of each that turns is 1j times a leaf."""
    d, n, t = 3, 4, 6
    params = {"A": draw.normal(d, n), "B": draw.normal(d, n), "V": draw.normal(n, o)}
    kind = complex_of(draw.dtype)

    def f(p: Any, x: jax.Array) -> jax.Array:
        h = jnp.fft.fft(x, axis=0)
        h = mixed(h, p["A"]) + h @ (p["B"].astype(kind) * np.asarray(1j, kind))
        return jnp.mean(jnp.abs(jnp.fft.ifft(h, axis=0)), axis=0) @ p["V"]

    return f, params, draw.batch(t, d)


@case("phase_readout", 3)
def phase_readout(draw: Draw, o: int) -> Built:
    """Angle, size and conjugate product of x W for complex x."""
    d = 4

    def f(p: Any, x: jax.Array) -> jax.Array:
        z = mixed(x, p["W"])
        return jnp.stack([jnp.angle(z[0]), jnp.abs(z[1]), (z[0] * jnp.conj(z[1])).imag])

    return f, {"W": draw.normal(d, 2)}, complex_batch(draw, d)


@case("complex_network", 2)
def complex_network(draw: Draw, o: int) -> Built:
    """Complex data through real matrices on both sides of it, with a conjugate in between."""
    d, t = 3, 4
    params = {"L": draw.normal(5, t), "R": draw.normal(d, 5), "V": draw.normal(5, o)}
    kind = complex_of(draw.dtype)

    def f(p: Any, x: jax.Array) -> jax.Array:
        z = jnp.tanh(mixed(p["L"], mixed(x, p["R"])))  # (5, 5)
        z = jnp.conj(z) @ jnp.conj(p["V"].astype(kind)) + 1j * z @ p["V"].astype(kind)
        return jnp.sum(z.real * z.imag, axis=0)

    return f, params, complex_batch(draw, t, d)


@case("complex_twins", 2)
def complex_twins(draw: Draw, o: int) -> Built:
    """Two products that are added behind complex factors have the same delta up to these."""
    n, d = 5, 3
    params = {"W": draw.normal(n, n), "U": draw.normal(d, n), "V": draw.normal(n, o)}
    kind = complex_of(draw.dtype)

    def f(p: Any, x: jax.Array) -> jax.Array:
        def step(h: jax.Array, xt: jax.Array) -> tuple[jax.Array, None]:
            return jnp.tanh(
                mixed(h, p["W"]) * np.asarray(0.5j, kind) - mixed(xt, p["U"]) * np.asarray(2 + 1j, kind)
            ), None

        h, _ = lax.scan(step, jnp.zeros(n, kind), x.astype(kind))
        return mixed(h, p["V"]).imag

    return f, params, draw.batch(4, d)


@case("complex_convolution", 2)
def complex_convolution(draw: Draw, o: int) -> Built:
    d, c = 2, 3
    params = {"A": draw.normal(3, d, c), "V": draw.normal(c, o)}
    kind = complex_of(draw.dtype)

    def f(p: Any, x: jax.Array) -> jax.Array:
        axes = ("NWC", "WIO", "NWC")
        z = lax.conv_general_dilated(x[None], p["A"].astype(kind), (1,), "SAME", dimension_numbers=axes)[0]
        return jnp.mean(jnp.tanh(z.real + z.imag**2), axis=0) @ p["V"]

    return f, params, complex_batch(draw, 5, d)


@case("complex_fast_weights", 2)
def complex_fast_weights(draw: Draw, o: int) -> Built:
    """A real matrix plus a complex one that depends on the example."""
    n = 4
    params = {"W": draw.normal(n, n), "V": draw.normal(n, o)}
    kind = complex_of(draw.dtype)

    def f(p: Any, x: jax.Array) -> jax.Array:
        w = p["W"].astype(kind) + 0.3 * jnp.outer(x, jnp.conj(x))
        z = w @ jnp.tanh(w @ x)
        return mixed(z, p["V"]).real + jnp.sum(jnp.abs(z))

    return f, params, complex_batch(draw, n)


@case("complex_rows", 2)
def complex_rows(draw: Draw, o: int) -> Built:
    """Rows of a real table that turn with their place."""
    d, t, vocabulary = 4, 5, 7
    params = {"E": draw.normal(vocabulary, d, scale=1.0), "V": draw.normal(d, o)}
    kind = complex_of(draw.dtype)

    def f(p: Any, x: jax.Array) -> jax.Array:
        table = p["E"].astype(kind) * np.asarray(0.6 + 0.8j, kind)
        angle = jnp.arange(t, dtype=draw.dtype)[:, None]
        z = jnp.sum(lax.complex(jnp.cos(angle), jnp.sin(angle)) * table[x], axis=0)
        return mixed(jnp.tanh(z), p["V"]).real

    return f, params, integers(0, vocabulary, t)


@case("complex_branches", 2)
def complex_branches(draw: Draw, o: int) -> Built:
    """Three branches with sites of all kinds, in a loop with a complex state."""
    n = 4
    params = {"A": draw.normal(n, n), "B": draw.normal(n, n), "V": draw.normal(n, o)}
    kind = complex_of(draw.dtype)

    def f(p: Any, x: Any) -> jax.Array:
        def step(h: jax.Array, now: Any) -> tuple[jax.Array, None]:
            branches = [
                lambda h: jnp.tanh(mixed(h, p["A"])),
                lambda h: jnp.conj(h @ p["B"].astype(kind)) * 1j,
                lambda h: (now["x"] @ p["A"]).astype(kind),
            ]
            return lax.switch(now["branch"], branches, h + now["x"].astype(kind)), None

        return mixed(lax.scan(step, jnp.zeros(n, kind), x)[0], p["V"]).real

    return f, params, together(x=draw.batch(4, n), branch=integers(0, 3, 4))


@case("real_and_complex_uses", 2)
def real_and_complex_uses(draw: Draw, o: int) -> Built:
    """One leaf meets real, complex and whole numbers, in two precisions."""
    n = 4
    params = {"W": draw.normal(n, n), "V": draw.normal(n, o)}
    kind = complex_of(draw.dtype)

    def f(p: Any, x: jax.Array) -> jax.Array:
        h = jnp.tanh(x @ p["W"])
        z = mixed(h.astype(kind) * 1j + x.astype(kind), p["W"])
        count = jnp.floor(3 * x).astype(jnp.int32)
        return (jnp.tanh(z.real * z.imag) + mixed(count, p["W"])) @ p["V"]

    return f, params, draw.batch(n)


@case("booleans", 2)
@case("counts", 2, dtype="uint8", high=9)
@case("signed_counts", 2, dtype="int8", low=-4, high=5)
@case("large_counts", 2, dtype="int32", high=1000)
def whole_numbers(draw: Draw, o: int, dtype: str = "bool", low: int = 0, high: int = 2) -> Built:
    """Inputs that are no floats meet matrices directly, in a loop and per head."""
    n, d, t = 5, 3, 4
    params = {"U": draw.normal(d, n), "W": draw.normal(n, n), "Q": draw.normal(2, d, n), "V": draw.normal(n, o)}
    scale = 1 / max(high, -low)

    def f(p: Any, x: jax.Array) -> jax.Array:
        step = lambda h, xt: (jnp.tanh(h @ p["W"] + scale * mixed(xt, p["U"])), None)  # noqa: E731
        h, _ = lax.scan(step, jnp.zeros(n, draw.dtype), x)
        heads = lax.dot_general(x, p["Q"], (((1,), (1,)), ((), ())))  # (t, 2, n)
        return (h + jnp.sum(jnp.tanh(scale * heads), axis=(0, 1))) @ p["V"]

    return f, params, whole(low, high, dtype, t, d)


@case("bfloat16_activations", 2, compute=jnp.bfloat16, low=jnp.bfloat16)
@case("float16_activations", 2, compute=jnp.float16, low=jnp.float16)
def low_activations(draw: Draw, o: int, low: Any) -> Built:
    """Activations are rounded before they meet weights that are not."""
    n, d = 6, 4
    params = {"W": draw.normal(d, n), "Z": draw.normal(n, n), "V": draw.normal(n, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        h = jnp.tanh(mixed(x.astype(low), p["W"])).astype(low)
        h = h + jnp.tanh(lax.dot_general(h, p["Z"], (((1,), (0,)), ((), ())), preferred_element_type=low))
        return jnp.mean(mixed(h, p["V"]), axis=0)

    return f, params, draw.batch(3, d)


# --- look-ups beyond the table ---------------------------------------------------------------------------------------


def look_up(table: jax.Array, ids: jax.Array, mode: str | None) -> jax.Array:
    if mode == "wrap":
        return jnp.take(table, ids, axis=0, mode=mode)
    return table.at[ids].get(mode=mode, **({"fill_value": 0.3} if mode == "fill" else {}))


@case("rows_by_index", 2, mode=None)
@case("rows_promised", 2, mode="promise_in_bounds")
@case("rows_clipped", 2, mode="clip")
@case("rows_filled", 2, mode="fill")
@case("rows_wrapped", 2, mode="wrap")
def rows(draw: Draw, o: int, mode: str | None) -> Built:
    """Row numbers on both sides of a table that is also read in a loop, a branch and as a matrix."""
    d, t, vocabulary = 4, 5, 7
    params = {"E": draw.normal(vocabulary, d, scale=1.0), "W": draw.normal(d, d), "V": draw.normal(d, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        ids = x - 9
        h, _ = lax.scan(
            lambda h, i: (jnp.tanh(h @ p["W"] + look_up(p["E"], i[None], mode)[0]), None), jnp.zeros(d, draw.dtype), ids
        )
        rows = lax.cond(x[0] > 8, lambda: look_up(p["E"], ids, mode), lambda: 2 * look_up(p["E"], ids[::-1], mode))
        return (h + jnp.sum(jnp.tanh(rows), axis=0) + jnp.tanh(p["E"] @ h) @ p["E"]) @ p["V"]

    return f, params, integers(0, 20, t)


@case("scattered_rows", 2)
@case("scattered_rows_promised", 2, mode="promise_in_bounds")
@case("scattered_rows_clipped", 2, mode="clip")
def scattered_rows(draw: Draw, o: int, mode: str | None = None) -> Built:
    """Rows are added to a state and put into a table, at places that may not be there."""
    d, t, vocabulary = 4, 5, 7
    params = {"E": draw.normal(vocabulary, d, scale=1.0), "W": draw.normal(d, d), "V": draw.normal(d, o)}

    def f(p: Any, x: jax.Array) -> jax.Array:
        ids = x - 9
        new = jnp.tanh(p["E"][:t] @ p["W"])
        state = jnp.sin(p["E"]).at[ids].add(new, mode=mode)
        table = p["E"].at[ids[:2]].set(state[:2], mode=mode).at[ids[2]].multiply(0.5, mode=mode)
        return jnp.sum(jnp.tanh(table @ p["W"] + state), axis=0) @ p["V"]

    return f, params, integers(0, 20, t)
