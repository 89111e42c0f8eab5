"""Does the deep bidirectional network compute its recursion, and refuse what it cannot read?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.models.bidirectional import Bidirectional
from tests.models import explicit

X = explicit.sequences()


@pytest.mark.slow
@pytest.mark.parametrize("read", ["last", "mean", "sum"])
def test_the_network_equals_its_loop_for_sequences_of_different_length(read: str, x64: None) -> None:
    n, w = 5, (1.4, 0.8)
    model = Bidirectional(n, sigma_w=w, sigma_u=1.1, sigma_b=0.3, sigma_r=0.9, read=read, outputs=2)
    x, lengths = jnp.asarray(X), np.array([4, 2, 1])
    params = model.init(jax.random.key(3), x[0])
    dirty = jnp.where(np.arange(4)[None, :, None] < lengths[:, None, None], x, np.nan)
    got = jax.vmap(model.apply, in_axes=(None, 0, 0))(params, dirty, jnp.asarray(lengths))
    raw = jax.tree.map(np.asarray, params)
    for i, length in enumerate(lengths):
        below = X[i, :length] / 2**0.5
        for layer, scale in zip(raw["layers"], w, strict=True):
            both = []
            for name, order in (("forward", range(length)), ("reversed", reversed(range(length)))):
                h, states = np.zeros(n), np.zeros((length, n))
                for t in order:
                    one = layer[name]
                    h = np.maximum(scale / n**0.5 * one["W"] @ h + 1.1 * one["U"] @ below[t] + 0.3 * one["b"], 0)
                    states[t] = h
                both.append(states)
            below = np.concatenate(both, axis=1) / (2 * n) ** 0.5
        ends = np.concatenate([below[-1, :n], below[0, n:]])
        pooled = {"last": ends, "mean": below.mean(axis=0), "sum": below.sum(axis=0)}[read]
        np.testing.assert_allclose(got[i], 0.9 * raw["R"] @ pooled, rtol=1e-12)
    np.testing.assert_allclose(model.apply(params, x[0]), got[0], rtol=1e-12)


@pytest.mark.slow
def test_groups_that_are_not_trained_have_no_gradient() -> None:
    model, x = Bidirectional(5, sigma_b=0.3, train=("W", "bR")), jnp.asarray(X[0], jnp.float32)
    grads = jax.grad(lambda p: model.apply(p, x).sum())(model.init(jax.random.key(0), x))
    moved = lambda g: {name for name, leaf in g.items() if np.any(np.asarray(leaf) != 0)}  # noqa: E731
    assert [moved(layer[name]) for layer in grads["layers"] for name in layer] == [{"W"}, {"W"}, {"b"}, {"b"}]
    assert np.any(np.asarray(grads["R"]) != 0)


def test_wrong_inputs_are_refused_at_the_door() -> None:
    with pytest.raises(ValueError, match="depth must be"):
        Bidirectional(5, depth=0)
    with pytest.raises(ValueError, match="read must be one of"):
        Bidirectional(5, read="steps")
    with pytest.raises(ValueError, match="train must be"):
        Bidirectional(5, train=("W", "X"))
