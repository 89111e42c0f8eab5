"""What is a Gram matrix? Its entries, its symmetry and how far its entries may be rounded."""

from __future__ import annotations

import abc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _precision
from ntkseq._struct import static, struct


class Gram(abc.ABC):
    """A matrix of kernel values with an upper estimate of its rounding.

    `rounding` is an upper estimate of |computed - exact| in spectral norm. A Gram goes wherever an array goes.
    """

    symmetric: bool
    rounding: Any

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @abc.abstractmethod
    def mv(self, v: Float[Array, " m"]) -> Float[Array, " n"]:
        """Matrix times vector, at full precision."""

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


@struct
class Dense(Gram):
    """A Gram matrix held as one array."""

    array: Float[Array | np.ndarray, "n m"]
    rounding: Any = 0.0
    symmetric: bool = static(default=True)

    @property
    def shape(self) -> tuple[int, int]:
        return self.array.shape  # pyright: ignore[reportReturnType]

    @property
    def dtype(self) -> Any:
        return self.array.dtype

    def mv(self, v: Float[Array, " m"]) -> Float[Array, " n"]:
        return _precision.product("ij,j->i", jnp.asarray(self.array), v)

    def diag(self) -> Float[Array, " k"]:
        return jnp.asarray(self.array.diagonal())

    def rows(self, which: Any) -> Float[Array, "k m"]:
        return jnp.asarray(self.array)[which]

    def dense(self) -> Float[Array | np.ndarray, "n m"]:
        return self.array

    def __repr__(self) -> str:
        kind = "symmetric, " if self.symmetric else ""
        return f"Dense({self.shape[0]} x {self.shape[1]}, {kind}{self.dtype}, rounding {float(self.rounding):.1e})"


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
    return Dense(array, rounding=rounding, symmetric=symmetric)  # pyright: ignore[reportArgumentType]
