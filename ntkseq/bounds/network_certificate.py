"""How often does a trained network err on new examples? A certificate of the network itself, its weights noisy."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks
from ntkseq._types import AnyFunction, ArrayLike, Flag, Inputs, Integer, Key, Lengths, PyTree
from ntkseq.bounds import network_inputs as given
from ntkseq.bounds.binary_kl import kl_inverse, log_xi
from ntkseq.bounds.network_posterior import NetworkPosterior, divergence, eigenrows, products
from ntkseq.bounds.network_problem import Problem, problem
from ntkseq.bounds.network_record import Measured, NetworkBound, Setting, Settled, report

NOISES = tuple(10.0**k for k in (-3, -2.5, -2, -1.5, -1, -0.5, 0, 0.5, 1))
"""s that is tried where none is given, over c times the mean of the eigenvalues l."""
_FEW = 256  # examples on which a setting is tried


def network(
    f: AnyFunction,
    w0: PyTree,
    w: PyTree,
    x: Inputs,
    y: ArrayLike,
    *,
    key: Key,
    c: ArrayLike = (1e-4, 1e-3, 1e-2, 1e-1),
    s: ArrayLike | None = None,
    scales: tuple[PyTree, ...] = (None,),
    seen: ArrayLike | None = (),
    centred: Flag = False,
    draws: Integer = 1000,
    trial: Integer = 16,
    rows: Integer = 512,
    share: float = 0.1,
    delta: float = 0.05,
    lengths: Lengths = None,
) -> NetworkBound:
    """Bound the error of a network whose weights are drawn around trained ones, for new examples, rigorously.

    Prior N(w0, c D^2) and posterior N(w, c D A^2 D) over the weights, where A^2 = I - J'(JJ' + s/c)^-1 J for the
    Jacobian J at w, in weights over D: noise is kept where it does not move the outputs. With probability at least
    1 - delta over the n examples that pay and the m draws,

        error <= kl^-1( q | (KL + log(xi(n) P/((1 - share) delta)))/n ),    xi(n) <= 2 sqrt(n),
        KL = 1/2 [sum log(1 + c l/s) - sum c l/(c l + s) + |D^-1 (w - w0)|^2/c],    l the eigenvalues of JJ',

    P the number of priors on the grid, q what m draws say of the mean error on these examples, with `share` of delta.
    The error is that of the *nonlinear* network; J only shapes the noise. w may have seen all examples. s, the rows of
    J and w itself cost nothing, and the setting is chosen by draws of its own: the m draws of q have chosen nothing.

    Args:
        f: f(params, x) -> (o,) for one example; see `interop.flax.function` and `interop.equinox.function`.
        w0: params, a pytree: the centre of the prior, as initialised, or trained on the examples in `seen` only.
        w: trained params of the same structure; or several, a list of them, say the steps of early stopping.
        x: all examples, (n, ...), or a pytree of arrays with leading axis n.
        y: labels, (n,): -1/+1 for one output, classes 0..o-1 for several, of which the largest output is the answer.
        key: of all draws.
        c: variances of the prior that are tried, fixed before these data; the prior costs log of their number.
        s: noises of the posterior that are tried; None: nine over four decades around c times the mean eigenvalue.
        scales: what the variances are multiplied by: pytrees like params with one number > 0 per leaf; None: 1.
        seen: indices of the examples that w0, c or scales have looked at: they do not pay. None: nobody knows, and
            nothing is certified.
        centred: the network answers f(w, x) - f(w0, x) instead of f(w, x).
        draws: m, networks that measure the error.
        trial: networks that are drawn to choose among the settings, on at most 256 examples.
        rows: of J at most, (example, output) pairs spread evenly; memory is 12 rows p bytes.
        share: of delta that is spent on the draws.
        delta: the probability that the bound fails.
        lengths: of sequences, (n,), for an f(params, x, length).

    Returns:
        NetworkBound: a `Bound` with `draw(key)`, the weights of one network of those it speaks of. The error of the
        mean network is a term beside it, not certified. NaN with the reason where n is too small for any statement.

    Raises:
        ValueError: w0 and w of different structure, other labels, options out of their range, outputs that are NaN.

    Reference: dziugaite2017computing, for the idea; constants: pac_bayes_network.1 to pac_bayes_network.7.

    Example:
        >>> f = lambda W, x: W @ x
        >>> x = jax.random.normal(jax.random.key(0), (300, 2))
        >>> said = network(
        ...     f, jnp.zeros((1, 2)), jnp.array([[1.0, 0.0]]), x, jnp.sign(x[:, 0]), key=jax.random.key(1), c=1.0
        ... )
        >>> said.certified, said.value < 0.2, said.draw(jax.random.key(2)).shape
        (True, True, (1, 2))
    """
    key = _checks.prng_key("key", key)
    delta, share = _checks.probability("delta", delta), _checks.probability("share", share)
    draws, trial, rows = (
        _checks.integer(name, value, least)
        for name, value, least in (("draws", draws, 1), ("trial", trial, 1), ("rows", rows, 1))
    )
    cs, noises = given.variances("c", c), None if s is None else given.variances("s", s)
    start, paths = given.weights(f, w0, w)
    roots = given.roots(start, scales)
    known = problem(start, paths, x, y, lengths, seen, _checks.flag("centred", centred))
    n, priors = known.n, len(cs) * len(roots)
    price = log_xi(n) + math.log(priors / ((1 - share) * delta)) if n else math.inf  # its rounding: `report`
    settled = Settled(priors, delta, share, price, draws)
    if not n or kl_inverse(0.0, max(price, 0.0) / n) >= 1 - 1 / known.classes:
        guess = f"{1 - 1 / known.classes:.3g}, the error of guessing"
        return report(known, settled, None, f"{n} examples that pay allow no statement below {guess}")
    trying, measuring = jax.random.split(key)
    setting = _chosen(known, settled, cs, noises, roots, jax.random.split(trying, trial), rows)
    if setting is None:
        return report(known, settled, None, "no setting of the grid has a bound below 1: the weights moved too far")
    kl = divergence(*products(setting.posterior.rows), setting.posterior.shrink, setting.moved)
    if isinstance(kl, str):
        return report(known, settled, None, kl)
    losses, odd = known.losses(setting.posterior, jax.random.split(measuring, draws), known.paying)
    return report(known, settled, Measured(setting, kl, losses, odd))


def _chosen(
    known: Problem,
    settled: Settled,
    cs: Float[np.ndarray, " k"],
    noises: Float[np.ndarray, " h"] | None,
    roots: list[Float[Array, " p"]],
    keys: Key,
    rows: int,
) -> Setting | None:
    """The setting whose bound is least by some draws of its own; those that cannot be the least are not drawn."""
    best, least = None, 1.0
    few = known.paying[:: -(-known.n // _FEW)]
    pairs = given.spread(len(known.y), known.before.shape[1], rows)
    for step, function in enumerate(known.paths):
        for scale, root in enumerate(roots):
            R, spectrum = eigenrows(function, known.x, *pairs, root)
            typical = float(spectrum.mean()) if len(spectrum) else 1.0
            for c in cs.tolist():
                by = root * jnp.asarray(math.sqrt(c), root.dtype)
                moved = given.movement(known.start, function, by)
                for s in np.asarray(NOISES) * c * typical if noises is None else noises:
                    kept = s / (c * spectrum + s)
                    shrink = np.asarray(jnp.asarray(1.0 - np.sqrt(kept), R.dtype), np.float64)
                    kl = 0.5 * float(np.sum(-np.log(kept)) - np.sum(1.0 - kept)) + moved
                    budget = max(kl + settled.price, 0.0) / known.n
                    if kl_inverse(0.0, budget) >= least:
                        continue
                    law = NetworkPosterior(function, R, shrink, by, c, float(s), spectrum)
                    losses, _ = known.losses(law, keys, few)
                    if (value := kl_inverse(float(np.mean(losses)), budget)) < least:
                        best, least = Setting(law, moved, step, scale), value
    return best
