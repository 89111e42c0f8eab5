"""What does one gradient step do to the outputs of a linearised network, and which steps can be followed?"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from ntkseq import _checks
from ntkseq._precision import product
from ntkseq._types import AnyArray, ArrayLike, Inputs, Number, PyTree


@partial(jax.jit, static_argnames="rows")
def run(K: Array, K_probe: Array | None, left: Array, probe: AnyArray, xs: Inputs, rows: int) -> tuple[Array, Any]:
    """The residuals and the outputs at the probes after the steps that are recorded, (rows, n, o) and (rows, m, o).

    Args:
        K, K_probe: kernels of the training and the probe examples with the training ones; no probes: None.
        left, probe: f - y at the training examples and f at the probes, before the first step.
        xs: per step the batch or None, lr / b, and the row in which to write; a row keeps what is written last.
        rows: number of records.
    """
    mine, theirs = _columns(K), None if K_probe is None else _columns(K_probe)
    into = jax.tree.map(lambda now: jnp.broadcast_to(now, (rows, *now.shape)), (left, probe))

    def step(carry: PyTree, x: PyTree) -> Any:
        (left, probe), into = carry
        batch, rate, slot = x
        chosen = left if batch is None else left[batch]
        probe = None if probe is None else probe - rate * _moved(theirs, batch, chosen)
        left = left - rate * _moved(mine, batch, chosen)  # (training.6), for f - y: y cancels
        into = jax.tree.map(lambda kept, now: kept.at[slot].set(now), into, (left, probe))
        return ((left, probe), into), None

    (_, into), _ = jax.lax.scan(step, ((left, probe), into), xs)
    return into


def _columns(K: Array) -> Array:
    """K(training, .): an example of a batch is a row, read in one piece."""
    return K.T if K.ndim == 2 else jnp.transpose(K, (1, 3, 0, 2))  # (n, m) or (n, o, m, o)


def _moved(columns: Any, batch: Array | None, chosen: Array) -> Array:
    """K[:, B] chosen, (m, o)."""
    rows = columns if batch is None else columns[batch]
    if rows.ndim == 2:
        return product("bm,bo->mo", rows, chosen)
    flat = product("k,km->m", chosen.reshape(-1), rows.reshape(chosen.size, -1))
    return flat.reshape(rows.shape[2:])


def matrix(K: np.ndarray) -> np.ndarray:
    """(n, m, o, o) as (n o, m o)."""
    return K if K.ndim == 2 else np.swapaxes(K, 1, 2).reshape(K.shape[0] * K.shape[2], -1)


def check_plain(lr: Number, loss: str, momentum: float) -> None:
    """Refuse training that outputs and kernel alone do not determine, or not by these steps."""
    remedy = "Train the linearised network itself, `empirical.linearize(f, params)`, with the same loss and optimizer."
    if not isinstance(loss, str) or loss != "squared":
        came = _checks.shown(loss)
        raise ValueError(f'loss must be "squared", for which outputs follow from the kernel; got {came}. {remedy}')
    if _checks.number("momentum", momentum) != 0:
        raise ValueError(f"momentum must be 0: only plain gradient steps are followed; got {momentum}. {remedy}")
    if callable(lr) or hasattr(lr, "update"):  # a schedule or an optimizer of optax
        raise ValueError(f"lr must be a number, or one per step of plain SGD; got {type(lr).__name__}. {remedy}")


def check_record(record: ArrayLike) -> Int[np.ndarray, " r"]:
    """The steps to look at, ascending."""
    return _checks.ascending("record", record, 0)


def check_batches(batches: ArrayLike, total: int, n: int) -> Array:
    """The examples of each step up to the last, (total, b)."""
    order = _checks.host("batches", batches)
    if order.ndim != 2 or order.dtype.kind not in "iu" or 0 in order.shape:
        raise ValueError(
            f"batches must be integers (steps, b), the examples of each step, or None for all; got shape {order.shape} "
            f"and dtype {order.dtype}. Batches of several sizes: leave out the incomplete last one of an epoch."
        )
    if len(order) < total:
        raise ValueError(f"batches must reach to the last record, step {total}; got {len(order)} steps.")
    order = order[:total]
    if order.size and (order.min() < 0 or order.max() >= n):
        raise ValueError(f"batches must hold indices in 0..{n - 1}; got {order.min()}..{order.max()}.")
    return jnp.asarray(order.astype(np.int32))
