"""What is a Gram matrix but for a low rank, from one product with a block, and how far off is that?"""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg

from ntkseq import _checks
from ntkseq._types import GramLike, Seed
from ntkseq.grams.base import Gram
from ntkseq.spectra.krylov import summable
from ntkseq.spectra.low_rank import LowRank, assess

_EPS = float(np.finfo(np.float64).eps)
_TINY = float(np.finfo(np.float64).tiny) / _EPS


def nystrom(
    K: GramLike,
    rank: int,
    *,
    oversample: int = 8,
    power: int = 0,
    probes: int = 10,
    delta: float = 1e-6,
    seed: Seed = 0,
) -> LowRank:
    """The randomised Nystrom approximation K ~ N = U diag(values) U^T of a positive semi-definite matrix.

        N = (K Q) (Q^T K Q)^-1 (K Q)^T,      Q orthonormal: random, or K^power times random,

    of which the leading `rank` pairs are kept. N lies below K, as a quadratic form, so K - N is known by its trace, by
    its norm and by Gaussian probes: see `LowRank`, whose errors hold whatever the matrix, but for probability `delta`.
    It is computed for K + nu I and nu is taken off again, which is what makes it stable; nu is a few times what is
    lost in the products, or the rounding of K if that is larger.

    Costs 1 + power products with blocks of rank + oversample vectors, the last with `probes` more; memory about
    5 n (rank + oversample) float64.

    Args:
        K: a Gram, held, lazy or an Operator, or an array (n, n), symmetric.
        rank: pairs that are kept; all n if it is larger.
        oversample: vectors in the block beyond rank, >= 0.
        power: products more, each of which sharpens Q where eigenvalues decay slowly.
        probes: Gaussian vectors for the error; 0: only the trace and the norm of K bound it.
        delta: probability that some statement is wrong.
        seed: of Q and of the probes.

    Raises:
        ValueError: not a symmetric matrix of finite floats; a bad option.

    Reference: frangella2023 (the stable form, and what it is good for).

    Example:
        >>> import numpy as np
        >>> found = nystrom(np.diag([4.0, 2.0, 0.0]), 2)
        >>> found.values.round(6).tolist(), bool(found.error < 1e-6)
        ([4.0, 2.0], True)
    """
    rank, delta = _checks.positive_int("rank", rank), _checks.probability("delta", delta)
    oversample, power, probes = (
        _checks.integer(name, value, 0)
        for name, value in (("oversample", oversample), ("power", power), ("probes", probes))
    )
    gram = summable(K)
    n = gram.shape[0]
    rank, columns = min(rank, n), min(rank + oversample, n)
    rounding = _checks.nonnegative("rounding of K", gram.rounding)
    rng = np.random.default_rng(_checks.seed("seed", seed))
    Q, G = rng.standard_normal((n, columns)), rng.standard_normal((n, probes))
    Q, norm = np.linalg.qr(Q)[0], None
    for _ in range(power):
        image = gram.times(Q)
        norm = _norm(gram, image) if norm is None else norm
        Q = np.linalg.qr(image)[0]
    image = gram.times(np.concatenate([Q, G], axis=1))
    Y, seen = image[:, :columns], image[:, columns:]
    norm = _norm(gram, Y) if norm is None else norm
    product = 2.0 * n * _EPS * norm
    each = gram.by_product
    columnwise = math.sqrt(columns) * (2.0 * product + (rounding if each else 0.0))
    lost = columnwise + (0.0 if each else rounding)
    least = float(np.linalg.eigvalsh(0.5 * (Q.T @ Y + Y.T @ Q))[0])
    vectors, shifted, shift, residual = _factor(Q, Y, lost, max(2.0 * lost, -2.0 * least, _TINY))
    values = np.maximum(shifted - shift, 0.0)
    kept = vectors[:, :rank]
    orthogonality = float(np.linalg.norm(kept.T @ kept - np.eye(rank)))
    return assess(
        gram,
        values[:rank],
        kept,
        left=seen - kept @ (values[:rank, None] * (kept.T @ G)),
        probes=G,
        below=shift + math.sqrt(2.0) * residual,  # (numerics.12)
        # Q spans everything: nothing is left but what was computed, and dropped
        whole=residual + max(shift, float(values[rank]) if rank < columns else 0.0) if columns == n else math.inf,
        indefinite=least < -2.0 * lost,
        norm=norm,
        noise=2.0 * product + (rounding if each else 0.0),
        linear=0.0 if each else rounding,
        orthogonality=orthogonality,
        products=power + 1,
        product=product,
        delta=delta,
    )


def _norm(K: Gram, image: np.ndarray) -> float:
    """The Frobenius norm of K, or three times an estimate from K Q for a random Q of any columns."""
    known = K.known_norm()
    return 3.0 * math.sqrt(len(image) / image.shape[1]) * float(np.linalg.norm(image)) if known is None else known


def _factor(Q: np.ndarray, Y: np.ndarray, lost: float, shift: float) -> tuple[np.ndarray, np.ndarray, float, float]:
    """U and s with U diag(s) U^T the Nystrom approximation of K + shift, from Y = K Q; the shift, and a bound of
    |(K + shift) Q - U diag(s) U^T Q|. The shift is doubled until it covers that residual, as (numerics.12) asks.
    """
    while True:
        raised = Y + shift * Q
        core = Q.T @ raised
        try:
            root = scipy.linalg.cholesky(0.5 * (core + core.T))
            half = scipy.linalg.solve_triangular(root, raised.T, trans=1)
            U, s, _ = np.linalg.svd(half.T, full_matrices=False)
            residual = float(np.linalg.norm(raised - U @ (s[:, None] ** 2 * (U.T @ Q)))) * (1.0 + 1e3 * _EPS) + lost
            if math.sqrt(2.0) * residual <= shift or not math.isfinite(residual):
                return U, s**2, shift, residual
        except np.linalg.LinAlgError:
            pass
        shift *= 2.0
