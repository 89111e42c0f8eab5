"""What could be certified of a network while it trains? Bounds from examples that training does not see, by step."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _checks, _keys
from ntkseq._struct import fill, static, struct
from ntkseq._types import PyTree
from ntkseq.bounds.gibbs import named
from ntkseq.bounds.gibbs_losses import ZeroOne
from ntkseq.bounds.linearised import linearised_network
from ntkseq.bounds.network_inputs import unseen
from ntkseq.bounds.processes import LearnedPrior, Prior
from ntkseq.bounds.search import Search
from ntkseq.bounds.tails import binomial_upper
from ntkseq.empirical.gradients import NotFinite
from ntkseq.training.kernel_probe import Joint, chosen
from ntkseq.training.probes import Probe, beside, check_every, check_examples, check_name

PRIORS = (Prior(), LearnedPrior(0.2, scale=0.1), LearnedPrior(0.4, scale=0.03))
COLUMNS = (
    "network", "network_error", "linearised", "linearised_error", "divergence", "information_gain",
    "effective_dimension", "norm",
)  # fmt: skip


@struct
class CertificateProbe(Probe):
    """Certified bounds of a network and of its linearisation at the declared steps of training, all valid at once.

    The examples that pay are those that training does not see. At each step, with theta the parameters then, columns

    - `network`: what the error of f(theta, .) is at most, by the exact binomial tail of `network_error`, its share of
      wrong signs on the examples that pay.
    - `linearised`: what the error of f(theta, .) + J v is at most, v drawn from a posterior that learns from the same
      examples (`bounds.linearised_network`), and `linearised_error`, its mean error on them; with `divergence`,
      `information_gain`, `effective_dimension` and `norm`, what was learned, in terms of the spectrum of J J'.
    - `certified`: whether nothing objects to the second. The first needs independent examples alone.

    delta is shared equally by the steps, step 0 among them, and by the two columns: with probability at least
    1 - delta all of them hold, so that a step may be picked by them. That is one run: of several runs, or branches of
    one history, each has a delta of its own, and one that is picked by these rows needs delta over their number. A
    network that is not finite leaves a row of nan.

    Args:
        f: f(params, x) -> (1,) for one example, or f(params, x, length) with lengths; f(params, state, x) where
            tracking began with a state.
        x: n examples, (n, ...), or a pytree of arrays with leading axis n.
        y: labels -1/+1, (n,).
        every: the steps at which to look, declared; a period is none, since nobody knows how often it comes.
        seen: indices of the examples that training sees, or that anything else about the run was chosen by; () where
            x was held out. They do not pay, and the linearised network learns from them first.
        lengths: of sequences, (n,).
        search: priors, inequalities and delta, as of `linearised_network`; of the error of drawn networks.
        trainable: which leaves move in J v, as of `empirical.NTK`.
        name: of the table.

    Raises:
        ValueError: a period, seen=None, other labels, a loss other than the zero-one loss; f of several outputs.

    Reference: langford2005tutorial; maurer2004; pac_bayes.4, pac_bayes.17.

    Example:
        >>> from ntkseq import models, training
        >>> x = jax.random.normal(jax.random.key(0), (200, 3))
        >>> y = jnp.sign(x[:, 0])
        >>> net = models.Dense(width=16)
        >>> probe = CertificateProbe(net.apply, x, y, every=(1,), seen=())
        >>> history = training.track([probe], net.init(jax.random.key(1), x[0]))
        >>> table = history["certificate"]
        >>> bool(table["certified"].all()), bool(table["linearised"].min() < 0.3)
        (True, True)
    """

    f: Any = static()
    x: Any
    y: Any
    every: Any = static()
    seen: Any
    lengths: Any = None
    search: Search = static(default=Search(priors=PRIORS))
    trainable: Any = static(default=None)
    name: str = static(default="certificate")

    kind = "certificate"

    def __post_init__(self) -> None:
        _checks.function("f", self.f, "f(params, x)")
        check_name(self.name)
        every = check_every(self.every)
        if isinstance(every, int):
            raise ValueError(f"every must be the steps at which to look, (100, 200); got {every}. They share delta.")
        _checks.kind("search", self.search, (Search,), "Pass bounds.Search(priors=...).")
        if self.search.predictor != "gibbs" or not isinstance(named(self.search.loss), ZeroOne):
            raise ValueError("search must be of the zero-one loss and of drawn functions, predictor='gibbs'.")
        x, n, lengths = check_examples("x", self.x, self.lengths)
        y = _checks.labels("y", self.y, n)
        if not np.isin(y, (-1.0, 1.0)).all():
            raise ValueError(f"y must hold class labels -1 and +1; got {_checks.shown(self.y)}.")
        if self.seen is None:
            raise ValueError("seen must name the examples that training sees, () for none; got None.")
        paying = unseen(self.seen, n)
        if not len(paying):
            raise ValueError(f"seen must leave an example to pay; got all {n}.")
        fill(self, x=x, y=y, lengths=lengths, every=every, seen=np.setdiff1d(np.arange(n), paying))

    @property
    def looks(self) -> int:
        """How many rows there will be at most: they share delta."""
        return len({0, *self.every})

    def about(self) -> dict[str, Any]:
        n = len(self.y)
        return super().about() | {"delta": self.search.delta, "examples": n, "paying": n - len(self.seen)}

    def measure(self, params: PyTree, start: PyTree, state: PyTree = None) -> PyTree:
        """The parameters, and the state: the gradients are taken on the host, one example at a time."""
        return jax.tree.map(jnp.asarray, _keys.laid_open((params, *beside(state))))

    def remember(self, first: PyTree) -> PyTree:
        return ()

    def reduce(self, measured: PyTree, memory: PyTree) -> dict[str, Any]:
        floats = [leaf for leaf in jax.tree.leaves(measured) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
        if not all(np.isfinite(leaf).all() for leaf in floats):
            return dict.fromkeys(COLUMNS, math.nan) | {"certified": False}
        params, *state = _keys.made_again(measured)
        f, trainable = self.f, self.trainable
        if state:
            f, params, trainable = Joint(f), (params, *state), partial(chosen, trainable)
        delta = self.search.delta / (2 * self.looks)
        try:
            said = linearised_network(
                f, params, self.x, self.y, seen=self.seen, search=dataclasses.replace(self.search, delta=delta),
                lengths=self.lengths, trainable=trainable,
            )  # fmt: skip
        except NotFinite:
            return dict.fromkeys(COLUMNS, math.nan) | {"certified": False}
        paying = np.setdiff1d(np.arange(len(self.y)), self.seen)
        wrong = int(np.sum(~(said.values[paying] * np.asarray(self.y)[paying] > 0)))
        at = said.constants
        return {
            "network": binomial_upper(wrong, len(paying), math.log(delta)),
            "network_error": wrong / len(paying),
            "linearised": said.value,
            "linearised_error": at.loss,
            "divergence": at.divergence,
            "information_gain": at.information_gain,
            "effective_dimension": at.effective_dimension,
            "norm": at.norm,
            "certified": said.certified,
        }
