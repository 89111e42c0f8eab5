"""`python -m benchmarks.on_devices COUNT N`: a process with so many devices of the host, one processor for each.

For every line of JSON on standard input, "gram" or "product", it computes that once of N sequences, dealt to its
devices, and prints one line of JSON: seconds, processor seconds, and a digest of the result.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time

T, D, COLUMNS = 64, 16, 32


def main(count: int, n: int) -> None:
    """Answer until the input ends."""
    if hasattr(os, "sched_setaffinity"):  # XLA runs the program of one device on all processors that it sees
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:count]))
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    os.environ["JAX_PLATFORMS"] = "cpu"

    import jax
    import numpy as np

    import ntkseq
    from ntkseq import kernels

    rng = np.random.default_rng(0)
    x, V = rng.standard_normal((n, T, D)).astype(np.float32), rng.standard_normal((n, COLUMNS))
    kernel, mesh = kernels.Recurrent(sigma_w=1.4), jax.make_mesh((count,), ("devices",))
    lazy = ntkseq.lazy(kernel, x, mesh=mesh)
    calls = {
        "gram": lambda: np.asarray(ntkseq.gram(kernel, x, mesh=mesh)),
        "product": lambda: lazy.times(V),
    }
    for word in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        found = calls[json.loads(word)]()
        seconds = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
        print(json.dumps(seconds | {"digest": hashlib.sha256(found.tobytes()).hexdigest()}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
