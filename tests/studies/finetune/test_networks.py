"""Are the windows of the study of fine-tuning what they are said to be, and does each way train what it says?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import empirical, models
from ntkseq.data import text
from ntkseq.studies.finetune import networks

NET = models.Serial("relu", width=4, outputs=5)


@pytest.mark.slow
def test_signs_say_whether_a_vowel_follows_and_test_windows_are_of_other_text() -> None:
    found = networks.texts(8, 60, 40, 30, seed=1)
    assert found.x.shape == (60, 8, len(text.ALPHABET) + 8) and found.y.max() < len(text.ALPHABET)
    codes = [text.encode(words) for words in text.descriptions().values()]
    first = {tuple(row): [] for part in codes for row in text.windows(part, 8)[0]}
    for part in codes:
        for row, after in zip(*text.windows(part, 8), strict=True):
            first[tuple(row)].append(1.0 if text.decode([after]) in networks.VOWELS else -1.0)
    for x, y in (found.train, found.test):
        rows = np.argmax(x[:, :, : len(text.ALPHABET)], axis=2)
        assert all(sign in first[tuple(row)] for row, sign in zip(rows, y, strict=True))
    cuts = [round(0.8 * len(part)) for part in codes]
    early = {tuple(r) for part, cut in zip(codes, cuts, strict=True) for r in text.windows(part[:cut], 8)[0]}
    seen = np.argmax(found.train[0][:, :, : len(text.ALPHABET)], axis=2)
    assert all(tuple(row) in early for row in seen)
    with pytest.raises(ValueError, match="window must be shorter"):
        networks.texts(100_000, 1, 1, 1, seed=0)


def test_all_ways_start_alike_and_train_what_they_say() -> None:
    x = jax.random.normal(jax.random.key(0), (3, 6, 4))
    body = {"R": jax.random.normal(jax.random.key(1), (5, 4)), "blocks": NET.init(jax.random.key(2), x[0])["blocks"]}
    ways = {name: networks.tuning(name, NET, body, 2, jax.random.key(3)) for name in networks.METHODS}
    values = {name: jax.vmap(way.f, (None, 0))(way.params, x) for name, way in ways.items()}
    np.testing.assert_allclose(values["lora"], values["full"], rtol=1e-6)
    np.testing.assert_allclose(values["head"], values["full"], rtol=1e-6)
    lora, adapters = ways["lora"], ways["lora"].params["lora"]
    assert all(adapter["A"].shape[0] == 2 and not adapter["B"].any() for adapter in adapters.values())
    moved = jax.tree.map(lambda leaf: leaf + 0.1, lora.params)
    (adapter,) = (one for one in adapters.values())
    R = body["R"] + (adapter["B"] + 0.1) @ (adapter["A"] + 0.1)
    want = jax.vmap(lambda one: (moved["head"] @ NET.apply(body | {"R": R}, one))[None])(x)
    np.testing.assert_allclose(jax.vmap(lora.f, (None, 0))(moved, x), want, rtol=1e-5)
    K = empirical.NTK(lora.f, lora.params).by_leaf(x)  # B = 0: the adapters' A has no part (finetuning.18)
    assert all((float(jnp.abs(part).max()) == 0.0) == name.endswith("['A']") for name, part in K.items())
    head = empirical.NTK(ways["head"].f, ways["head"].params, trainable=ways["head"].trainable)
    assert list(head.by_leaf(x)) == ["['head']"]
