"""Which power series in the inner products of the tokens is the last read-out kernel of a relu recurrent network?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ntkseq import _checks
from ntkseq.norms.relu_series import Algebra, dual, multi_indices, network
from ntkseq.norms.tokens import Tokens


@dataclass(frozen=True, eq=False)
class Expansion:
    """The kernel as a power series in the tokens at some positions, all others orthogonal (y = 0).

        K = sum_alpha scaled[alpha] prod_j (y_j / unit_j)^alpha_j,  y_j = <x~[l_j], x~'[l_j]>   (recurrent_bounds.2)

    with all coefficients >= 0 and |y_j| <= unit_j. One series for each group of positions.

    Attributes:
        positions: groups of positions, each of the same number v.
        exponents: the multi-indices alpha, sorted by their sum.
        scaled: coefficients of the scaled variables; they add up to K(x, x) or less.
        units: |x~[l]|^2 of the positions.
        head: the last step at y = 0, for lower bounds of coefficients of any degree.
        rounding: upper estimate of the relative error of a coefficient.
    """

    positions: tuple[tuple[int, ...], ...]
    exponents: Int[np.ndarray, "m v"]
    scaled: Float[np.ndarray, "g m"]
    units: Float[np.ndarray, "g v"]
    head: Head
    rounding: float

    @property
    def coefficients(self) -> Float[np.ndarray, "g m"]:
        """Coefficients of the y_j themselves."""
        return self.scaled / np.prod(self.units[:, None, :] ** self.exponents[None], axis=2)


@dataclass(frozen=True, eq=False)
class Head:
    """K >= tangent k0(rho) + output k1(rho) at the last step, with rho = rho_0 + sum_j slopes_j y_j/unit_j + ...

    Attributes:
        cosine, sine_squared: rho_0 and 1 - rho_0^2.
        slopes: first-order coefficients of rho per group, in the scaled variables.
        tangent, output: the factors, >= 0.
        constant: K at y = 0.
        decay: k0(rho_t) at the centre, per step, of the top layer.
    """

    cosine: float
    sine_squared: float
    slopes: Float[np.ndarray, "g v"]
    tangent: float
    output: float
    constant: float
    decay: Float[np.ndarray, " t"]

    def log_lower(self, degree: int) -> tuple[Float[np.ndarray, " k"], float] | None:
        """log F_1..log F_degree and a ratio q with F_{p+1} >= q F_p from p = degree on; None if there is none.

        a_alpha >= F_p (p!/alpha!) prod_j slopes_j^alpha_j for p = |alpha| >= 1                  (recurrent_bounds.6)
        """
        if self.cosine <= 0.0 or self.sine_squared <= 0.0 or max(self.tangent, self.output) <= 0.0:
            return None
        rho, square = self.cosine, self.sine_squared
        log_v, ratio = [-0.5 * math.log(square)], 0.0
        for k in range(degree):
            before = k / ratio if k else 0.0
            ratio = (rho * (2 * k + 1) + before) / ((k + 1) * square)
            log_v.append(log_v[-1] + math.log(ratio))
        p = np.arange(1, degree + 1)
        log_k0 = np.array(log_v[:-1]) - np.log(np.pi * p)
        if self.tangent > 0.0:
            found = math.log(self.tangent) + log_k0
        else:  # k1_p = k0_{p-1} / p
            first = math.log1p(-math.acos(min(rho, 1.0)) / math.pi)
            found = math.log(self.output) + np.concatenate([[first], log_k0[:-1]]) - np.log(p)
        # v_{j+1} >= v_j rho (2j+1)/((j+1) s^2), divided by what p does to k0 and k1; it grows with the degree
        return found, rho * max(2 * degree - 3, 0) / ((degree + 2) * square)


def expand(
    kernel: Any, tokens: Tokens, positions: Sequence[Sequence[int]], *, degree: int, real: Any = np.float64
) -> Expansion:
    """Expand the kernel in the tokens at the given positions, up to a total degree.

    Truncated power series are carried through the recursion of the kernel; k0 and k1 enter by their Taylor series at
    the centre (recurrent_bounds.3). With m multi-indices: O(t depth degree m^2) time, O(m^2) memory. All numbers are
    >= 0 and are only added, multiplied and divided, so that every coefficient is right in its leading digits.

    Args:
        kernel: a `kernels.Recurrent` of the relu family with the last read-out, any depth and trained groups.
        tokens: the token norms and what all inputs have in common.
        positions: groups of positions, counted from 0, all of one size; one series each.
        degree: the largest total degree, >= 1.
        real: the NumPy type to compute in; the result is float64.

    Raises:
        ValueError: a kernel without such a series, positions that are not there or carry nothing that varies.

    Reference: wang2021rnn and allenzhu2019rnn for the kernel; the series: recurrent_bounds.2.

    Example:
        >>> from ntkseq import kernels
        >>> kernel = kernels.Recurrent.preset("allen-zhu-li")
        >>> law = Tokens.declared([1.0] * 5, common=[1.0, 0, 0, 0, 0])
        >>> expand(kernel, law, [[2]], degree=2).coefficients.round(6).tolist()
        [[1.292287, 0.411821, 0.079505]]
    """
    return _run(kernel, tokens, _groups(tokens, positions), _checks.positive_int("degree", degree), real)


def diagonal(kernel: Any, tokens: Tokens) -> float:
    """K(x, x) of every input with these token norms, raised by its rounding.

    Raises:
        ValueError: a kernel without a power series, as for `expand`.
    """
    flat = Tokens(tokens.squares, tokens.squares, 0.0 * tokens.squares, tokens.features, None, tokens.assumption)
    found = _run(kernel, flat, ((),), 1, np.float64)
    return found.head.constant * (1 + found.rounding)


def centre(kernel: Any, tokens: Tokens) -> float:
    """a_0, the kernel of two inputs whose varying parts are orthogonal at every position, lowered by its rounding."""
    found = _run(kernel, tokens, ((),), 1, np.float64)
    return found.head.constant * (1 - found.rounding)


def centre_decay(kernel: Any, tokens: Tokens) -> Float[np.ndarray, " t"]:
    """k0(rho_t) of the top layer at every step, for two inputs as in `centre`."""
    return _run(kernel, tokens, ((),), 1, np.float64).head.decay


def _run(kernel: Any, tokens: Tokens, groups: tuple[tuple[int, ...], ...], degree: int, real: Any) -> Expansion:
    net = network(kernel, real)
    exponents = multi_indices(len(groups[0]), degree)
    algebra = Algebra(exponents, real)
    units = tokens.varying[np.array(groups, np.int64)].astype(real)  # (g, v)
    scale = real(1.0) / tokens.features if kernel.input_scale == "dim" else real(1.0)

    g, steps, depth = len(groups), tokens.steps, kernel.depth
    squares, common = tokens.squares.astype(real), tokens.common.astype(real)
    none = np.zeros((g, len(exponents)), real)
    h0 = net.h0
    head: Any = None
    state = [_Layer(algebra.constant(none, h0), none, h0, real(0.0)) for _ in range(depth)]  # before the first step
    decay = np.zeros(steps)
    for t in range(steps):
        below = algebra.constant(none, scale * common[t])
        for i, group in enumerate(groups):
            for j, position in enumerate(group):
                below[i, 1 + j] += scale * units[i, j] * (position == t)
        power, gap, through = scale * squares[t], scale * tokens.varying.astype(real)[t], none
        for layer in range(depth):
            at, w2, u2, b2 = state[layer], *(s[layer] for s in (net.w2, net.u2, net.b2))
            own_w, own_u, own_b = (net.own[name][layer] for name in "WUb")
            total = algebra.constant(w2 * at.covariance + u2 * below, b2)
            tangent = algebra.constant(own_w * at.covariance + own_u * below, own_b) + w2 * at.through + u2 * through
            power, gap = w2 * at.power + u2 * power + b2, w2 * at.gap + u2 * gap
            out = dual(algebra, net, total, power, gap, degree)
            through = algebra.times(out.slope, tangent)
            state[layer] = _Layer(out.covariance, through, net.gain * power, out.gap)
            below, power, gap, head = out.covariance, net.gain * power, out.gap, (out, tangent, total)
        decay[t] = float(head[0].centre_slope)
    out, tangent, total = head
    values = net.v2 * state[-1].through * net.ntk + net.own_v * state[-1].covariance
    inner = total[:, 1 : 1 + len(groups[0])] / out.power if out.power > 0 else none[:, 1 : 1 + len(groups[0])]
    steepness = net.steep / 2
    return Expansion(
        positions=groups,
        exponents=exponents,
        scaled=values.astype(np.float64),
        units=units.astype(np.float64),
        head=Head(
            cosine=float(out.cosine),
            sine_squared=float(out.sine_squared),
            slopes=inner.astype(np.float64),
            tangent=float(net.v2 * net.ntk * steepness * tangent[:, 0].min()),
            output=float(net.own_v * out.power * steepness),
            constant=float(values[:, 0].max()),
            decay=decay,
        ),
        # a handful of roundings per step and degree; see the test against extended precision
        rounding=16.0 * float(np.finfo(real).eps) * steps * depth * (degree + 1),
    )


@dataclass(frozen=True, eq=False)
class _Layer:
    covariance: np.ndarray  # series (g, m)
    through: np.ndarray  # derivative times tangent, series (g, m)
    power: Any  # the covariance of one input with itself
    gap: Any  # power - covariance at y = 0


def _groups(tokens: Tokens, positions: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    groups = tuple(tuple(int(p) for p in group) for group in positions)
    sizes = {len(group) for group in groups}
    if len(sizes) != 1 or sizes == {0}:
        raise ValueError(
            f"positions must be groups of one size, at least one position each; got {_checks.shown(positions)}."
        )
    for position in {p for group in groups for p in group}:
        if not 0 <= position < tokens.steps:
            raise ValueError(f"positions must lie in 0..{tokens.steps - 1}, the steps of a sequence; got {position}.")
        if tokens.varying[position] <= 0:
            raise ValueError(
                f"nothing varies at position {position}: all inputs have the same token there. A target that looks at "
                "it is a constant; leave it out."
            )
    if any(len(set(group)) != len(group) for group in groups):
        raise ValueError(f"the positions of a group must be different; got {_checks.shown(positions)}.")
    return groups
