"""How are sequences drawn with labels from a target, under the normalisations that the theorems ask for?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _precision
from ntkseq._struct import static, struct
from ntkseq._types import ArrayLike, DType
from ntkseq.concepts._target import Target


@struct
class Sample:
    """Sequences with their labels, and how they were made.

    Attributes:
        x: sequences.
        y: labels: the target's values plus noise; (n, t, o) for a target with outputs at every step.
        clean: the target's values, computed in the dtype of x.
        target: the target; `jax.vmap(target)(x)` is `clean`.
        norms: norm of the token at each step, the same in every sequence up to rounding, in host float64.
        common: whether the first token is the same in all sequences.
        noise: standard deviation of what was added to the labels.
    """

    x: Float[Array, "n t d"]
    y: Float[Array, " n"] | Float[Array, "n t o"]
    clean: Float[Array, " n"] | Float[Array, "n t o"]
    target: Target
    norms: Float[np.ndarray, " t"]
    common: bool = static(default=False)
    noise: float = static(default=0.0)


def sample(
    target: Target,
    n: int,
    t: int,
    d: int,
    *,
    key: jax.Array,
    token_norm: ArrayLike = 1.0,
    first: str | None = None,
    eps_x: float | None = None,
    bias: float = 0.0,
    noise: float = 0.0,
    dtype: DType | None = None,
) -> Sample:
    """Draw tokens uniformly from spheres, and label the sequences by a target.

    With `eps_x` the tokens have the form of allenzhu2019rnn, as we recall it: the first is (0, .., 0, 1), all later
    ones have norm eps_x and a last coordinate of 0, so they are orthogonal to the first. The paper also gives later
    tokens a constant share, bias = 1/2, and its targets look at tokens before they are shortened: here y is always
    target(x), so to label by tokens of norm 1, pass `target.scaled(1 / eps_x)`.

    Args:
        target: what labels the sequences.
        n: number of sequences.
        t: number of steps, at least `target.steps`.
        d: number of features, `target.features`.
        key: random key.
        token_norm: norm of a token, or one for each step: the theorems need it to be the same in all sequences.
        first: "common" makes the first token (0, .., 0, token_norm) in every sequence; None draws it, too.
        eps_x: norm of all tokens but the first, whose norm is 1 and which is common; replaces `token_norm`.
        bias: the last coordinate of each drawn token (with eps_x the last but one) is bias times its norm, in [0, 1);
            the rest is uniform on what remains of the sphere.
        noise: standard deviation of Gaussian noise on the labels, >= 0.
        dtype: floating dtype; None is the default float.

    Raises:
        ValueError: sizes that do not fit the target, norms that vary between sequences, or options that contradict.

    Reference: allenzhu2019rnn; panigrahi2021rnn (the same form).

    Example:
        >>> import jax
        >>> from ntkseq.concepts import Additive
        >>> drawn = sample(Additive([(1, [1.0, 0.0], "sin")]), 4, 3, 2, key=jax.random.key(0), first="common")
        >>> drawn.x.shape, drawn.x[:, 0].tolist() == [[0.0, 1.0]] * 4
        ((4, 3, 2), True)
    """
    n, t, d = (_checks.positive_int(name, size) for name, size in (("n", n), ("t", t), ("d", d)))
    if not isinstance(target, Target):
        raise ValueError(f"target must be one of ntkseq.concepts, e.g. Additive(parts); got {_checks.shown(target)}.")
    if target.features != d or target.steps > t:
        raise ValueError(
            f"the target needs d = {target.features} and t >= {target.steps} (it looks at position "
            f"{target.steps - 1}, counted from 0); got d = {d} and t = {t}."
        )
    dtype = _checks.float_dtype("dtype", dtype)
    for_x, for_noise = jax.random.split(_checks.prng_key("key", key))
    noise = _checks.nonnegative("noise", noise)
    norms, common = _norms(token_norm, first, eps_x, t)
    drawn = d - 1 if eps_x is not None else d
    tokens = _on_spheres(for_x, (n, t, drawn), _bias(bias, drawn), dtype)
    x = tokens * jnp.asarray(norms, dtype)[None, :, None]
    if eps_x is not None:
        x = jnp.concatenate([x, jnp.zeros((n, t, 1), dtype)], axis=-1)
    if common:
        x = x.at[:, 0].set(jnp.zeros((n, d), dtype).at[:, -1].set(float(norms[0])))
    clean = jax.vmap(target)(x)
    y = clean + noise * _precision.normal(for_noise, clean.shape, dtype) if noise else clean
    return Sample(x, y, clean, target, norms, common, noise)


def _norms(token_norm: ArrayLike, first: str | None, eps_x: float | None, t: int) -> tuple[np.ndarray, bool]:
    """The norm of the token at each step, and whether the first is common."""
    if first is not None:
        _checks.choice("first", first, ("common",))
    if eps_x is not None:
        if not (np.ndim(token_norm) == 0 and token_norm == 1.0):
            raise ValueError(
                f"eps_x sets all norms: 1, then eps_x; got token_norm={_checks.shown(token_norm)} as well. Drop one."
            )
        return np.array([1.0] + [_checks.nonnegative("eps_x", eps_x, positive=True)] * (t - 1)), True
    norms = _checks.real("token_norm", token_norm)
    if norms.shape not in ((), (t,)):
        raise ValueError(
            f"token_norm must be one number, or one for each of t = {t} steps; got shape {norms.shape}. Norms that "
            "vary between sequences are outside the theorems: normalise tokens, or add a coordinate sqrt(r^2 - |x|^2)."
        )
    if (norms <= 0).any():
        raise ValueError(f"token_norm must be finite and > 0; got {_checks.shown(token_norm)}.")
    return np.full(t, norms) if norms.ndim == 0 else norms, first == "common"


def _bias(bias: float, drawn: int) -> float:
    share = _checks.nonnegative("bias", bias)
    if drawn < 1:
        raise ValueError("d must be at least 2 with eps_x: the first token has a coordinate of its own; got d = 1.")
    if share >= 1 or (share > 0 and drawn < 2):
        raise ValueError(
            f"bias must lie in [0, 1), and needs a coordinate of its own beside a drawn one; got bias = {bias!r} with "
            f"{drawn} coordinate(s) left for it. Give more features."
        )
    return share


def _on_spheres(key: jax.Array, shape: tuple[int, ...], bias: float, dtype: DType) -> Array:
    """Unit tokens, uniform but for a last coordinate of `bias` (if that is above 0)."""
    free = shape[-1] - (bias > 0)
    z = _precision.normal(key, (*shape[:-1], free), dtype)
    z = z / jnp.linalg.norm(z, axis=-1, keepdims=True)
    if not bias:
        return z
    rest = float(np.sqrt((1 - bias) * (1 + bias)))
    return jnp.concatenate([rest * z, jnp.full((*shape[:-1], 1), bias, dtype)], axis=-1)
