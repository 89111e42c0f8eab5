"""Do all rows of a certificate along training hold at once, and does it refuse what it cannot share delta for?"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import bounds, training
from ntkseq.bounds.tails import binomial_upper
from tests.bounds import linearised_worlds as worlds

RNG = np.random.default_rng(0)
X = RNG.standard_normal((80, 3)).astype(np.float32)
Y = np.where(X[:, 0] + 0.3 * X[:, 1] > 0, 1.0, -1.0)
W = jnp.array([[0.1, 1.0, 0.0]])


def linear(params: Any, x: Any) -> Any:
    return params @ x


def rows(params: list[Any] | None = None, **changed: Any) -> training.ProbeTable:
    probe = bounds.CertificateProbe(**dict(f=linear, x=X, y=Y, every=(1, 2), seen=np.arange(20)) | changed)
    steps = [W, 2 * W, jnp.array([[1.0, 0.3, 0.0]])] if params is None else params
    history = training.track([probe], steps[0])
    for step, one in enumerate(steps[1:], 1):
        history = history.update(step, one)
    return history[probe.name]


@pytest.mark.slow
def test_a_row_is_the_test_of_the_network_and_the_bound_of_its_linearisation_at_a_share_of_delta():
    table = rows()
    assert table.steps.tolist() == [0, 1, 2] and table["certified"].all()
    wrong = [int(np.sum(Y[20:] * (X[20:] @ np.asarray(w)[0]) <= 0)) for w in (W, 2 * W, np.array([[1.0, 0.3, 0.0]]))]
    assert table["network"].tolist() == [binomial_upper(k, 60, math.log(0.05 / 6)) for k in wrong]
    said = bounds.linearised_network(
        linear, W, X, Y, seen=np.arange(20),
        search=bounds.Search(priors=bounds.CertificateProbe(linear, X, Y, (1,), ()).search.priors, delta=0.05 / 6),
    )  # fmt: skip
    assert table["linearised"][0] == said.value and table["information_gain"][0] == said.constants.information_gain
    assert table["network"][2] < 0.1 < table["network"][0] and wrong[2] == 0


def test_the_linearised_network_learns_where_the_network_has_not_yet():
    table = rows([jnp.zeros((1, 3))], seen=())
    assert table["network"][0] > 0.9 and table["linearised"][0] < 0.4


@pytest.mark.slow
def test_more_steps_cost_more():
    few, many = (rows([W], every=tuple(range(1, k + 1))) for k in (2, 100))
    assert few["network"][0] < many["network"][0] and few["linearised"][0] < many["linearised"][0]


@pytest.mark.slow
def test_a_network_whose_gradients_are_not_finite_leaves_a_row_of_nan():
    length = lambda w, x: jnp.sqrt(jnp.sum(w**2)) * x[:1]  # noqa: E731
    table = rows([jnp.ones((1, 3)), jnp.zeros((1, 3))], f=length)
    assert table["certified"].tolist() == [True, False] and np.isnan(table["network"][1])


@pytest.mark.slow
def test_numbers_beside_the_parameters_are_not_moved():
    f = lambda params, state, x: params @ (x - state)  # noqa: E731
    probe = bounds.CertificateProbe(f, X, Y, (1,), ())
    history = training.track([probe], W, jnp.zeros(3)).update(1, W, jnp.ones(3))
    plain = rows([W], every=(1,), seen=())
    assert history["certificate"]["linearised"][0] == plain["linearised"][0]
    assert history["certificate"]["network_error"][1] != plain["network_error"][0]


@pytest.mark.slow
def test_all_rows_of_a_run_hold_at_once():
    """Runs on a law of 48 atoms, trained on a third of the sample: the exact risk of each row, 0 rows violated."""
    below, told = 0, []
    for seed in range(60):
        rng = np.random.default_rng([9, seed])
        atoms = rng.standard_normal((48, 3)).astype(np.float32)
        clean = np.where(np.sin(2 * atoms[:, 0]) > 0, 1.0, -1.0)
        drawn = rng.choice(48, 60)
        y = clean[drawn] * np.where(rng.random(60) < 0.1, -1.0, 1.0)
        seen = np.arange(20)
        shapes = {"U": (6, 3), "b": (6,), "V": (6, 1)}
        params = {k: jnp.asarray(rng.standard_normal(s), jnp.float32) for k, s in shapes.items()}
        probe = bounds.CertificateProbe(worlds.network, atoms[drawn], y, (1, 2), seen)
        history = training.track([probe], params)
        for step in range(3):
            f = np.asarray(jax.vmap(worlds.network, (None, 0))(params, atoms))[:, 0]
            wrong = np.mean(f * clean <= 0)
            told.append((history["certificate"]["network"][step], 0.9 * wrong + 0.1 * (1 - wrong)))
            below += told[-1][1] > told[-1][0]
            params = worlds.trained(params, atoms[drawn[seen]], jnp.asarray(y[seen], jnp.float32))
            history = history.update(step + 1, params) if step < 2 else history
    assert below == 0 and np.mean([bound < 0.5 for bound, _ in told]) > 0.2


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"every": 100}, "every must be the steps"),
    ({"seen": None}, "seen"),
    ({"seen": np.arange(80)}, "seen must leave"),
    ({"y": np.arange(80.0)}, "y must hold class labels"),
    ({"search": bounds.Search(loss="squared")}, "search"),
    ({"search": bounds.Search(predictor="mean")}, "search"),
    ({"f": lambda w, x: jnp.tile(w @ x, 2)}, "one output"),
]


@pytest.mark.parametrize(("changed", "named"), REFUSED)
def test_what_does_not_fit_is_refused_by_name(changed: dict[str, Any], named: str):
    with pytest.raises(ValueError, match=named):
        rows([W], **changed)
