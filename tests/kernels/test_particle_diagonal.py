"""Do particles keep the digits of linear recurrences that forget slowly?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.blocks import Linear, Recurrent
from ntkseq.cells import GRU, LRU, S4D, ControlledResNet
from ntkseq.kernels import particle_batches
from ntkseq.kernels.serial import Serial

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
