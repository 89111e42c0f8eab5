"""How do the tangent kernel on some examples and its spectrum change while a network trains?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks
from ntkseq._calls import takes_length
from ntkseq._struct import fill, static, struct
from ntkseq._types import PyTree, Trainable
from ntkseq.empirical import NTK
from ntkseq.empirical.function import selected
from ntkseq.grams.base import DenseGram
from ntkseq.grams.facts import flat
from ntkseq.spectra.comparison import cosine, leading_angles, relative_distance
from ntkseq.spectra.dense import dense_spectrum
from ntkseq.spectra.full import FullSpectrum
from ntkseq.spectra.interval import Interval
from ntkseq.spectra.ranks import EffectiveRank
from ntkseq.spectra.ranks.short import as_ranks, several
from ntkseq.training.probes import Probe, beside, check_every, check_examples, check_name, host

MOST = 4096
"""Probe examples at most: every row takes all eigenvalues of their kernel."""
NOTHING = Interval(math.nan, math.nan, math.nan)
MEASURED = "measured at every example in another precision, not proved"
RANKS = ("entropy", "stable", "participation")
"""Effective ranks of a row, unless others are asked for."""


@struct
class KernelProbe(Probe):
    """The empirical tangent kernel K of a network on n probe examples, and what it says.

    Columns, a row per step:

    - `min_eigenvalue`, `min_eigenvalue_lower`, `min_eigenvalue_upper`: the least eigenvalue and an interval that holds
      the exact one (rounding of the kernel and of the solver); `resolved`: whether it excludes zero; `max_eigenvalue`,
      `max_eigenvalue_error`; `condition`; `trace`; `top`, `top_error` (k); `rounding`: upper estimate of |K - exact|.
    - `rank_entropy`, `rank_stable`, `rank_participation`, or those of `ranks`: each with `_lower` and `_upper`.
    - `distance`: |K - K_0|_F / |K_0|_F, with `distance_error`; `rotation`: the largest angle between the leading k
      eigenspaces now and at the start, radians, with `rotation_error` (pi / 2 where the k-th gap is not resolved).
    - `alignment`: <K, Y Y'> / (|K|_F |Y Y'|_F), with `alignment_error`; `alignment_residual`: the same with f - y in
      place of y. nan without y.
    - `sharpness`: largest eigenvalue over n. Of the loss mean |f - y|^2 / 2 on the probe examples, the Gauss-Newton
      part of the Hessian has at least this one.
    - `outputs` (n, o): those of the network on the probe examples.

    A network whose kernel is not finite any more, as after divergence, leaves a row of nan.

    Args:
        f: f(params, x) -> (o,) for one example, or f(params, x, length) with lengths; f(params, state, x) where
            tracking began with a state, in which no derivative is taken.
        x: n probe examples, at most 4096.
        y: their targets, (n,) or (n, o); those of the one output where `outputs` is an index.
        lengths: of the sequences, (n,).
        every: period in steps, or the steps.
        k: how many leading eigenvalues are kept, and span the space whose rotation is measured.
        outputs: "mean", the mean over outputs; "full", the matrix (n o, n o) of all outputs, of at most 4096 rows;
            "pseudo", their sum over sqrt(o); or an index; see `empirical.NTK`.
        trainable: which leaves count; see `empirical.NTK`.
        ranks: definitions of effective rank, objects of `spectra.ranks`, your own, or short names.
        name: of the table.

    Raises:
        ValueError: bad shapes, too many examples; what `empirical.NTK` says of f.

    Reference: cristianini2001 (alignment); the rest derived.
    """

    f: Any = static()
    x: Any
    y: Any = None
    lengths: Any = None
    every: Any = static(default=100)
    k: int = static(default=10)
    outputs: Any = static(default="mean")
    trainable: Any = static(default=None)
    ranks: str | EffectiveRank | Sequence[str | EffectiveRank] = static(default=RANKS)
    name: str = static(default="kernel")

    kind = "kernel"

    def __post_init__(self) -> None:
        _checks.function("f", self.f, "f(params, x)")
        fill(self, every=check_every(self.every))
        check_name(self.name)
        as_ranks(self.ranks, "ranks")
        fill(self, ranks=several(self.ranks))
        if self.outputs not in ("mean", "pseudo", "full") and not isinstance(self.outputs, int):
            raise ValueError(
                f'outputs must be "mean", "full", "pseudo" or an index; got {_checks.shown(self.outputs)}.'
            )
        x, n, lengths = check_examples("x", self.x, self.lengths, MOST)
        fill(self, x=x, lengths=lengths, k=min(_checks.positive_int("k", self.k), n))
        if self.y is not None:
            y = _checks.targets("y", self.y, n)
            fill(self, y=y.reshape(n, -1))

    @property
    def n(self) -> int:
        """The number of probe examples."""
        return jax.tree.leaves(self.x)[0].shape[0]

    def about(self) -> dict[str, Any]:
        return super().about() | {
            "n": self.n,
            "k": self.k,
            "outputs": self.outputs,
            "trainable": "function" if callable(self.trainable) else self.trainable,
        }

    def kernel(self, params: PyTree, state: PyTree = None) -> NTK:
        """The empirical kernel at these parameters."""
        if state is None:
            return NTK(self.f, params, outputs=self.outputs, trainable=self.trainable)
        trainable = partial(chosen, self.trainable)
        return NTK(Joint(self.f), (params, state), outputs=self.outputs, trainable=trainable)

    def measure(self, params: PyTree, start: PyTree, state: PyTree = None) -> dict[str, Array]:
        kernel = self.kernel(params, state)
        side = kernel.prepare(self.x, self.lengths)
        return {"K": kernel.square_side(side), "outputs": self.values(params, state)}

    def computed(self, params: PyTree, start: PyTree, state: PyTree = None) -> PyTree:
        """f at the first example and its derivative in what is trained: the equations of K depend on the device."""
        function = self.kernel(params, state).function
        one = jax.tree.map(lambda leaf: leaf[0], function.inputs(self.x, self.lengths))
        out, pull = jax.vjp(lambda weights: function.outputs_at(weights, one), function.weights)
        return out, pull(jnp.ones_like(out))

    def values(self, params: PyTree, state: PyTree = None) -> Float[Array, "n o"]:
        """The outputs of the network on the probe examples."""
        inputs = (self.x,) if self.lengths is None else (self.x, self.lengths)
        return jax.vmap(lambda *one: self.f(params, *beside(state), *one))(*inputs)

    def look(self, params: PyTree, start: PyTree, state: PyTree = None) -> PyTree:
        """With the kernel's rounding, measured at these parameters."""
        if not all_finite((params, state)):  # which empirical.NTK would refuse
            return super().look(params, start, state) | {"e": np.array(math.nan)}
        # piece by piece: each is compiled by itself, and a device without memory ends in smaller blocks
        kernel = self.kernel(params, state)
        side = kernel.prepare(self.x, self.lengths)
        found = host({"K": kernel.square_side(side), "outputs": _values(self, params, state)})
        if not np.isfinite(found["K"]).all():
            return found | {"e": np.array(math.nan)}
        return found | {"e": np.array(kernel.entry_rounding(side))}

    def remember(self, first: PyTree) -> PyTree:
        K = symmetric(first["K"])
        if len(K) > MOST:
            raise ValueError(
                f'outputs="full" makes a matrix of {len(K)} rows, and every row of the history takes all its '
                f"eigenvalues; at most {MOST}. Pass fewer probe examples."
            )
        gram = gram_of(K, float(first["e"]))
        if gram is None:
            raise ValueError(
                "the kernel at the initial parameters is not finite; look at the outputs of f on the probe examples."
            )
        return {"K": K, "e": float(first["e"]), "rounding": float(gram.rounding), "spectrum": dense_spectrum(gram)}

    def reduce(self, measured: PyTree, memory: PyTree) -> dict[str, Any]:
        # a tape has no e of its own: that of the start stands for it
        e = float(measured.get("e", memory["e"]))
        K, outputs = symmetric(measured["K"]), np.asarray(measured["outputs"], np.float64)
        gram = gram_of(K, e)
        if gram is None:
            return self._blank(outputs)
        eigen = dense_spectrum(gram)
        rounding = float(gram.rounding)
        least, largest = eigen.min_eigenvalue, eigen.max_eigenvalue
        row: dict[str, Any] = {
            "min_eigenvalue": least.estimate,
            "min_eigenvalue_lower": least.lower,
            "min_eigenvalue_upper": least.upper,
            "resolved": least.positive,
            "max_eigenvalue": largest.estimate,
            "max_eigenvalue_error": float(eigen.errors[0]),
            "condition": eigen.condition.estimate,
            "trace": eigen.trace,
            "top": eigen.values[: self.k],
            "top_error": eigen.errors[: self.k],
            "rounding": rounding,
            "sharpness": largest.estimate / self.n,
            "outputs": outputs,
        }
        return (
            row
            | _ranks(eigen, as_ranks(self.ranks, "ranks"))
            | _change(K, eigen, rounding, memory, self.k)
            | self._alignments(K, outputs, rounding)
        )

    def _alignments(self, K: np.ndarray, outputs: np.ndarray, rounding: float) -> dict[str, float]:
        found = {"alignment": math.nan, "alignment_residual": math.nan, "alignment_error": math.nan}
        if self.y is None:
            return found
        y = np.asarray(self.y, np.float64)
        if isinstance(self.outputs, int):
            outputs = outputs[:, self.outputs : self.outputs + 1]
        if y.shape != outputs.shape:
            raise ValueError(f"y must have the shape of the outputs, {outputs.shape}; got {y.shape}.")
        error = 0.0
        for name, targets in (("alignment", y), ("alignment_residual", outputs - y)):
            targets = targets.reshape(-1, 1) if self.outputs == "full" else targets
            product = targets @ targets.T
            if np.isfinite(product).all() and product.any():
                value = cosine(K, product, [rounding, 0.0])
                found[name] = value.estimate
                error = max(error, value.upper - value.estimate, value.estimate - value.lower)
        return found | {"alignment_error": error}

    def _blank(self, outputs: np.ndarray) -> dict[str, Any]:
        """The row of a kernel that is not finite."""
        names = (
            "min_eigenvalue",
            "min_eigenvalue_lower",
            "min_eigenvalue_upper",
            "max_eigenvalue",
            "max_eigenvalue_error",
            "condition",
            "trace",
            "rounding",
        )
        names += ("sharpness", "distance", "distance_error", "rotation", "rotation_error")
        names += ("alignment", "alignment_residual", "alignment_error")
        names += tuple(
            f"rank_{name}{end}" for name in as_ranks(self.ranks, "ranks") for end in ("", "_lower", "_upper")
        )
        top = np.full(self.k, math.nan)
        return dict.fromkeys(names, math.nan) | {"resolved": False, "top": top, "top_error": top, "outputs": outputs}


@jax.jit
def all_finite(params: PyTree) -> Array:
    """Whether every floating leaf is finite."""
    leaves = [leaf for leaf in jax.tree.leaves(params) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))


@jax.jit
def _values(probe: KernelProbe, params: PyTree, state: PyTree) -> Array:
    return probe.values(params, state)


@dataclasses.dataclass(frozen=True)
class Joint:
    """f(params, state, x) as a function of (params, state) and x."""

    f: Any

    def __call__(self, both: PyTree, *x: Any) -> Array:
        params, state = both
        return self.f(params, state, *x)

    def takes_length(self, before: int) -> bool:
        """Whether f takes a length; `before` counts (params, state) as one."""
        return takes_length(self.f, before + 1)


def chosen(trainable: Trainable, path: str) -> bool:
    """Whether a leaf of (params, state) is trained: those of the state never are."""
    return path.startswith("[0]") and selected(trainable, path.removeprefix("[0]") or "params")


def symmetric(K: np.ndarray) -> np.ndarray:
    """In float64, exactly symmetric; over all outputs as one matrix."""
    K = np.asarray(K, np.float64)
    K = flat(K) if K.ndim == 4 else K
    return 0.5 * (K + K.T)


def gram_of(K: np.ndarray, e: float) -> DenseGram | None:
    """With |E_ij| <= e sqrt(K_ii K_jj), so |E|_F <= e tr K; None if there is none."""
    if not np.isfinite(K).all() or not math.isfinite(e):
        return None
    rounding = e * float(np.trace(K))
    known = {"frobenius": True, "entrywise": e, "estimated": MEASURED}
    return DenseGram(K, rounding=rounding, **known)  # pyright: ignore[reportArgumentType]


def _ranks(eigen: FullSpectrum, ranks: dict[str, EffectiveRank]) -> dict[str, float]:
    row = {}
    for name, rank in ranks.items():
        known = eigen.effective_rank_interval(rank) if eigen.semidefinite else NOTHING
        row |= {f"rank_{name}{end}": value for end, value in (
            ("", known.estimate), ("_lower", known.lower), ("_upper", known.upper)
        )}  # fmt: skip
    return row


def _change(K: np.ndarray, eigen: FullSpectrum, rounding: float, memory: PyTree, k: int) -> dict[str, float]:
    first: FullSpectrum = memory["spectrum"]
    away = relative_distance(K, memory["K"], [rounding, memory["rounding"]]) if first.norm_fro > 0 else None
    angles, error = leading_angles(eigen, first, k)
    return {
        "distance": away.estimate if away else math.nan,
        "distance_error": max(away.upper - away.estimate, away.estimate - away.lower) if away else math.nan,
        "rotation": float(angles[-1]),
        "rotation_error": error,
    }
