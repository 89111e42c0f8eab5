"""Which function of tokens do the bounds on attention speak of? One head: its weights, its norms, what it computes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy  # its parts load when they are first used
from jaxtyping import Float

from ntkseq import _checks, _display, _precision, activations, blocks
from ntkseq._struct import fill
from ntkseq._types import ArrayLike, Lengths, PyTree
from ntkseq.activations import Activation
from ntkseq.models import Serial

EPS = float(np.finfo(np.float64).eps)
READS = ("last", "first", "mean")
_CHUNK = 2**22  # scores held at a time


@dataclass(frozen=True, eq=False)
class AttentionHead:
    """One attention head with a non-linear read-out, in NumPy float64.

        f(x) = w' sigma(V' sum_c p_c x_c),    p = softmax over the tokens c seen of x_c' W x_q     (attention.1)

    q is the last or first token of the sequence, or f is the mean over all tokens q. In a transformer W is
    W_K W_Q' / sqrt(d_k) and V the product of value and output weights: the bounds see the products only.

    Args:
        w: read-out, (k,).
        V: values, (d, k).
        W: scores, (d, d); the rows belong to the token that is looked at.
        sigma: an activation with sigma(0) = 0, by name or an `activations.Activation`.
        lipschitz: its Lipschitz constant. None where it is known: identity, relu, leaky_relu, abs, tanh, erf, sin,
            gelu.
        read: "last", "first" or "mean".
        causal: whether a token sees only itself and those before it.

    Raises:
        ValueError: shapes that do not fit, numbers that are not finite, sigma(0) != 0, an unknown Lipschitz constant.

    Example:
        >>> import numpy as np
        >>> head = AttentionHead([1.0, -0.5], np.eye(2), np.zeros((2, 2)), sigma="relu")
        >>> head.predict(np.array([[[2.0, 0.0], [0.0, 4.0]]])).tolist()
        [0.0]
    """

    w: Any  # (k,), V (d, k), W (d, d): lists come in, NumPy float64 stands here afterwards
    V: Any
    W: Any
    sigma: Any = "relu"
    lipschitz: float | None = None
    read: str = "last"
    causal: bool = False
    declared: bool = field(init=False, default=False)
    """Whether the Lipschitz constant is the caller's word."""

    __repr__ = _display.record

    def __post_init__(self) -> None:
        w, V, W = (_array(name, getattr(self, name), rank) for name, rank in (("w", 1), ("V", 2), ("W", 2)))
        d, k = V.shape
        if w.shape != (k,) or W.shape != (d, d):
            raise ValueError(
                f"w, V, W must have shapes (k,), (d, k), (d, d); got {w.shape}, {V.shape}, {W.shape}. "
                "W takes two tokens, V' one token to k coordinates."
            )
        _checks.choice("read", self.read, READS)
        sigma = activations.get(self.sigma)
        if (at_zero := float(sigma(jnp.zeros(())))) != 0.0:
            raise ValueError(
                f"sigma must be 0 at 0; got {at_zero:.3g} there. Subtract it: activations.Smooth(lambda z: ...)."
            )
        known = _lipschitz(sigma)
        if self.lipschitz is None and known is None:
            raise ValueError(f"lipschitz of {sigma!r} is not known here; pass lipschitz=, a number it does not exceed.")
        given = None if self.lipschitz is None else _checks.nonnegative("lipschitz", self.lipschitz, positive=True)
        if given is not None and known is not None and given < known:
            raise ValueError(f"lipschitz must not be below that of sigma, {known:.6g}; got {given:g}.")
        fill(self, w=w, V=V, W=W, sigma=sigma, declared=known is None, lipschitz=known if given is None else given)

    @classmethod
    def of(cls, model: object, params: PyTree) -> AttentionHead:
        """The head that a `models.Serial` computes, if it is one.

        Of the class are: `Linear` blocks without bias, then one `Attention` with softmax weights, one head, no skip and
        no bias, then `Linear` blocks without bias and at most one activation, read out by "last", "first" or "mean",
        one output. Linear maps in a row are multiplied.

        Args:
            model: the network.
            params: its parameters, as `model.init` returned them or as they were trained.

        Raises:
            ValueError: another model; what of it does not fit.
        """
        return _folded(model, params)

    @property
    def L(self) -> float:
        """The Lipschitz constant of sigma."""
        assert self.lipschitz is not None
        return self.lipschitz

    def norm(self, name: str) -> float:
        """A norm by its name, raised by its rounding: "w_1", "w_2", "V_11", "V_op", "V_0.5" (Schatten), and so for W.

        "11" is the sum of absolute entries, "op" the largest singular value.
        """
        part, _, which = name.partition("_")
        matrix = getattr(self, part)
        if part == "w" or which == "11":
            value = float(np.sum(np.abs(matrix))) if which in ("1", "11") else float(np.linalg.norm(matrix))
        else:
            s = np.linalg.svd(matrix, compute_uv=False)
            value = float(s[0]) if which == "op" else _schatten(s, float(which))
        return value * (1.0 + 0.5 * self.spread(name))

    def spread(self, name: str) -> float:
        """How far, relative to it, the exact norm may be below `norm(name)`, generously."""
        return 16 * (getattr(self, name.partition("_")[0]).size + 1) * EPS

    def predict(self, x: ArrayLike, lengths: Lengths = None) -> Float[np.ndarray, " n"]:
        """f at inputs (n, t, d), in float64.

        Args:
            x: (n, t, d), d the rows of V.
            lengths: (n,) of sequences padded on the right; None: all t.

        Raises:
            ValueError: another rank or number of features, NaN or infinity, lengths out of range.
        """
        x, lengths = tokens(x, lengths)
        n, t, d = x.shape
        if d != len(self.V):
            raise ValueError(f"x must have {len(self.V)} features, as V has rows; got {d}.")
        step = max(1, _CHUNK // (t * t if self.read == "mean" else t))
        return np.concatenate([self._some(x[i : i + step], lengths[i : i + step]) for i in range(0, n, step)])

    def _some(self, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        n, t, _ = x.shape
        at = np.arange(t)
        if self.read == "mean":
            queries = np.broadcast_to(at, (n, t))
        else:
            queries = ((lengths - 1) if self.read == "last" else np.zeros_like(lengths))[:, None]
        asking = np.take_along_axis(x, queries[:, :, None], axis=1)  # (n, q, d)
        scores = asking @ self.W.T @ np.swapaxes(x, 1, 2)  # (n, q, t)
        seen = np.broadcast_to(at < lengths[:, None, None], scores.shape)
        if self.causal:
            seen = seen & (at <= queries[:, :, None])
        top = np.max(scores, axis=-1, keepdims=True, where=seen, initial=-np.inf)
        top = np.where(np.isfinite(top), top, 0.0)  # a padded query of causal attention may see nothing
        exps = np.where(seen, np.exp(np.where(seen, scores - top, 0.0)), 0.0)
        p = exps / np.maximum(exps.sum(axis=-1, keepdims=True), 1e-300)
        values = _sigma(self.sigma)(p @ x @ self.V) @ self.w  # (n, q)
        inside = queries < lengths[:, None]
        return np.sum(np.where(inside, values, 0.0), axis=1) / inside.sum(axis=1)

    def rounding(self, x: np.ndarray) -> float:
        """How far a value of `predict` may be from the exact one, roughly from above."""
        t, d = x.shape[1:]
        X = float(np.sqrt(np.max(np.sum(x**2, axis=2))))
        fro = float(np.linalg.norm(self.W))
        unit = EPS if _exact(self.sigma) else float(np.finfo(np.dtype(jnp.result_type(float))).eps)
        size = float(np.linalg.norm(self.w)) * self.L * float(np.linalg.norm(self.V)) * X
        return (4 * (t + 2 * d + len(self.w) + 8) * EPS * (1.0 + 2 * fro * X**2) + 32 * unit) * size


def tokens(x: ArrayLike, lengths: Lengths = None) -> tuple[Float[np.ndarray, "n t d"], np.ndarray]:
    """Inputs (n, t, d) in host float64, zero behind their lengths, and the lengths (n,)."""
    _checks.outside("x", x, "")
    with _precision.setting(True):  # what follows is computed in float64
        checked, found = _checks.sequences("x", x, lengths)
    held = np.asarray(x) if isinstance(x, (np.ndarray, list, tuple)) else np.asarray(checked)  # JAX may round
    lengths = np.asarray(found)
    inside = np.arange(held.shape[1]) < lengths[:, None]
    return np.where(inside[:, :, None], held, 0).astype(np.float64), lengths


def _array(name: str, value: object, rank: int) -> np.ndarray:
    _checks.unmasked(name, value)
    try:
        array = np.asarray(value).astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an array of numbers; got {type(value).__name__}.") from None
    if array.ndim != rank or 0 in array.shape:
        raise ValueError(f"{name} must have {rank} axes, none empty; got shape {array.shape}.")
    _checks.finite(name, array)
    return array


def _schatten(s: np.ndarray, p: float) -> float:
    return float(s[0] * np.sum((s / s[0]) ** p) ** (1 / p)) if s[0] > 0 else 0.0


def _lipschitz(sigma: Activation) -> float | None:
    """The least upper bound of |sigma'|, where it is known."""
    if activations.is_rectifier(sigma):
        return max(abs(float(sigma.positive)), abs(float(sigma.negative)))
    if isinstance(sigma, activations.Identity) or _is_tanh(sigma):
        return 1.0
    if isinstance(sigma, activations.Erf):
        return 2 / math.sqrt(math.pi) * abs(float(sigma.frequency))
    if isinstance(sigma, activations.Sine):
        return abs(float(sigma.frequency))
    return 1.13 if isinstance(sigma, activations.Gelu) else None  # Phi(z) + z phi(z) at sqrt 2 is 1.1290


def _is_tanh(sigma: Activation) -> bool:
    return isinstance(sigma, activations.Smooth) and sigma.function is jnp.tanh


def _exact(sigma: Activation) -> bool:
    return _lipschitz(sigma) is not None


def _sigma(sigma: Activation) -> Callable[[np.ndarray], np.ndarray]:
    """sigma on NumPy arrays; in the default precision of JAX where this file does not know it."""
    if activations.is_rectifier(sigma):
        up, down = float(sigma.positive), float(sigma.negative)
        return lambda z: np.where(z > 0, up * z, down * z)
    if isinstance(sigma, activations.Identity):
        return lambda z: z
    if _is_tanh(sigma):
        return np.tanh
    if isinstance(sigma, activations.Erf):
        return lambda z: scipy.special.erf(float(sigma.frequency) * z)
    if isinstance(sigma, activations.Sine):
        return lambda z: np.sin(float(sigma.frequency) * z + float(sigma.phase))
    if isinstance(sigma, activations.Gelu):
        return lambda z: z * scipy.special.ndtr(z)
    return lambda z: np.asarray(sigma(jnp.asarray(z)), np.float64)


def _folded(model: object, params: PyTree) -> AttentionHead:
    if not isinstance(model, Serial):
        raise ValueError(f"model must be a models.Serial; got {type(model).__name__}. Pass AttentionHead(w, V, W).")
    if model.read not in READS or model.outputs != 1:
        raise ValueError(f"{_NOT} read {model.read!r} with {model.outputs} outputs; wanted one output, read {READS}.")
    before = V = W = sigma = w = None
    causal = False
    for block, raw in zip(model.blocks, params["blocks"], strict=True):
        p = {name: np.asarray(value, np.float64) for name, value in raw.items() if name != "blocks"}
        if isinstance(block, blocks.Linear):
            _no_bias(block, p)
            M = float(block.sigma_w) * p["W"].shape[1] ** -0.5 * p["W"]  # y = M x
            if V is None:
                before = M if before is None else M @ before
            elif sigma is None:
                V = V @ M.T
            else:
                w = M if w is None else M @ w
        elif isinstance(block, blocks.Attention) and V is None:
            W, V, causal = *_scores_and_values(block, p, before), block.causal
        elif isinstance(block, blocks.Nonlinearity) and V is not None and sigma is None:
            sigma = block.activation
        else:
            raise ValueError(f"{_NOT} a block {type(block).__name__} at this place. Wanted {_CLASS}.")
    if V is None or W is None:
        raise ValueError(f"{_NOT} no Attention. Wanted {_CLASS}.")
    out = np.asarray(params["R"], np.float64)  # (1, m)
    out = float(model.sigma_r) * out.shape[1] ** -0.5 * out
    out = out if w is None else out @ w
    if model.input_scale == "none":  # the model multiplies tokens by sqrt d
        V, W = V * len(V) ** 0.5, W * len(V)
    return AttentionHead(out[0], V, W, "identity" if sigma is None else sigma, None, model.read, causal)


_NOT = "the bounds speak of one attention head; got"
_CLASS = "Linear without bias, one softmax Attention, Linear without bias and at most one activation"


def _scores_and_values(
    block: blocks.Attention, p: dict[str, np.ndarray], before: PyTree
) -> tuple[np.ndarray, np.ndarray]:
    """W (d, d) and V (d, m) of the tokens as they enter the model."""
    if block.weights != "softmax" or block.skip:
        raise ValueError(f"{_NOT} weights {block.weights!r}, skip={block.skip}. Wanted {_CLASS}, skip=False.")
    if not block.project:
        if before is None:
            raise ValueError(f"{_NOT} Attention(project=False) on raw tokens. Put a Linear before it.")
        return float(block.sigma_qk) / len(before) * before.T @ before, before.T
    _no_bias(block, p)
    heads, d_k, n = p["Q"].shape
    if heads != 1:
        raise ValueError(f"{_NOT} {heads} heads. Build the model with heads=1.")
    M = np.eye(n) if before is None else before
    tied = block.scaling == "dim"
    query, key = p["Q"][0] @ M, (p["Q"] if tied else p["K"])[0] @ M
    scale = float(block.sigma_qk) * (1 / d_k if tied else d_k**-0.5) / n
    out = float(block.sigma_ov) * (p["V"].shape[1] * n) ** -0.5 * p["O"][:, 0] @ p["V"][0] @ M  # (m, d)
    return scale * key.T @ query, out.T


def _no_bias(block: Any, p: dict[str, np.ndarray]) -> None:
    if float(block.sigma_b) != 0 and p["b"].any():
        raise ValueError(f"{_NOT} a {type(block).__name__} with a bias. Build it with sigma_b=0.")
