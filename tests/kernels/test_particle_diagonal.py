"""Do particles keep the digits of linear recurrences that forget slowly, and what cannot pass them?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.blocks import Attention, Linear, Recurrent
from ntkseq.cells import GRU, LRU, S4D, ControlledResNet
from ntkseq.kernels import particle_batches
from ntkseq.kernels.serial import Serial

ROOT = Attention(scaling="root")
NETS: dict[str, Any] = {
    "close to the unit circle": (Recurrent(LRU(0.9, 1.0), "both"), Recurrent(GRU())),
    "many states": (Linear(), Recurrent(S4D(64)), Recurrent(GRU())),
    "states moved by tokens": (Recurrent(ControlledResNet("erf", 0.5)), Recurrent(GRU())),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_the_same_draws_give_the_same_numbers_in_single_precision_within_what_is_stated(name: str) -> None:
    x = np.random.default_rng(0).standard_normal((3, 40, 2)) * (0.2 if name.startswith("states") else 1.0)
    kernel = Serial(*NETS[name], read="mean", particles=64, batches=2)
    single = kernel.prepare(x.astype(np.float32))
    K, stated = np.asarray(kernel.tile(single, single), np.float64), particle_batches.rounding(kernel, single)
    with jax.enable_x64(True):
        double = kernel.prepare(jnp.asarray(x, jnp.float64))
        wanted = np.asarray(kernel.tile(double, double))
    size = np.sqrt(np.outer(np.diagonal(wanted), np.diagonal(wanted)))
    assert np.max(np.abs(K - wanted) / size) < stated < 1e-4


def network(*parts: Any, **how: Any) -> Any:
    return Serial(*parts, Recurrent(GRU()), **({"particles": 16, "batches": 2} | how))


def retained(decay: Any) -> Attention:
    return Attention(scaling="root", weights="identity", causal=True, decay=decay)


NAN, X = float("nan"), np.random.default_rng(0).standard_normal((3, 5, 2)).astype(np.float32)
REFUSED: dict[str, tuple[Any, str]] = {
    "a negative step": (lambda: S4D(dt_min=-1e-3), "dt_min must be a finite number > 0; got -0.001"),
    "no step": (lambda: S4D(dt_min=0.0), "dt_min must be a finite number > 0; got 0.0"),
    "a step that is NaN": (lambda: S4D(dt_max=NAN), "dt_max must be a finite number > 0; got nan"),
    "steps out of order": (lambda: S4D(dt_min=0.2), "0 < dt_min < dt_max; got dt_min=0.2, dt_max=0.1"),
    "an odd number of states": (lambda: S4D(3), "must be even and at most 4096; got 3"),
    "a decay outside the disc": (lambda: LRU(0.5, 1.1), "r_min < r_max <= 1; got r_min=0.5, r_max=1.1"),
    "an empty ring": (lambda: LRU(0.9, 0.5), "r_min < r_max <= 1; got r_min=0.9, r_max=0.5"),
    "a ring that is NaN": (lambda: LRU(NAN), "r_min must be a finite number >= 0; got nan"),
    "more than a turn": (lambda: LRU(max_phase=7.0), "max_phase must be at most 2 pi; got 7"),
    "a decay above 1": (lambda: retained(1.5), "decay must be between 0 and 1; got 1.5"),
    "a negative decay": (lambda: retained([0.5, -0.1]), "decay must be a finite number >= 0; got -0.1"),
    "fewer heads than decays": (
        lambda: network(Linear(), retained([0.1, 0.2, 0.3])),
        "a head for each of the 3 decays of an Attention; got 8, which make 1",
    ),
    "half a particle each way": (
        lambda: network(Recurrent(LRU(), "both"), particles=6),
        "must be even where a layer has both directions; got 3",
    ),
    "particles that do not divide": (lambda: network(particles=7), "particles must be a multiple of batches"),
    "one batch": (lambda: network(batches=1), "batches must be at least 2"),
    "no width before it": (lambda: network(Recurrent(S4D(4))).prepare(X), "Put a blocks.Linear before it"),
    "a length of zero": (lambda: network(ROOT).prepare(X, np.array([0, 1, 2])), "must lie in 1..5 .*; got 0..2"),
    "a length beyond the end": (lambda: network(ROOT).prepare(X, np.array([6, 1, 2])), "must lie in 1..5 .*; got 1..6"),
    "a length that is NaN": (lambda: network(ROOT).prepare(X, np.array([NAN, 1, 2])), "must be integers; got dtype fl"),
    "NaN": (lambda: network(ROOT).prepare(X * NAN), "x must be finite; got 30 NaN"),
    "no steps": (lambda: network(ROOT).prepare(X[:, :0]), r"one example, step and feature; got shape \(3, 0, 2\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_particles_of_state_spaces_and_attention_cannot_pass_is_refused_in_one_line(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


SMALL: dict[str, Any] = {
    "one step of one feature": (X[:, :1, :1], 16),
    "half precision, heads that do not divide": (X.astype(np.float16), 14),
    "two particles each": (X, 4),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_the_smallest_networks_have_finite_values_and_errors(name: str) -> None:
    x, particles = SMALL[name]
    kernel = network(Linear(), Recurrent(S4D(2)), ROOT, Recurrent(LRU()), particles=particles)
    side = kernel.prepare(x)
    K, error = kernel.tile(side, side), kernel.standard_error(side, side)
    assert K.dtype == x.dtype and np.isfinite(np.asarray(K)).all() and np.isfinite(np.asarray(error)).all()
    assert np.all(np.diagonal(K) >= 0)
