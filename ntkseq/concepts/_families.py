"""What are the Taylor coefficients at zero of the known analytic functions, and how fast do they fall?"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # its parts load when they are first used
from jaxtyping import Float, Int

Indices = Int[np.ndarray, " k"]
Values = Float[np.ndarray, " k"]


class Family(NamedTuple):
    """phi(z) = sum_i c_i z^i by its coefficients.

    From the index `settled` on, exactly every `stride`-th coefficient is not zero; `log_ratio(i)` is at least
    log|c_{j + stride} / c_j| for each such j >= i >= settled, which proves tails.
    `log_total(R)` is log sum_i |c_i| R^i in closed form, for 0 < R < radius.
    """

    radius: float
    log_abs: Callable[[Indices], Values]
    sign: Callable[[Indices], Values]
    stride: int
    settled: int
    log_ratio: Callable[[float], float]
    log_total: Callable[[float], float]
    numpy: Callable[[Any], Any]
    jax: Callable[[Any], Any]


def _on(support: Any, values: Values) -> Values:
    return np.where(support, values, -np.inf)


def _log_inverse_factorial(i: Indices) -> Values:
    return -scipy.special.gammaln(i + 1.0)


def _log_erf(i: Indices) -> Values:
    k = np.maximum((i - 1) // 2, 0)  # (2/sqrt pi) / (k! (2k+1)) at i = 2k + 1
    return _on(i % 2 == 1, math.log(2 / math.sqrt(math.pi)) - scipy.special.gammaln(k + 1.0) - np.log(2.0 * k + 1))


def _erf_log_ratio(i: float) -> float:
    k = (i - 1) / 2  # falls with k
    return math.log((2 * k + 1) / ((k + 1) * (2 * k + 3)))


def _log_tanh(i: Indices) -> Values:
    # tanh z = sum_k 2 z / (z^2 + ((k + 1/2) pi)^2), so |c_i| = 2 (2/pi)^(i+1) (1 + 3^-(i+1) + 5^-(i+1) + ...)
    s = np.maximum(i, 1) + 1.0
    odd_zeta = np.log1p(scipy.special.zetac(s)) + np.log1p(-np.exp2(-s))
    return _on(i % 2 == 1, math.log(2) + s * math.log(2 / math.pi) + odd_zeta)


def _log_sigmoid(i: Indices) -> Values:
    return np.where(i == 0, -math.log(2), _log_tanh(i) - (i + 1) * math.log(2))  # 1/2 + tanh(z/2)/2


def _log_softplus(i: Indices) -> Values:
    low = np.where(i == 0, math.log(math.log(2)), -math.log(2))  # log 2 + z/2 + ...
    return np.where(i < 2, low, _log_sigmoid(np.maximum(i - 1, 1)) - np.log(np.maximum(i, 1)))  # integral of sigmoid


def _plus(i: Indices) -> Values:
    return np.ones(i.shape)


def _odd(i: Indices) -> Values:
    return np.where(i % 4 == 3, -1.0, 1.0)  # + - + - over the odd indices


def _cos_sign(i: Indices) -> Values:
    return np.where(i % 4 == 2, -1.0, 1.0)


def _softplus_sign(i: Indices) -> Values:
    return np.where((i % 4 == 0) & (i > 0), -1.0, 1.0)


def _two_factorial_steps(i: float) -> float:
    return -math.log((i + 1) * (i + 2))


_TANH_RATIO = 2 * math.log(2 / math.pi)  # the sum over odd numbers falls with i: the limit bounds every ratio
_LOGISTIC_RATIO = -2 * math.log(math.pi)

FAMILIES: dict[str, Family] = {
    "exp": Family(
        radius=math.inf,
        log_abs=_log_inverse_factorial,
        sign=_plus,
        stride=1,
        settled=0,
        log_ratio=lambda i: -math.log(i + 1),
        log_total=lambda R: R,
        numpy=np.exp,
        jax=jnp.exp,
    ),
    "sin": Family(
        radius=math.inf,
        log_abs=lambda i: _on(i % 2 == 1, _log_inverse_factorial(i)),
        sign=_odd,
        stride=2,
        settled=1,
        log_ratio=_two_factorial_steps,
        log_total=lambda R: math.log(math.sinh(R)) if R < 1 else R + math.log1p(-math.exp(-2 * R)) - math.log(2),
        numpy=np.sin,
        jax=jnp.sin,
    ),
    "cos": Family(
        radius=math.inf,
        log_abs=lambda i: _on(i % 2 == 0, _log_inverse_factorial(i)),
        sign=_cos_sign,
        stride=2,
        settled=0,
        log_ratio=_two_factorial_steps,
        log_total=lambda R: R + math.log1p(math.exp(-2 * R)) - math.log(2),
        numpy=np.cos,
        jax=jnp.cos,
    ),
    "erf": Family(
        radius=math.inf,
        log_abs=_log_erf,
        sign=_odd,
        stride=2,
        settled=1,
        log_ratio=_erf_log_ratio,
        # erfi(R) by Dawson's integral e^(-R^2) int_0^R e^(t^2) dt, which does not overflow
        log_total=lambda R: R * R + math.log(2 / math.sqrt(math.pi)) + math.log(scipy.special.dawsn(R)),
        numpy=scipy.special.erf,
        jax=jax.scipy.special.erf,
    ),
    "tanh": Family(
        radius=math.pi / 2,
        log_abs=_log_tanh,
        sign=_odd,
        stride=2,
        settled=1,
        log_ratio=lambda i: _TANH_RATIO,
        log_total=lambda R: math.log(math.tan(R)),
        numpy=np.tanh,
        jax=jnp.tanh,
    ),
    "sigmoid": Family(
        radius=math.pi,
        log_abs=_log_sigmoid,
        sign=_odd,
        stride=2,
        settled=1,
        log_ratio=lambda i: _LOGISTIC_RATIO,
        log_total=lambda R: math.log(0.5 + math.tan(R / 2) / 2),
        numpy=scipy.special.expit,
        jax=jax.nn.sigmoid,
    ),
    "softplus": Family(
        radius=math.pi,
        log_abs=_log_softplus,
        sign=_softplus_sign,
        stride=2,
        settled=2,
        log_ratio=lambda i: _LOGISTIC_RATIO,
        log_total=lambda R: math.log(math.log(2) + R / 2 - math.log(math.cos(R / 2))),
        numpy=lambda z: np.logaddexp(0.0, z),
        jax=jax.nn.softplus,
    ),
    "geometric": Family(
        radius=1.0,
        log_abs=lambda i: np.zeros(i.shape),
        sign=_plus,
        stride=1,
        settled=0,
        log_ratio=lambda i: 0.0,
        log_total=lambda R: -math.log1p(-R),
        numpy=lambda z: 1 / (1 - z),
        jax=lambda z: 1 / (1 - z),
    ),
}

NOT_ANALYTIC = {
    "relu": "it has a kink at 0",
    "leaky_relu": "it has a kink at 0",
    "abs": "it has a kink at 0",
    "elu": "its second derivative jumps at 0",
    "selu": "its first derivative jumps at 0",
    "hard_tanh": "it has kinks at -1 and 1",
    "relu6": "it has kinks at 0 and 6",
    "sign": "it jumps at 0",
    "step": "it jumps at 0",
}
