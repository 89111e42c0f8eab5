"""What does MAML's averaged SGD do on mixed linear regression when it is run? Many repetitions at once."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntkseq import _checks, _display
from ntkseq._types import ArrayLike, Key
from ntkseq.risks.problem import MixedRegression


@dataclasses.dataclass(frozen=True, eq=False)
class Simulated:
    """The mean excess risk of independent runs, with its standard error.

    Attributes:
        horizons: T at which it was taken, (h,).
        mean: over the runs, (h,).
        error: standard error of the mean, (h,); NaN for one run.
        runs: how many.

    Reference: huang2022maml (the problem).
    """

    horizons: Int[np.ndarray, " h"]
    mean: Float[np.ndarray, " h"]
    error: Float[np.ndarray, " h"]
    runs: int

    __repr__ = _display.record


def simulate(
    problem: MixedRegression, steps: int, runs: int = 400, *, key: Key, horizons: ArrayLike | None = None
) -> Simulated:
    """Run MAML by averaged SGD, full MAML gradients and a fresh task per step (maml.2), `runs` times.

    Tasks are drawn as they are needed, so memory is that of the runs' iterates and of one step's examples: O(runs (n1 +
    n2) d). In the default float precision.

    Args:
        problem: see `MixedRegression`.
        steps: T.
        runs: independent repetitions.
        key: one random key.
        horizons: at which T the averaged iterate is looked at, ascending, up to `steps`. None: `steps` alone.

    Returns:
        Simulated. A run that diverges makes mean and error inf or NaN, as it should.

    Raises:
        ValueError: counts below 1, horizons that are not ascending or beyond `steps`.

    Reference: huang2022maml (the problem).

    Example:
        >>> import jax
        >>> problem = MixedRegression([1.0, 0.5], 1.0, noise=0.5, n1=4, n2=3, beta_tr=0.3, alpha=0.05)
        >>> found = simulate(problem, 20, runs=50, key=jax.random.key(0))
        >>> from ntkseq.risks import risk
        >>> exact = risk(problem, 20).total[-1]
        >>> bool(abs(found.mean[-1] - exact) < 4 * found.error[-1])
        True
    """
    _checks.kind("problem", problem, MixedRegression)
    steps, runs = _checks.positive_int("steps", steps), _checks.positive_int("runs", runs)
    key = _checks.prng_key("key", key)
    at = np.array([steps]) if horizons is None else _checks.ascending("horizons", horizons, 1)
    if at[-1] > steps:
        raise ValueError(f"horizons must not exceed steps = {steps}; got {at[-1]}.")
    dtype = jnp.result_type(float)
    rates = problem.beta_tr / problem.n1, problem.alpha / problem.n2
    numbers = np.sqrt(problem.spectrum), problem.spread, problem.noise, *rates
    law = _Law(*(jnp.asarray(value, dtype) for value in numbers))
    delta = jnp.broadcast_to(jnp.asarray(problem.start, dtype), (runs, problem.d))
    state = (delta, jnp.zeros_like(delta))
    weights = 0.5 * problem.mu_te
    rows, done = [], 0
    for stop in at.tolist():
        state = _run(law, key, state, jnp.int32(done), jnp.int32(stop - done), (problem.n1, problem.n2))
        average = np.asarray(state[1], np.float64) / stop
        rows.append(np.sum(weights * average**2, axis=1))
        done = stop
    values = np.stack(rows)  # (h, runs)
    with np.errstate(invalid="ignore", over="ignore"):
        error = values.std(axis=1) * (1 / math.sqrt(runs - 1) if runs > 1 else math.nan)
        return Simulated(at.astype(np.int64), values.mean(axis=1), error, runs)


@partial(jax.tree_util.register_dataclass, data_fields=["root", "spread", "noise", "beta", "alpha"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class _Law:
    """sqrt of the spectrum, spread (d,); noise; beta/n1; alpha/n2."""

    root: Array
    spread: Array
    noise: Array
    beta: Array
    alpha: Array


@partial(jax.jit, static_argnums=(5,))
def _run(law: _Law, key: Array, state: tuple[Array, Array], first: Array, count: Array, sizes: tuple[int, int]) -> Any:
    """`count` steps for all runs. State: w - theta*, and the sum of its iterates so far."""
    n1, n2 = sizes
    runs, d = state[0].shape

    def step(t: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        delta, total = state
        draws = partial(jax.random.normal, dtype=delta.dtype)
        k = jax.random.split(jax.random.fold_in(key, first + t), 4)
        x = law.root[None, None, :] * draws(k[0], (runs, n1 + n2, d))
        inner, outer = x[:, :n1], x[:, n1:]
        task = law.spread[None, :] * draws(k[1], (runs, d))  # theta - theta*
        noise = law.noise * draws(k[2], (runs, n1 + n2))
        adapted = delta - law.beta * _back(inner, _times(inner, delta - task) - noise[:, :n1])
        slope = _back(outer, _times(outer, adapted - task) - noise[:, n1:])
        slope = slope - law.beta * _back(inner, _times(inner, slope))  # through the inner step
        return delta - law.alpha * slope, total + delta

    return jax.lax.fori_loop(0, count, step, state)


def _times(x: Float[Array, "r n d"], v: Float[Array, "r d"]) -> Float[Array, "r n"]:
    return jnp.einsum("rnd,rd->rn", x, v, precision="highest")


def _back(x: Float[Array, "r n d"], v: Float[Array, "r n"]) -> Float[Array, "r d"]:
    return jnp.einsum("rnd,rn->rd", x, v, precision="highest")
