"""How large are the errors of a Gram matrix really? Random pairs of examples, computed again in float64, say it."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from ntkseq import _checks, _display, _precision
from ntkseq._outward import at_most
from ntkseq._struct import static, struct
from ntkseq._types import AnyArray, AnyGram, AnyKernel, DType, GramLike, Index, Inputs, Lengths
from ntkseq.grams import sides
from ntkseq.grams.base import DenseGram, Gram
from ntkseq.grams.stores.stored import StoredGram
from ntkseq.kernels.base import Kernel, Side
from ntkseq.kernels.span import widened

_BYTES = 1 << 26  # of the examples of one batch of pairs, gathered
_BATCH = 1 << 10  # pairs of a batch, at most; batches are filled up, so that one shape is compiled


def audit(
    K: AnyGram,
    kernel: Kernel,
    x: Inputs,
    *,
    lengths: Lengths = None,
    pairs: int = 20_000,
    delta: float = 1e-6,
    seed: int = 0,
) -> AuditedGram | StoredGram:
    """Tighten `K.rounding`: random entries, computed again in float64, tell how large the errors are.

    A kernel states |K_ij - exact_ij| <= e d_i d_j with d_i = sqrt(K_ii), which is what the worst entry may do. Here
    random pairs, drawn with probability d_i^2 d_j^2 / (sum d^2)^2, are computed again in float64. With
    Z = ((K_ij - exact_ij) / (e d_i d_j))^2 in [0, 1]

        |K - exact|_F = e (sum d^2) sqrt(E Z),   E Z <= p,   m kl(mean Z, p) = log(2 / delta)             (numerics.13)

    and p becomes the `rounding` of the answer. `spectrum` draws as many pairs again, where its lowest eigenvectors
    live, and tells their eigenvalues far more closely than by any norm.

    It holds but for probability `delta` over the pairs drawn, whatever matrix K is: the pairs are drawn after it. What
    is taken on trust is e, as the range of Z; each pair is checked against it. It pays where n^2 / 2 is much more than
    2 `pairs`; below, compute in float64. A kernel that is itself sampled (`kernels.Gated`) gains nothing.

    Time of `pairs` entries in float64, memory O(n).

    Args:
        K: what `gram(kernel, x)` returned, symmetric; held, or stored.
        kernel, x, lengths: what it was computed from.
        pairs: m, how many are drawn, here and by `spectrum` again. The rounding falls with its root, down to
            e sqrt(log(2 / delta) / m).
        delta: probability that the rounding, or an error of `spectrum`, is too small.
        seed: of the pairs.

    Returns:
        A `grams.AuditedGram`, a `DenseGram` whose entries are those of K; of a `grams.StoredGram` one with the smaller
        rounding, which its folder does not keep.

    Raises:
        ValueError: K is not a held or stored, symmetric Gram of these inputs; it states no finite bound of its entries;
            or an entry is further off than stated.

    Example:
        >>> import jax, ntkseq
        >>> from ntkseq import grams, kernels
        >>> x = jax.random.normal(jax.random.key(0), (40, 6, 3))
        >>> kernel = kernels.Recurrent(sigma_w=1.4)
        >>> K = ntkseq.gram(kernel, x)
        >>> grams.audit(K, kernel, x, pairs=1000).rounding < K.rounding
        True
    """
    _checks.outside("x", x, "")
    pairs = _checks.positive_int("pairs", pairs)
    delta = _checks.probability("delta", delta)
    array, stated = _auditable(K)
    reference = _reference(kernel, x, lengths, K.dtype)
    if reference.size.shape != (array.shape[0],):
        raise ValueError(
            f"K must be the Gram matrix of x; got K of shape {array.shape} and {reference.size.size} examples. Pass "
            "what gram(kernel, x) was called with."
        )
    e = reference.rounding
    record = Audit(array, reference, (stated + e) / (1.0 - e), pairs, delta, _checks.seed("seed", seed))
    trace = float(np.sum(reference.size**2))
    sample = record.draw(reference.size**2, stream=0)
    norm = record.entrywise * trace * float(np.sqrt(above(sample.square, pairs, delta / 2)))
    rounding = min((norm + e * trace) * (1.0 + 1e-9), float(np.asarray(K.rounding)))
    if isinstance(K, StoredGram):
        return K.audited(rounding, record)
    return AuditedGram(
        K.array,
        rounding=rounding,
        symmetric=True,
        frobenius=bool(K.frobenius),
        entrywise=K.entrywise,
        estimated=K.estimated,
        sampling=K.sampling,
        stated=K.stated,
        audit=record,
    )


@struct
class AuditedGram(DenseGram):
    """A Gram matrix some of whose entries were computed again in float64. Made by `audit`."""

    audit: Any = static(default=None)

    def proved_rounding(self) -> float:
        return float(self.entrywise) * float(np.sum(np.asarray(self.array).diagonal().astype(np.float64)))

    def take(self, which: Index) -> AuditedGram:
        """The examples `which`, audited as all of them are: the rounding of a part is that of the whole, at most.

        Whenever the rounding of the whole holds, that of every part does: both fail with the same probability `delta`.
        `spectrum` draws pairs of the part's own.
        """
        index = self._examples(which)
        return self.audit.beside(super().take(index), index)

    def __repr__(self) -> str:
        chance = at_most(self.audit.delta, 2)
        return _display.folded(
            f"AuditedGram({super().__repr__()}, {self.audit.pairs} pairs, but for probability {chance})"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """Pairs of examples (i, j) and their errors relative to entrywise d_i d_j, in [-1, 1]."""

    i: Int[np.ndarray, " m"]
    j: Int[np.ndarray, " m"]
    error: Float[np.ndarray, " m"]

    @property
    def square(self) -> float:
        """The mean squared relative error."""
        return float(np.mean(self.error**2))


@dataclasses.dataclass(frozen=True, eq=False)
class Audit:
    """A matrix, the same in float64 entry by entry, and what is known of their difference.

    `entrywise` bounds |matrix_ij - float64_ij| / (d_i d_j).
    """

    array: Any
    reference: Reference
    entrywise: float
    pairs: int
    delta: float
    seed: int

    @property
    def size(self) -> Float[np.ndarray, " n"]:
        """d_i, the roots of the diagonal."""
        return self.reference.size

    def beside(self, gram: DenseGram, index: Int[np.ndarray, " k"] | None = None) -> AuditedGram:
        """The same entries held, or those of some examples, with this audit."""
        reference = self.reference if index is None else self.reference.take(index)
        fields = {field.name: getattr(gram, field.name) for field in dataclasses.fields(gram)}
        return AuditedGram(**fields, audit=dataclasses.replace(self, array=np.asarray(gram.array), reference=reference))

    def _computed(self, i: Int[np.ndarray, " k"], j: Int[np.ndarray, " k"]) -> np.ndarray:
        """Entries of the matrix, pair by pair."""
        return self.array.entries(i, j) if isinstance(self.array, StoredGram) else np.asarray(self.array)[i, j]

    def draw(self, weight: Float[np.ndarray, " n"], stream: int) -> Sample:
        """Independent pairs with probability weight_i weight_j / (sum weight)^2, and their errors.

        Args:
            weight: of each example, >= 0.
            stream: pairs of two streams are independent.

        Raises:
            ValueError: an error is larger than stated.
        """
        total = np.cumsum(weight)
        rng = np.random.default_rng((self.seed, stream))
        last = int(np.flatnonzero(weight)[-1]) if total[-1] > 0 else 0
        i, j = (
            np.minimum(np.searchsorted(total, total[-1] * u, side="right"), last) for u in rng.random((2, self.pairs))
        )
        n = weight.size
        # each pair once, however often it is drawn
        code, back = np.unique(np.minimum(i, j) * n + np.maximum(i, j), return_inverse=True)
        rows, columns = np.divmod(code, n)
        gap = self._computed(rows, columns).astype(np.float64) - self.reference(rows, columns)
        scale = self.entrywise * self.size[rows] * self.size[columns]
        error = gap / np.where(scale > 0, scale, 1.0)
        if not (np.abs(error) <= 1.0).all():
            worst = int(np.argmax(np.where(np.isnan(error), np.inf, np.abs(error))))
            raise ValueError(
                f"entry ({rows[worst]}, {columns[worst]}) of K is {abs(gap[worst]):.2g} away from its value in "
                f"float64, {abs(error[worst]):.2g} times what K.entrywise allows. Either K was not computed from this "
                "kernel, x and lengths, or the kernel states too little of its rounding: then compute in float64."
            )
        return Sample(i, j, error[back])


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """Entries of a Gram matrix in float64, pair by pair; `rounding` bounds |float64_ij - exact_ij| / (d_i d_j)."""

    kernel: Kernel
    side: Side
    diagonal: Float[np.ndarray, " n"]
    size: Float[np.ndarray, " n"]
    rounding: float

    def take(self, index: Int[np.ndarray, " k"]) -> Reference:
        """Some of the examples."""
        with jax.enable_x64(True):
            side = jax.tree.map(lambda leaf: leaf[index], self.side)
        return Reference(self.kernel, side, self.diagonal[index], self.size[index], self.rounding)

    def __call__(self, i: Int[np.ndarray, " m"], j: Int[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """The kernel of examples i and j, pair by pair."""
        batch = self._batch()
        found = np.empty(len(i))
        with jax.enable_x64(True):
            for start in range(0, len(i), batch):
                index = np.stack([i, j])[:, start : start + batch]
                count = index.shape[1]
                index = np.pad(index, ((0, 0), (0, batch - count)), mode="edge")
                found[start : start + count] = np.asarray(_pairs(self.kernel, self.side, *index))[:count]
        same = i == j  # exact there, as in `gram`
        found[same] = self.diagonal[i[same]]
        if not np.isfinite(found).all():
            raise sides.overflow("float64")
        return found

    def _batch(self) -> int:
        leaves = jax.tree.leaves(self.side)
        each = sum(leaf.nbytes for leaf in leaves) // max(self.size.size, 1)
        wide = each + 8 * self.kernel.entries_per_pair(self.side)
        return int(np.clip(_BYTES // (2 * wide), 1, _BATCH))


def _reference(kernel: AnyKernel, x: Inputs, lengths: Lengths, dtype: DType) -> Reference:
    """The kernel and its inputs, rounded as they were for K and then held in float64."""
    if not isinstance(kernel, Kernel):
        raise ValueError(f"kernel must be an ntkseq Kernel; got {type(kernel).__name__}. See ntkseq.kernels.")

    given = jax.tree.leaves(x)
    x = x if given and all(hasattr(leaf, "dtype") for leaf in given) else _checks.host("x", x)  # numbers in lists
    x = jax.tree.map(lambda leaf: np.asarray(leaf, dtype) if leaf.dtype == np.float64 else leaf, x)
    with jax.enable_x64(True):
        there, x = jax.tree.map(widened, (kernel, x))
        pair = sides.prepare(there, x, None, lengths, None, wanted="an audited Gram")
        diagonal = np.asarray(pair.diagonal, np.float64)
        rounding = float(there.entry_rounding(pair.left))
    if pair.diagonal.dtype != np.float64:
        raise ValueError(
            f"the kernel must compute in float64 to be audited; got {pair.diagonal.dtype}. It casts to a fixed dtype."
        )
    return Reference(there, pair.left, diagonal, np.sqrt(np.maximum(diagonal, 0.0)), rounding)


@jax.jit
def _pairs(kernel: Kernel, side: Side, i: jax.Array, j: jax.Array) -> jax.Array:
    def one(a: AnyArray, b: AnyArray) -> jax.Array:
        first, second = (jax.tree.map(lambda leaf, at=at: leaf[at][None], side) for at in (a, b))
        return kernel.tile(first, second)[0, 0]

    return jax.vmap(one)(i, j)


def _auditable(K: GramLike) -> tuple[np.ndarray | StoredGram, float]:
    """The entries of a Gram that may be audited, or itself where they are stored, and its bound of their errors."""
    if not isinstance(K, (DenseGram, StoredGram)):
        kind = type(K).__name__
        hint = "Hold it: gram(kernel, x)." if isinstance(K, Gram) else "Pass what gram(kernel, x) returned."
        raise ValueError(f"K must be a Gram matrix that is held; got {kind}. {hint}")
    if isinstance(K, DenseGram):
        _checks.outside("K", K.array, "")
    if not K.symmetric:
        raise ValueError(
            f"K must be the Gram matrix of one set of inputs; got shape {K.shape}, symmetric=False. "
            "Pass gram(kernel, x)."
        )
    stated = float("nan") if K.entrywise is None else float(K.entrywise)
    if not np.isfinite(stated):
        raise ValueError(
            f"K must state a finite bound of its entries, the range of what is sampled; got entrywise={K.entrywise}. "
            "Compute in float64."
        )
    if _precision.eps(K.dtype) <= float(np.finfo(np.float64).eps):
        raise ValueError(f"K must be coarser than float64, in which it is looked at again; got {K.dtype}.")
    return (np.asarray(K.array) if isinstance(K, DenseGram) else K), stated


def above(mean: float, count: int, delta: float) -> float:
    """Upper bound, but for probability delta, of the expectation of `count` independent variables in [0, 1].

    The p > mean with count kl(mean, p) = log(1 / delta), kl(a, b) = a log(a/b) + (1 - a) log((1 - a)/(1 - b)).
    This is Hoeffding's inequality before it is weakened to a square.
    """
    wanted = float(np.log(1.0 / delta)) / count

    def kl(p: float) -> float:
        first = mean * np.log(mean / p) if mean > 0 else 0.0
        return float(first + (1.0 - mean) * np.log((1.0 - mean) / (1.0 - p)))

    low, high = mean, 1.0
    for _ in range(64):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if middle >= 1.0 or kl(middle) > wanted else (middle, high)
    return high * (1.0 + 1e-12)
