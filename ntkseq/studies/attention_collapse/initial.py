"""What are attention matrices and the tangent kernel at the start? At infinite width, and of finite networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntkseq import blocks, empirical, kernels, models
from ntkseq._types import AnyArray, AnyFunction, GramLike, Number, PyTree
from ntkseq.grams import audit, gram
from ntkseq.spectra import Interval, attention_ranks, effective_ranks, spectrum
from ntkseq.spectra.ranks import Participation, Tail
from ntkseq.studies.tangent.inputs import Part

KINDS = ("entropy", "stable", "participation")
EPS = 1e-3
"""Of LayerNorm: a token of zeros stays one."""
SHARE = 0.5
"""Of the variance of tokens, that of their positions."""
HEADS = 4


@dataclasses.dataclass(frozen=True)
class Shape:
    """An architecture but for depth and temperature.

    Attributes:
        mask: "none", or "causal": a token sees itself and those before.
        skip: whether attention is added to its input.
    """

    mask: str
    skip: bool

    def __str__(self) -> str:
        return f"{'causal' if self.mask == 'causal' else 'no'} mask, {'with' if self.skip else 'without'} skip"

    @property
    def name(self) -> str:
        """A word."""
        return f"{self.mask}-{'skip' if self.skip else 'plain'}"

    def parts(self, depth: int, sigma: Number) -> tuple[Any, ...]:
        """Linear, positions, LayerNorm; `depth` times attention and LayerNorm; a layer of relu."""
        attention = blocks.Attention(sigma_qk=sigma, causal=self.mask == "causal")
        once = (blocks.Residual(attention) if self.skip else attention, blocks.LayerNorm(eps=EPS))
        start = (blocks.Linear(), blocks.Positions(SHARE), blocks.LayerNorm(eps=EPS))
        return (*start, *once * depth, blocks.Linear(2**0.5), "relu")


@dataclasses.dataclass(frozen=True, eq=False)
class Layers:
    """Attention by layer, means over examples (and heads, and seeds): kind -> (depth,).

    Attributes:
        width: None for infinite width.
        ranks: effective ranks, by `KINDS`.
        residual: |A - 1a'| / |A|, a the mean row.
        spread: of the entropy rank over seeds, its standard deviation; 0 at infinite width, nan for one seed.
    """

    width: int | None
    ranks: dict[str, Float[np.ndarray, " depth"]]
    residual: Float[np.ndarray, " depth"]
    spread: Float[np.ndarray, " depth"]


@dataclasses.dataclass(frozen=True, eq=False)
class Kernel:
    """The spectrum of the tangent kernel of one network, or of the limit.

    Attributes:
        width, seed: None at infinite width.
        depth: attention blocks.
        least: least eigenvalue over the mean one, with the interval of its rounding.
        entropy: effective rank, with its interval.
        rest: R_1, the effective rank without the largest eigenvalue, which is mostly that of constant functions.
        distance: |K - K_infinite| / |K_infinite|, Frobenius; 0 at infinite width.
        eigenvalues: descending, not divided.
    """

    width: int | None
    seed: int | None
    depth: int
    least: Interval
    entropy: Interval
    rest: Interval
    distance: float
    eigenvalues: Float[np.ndarray, " n"]


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """One shape at one temperature."""

    shape: Shape
    sigma: float
    layers: tuple[Layers, ...]
    kernels: tuple[Kernel, ...]

    def limit(self, depth: int) -> Kernel:
        """The kernel at infinite width."""
        return next(k for k in self.kernels if k.width is None and k.depth == depth)

    def finite(self, depth: int, width: int) -> tuple[Kernel, ...]:
        """Those of finite networks, one per seed."""
        return tuple(k for k in self.kernels if k.width == width and k.depth == depth)

    def attention(self, width: int | None) -> Layers:
        """Attention at a width."""
        return next(one for one in self.layers if one.width == width)


def measure(
    shape: Shape, part: Part, *, sigmas: tuple[float, ...], depths: tuple[int, ...], widths: tuple[int, ...],
    seeds: int, seed: int,
) -> list[Cell]:  # fmt: skip
    """One shape at all temperatures: programs are compiled once for all of them."""
    layers: dict[float, list[Layers]] = {sigma: [] for sigma in sigmas}
    found: dict[float, list[Kernel]] = {sigma: [] for sigma in sigmas}
    for sigma in sigmas:
        layers[sigma].append(limit_layers(shape, part, sigma, max(depths)))
    for width in widths:
        attention = _attention(shape, max(depths), width)
        params = [_start(shape, max(depths), width, part, seed + i) for i in range(seeds)]
        for sigma in sigmas:
            layers[sigma].append(_finite_layers(attention, width, params, sigma, part))
    for depth in depths:
        exact = {sigma: _limit(shape, depth, sigma, part) for sigma in sigmas}
        for sigma, K in exact.items():
            found[sigma].append(_kernel(K, None, None, depth, K))
        for width in widths:
            f = _function(shape, depth, width)
            for i in range(seeds):
                start = _start(shape, depth, width, part, seed + i)
                for sigma in sigmas:
                    at = {"net": start, "sigma": jnp.asarray(sigma, part.x.dtype)}
                    K = gram(empirical.NTK(f, at, trainable="net"), part.x, lengths=part.lengths)
                    found[sigma].append(_kernel(K, width, seed + i, depth, exact[sigma]))
    return [Cell(shape, sigma, tuple(layers[sigma]), tuple(found[sigma])) for sigma in sigmas]


def limit_attention(
    shape: Shape, x: Float[np.ndarray, "t d"], sigma: float, depth: int
) -> Float[np.ndarray, "depth t t"]:
    """The attention matrices of one sequence at infinite width, in float64.

        kap = x x'/d;   kap <- (1 - share) kap + share I;   kap <- kap_ab / sqrt((kap_aa + eps)(kap_bb + eps))
        A = softmax(sigma kap) over the tokens seen;   kap <- A kap A', plus kap with skip;   normalised again

    Reference: hron2020attention; the recursion of `kernels.Serial` for these blocks.
    """
    x = np.asarray(x, np.float64)
    t, d = x.shape
    seen = np.tril(np.ones((t, t), bool)) if shape.mask == "causal" else np.ones((t, t), bool)
    kap = _normalised((1 - SHARE) * x @ x.T / d + SHARE * np.eye(t))
    found = []
    for _ in range(depth):
        scores = np.where(seen, sigma * kap, -np.inf)
        A = np.exp(scores - scores.max(axis=1, keepdims=True))
        A = A / A.sum(axis=1, keepdims=True)
        kap = _normalised(A @ kap @ A.T + (kap if shape.skip else 0.0))
        found.append(A)
    return np.stack(found)


def limit_layers(shape: Shape, part: Part, sigma: float, depth: int) -> Layers:
    """Ranks and residuals of `limit_attention`, means over the examples."""
    n, t = part.x.shape[:2]
    lengths = np.full(n, t) if part.lengths is None else part.lengths
    A = np.zeros((n, depth, t, t))
    for i, size in enumerate(lengths):
        A[i, :, :size, :size] = limit_attention(shape, part.x[i, :size], sigma, depth)
    inside = (np.arange(t) < lengths[:, None])[:, None, :, None]
    mean_row = A.sum(axis=2, keepdims=True) / lengths[:, None, None, None]
    apart = np.where(inside, A - mean_row, 0)
    residual = np.linalg.norm(apart, axis=(2, 3)) / np.linalg.norm(A, axis=(2, 3))
    held = jnp.asarray(A, jnp.result_type(float))
    ranks = {kind: np.asarray(effective_ranks(held, kind), np.float64).mean(axis=0) for kind in KINDS}
    return Layers(None, ranks, residual.mean(axis=0), np.zeros(depth))


def _normalised(kap: np.ndarray) -> np.ndarray:
    scale = 1 / np.sqrt(np.diag(kap) + EPS)
    return kap * scale[:, None] * scale[None, :]


def _network(shape: Shape, depth: int, width: int, sigma: Number) -> models.Serial:
    return models.Serial(*shape.parts(depth, sigma), width=width, heads=HEADS)


def _function(shape: Shape, depth: int, width: int) -> Callable[..., Any]:
    """f with sigma among its parameters: one program for all temperatures."""

    def f(at: PyTree, x: AnyArray, length: Number | None = None) -> Any:
        return _network(shape, depth, width, at["sigma"]).apply(at["net"], x, length)

    return f


def _attention(shape: Shape, depth: int, width: int) -> Callable[..., Any]:
    def attention(at: PyTree, x: AnyArray, length: Number | None = None) -> Any:
        return _network(shape, depth, width, at["sigma"]).attention_weights(at["net"], x, length)

    return attention


def _start(shape: Shape, depth: int, width: int, part: Part, seed: int) -> Any:
    return _network(shape, depth, width, 1.0).init(jax.random.key(seed), part.x[0])


def _finite_layers(attention: AnyFunction, width: int, params: list[Any], sigma: float, part: Part) -> Layers:
    found = [
        attention_ranks(
            attention,
            {"net": net, "sigma": jnp.asarray(sigma, part.x.dtype)},
            part.x,
            lengths=None if part.lengths is None else part.lengths,
            kinds=KINDS,
        ).layers
        for net in params
    ]
    by_seed = {kind: np.array([[layer.mean[kind].mean() for layer in one] for one in found]) for kind in KINDS}
    residual = np.array([[layer.residual.mean() for layer in one] for one in found])
    many = len(params) > 1
    spread = by_seed["entropy"].std(axis=0, ddof=1) if many else np.full(residual.shape[1], np.nan)
    return Layers(width, {kind: r.mean(axis=0) for kind, r in by_seed.items()}, residual.mean(axis=0), spread)


def _limit(shape: Shape, depth: int, sigma: float, part: Part) -> Any:
    kernel = kernels.Serial(*shape.parts(depth, sigma))
    K = gram(kernel, part.x, lengths=part.lengths)
    if np.asarray(K).dtype == np.float64:
        return K
    return audit(K, kernel, part.x, lengths=part.lengths, pairs=4000)  # worst rounding is far above the one there is


def _kernel(K: GramLike, width: int | None, seed: int | None, depth: int, exact: Any) -> Kernel:
    found = spectrum(K, method="dense")
    values = np.asarray(found.values, np.float64)
    scale, least = values.mean(), found.min_eigenvalue
    K, exact = np.asarray(K, np.float64), np.asarray(exact, np.float64)
    return Kernel(
        width, seed, depth,
        Interval(least.lower / scale, least.estimate / scale, least.upper / scale),
        found.effective_rank_interval("entropy"),
        found.effective_rank_interval(Tail(1, Participation())),
        float(np.linalg.norm(K - exact) / np.linalg.norm(exact)),
        np.sort(values)[::-1],
    )  # fmt: skip
