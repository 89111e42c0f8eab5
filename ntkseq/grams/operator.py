"""What is a symmetric matrix of which only the products with vectors are known?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _display, _precision
from ntkseq._types import ArrayLike, Index
from ntkseq.grams.base import Gram, column_block, rows_by_products

_PROBES = 4
_SAFETY = 8.0


@dataclasses.dataclass(eq=False)
class Operator(Gram):
    """A symmetric matrix given by its products, such as those of an empirical kernel without its Gram matrix.

    Args:
        product: V (n, k) to K V (n, k); with `block=False` v (n,) to K v (n,), called once per column.
        n: rows and columns.
        rounding: upper estimate of |product(v) - K v| / |v|, K the exact matrix. None: estimated from how far the
            products are from symmetric, |u.Kv - v.Ku| for random u and v, times 8, and at least 8 eps |K v| / |v|.
            An estimate, not a bound.
        diagonal: (n,), if known: the trace is then exact.
        dtype: in which vectors are handed over, as NumPy arrays; None: JAX's default float.
        block: whether `product` takes a block of vectors.

    `product` runs in the mode of JAX, 64-bit or 32-bit, in which the Operator was made.

    Raises:
        ValueError: products of another shape, not finite, or so far from symmetric that rounding does not explain it.

    Example:
        >>> import numpy as np
        >>> from ntkseq import grams
        >>> K = grams.Operator(lambda V: 2 * V, 5)
        >>> K.times(np.ones(5)).tolist()
        [2.0, 2.0, 2.0, 2.0, 2.0]
    """

    product: Callable[[Any], Any]
    n: int
    rounding: Any = None
    diagonal: Any = None
    dtype: Any = None
    block: bool = True
    symmetric = True
    held = False
    by_product = True

    def __repr__(self) -> str:
        n, how = self.shape[0], "estimated " * bool(self.estimated)
        return _display.folded(
            f"Operator({n} x {n}, symmetric, {self.dtype}, {how}rounding of a product {float(self.rounding):.1e})"
        )

    def __post_init__(self) -> None:
        _checks.function("product", self.product, "of a block of vectors")
        self.n = _checks.positive_int("n", self.n)
        self._x64 = _precision.x64()  # the products keep the setting under which they were measured
        self.dtype = _checks.float_dtype("dtype", self.dtype) if self.dtype is None else self._dtype()
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"dtype must be float32 or float64; got {self.dtype}.")
        if self.diagonal is not None:
            self.diagonal = _checks.labels("diagonal", self.diagonal, self.n)
        if self.rounding is None:
            self.rounding = self._measured()
            self.estimated = "measured by how far products are from symmetric, not proved"
        self.rounding = _checks.nonnegative("rounding", self.rounding)

    def _dtype(self) -> np.dtype:
        try:
            return np.dtype(self.dtype)
        except Exception:  # what NumPy says of no dtype has many kinds
            raise ValueError(f"dtype must be float32 or float64; got {_checks.shown(self.dtype)}.") from None

    @property
    def shape(self) -> tuple[int, int]:
        return self.n, self.n

    def times(self, V: ArrayLike) -> Float[np.ndarray, "n ..."]:
        V, single = column_block(V, self.shape)
        given = V.astype(self.dtype)
        with _precision.setting(self._x64):
            if self.block:
                out = np.asarray(self.product(given))
            else:
                columns = [np.asarray(self.product(given[:, j])) for j in range(V.shape[1])]
                out = np.stack(columns, axis=1) if columns else np.zeros((self.n, 0))
        if out.shape != V.shape:
            raise ValueError(
                f"product must return a block of the shape of its argument, {V.shape}; got {out.shape}. "
                "If it takes one vector at a time, pass block=False."
            )
        _checks.finite("what product returned", out)
        out = out.astype(np.float64)
        return out[:, 0] if single else out

    def norm_fro(self) -> float:
        """Not known without all entries: inf."""
        return float("inf")

    def known_trace(self) -> float | None:
        return None if self.diagonal is None else super().known_trace()

    def diag(self) -> Float[Array | np.ndarray, " k"]:
        if self.diagonal is None:
            raise ValueError("the diagonal of this Operator is not known. Pass diagonal= when it is made.")
        return _precision.handed(self.diagonal)

    def rows(self, which: Index) -> Float[Array | np.ndarray, "k m"]:
        return _precision.handed(rows_by_products(self, which))

    def dense(self) -> np.ndarray:
        return self.times(np.eye(self.n))

    def _measured(self) -> float:
        """How far the products are from symmetric, as an estimate of how far they are from exact."""
        rng = np.random.default_rng(0)
        V = rng.standard_normal((self.n, _PROBES)).astype(self.dtype).astype(np.float64)
        W = self.times(V)
        cross = V.T @ W
        lengths = np.linalg.norm(V, axis=0)
        # noise e in a product shows as u.e |v| ~ |u| |e| |v| / sqrt(n)
        gap = float(np.max(np.abs(cross - cross.T) / np.outer(lengths, lengths)) * np.sqrt(self.n))
        size = float(np.max(np.linalg.norm(W, axis=0) / lengths))
        eps = _precision.eps(self.dtype)
        if gap > np.sqrt(eps) * size:
            raise ValueError(
                f"product is not that of a symmetric matrix: |u.Kv - v.Ku| is {gap / max(size, 1e-300):.2g} of |u| "
                "|Kv|, more than rounding explains. Only symmetric matrices have the spectra computed here."
            )
        return _SAFETY * max(gap, eps * size)
