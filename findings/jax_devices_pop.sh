#!/usr/bin/env bash
# jax 0.10.2: `x.devices().pop()`, an idiom for "the device of x", takes a device out of the set that all arrays of that
# NamedSharding share.
# Guess: devices() returns a set of its own, as it does for an array on a single device.
# Seen: afterwards the sharding, x, and every new array with an equal sharding report one device less, 3 of 4, and after
# four calls an empty set, while the numbers still lie on, and are computed by, four devices.
# Seen with 0.12.0.1, too. Safe: next(iter(x.devices())).
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2
XLA_FLAGS=--xla_force_host_platform_device_count=4 JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P, SingleDeviceSharding

def sharded():
    mesh = Mesh(np.array(jax.devices()), ("a",))
    return jax.device_put(np.ones((8, 3), np.float32), NamedSharding(mesh, P("a")))

print("jax", jax.__version__)
x = sharded()
counts = [len(x.devices())]
for _ in range(4):
    x.devices().pop()
    counts.append(len(sharded().devices()))
print("devices of a new array of the same sharding, after 0..4 pops:", counts)
print("shards of it:", len(sharded().addressable_shards))
alone = jax.device_put(np.ones(3), SingleDeviceSharding(jax.devices()[0]))
alone.devices().pop()
print("of an array on a single device, after a pop:", len(alone.devices()))
assert counts == [4, 3, 2, 1, 0] and len(sharded().addressable_shards) == 4 and len(alone.devices()) == 1
PYTHON
