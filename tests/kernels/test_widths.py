"""Do finite networks approach the kernels of leaky, bidirectional and token networks as one over root width?

The error of one network is its kernel minus the limit, relative to sqrt(K_ii K_jj). Its mean over initialisations is of
order 1/width, that of a single draw of order 1/sqrt(width): the slope is fitted to the root mean square over draws.
A kernel that is not the limit leaves an error that no width removes, and the slope becomes flatter.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import blocks
from ntkseq.kernels.base import Kernel
from ntkseq.kernels.bidirectional import Bidirectional
from ntkseq.kernels.leaky import LeakyRecurrent
from ntkseq.kernels.serial import Serial
from tests.models import explicit

WIDTHS = (64, 128, 256, 512)
TOGETHER = 8
X = jnp.asarray(explicit.sequences(), jnp.float32)
RAGGED = jnp.array([4, 2, 3])
SCALES: dict[str, Any] = dict(sigma_w=1.4, sigma_u=1.1, sigma_b=0.3, sigma_r=0.9)
KERNELS: dict[str, tuple[Kernel, tuple[int, ...], int]] = {  # kernel, widths, draws
    "leaky": (LeakyRecurrent(0.6, 0.7, **SCALES), WIDTHS, 256),
    "leaky, mean": (LeakyRecurrent(0.6, 0.7, **SCALES, read="mean"), WIDTHS, 256),
    "bidirectional": (Bidirectional(**SCALES), WIDTHS, 128),
    "attention": (
        Serial(blocks.Linear(1.2, 0.3), blocks.Attention(0.7, 1.2, 0.3), "relu"),
        (32, 64, 128, 256),  # eight heads, each of the full width
        128,
    ),
    "norm, residual, relu": (
        Serial(
            blocks.Linear(1.2, 0.3),
            blocks.Residual(blocks.LayerNorm(0.1), blocks.Linear(1.3, 0.2), "relu", blocks.Linear(0.7, 0.1)),
            blocks.LayerNorm(),
            blocks.Linear(1.1),
            "relu",
            read="last",
        ),
        WIDTHS,
        256,
    ),
}


def errors(kernel: Kernel, limit: np.ndarray, width: int, draws: int) -> np.ndarray:
    """Errors (draws, pairs) of networks of that width, relative to the roots of the limit's diagonal."""
    net = kernel.finite(width)  # pyright: ignore[reportAttributeAccessIssue]

    @jax.jit
    def several(keys: jax.Array) -> jax.Array:
        return jax.vmap(lambda key: explicit.tangent_kernel(net.apply, net.init(key, X[0]), X, RAGGED))(keys)

    keys = jax.random.split(jax.random.key(width), (draws // TOGETHER, TOGETHER))
    samples = np.concatenate([np.asarray(several(some), np.float64) for some in keys])
    root = np.sqrt(np.diagonal(limit))
    return ((samples - limit) / np.outer(root, root))[:, *np.triu_indices(3)]


@pytest.mark.slow
@pytest.mark.parametrize("name", KERNELS)
def test_the_error_of_one_network_falls_as_one_over_the_root_of_the_width(name: str) -> None:
    kernel, widths, draws = KERNELS[name]
    limit = np.asarray(kernel(X, lengths=RAGGED), np.float64)
    found = [errors(kernel, limit, width, draws) for width in widths]
    slope = np.polyfit(np.log(widths), np.log([np.sqrt(np.mean(one**2)) for one in found]), 1)[0]
    assert abs(slope + 0.5) < 0.15
