"""Does the leaky network compute its recursion, and refuse what it cannot read?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.models.leaky import LeakyRecurrent
from tests.models import explicit

X = explicit.sequences()


@pytest.mark.slow
@pytest.mark.parametrize("read", ["last", "mean", "sum"])
def test_the_network_equals_its_loop_for_sequences_of_different_length(read: str, x64: None) -> None:
    model = LeakyRecurrent(7, 0.6, 0.7, sigma_w=1.4, sigma_u=1.1, sigma_b=0.3, sigma_r=0.9, read=read, outputs=2)
    x, lengths = jnp.asarray(X), np.array([4, 2, 1])
    params = model.init(jax.random.key(3), x[0])
    got = jax.vmap(model.apply, in_axes=(None, 0, 0))(params, x, jnp.asarray(lengths))
    raw = jax.tree.map(np.asarray, params)
    for i, length in enumerate(lengths):
        h, states = np.zeros(7), []
        for token in X[i, :length]:
            u = 1.4 / 7**0.5 * raw["W"] @ h + 1.1 / 2**0.5 * raw["U"] @ token + 0.3 * raw["b"]
            h = 0.6 * h + 0.7 * np.maximum(u, 0)
            states.append(h)
        pooled = {"last": h, "mean": sum(states) / length, "sum": sum(states)}[read]
        np.testing.assert_allclose(got[i], 0.9 / 7**0.5 * raw["R"] @ pooled, rtol=1e-12)
    np.testing.assert_allclose(model.apply(params, x[0]), got[0], rtol=1e-12)


def test_groups_that_are_not_trained_have_no_gradient() -> None:
    model, x = LeakyRecurrent(5, train="WR"), jnp.asarray(X[0], jnp.float32)
    grads = jax.grad(lambda p: model.apply(p, x).sum())(model.init(jax.random.key(0), x))
    assert {name for name, g in grads.items() if np.any(np.asarray(g) != 0)} == {"W", "R"}


def test_wrong_inputs_are_refused_at_the_door() -> None:
    with pytest.raises(ValueError, match="keep must be"):
        LeakyRecurrent(5, keep=-1.0)
    with pytest.raises(ValueError, match="gate must be a number"):
        LeakyRecurrent(5, gate="half")
    with pytest.raises(ValueError, match="width must be"):
        LeakyRecurrent(0)
    with pytest.raises(ValueError, match="train must be"):
        LeakyRecurrent(5, train="Q")
