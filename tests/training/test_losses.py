"""Tests of `ntkseq.training.losses`; that they are those of a loop is in test_loss_probe.py."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.training import losses


@pytest.mark.parametrize(
    ("loss", "y", "outputs", "message"),
    [
        ("squared", np.ones(3), 2, r"one number per output, \(3, 2\)"),
        ("squared", np.ones(4), 1, "y must have shape"),
        ("squared", np.array([1.0, np.nan, 0.0]), 1, "y must be finite"),
        ("logistic", np.array([0.0, 1.0, 1.0]), 1, "labels -1/\\+1; got 1 outputs and y of shape"),
        ("logistic", np.ones(3), 2, "got 2 outputs"),
        ("cross_entropy", np.ones(3), 2, "the class of each example"),
        ("cross_entropy", np.array([0, 1, 2]), 2, r"classes 0\.\.1, the network has 2 outputs; got 0\.\.2"),
        ("cross_entropy", np.array([0, -1, 1]), 2, r"got -1\.\.1"),
        (lambda f, y: 0.0, np.ones(2), 1, "one target per example"),
    ],
)
def test_targets_outside_the_range_of_a_loss_are_turned_away(loss, y, outputs, message):
    with pytest.raises(ValueError, match=message):
        losses.targets(loss, y, 3, outputs, jnp.float32)


def test_targets_come_in_the_shape_and_dtype_of_the_loss():
    assert losses.targets("squared", [1, 2, 3], 3, 1, jnp.float32).shape == (3, 1)
    assert losses.targets("squared", np.ones((3, 2)), 3, 2, jnp.bfloat16).dtype == jnp.bfloat16
    assert losses.targets("cross_entropy", np.array([0, 1, 1], np.int64), 3, 2, jnp.float32).dtype == jnp.int32


def test_one_hot_targets_count_by_their_largest():
    f = jnp.array([0.1, 0.7, 0.2])
    assert losses.wrong("squared", f, jnp.array([0.0, 1.0, 0.0])) == 0
    assert losses.wrong("squared", f, jnp.array([0.0, 0.0, 1.0])) == 1
    assert losses.wrong("squared", jnp.zeros(1), jnp.ones(1)) == 1  # no decision is a wrong one


def test_an_unknown_loss_is_named():
    with pytest.raises(ValueError, match="loss must be one of 'squared'"):
        losses.get("hinge")
