"""How do arrays that lie on several devices come together where this library computes?

Kernels, tiles and spectra are programs for one device, or for all devices of the mesh that `jax.set_mesh` names, each
with a copy. What is sharded, or typed by explicit axes, which no outer product may have, is brought there at the door.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec


def together(name: str, x: object) -> Any:
    """`x`, a concrete `jax.Array` of several devices or of explicit axes as one that works beside all others.

    A NumPy array, also in a list, comes in the byte order of this machine: files of instruments have the other one,
    which JAX refuses.

    Raises:
        ValueError: parts of it lie on other processes; it is sharded over explicit axes inside a trace.
    """
    if not isinstance(x, jax.Array):
        return _native(x)
    try:
        devices = x.devices()
    except jax.errors.ConcretizationTypeError:  # a tracer lives on no device
        _typed(name, x)
        return x
    if len(devices) == 1 and not _explicit(x.sharding) and (not x.committed or ambient() is None):
        return x
    if not x.is_fully_addressable:
        raise ValueError(
            f"{name} lies on devices of other processes; got {x.sharding}. Gather it first, for instance with "
            "jax.experimental.multihost_utils.process_allgather."
        )
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        data = jnp.asarray(np.asarray(jax.random.key_data(x)))
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    return jnp.asarray(np.asarray(x))


def _native(x: Any) -> Any:
    """An array, or lists of arrays, in the byte order of this machine; what is in it already, or is none, as it is."""
    if isinstance(x, np.ndarray):
        return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))
    if type(x) in (list, tuple) and any(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(x)):
        return type(x)(_native(one) for one in x)
    return x


def ambient() -> jax.sharding.AbstractMesh | jax.sharding.Mesh | None:
    """The mesh of `jax.set_mesh`, on which jitted functions run here; None: there is none."""
    mesh = jax.sharding.get_mesh()
    return None if mesh.empty else mesh


def placed(values: np.ndarray, beside: jax.Array) -> jax.Array:
    """Numbers of the host on the devices of another array, a copy on each; without one more copy on a CPU."""
    sharding = beside.sharding
    if isinstance(sharding, NamedSharding):
        sharding = NamedSharding(sharding.mesh, PartitionSpec())
    return laid(values, sharding)


def laid(values: np.ndarray, sharding: Any) -> jax.Array:
    """Numbers of the host that nobody changes any more, by a sharding; on a CPU without a copy, if they are aligned."""
    return jax.device_put(values, sharding, may_alias=True)


def brought(x: jax.Array, beside: jax.Array) -> jax.Array:
    """An array of one device on the devices of another array."""
    return x if x.sharding == beside.sharding else jax.device_put(x, beside.sharding)


def on_cpu(x: jax.Array) -> bool:
    """Whether it lies in the memory of the host."""
    # not x.devices().pop(): that takes the device out of a set that arrays of one sharding share (jax 0.10 to 0.12)
    return all(device.platform == "cpu" for device in x.devices())


def all_finite(x: jax.Array) -> bool:
    """Whether a concrete array of an accelerator is finite, seen there; False where the host has to look."""
    if not jnp.issubdtype(x.dtype, jnp.inexact) or on_cpu(x) or not x.is_fully_addressable:
        return False
    with jax.ensure_compile_time_eval():  # in a trace as well
        return bool(jnp.isfinite(x).all())


def _explicit(sharding: Any) -> bool:
    return isinstance(sharding, NamedSharding) and AxisType.Explicit in sharding.mesh.axis_types


def _typed(name: str, x: object) -> None:
    """Refuse what would end in a ShardingTypeError deep inside."""
    sharding = getattr(jax.typeof(x), "sharding", None)
    if sharding is not None and any(axis is not None for axis in sharding.spec) and _explicit(sharding):
        raise ValueError(
            f"{name} is sharded over explicit axes inside a trace; got {jax.typeof(x)}. Kernels compare all examples "
            "with all: wrap the function in jax.sharding.auto_axes, or reshard the array to PartitionSpec() first."
        )
