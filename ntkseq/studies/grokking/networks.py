"""What learns to add modulo p? A network of one hidden layer, a transformer of one block, and how each is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntkseq._types import AnyFunction, Key, PyTree

SMALL = 0.5
"""Scale of the transformer's parameters at the start."""
HEADS = 4
FAMILIES = ("a or b", "a + b", "a - b")
"""Features that are looked for whole."""


@dataclasses.dataclass(frozen=True, eq=False)
class Sums:
    """All pairs (a, b) of residues modulo p, their sums, and which of them are for training.

    Attributes:
        x, y: (p^2, 2) and (p^2,).
        train, test: rows for training, and all others.
    """

    x: Int[np.ndarray, "n 2"]
    y: Int[np.ndarray, " n"]
    train: Int[np.ndarray, " k"]
    test: Int[np.ndarray, " m"]


def sums(p: int, fraction: float, seed: int) -> Sums:
    """A random fraction of all pairs for training.

    Reference: power2022 (the task).

    Raises:
        ValueError: a fraction that leaves no pair for training, or none for the test.
    """
    a, b = np.divmod(np.arange(p * p, dtype=np.int32), p)
    order, count = np.random.default_rng(seed).permutation(p * p), round(fraction * p * p)
    if not 0 < count < p * p:
        raise ValueError(f"fraction must leave pairs for training and for the test; got {fraction:g} of {p * p}.")
    return Sums(np.stack([a, b], axis=1), (a + b) % p, np.sort(order[:count]), np.sort(order[count:]))


def characters(p: int) -> dict[str, Float[np.ndarray, "n r"]]:
    """Fourier features of all pairs: waves of a or b alone, of a + b, of a - b, and of a + b one frequency at a time.

    Those of a + b span all functions of the sum modulo p, less the constant.
    """
    a, b = np.divmod(np.arange(p * p), p)

    def waves(t: np.ndarray, frequencies: range) -> np.ndarray:
        angle = 2 * np.pi / p * (np.multiply.outer(t, np.asarray(frequencies)) % p)
        return np.concatenate([np.cos(angle), np.sin(angle)], axis=1)

    every = range(1, p // 2 + 1)
    return {
        "a or b": np.concatenate([waves(a, every), waves(b, every)], axis=1),
        "a + b": waves(a + b, every),
        "a - b": waves(a - b, every),
    } | {frequency(f): waves(a + b, range(f, f + 1)) for f in every}


def frequency(f: int) -> str:
    """The name of the feature of a + b at one frequency."""
    return f"a + b, {f}"


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A network, its layers, and how it is trained: AdamW on the whole training set.

    Attributes:
        f: f(params, x) -> (p,), x (2,).
        init: of a key.
        layers: {name: regular expression of the leaves}.
        loss: "squared" against unit vectors, or "cross_entropy".
        lr, decay: of AdamW.
        k: how many leading eigenvectors are looked at.
    """

    f: AnyFunction
    init: Callable[[Key], PyTree]
    layers: Mapping[str, str]
    loss: str
    lr: float
    decay: float
    k: int

    def targets(self, y: Int[np.ndarray, " n"], p: int) -> np.ndarray:
        """The targets in the form of the loss."""
        return np.eye(p, dtype=np.float32)[y] if self.loss == "squared" else y


def mlp(p: int, width: int, activation: str) -> Network:
    """W phi(A[a] + B[b]), with the square or relu for phi.

    Reference: gromov2023 (the network).
    """

    def f(params: PyTree, x: Array) -> Array:
        z = params["A"][x[0]] + params["B"][x[1]]
        return params["read"] @ (jnp.square(z) if activation == "square" else jax.nn.relu(z))

    def init(key: Key) -> PyTree:
        a, b, read = (jax.random.normal(one, (p, width)) for one in jax.random.split(key, 3))
        return {"A": a / 2**0.5, "B": b / 2**0.5, "read": read / width**0.5}

    decay = 0.5 if activation == "square" else 2.0
    return Network(f, init, {"input": r"'A'|'B'", "read-out": "read"}, "squared", 0.01, decay, 2 * (p - 1))


def transformer(p: int, width: int) -> Network:
    """One block of softmax attention and of two layers with relu, on the tokens a, b and =, read at the last.

    Reference: nanda2023 (the network, in small).
    """

    def f(params: PyTree, x: Array) -> Array:
        h = params["embed"][jnp.append(x, p)] + params["place"]  # (3, width)
        q = (params["Q"] @ h[2]).reshape(HEADS, -1)
        k, v = ((h @ params[name].T).reshape(3, HEADS, -1) for name in "KV")
        weights = jax.nn.softmax(jnp.einsum("hd,thd->ht", q, k) / q.shape[1] ** 0.5, axis=-1)
        z = h[2] + params["O"] @ jnp.einsum("ht,thd->hd", weights, v).reshape(-1)
        z = z + params["down"] @ jax.nn.relu(params["up"] @ z)
        return params["read"] @ z

    shapes = {"Q": (width, width), "K": (width, width), "V": (width, width), "O": (width, width),
              "up": (4 * width, width), "down": (width, 4 * width), "read": (p, width)}  # fmt: skip

    def init(key: Key) -> PyTree:
        keys = jax.random.split(key, len(shapes) + 2)
        drawn: dict[str, Any] = {
            name: SMALL * jax.random.normal(one, shape) / shape[1] ** 0.5
            for one, (name, shape) in zip(keys[:-2], shapes.items(), strict=True)
        }
        drawn["embed"] = SMALL * jax.random.normal(keys[-2], (p + 1, width))
        return drawn | {"place": SMALL * jax.random.normal(keys[-1], (3, width))}

    layers = {"embedding": "embed|place", "attention": "'[QKVO]'", "two layers": "up|down", "read-out": "read"}
    return Network(f, init, layers, "cross_entropy", 0.005, 2.0, p - 1)
