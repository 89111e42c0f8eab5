"""Tests of `ntkseq.training.loss_probe`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import models, training

X = jax.random.normal(jax.random.key(0), (9, 4, 2))
SIGNS = jnp.sign(X[:, 0, 0])
CLASSES = jnp.arange(9) % 3
ONE, THREE = (models.Recurrent(width=8, outputs=outputs) for outputs in (1, 3))
P1, P3 = (net.init(jax.random.key(1), X[0]) for net in (ONE, THREE))


def loop(net, params, loss, x, y):
    """Mean loss and error, one example at a time in NumPy."""
    losses, errors = [], []
    for one, target in zip(x, np.asarray(y), strict=True):
        f = np.asarray(net.apply(params, one), np.float64)
        if loss == "squared":
            losses.append(0.5 * np.sum((f - target) ** 2))
            errors.append(f[0] * target <= 0)
        elif loss == "logistic":
            losses.append(np.log1p(np.exp(-target * f[0])))
            errors.append(f[0] * target <= 0)
        else:
            losses.append(np.log(np.sum(np.exp(f))) - f[target])
            errors.append(np.argmax(f) != target)
    return np.mean(losses), np.mean(errors)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "net", "params", "y"),
    [("squared", ONE, P1, SIGNS), ("logistic", ONE, P1, SIGNS), ("cross_entropy", THREE, P3, CLASSES)],
)
def test_losses_and_errors_are_those_of_a_loop(loss, net, params, y, monkeypatch):
    monkeypatch.setattr("ntkseq.training.loss_probe.AT_ONCE", 4)  # 9 examples: two whole batches and a rest
    sets = {"train": (X, y), "test": (X[:5], y[:5])}
    row = training.track([training.LossProbe(net.apply, sets, loss=loss)], params)["loss"]
    for name, (x, targets) in sets.items():
        value, error = loop(net, params, loss, x, targets)
        assert row[f"{name}_loss"][0] == pytest.approx(value, rel=1e-5)
        assert row[f"{name}_error"][0] == pytest.approx(error, abs=1e-6)


@pytest.mark.slow
def test_the_gradient_is_that_of_the_mean_loss_on_the_first_set():
    row = training.track([training.LossProbe(ONE.apply, {"train": (X, SIGNS), "test": (X[:2], SIGNS[:2])})], P1)["loss"]
    f = lambda p: jnp.mean((jax.vmap(ONE.apply, (None, 0))(p, X)[:, 0] - SIGNS) ** 2) / 2  # noqa: E731
    slope = jax.grad(f)(P1)
    size = np.sqrt(sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(slope)))
    assert row["gradient_norm"][0] == pytest.approx(size, rel=1e-4)


def test_integer_leaves_are_no_parameters():
    params = {"w": jnp.array([1.0, 2.0]), "count": jnp.array(3)}
    probe = training.LossProbe(lambda p, x: (p["w"] @ x)[None] * p["count"], {"a": (jnp.eye(2), jnp.zeros(2))})
    row = training.track([probe], params)["loss"]
    assert row["a_loss"][0] == pytest.approx(9 * (1 + 4) / 4)
    assert row["gradient_norm"][0] == pytest.approx(9 / 2 * np.hypot(1, 2))


def test_a_loss_of_your_own_has_no_error():
    probe = training.LossProbe(ONE.apply, {"a": (X, SIGNS)}, loss=lambda f, y: jnp.abs(f[0] - y))
    row = training.track([probe], P1)["loss"]
    f = np.asarray(jax.vmap(ONE.apply, (None, 0))(P1, X))[:, 0]
    assert row["a_loss"][0] == pytest.approx(np.mean(np.abs(f - np.asarray(SIGNS))), rel=1e-5)
    assert np.isnan(row["a_error"][0])


def test_bad_inputs_are_turned_away():
    probe = training.LossProbe
    with pytest.raises(ValueError, match="sets must be a dictionary"):
        probe(ONE.apply, {})
    with pytest.raises(ValueError, match="sets must be a dictionary"):
        probe(ONE.apply, (X, SIGNS))
    with pytest.raises(ValueError, match=r"must be \(x, y\)"):
        probe(ONE.apply, {"a": X})
    with pytest.raises(ValueError, match="x of set 'a' must hold one or more examples"):
        probe(ONE.apply, {"a": (X[:0], SIGNS[:0])})
    with pytest.raises(ValueError, match="x of set 'a' must be finite"):
        probe(ONE.apply, {"a": (X.at[0, 0, 0].set(jnp.nan), SIGNS)})
    with pytest.raises(ValueError, match="loss must be one of"):
        probe(ONE.apply, {"a": (X, SIGNS)}, loss="hinge")
    with pytest.raises(ValueError, match="y must have shape"):
        training.track([probe(ONE.apply, {"a": (X, SIGNS[:4])})], P1)
    with pytest.raises(ValueError, match="f must return"):
        training.track([probe(lambda p, x: x[0, 0], {"a": (X, SIGNS)})], P1)


def test_the_loss_of_a_network_of_several_outputs_is_asked_for_and_named() -> None:
    f, params = lambda p, x: p @ x, jnp.ones((2, X.shape[-1]))
    sets = {"train": (X[:, 0], jnp.zeros((len(X), 2)))}
    with pytest.raises(ValueError, match=r'loss must be given for a network of 2 outputs.*loss="cross_entropy"'):
        training.track([training.LossProbe(f, sets)], params)
    told = training.track([training.LossProbe(f, sets, loss="squared")], params)
    alone = training.track([training.LossProbe(ONE.apply, {"train": (X, SIGNS)})], P1)
    assert told.about["loss"]["loss"] == alone.about["loss"]["loss"] == "squared"
