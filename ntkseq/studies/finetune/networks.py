"""What is fine-tuned? A small transformer that has learned the next character, in full, by LoRA, or its head alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from ntkseq import blocks, models
from ntkseq._types import AnyArray, AnyFunction, Key, PyTree
from ntkseq.data import text
from ntkseq.training import Trained, sgd

METHODS = ("full", "lora", "head")


VOWELS = "aeiou"
LAST = 0.2
"""Of each text, its end, from which only test windows come."""


@dataclasses.dataclass(frozen=True, eq=False)
class Texts:
    """Windows of characters, drawn independently, with replacement, from all windows of real text.

    Attributes:
        x, y: windows (n, t, d) for pre-training, and the character behind each, (n,).
        train, test: windows (n, t, d), and +1 where a vowel follows, else -1, (n,).
    """

    x: Float[np.ndarray, "n t d"]
    y: Int[np.ndarray, " n"]
    train: tuple[Float[np.ndarray, "m t d"], Float[np.ndarray, " m"]]
    test: tuple[Float[np.ndarray, "k t d"], Float[np.ndarray, " k"]]


def texts(t: int, n_pre: int, n_train: int, n_test: int, seed: int) -> Texts:
    """Windows of the descriptions of data sets that come with scikit-learn.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: windows longer than the last fifth of every text.
    """
    codes = [text.encode(words) for words in text.descriptions().values()]
    cuts = [round((1 - LAST) * len(part)) for part in codes]
    rng = np.random.default_rng(seed)

    def drawn(parts: list[np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
        """n windows and what follows, of a text in proportion to its length."""
        every = [text.windows(part, t) for part in parts if len(part) > t]
        if not every:
            raise ValueError(f"window must be shorter than the last fifth of the longest text; got {t}.")
        x, y = (np.concatenate(both) for both in zip(*every, strict=True))
        which = rng.integers(len(y), size=n)
        return x[which], y[which]

    def signed(parts: list[np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
        x, y = drawn(parts, n)
        vowel = np.isin(y, [text.ALPHABET.index(letter) for letter in VOWELS])
        return text.one_hot_letters(x, positions=True), np.where(vowel, np.float32(1), np.float32(-1))

    first = [part[:cut] for part, cut in zip(codes, cuts, strict=True)]
    x, y = drawn(first, n_pre)
    last = [part[cut:] for part, cut in zip(codes, cuts, strict=True)]
    return Texts(
        text.one_hot_letters(x, positions=True), y.astype(np.int32), signed(first, n_train), signed(last, n_test)
    )


def transformer(width: int, heads: int, depth: int) -> models.Serial:
    """Blocks of attention and of two layers, each added to its input; the logits of the next character."""
    attention = blocks.Residual(blocks.Attention(scaling="root"))
    dense = blocks.Residual(blocks.Linear(2**0.5), "relu", blocks.Linear())
    share = max(1, width // heads)
    return models.Serial(
        blocks.Linear(), *[attention, dense] * depth, width=width, heads=heads, d_k=share, d_v=share, read="last",
        input_scale="none", outputs=len(text.ALPHABET),
    )  # fmt: skip


def pretrained(net: models.Serial, data: Texts, *, lr: float, batch: int, steps: int, key: Key) -> Trained:
    """The transformer after learning the next character by Adam."""
    start, order = jax.random.split(key)
    body = net.init(start, data.x[0])
    return sgd.train(
        net.apply,
        body,
        (data.x, data.y),
        optimizer=optax.adam(lr),
        batch=batch,
        steps=steps,
        key=order,
        loss="cross_entropy",
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Tuning:
    """A way to fine-tune: f(params, x) -> (1,), parameters at the start, and which leaves are trained.

    Reference: hu2022lora.
    """

    f: AnyFunction
    params: PyTree
    trainable: str | None


def tuning(method: str, net: models.Serial, body: PyTree, rank: int, key: Key) -> Tuning:
    """One of `METHODS`. The head reads the logits of the characters, as a prompt's label words would."""
    first, second = jax.random.split(key)
    head = jax.random.normal(first, (net.outputs,)) / net.outputs**0.5
    if method == "lora":
        leaves, tree = jax.tree.flatten(body)
        keys = jax.random.split(second, len(leaves))
        adapters = {str(i): _adapter(leaf, rank, one) for i, (leaf, one) in enumerate(zip(leaves, keys, strict=True))
                    if leaf.ndim >= 2}  # fmt: skip

        def lora(params: PyTree, x: Array) -> Array:
            moved = [_adapted(leaf, params["lora"].get(str(i))) for i, leaf in enumerate(leaves)]
            return (params["head"] @ net.apply(jax.tree.unflatten(tree, moved), x))[None]

        return Tuning(lora, {"head": head, "lora": adapters}, None)

    def whole(params: PyTree, x: Array) -> Array:
        return (params["head"] @ net.apply(params["body"], x))[None]

    return Tuning(whole, {"head": head, "body": body}, "head" if method == "head" else None)


def _adapter(leaf: AnyArray, rank: int, key: Key) -> dict[str, Array]:
    """B A of the shape of the leaf as a matrix, with B = 0 and entries of A of variance 1 / rank."""
    rows, columns = leaf.size // leaf.shape[-1], leaf.shape[-1]
    return {"A": jax.random.normal(key, (rank, columns)) / rank**0.5, "B": jnp.zeros((rows, rank))}


def _adapted(leaf: Array, adapter: Mapping[str, Array] | None) -> Array:
    return leaf if adapter is None else leaf + (adapter["B"] @ adapter["A"]).reshape(leaf.shape)
