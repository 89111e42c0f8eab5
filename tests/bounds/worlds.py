"""Worlds of which everything is known: a law with finitely many atoms, so that the risk of a predictor is a finite sum.

Each function plays one case: it draws a law, a sample, and a predictor that knows the law and tries to look better on
the sample than it is. It returns what the bound says, or None where it certifies nothing, and the exact risk.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import numpy as np
import scipy.special

from ntkseq import bounds
from ntkseq.bounds import AttentionHead, Bound

DELTAS = (1e-7, 1e-3, 0.05)
ATOMS = 48


@dataclasses.dataclass(frozen=True)
class Case:
    """One simulated case: the bound, the exact risk, and the gap between it and the training loss."""

    bound: Bound
    risk: float
    gap: float

    @property
    def violated(self) -> bool:
        """Whether a certified bound is below the risk by more than the rounding of the latter."""
        return self.bound.certified and self.bound.value is not None and self.risk > self.bound.value + 1e-9

    @property
    def used(self) -> float:
        """The share of capacity and confidence that the gap takes up."""
        allowed = sum(t.value or 0.0 for t in self.bound.terms if t.counted and t.name != "training loss")
        return self.gap / allowed if allowed > 0 else 0.0


def _features(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Atoms of features: bounded, heavy-tailed, of log-normal sizes, nearly equal, one-dimensional, or symmetric."""
    kind = rng.integers(6)
    found = rng.standard_normal(shape)
    if kind == 0:
        found /= np.linalg.norm(found, axis=-1, keepdims=True)
    elif kind == 1:
        found = rng.standard_t(2.5, shape)
    elif kind == 2:
        found *= np.exp(2 * rng.standard_normal((shape[0],) + (1,) * (len(shape) - 1)))
    elif kind == 3:
        found = found[:1] + 1e-6 * found
    elif kind == 4:
        found[..., 1:] = 0.0
    else:
        found[1::2] = -found[: shape[0] // 2]  # of mean 0, if the weights are equal
    return found * 10.0 ** rng.uniform(-2, 1)


def _law(rng: np.random.Generator) -> np.ndarray:
    return np.full(ATOMS, 1 / ATOMS) if rng.random() < 0.5 else rng.dirichlet(np.full(ATOMS, 0.3))


def _labels(rng: np.random.Generator, features: np.ndarray, outputs: int) -> np.ndarray:
    """Labels of shape (..., outputs): signs without sense, one constant, a function of the space, large."""
    kind, shape = rng.integers(5), (*features.shape[:-1], outputs)
    if kind == 0:
        return rng.choice([-1.0, 1.0], shape)
    if kind == 1:
        return np.full(shape, -0.5)
    found = features @ rng.standard_normal((features.shape[-1], outputs))
    found /= max(float(np.abs(found).max()), 1e-300)
    return found if kind == 2 else found + 0.3 * rng.standard_normal(shape) if kind == 3 else 50 * found


def _reg(rng: np.random.Generator, scale: float) -> float:
    return float(rng.choice([0.0, 1e-6, 1e-2, 1.0, 100.0])) * scale


def overfitted(rng: np.random.Generator, which: str) -> Case:
    """The tight case: examples of one direction each, labels that never vary, a predictor that knows its sample only.

    It is right on the sample and 0 elsewhere, so that the gap is half of the capacity. `which`: "steps" or "tasks".
    """
    n, t = int(rng.choice([40, 150])), int(rng.integers(1, 4))
    atoms = 16 * n
    drawn = rng.choice(atoms, n, replace=True)
    K = (drawn[:, None] == drawn) * 1.0
    reg, delta = 1e-3, float(rng.choice(DELTAS))
    y = np.full((n, t), 0.5)
    options: dict[str, Any] = {"reg": reg, "delta": delta, "B0": 0.5 * math.sqrt(n), "kappa": 1.0}
    if which == "steps":  # one direction for all steps of an example
        said = bounds.rademacher_steps(np.einsum("ij,ts->ijts", K, np.ones((t, t))), y, **options)
    else:
        said = bounds.meta_kernel(np.kron(K, np.ones((t, t))), y, **options)
    count = np.bincount(drawn, minlength=atoms) * t
    losses = np.abs(0.5 * count / (count + reg) - 0.5)
    return Case(said, float(losses.mean()), float(losses.mean() - losses[drawn].mean()))


def every_step(rng: np.random.Generator) -> Case:
    """`bounds.rademacher_steps`, outputs at 1 to 3 steps, features of (sequence, step) explicit."""
    if rng.random() < 0.05:
        return overfitted(rng, "steps")
    t, p, outputs, n = (
        int(rng.integers(1, 4)),
        int(rng.integers(1, 5)),
        int(rng.integers(1, 3)),
        int(rng.choice([2, 3, 8, 30])),
    )
    features, law = _features(rng, ATOMS, t, p), _law(rng)
    y = _labels(rng, features, outputs)
    drawn = rng.choice(ATOMS, n, p=law)
    phi = features[drawn].reshape(n * t, p)
    K = np.einsum("itp,jsp->ijts", features[drawn], features[drawn])
    reg = _reg(rng, float(np.mean(np.sum(features**2, axis=-1))))
    kappa = np.sqrt(np.max(np.sum(features**2, axis=-1), axis=0)) * (1 + 1e-12) if rng.random() < 0.5 else None
    kappa = None if kappa is None or not (kappa > 0).all() else kappa
    steps = None if rng.random() < 0.7 else [int(rng.integers(t))]
    options: dict[str, Any] = {"delta": float(rng.choice(DELTAS)), "B0": 10.0 ** rng.uniform(-2, 2), "reg": reg}
    said = bounds.rademacher_steps(K, y[drawn], kappa=kappa, steps=steps, **options)
    weights = _ridge(phi, y[drawn].reshape(n * t, outputs), reg)
    losses = np.minimum(1, np.abs(features @ weights - y))
    losses = (losses if steps is None else losses[:, steps]).mean(axis=(1, 2))
    return Case(said, float(law @ losses), float(law @ losses - losses[drawn].mean()))


def kernel(rng: np.random.Generator, which: str = "rademacher") -> Case:
    """`bounds.rademacher` of ridge regression, or `bounds.margin` of it or of a support vector machine."""
    p, n, law = int(rng.integers(1, 5)), int(rng.choice([2, 8, 30, 100])), _law(rng)
    features = _features(rng, ATOMS, p)
    y = _labels(rng, features, 1)[:, 0]
    drawn = rng.choice(ATOMS, n, p=law)
    phi = features[drawn]
    scale = float(np.mean(np.sum(features**2, axis=-1)))
    kappa = float(np.sqrt(np.max(np.sum(features**2, axis=-1)))) * (1 + 1e-12) if rng.random() < 0.5 else None
    options: dict[str, Any] = {"delta": float(rng.choice(DELTAS)), "B0": 10.0 ** rng.uniform(-2, 2), "kappa": kappa}
    options["reg"] = max(_reg(rng, scale), 1e-9 * scale)
    if which == "margin":
        y, gamma = np.where(y > 0, 1.0, -1.0), float(rng.choice([0.1, 1.0]))
        said = bounds.margin(phi @ phi.T, y[drawn], gamma=gamma, **options)
    else:
        loss = str(rng.choice(["absolute", "squared"]))
        said = bounds.rademacher(phi @ phi.T, y[drawn], loss=loss, **options)
    f = (features @ _ridge(phi, y[drawn][:, None], options["reg"]))[:, 0]
    if which == "margin":
        surrogate = np.clip(1 - y * f / gamma, 0, 1)
        return Case(said, float(law @ (y * f <= 0)), float(law @ surrogate - surrogate[drawn].mean()))
    value = np.minimum(1, np.abs(f - y) ** (2 if loss == "squared" else 1))
    return Case(said, float(law @ value), float(law @ value - value[drawn].mean()))


def meta_kernel(rng: np.random.Generator) -> Case:
    """`bounds.meta_kernel`, tasks of 1 to 3 queries as atoms, features of queries given their supports explicit."""
    if rng.random() < 0.05:
        return overfitted(rng, "tasks")
    q, p, outputs, N = (
        int(rng.integers(1, 4)),
        int(rng.integers(1, 5)),
        int(rng.integers(1, 3)),
        int(rng.choice([2, 3, 8, 30])),
    )
    features, law = _features(rng, ATOMS, q, p), _law(rng)
    loss = str(rng.choice(["absolute", "squared", "margin"]))
    start = np.zeros((ATOMS, q, outputs)) if rng.random() < 0.5 else 0.3 * rng.standard_normal((ATOMS, q, outputs))
    y = _labels(rng, features, outputs) + start
    if loss == "margin":
        y = np.where(y > 0, 1.0, -1.0)
    drawn = rng.choice(ATOMS, N, p=law)
    phi = features[drawn].reshape(N * q, p)
    reg = _reg(rng, float(np.mean(np.sum(features**2, axis=-1))))
    kappa = float(np.sqrt(np.max(np.sum(features**2, axis=-1)))) * (1 + 1e-12) if rng.random() < 0.5 else None
    options: dict[str, Any] = {"delta": float(rng.choice(DELTAS)), "B0": 10.0 ** rng.uniform(-2, 2), "reg": reg}
    shape = (lambda a: a[..., 0]) if outputs == 1 else (lambda a: a)
    said = bounds.meta_kernel(phi @ phi.T, shape(y[drawn]), shape(start[drawn]), loss=loss, kappa=kappa, **options)
    weights = _ridge(phi, (y - start)[drawn].reshape(N * q, outputs), reg)
    F = features @ weights + start
    value = {
        "absolute": np.minimum(1, np.abs(F - y)),
        "squared": np.minimum(1, (F - y) ** 2),
        "margin": np.clip(1 - y * F, 0, 1),
    }[loss].mean(axis=(1, 2))
    return Case(said, float(law @ value), float(law @ value - value[drawn].mean()))


def _ridge(phi: np.ndarray, y: np.ndarray, reg: float) -> np.ndarray:
    """The weights of ridge regression in feature space; of least norm for reg = 0."""
    if reg == 0:
        return np.linalg.pinv(phi) @ y
    U, s, Vt = np.linalg.svd(phi, full_matrices=False)
    return Vt.T @ ((s / (s**2 + reg))[:, None] * (U.T @ y))


def heads(rng: np.random.Generator, d: int, k: int, count: int, **options: Any) -> list[AttentionHead]:
    """Heads of one class, of sizes over two decades."""
    size = 10.0 ** rng.uniform(-1.5, 0.5)
    return [
        AttentionHead(
            size * rng.standard_normal(k), rng.standard_normal((d, k)),
            10 ** rng.uniform(-1, 1) * rng.standard_normal((d, d)), **options,
        )
        for _ in range(count)
    ]  # fmt: skip


def attention(rng: np.random.Generator, which: str) -> Case:
    """A bound on one head, which is the one of many that looks best on the sample against the law."""
    d, k, t = int(rng.integers(1, 4)), int(rng.integers(1, 4)), int(rng.integers(1, 5))
    n, law = int(rng.choice([2, 5, 50, 2000, 20000], p=[0.3, 0.3, 0.28, 0.1, 0.02])), _law(rng)
    x, lengths = _tokens(rng, d, t)
    y = rng.choice([-1.0, 1.0], ATOMS) if rng.random() < 0.7 else rng.uniform(-1, 1, ATOMS)
    loss = str(rng.choice(["absolute", "squared", "margin"]))
    y = np.sign(y) if loss == "margin" else y
    gamma = float(rng.choice([0.3, 1.0]))
    options: dict[str, Any] = {
        "sigma": str(rng.choice(["relu", "tanh", "identity", "gelu"])),
        "read": str(rng.choice(["last", "first", "mean"])),
        "causal": bool(rng.random() < 0.5),
    }
    drawn = rng.choice(ATOMS, n, p=law)
    share = np.bincount(drawn, minlength=ATOMS) / n
    best, gap, risk = None, -math.inf, 0.0
    for head in heads(rng, d, k, 6, **options):
        f = head.predict(x, lengths)
        value = _loss(loss, f, y, gamma)
        if float((law - share) @ value) > gap:
            gap, best = float((law - share) @ value), head
            # an error of classification is at most what the margin bounds
            risk = float(law @ (np.where(y * f <= 0, 1.0, 0.0) if loss == "margin" else value))
    asked: dict[str, Any] = {
        "Bx": float(np.linalg.norm(x, axis=2).max()), "delta": float(rng.choice(DELTAS)), "loss": loss, "gamma": gamma,
        "lengths": lengths[drawn],
    }  # fmt: skip
    said = getattr(bounds, f"attention_{which}")(best, x[drawn], y[drawn], **asked)
    return Case(said, risk, gap)


def frozen(rng: np.random.Generator) -> Case:
    """`bounds.frozen_attention` with a read-out that follows the sample."""
    d, t, n, law = int(rng.integers(1, 4)), int(rng.integers(1, 5)), int(rng.choice([2, 5, 50, 500])), _law(rng)
    x, lengths = _tokens(rng, d, t)
    A = rng.dirichlet(np.full(t, 0.5), (ATOMS, t)) if rng.random() < 0.7 else rng.standard_normal((ATOMS, t, t))
    inside = np.arange(t) < lengths[:, None]
    A = np.where(inside[:, :, None] & inside[:, None, :], A, 0)
    seen = np.einsum("ncs,nsd->ncd", A, x)
    loss = str(rng.choice(["absolute", "squared", "margin"]))
    y, drawn = rng.choice([-1.0, 1.0], ATOMS), rng.choice(ATOMS, n, p=law)
    U = np.einsum("n,ntd->td", y[drawn], seen[drawn]) / n * 10.0 ** rng.uniform(-2, 1)
    f, gamma = np.einsum("ntd,td->n", seen, U), float(rng.choice([0.3, 1.0]))
    value = _loss(loss, f, y, gamma)
    risk = float(law @ (np.where(y * f <= 0, 1.0, 0.0) if loss == "margin" else value))
    said = bounds.frozen_attention(
        U, A[drawn], x[drawn], y[drawn], loss=loss, gamma=gamma, delta=float(rng.choice(DELTAS)), lengths=lengths[drawn]
    )
    return Case(said, risk, float(law @ value - value[drawn].mean()))


def _loss(loss: str, f: np.ndarray, y: np.ndarray, gamma: float) -> np.ndarray:
    if loss == "margin":
        return np.clip(1 - y * f / gamma, 0, 1)
    return np.minimum(1, np.abs(f - y) ** (2 if loss == "squared" else 1))


def _tokens(rng: np.random.Generator, d: int, t: int) -> tuple[np.ndarray, np.ndarray]:
    x, lengths = _features(rng, ATOMS, t, d), rng.integers(1, t + 1, ATOMS)
    x /= np.linalg.norm(x, axis=2).max() * rng.choice([0.2, 1.0])  # of the law, which is known before the sample
    return np.where((np.arange(t) < lengths[:, None])[:, :, None], x, 0.0), lengths


def process(rng: np.random.Generator, loss: str = "zero-one", n: int | None = None, **options: Any) -> Case:
    """`bounds.pac_bayes` of a law of atoms with noisy labels: a random prior, posterior, inequality and predictor."""
    p, n = int(rng.integers(1, 9)), int(rng.choice([12, 40, 100])) if n is None else n
    features, law, noise = _features(rng, ATOMS, p), _law(rng), float(rng.choice([0.0, 0.1, 0.3]))
    right = _labels(rng, features, 1)[:, 0]
    binary = loss in ("zero-one",)
    clean = np.where(right > 0, 1.0, -1.0) if binary else right / max(1.0, float(np.abs(right).max()))
    drawn = rng.choice(ATOMS, n, p=law)
    y = clean[drawn] * np.where(rng.random(n) < noise, -1.0, 1.0)
    scale = float(np.mean(np.sum(features**2, axis=-1))) or 1.0
    given: dict[str, Any] = {
        "delta": float(rng.choice([1e-3, 0.05])),
        "prior": rng.choice(
            [  # pyright: ignore[reportArgumentType]
                bounds.Prior(1.0 / scale),
                bounds.LearnedPrior(0.3, scale=0.1, seed=int(rng.integers(99))),
                bounds.LearnedPrior(0.5, scale=0.0, reg=0.1 * scale),
            ]
        ),
        "posterior": str(rng.choice(["optimal", "regression"])),
        "inequality": str(rng.choice(["kl", "catoni", "bernstein", "best"])),
        "predictor": "mean" if binary and rng.random() < 0.5 else "gibbs",
    } | options
    if given["prior"].scale == 0:  # the exact tail of a test fails as often as it may
        given["delta"] = 1e-7
    phi = features[drawn]
    said = bounds.pac_bayes(phi @ phi.T, y, loss=loss, **given)
    risks = _drawn_risks(said, features, phi, given["predictor"], loss)
    risk = float(law @ ((1 - noise) * risks(clean) + noise * risks(-clean)))
    return Case(said, risk, risk - said.constants.loss)


def _drawn_risks(said: Bound[Any], features: np.ndarray, phi: np.ndarray, which: str, loss: str) -> Any:
    """The expected loss at each atom as a function of the labels: by the normal law, or on a fine grid of draws."""
    known = said.constants.predictor
    cross = features @ phi.T
    mean = np.asarray(known.mean(cross))
    sigma = np.sqrt(known.variance(cross, features @ features.T))
    if which == "mean":
        return lambda y: np.where(y * mean <= 0, 1.0, 0.0)
    if loss == "zero-one":
        return lambda y: scipy.special.ndtr(-y * mean / np.maximum(sigma, 1e-300))
    nodes = scipy.special.ndtri((np.arange(20_000) + 0.5) / 20_000)
    power = {"absolute": 1, "squared": 2}[loss]
    drawn = mean + sigma * nodes[:, None]
    return lambda y: np.mean(np.minimum(1, np.abs(drawn - y) ** power), axis=0)


def _linear(weights: Any, x: Any) -> Any:
    return weights @ x


def network(rng: np.random.Generator) -> Case:
    """A linear network with noise in its weights: every atom is wrong with a normal probability.

    The prior has chosen nothing; w looks good on the sample, and is sometimes far out.
    """
    n, p = int(rng.choice([30, 200])), int(rng.choice([3, 60]))  # with 60 weights it knows the sample by heart
    atoms, law = rng.standard_normal((ATOMS, p)) * 10.0 ** rng.uniform(-1, 1), _law(rng)
    y = rng.choice([-1.0, 1.0], ATOMS) if rng.random() < 0.5 else np.where(atoms[:, 0] > 0, 1.0, -1.0)
    drawn = rng.choice(ATOMS, size=n, p=law)
    w = np.linalg.lstsq(atoms[drawn], y[drawn], rcond=None)[0] * 10.0 ** rng.uniform(-1, 1.5)
    bound = bounds.network(
        _linear, np.zeros((1, p)), w[None], atoms[drawn], y[drawn], key=jax.random.key(int(rng.integers(2**31))),
        c=(0.01, 1.0), s=(0.1, 10.0), draws=60, trial=2, delta=float(rng.choice(DELTAS)),
    )  # fmt: skip
    made = bound.posterior
    if made is None:
        return Case(bound, 0.0, 0.0)
    A = np.eye(p) - np.asarray(made.rows).T @ (made.shrink[:, None] * np.asarray(made.rows))
    spread = np.linalg.norm(atoms @ (A * math.sqrt(made.c)), axis=1)
    wrong = np.array([0.5 * math.erfc(one / math.sqrt(2)) for one in y * (atoms @ w) / spread])
    return Case(bound, float(law @ wrong), float(law @ wrong - wrong[drawn].mean()))
