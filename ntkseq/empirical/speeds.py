"""How fast is this device at what the orders of contraction consist of? Measured once, and remembered on disk."""

from __future__ import annotations

import json
import os
import pathlib
import tempfile
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq._checks import is_concrete, shown
from ntkseq._precision import wide
from ntkseq._types import AnyArray, DType
from ntkseq.empirical import contract
from ntkseq.empirical.contract import Layout, Outputs
from ntkseq.empirical.costs import Speeds

ASSUMED = {
    "cpu": Speeds(1.2e-11, 1.4e-11, 2e-10, 1.2e-9),
    "other": Speeds(5e-14, 8e-14, 5e-12, 5e-12),
}
"""What is taken of a device that was not calibrated: two cores, and a large accelerator; only ratios decide."""

_known: dict[str, Speeds] = {}


def known(leaf: AnyArray | None) -> Speeds:
    """What is known of the device and the precision of a leaf: measured by `calibrate` once, or assumed."""
    device, dtype = device_of(leaf), _dtype(leaf)
    return _recalled(_name(device, dtype)) or ASSUMED.get(device.platform, ASSUMED["other"])


def calibrate(leaf: AnyArray | None = None) -> Speeds:
    """Measure the device, in some two seconds, and remember it for this and later processes.

    The choices of `empirical.NTK` are made with it from then on. Do it on an idle machine; a file in the folder that
    NTKSEQ_CACHE names, or in the user's cache folder, holds the four numbers.

    Args:
        leaf: an array of any shape on the device and of the dtype; None: float32 on JAX's default device.

    Raises:
        ValueError: a leaf that is no array of floats.
    """
    if leaf is not None and not jnp.issubdtype(getattr(leaf, "dtype", object), jnp.floating):
        raise ValueError(f"leaf must be an array of floats, such as a leaf of params, or None; got {shown(leaf)}.")
    device, dtype = device_of(leaf), _dtype(leaf)
    with jax.default_device(device):
        found = _measured(dtype)
    name = _name(device, dtype)
    _known[name] = found
    _remember(name, found)
    return found


def device_of(leaf: AnyArray | None) -> Any:
    """The device that an array lies on, or JAX's default."""
    if isinstance(leaf, jax.Array) and is_concrete(leaf):
        return next(iter(leaf.devices()))
    return jax.devices()[0]


def _dtype(leaf: AnyArray | None) -> Any:
    return wide(jnp.float32 if leaf is None else leaf.dtype)


def _measured(dtype: DType) -> Speeds:
    """Each number from a case that is made of it mostly, the known parts of it taken off."""
    side, single = 1024, Outputs(1)
    square = _filled((side, side), dtype)
    product = _seconds(lambda: contract.product("ik,jk->ij", square, square)) / side**3

    def gram(n: int, t: int, c: int) -> float:
        one = [(_filled((n, 1, t, c), dtype), _filled((n, 1, t, c), dtype))]
        made = jax.jit(lambda one: contract.gram([Layout(False, False)], one, one, single))
        return _seconds(lambda: made(one)) / (n * t) ** 2

    # per product of two uses: 2 c uses + 2 entry, at a small and at a large c
    small, large = gram(32, 32, 16), gram(32, 32, 512)
    uses = max((large - small) / (2 * 512 - 2 * 16), product)
    entry = max((small - 2 * 16 * uses) / 2, product)
    n, t, c = 32, 4, 512
    factors = [(_filled((n, 1, t, c), dtype), _filled((n, 1, t, c), dtype))]
    made = jax.jit(lambda factors: contract.weights([Layout(False, False)], factors, None, single, 0))
    seconds = _seconds(lambda: made(factors))
    written = max((seconds - product * (n * t * c * c + n * n * c * c)) / (n * c * c), product)
    return Speeds(product, uses, entry, written, "measured")


def _filled(shape: tuple[int, ...], dtype: DType) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape), dtype)


def _seconds(call: Callable[[], Any], repeats: int = 5) -> float:
    """The least of several times: what else runs can only add."""
    jax.block_until_ready(call())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - start)
    return min(times)


def _name(device: Any, dtype: DType) -> str:
    cores = f" {os.cpu_count()} cores" if device.platform == "cpu" else ""
    return f"{device.device_kind}{cores}, {dtype}, jax {jax.__version__}"


@lru_cache
def _folder() -> pathlib.Path:
    named = os.environ.get("NTKSEQ_CACHE")
    if named:
        return pathlib.Path(named)
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "ntkseq"


def _recalled(name: str) -> Speeds | None:
    if name not in _known and (found := _on_disk().get(name)) is not None:
        _known[name] = found
    return _known.get(name)


@lru_cache
def _on_disk() -> dict[str, Speeds]:
    """What earlier processes measured; a file that cannot be read counts as none."""
    try:
        found = json.loads((_folder() / "speeds.json").read_text())
        return {name: Speeds(**numbers) for name, numbers in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _remember(name: str, found: Speeds) -> None:
    """Written beside and moved into place, so that another process never reads half a file; a full disk is no error."""
    everything = {key: vars(value) for key, value in (_on_disk() | {name: found}).items()}
    _on_disk.cache_clear()
    try:
        _folder().mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=_folder(), delete=False) as file:
            json.dump(everything, file, indent=1)
        pathlib.Path(file.name).replace(_folder() / "speeds.json")
    except OSError:
        pass
