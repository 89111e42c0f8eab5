"""A program for one of several processes under `jax.distributed`: its share of a Gram. Run by test_shares.py."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
from jax.sharding import Mesh

from ntkseq import gram, kernels
from ntkseq.grams import shares, sides

TILE = 8


def problem() -> tuple[kernels.Kernel, np.ndarray]:
    """The same in every process."""
    return kernels.Recurrent(sigma_w=1.4), np.random.default_rng(0).standard_normal((45, 3, 2)).astype(np.float32)


def main(port: str, count: str, index: str, path: str) -> None:
    """Compute the tiles of process `index` and write them to `path`."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", int(count), int(index), initialization_timeout=60)
    kernel, x = problem()
    assert jax.process_count() == int(count) and jax.device_count() == int(count) * jax.local_device_count()
    pair = sides.prepare(kernel, x, None, None, None)
    parts = list(shares.blocks(pair, tile=TILE))
    if int(count) > 1:
        try:
            gram(kernel, x, mesh=Mesh(np.array(jax.devices()), ("a",)))
        except ValueError as error:
            assert "of other processes" in str(error), error
        else:
            raise AssertionError("a mesh of all processes was taken")
    np.savez(path, pairs=np.concatenate([p for p, _ in parts]), blocks=np.concatenate([b for _, b in parts]))
    jax.distributed.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
