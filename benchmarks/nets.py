"""On which networks is the empirical kernel timed? Plain JAX, as a user would write them: (f, params, x)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Net = tuple[Callable[[Any, Any], jax.Array], Any, jax.Array]


def _keys(count: int) -> Any:
    return iter(jax.random.split(jax.random.key(0), count))


def _normal(key: Any, *shape: int, scale: float | None = None) -> jax.Array:
    return jax.random.normal(key, shape) * (shape[0] ** -0.5 if scale is None else scale)


def rnn(width: int, t: int, n: int, o: int = 1, d: int = 8) -> Net:
    keys = _keys(5)
    params = {
        "W": _normal(next(keys), width, width), "U": _normal(next(keys), d, width), "b": _normal(next(keys), width),
        "V": _normal(next(keys), width, o),
    }  # fmt: skip

    def f(p: Any, x: jax.Array) -> jax.Array:
        step = lambda h, u: (jnp.tanh(h @ p["W"] + u @ p["U"] + p["b"]), None)  # noqa: E731
        return lax.scan(step, jnp.zeros(width, x.dtype), x)[0] @ p["V"]

    return f, params, jax.random.normal(next(keys), (n, t, d))


def lstm(width: int, t: int, n: int, o: int = 1, d: int = 8) -> Net:
    keys = _keys(5)
    params = {
        "W": _normal(next(keys), width, 4 * width), "U": _normal(next(keys), d, 4 * width),
        "b": _normal(next(keys), 4 * width), "V": _normal(next(keys), width, o),
    }  # fmt: skip

    def f(p: Any, x: jax.Array) -> jax.Array:
        def step(carry: Any, u: jax.Array) -> Any:
            h, c = carry
            i, forget, g, out = jnp.split(h @ p["W"] + u @ p["U"] + p["b"], 4)
            c = jax.nn.sigmoid(forget) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(out) * jnp.tanh(c), c), None

        zero = jnp.zeros(width, x.dtype)
        return lax.scan(step, (zero, zero), x)[0][0] @ p["V"]

    return f, params, jax.random.normal(next(keys), (n, t, d))


def gru(width: int, t: int, n: int, o: int = 1, d: int = 8) -> Net:
    keys = _keys(6)
    params = {
        "W": _normal(next(keys), width, 2 * width), "C": _normal(next(keys), width, width),
        "U": _normal(next(keys), d, 3 * width), "b": _normal(next(keys), 3 * width), "V": _normal(next(keys), width, o),
    }  # fmt: skip

    def f(p: Any, x: jax.Array) -> jax.Array:
        def step(h: jax.Array, u: jax.Array) -> Any:
            own, (past_r, past_z) = jnp.split(u @ p["U"] + p["b"], 3), jnp.split(h @ p["W"], 2)
            r, z = jax.nn.sigmoid(own[0] + past_r), jax.nn.sigmoid(own[1] + past_z)
            return z * h + (1 - z) * jnp.tanh(own[2] + (r * h) @ p["C"]), None

        return lax.scan(step, jnp.zeros(width, x.dtype), x)[0] @ p["V"]

    return f, params, jax.random.normal(next(keys), (n, t, d))


def bidirectional(width: int, t: int, n: int, o: int = 1, d: int = 8) -> Net:
    """Two layers, both directions, read out by the mean."""
    keys = _keys(10)
    sizes = [(d, width), (2 * width, width)]
    params = {
        "layers": [
            [{"W": _normal(next(keys), width, width), "U": _normal(next(keys), *size)} for _ in range(2)]
            for size in sizes
        ],
        "V": _normal(next(keys), 2 * width, o),
    }

    def f(p: Any, x: jax.Array) -> jax.Array:
        for layer in p["layers"]:
            sides = []
            for k, q in enumerate(layer):

                def step(h: jax.Array, u: jax.Array, q: Any = q) -> Any:
                    h = jnp.tanh(h @ q["W"] + u @ q["U"])
                    return h, h

                sides.append(lax.scan(step, jnp.zeros(width, x.dtype), x, reverse=k == 1)[1])
            x = jnp.concatenate(sides, axis=1)
        return x.mean(0) @ p["V"]

    return f, params, jax.random.normal(next(keys), (n, t, d))


def transformer(width: int, t: int, n: int, o: int = 1, layers: int = 1, vocabulary: int = 64, heads: int = 4) -> Net:
    """Causal, on tokens, with LayerNorm before each block and a four times wider hidden layer."""
    keys = _keys(4 + 4 * layers)
    params = {
        "tokens": _normal(next(keys), vocabulary, width, scale=1.0),
        "places": _normal(next(keys), t, width, scale=0.1),
        "V": _normal(next(keys), width, o),
        "blocks": [
            {
                "qkv": _normal(next(keys), width, 3 * width), "out": _normal(next(keys), width, width),
                "up": _normal(next(keys), width, 4 * width), "down": _normal(next(keys), 4 * width, width),
                "gains": jnp.ones((2, width)), "b": jnp.zeros(4 * width),
            }
            for _ in range(layers)
        ],
    }  # fmt: skip
    causal = jnp.tril(jnp.ones((t, t), bool))

    def norm(h: jax.Array) -> jax.Array:
        h = h - h.mean(1, keepdims=True)
        return h * lax.rsqrt((h * h).mean(1, keepdims=True) + 1e-5)

    def f(p: Any, x: jax.Array) -> jax.Array:
        h = p["tokens"][x] + p["places"]
        for q in p["blocks"]:
            query, key, value = ((norm(h) * q["gains"][:1]) @ q["qkv"]).reshape(t, 3, heads, -1).transpose(1, 2, 0, 3)
            score = jnp.einsum("hik,hjk->hij", query, key) * (width // heads) ** -0.5
            weight = jax.nn.softmax(jnp.where(causal[None], score, -jnp.inf))
            h = h + jnp.einsum("hij,hjk->ihk", weight, value).reshape(t, width) @ q["out"]
            h = h + jax.nn.gelu((norm(h) * q["gains"][1:]) @ q["up"] + q["b"][None]) @ q["down"]
        return norm(h).mean(0) @ p["V"]

    return f, params, jax.random.randint(next(keys), (n, t), 0, vocabulary)


def mlp(width: int, n: int, o: int = 1, depth: int = 3, d: int = 32) -> Net:
    keys = _keys(depth + 2)
    sizes = [d] + [width] * depth + [o]
    params = [{"W": _normal(next(keys), a, b), "b": jnp.zeros(b)} for a, b in itertools.pairwise(sizes)]

    def f(p: Any, x: jax.Array) -> jax.Array:
        for q in p[:-1]:
            x = jax.nn.relu(x @ q["W"] + q["b"])
        return x @ p[-1]["W"] + p[-1]["b"]

    return f, params, jax.random.normal(next(keys), (n, d))


def cnn(channels: int, side: int, n: int, o: int = 1) -> Net:
    """Two convolutions of 3 x 3 and the mean over places."""
    keys = _keys(4)
    params = {
        "first": _normal(next(keys), 3, 3, 3, channels, scale=27**-0.5),
        "second": _normal(next(keys), 3, 3, channels, channels, scale=(9 * channels) ** -0.5),
        "V": _normal(next(keys), channels, o),
    }

    def f(p: Any, x: jax.Array) -> jax.Array:
        h = x[None]
        for name in ("first", "second"):
            numbers = ("NHWC", "HWIO", "NHWC")
            h = jax.nn.relu(lax.conv_general_dilated(h, p[name], (1, 1), "SAME", dimension_numbers=numbers))
        return h.mean((0, 1, 2)) @ p["V"]

    return f, params, jax.random.normal(next(keys), (n, side, side, 3))
