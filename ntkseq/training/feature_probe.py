"""Which given features do the leading eigenvectors of a tangent kernel span, by layer, while a network trains?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _checks
from ntkseq._struct import fill, static, struct
from ntkseq._types import PyTree
from ntkseq.empirical import NTK
from ntkseq.empirical.function import check_outputs, function, selected
from ntkseq.grams.centred import centred
from ntkseq.spectra import features as spans
from ntkseq.spectra.dense import dense_spectrum
from ntkseq.training.kernel_probe import MOST, Joint, all_finite, chosen, gram_of, symmetric
from ntkseq.training.probes import Probe, check_every, check_examples, check_name, host

_EPS = float(np.finfo(np.float64).eps)
WHOLE = "all"
"""The name of the kernel of all leaves together."""


@struct
class FeatureProbe(Probe):
    """Overlap of the leading eigenspaces of the tangent kernel on n probe examples with given features, by layer.

    Columns, of shape (layers, features) a row, in the order of `layer_names` and `feature_names`:

    - `overlap`, `overlap_lower`, `overlap_upper`: as `spectra.feature_overlap` gives it, with the interval that holds
      that of the exact kernel (its rounding is measured, not proved);
    - `floor`: what a uniformly random eigenspace stays below with probability `level`, rounded up; `above`: whether
      the overlap is certainly larger;
    - `resolved` (layers,): whether eigenvalue k is told from the next one.

    The kernel of a layer is the part of the tangent kernel that its leaves make; they add up to the kernel of all. A
    kernel that is not finite any more leaves a row of nan.

    Args:
        f: f(params, x) -> (o,) for one example, or f(params, x, length) with lengths; f(params, state, x) where
            tracking began with a state.
        x: n probe examples, at most 4096.
        features: {name: (n,) or (n, r)}, what is looked for; of each only its span counts.
        layers: {name: leaves}, a regular expression of paths each, as `trainable` of `empirical.NTK`; with all leaves
            together as "all" in addition. None: "all" alone.
        lengths: of the sequences, (n,).
        every: period in steps, or the steps.
        k: how many leading eigenvectors. Choose it where the spectrum has a gap that is to be seen.
        centre: take the mean over the examples out of kernels and features.
        level: of the floor, of one overlap. Where many are looked at, their chances to be above by luck add up.
        outputs: "mean", "pseudo", or an index; see `empirical.NTK`.
        name: of the table.

    Raises:
        ValueError: bad shapes, no features, features that span nothing, a k that there is not.

    Reference: davis1970, edelman2008jacobi; see `spectra.feature_overlap`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import models, training
        >>> net = models.Recurrent(width=16)
        >>> x = jax.random.normal(jax.random.key(0), (9, 4, 2))
        >>> probe = training.FeatureProbe(net.apply, x, {"last": x[:, -1]}, layers={"recurrent": "'W'"}, k=2)
        >>> table = training.track([probe], net.init(jax.random.key(1), x[0]))["features"]
        >>> probe.layer_names, table["overlap"].shape
        (('recurrent', 'all'), (1, 2, 1))
    """

    f: Any = static()
    x: Any
    features: Any
    layers: Any = static(default=None)
    lengths: Any = None
    every: Any = static(default=100)
    k: int = static(default=10)
    centre: bool = static(default=True)
    level: float = static(default=0.99)
    outputs: Any = static(default="mean")
    name: str = static(default="features")
    feature_names: tuple[str, ...] = static(default=(), init=False)
    """In the order of the columns."""

    kind = "features"

    def __post_init__(self) -> None:
        _checks.function("f", self.f, "f(params, x)")
        fill(self, every=check_every(self.every))
        check_name(self.name)
        _checks.flag("centre", self.centre)
        fill(self, outputs=check_outputs(self.outputs))
        if self.outputs in ("full", "diagonal"):
            raise ValueError(f'outputs must be "mean", "pseudo" or an index; got {self.outputs!r}.')
        x, n, lengths = check_examples("x", self.x, self.lengths, MOST)
        k, most = _checks.positive_int("k", self.k), n - self.centre
        if k > most:
            raise ValueError(f"k must be at most {most}, the dimensions that {n} probe examples leave; got {k}.")
        given = _named("features", self.features)
        for name, one in given.items():
            spans.span(one, n, self.centre, f"features[{name!r}]")
        layers = {} if self.layers is None else _named("layers", self.layers)
        if WHOLE in layers:
            raise ValueError(f"layers must not be named {WHOLE!r}, which is the kernel of all leaves; got one.")
        fill(
            self, x=x, lengths=lengths, k=k, level=_checks.probability("level", self.level),
            feature_names=tuple(given), features=tuple(np.asarray(one) for one in given.values()),
            layers=tuple(layers.items()),
        )  # fmt: skip

    @property
    def layer_names(self) -> tuple[str, ...]:
        """In the order of the columns."""
        return (*(name for name, _ in self.layers), WHOLE)

    def about(self) -> dict[str, Any]:
        return super().about() | {
            "n": jax.tree.leaves(self.x)[0].shape[0],
            "k": self.k,
            "centre": self.centre,
            "level": self.level,
            "outputs": self.outputs,
            "layers": list(self.layer_names),
            "features": list(self.feature_names),
        }

    def kernels(self, params: PyTree, state: PyTree = None) -> list[NTK]:
        """The kernel of each layer at these parameters, and of the leaves that are in none, if there are any.

        Raises:
            ValueError: a leaf in two layers; a layer without a leaf.
        """
        f, both = (self.f, params) if state is None else (Joint(self.f), (params, state))
        wrap = (lambda leaves: leaves) if state is None else (lambda leaves: partial(chosen, leaves))
        every = function(f, both, wrap(None)).names
        wanted = [leaves for _, leaves in self.layers]
        times = {path: sum(selected(wrap(leaves), path) for leaves in wanted) for path in every}
        if twice := [path for path, count in times.items() if count > 1]:
            raise ValueError(f"layers must share no leaf, they add up to the whole kernel; {twice[0]} is in two.")
        if not all(times.values()):
            wanted.append(lambda path: not any(selected(leaves, path) for _, leaves in self.layers))
        return [NTK(f, both, outputs=self.outputs, trainable=wrap(leaves)) for leaves in wanted]

    def measure(self, params: PyTree, start: PyTree, state: PyTree = None) -> dict[str, Any]:
        kernels = self.kernels(params, state)
        return {"K": tuple(one.square_side(one.prepare(self.x, self.lengths)) for one in kernels)}

    def computed(self, params: PyTree, start: PyTree, state: PyTree = None) -> PyTree:
        """f at the first example and its derivative in every layer: the equations of K depend on the device."""
        found = []
        for kernel in self.kernels(params, state):
            function = kernel.function
            one = jax.tree.map(lambda leaf: leaf[0], function.inputs(self.x, self.lengths))
            out, pull = jax.vjp(partial(function.outputs_at, x=one), function.weights)
            found.append((out, pull(jnp.ones_like(out))))
        return found

    def look(self, params: PyTree, start: PyTree, state: PyTree = None) -> PyTree:
        """With the rounding of each kernel, measured at these parameters."""
        if not all_finite((params, state)):  # which empirical.NTK would refuse
            found = super().look(params, start, state)
            return found | {"e": np.full(len(found["K"]), math.nan)}
        found, errors = [], []
        for kernel in self.kernels(params, state):
            side = kernel.prepare(self.x, self.lengths)
            found.append(host(kernel.square_side(side)))
            errors.append(kernel.entry_rounding(side) if np.isfinite(found[-1]).all() else math.nan)
        return {"K": tuple(found), "e": np.array(errors)}

    def remember(self, first: PyTree) -> PyTree:
        n = jax.tree.leaves(self.x)[0].shape[0]
        spanned = [spans.span(one, n, self.centre) for one in self.features]
        return {"e": np.asarray(first["e"], np.float64), "spans": spanned}

    def reduce(self, measured: PyTree, memory: PyTree) -> dict[str, Any]:
        # a tape has no e of its own: that of the start stands for it
        errors = np.asarray(measured.get("e", memory["e"]), np.float64)
        parts = [symmetric(K) for K in measured["K"]]
        # |error of the sum| <= sum_l e_l sqrt(K^l_ii K^l_jj) <= max e sqrt(K_ii K_jj), by Cauchy and Schwarz
        kernels = [*parts[: len(self.layers)], sum(parts[1:], parts[0])]
        errors = [*errors[: len(self.layers)], float(np.max(errors)) + len(parts) * _EPS]
        shape = (len(kernels), len(self.features))
        row: dict[str, Any] = {name: np.full(shape, math.nan) for name in ("overlap", "overlap_lower", "overlap_upper")}
        row |= {"floor": np.full(shape, math.nan), "above": np.zeros(shape, bool)}
        row |= {"resolved": np.zeros(shape[0], bool)}
        for i, (K, e) in enumerate(zip(kernels, errors, strict=True)):
            gram = gram_of(K, float(e))
            if gram is None:
                continue
            eigen = dense_spectrum(centred(gram) if self.centre else gram)
            for j, features in enumerate(memory["spans"]):
                found = spans.overlap(eigen, features, k=self.k, centre=self.centre, level=self.level)
                row["overlap"][i, j], row["floor"][i, j] = found.overlap.estimate, found.floor.upper
                row["overlap_lower"][i, j], row["overlap_upper"][i, j] = found.overlap.lower, found.overlap.upper
                row["above"][i, j], row["resolved"][i] = found.above, found.resolved
        return row


def _named(name: str, given: Any) -> dict[str, Any]:
    """A dictionary with one name or more.

    Raises:
        ValueError: none, or a key that is no text.
    """
    if not isinstance(given, Mapping) or not given:
        raise ValueError(f"{name} must be a dictionary with one name or more; got {_checks.shown(given)}.")
    for key in given:
        _checks.text(f"a name in {name}", key)
    return dict(given)
