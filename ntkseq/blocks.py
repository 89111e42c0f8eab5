"""Which blocks is a network on tokens made of? Shared by the models (`models.Serial`) and kernels (`kernels.Serial`).

A block maps tokens (t, d) to tokens (t, n). Blocks are frozen pytrees: scales are leaves, choices are static. NTK
parametrisation: raw weights are N(0, 1); the scales and one over the root of the fan-in stand in the forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ntkseq import _checks, _display, activations, cells
from ntkseq._layers import check_letters
from ntkseq._struct import fill, static, struct
from ntkseq._types import ActivationLike, Scale

__all__ = [
    "GLU",
    "Attention",
    "Block",
    "Convolution",
    "LayerNorm",
    "Linear",
    "Nonlinearity",
    "Positions",
    "Recurrent",
    "Residual",
]


class Block:
    """One part of a network on tokens."""


@struct
class Linear(Block):
    """y_a = (sigma_w / sqrt d) W x_a + sigma_b b, the same for each token a.

    Args:
        sigma_w, sigma_b: standard deviations of weights and bias. Leaves.
        train: trained groups, letters out of "Wb".

    Raises:
        ValueError: negative scales, unknown letters.
    """

    sigma_w: Scale = 1.0
    sigma_b: Scale = 0.0
    train: str = static(default="Wb")

    def __post_init__(self) -> None:
        _checks.scale("sigma_w", self.sigma_w, single=True)
        _checks.scale("sigma_b", self.sigma_b, single=True)
        check_letters(self.train, "Wb")


@struct
class Convolution(Block):
    """y_a = (sigma_w / sqrt(size d)) sum_k W_k x_{a-k} + sigma_b b: a convolution over tokens, stride 1.

    Tokens before the first and behind the last of a sequence's own are zero.

    Args:
        size: number of taps k. Each is a matrix product: for short filters.
        causal: taps 0 .. size - 1 look back; False: centred, from -(size - 1)/2 to (size - 1)/2, size odd.
        depthwise: each coordinate has taps of its own, y_a = (sigma_w / sqrt size) sum_k w_k x_{a-k} + sigma_b b, and
            the width stays. The kernel is the same; but a product of two random numbers is not Gaussian, so weights
            must follow before an activation, and a block that maps to the width must stand before.
        sigma_w, sigma_b: standard deviations of weights and bias. Leaves.
        train: trained groups, letters out of "Wb".

    Raises:
        ValueError: a size below 1, an even one where it is centred, negative scales, unknown letters.

    Reference: novak2019bayesian (with channels to infinity, tokens stay apart); the equations are tokens.5.

    Example:
        >>> from ntkseq import kernels
        >>> from ntkseq.blocks import Convolution
        >>> kernel = kernels.Serial(Convolution(3, causal=False), "relu", Convolution(3, causal=False), "relu")
    """

    size: int = static()
    causal: bool = static(default=True)
    sigma_w: Scale = 1.0
    sigma_b: Scale = 0.0
    depthwise: bool = static(default=False)
    train: str = static(default="Wb")

    def __post_init__(self) -> None:
        fill(self, size=_checks.positive_int("size", self.size))
        for name in ("causal", "depthwise"):
            _checks.flag(name, getattr(self, name))
        for name in ("sigma_w", "sigma_b"):
            _checks.scale(name, getattr(self, name), single=True)
        check_letters(self.train, "Wb")
        if not self.causal and self.size % 2 == 0:
            raise ValueError(f"size must be odd where causal=False, so that it has a centre; got {self.size}.")

    @property
    def lags(self) -> range:
        """The lag k of each tap: it looks at token a - k."""
        first = 0 if self.causal else -(self.size // 2)
        return range(first, first + self.size)


@struct
class GLU(Block):
    """A gated linear unit, y_a = value(x_a) * phi(gate(x_a)), with two independent `Linear` branches.

    A product of Gaussian numbers is not Gaussian: weights must follow before an activation or a LayerNorm.

    Args:
        activation: phi, a name of `activations.names()` or an `activations.Activation`.
        value, gate: the branches, each with scales and trained groups of its own.

    Raises:
        ValueError: a branch that is no `Linear`, an unknown activation.

    Reference: dauphin2017glu; the equations are tokens.6.

    Example:
        >>> from ntkseq import kernels
        >>> from ntkseq.blocks import GLU, Linear
        >>> kernel = kernels.Serial(Linear(), GLU("sigmoid", gate=Linear(1.5)), Linear())
    """

    activation: ActivationLike = "sigmoid"
    value: Linear = Linear()
    gate: Linear = Linear()

    def __post_init__(self) -> None:
        for name in ("value", "gate"):
            _checks.kind(name, getattr(self, name), Linear)
        fill(self, activation=activations.get(self.activation))


@struct
class Nonlinearity(Block):
    """phi of every coordinate. `activation`: a name of `activations.names()` or an `activations.Activation`.

    Raises:
        ValueError: an unknown name, or a bare function.

    Example:
        >>> Nonlinearity("erf").activation
        Erf(frequency=1.0)
    """

    activation: ActivationLike = "relu"

    def __post_init__(self) -> None:
        fill(self, activation=activations.get(self.activation))

    def _short(self) -> str:
        """The name of its activation, as `Serial` takes it."""
        return _display.short(self.activation) if isinstance(self.activation, activations.Activation) else repr(self)


@struct
class Attention(Block):
    """Multi-head attention: sum over tokens c of zeta(q_a . k_c * scale) v_c, all heads side by side, then O.

        q = (sigma_qk / sqrt d) Wq x,   k = (1 / sqrt d) Wk x,   v = (1 / sqrt d) Wv x
        y = (sigma_ov / sqrt(heads d_v)) Wo [head 1, head 2, ...] + sigma_b b

    Args:
        weights: zeta, "softmax" over the tokens that are seen, or "identity", "relu", "abs" of each score.
        scaling: "dim": scores are q . k / d_k with Wq = Wk tied, and at infinite width the attention matrix is a fixed
            function of the input. "root": q . k / sqrt(d_k) with independent Wq and Wk, and infinitely many heads:
            scores stay Gaussian. Of the kernels there only that of softmax is Monte Carlo; relu and abs are sums of
            closed forms.
        sigma_qk, sigma_ov, sigma_b: scale of the scores (at scaling "dim" the scores at infinite width are
            sigma_qk kap_ac, kap the covariance of the tokens), of the output, of the bias. Leaves.
        project: False leaves Wq, Wk, Wv, Wo out: queries, keys and values are the tokens themselves
            (scaling "dim" only; sigma_b and sigma_ov then play no role).
        skip: adds the tokens themselves, y + x; with `project=False` the two are correlated (A + I) x, which
            `Residual` could not know.
        causal: token a sees tokens c <= a only.
        train: trained groups, letters out of "QKVOb".
        samples: Monte Carlo draws of softmax at scaling "root".
        seed: of those draws.
        decay: gamma in [0, 1], or one for each of equal shares of the heads: what token a sees of token c is multiplied
            by gamma^(a - c) (retention, sun2023retention; linear attention with a decay that no input moves). For
            causal "identity" at scaling "root". None: 1.

    Raises:
        ValueError: negative scales, unknown words or letters, samples below 1, a decay outside [0, 1] or where
            none is known, `project=False` at scaling "root".
    """

    sigma_qk: Scale = 1.0
    sigma_ov: Scale = 1.0
    sigma_b: Scale = 0.0
    weights: str = static(default="softmax")
    scaling: str = static(default="dim")
    project: bool = static(default=True)
    skip: bool = static(default=False)
    causal: bool = static(default=False)
    train: str = static(default="QKVOb")
    samples: int = static(default=1024)
    seed: int = static(default=0)
    decay: Scale = static(default=None)

    def __post_init__(self) -> None:
        for name in ("sigma_qk", "sigma_ov", "sigma_b"):
            _checks.scale(name, getattr(self, name), single=True)
        _checks.choice("weights", self.weights, ("softmax", "identity", "relu", "abs"))
        _checks.choice("scaling", self.scaling, ("dim", "root"))
        check_letters(self.train, "QKVOb")
        for name in ("project", "skip", "causal"):
            _checks.flag(name, getattr(self, name))
        _checks.positive_int("samples", self.samples)
        _checks.seed("seed", self.seed)
        if self.decay is not None:
            fill(self, decay=self._decays(self.decay))
        if not self.project and self.scaling != "dim":
            raise ValueError('project=False needs scaling="dim": without Wq and Wk no score is random.')

    def _decays(self, given: Any) -> tuple[float, ...]:
        listed = given.tolist() if hasattr(given, "tolist") else given
        several = tuple(listed) if isinstance(listed, (tuple, list)) and listed else (given,)
        decays = tuple(_checks.nonnegative("decay", gamma) for gamma in several)
        if max(decays) > 1:
            raise ValueError(f"decay must be between 0 and 1; got {_checks.shown(given)}.")
        if self.weights != "identity" or self.scaling != "root" or not self.causal:
            raise ValueError(
                'decay needs weights="identity", scaling="root" and causal=True; got '
                f'weights="{self.weights}", scaling="{self.scaling}", causal={self.causal}.'
            )
        return decays


@struct
class LayerNorm(Block):
    """(x_a - mean) / sqrt(variance + eps) over the coordinates of each token, without learned scales.

    Args:
        eps: >= 0. A leaf.

    Raises:
        ValueError: a negative eps.

    Reference: novak2020 (its kernel).
    """

    eps: Scale = 0.0

    def __post_init__(self) -> None:
        _checks.scale("eps", self.eps)


@struct
class Residual(Block):
    """x + g(x), g the blocks in a row; the last of its weights (`Linear`, or a projecting `Attention`) are its own.

    Args:
        *blocks: g, one or more, or names of activations.

    Raises:
        ValueError: something that is no block, or none at all.
    """

    blocks: tuple[Block, ...] = ()

    def __init__(self, *blocks: Any) -> None:
        fill(self, blocks=sequence("Residual", blocks))


@struct
class Positions(Block):
    """sqrt(1 - share) x_a + sqrt(share) p_a: random position vectors, drawn once, never trained.

    Cov(p_a, p_c) = exp(-decay (a - c)^2) in each coordinate. Positions are counted from the first token.

    Args:
        share: between 0 and 1. A leaf.
        decay: how fast positions become independent; None: independent at once. A leaf.

    Raises:
        ValueError: a share outside [0, 1], a negative decay.
    """

    share: Scale = 0.5
    decay: Scale = None

    def __post_init__(self) -> None:
        _checks.scale("share", self.share)
        if self.decay is not None:
            _checks.scale("decay", self.decay)
        if _checks.is_concrete(self.share) and float(self.share) > 1:
            raise ValueError(f"share must be between 0 and 1; got {self.share}.")


@struct
class Recurrent(Block):
    """A recurrent layer: tokens x_1 .. x_t in, the states h_1 .. h_t of its cell out.

    Args:
        cell: what it does at one step, a cell of `ntkseq.cells`.
        direction: "forward"; "reversed", from a sequence's last token to its first; "both": half of the coordinates
            of each token come from either direction, each with weights of its own.

    Raises:
        ValueError: something that is no cell, an unknown direction.

    Reference: yang2020tp2; the equations are tokens.3 and tokens.4.

    Example:
        >>> from ntkseq.blocks import Linear, Recurrent, Residual
        >>> from ntkseq.cells import Elman
        >>> Recurrent(Elman(sigma_w=1.4), direction="both").direction
        'both'
    """

    cell: Any
    direction: str = static(default="forward")

    def __post_init__(self) -> None:
        _checks.kind("cell", self.cell, cells.Cell)
        _checks.choice("direction", self.direction, ("forward", "reversed", "both"))


def every(blocks: Sequence[Block]) -> Iterator[Block]:
    """Each block in a row, and behind a `Residual` those of its branch."""
    for block in blocks:
        yield block
        if isinstance(block, Residual):
            yield from every(block.blocks)


def sequence(name: str, blocks: Sequence[Any]) -> tuple[Block, ...]:
    """A non-empty tuple of blocks; a name or an `activations.Activation` stands for its `Nonlinearity`.

    Raises:
        ValueError: something that is no block, or none at all.
    """
    known = activations.names()
    words = lambda b: isinstance(b, activations.Activation) or (isinstance(b, str) and b in known)  # noqa: E731
    blocks = tuple(Nonlinearity(b) if words(b) else b for b in blocks)
    wrong = [b for b in blocks if not isinstance(b, Block)]
    if wrong or not blocks:
        raise ValueError(
            f"{name} takes one or more blocks (ntkseq.blocks.Linear, Attention, ...) or names of activations "
            f"({', '.join(known)}); got {_checks.shown(wrong[0]) if wrong else 'none'}."
        )
    return blocks
