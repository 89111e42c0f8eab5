"""How much of the last read-out kernel is left for each token? How fast a relu recurrent kernel forgets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ntkseq import _display, activations
from ntkseq._bound import Assumption
from ntkseq._types import AnyKernel, ArrayLike
from ntkseq.norms.power_series import centre_decay, diagonal, expand
from ntkseq.norms.tokens import Tokens, as_tokens

RATE = 1.0086  # of the law, [derived, asymptotic]; see docs/theory/recurrent-bounds.md


@dataclass(frozen=True, eq=False)
class MemoryProfile:
    """What each token counts for in the kernel.

    Attributes:
        share: coefficient of <x~[t], x~'[t]>/|x~[t]|^2 in the kernel over K(x, x), (t,); 0 where nothing varies. Its
            inverse is the least squared norm (times K(x, x)) that a linear function of that token is bounded by.
        decay: product of k0(rho_s) over the steps s > t at the centre: what the last read-out sees of step t.
        whole: the product over all steps, which `law` describes.
        law: exp(-1.0086 (1-c)^(1/3) t^(2/3)) for tokens of one norm with the shared fraction c; None where it does not
            apply. Derived and asymptotic: for finite t it is an approximation, not a bound.
        kernel_diagonal: K(x, x).
        assumption: that token norms are constant, and how that is known.

    Reference: (recurrent_bounds.8).
    """

    share: Float[np.ndarray, " t"]
    decay: Float[np.ndarray, " t"]
    whole: float
    law: float | None
    kernel_diagonal: float
    assumption: Assumption

    __repr__ = _display.printed

    def __str__(self) -> str:
        rows = [f"  position {t}: {share:.3g}" for t, share in enumerate(self.share)]
        law = "does not apply" if self.law is None else f"{self.law:.3g} [derived; asymptotic, no bound]"
        return "\n".join(
            [
                f"linear share of each token in K(x, x) = {self.kernel_diagonal:.4g}",
                f"token norms are the same for all inputs: {self.assumption.status}",
                *rows,
                f"product of k0 over all steps: {self.whole:.3g}; law exp(-1.0086 (1-c)^(1/3) t^(2/3)): {law}",
            ]
        )


def memory_profile(kernel: AnyKernel, x: ArrayLike | Tokens) -> MemoryProfile:
    """Compute the linear share of every token in the last read-out relu kernel, and how the kernel forgets.

        share_t = a_{e_t} |x~[t]|^2 / K(x, x)                                                (recurrent_bounds.8)

    Args:
        kernel: a `kernels.Recurrent` of the relu family with the last read-out.
        x: inputs (n, t, d), or a `Tokens` that declares their norms.

    Raises:
        ValueError: a kernel without a power series; a kernel that is zero.

    Example:
        >>> from ntkseq import kernels
        >>> from ntkseq.norms.tokens import Tokens
        >>> profile = memory_profile(kernels.Recurrent.preset("allen-zhu-li"), Tokens.declared([1.0] * 16))
        >>> first, last = profile.share[0], profile.share[-1]
        >>> print(f"{1 / first:.3g}, {1 / last:.3g}")
        3.75e+03, 139
    """
    tokens = as_tokens(x)
    size = diagonal(kernel, tokens)
    if size <= 0:
        raise ValueError("kernel is zero for the tokens of x; with W alone trained it takes two steps at least.")
    varying = np.flatnonzero(tokens.varying > 0)
    share = np.zeros(tokens.steps)
    if len(varying):
        series = expand(kernel, tokens, [[int(t)] for t in varying], degree=1)
        share[varying] = series.scaled[:, 1] / size
    at = centre_decay(kernel, tokens)
    later = np.concatenate([np.cumprod(at[::-1])[::-1][1:], [1.0]])
    return MemoryProfile(
        share=share,
        decay=later,
        whole=float(np.prod(at)),
        law=_law(kernel, tokens.squares, tokens.common),
        kernel_diagonal=size,
        assumption=tokens.assumption,
    )


def _law(kernel: Any, squares: np.ndarray, common: np.ndarray) -> float | None:
    """(recurrent_bounds.9), where it was derived: relu, one layer, sigma_w^2 = 2, no bias, h_0 = 0, tokens alike."""
    act: Any = activations.get(kernel.activation)
    relu = (float(act.positive), float(act.negative)) == (1.0, 0.0)
    plain = kernel.depth == 1 and kernel.h0 == "zero" and float(np.max(kernel.sigma_b)) == 0.0
    if not (relu and plain and abs(float(np.max(kernel.sigma_w)) ** 2 - 2) < 1e-6 and squares.min() > 0):
        return None
    fraction = common / squares
    if np.ptp(squares) > 1e-6 * squares.max() or np.ptp(fraction) > 1e-6 or fraction.max() >= 1:
        return None
    return math.exp(-RATE * (1 - float(fraction.mean())) ** (1 / 3) * len(squares) ** (2 / 3))
