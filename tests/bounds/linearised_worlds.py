"""Worlds of finitely many atoms, as in `worlds`, for linearised networks: their gradients are those of a network."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from ntkseq import bounds
from tests.bounds.worlds import ATOMS, Case, _features, _labels, _law

WIDTH, INPUTS = 6, 3


def network(params: Any, x: Any) -> Any:
    return jnp.tanh(params["U"] @ x + params["b"]) @ params["V"]


@jax.jit
def trained(params: Any, x: Any, y: Any) -> Any:
    """Some steps of descent on the examples, whatever they are."""

    def step(params: Any, _: Any) -> Any:
        slope = jax.grad(lambda p: jnp.mean((jax.vmap(network, (None, 0))(p, x)[:, 0] - y) ** 2))(params)
        return jax.tree.map(lambda a, b: a - 0.2 * jnp.clip(b, -1, 1), params, slope), None

    return jax.lax.scan(step, params, None, length=60)[0]


def linearised(rng: np.random.Generator, n: int | None = None, **options: Any) -> Case:
    """`bounds.linearised_network` at drawn params, or at params trained on the rows that it is told of."""
    n = int(rng.choice([20, 60])) if n is None else n
    atoms, law = np.float32(np.clip(_features(rng, ATOMS, INPUTS), -50, 50)), _law(rng)
    noise = float(rng.choice([0.0, 0.1, 0.3]))
    clean = np.where(_labels(rng, atoms.astype(np.float64), 1)[:, 0] > 0, 1.0, -1.0)
    drawn = rng.choice(ATOMS, n, p=law)
    y = clean[drawn] * np.where(rng.random(n) < noise, -1.0, 1.0)
    shapes = {"U": (WIDTH, INPUTS), "b": (WIDTH,), "V": (WIDTH, 1)}
    params = {k: jnp.asarray(rng.standard_normal(s), jnp.float32) for k, s in shapes.items()}
    seen: Any = ()
    if rng.random() < 0.5:
        seen = np.sort(rng.choice(n, n // 3, replace=False))
        params = trained(params, atoms[drawn[seen]], jnp.asarray(y[seen], jnp.float32))
    prior: Any = [
        bounds.Prior(float(rng.choice([0.01, 1.0]))),
        bounds.LearnedPrior(0.3, scale=0.1, seed=int(rng.integers(99))),
        bounds.LearnedPrior(0.5, scale=0.0),
    ][int(rng.integers(3))]
    delta = 1e-7 if prior.scale == 0 else float(rng.choice([1e-3, 0.05]))  # an exact tail fails as often as it may
    predictor = str(rng.choice(["gibbs", "mean"]))
    given: dict[str, Any] = {
        "seen": seen,
        "centred": bool(rng.random() < 0.5),
        "search": bounds.Search(priors=(prior,), inequalities=(bounds.Kl(),), delta=delta, predictor=predictor),
    }
    said = bounds.linearised_network(network, params, atoms[drawn], y, **given | options)
    mean = said.mean(atoms)
    if predictor == "mean":
        risks = lambda y: np.where(y * mean <= 0, 1.0, 0.0)  # noqa: E731
    else:
        sigma = np.sqrt(said.variance(atoms))
        risks = lambda y: scipy.special.ndtr(-y * mean / np.maximum(sigma, 1e-300))  # noqa: E731
    risk = float(law @ ((1 - noise) * risks(clean) + noise * risks(-clean)))
    return Case(said, risk, risk - said.constants.loss)


def three_classes(rng: np.random.Generator, n: int | None = None) -> Case:
    """`bounds.linearised_network` of three outputs, whose gradients share their weights: the largest is the class."""
    n = int(rng.choice([20, 60])) if n is None else n
    atoms, law = np.float32(np.clip(_features(rng, ATOMS, INPUTS), -50, 50)), _law(rng)
    noise = float(rng.choice([0.0, 0.1, 0.3]))
    clean = (
        np.argmax(atoms @ rng.standard_normal((INPUTS, 3)), axis=1)
        if rng.random() < 0.7
        else rng.integers(3, size=ATOMS)
    )
    drawn = rng.choice(ATOMS, n, p=law)
    y = np.where(rng.random(n) < noise, rng.integers(3, size=n), clean[drawn])
    shapes = {"U": (WIDTH, INPUTS), "b": (WIDTH,), "V": (WIDTH, 3)}
    params = {k: jnp.asarray(rng.standard_normal(s), jnp.float32) for k, s in shapes.items()}
    prior: Any = [
        bounds.Prior(float(rng.choice([0.01, 1.0]))),
        bounds.LearnedPrior(0.3, scale=0.1, seed=int(rng.integers(99))),
        bounds.LearnedPrior(0.5, scale=0.0),
    ][int(rng.integers(3))]
    delta = 1e-7 if prior.scale == 0 else float(rng.choice([1e-3, 0.05]))
    predictor = str(rng.choice(["gibbs", "mean"]))
    search = bounds.Search(
        priors=(prior,), inequalities=(bounds.Kl(),), loss="argmax", delta=delta, predictor=predictor
    )
    said = bounds.linearised_network(
        network, params, atoms[drawn], y, seen=(), search=search, centred=bool(rng.random() < 0.5)
    )
    mean, covariance = said.mean(atoms), said.variance(atoms)
    if predictor == "mean":
        wrong = np.array([np.argmax(mean, axis=1) != label for label in range(3)]) * 1.0
    else:
        wrong = np.array([1.0 - largest(mean, covariance, label) for label in range(3)])
    of_clean = wrong[clean, np.arange(ATOMS)]
    risk = float(law @ ((1 - noise) * of_clean + noise * wrong.mean(axis=0)))
    return Case(said, risk, risk - said.constants.loss)


def largest(mean: np.ndarray, covariance: np.ndarray, label: int) -> np.ndarray:
    """P(output `label` is the largest of three correlated ones), (q,), by a fine grid over one of its two leads."""
    lead = np.eye(3)[label] - np.eye(3)[[j for j in range(3) if j != label]]
    m, C = mean @ lead.T, lead @ covariance @ lead.T
    s = np.sqrt(np.maximum(C[:, [0, 1], [0, 1]], 0.0))
    if not (s > 1e-9 * np.abs(m)).all():
        s = np.maximum(s, 1e-9 * np.abs(m) + 1e-150)
    rho = np.clip(C[:, 0, 1] / (s[:, 0] * s[:, 1]), -1.0, 1.0)
    h = m / s
    z = scipy.special.ndtri((np.arange(4000) + 0.5) / 4000)[:, None]
    rest = np.sqrt(np.maximum(1.0 - rho**2, 1e-12))
    return np.mean((z > -h[:, 0]) * scipy.special.ndtr((h[:, 1] + rho * z) / rest), axis=0)
