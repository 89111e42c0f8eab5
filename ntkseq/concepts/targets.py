"""Which functions of a sequence do the theorems on recurrent networks speak of?"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks
from ntkseq._struct import fill, replace, static, struct
from ntkseq._types import ArrayLike
from ntkseq.concepts import _target
from ntkseq.concepts._target import Parts, Target
from ntkseq.concepts.series import Series, get

_UNIT = 1e-6  # a norm is called 1 within this: directions may have been made in float32


@struct
class Part:
    """phi(<beta, x[position]>), one token's share of an additive target. Unpacks as (position, beta, series)."""

    position: int = static()
    beta: Any  # (d,)
    series: Series

    def __iter__(self) -> Iterator[Any]:
        return iter((self.position, self.beta, self.series))


@struct
class Additive(Parts):
    """A sum of functions of single tokens: each token counts for itself, in its own way.

    f(x) = sum_l phi_l(<beta_l, x[l]>)

    Args:
        parts: `(position l, beta_l (d,), phi_l)` each; phi a Series or its name. Positions may repeat.

    Raises:
        ValueError: no part, a position below 0, directions of unlike size, a function that is not analytic.

    Reference: wang2021rnn (the class as its abstract states it).

    Example:
        >>> import jax.numpy as jnp
        >>> f = Additive([(0, [1.0, 0.0], "exp"), (2, [0.0, 2.0], "sin")])
        >>> round(float(f(jnp.zeros((3, 2)))), 6), f.steps
        (1.0, 3)
    """

    parts: Any  # tuple of Part

    references = ("wang2021rnn",)

    def __post_init__(self) -> None:
        if not isinstance(self.parts, (list, tuple)):
            raise ValueError(f"parts must be a list of (position, beta, series); got {_checks.shown(self.parts)}.")
        parts = tuple(_part(given) for given in self.parts)
        if not parts:
            raise ValueError("parts must hold at least one (position, beta, series); got none.")
        _target.same_features("beta", [part.beta for part in parts])
        fill(self, parts=parts)

    @property
    def steps(self) -> int:
        return 1 + max(part.position for part in self.parts)

    def __call__(self, x: ArrayLike) -> Float[Array, ""]:
        x = self.read(x)
        beta = jnp.stack([_target.in_dtype(part.beta, x) for part in self.parts])
        z = _target.product("kd,kd->k", x[np.array([part.position for part in self.parts])], beta)
        total = jnp.zeros((), x.dtype)
        for phi, where in _target.by_series(part.series for part in self.parts):
            total = total + jnp.sum(phi(z[where]))
        return total


@struct
class NVariable(Target):
    """One function of N tokens together, which is not additive in them.

    f(x) = phi(sum_j <beta_j, x[l_j]>)

    Args:
        positions: l_1..l_N, all different.
        betas: (N, d), one direction per position.
        series: phi, a Series or its name.

    Raises:
        ValueError: no position or twice the same, another number of directions, a function that is not analytic.

    Reference: wang2021rnn (the class as its abstract states it).

    Example:
        >>> f = NVariable((1, 4), [[1.0], [1.0]], "sin")
        >>> f.variables, f.span
        (2, 3)
    """

    positions: Any = static()  # tuple of int
    betas: Any  # (N, d)
    series: Any = static()  # Series

    references = ("wang2021rnn",)

    def __post_init__(self) -> None:
        try:
            listed = [operator.index(one) for one in self.positions]
        except TypeError:
            raise ValueError(
                f"positions must be integers >= 0, one per token; got {_checks.shown(self.positions)}."
            ) from None
        positions = tuple(_target.position("positions", one) for one in listed)
        betas = _target.directions("betas", self.betas, "N d")
        if len(set(positions)) != len(positions) or betas.shape[0] != len(positions):
            raise ValueError(
                f"positions must be N different ones, with one row of betas (N, d) each; got positions {positions} and "
                f"betas {betas.shape}. Add up the directions of equal positions."
            )
        fill(self, positions=positions, betas=betas, series=get(self.series))

    @property
    def variables(self) -> int:
        """N, the number of tokens that count."""
        return len(self.positions)

    @property
    def span(self) -> int:
        """l_0 = max_j l_j - min_j l_j, how far the tokens that count lie apart."""
        return max(self.positions) - min(self.positions)

    @property
    def blocks(self) -> tuple[tuple[int, Any], ...]:
        """`(position, beta)` of each token that counts."""
        return tuple((position, self.betas[j]) for j, position in enumerate(self.positions))

    @property
    def members(self) -> tuple[tuple[Series, float], ...]:
        return ((self.series, _target.norm(self.betas)),)

    @property
    def features(self) -> int:
        return self.betas.shape[1]

    @property
    def steps(self) -> int:
        return 1 + max(self.positions)

    @property
    def norms(self) -> Float[np.ndarray, " N"]:
        """|beta_j| of each block, in host float64."""
        return np.array([_target.norm(beta) for beta in self.betas])

    def __call__(self, x: ArrayLike) -> Float[Array, ""]:
        x = self.read(x)
        return self.series(_target.product("jd,jd->", x[np.array(self.positions)], _target.in_dtype(self.betas, x)))


@struct
class WholeSequence(Target):
    """A sum of functions of all tokens together.

    f(x) = sum_r weights_r phi_r(sum_l <betas[r, l], x[start + l]>)

    Args:
        series: phi, one for all terms or one per term; a Series or its name.
        betas: (s, d) for a single term, or (p, s, d): a direction for each of s tokens in a row.
        weights: (p,); None is all ones.
        start: position of the first token that counts. The paper leaves out the first and the last token: start = 1
            and s = t - 2.

    Raises:
        ValueError: shapes that do not fit, or a function that is not analytic.

    Reference: panigrahi2021rnn.

    Example:
        >>> import jax.numpy as jnp
        >>> f = WholeSequence("sin", jnp.ones((3, 2)) / 6, start=1)
        >>> round(float(f(jnp.ones((5, 2)))), 6), f.departures
        (0.841471, ('the direction of term 0 has norm 0.408, not 1',))
    """

    series: Any = static()  # tuple of Series, one per term
    betas: Any  # (p, s, d)
    weights: Any = None  # (p,)
    start: Any = static(default=0)

    references = ("panigrahi2021rnn",)

    def __post_init__(self) -> None:
        axes = "s d" if len(_checks.shape("betas", self.betas)) == 2 else "p s d"
        betas = _target.directions("betas", self.betas, axes)
        betas = betas[None] if betas.ndim == 2 else betas
        p = betas.shape[0]
        weights = _target.directions("weights", np.ones(p) if self.weights is None else self.weights, "p")
        many = isinstance(self.series, (tuple, list))
        series = tuple(get(one) for one in self.series) if many else (get(self.series),) * p
        if len(series) != p or weights.shape != (p,):
            raise ValueError(
                f"betas (p, s, d) hold p = {p} terms; got {len(series)} series and weights {weights.shape}. "
                "Give one series and one weight per term, or one series for all."
            )
        fill(self, series=series, betas=betas, weights=weights, start=_target.position("start", self.start))

    @property
    def parts(self) -> tuple[tuple[Any, NVariable], ...]:
        """`(weight, NVariable)` of each term."""
        positions = tuple(range(self.start, self.steps))
        terms = zip(self.weights, self.betas, self.series, strict=True)
        return tuple((weight, NVariable(positions, betas, series)) for weight, betas, series in terms)

    @property
    def members(self) -> tuple[tuple[Series, float], ...]:
        """The same; a weight above 1 in size is part of its function, since the paper's stay below."""
        sizes = (max(1.0, abs(float(weight))) for weight in self.weights)
        return tuple(
            (size * phi, norm) for size, phi, norm in zip(sizes, self.series, self.norms.tolist(), strict=True)
        )

    def scaled(self, factor: float) -> WholeSequence:
        return replace(self, betas=self.betas * float(factor))

    @property
    def features(self) -> int:
        return self.betas.shape[2]

    @property
    def steps(self) -> int:
        return self.start + self.betas.shape[1]

    @property
    def norms(self) -> Float[np.ndarray, " p"]:
        """The norm of the direction of each term, over all tokens, in host float64."""
        return np.array([_target.norm(beta) for beta in self.betas])

    @property
    def departures(self) -> tuple[str, ...]:
        found = [f"{phi} is {phi(0.0):.3g} at 0, not 0" for phi in dict.fromkeys(self.series) if phi(0.0) != 0]
        for r, (weight, norm) in enumerate(zip(self.weights, self.norms, strict=True)):
            if abs(float(weight)) > 1:
                found.append(f"the weight of term {r} is {float(weight):.3g}, above 1 in size")
            if abs(norm - 1) > _UNIT:
                found.append(f"the direction of term {r} has norm {norm:.3g}, not 1")
        return tuple(found)

    def __call__(self, x: ArrayLike) -> Float[Array, ""]:
        x = self.read(x)
        z = _target.product("sd,psd->p", x[self.start : self.steps], _target.in_dtype(self.betas, x))
        weights, total = _target.in_dtype(self.weights, x), jnp.zeros((), x.dtype)
        for phi, where in _target.by_series(self.series):
            total = total + jnp.sum(weights[where] * phi(z[where]))
        return total


def _part(given: Any) -> Part:
    if isinstance(given, Part):
        given = tuple(given)
    if not isinstance(given, (tuple, list)) or len(given) != 3:
        raise ValueError(f"each of parts must be (position, beta, series); got {_checks.shown(given)}.")
    position, beta, series = given
    return Part(_target.position("position", position), _target.directions("beta", beta, "d"), get(series))
