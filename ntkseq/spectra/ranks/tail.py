"""How many directions are left behind the leading ones?"""

from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _display
from ntkseq._struct import fill
from ntkseq.spectra.ranks.base import EffectiveRank, resolved
from ntkseq.spectra.ranks.moments import Intrinsic, Participation


@dataclasses.dataclass(frozen=True)
class Tail(EffectiveRank):
    """The rank of the values behind the leading k: r_k = sum_{i>k} s_i / s_{k+1}; nan for k >= rank.

    With rest=Participation() it is R_k = (sum_{i>k} s_i)^2 / sum_{i>k} s_i^2; r_k <= R_k <= r_k^2. Of a Gram or a
    spectrum it is nan where eigenvalue k + 1 is not resolved.

    Attributes:
        k: how many leading values to leave out, >= 0.
        rest: the definition for the others.

    Raises:
        ValueError: k is not an integer >= 0; rest is no definition.

    Reference: bartlett2020benign.

    Example:
        >>> from ntkseq import effective_rank, spectra
        >>> effective_rank([4.0, 2.0, 1.0, 0.0], spectra.ranks.Tail(1))
        1.5
    """

    k: int
    rest: EffectiveRank = Intrinsic()

    __repr__ = _display.record

    def __post_init__(self) -> None:
        k = _checks.number("k", self.k, "an integer >= 0")
        fill(self, k=_checks.integer("k", int(k) if k.is_integer() else self.k, 0))
        if not isinstance(self.rest, EffectiveRank):
            raise ValueError(
                f"rest must be an effective rank, such as ranks.Participation(); got {_checks.shown(self.rest)}."
            )

    @property
    def name(self) -> str:
        known = {Intrinsic(): "r", Participation(): "R"}
        return f"{known[self.rest]}_{self.k}" if self.rest in known else f"{self.rest.name}_behind_{self.k}"

    @property
    def formula(self) -> str:
        rest = f"sum over i > {self.k} of s_i"
        known = {Intrinsic(): f"{rest} / s_{self.k + 1}", Participation(): f"({rest})^2 / {rest}^2"}
        return known.get(self.rest, f"{self.rest.formula}, of s_i, i > {self.k}")

    def of(self, s: Float[np.ndarray, " n"]) -> float:
        return self.rest.of(s[self.k :]) if self.k < np.count_nonzero(s) else math.nan

    def estimate(self, s: Float[np.ndarray, " n"], errors: Float[np.ndarray, " n"]) -> float:
        return self.rest.estimate(s[self.k :], errors[self.k :]) if self.k < resolved(s, errors) else math.nan

    def bounds(self, s: Float[np.ndarray, " n"], errors: Float[np.ndarray, " n"]) -> tuple[float, float]:
        """(nan, nan) where value k + 1 may be 0."""
        if self.k >= s.size or s[self.k] <= errors[self.k]:
            return math.nan, math.nan
        return self.rest.bounds(s[self.k :], errors[self.k :])

    def batched(self, s: Float[Array, "... n"]) -> Float[Array, "..."]:
        if self.k >= s.shape[-1]:
            return jnp.full(s.shape[:-1], jnp.nan, s.dtype)
        return jnp.where(jnp.sum(s > 0, axis=-1) > self.k, self.rest.batched(s[..., self.k :]), jnp.nan)
