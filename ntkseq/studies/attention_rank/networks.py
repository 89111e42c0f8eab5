"""What does a training run of the study of attention ranks measure? A transformer, and heads that bounds speak of."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ntkseq import blocks, models, training
from ntkseq._types import AnyArray, AnyFunction, PyTree
from ntkseq.bounds import AttentionHead
from ntkseq.spectra import AttentionRanks, Interval, attention_ranks, effective_ranks
from ntkseq.spectra.ranks import Energy, Participation, Tail
from ntkseq.studies.attention_rank.correlations import mean, shifted
from ntkseq.studies.attention_rank.heads import Certified, frozen, trained_head
from ntkseq.studies.attention_rank.options import RankOptions
from ntkseq.studies.attention_rank.tasks import Examples, Task
from ntkseq.training import History, losses, sgd

KINDS = ("entropy", "energy_entropy", "stable", "intrinsic", "participation", "energy_participation", "numerical")
MORE = {"energy 90 %": Energy(0.9), "r_1": Tail(1), "R_1": Tail(1, Participation())}
"""Definitions with a number, by the name they have here."""

PROBE = 64  # test examples whose attention matrices are looked at
AT_ONCE = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """A transformer after training.

    Attributes:
        n, seed, sigma: which run; sigma multiplies the scores at the start.
        train, test: mean cross-entropy; train_clipped, test_clipped: mean of min(1, cross-entropy / log classes).
        apart: mean cross-entropy on text of other places; None where there is none.
        train_error, test_error: share of wrong classes.
        ranks: of attention matrices on test examples, with standard errors, for `KINDS`.
        more: the same for `MORE`, name -> (heads of all layers,); means over the matrices that have such a rank (r_1
            and R_1 ask for rank 2), nan where none has.
        history: ranks and losses through training, of some runs.
    """

    n: int
    seed: int
    sigma: float
    train: float
    test: Interval
    train_clipped: float
    test_clipped: Interval
    apart: Interval | None
    train_error: float
    test_error: Interval
    ranks: AttentionRanks
    more: dict[str, np.ndarray]
    history: History | None

    @property
    def gap(self) -> Interval:
        """Test minus training loss. The training loss is what it is: the interval is that of the test loss."""
        return shifted(self.test, -self.train)

    @property
    def gap_clipped(self) -> Interval:
        """The same for the clipped loss."""
        return shifted(self.test_clipped, -self.train_clipped)

    def numbers(self) -> dict[str, float]:
        """Every effective rank as one number per run: "entropy, mean" and "entropy, max" over layers and heads."""
        heads = {kind: np.concatenate([np.ravel(layer.mean[kind]) for layer in self.ranks.layers]) for kind in KINDS}
        heads |= self.more
        return {f"{kind}, {how}": float(getattr(np, how)(v)) for kind, v in heads.items() for how in ("mean", "max")}


class Bench:
    """The networks of one task, made once: programs are compiled per network and shape, not per run."""

    def __init__(self, task: Task, study: RankOptions) -> None:
        self.task, self.study = task, study
        att = blocks.Residual(blocks.Attention(scaling="root"))
        dense = blocks.Residual(blocks.Linear(2**0.5), "relu", blocks.Linear())
        share = max(1, study.width // study.heads)
        self.transformer = models.Serial(
            blocks.Linear(), *[att, dense] * study.depth, width=study.width, heads=study.heads, d_k=share, d_v=share,
            read=task.read, input_scale="none", outputs=task.outputs,
        )  # fmt: skip
        self.head = models.Serial(
            blocks.Attention(scaling="root"), "relu", width=study.hidden, heads=1, d_k=study.hidden, d_v=study.hidden,
            read=task.read, input_scale="none",
        )  # fmt: skip
        # bound methods are made anew at each access; one object each, so that nothing is compiled twice
        self._apply, self._attention = self.transformer.apply, self.transformer.attention_weights
        self._head, self._head_attention = self.head.apply, self.head.attention_weights
        self._adam = optax.adam(study.rate)

    def measure(self, n: int, seed: int, sigma: float, base: int, *, watch: bool = False) -> Measured | None:
        """Train the transformer on n examples; None if training diverges."""
        study, task = self.study, self.task
        start, order = jax.random.split(jax.random.key(base + seed))
        part = task.draw(n, (base, seed, n))
        params = scaled(self.transformer.init(start, part.x[0]), sigma)
        few = task.test.first(PROBE)
        every = max(1, study.steps // 20)
        probes: list[Any] = []
        if watch:
            sets = {"train": part.data(part.y), "test": task.test.data(task.test.y)}
            probes = [
                training.LossProbe(self._apply, sets, loss="cross_entropy", every=every),
                training.AttentionRankProbe(self._attention, few.x, lengths=few.lengths, every=every),
            ]
        trained = sgd.train(
            self._apply, params, part.data(part.y), self._adam, loss="cross_entropy", batch=min(study.batch, n),
            steps=study.steps, key=order, probes=probes,
        )  # fmt: skip
        if trained.diverged_at is not None:
            return None
        loss, error = _losses(self._apply, trained.params, part)
        test_loss, test_error = _losses(self._apply, trained.params, task.test)
        scale = math.log(task.outputs)
        options: dict[str, Any] = {} if few.lengths is None else {"lengths": few.lengths}
        return Measured(
            n=n, seed=seed, sigma=sigma,
            train=float(loss.mean()),
            test=mean(test_loss),
            train_clipped=float(np.minimum(1, loss / scale).mean()),
            test_clipped=mean(np.minimum(1, test_loss / scale)),
            apart=None if task.apart is None else mean(_losses(self._apply, trained.params, task.apart)[0]),
            train_error=float(error.mean()),
            test_error=mean(test_error),
            ranks=attention_ranks(self._attention, trained.params, few.x, kinds=KINDS, **options),
            more=_more(self._attention, trained.params, few),
            history=trained.history,
        )  # fmt: skip

    def certify(self, n: int, seed: int, sigma: float, base: int) -> tuple[Certified, ...]:
        """Train one head, and a read-out behind the attention it had at the start, and bound both.

        The head is missing if its training diverges.
        """
        study, task = self.study, self.task
        start, order = jax.random.split(jax.random.key(base + seed))
        part = task.draw(n, (base, seed, n))
        params = scaled(self.head.init(start, part.x[0]), sigma)
        trained = sgd.train(
            self._head, params, part.data(part.signs), self._adam, loss="squared", batch=min(study.batch, n),
            steps=study.steps, key=order,
        )  # fmt: skip
        which, found = (n, seed, sigma), []
        if trained.diverged_at is None:
            head = AttentionHead.of(self.head, trained.params)
            found.append(trained_head(which, head, part, task.test, delta=study.delta))
        A, A_test = (_matrices(self._head_attention, params, one)[0][:, 0] for one in (part, task.test))
        return (*found, frozen(which, A, part, A_test, task.test, delta=study.delta))


def scaled(params: PyTree, sigma: float) -> PyTree:
    """Parameters with all queries times sigma: the scores of the first step, sharper or flatter."""

    def one(path: Any, leaf: AnyArray) -> Any:
        return leaf * np.asarray(sigma, leaf.dtype) if path[-1] == jax.tree_util.DictKey("Q") else leaf

    return jax.tree_util.tree_map_with_path(one, params)


@partial(jax.jit, static_argnums=0)
def _each(f: AnyFunction, params: PyTree, inputs: AnyArray, y: AnyArray) -> Any:
    """Cross-entropy and error of each example."""

    def one(example: AnyArray) -> Any:
        arguments, target = example
        out = f(params, *arguments)
        return losses.cross_entropy(out, target), losses.wrong("cross_entropy", out, target)

    return jax.lax.map(one, (inputs, y), batch_size=AT_ONCE)


def _losses(f: AnyFunction, params: PyTree, part: Examples) -> tuple[np.ndarray, np.ndarray]:
    loss, error = _each(f, params, part.inputs, jnp.asarray(part.y))
    return np.asarray(loss, np.float64), np.asarray(error, np.float64)


@partial(jax.jit, static_argnums=0)
def _attended(attention: AnyFunction, params: PyTree, inputs: AnyArray) -> Any:
    return jax.lax.map(lambda one: attention(params, *one), inputs, batch_size=AT_ONCE)


def _matrices(attention: AnyFunction, params: PyTree, part: Examples) -> tuple[np.ndarray, ...]:
    """Per layer (n, heads, t, t)."""
    return tuple(np.asarray(layer) for layer in _attended(attention, params, part.inputs))


def _more(attention: AnyFunction, params: PyTree, part: Examples) -> dict[str, np.ndarray]:
    layers = _matrices(attention, params, part)
    found = {}
    for name, rank in MORE.items():
        ranks = [np.asarray(effective_ranks(layer, rank), np.float64) for layer in layers]  # (n, heads)
        has = [np.isfinite(one) for one in ranks]
        sums = [np.where(known, one, 0).sum(axis=0) for one, known in zip(ranks, has, strict=True)]
        counts = np.concatenate([known.sum(axis=0) for known in has])
        found[name] = np.where(counts > 0, np.concatenate(sums) / np.maximum(counts, 1), np.nan)
    return found
