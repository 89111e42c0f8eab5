"""Which blocks make an attention layer, a transformer, and the transformer of a paper?"""

from __future__ import annotations

import dataclasses
from typing import Any

from ntkseq import _checks, blocks
from ntkseq._types import Number
from ntkseq.kernels.serial import Serial


def Attention(
    *,
    sigma_w: Number = 1.0,
    sigma_b: Number = 0.0,
    read: str = "mean",
    sigma_r: Number = 1.0,
    train_readout: bool = True,
    input_scale: str = "dim",
    kind: str = "ntk",
    **attention: Any,
) -> Serial:
    """The kernel of one layer of multi-head attention on embedded tokens: Linear, Attention, read-out.

    Args:
        sigma_w, sigma_b: of the embedding x -> (sigma_w / sqrt d) W x + sigma_b b.
        read, sigma_r, train_readout, input_scale, kind: as in `kernels.Serial`.
        **attention: arguments of `blocks.Attention`, for example `weights="identity"`, `scaling="root"`, `causal=True`.

    Raises:
        ValueError: negative scales, unknown words, arguments that `blocks.Attention` does not take.

    Reference: hron2020attention.

    Example:
        >>> import jax.numpy as jnp
        >>> from ntkseq.kernels.transformer import Attention
        >>> Attention(sigma_qk=0.5)(jnp.ones((2, 4, 3))).shape
        (2, 2)
    """
    parts = (blocks.Linear(sigma_w, sigma_b), _attention("Attention", attention))
    return Serial(*parts, read=read, sigma_r=sigma_r, train_readout=train_readout, input_scale=input_scale, kind=kind)


def Transformer(
    *,
    depth: int = 1,
    sigma_u: Number = 1.0,
    sigma_w: Number = 2**0.5,
    sigma_b: Number = 0.0,
    sigma_o: Number = 1.0,
    activation: object = "relu",
    eps: Number = 0.0,
    positions: Any = None,
    read: str = "mean",
    sigma_r: Number = 1.0,
    train_readout: bool = True,
    input_scale: str = "dim",
    kind: str = "ntk",
    **attention: Any,
) -> Serial:
    """The kernel of a transformer with LayerNorm before each branch and before the read-out, with wide heads.

        x = embedding(tokens) [+ positions];   depth times: x + Attention(LN(x)), then x + W2 phi(W1 LN(x))

    Args:
        depth: number of layers.
        sigma_u: of the embedding, which has no bias.
        sigma_w, sigma_b: of the first weights of every feed-forward branch.
        sigma_o: of its second weights.
        activation: of the feed-forward branches.
        eps: of every LayerNorm.
        positions: a `blocks.Positions`, or None.
        read, sigma_r, train_readout, input_scale, kind: as in `kernels.Serial`.
        **attention: arguments of `blocks.Attention`.

    Raises:
        ValueError: a depth below 1, negative scales, positions that are none, unknown words, arguments that
            `blocks.Attention` does not take.

    Reference: hron2020attention.

    Example:
        >>> import jax.numpy as jnp
        >>> from ntkseq.blocks import Positions
        >>> from ntkseq.kernels.transformer import Transformer
        >>> Transformer(depth=2, causal=True, positions=Positions(0.2), read="last")(jnp.ones((2, 4, 3))).shape
        (2, 2)
    """
    _checks.positive_int("depth", depth)
    if positions is not None and not isinstance(positions, blocks.Positions):
        raise ValueError(f"positions must be a blocks.Positions or None; got {_checks.shown(positions)}.")
    _checks.scale("sigma_u", sigma_u, single=True)
    _checks.scale("sigma_o", sigma_o, single=True)
    norm = blocks.LayerNorm(eps)
    forward = (norm, blocks.Linear(sigma_w, sigma_b), blocks.Nonlinearity(activation), blocks.Linear(sigma_o))
    layer = (blocks.Residual(norm, _attention("Transformer", attention)), blocks.Residual(*forward))
    embedding = (blocks.Linear(sigma_u, train="W"),) + (() if positions is None else (positions,))
    return Serial(
        *embedding, *layer * depth, norm,
        read=read, sigma_r=sigma_r, train_readout=train_readout, input_scale=input_scale, kind=kind,
    )  # fmt: skip


def _attention(kernel: str, arguments: dict[str, Any]) -> blocks.Attention:
    known = [field.name for field in dataclasses.fields(blocks.Attention)]
    for name in arguments:
        if name not in known:
            heads = " The limit has infinitely many heads." if "head" in name else ""
            raise TypeError(f"{kernel} takes no argument {name!r}.{heads} Those of attention are {', '.join(known)}.")
    return blocks.Attention(**arguments)
