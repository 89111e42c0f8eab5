"""What is a Gram matrix? Its entries, its symmetry and how far its entries may be rounded."""

from __future__ import annotations

import abc
import math
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _display, _plots, _precision, _provenance
from ntkseq._struct import fill, static, struct
from ntkseq._types import ArrayLike, Index
from ntkseq.grams import facts, plots
from ntkseq.grams.digits import in_norm
from ntkseq.grams.protocol import ArrayProtocol
from ntkseq.grams.sampling import kept
from ntkseq.kernels.origin import Origin

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Gram(ArrayProtocol, abc.ABC):
    """A matrix of kernel values with an upper estimate of its rounding.

    `rounding` is an upper estimate of |computed - exact| in spectral norm. A Gram goes wherever an array goes. A number
    times a Gram, a Gram plus a number, -K, K.T, and sums and differences of two Grams are Grams with the rounding that
    follows; everything else (K * A with an array A, K @ v, K**2, K.mean()) is a plain array or number, of whose
    rounding nothing is known. To add c I: K + grams.DenseGram(c * np.eye(n), rounding=0.0).

    Where the entries are not held (`LazyGram`, `Operator`), loops and indices compute the rows they need; K @ v, `sum`,
    `mean` and `trace` take products or the diagonal; what needs all entries is refused beyond 1 GiB.
    """

    symmetric: bool
    """Whether it is the matrix of one set of inputs with itself."""
    rounding: Any
    frobenius: bool = False
    """Whether `rounding` bounds the Frobenius norm of the error as well."""
    entrywise: float | None = None
    """e with |computed_ij - exact_ij| <= e sqrt(K_ii K_jj), if errors are known entry by entry."""
    estimated: str = ""
    """Why `rounding` is an estimate, as where it was measured; empty if it is a bound. No bound made of it is
    certified."""
    sampling: Any = None
    """A `grams.sampling.Sampling` if the kernel is a Monte Carlo estimate: `rounding` then holds its error."""
    stated: bool = True
    """Whether who computed the entries states `rounding`; False where only their dtype was known, see `as_gram`."""
    by_product: bool = False
    """Whether `rounding` is that of each product with a unit vector by itself, and not of one matrix."""
    audit: Any = None
    """The `grams.auditing.Audit` of the entries that were computed again; None without one."""

    @property
    def chance(self) -> float:
        """With what probability `rounding` is too small: that of the audit, 0 without one."""
        return 0.0 if self.audit is None else float(self.audit.delta)

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @abc.abstractmethod
    def times(self, V: ArrayLike) -> Float[np.ndarray, "n ..."]:
        """The matrix times a vector (m,) or a block of vectors (m, k): products and sums in host float64.

        Raises:
            ValueError: V of another shape, not finite, or traced.
        """

    def mv(self, v: Float[Array, " m"]) -> Float[Array, " n"]:
        """Matrix times vector, in the dtype of v: `times` for use from JAX code.

        Args:
            v: (m,).

        Raises:
            ValueError: v of another shape, not finite, or traced.
        """
        _checks.outside("v", v, "")
        v = _checks.floating("v", v)
        return jnp.asarray(self.times(v), v.dtype)

    @abc.abstractmethod
    def norm_fro(self) -> float:
        """The Frobenius norm, summed in float64; inf where products alone do not tell it.

        Where the entries are not held, the first product tells it as well; before, it takes a pass over them.
        """

    def known_norm(self) -> float | None:
        """`norm_fro` where it takes no pass over the entries; None elsewhere."""
        norm = self.norm_fro()
        return norm if math.isfinite(norm) else None

    def norm_error(self) -> float:
        """How far `norm_fro` may be off where it comes of a difference, beyond 4 n eps of itself; 0 elsewhere."""
        return 0.0

    def known_trace(self) -> float | None:
        """The trace, summed in float64; None where products alone do not tell it."""
        return float(np.sum(np.asarray(self.diag(), np.float64)))

    @abc.abstractmethod
    def diag(self) -> Float[Array | np.ndarray, " k"]:
        """The diagonal. What is float64 comes as a NumPy array where JAX is in its 32-bit mode; so do rows."""

    @abc.abstractmethod
    def rows(self, which: Index) -> Float[Array | np.ndarray, "k m"]:
        """The rows `which`, an index array or slice, (k, m)."""

    @abc.abstractmethod
    def dense(self) -> Float[Array | np.ndarray, "n m"]:
        """All entries, where and in the dtype in which they are held."""

    def hold(self) -> DenseGram:
        """The same matrix with all entries held, computed where they are not."""
        known = {name: getattr(self, name) for name in ("frobenius", "entrywise", "estimated", "sampling", "stated")}
        rounding = float(self.rounding)
        if self.by_product:  # every column is a product, and off by as much: |E|_2 <= |E|_F <= sqrt(n) rounding
            rounding, known["frobenius"] = math.nextafter(rounding * math.sqrt(self.shape[1]), math.inf), True
        return DenseGram(self.dense(), rounding, self.symmetric, **known)

    @property
    def T(self) -> Gram:
        """The transpose, with its rounding: the matrix itself if it is symmetric."""
        return self if self.symmetric else self._transposed()

    def _transposed(self) -> Gram:
        raise NotImplementedError

    def _holding(self, **known: Any) -> Gram:
        """A Gram of other entries, as arithmetic makes it."""
        return DenseGram(**known)

    def plot(self, ax: Axes | None = None, *, y: ArrayLike | None = None, correlations: bool = False) -> Axes:
        """A map of the entries, with the rounding above it; of a large Gram some rows and columns, evenly.

        Args:
            ax: matplotlib Axes to draw into; new ones of pyplot if None.
            y: labels (n,), by which the examples are sorted.
            correlations: draw K_ij / sqrt(K_ii K_jj).

        Raises:
            ValueError: labels or correlations of a cross Gram; labels of another shape.
            ImportError: matplotlib is not installed.
        """
        return plots.entries(self, _plots.shown(ax, height=4.6), y=y, correlations=correlations)

    def _repr_html_(self) -> str:
        name = "rounding" if self.sampling is None else "sampling error"
        rows = [("entries", f"{self.shape[0]} x {self.shape[1]}, {self.dtype}"), ("symmetric", self.symmetric)]
        how = self.estimated or ("stated by the kernel" if self.stated else "of the dtype alone")
        rows += [(name, f"{float(self.rounding):.2e} in spectral norm"), ("known by", how)]
        return _display.table(type(self).__name__, rows)

    def proved_rounding(self) -> float:
        """The rounding without what holds but for some probability."""
        return float(self.rounding)

    def multiple(self, factor: float) -> Gram | None:
        """The Gram times `factor` >= 0 where that is cheaper than with all entries; None: it is not."""
        return None


UNKNOWN = "unknown"
"""The rounding of a `DenseGram` that was left out."""

_ROWS = 512  # rows of a Dense that are in float64 at a time


@struct
class DenseGram(Gram):
    """A Gram matrix held as one array. Without `rounding`: what `as_gram` says of the array. 0 means: it is exact.

    Attributes:
        array: the entries, floats, (n, m).

    Raises:
        ValueError: another rank, no floats, NaN or infinity; a rounding that is negative or NaN.
    """

    array: Float[Array | np.ndarray, "n m"]
    rounding: Any = UNKNOWN
    symmetric: bool = static(default=True)
    frobenius: bool = static(default=False)
    entrywise: Any = static(default=None)
    estimated: str = static(default="")
    sampling: Any = None
    stated: bool = static(default=True)

    def __post_init__(self) -> None:
        fill(self, array=facts.checked(self.array, "array"))
        if self.rounding is not UNKNOWN:
            _checks.rounding("rounding", self.rounding)
            if self.entrywise is not None:
                _checks.rounding("entrywise", self.entrywise)
            return
        known: dict[str, Any] = {"rounding": float("inf")}  # a placeholder, or a trace
        if isinstance(self.array, np.ndarray) or _checks.is_concrete(self.array):
            if self.entrywise is None:
                found = facts.known(self.array, "array", _provenance.recall(self.array))
            else:
                found = facts.of_entries(self.array, self.entrywise, self.symmetric)
            known = {name: found[name] for name in ("rounding", "frobenius", "entrywise")}
            known["stated"] = self.stated and found.get("stated", True)
            known["estimated"] = self.estimated or found.get("estimated", "")
            known["sampling"] = found.get("sampling") if self.sampling is None else self.sampling
        fill(self, **known)

    @property
    def shape(self) -> tuple[int, int]:
        return self.array.shape  # pyright: ignore[reportReturnType]

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    def mv(self, v: Float[Array, " m"]) -> Float[Array, " n"]:
        held, v = self._here(), _checks.floating("v", v)
        if v.shape != self.shape[1:]:
            raise ValueError(f"v must be a vector of shape ({self.shape[1]},); got {v.shape}. Blocks: times(V).")
        _checks.finite("v", v)
        return super().mv(v) if isinstance(held, np.ndarray) else _precision.product("ij,j->i", held, v)

    def times(self, V: ArrayLike) -> Float[np.ndarray, "n ..."]:
        V, single = column_block(V, self.shape)
        array = np.asarray(self.array)
        out = np.empty((self.shape[0], V.shape[1]))
        for start in range(0, self.shape[0], _ROWS):
            out[start : start + _ROWS] = array[start : start + _ROWS].astype(np.float64) @ V
        return out[:, 0] if single else out

    def norm_fro(self) -> float:
        return float(np.linalg.norm(np.asarray(self.array, np.float64)))

    def hold(self) -> DenseGram:
        return self

    def diag(self) -> Float[Array | np.ndarray, " k"]:
        return self._here().diagonal()

    def rows(self, which: Index) -> Float[Array | np.ndarray, "k m"]:
        return self._here()[np.asarray(which) if isinstance(which, (list, tuple, range)) else which]

    def take(self, which: Index) -> DenseGram:
        """The Gram matrix of the examples `which`, an index array or slice, with its own rounding."""
        index = self._examples(which)
        array = self._here()[np.ix_(index, index)]
        rounding = float(self.rounding)  # of a part no more than of the whole
        if self.entrywise is not None:  # |E|_F <= e tr K
            rounding = min(rounding, in_norm(float(self.entrywise), float(np.trace(np.asarray(array, np.float64)))))
        known = kept(self, "it is that of some of the examples")
        return DenseGram(array, rounding, True, self.frobenius, self.entrywise, **known)

    def _examples(self, which: Index) -> np.ndarray:
        """The numbers of the examples that `take` is asked for."""
        try:
            index = np.arange(self.shape[0])[which].reshape(-1)
        except (IndexError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"which must be an index array or a slice; got {_checks.shown(which)} ({_checks.why(error)})."
            ) from None
        if not self.symmetric or len(np.unique(index)) != len(index):
            raise ValueError("take chooses different examples of a symmetric Gram matrix. Index a cross Gram yourself.")
        return index

    def _transposed(self) -> DenseGram:
        known = kept(self, "it is that of the transpose") | {"sampling": self.sampling}
        return DenseGram(self._here().T, self.rounding, False, self.frobenius, self.entrywise, **known)

    def _part(self, index: tuple[Any, ...]) -> Any:
        """A block of some examples with themselves, K[:9, :9], keeps its rounding."""
        part, e = self._here()[index], self.entrywise
        block = len(index) == 2 and isinstance(index[0], slice) and isinstance(index[1], slice) and index[0] == index[1]
        if block and self.symmetric and self.stated and e is not None:
            _provenance.remember(part, Origin.known(float(e), None, self.estimated, self.sampling is not None))
        return part

    def _here(self) -> Any:
        """The entries for JAX, or for NumPy where JAX would round them."""
        return _precision.handed(self.array)

    def __getstate__(self) -> dict[str, Any]:
        """In NumPy: JAX would read float64 back as float32 where it is in its 32-bit mode."""
        return self.__dict__ | {"array": np.asarray(self.array)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """What was written before a Gram said whether its rounding is stated counts as not stated."""
        fill(self, **({"stated": False} | state))
        fill(self, array=self._here())

    def dense(self) -> Float[Array | np.ndarray, "n m"]:
        return self.array

    def __repr__(self) -> str:
        kind = "symmetric, " if self.symmetric else ""
        error = "rounding" if self.sampling is None else "sampling error"
        return _display.folded(
            f"DenseGram({self.shape[0]} x {self.shape[1]}, {kind}{self.dtype}, {error} {float(self.rounding):.1e})"
        )


def rows_by_products(K: Gram, which: Index) -> Float[np.ndarray, "k n"]:
    """Some rows of a symmetric matrix: its products with unit vectors."""
    index = np.arange(K.shape[0])[which].reshape(-1)
    unit = np.zeros((K.shape[0], len(index)))
    unit[index, np.arange(len(index))] = 1.0
    return K.times(unit).T


def column_block(V: ArrayLike, shape: tuple[int, int]) -> tuple[np.ndarray, bool]:
    """V as a block (m, k) in host float64, and whether it was one vector.

    Raises:
        ValueError: V of another shape, not finite, or traced.
    """
    block = _checks.numbers("V", V)
    if block.ndim not in (1, 2) or block.shape[0] != shape[1]:
        raise ValueError(
            f"V must be a vector ({shape[1]},) or a block ({shape[1]}, k), for a Gram matrix of shape {shape}; "
            f"got shape {block.shape}."
        )
    _checks.finite("V", block)
    single = block.ndim == 1
    return (block[:, None] if single else block), single
