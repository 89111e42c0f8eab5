"""Have the tokens of all inputs the same norm, and what have they in common? What the power series start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntkseq import _checks, _display, _precision
from ntkseq._bound import Assumption, worst
from ntkseq._types import ArrayLike


@dataclass(frozen=True, eq=False)
class Tokens:
    """Token norms per position, and the squared norm of the part that all inputs share.

        |x[t]|^2 = squares_t,    <x[t], x'[t]> = common_t + <x~[t], x~'[t]>                  (recurrent_bounds.1)

    Attributes:
        squares: |x[t]|^2.
        common: squared norm c_t of the shared part, 0 <= c_t <= squares_t.
        varying: |x~[t]|^2 = squares_t - c_t, exactly 0 where all inputs have the same token.
        features: number of features of a token, which `input_scale="dim"` divides by.
        shared: the shared part itself, orthogonal to the rest; None where it was only declared.
        assumption: that the norms are constant, and how that is known.
    """

    squares: Float[np.ndarray, " t"]
    common: Float[np.ndarray, " t"]
    varying: Float[np.ndarray, " t"]
    features: int
    shared: Float[np.ndarray, "t d"] | None
    assumption: Assumption

    __repr__ = _display.record

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.squares)

    @classmethod
    def measured(cls, x: ArrayLike, *, rounded: bool = False) -> Tokens:
        """Read norms and shared coordinates off the data.

        Where norms vary the largest counts, and the assumption fails, or is unresolved where they vary by no more than
        numbers of this precision must. Coordinates with the same value in all inputs are shared: a common first token,
        a bias coordinate.

        Args:
            x: inputs (n, t, d).
            rounded: whether you vouch that tokens had constant norms before they were rounded to x, as those that were
                divided by their norms; the assumption is then "declared" where it would be unresolved.

        Raises:
            ValueError: x is not (n, t, d), or not finite.
        """
        x = _checks.host("x", x)
        with _precision.setting(True):  # what follows is computed in float64
            given, _ = _checks.sequences("x", x)
        eps = _precision.eps(given.dtype)
        held = x  # JAX may round to float32
        eps = _precision.eps(held.dtype) if jnp.issubdtype(held.dtype, jnp.floating) else eps
        data = held.astype(np.float64)
        squares = np.sum(data**2, axis=2)  # (n, t)
        same = np.all(data == data[:1], axis=0)  # (t, d)
        shared = np.where(same, data[0], 0.0)
        varying = np.max(np.sum(np.where(same, 0.0, data) ** 2, axis=2), axis=0)
        common = np.sum(shared**2, axis=1)
        least, largest = squares.min(axis=0), squares.max(axis=0)
        spread = float(np.max((largest - least) / np.where(largest > 0, largest, 1.0)))
        status = worst(same_norm(data[:, t], eps) for t in range(data.shape[1]))
        left_open = "; declare it, by rounded=True or Tokens.declared" if status == "unresolved" and not rounded else ""
        return cls(
            squares=common + varying,
            common=common,
            varying=varying,
            features=data.shape[2],
            shared=shared,
            assumption=_constant(
                "declared" if status == "unresolved" and rounded else status,
                f"squared norms differ by up to {spread:.2g} of their size, {len(data)} inputs{left_open}",
            ),
        )

    @classmethod
    def declared(cls, norms: Sequence[float] | Any, *, common: ArrayLike | None = None, features: int = 1) -> Tokens:
        """Declare norms |x[t]| and squared norms c_t of the shared part, without data.

        Args:
            norms: (t,), one per position.
            common: (t,), the shared part's squared norm; None: nothing is shared.
            features: number of features, used only with `input_scale="dim"`.

        Raises:
            ValueError: numbers that are negative or do not fit.
        """
        sizes = _vector("norms", norms, None)
        shared = np.zeros(len(sizes)) if common is None else _vector("common", common, len(sizes))
        varying = sizes**2 - shared
        eps = 4 * float(np.finfo(np.float64).eps)
        varying = np.where(np.abs(varying) <= eps * sizes**2, 0.0, varying)
        if (varying < 0).any():
            t = int(np.flatnonzero(varying < 0)[0])
            raise ValueError(f"common must not exceed norms^2; got {shared[t]:g} > {sizes[t] ** 2:g} at position {t}.")
        features = _checks.positive_int("features", features)
        return cls(varying + shared, shared, varying, features, None, _constant("declared"))

    def whole_at(self, positions: Sequence[int]) -> Tokens:
        """The same with nothing split off at these positions, as for a target that reads the shared part there."""
        common = self.common.copy()
        common[list(positions)] = 0.0
        varying = np.where(common == self.common, self.varying, self.squares)
        return Tokens(self.squares, common, varying, self.features, self.shared, self.assumption)


def same_norm(tokens: Float[np.ndarray, "m d"], eps: float | None = None, norm: float | None = None) -> str:
    """Whether all tokens have the same norm, that given if one is: "holds" for the exact numbers, "fails" where no
    rounding of tokens at eps (None: that of their dtype) explains the difference, "unresolved" between.
    """
    tokens = np.asarray(tokens)
    if eps is None:
        eps = _precision.eps(tokens.dtype) if jnp.issubdtype(tokens.dtype, jnp.floating) else 0.0
    tokens = tokens.astype(np.float64)
    squares = np.sum(tokens**2, axis=1)
    wanted = squares[0] if norm is None else norm**2
    size = max(float(squares.max()), wanted)
    if float(max(np.max(squares), wanted) - min(np.min(squares), wanted)) > 4 * (tokens.shape[1] + 4) * eps * size:
        return "fails"
    magnitudes = np.sort(np.abs(tokens), axis=1)
    if np.all(magnitudes == magnitudes[:1]):  # the same numbers but for order and sign
        tokens = tokens[:1]
    exact = None if norm is None else Fraction(norm) ** 2
    for token in tokens:  # the first that differs ends it
        square = sum(Fraction(value) ** 2 for value in token.tolist())
        exact = square if exact is None else exact
        if square != exact:
            return "unresolved"
    return "holds"


def as_tokens(x: ArrayLike | Tokens) -> Tokens:
    """Tokens as they are, or measured on data."""
    return x if isinstance(x, Tokens) else Tokens.measured(x)


def _constant(status: str, evidence: str = "") -> Assumption:
    """The assumption that the norm of a token depends on its position alone."""
    words = "|x_i[t]| is the same for all inputs i, at every position t"
    return Assumption("token norms", words, status, evidence)


def _vector(name: str, value: object, length: int | None) -> np.ndarray:
    array = _checks.real(name, value)
    if array.ndim != 1 or not len(array) or (length is not None and len(array) != length):
        wanted = "(t,)" if length is None else f"({length},)"
        raise ValueError(f"{name} must have shape {wanted}, one number per position; got {array.shape}.")
    if (array < 0).any():
        raise ValueError(f"{name} must be finite and >= 0; got {_checks.shown(value)}.")
    return array
