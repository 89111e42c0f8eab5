"""What is the loss of one example, and what counts as an error?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks
from ntkseq._types import ArrayLike, DType

Loss = Callable[[Any, Any], Any]
NAMES = ("squared", "logistic", "cross_entropy")


def squared(prediction: Float[Array, " o"], y: Array) -> Float[Array, ""]:
    """|f - y|^2 / 2, summed over outputs; y (o,), or a number for one output."""
    return 0.5 * jnp.sum(jnp.square(prediction - jnp.reshape(y, prediction.shape)))


def logistic(prediction: Float[Array, " o"], y: Array) -> Float[Array, ""]:
    """log(1 + exp(-y f)) for one output and y = -1 or +1."""
    return jax.nn.softplus(-y * prediction[0])


def cross_entropy(prediction: Float[Array, " o"], y: Array) -> Float[Array, ""]:
    """-log softmax(f)_y for a class y in 0..o-1."""
    return jax.nn.logsumexp(prediction) - prediction[y]


def get(loss: str | Loss) -> Loss:
    """A loss by name, or a function loss(prediction (o,), y) -> number as it is.

    Raises:
        ValueError: neither.
    """
    if callable(loss):
        return loss
    _checks.choice("loss", loss, NAMES)
    return {"squared": squared, "logistic": logistic, "cross_entropy": cross_entropy}[loss]


def targets(loss: str | Loss, y: ArrayLike, n: int, outputs: int, dtype: DType) -> Array:
    """Targets as the loss takes them, checked: (n, o) for "squared", -1/+1 for "logistic", classes for "cross_entropy".

    Args:
        loss: a name, or a function; to a function y goes as it is.
        y: n targets.
        n: how many examples there are.
        outputs: number o of outputs of the network.
        dtype: of the outputs.

    Raises:
        ValueError: another number of targets, or values outside the loss's range.
    """
    if callable(loss):
        array = jnp.asarray(y)
        if array.ndim == 0 or array.shape[0] != n:
            raise ValueError(f"y must have one target per example, {n} along the first axis; got shape {array.shape}.")
        return array
    if loss == "cross_entropy":
        classes = np.asarray(y)
        if classes.shape != (n,) or classes.dtype.kind not in "iu":
            raise ValueError(
                f"y must be {n} integers, the class of each example, for the loss 'cross_entropy'; got shape "
                f"{classes.shape}, dtype {classes.dtype}."
            )
        if classes.min() < 0 or classes.max() >= outputs:
            raise ValueError(
                f"y must hold classes 0..{outputs - 1}, the network has {outputs} outputs; got "
                f"{classes.min()}..{classes.max()}."
            )
        return jnp.asarray(classes.astype(np.int32))
    array = (_checks.targets if loss == "logistic" else _checks.fitted)("y", y, n)
    if loss == "logistic":
        if outputs != 1 or array.ndim != 1 or not np.isin(array, (-1.0, 1.0)).all():
            raise ValueError(
                "the loss 'logistic' is for one output and labels -1/+1; got "
                f"{outputs} outputs and y of shape {array.shape} in {array.min():g}..{array.max():g}."
            )
        return jnp.asarray(array, dtype)
    array = array.reshape(n, -1)
    if array.shape[1] != outputs:
        raise ValueError(
            f"y must have one number per output, ({n}, {outputs}); got {np.shape(y)}. Classes: predictors.one_hot."
        )
    return jnp.asarray(array, dtype)


def wrong(loss: str | Loss, prediction: Float[Array, " o"], y: Array) -> Float[Array, ""]:
    """1 where the network decides wrongly: the sign of one output, the largest of several; nan for a loss of your own.

    Targets of "squared" with one output count by their sign, with several by their largest: -1/+1 and one-hot labels.
    """
    dtype = prediction.dtype
    if callable(loss):
        return jnp.asarray(jnp.nan, dtype)
    if loss == "cross_entropy":
        return (jnp.argmax(prediction) != y).astype(dtype)
    y = jnp.reshape(jnp.asarray(y), prediction.shape)
    if prediction.shape[0] == 1:
        return (prediction[0] * y[0] <= 0).astype(dtype)
    return (jnp.argmax(prediction) != jnp.argmax(y)).astype(dtype)
