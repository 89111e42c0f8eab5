"""How often does a linearised network err on new examples? Its kernel is exact for its gradients as computed."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ntkseq import _checks
from ntkseq._bound import Assumption, Bound
from ntkseq._types import AnyFunction, ArrayLike, Flag, Inputs, Key, Lengths, PyTree, Trainable
from ntkseq.bounds import network_inputs as given
from ntkseq.bounds.assumptions import independent
from ntkseq.bounds.gibbs import PacBayesConstants, named, rows_of
from ntkseq.bounds.outputs import reading, shown
from ntkseq.bounds.processes import LearnedPrior, Prior
from ntkseq.bounds.search import Search
from ntkseq.bounds.system import system
from ntkseq.empirical.function import Function, function
from ntkseq.empirical.gradients import features, products, repeats
from ntkseq.grams.base import DenseGram
from ntkseq.grams.digits import in_norm


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class LinearisedBound(Bound[PacBayesConstants]):
    """A `Bound` of the expected loss of a linearised network, and that network.

    Attributes:
        function: f at the parameters.
        gradients: J of all examples as computed, (n, p); the w of an example together, (n w, p), for w coordinates.
        values: f of all examples as computed, (n,), or (n, o) of o outputs; of classes less the mean over outputs.
        centred: whether f itself is left out.
        vertices: of classes their coordinates, (o, w): f less its mean over outputs is half of them times J v.
    """

    function: Function | None = None
    gradients: Any = None
    values: Any = None
    centred: bool = False
    vertices: Any = None

    def mean(self, x: Inputs, *, lengths: Lengths = None) -> Float[np.ndarray, "q ..."]:
        """The mean of the predictor at queries, (q,): f(params, x) + J(x) times the mean change of the weights.

        Of o outputs (q, o); of classes what is left of it after its mean over outputs, which no largest output knows.

        Args:
            x: q inputs, as f takes them.
            lengths: of sequences, (q,).
        """
        values, cross, _ = self._at(x, lengths)
        return shown(values + np.asarray(self.constants.predictor.mean(cross)).reshape(values.shape), self.vertices)

    def draw(self, x: Inputs, key: Key, *, lengths: Lengths = None) -> Float[np.ndarray, "q ..."]:
        """The values at the queries of one linearised network, its weights drawn from the posterior, as of `mean`.

        Args:
            x: q inputs, as f takes them.
            key: of the draw.
            lengths: of sequences, (q,).

        Raises:
            ValueError: something that is no key; inputs that f does not take.
        """
        key = _checks.prng_key("key", key)
        values, cross, rows = self._at(x, lengths)
        drawn = self.constants.predictor.draw(cross, products(rows)[0], key)
        return shown(values + drawn.reshape(values.shape), self.vertices)

    def variance(self, x: Inputs, *, lengths: Lengths = None) -> Float[np.ndarray, "q ..."]:
        """The variance of a drawn network at queries, (q,); of o outputs their covariance at each, (q, o, o).

        Args:
            x: q inputs, as f takes them.
            lengths: of sequences, (q,).
        """
        values, cross, rows = self._at(x, lengths)
        if self.vertices is None and values.shape[1] == 1:
            own = np.einsum("qp,qp->q", rows, rows, dtype=np.float64)
            return self.constants.predictor.variance(cross, own)
        each = rows.reshape(*values.shape, -1)
        own = np.einsum("qvp,qwp->qvw", each, each, dtype=np.float64)
        covariance = self.constants.predictor.covariance(cross, own)
        half = np.eye(values.shape[1]) if self.vertices is None else 0.5 * self.vertices
        return half @ covariance @ half.T

    def _at(self, x: Inputs, lengths: Lengths) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        assert self.function is not None
        _outside(x)
        values, rows = features(self.function, self.function.inputs(x, lengths), self.vertices)
        return 0.0 * values if self.centred else values, products(rows, self.gradients)[0], rows


def linearised_network(
    f: AnyFunction,
    params: PyTree,
    x: Inputs,
    y: ArrayLike,
    *,
    seen: ArrayLike | None,
    search: Search = Search(),  # noqa: B008 - frozen
    centred: Flag = False,
    units: ArrayLike | None = None,
    lengths: Lengths = None,
    trainable: Trainable = None,
    rates: PyTree = None,
) -> LinearisedBound:
    """Bound the expected loss of a linearised network, rigorously: PAC-Bayes with the empirical tangent kernel.

        f(params, x) + J(x) v,      J the gradient of f in params,  v from N(0, c I) in the prior

    is a Gaussian process with covariance c J(x)J(x')', the empirical kernel, around f(params, .). It is the bound of
    `pac_bayes`, the least of a declared `search`, and its terms are the spectrum of J J'.

    The kernel is that of the gradients *as computed*: whatever float arithmetic made of a gradient, it is a feature of
    the example, and the inner product of features is a kernel. No rounding of a gradient has to be known, only that of
    the inner products, which is proved. For that, a gradient must depend on its example alone: every example goes
    through one program by itself, here and in `mean` and `draw`.

    Several outputs are correlated as their gradients are: the kernel is the full one, between outputs too. The loss
    "argmax" is of the largest output, as the class; two classes are one output, the second less the first. Drawn
    outputs are wrong where a margin is not positive, whose probability has an upper estimate (pac_bayes.22). Losses of
    numbers, "absolute" and "squared", are averaged over outputs.

    params may have been trained. Rows that they have seen do not pay: they belong to the prior, which learns from them
    (and takes the size of its kernel from them).

    Args:
        f: f(params, x) -> (o,) for one example; see `interop.flax.function` and `interop.equinox.function`.
        params: any pytree of arrays, as drawn at the start, or trained on the examples in `seen` only.
        x: all examples, (n, ...), or a pytree of arrays with leading axis n.
        y: labels -1/+1, (n,), for one output; for the loss "argmax" classes 0..o-1, (n,), or one-hot rows, (n, o);
            numbers, (n,) or (n, o), for the loss "absolute" or "squared".
        seen: indices of the examples that params have looked at, directly or through choices that were made with
            them; () for none. None: nobody knows, and nothing is certified.
        search: priors, inequalities, loss, delta and predictor. The scale of a `Prior` counts unless `centred`.
        centred: f itself is left out, and the predictor is J(x) v: for params that were drawn, whose f is noise.
        units: which rows are of one independent unit, as of `pac_bayes`.
        lengths: of sequences, (n,), for an f(params, x, length).
        trainable, rates: which leaves move, and how fast, as of `empirical.NTK`.

    Returns:
        LinearisedBound: a `Bound` with `mean(x)` and `draw(x, key)`.

    Raises:
        ValueError: labels or a loss that do not fit the outputs of f, shapes or options that do not fit, gradients
            that are not finite or do not fit into memory.

    Reference: maurer2004; the argument and the rounding: pac_bayes.15 and pac_bayes.16; classes: slepian1962,
    pac_bayes.19 to 22.

    Example:
        >>> import jax
        >>> from ntkseq import models
        >>> x = jax.random.normal(jax.random.key(0), (300, 3))
        >>> net = models.Dense(width=32)
        >>> params = net.init(jax.random.key(1), x[0])
        >>> said = linearised_network(net.apply, params, x, jax.numpy.sign(x[:, 0]), seen=(), centred=True)
        >>> said.certified, said.value < 0.25, said.mean(x[:2]).shape
        (True, True, (2,))
    """
    _checks.kind("search", search, (Search,), "Pass bounds.Search(priors=...).")
    if len(search.kernels) > 1:
        raise ValueError(f"search must have one kernel, that of the network; got {list(search.kernels)}.")
    loss, centred = named(search.loss), _checks.flag("centred", centred)
    _outside(x)
    for leaf in jax.tree.leaves(params):
        _checks.outside("params", leaf, "")
    made = function(f, params, trainable, rates)
    inputs = made.inputs(x, lengths)
    n, outputs = len(jax.tree.leaves(inputs)[0]), made.width(inputs)
    which, paying = rows_of(units, n), given.unseen(seen, n)
    read = reading(y, n, outputs, loss)
    before = np.setdiff1d(np.arange(n), paying)
    if np.isin(which, which[before]).all():
        raise ValueError(f"seen and units must leave a unit to pay; got {len(before)} rows seen, of every unit.")
    values, rows = features(made, inputs, read.vertices)
    K, e = products(rows)
    size = math.inf if e is None else in_norm(e, float(np.trace(K)))
    known = system(DenseGram(K, size, frobenius=True, entrywise=e), read.targets, vectors=True)
    known = read.system(known, None if centred else values)
    priors = tuple(_with(one, before, which) for one in search.priors)
    declared = dataclasses.replace(search, priors=priors, loss=read.loss)
    best = declared.searched({declared.kernels[0]: known}, which)[0]
    again = repeats(made, inputs, values, rows, read.vertices)
    around = "" if centred else "f(params, x) + "
    # K as computed may differ in the last bit between rows of equal examples: these are looked for themselves
    drawn = independent(given.copies(inputs, read.targets.reshape(n, -1), paying))
    assumptions = [drawn if one.name == drawn.name else one for one in best.assumptions if one.name != "blind prior"]
    assumptions += [_blind(seen, len(before), best.constants.n), _alone(again)]
    parts = {one.name: getattr(best, one.name) for one in dataclasses.fields(Bound)}
    parts |= {
        "name": f"{best.name}, of a linearised network",
        "quantity": read.quantity(best.quantity, search.predictor),
        "assumptions": tuple(assumptions),
        "references": (*best.references, *read.references),
        "applies_to": f"{around}J(x) v, J the gradients as this program computes them; {read.words(best.applies_to)}",
    }
    values = shown(values, read.vertices)
    return LinearisedBound(
        **parts, function=made, gradients=rows, values=values, centred=centred, vertices=read.vertices
    )


def _outside(x: Inputs) -> None:
    for leaf in jax.tree.leaves(x):
        _checks.outside("x", leaf, "")


def _with(prior: Prior | LearnedPrior, seen: np.ndarray, units: np.ndarray) -> Prior | LearnedPrior:
    """The prior after it has learned from the rows that params have seen, and its share of the other units."""
    if not len(seen):
        return prior
    if isinstance(prior, Prior):
        return LearnedPrior(examples=seen, scale=prior.scale)
    if prior.examples is not None:
        return dataclasses.replace(prior, examples=np.union1d(seen, prior.examples))
    rest = np.flatnonzero(~np.isin(units, units[seen]))
    others = np.unique(units[rest], return_inverse=True)[1]
    if not len(rest) or not prior.divides(others):  # `split` says so where nothing is left to pay
        return dataclasses.replace(prior, examples=seen)
    first, _ = prior.split(others)
    return dataclasses.replace(prior, examples=np.union1d(seen, rest[first]))


def _blind(seen: object, count: int, n: int) -> Assumption:
    others = f"; they have looked at {count} others" if count else ""
    return Assumption(
        "blind prior",
        f"params, and the prior, have seen neither inputs nor labels of the {n} examples that pay{others}",
        "unchecked" if seen is None else "declared",
        "seen=None: nobody knows which examples params have looked at" if seen is None else "",
    )


def _alone(again: str) -> Assumption:
    return Assumption(
        "gradients",
        "the output and the gradient of an example, as computed, depend on that example alone",
        "unresolved" if again else "declared",
        again or "one program, one example at a time; some were made again, and came out the same bit for bit",
    )
