"""What happens to one network of one width while it is trained, and what did its linearisation promise?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ntkseq import blocks, cells, models, training
from ntkseq._types import PyTree
from ntkseq.training import History, sgd
from ntkseq.training.batches import Batches
from ntkseq.training.lazy_training import deviation
from ntkseq.training.linear_training import linearised

HEADS = 4


def elman(width: int) -> models.Model:
    """An Elman network with tanh, its states averaged over the steps."""
    return models.Recurrent(width=width, activation="tanh", sigma_w=1.2, sigma_b=0.1, read="mean")


def gru(width: int) -> models.Model:
    """A GRU, its states averaged over the steps."""
    return models.Gated(width=width, cell=cells.GRU(sigma_w=1.4, sigma_b=0.1), read="mean")


def transformer(width: int) -> models.Model:
    """Two blocks of softmax attention and a two-layer network, each added to its input, with four heads."""
    attention = blocks.Residual(blocks.Attention(scaling="root"))
    dense = blocks.Residual(blocks.Linear(2**0.5), "relu", blocks.Linear())
    return models.Serial(
        blocks.Linear(), attention, dense, attention, dense, width=width, heads=HEADS, d_k=max(1, width // HEADS)
    )


MODELS: Mapping[str, Callable[[int], models.Model]] = {"elman": elman, "gru": gru, "transformer": transformer}


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """What all networks learn, and how.

    Attributes:
        x, y, x_test, y_test: sequences (n, t, d) and labels -1/+1; lengths, lengths_test: (n,), or None for both.
        steps, batch: of stochastic gradient descent.
        every: period of the probes.
    """

    x: Float[np.ndarray, "n t d"]
    y: Float[np.ndarray, " n"]
    x_test: Float[np.ndarray, "m t d"]
    y_test: Float[np.ndarray, " m"]
    lengths: np.ndarray | None
    lengths_test: np.ndarray | None
    steps: int
    batch: int
    every: int

    @property
    def data(self) -> tuple[Any, ...]:
        """The training set as `sgd.train` takes it."""
        return (self.x, self.y) if self.lengths is None else (self.x, self.y, self.lengths)

    @property
    def held_out(self) -> tuple[Any, ...]:
        """The test set."""
        return (self.x_test, self.y_test) if self.lengths is None else (self.x_test, self.y_test, self.lengths_test)


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """One trained network beside its linearisation.

    Attributes:
        width, seed: which.
        lr: learning rate.
        history: tables "kernel" (of the whole training set), "loss", "movement", for a transformer "attention".
        linear_loss: mean loss of the linearisation on the training set at the rows of the history, (r,).
        linear_test_error: its share of wrong signs on the test set in the end.
        deviation: |f - f_linear| on the training set at each row, over the longest |f_linear|, (r,).
        test_deviation: the same on the test set, in the end.
        diverged_at: step, or None.
    """

    width: int
    seed: int
    lr: float
    history: History
    linear_loss: Float[np.ndarray, " r"]
    linear_test_error: float
    deviation: Float[np.ndarray, " r"]
    test_deviation: float
    diverged_at: int | None

    @property
    def drift(self) -> float:
        """|K - K_0| / |K_0| in the end."""
        return float(self.history["kernel"]["distance"][-1])


Runs = dict[int, list[Outcome]]
"""Width -> one outcome per seed, those that diverged left out."""


def train(net: models.Model, task: Task, *, rate: float, width: int, seed: int) -> Outcome:
    """Train a network from one initialisation, and its linearisation by the same batches.

    rate: learning rate in units of n / lambda_max of this network's kernel at the start: narrow networks differ by
    factors in their kernels, and are to be equally far from the edge of stability.
    """
    start, order = jax.random.split(jax.random.key(seed))
    params = net.init(start, task.x[0])
    sets = {"train": task.data, "test": task.held_out}
    probes: list[training.Probe] = [
        training.KernelProbe(net.apply, task.x, y=task.y, lengths=task.lengths, every=task.every),
        training.LossProbe(net.apply, sets, every=task.every),
        training.MovementProbe(every=task.every),
    ]
    if isinstance(net, models.Serial):
        probes.append(
            training.AttentionRankProbe(net.attention_weights, task.x, lengths=task.lengths, every=task.every)
        )
    linear = linearised(
        net.apply, params, task.x, task.y, x_probe=task.x_test, lengths=task.lengths, lengths_probe=task.lengths_test
    )
    lr = 0.5 * rate * linear.limit
    trained = sgd.train(
        net.apply, params, task.data, lr=lr, batch=task.batch, steps=task.steps, key=order, probes=probes
    )
    assert trained.history is not None
    table = trained.history["kernel"]
    batches = Batches(len(task.y), task.batch, "shuffle", order).indices(0, int(table.steps[-1]))
    run = linear.follow(batches, lr, record=table.steps)
    assert run.probe is not None
    end = _outputs(net, trained.params, task.held_out)
    return Outcome(
        width=width,
        seed=seed,
        lr=lr,
        history=trained.history,
        linear_loss=run.losses,
        linear_test_error=float(np.mean(run.probe[-1, :, 0] * task.y_test <= 0)),
        deviation=deviation(table["outputs"], run.outputs).relative,
        test_deviation=float(deviation(end[None], run.probe[-1:]).relative[0]),
        diverged_at=trained.diverged_at,
    )


def _outputs(net: models.Model, params: PyTree, data: tuple[Any, ...]) -> np.ndarray:
    x, _, *lengths = data
    return np.asarray(jax.vmap(lambda *one: net.apply(params, *one))(x, *lengths))
