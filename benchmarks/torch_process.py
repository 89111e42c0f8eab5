"""`python -m benchmarks.torch_process`: kernels of networks by torch.func, in an environment that has PyTorch.

Reads lines of JSON: {"load": FILE, "net": NAME} with the weights of a network of `benchmarks.nets`, then {"run": true}
for its kernel by vmap(jacrev) and products of gradients, leaf by leaf, as PyTorch's tutorial has it. Answers with the
seconds; {"run": FILE} has the kernel written to a file, too. Imports nothing of JAX.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.func import jacrev, vmap

torch.set_grad_enabled(False)


def rnn(p: dict[str, Any], x: Any) -> Any:
    """`nets.rnn`."""
    h = x.new_zeros(p["W"].shape[0])
    for u in x:
        h = torch.tanh(h @ p["W"] + u @ p["U"] + p["b"])
    return h @ p["V"]


def lstm(p: dict[str, Any], x: Any) -> Any:
    """`nets.lstm`."""
    h = c = x.new_zeros(p["W"].shape[0])
    for u in x:
        i, forget, g, out = torch.split(h @ p["W"] + u @ p["U"] + p["b"], p["W"].shape[0])
        c = torch.sigmoid(forget) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(out) * torch.tanh(c)
    return h @ p["V"]


def mlp(p: dict[str, Any], x: Any) -> Any:
    """`nets.mlp`; leaves are called by layer and letter."""
    last = max(int(name.split(".")[0]) for name in p)
    for k in range(last + 1):
        x = x @ p[f"{k}.W"] + p[f"{k}.b"]
        x = x if k == last else torch.relu(x)
    return x


NETS: dict[str, Callable[[dict[str, Any], Any], Any]] = {"rnn": rnn, "lstm": lstm, "mlp": mlp}


def kernel(f: Callable[..., Any], params: dict[str, Any], x: Any) -> Any:
    """The mean over outputs of the kernel of all examples."""
    rows = vmap(jacrev(f), (None, 0))(params, x)
    parts = [row.flatten(2) for row in rows.values()]  # (n, o, p)
    return sum(torch.einsum("nop,mop->nm", part, part) for part in parts) / parts[0].shape[1]


def main() -> None:
    """Answer until the input ends."""
    f: Any = None
    params: dict[str, Any] = {}
    x: Any = None
    for line in sys.stdin:
        asked = json.loads(line)
        if "load" in asked:
            with np.load(asked["load"]) as held:
                f = NETS[asked["net"]]
                params = {name[2:]: torch.from_numpy(held[name]) for name in held.files if name.startswith("p.")}
                x = torch.from_numpy(held["x"])
            answer: dict[str, Any] = {"version": torch.__version__, "threads": torch.get_num_threads()}
        else:
            start = time.perf_counter()
            K = kernel(f, params, x)
            answer = {"seconds": time.perf_counter() - start}
            if isinstance(asked["run"], str):
                np.save(asked["run"], K.numpy())
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
