"""How is a network trained to add, and what do its kernels hold meanwhile?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
import optax
from jaxtyping import Bool, Float, Int

from ntkseq import training
from ntkseq._types import Optimizer
from ntkseq.studies.grokking.moments import Moment, first
from ntkseq.studies.grokking.networks import Network, Sums, characters, frequency
from ntkseq.training import sgd

CHANCE = 0.05
"""Probability that random eigenspaces, of all layers and records of a run, rise above the floor anywhere."""
WATCHED = 100
"""Times at which answers are counted."""
HALF = 0.5
"""Overlap from which on a frequency is said to be held."""


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """One network, trained from one seed.

    Attributes:
        watched: steps at which answers were counted, from 0 on.
        train, test: shares of correct answers there.
        steps: at which kernels were looked at, from 0 on.
        layers, features: names of the axes of what follows.
        overlap, lower, upper: overlaps of the leading eigenspaces with the features, and their intervals.
        floor: of each feature.
        resolved: whether the eigenspace is told from what follows it.
        k: its dimension.
        diverged_at: step, or None.
    """

    watched: Int[np.ndarray, " w"]
    train: Float[np.ndarray, " w"]
    test: Float[np.ndarray, " w"]
    steps: Int[np.ndarray, " r"]
    layers: tuple[str, ...]
    features: tuple[str, ...]
    overlap: Float[np.ndarray, "r layers features"]
    lower: Float[np.ndarray, "r layers features"]
    upper: Float[np.ndarray, "r layers features"]
    floor: Float[np.ndarray, " features"]
    resolved: Bool[np.ndarray, "r layers"]
    k: int
    diverged_at: int | None

    def memorised(self, accuracy: float) -> Moment:
        """When the training pairs were learned."""
        return first(self.watched, self.train >= accuracy)

    def generalised(self, accuracy: float) -> Moment:
        """When the test pairs were."""
        return first(self.watched, self.test >= accuracy)

    def rose(self, layer: str, feature: str = "a + b") -> Moment:
        """When the overlap of a layer with a feature was certainly above its floor."""
        i, j = self.layers.index(layer), self.features.index(feature)
        return first(self.steps, self.lower[:, i, j] > self.floor[j])

    def held(self, layer: str) -> list[int]:
        """The frequencies of a + b that the layer certainly holds in the end."""
        i, row = self.layers.index(layer), self.lower[-1]
        every = [f for f in range(1, len(self.features) + 1) if frequency(f) in self.features]
        return [f for f in every if row[i, self.features.index(frequency(f))] > HALF]


def records(steps: int, count: int) -> tuple[int, ...]:
    """So many steps at which to look, 0 and others evenly spaced in their logarithm up to the last; the first is 20.

    Example:
        >>> records(1280, 5)
        (0, 20, 80, 320, 1280)
    """
    return (0, *sorted({round(float(step)) for step in np.geomspace(min(20, steps), steps, max(count - 1, 1))}))


def optimizer(network: Network, lr: float, decay: float) -> Optimizer:
    """AdamW as the network wants it, its learning rate and weight decay times these factors."""
    return optax.adamw(lr * network.lr, b2=0.98, weight_decay=decay * network.decay)


def trained(
    network: Network, data: Sums, p: int, opt: Optimizer, *, steps: int, look: Sequence[int], seed: int
) -> Outcome:
    """Train a network from one seed, and look at its kernels on all pairs."""
    start, order = jax.random.split(jax.random.key(seed))
    y = network.targets(data.y, p)
    sets = {name: (data.x[rows], y[rows]) for name, rows in (("train", data.train), ("test", data.test))}
    level = 1.0 - CHANCE / (len(look) * (len(network.layers) + 1))
    probe = training.FeatureProbe(
        network.f, data.x, characters(p), layers=dict(network.layers), k=network.k, every=tuple(look), level=level
    )
    probes = [
        training.LossProbe(network.f, sets, loss=network.loss, every=max(1, steps // WATCHED)),
        probe,
    ]
    run = sgd.train(
        network.f, network.init(start), sets["train"], optimizer=opt, loss=network.loss, batch=None, steps=steps,
        key=order, probes=probes,
    )  # fmt: skip
    assert run.history is not None
    loss, seen = run.history["loss"], run.history["features"]
    return Outcome(
        loss.steps, 1.0 - loss["train_error"], 1.0 - loss["test_error"], seen.steps, probe.layer_names,
        probe.feature_names, seen["overlap"], seen["overlap_lower"], seen["overlap_upper"], seen["floor"][0, 0],
        seen["resolved"], probe.k, run.diverged_at,
    )  # fmt: skip
