"""Which parameters does a recurrent block have, and which of them are trained?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from ntkseq.blocks import Recurrent
from ntkseq.cells import Elman
from ntkseq.models.serial import Serial

X = jnp.ones((4, 2), jnp.float32)


def test_both_directions_share_the_width() -> None:
    model = Serial(Recurrent(Elman()), Recurrent(Elman(), "both"), width=5)
    shapes = jax.tree.map(lambda shape: shape.shape, model.shapes(X.shape))
    tree = lambda n, m: {"W": (n, n), "U": (n, m), "b": (n,)}  # noqa: E731
    assert shapes["blocks"] == (tree(5, 2), {"forward": tree(3, 5), "backward": tree(2, 5)})


@pytest.mark.parametrize("train", ["", "Wb", "U"])
def test_only_trained_groups_have_gradients(train: str) -> None:
    model = Serial(Recurrent(Elman("tanh", sigma_b=0.3, train=train)), width=3)
    params = model.init(jax.random.key(0), X)
    grads = jax.grad(lambda p: model.apply(p, X)[0])(params)["blocks"][0]
    assert {name for name, leaf in grads.items() if bool(jnp.any(leaf != 0))} == set(train)


def test_one_unit_leaves_the_other_direction_empty() -> None:
    model = Serial(Recurrent(Elman(), "both"), width=1)
    assert bool(jnp.isfinite(model.apply(model.init(jax.random.key(0), X), X)).all())
