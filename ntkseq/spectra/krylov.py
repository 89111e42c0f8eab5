"""What are the eigenpairs at one end of a matrix known by its products? Blocks, restarts, and honest residuals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from ntkseq._types import GramLike, Seed
from ntkseq.grams.arrays import products
from ntkseq.grams.base import Gram

_U = 0.5 * float(np.finfo(np.float64).eps)

Product = Callable[[np.ndarray], np.ndarray]
_RANGE = 1e120  # of entries whose products have squares that are summed without scaling


def summable(K: GramLike) -> Gram:
    """A symmetric Gram or array for its products, if their squares can be summed.

    Raises:
        ValueError: not symmetric; entries that are held are too large or too small.
    """
    gram = products(K)
    largest = float(np.abs(gram.dense()).max()) if gram.held else 0.0
    if largest > _RANGE or 0.0 < largest < 1.0 / _RANGE:
        raise ValueError(
            f"the largest entry of K is {largest:.2g}; sums of squares of products would leave the range of float64. "
            'Scale K, or take method="dense", which scales by itself.'
        )
    return gram


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    """Ritz pairs at one end of a symmetric matrix A, best first.

    values[i] is the i-th largest (or least) Rayleigh quotient on the subspace, so the i-th largest eigenvalue of A is
    at least values[i] - product (the i-th least at most values[i] + product). `residual` >= |A V - V diag(values)|_2;
    `parts` are those of the leading pairs and of those at the other end alone.
    """

    values: Float[np.ndarray, " k"]
    vectors: Float[np.ndarray, "n k"]
    residuals: Float[np.ndarray, " k"]
    residual: float
    parts: tuple[float, float]
    product: float
    products: int
    converged: bool
    complete: bool


def pairs(
    times: Product,
    n: int,
    k: int,
    *,
    least: bool = False,
    extra: int = 8,
    tol: float,
    floor: float = 0.0,
    norm: float | None = None,
    most: int = 40,
    columns: int = 512,
    seed: Seed = 0,
    precondition: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> Pairs:
    """The k largest (or least) eigenpairs by a block Davidson method with thick restarts, in host float64.

    The basis grows by the residuals of the k + extra leading Ritz pairs, orthogonalised twice; without a preconditioner
    this spans the block Krylov space. The products of the basis are kept, so Rayleigh-Ritz and restarts are explicit
    and no three-term recurrence loses orthogonality. One call of `times` per step, with a block.

    Args:
        times: V (n, j) to A V, exact but for `norm` n u |V|.
        n: rows.
        k: how many pairs.
        least: at the lower end.
        extra: vectors in the block beyond k.
        tol: largest residual norm that counts as converged, relative to the largest of the k Ritz values in size.
        floor: one that counts as converged in any case, absolute.
        norm: Frobenius norm of A, or an upper estimate of its spectral norm, for the rounding of products; None: three
            times the estimate |A G|_F / sqrt(width) from the Gaussian block G.
        most: calls of `times`.
        columns: of the basis, at which it is restarted.
        seed: of the Gaussian block it starts from.
        precondition: residuals (n, j) and Ritz values (j,) to directions (n, j).

    Reference: parlett1998, chapters 11 and 13 (Ritz values, residuals); davidson1975 (the method).
    """
    rng = np.random.default_rng(seed)
    k = min(k, n)
    width = min(k + extra, n)
    columns = min(max(columns, 3 * width), n)
    sign = 1.0 if least else -1.0
    basis, image = np.empty((n, 0)), np.empty((n, 0))
    new = rng.standard_normal((n, width))
    count = 0
    while True:
        new = _orthonormal(new, basis, rng)
        basis = np.concatenate([basis, new], axis=1)
        image = np.concatenate([image, times(new)], axis=1)
        if norm is None:  # the block is orthonormal, not Gaussian: |A Q|_F^2 has mean |A|_F^2 width / n
            norm = 3.0 * float(np.linalg.norm(image)) * float(np.sqrt(n / width))
        count += 1
        small = basis.T @ image
        theta, rotation = np.linalg.eigh(sign * (small + small.T) / 2)
        theta = sign * theta[:width]
        ritz, mapped = basis @ rotation[:, :width], image @ rotation[:, :width]
        rest = mapped - ritz * theta
        lengths = np.linalg.norm(rest, axis=0)
        complete = basis.shape[1] >= n
        size = float(np.abs(theta[:k]).max())
        enough = max(floor, tol * size, 4.0 * n * _U * norm)
        converged = bool((lengths[:k] <= enough).all())
        if converged or complete or count >= most:
            break
        if basis.shape[1] + width > columns:
            keep = min(2 * width, rotation.shape[1])
            basis, image = basis @ rotation[:, :keep], image @ rotation[:, :keep]
        open_ = lengths > 0.01 * enough
        rest, shift = rest[:, open_], theta[open_]
        new = rest / np.maximum(lengths[open_], np.finfo(np.float64).tiny)
        if precondition is not None:
            new = precondition(new, shift)
    product = 4.0 * n * _U * norm
    return Pairs(
        values=theta[:k],
        vectors=ritz[:, :k],
        residuals=lengths[:k] + product,
        residual=_norm2(rest[:, :k]) + product * float(np.sqrt(k)),
        parts=(_norm2(rest[:, :k]) + product * float(np.sqrt(k)), 0.0),
        product=product,
        products=count,
        converged=converged or complete,
        complete=complete,
    )


def ritz(times: Product, block: Float[np.ndarray, "n k"], norm: float, leading: int) -> Pairs:
    """Ritz pairs on the span of the columns, largest first, with one product; `leading` of them at the upper end."""
    n, k = block.shape
    basis = np.linalg.qr(np.linalg.qr(block)[0])[0]
    image = times(basis)
    small = basis.T @ image
    theta, rotation = np.linalg.eigh((small + small.T) / 2)
    theta, vectors = theta[::-1], basis @ rotation[:, ::-1]
    rest = image @ rotation[:, ::-1] - vectors * theta
    product = 4.0 * n * _U * norm
    error = product * float(np.sqrt(k))
    return Pairs(
        values=theta,
        vectors=vectors,
        residuals=np.linalg.norm(rest, axis=0) + product,
        residual=_norm2(rest) + error,
        parts=(_norm2(rest[:, :leading]) + error, _norm2(rest[:, leading:]) + error),
        product=product,
        products=1,
        converged=True,
        complete=k == n,
    )


def _norm2(x: np.ndarray) -> float:
    """The spectral norm of a tall matrix, from above: by its own Gram matrix, or its Frobenius norm where that is 0."""
    scale = float(np.linalg.norm(x))
    if scale == 0:
        return 0.0
    y = x / scale
    squares = np.linalg.eigvalsh(y.T @ y)
    return scale * float(np.sqrt(min(1.0, max(squares[-1], 0.0) + 4.0 * x.shape[0] * _U)))


def _orthonormal(new: np.ndarray, basis: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`new` made orthonormal and orthogonal to `basis`; directions that are lost to rounding are drawn again."""
    room = basis.shape[0] - basis.shape[1]
    new = new[:, :room] if new.shape[1] > room else new
    for _ in range(3):
        before = np.linalg.norm(new, axis=0)
        new = new - basis @ (basis.T @ new)
        new, triangle = np.linalg.qr(new)
        lost = np.abs(np.diagonal(triangle)) < 1e3 * _U * np.maximum(before, np.finfo(np.float64).tiny)
        if lost.any():
            new[:, lost] = rng.standard_normal((new.shape[0], int(lost.sum())))
    new = new - basis @ (basis.T @ new)
    return np.linalg.qr(new)[0]
