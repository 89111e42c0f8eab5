"""What lies where on the devices of a mesh that computes a Gram matrix?"""

from __future__ import annotations

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ntkseq import _checks, _devices


def flat(mesh: object) -> Mesh:
    """The devices of a mesh of any axes, in its order, as a mesh of one axis of its own.

    Raises:
        ValueError: no mesh of devices, none in it, one twice, or some of other processes.
    """
    if not isinstance(mesh, Mesh):
        raise ValueError(
            f"mesh must be a jax.sharding.Mesh of devices, such as jax.make_mesh gives; got {_checks.shown(mesh)}."
        )
    devices = list(mesh.devices.flat)
    if not devices:
        raise ValueError(
            "mesh must hold a device; got an empty one. Pass jax.make_mesh((jax.device_count(),), ('a',))."
        )
    if len(set(devices)) < len(devices):
        raise ValueError(f"mesh must hold each device once; got {', '.join(map(str, devices))}.")
    others = sum(device.process_index != jax.process_index(device.platform) for device in devices)
    if others:
        raise ValueError(
            f"mesh must hold devices of this process; got {len(devices)}, of which {others} are of other processes. "
            "Pass jax.sharding.Mesh(jax.local_devices(), ('a',)) in each, and give each its share of the tiles."
        )
    return Mesh(np.array(devices), ("devices",), axis_types=(AxisType.Auto,))


def on_all(tree: Any, mesh: Mesh) -> Any:
    """A pytree with a copy of each array on every device of a mesh; Python numbers stay."""
    everywhere = NamedSharding(mesh, PartitionSpec())
    put = lambda leaf: jax.device_put(leaf, everywhere) if isinstance(leaf, (jax.Array, np.ndarray)) else leaf  # noqa: E731
    return jax.tree.map(put, tree)


def split(values: np.ndarray, mesh: Mesh) -> jax.Array:
    """An array cut along its first axis into one part for each device of a mesh of one axis."""
    return jax.device_put(values, NamedSharding(mesh, PartitionSpec(mesh.axis_names)))


def parts(x: jax.Array) -> list[jax.Array]:
    """The parts of an array that is cut along its first axis, each on its device, in order."""
    shards = sorted(x.addressable_shards, key=lambda shard: shard.index[0].start or 0)
    return [shard.data for shard in shards]


def is_cpu(mesh: Mesh) -> bool:
    """Whether the devices of a mesh share the memory of the host."""
    return all(device.platform == "cpu" for device in mesh.devices.flat)


def first(mesh: Mesh) -> Any:
    """The first device of a mesh."""
    return mesh.devices.flat[0]


def at_first(x: jax.Array, mesh: Mesh) -> jax.Array:
    """An array of one device on the first device of a mesh; one of several devices as it is."""
    return x if len(x.devices()) > 1 else jax.device_put(x, first(mesh))


def at(device: Any) -> Any:
    """A `with` under which arrays come to lie on a device, unless `jax.set_mesh` says where."""
    free = _devices.ambient() is None and jnp.zeros(()).devices() != {device}  # another setting is another program
    return jax.default_device(device) if free else contextlib.nullcontext()
