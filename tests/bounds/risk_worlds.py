"""Worlds of finitely many atoms, as in `worlds`, for the bounds of risk theory: compression, stability, local ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntkseq import bounds
from tests.bounds.worlds import ATOMS, DELTAS, Case, _features, _labels, _law, _reg, _ridge


def compressed(rng: np.random.Generator) -> Case:
    """`bounds.compression`: of many sets the one that looks best on the sample against the law, or a search's."""
    p, n, law = int(rng.integers(1, 5)), int(rng.choice([4, 10, 25])), _law(rng)
    features = _features(rng, ATOMS, p)
    y = np.where(_labels(rng, features, 1)[:, 0] > 0, 1.0, -1.0)
    drawn = rng.choice(ATOMS, n, p=law)
    phi, signs = features[drawn], y[drawn]
    scale = float(np.mean(np.sum(features**2, axis=-1)))
    members: Any = str(rng.choice(["support", "greedy", "best", "sets"]))
    options = {"reg": max(_reg(rng, scale), 1e-6 * scale), "delta": float(rng.choice(DELTAS))}
    tries = [members]
    if members == "sets":
        tries = [rng.choice(n, int(rng.integers(0, min(n, 4))), replace=False).tolist() for _ in range(12)]
    best: Case | None = None
    for one in tries:
        said = bounds.compression(phi @ phi.T, signs, members=one, **options)
        rows = list(said.constants.members)
        f = features @ (phi[rows].T @ np.asarray(said.constants.dual))
        floor = 1e-5 * np.linalg.norm(features, axis=1) * np.linalg.norm(phi[rows].T @ np.asarray(said.constants.dual))
        risk = float(law @ (y * f <= -floor)) if rows else 1.0  # at most that of exact arithmetic
        played = Case(said, risk, risk - said.constants.errors / max(1, n - len(rows)))
        best = played if best is None or played.gap > best.gap else best
    assert best is not None
    return best


def fitted(rng: np.random.Generator, which: str) -> Case:
    """`bounds.stability` or `bounds.local_rademacher` of ridge regression, at a ridge from weak to strong."""
    p, n, law = int(rng.integers(1, 5)), int(rng.choice([2, 30, 200, 500])), _law(rng)
    features = _features(rng, ATOMS, p)
    if rng.random() < 0.3:  # one direction holds most of the trace
        features[:, 0] = 5 * float(np.abs(features).max())
    y = _labels(rng, features, 1)[:, 0]
    loss, gamma = str(rng.choice(["absolute", "squared", "margin"])), float(rng.choice([0.1, 1.0]))
    y = np.where(y > 0, 1.0, -1.0) if loss == "margin" else y * float(rng.choice([0.1, 0.5])) / float(np.abs(y).max())
    drawn = rng.choice(ATOMS, n, p=law)
    phi, kappa = features[drawn], float(np.sqrt(np.max(np.sum(features**2, axis=-1)))) * (1 + 1e-12)
    reg = kappa**2 * 10.0 ** rng.uniform(-2, 1) * float(rng.choice([1, n]))
    options: dict[str, Any] = {"reg": reg, "kappa": kappa, "delta": float(rng.choice([1e-3, 0.05])), "loss": loss}
    options["gamma"] = gamma if loss == "margin" else None
    if which == "stability":
        options |= {"of": str(rng.choice(["training", "leave-one-out"])), "M": float(np.abs(y).max())}
        form = str(rng.choice(["best", "bounded differences", "second moment"]))
        said = bounds.stability(phi @ phi.T, y[drawn], form=form, **options)
    else:
        said = bounds.local_rademacher(phi @ phi.T, y[drawn], B0=10.0 ** rng.uniform(-2, 2), **options)
    f = (features @ _ridge(phi, y[drawn][:, None], reg))[:, 0]
    value = {"absolute": np.minimum(1, np.abs(f - y)), "squared": np.minimum(1, (f - y) ** 2),
             "margin": np.clip(1 - y * f / gamma, 0, 1)}[loss]  # fmt: skip
    risk = float(law @ (y * f <= 0)) if loss == "margin" else float(law @ value)
    return Case(said, risk, float(law @ value - value[drawn].mean()))
