"""What is a Gram matrix? Its entries, its symmetry and how far its entries may be rounded."""

from __future__ import annotations

import abc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _precision
from ntkseq._struct import static, struct


class Gram(abc.ABC):
    """A matrix of kernel values with an upper estimate of its rounding.

    `rounding` is an upper estimate of |computed - exact| in spectral norm. A Gram goes wherever an array goes.
    """

    symmetric: bool
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

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @abc.abstractmethod
    def times(self, V: Any) -> Float[np.ndarray, "n ..."]:
        """The matrix times a vector (m,) or a block of vectors (m, k): products and sums in host float64.

        Raises:
            ValueError: V of another shape, not finite, or traced.
        """

    def mv(self, v: Float[Array, " m"]) -> Float[Array, " n"]:
        """Matrix times vector, in the dtype of v: `times` for use from JAX code."""
        v = _checks.floating("v", v)
        return jnp.asarray(self.times(v), v.dtype)

    @abc.abstractmethod
    def norm_fro(self) -> float:
        """The Frobenius norm, summed in float64."""

    @abc.abstractmethod
    def diag(self) -> Float[Array, " k"]:
        """The diagonal."""

    @abc.abstractmethod
    def rows(self, which: Any) -> Float[Array, "k m"]:
        """Some rows, chosen by an index array or slice."""

    @abc.abstractmethod
    def dense(self) -> Float[Array | np.ndarray, "n m"]:
        """All entries, where and in the dtype in which they are held."""

    @property
    def ndim(self) -> int:
        return 2

    def __len__(self) -> int:
        return self.shape[0]

    def __jax_array__(self) -> Float[Array, "n m"]:
        return jnp.asarray(self.dense())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.dense(), dtype=dtype)

    def __getitem__(self, index: Any) -> Any:
        return self.dense()[index]


_ROWS = 512  # rows of a Dense that are in float64 at a time


@struct
class Dense(Gram):
    """A Gram matrix held as one array."""

    array: Float[Array | np.ndarray, "n m"]
    rounding: Any = 0.0
    symmetric: bool = static(default=True)
    frobenius: bool = static(default=False)
    entrywise: Any = static(default=None)
    estimated: str = static(default="")
    sampling: Any = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.array.shape  # pyright: ignore[reportReturnType]

    @property
    def dtype(self) -> Any:
        return self.array.dtype

    def mv(self, v: Float[Array, " m"]) -> Float[Array, " n"]:
        return _precision.product("ij,j->i", jnp.asarray(self.array), v)

    def times(self, V: Any) -> Float[np.ndarray, "n ..."]:
        V, single = column_block(V, self.shape)
        array = np.asarray(self.array)
        out = np.empty((self.shape[0], V.shape[1]))
        for start in range(0, self.shape[0], _ROWS):
            out[start : start + _ROWS] = array[start : start + _ROWS].astype(np.float64) @ V
        return out[:, 0] if single else out

    def norm_fro(self) -> float:
        return float(np.linalg.norm(np.asarray(self.array, np.float64)))

    def diag(self) -> Float[Array, " k"]:
        return jnp.asarray(self.array.diagonal())

    def rows(self, which: Any) -> Float[Array, "k m"]:
        return jnp.asarray(self.array)[which]

    def dense(self) -> Float[Array | np.ndarray, "n m"]:
        return self.array

    def __repr__(self) -> str:
        kind = "symmetric, " if self.symmetric else ""
        error = "rounding" if self.sampling is None else "sampling error"
        return f"Dense({self.shape[0]} x {self.shape[1]}, {kind}{self.dtype}, {error} {float(self.rounding):.1e})"


def column_block(V: Any, shape: tuple[int, int]) -> tuple[np.ndarray, bool]:
    """V as a block (m, k) in host float64, and whether it was one vector.

    Raises:
        ValueError: V of another shape, not finite, or traced.
    """
    if isinstance(V, jax.Array) and not _checks.is_concrete(V):
        raise ValueError("products of a Gram matrix run on the host and cannot be traced. Call them outside jit.")
    block = np.asarray(V, np.float64)
    if block.ndim not in (1, 2) or block.shape[0] != shape[1]:
        raise ValueError(
            f"a Gram matrix of shape {shape} multiplies vectors ({shape[1]},) or blocks ({shape[1]}, k); "
            f"got shape {block.shape}."
        )
    _checks.finite("V", block)
    single = block.ndim == 1
    return (block[:, None] if single else block), single


def as_gram(K: Any) -> Gram:
    """`K` itself if it is a Gram; an array becomes a `Dense` whose rounding is that of its own dtype.

    Raises:
        ValueError: not a matrix.
    """
    if isinstance(K, Gram):
        return K
    array = K if isinstance(K, (jax.Array, np.ndarray)) else np.asarray(K)
    if array.ndim != 2 or array.dtype.kind != "f":
        raise ValueError(f"K must be a matrix of floats, shape (n, m); got shape {array.shape}, dtype {array.dtype}.")
    square = array.shape[0] == array.shape[1]
    symmetric = square and bool(np.array_equal(np.asarray(array), np.asarray(array).T))
    # each entry is at best rounded once: |E|_2 <= |E|_F <= eps/2 |K|_F
    rounding = 0.5 * float(np.finfo(array.dtype).eps) * float(np.linalg.norm(np.asarray(array, np.float64)))
    return Dense(array, rounding=rounding, symmetric=symmetric, frobenius=True)  # pyright: ignore[reportArgumentType]
