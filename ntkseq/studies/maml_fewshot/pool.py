"""Which examples are few-shot tasks cut out of, and what is the kernel between tasks once that of examples is known?"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntkseq import kernels
from ntkseq._struct import static, struct
from ntkseq._types import AnyArray, Lengths, PyTree
from ntkseq.data import held_out
from ntkseq.data.tasks import Support, Tasks, few_shot_tasks
from ntkseq.grams import gram
from ntkseq.grams.base import DenseGram
from ntkseq.kernels.base import Kernel
from ntkseq.studies.tangent.inputs import Part, Problem


@struct
class PoolKernel(Kernel):
    """A kernel between examples that are known by their numbers (n, 1), read from its Gram matrix."""

    values: Array
    error: float = static(default=0.0)

    def prepare(self, x: PyTree, lengths: Lengths = None) -> PyTree:
        return {"row": jnp.asarray(x)[:, 0].astype(jnp.int32), "one": jnp.ones(x.shape[0], self.values.dtype)}

    def tile(self, left: AnyArray, right: AnyArray) -> Float[Array, "n m"]:
        return self.values[left["row"]][:, right["row"]]

    def diag_side(self, side: PyTree) -> Float[Array, " n"]:
        return jnp.diagonal(self.values)[side["row"]]

    def entry_rounding(self, side: PyTree) -> float:
        return self.error


def table(gram: DenseGram) -> PoolKernel:
    """The kernel that a Gram matrix holds."""
    assert gram.entrywise is not None
    return PoolKernel(jnp.asarray(gram.array), float(gram.entrywise))


@dataclasses.dataclass(frozen=True, eq=False)
class Pool:
    """All examples, and the two kernels between them.

    Attributes:
        x: sequences (n, t, d).
        y: class codes (n,); lengths (n,) or None.
        theta: the tangent kernel between all of them.
        head: that of the read-out alone.
        split: their numbers by class, seen and held out.
    """

    x: Float[np.ndarray, "n t d"]
    y: Int[np.ndarray, " n"]
    lengths: Int[np.ndarray, " n"] | None
    theta: PoolKernel
    head: PoolKernel
    split: held_out.Classes

    def tasks(self, seen: bool, **options: Any) -> Tasks:
        """Tasks of numbers (N, s, 1), cut out of seen or of held-out classes; options of `few_shot`."""
        part = self.split.train if seen else self.split.test
        return few_shot_tasks(part.x, part.y, **options)

    def sequences(self, tasks: Tasks) -> tuple[Any, Any]:
        """The same tasks with sequences for their numbers: `((xs, ys), xq)`, pairs with lengths where there are."""
        taken = [np.asarray(part)[..., 0].astype(int) for part in (tasks.support.x, tasks.query)]
        xs, xq = (jnp.asarray(self.x[rows]) for rows in taken)
        if self.lengths is None:
            return Support(xs, tasks.support.y), xq
        ls, lq = (jnp.asarray(self.lengths[rows], jnp.int32) for rows in taken)
        return Support((xs, ls), tasks.support.y), (xq, lq)


def pool(posed: Problem, kernel: kernels.Recurrent, *, held: PyTree, key: jax.Array) -> Pool:
    """All examples of a problem, its own split into training and test put aside: what is held out are classes.

    held: how many classes, or their codes.
    """
    every = _joined(posed.train, posed.test)
    numbers = np.arange(len(every.y), dtype=np.float32)[:, None]
    drawn = {"key": key} if isinstance(held, int) else {}
    split = held_out.by_class(numbers, every.y, held_out=held, **drawn)
    theta, head = (
        table(gram(kernel.with_(kind=kind), every.x, lengths=every.lengths, progress=False)) for kind in ("ntk", "nngp")
    )
    return Pool(every.x, every.y, every.lengths, theta, head, split)


def _joined(a: Part, b: Part) -> Part:
    """Both parts as one, padded to one length."""
    t = max(a.x.shape[1], b.x.shape[1])
    x = np.concatenate([np.pad(p.x, ((0, 0), (0, t - p.x.shape[1]), (0, 0))) for p in (a, b)])
    lengths = None
    if a.lengths is not None or b.lengths is not None:
        lengths = np.concatenate(
            [np.full(len(p.y), p.x.shape[1]) if p.lengths is None else np.asarray(p.lengths) for p in (a, b)]
        )
    return Part(x, np.concatenate([a.y, b.y]), lengths)
