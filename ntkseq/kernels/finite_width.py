"""By how much do tied linear recurrences of finite width exceed their limit? An exact formula."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ntkseq import _checks, _notices, blocks, cells
from ntkseq._types import Integer
from ntkseq.activations import is_rectifier
from ntkseq.kernels.chordal import second_moment


def linear_excess(width: Integer, steps: Integer) -> float:
    """E |W^t x|^2 / |x|^2 of a tied linear recurrence, where independent matrices, and the limit, have 1.

        n (prod_{j=1}^{t+1} (1 + j/n) - prod_{j=1}^{t+1} (1 - j/n)) / ((t + 1)(t + 2))

    for W (n, n) complex Gaussian of variance 1/n (finite_width.1), near sinh(z)/z with z = t^2/(2n) (finite_width.2).
    For a real Gaussian W it is a lower bound: that mean is no smaller at any n and t (finite_width.3). Gains other than
    1 multiply both by gain^t.

    Args:
        width: n.
        steps: t.

    Raises:
        ValueError: a width below 1, negative steps.

    Example:
        >>> from ntkseq.empirical import linear_excess
        >>> print(*(round(linear_excess(512, t), 3) for t in (16, 32, 64)))
        1.012 1.185 6.656
    """
    n, t = _checks.positive_int("width", width), _checks.integer("steps", steps, 0)
    ups, downs = [math.log1p(j / n) for j in range(1, t + 2)], [math.log1p(-j / n) for j in range(1, min(t + 2, n))]
    log = math.log(n) - math.log(t + 1) - math.log(t + 2)
    up, down = math.fsum(ups), math.fsum(downs)
    if t + 1 >= n:  # the second product is zero
        log += up
    else:  # as a sinh: the difference of products loses the digits of n / t^2
        half = (up - down) / 2
        log += (up + down) / 2 + half + math.log(-math.expm1(-2 * half))
    return math.exp(log) if log < 709 else math.inf


def warn_if_critical(sigma_w: Any, activation: Any, width: int) -> None:
    """Warn where norms do not shrink along a recurrence of the relu family (finite_width.4).

    Args:
        sigma_w: of its recurrent weights, or one for each layer; a traced one is not looked at.
        activation: of its units; what is not of the relu family is not looked at.
        width: of the networks.
    """
    if not is_rectifier(activation) or _checks.traced((sigma_w, activation)):
        return
    moment = second_moment(np.asarray(activation.positive, np.float64), np.asarray(activation.negative, np.float64))
    if float(np.max(np.asarray(sigma_w, np.float64) ** 2 * moment)) >= 1 - 1e-5:
        _notices.warn(
            f"sigma_w keeps norms or lets them grow: the kernels of networks of width {width} have heavy tails after "
            f"some {math.isqrt(width)} steps (root of the width), and their averages exceed the limit. Compare "
            "medians, or see what empirical.convergence(...).verdict() says.",
            _notices.HeavyTails,
        )


def warn_of_blocks(parts: tuple[blocks.Block, ...], width: int) -> None:
    """`warn_if_critical` of every recurrence among blocks."""
    for part in blocks.every(parts):
        if isinstance(part, blocks.Recurrent) and isinstance(part.cell, cells.Elman):
            warn_if_critical(part.cell.sigma_w, part.cell.activation, width)


def check_limit(kernel: object) -> None:
    """Raise where no network has this kernel as the limit of its NTK, for `finite`."""
    given = {name: getattr(kernel, name) for name in ("kind", "param") if hasattr(kernel, name)}
    if set(given.values()) - {"ntk"}:
        came = ", ".join(f"{name}={word!r}" for name, word in given.items())
        wanted = ", ".join(f'{name}="ntk"' for name in given)
        raise ValueError(
            f"finite() gives the network whose NTK tends to this kernel; got {came}, no such limit. Use {wanted}."
        )
