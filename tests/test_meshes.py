"""Is a mesh taken as the devices that it lists, and refused in one line where it is none of this process?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, PartitionSpec

import ntkseq
from ntkseq import _meshes, kernels

X = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
DEVICE = jax.devices()[0]


def mesh(*axes: str, kind: AxisType = AxisType.Auto) -> Mesh:
    return Mesh(np.array([DEVICE]).reshape((1,) * len(axes)), axes, axis_types=(kind,) * len(axes))


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("axes", [("a",), ("a", "b"), ()])
def test_axes_of_either_kind_only_number_the_devices(axes, kind):
    flat = _meshes.flat(mesh(*axes, kind=kind))
    assert list(flat.devices) == [DEVICE] and flat.axis_types == (AxisType.Auto,)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (4, "must be a jax.sharding.Mesh of devices.*got 4"),
        (jax.devices(), "must be a jax.sharding.Mesh"),
        (mesh("a").abstract_mesh, "must be a jax.sharding.Mesh"),
        (PartitionSpec("a"), "must be a jax.sharding.Mesh"),
        (Mesh(np.array([], dtype=object), ("a",)), "got an empty one"),
        (Mesh(np.array([DEVICE, DEVICE]), ("a",)), "each device once"),
    ],
)
@pytest.mark.parametrize("make", [ntkseq.gram, ntkseq.lazy])
def test_what_is_no_mesh_of_devices_is_said_in_one_line(make, given, said, untyped):
    with pytest.raises(ValueError, match=f"^mesh .*{said}") as caught:
        make(kernels.Dense(), X, mesh=given)
    assert "\n" not in str(caught.value)


def test_devices_of_other_processes_are_refused(monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda platform: 1)
    with pytest.raises(ValueError, match="of which 1 are of other processes"):
        ntkseq.gram(kernels.Dense(), X, mesh=mesh("a"))


def test_python_numbers_stay_python_numbers_on_all_devices():
    tree = _meshes.on_all({"scale": 1.5, "x": jnp.ones(3), "y": np.ones(2, np.float32)}, _meshes.flat(mesh("a")))
    assert tree["scale"] == 1.5 and isinstance(tree["scale"], float)  # else it would widen what it meets
    assert isinstance(tree["y"], jax.Array) and tree["x"].devices() == {DEVICE}
