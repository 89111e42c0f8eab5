"""Do the particles of a cell follow its equations, in both directions?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.cells import GRU, LSTM, Elman, Leaky
from ntkseq.kernels import particles
from ntkseq.models import recurrence
from ntkseq.models.base import Shape

P = 6
SCALES: dict[str, Any] = {"sigma_w": 1.6, "sigma_u": 1.1, "sigma_b": 0.4}
CELLS: dict[str, Any] = {
    "gru": GRU(**SCALES),
    "lstm": LSTM(**SCALES),
    "gru, per gate": GRU((1.6, 1.2, 0.9), 1.1, (0.4, 0.1, 0.3)),
    "gru, after": GRU(**SCALES, sigma_c=0.7, reset="after"),
    "gru, after, no bias inside": GRU(**SCALES, reset="after"),
    "gru, after, per gate": GRU(1.6, (1.1, 0.6, 1.3), (0.4, 0.1, 0.3), 0.7, "after", "uniform"),
    "lstm, per gate": LSTM((1.6, 1.2, 0.9, 1.1), 1.1, (0.4, 0.1, 0.3, 0.2), forget=1.0, law="truncated"),
    "elman": Elman("erf", **SCALES),
    "leaky": Leaky("tanh", keep=0.7, gate=0.4, **SCALES),
}


def drawn(cell: Any, raw: Any) -> particles.Draws:
    """The parameters of a layer in place of random numbers, with the transpose of its weights on the way back."""
    gates = [raw[name] for name in cell.gates] if isinstance(cell, particles.SAMPLED) else [raw]
    stacked: Any = {letter: jnp.stack([one[letter] for one in gates]) for letter in "WUb"}
    return particles.Draws(
        forward=jnp.swapaxes(stacked["W"], 1, 2),
        backward=stacked["W"],
        inputs=jnp.swapaxes(stacked["U"], 1, 2),
        bias=stacked["b"],
        outputs=stacked["U"],
        inner=gates[2].get("c") if len(gates) == 3 else None,
    )


def is_shape(leaf: object) -> bool:
    return isinstance(leaf, Shape)


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_with_transposed_weights_states_and_gradients_are_those_of_the_layer(name: str, x64: None) -> None:
    """Of the tokens, by automatic differentiation of the layer of finite width."""
    cell = CELLS[name]
    rule = recurrence.CELLS[type(cell)]
    keys = iter(jax.random.split(jax.random.key(3), 40))
    shapes = rule.shapes(cell, P, 3)
    raw = jax.tree.map(lambda one: jax.random.normal(next(keys), one.shape, jnp.float64), shapes, is_leaf=is_shape)
    x = jax.random.normal(jax.random.key(1), (2, 4, 3), jnp.float64)
    dy = jax.random.normal(jax.random.key(2), (2, 4, P), jnp.float64)
    draws = drawn(cell, raw)
    states, past = particles.forward(cell, draws, x * 3**-0.5)
    wanted, pull = jax.vjp(jax.vmap(lambda one: rule.states(cell, raw, one)), x)
    np.testing.assert_allclose(states, wanted, rtol=1e-12, atol=1e-14)
    dx = particles.back_to_tokens(cell, draws, particles.backward(cell, draws, past, dy))
    np.testing.assert_allclose(dx * P**0.5 * 3**-0.5, pull(dy)[0], rtol=1e-11, atol=1e-13)


@pytest.mark.slow
def test_the_random_numbers_are_the_same_in_every_precision_and_independent_in_both_directions() -> None:
    cell = CELLS["gru, after, per gate"]
    single = particles.draw(jax.random.key(0), cell, 64, 64, jnp.float32, first=False)
    with jax.enable_x64(True):
        double = particles.draw(jax.random.key(0), cell, 64, 64, jnp.float64, first=False)
        jax.tree.map(np.testing.assert_array_equal, single, double)
        assert {leaf.dtype for leaf in jax.tree.leaves(double)} == {np.dtype(np.float64)}
    forward = np.asarray(single.forward)
    others = (single.backward, np.swapaxes(single.backward, 1, 2), np.roll(forward, 1, axis=0), single.inputs)
    assert single.outputs is not None
    for other in (*others, single.outputs, np.swapaxes(single.outputs, 1, 2)):
        assert abs(np.mean(forward * np.asarray(other))) < 5 / np.sqrt(forward.size)
    assert abs(np.mean(np.asarray(single.inputs) * np.swapaxes(single.outputs, 1, 2))) < 5 / np.sqrt(forward.size)
    assert abs(np.mean(forward**2) - 1) < 5 * np.sqrt(2 / forward.size)


def test_the_law_of_the_input_weights_shows_where_few_features_meet_in_a_unit() -> None:
    cell = CELLS["gru, after, per gate"]  # uniform: nothing beyond sqrt(3)
    for first in (True, False):
        draws = particles.draw(jax.random.key(0), cell, 2, 512, jnp.float32, first=first)
        assert (np.abs(draws.inputs).max() < 3**0.5 + 1e-6) == first and (draws.outputs is None) == first
