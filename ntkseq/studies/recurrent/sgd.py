"""What does a finite Elman network learn of a known target by the papers' algorithm, plain SGD on its W alone?"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntkseq import _checks, models
from ntkseq._types import AnyArray, ArrayLike, GramLike, PyTree
from ntkseq.studies.recurrent.kernel_regression import Errors, errors
from ntkseq.training import sgd

CHUNK = 64  # sequences whose states are held at once when a network is only evaluated


@functools.lru_cache(maxsize=32)
def papers_network(width: int, d_out: int = 1) -> models.Recurrent:
    """The network of the papers: relu, W and A ~ N(0, 2/m), B ~ N(0, 1/d_out), only W trained, last step read out.

    f = B h_t, h_t = relu(W h_{t-1} + A x_t). Here with W = sqrt(2/m) W', W' ~ N(0, 1): a step eta for W is a step
    m eta/2 for W', and the kernel of W' is 2 K with K that of `kernels.Recurrent.preset("allen-zhu-li", d_out=d_out)`.
    """
    return models.Recurrent(
        width, sigma_w=math.sqrt(2), sigma_u=math.sqrt(2), sigma_r=1 / math.sqrt(d_out), train="W",
        input_scale="none", outputs=d_out,
    )  # fmt: skip


def step_size(K: GramLike, steps: int = 1, *, batch: int, rate: float = 1.0, factor: float = 2.0) -> float:
    """A step of SGD on the mean over a batch of sum_t |f_t - y_t|^2 / 2 that is stable in the kernel limit.

        lr = rate / (factor (lambda_max(K)/n (1 - 1/b) + max_i lambda_max(K_ii)/b)),    b = min(batch, n)

    K_ii is the block of the outputs of example i. With b = n it is a little below rate / lambda_max of the mean loss,
    whose limit of stability is 2.

    Args:
        K: Gram matrix of the training examples, (n steps, n steps), the outputs of an example next to each other.
        steps: outputs of an example.
        batch: examples per step.
        rate: in units of the inverse of that curvature; 2 or so is the edge of stability.
        factor: what the network's kernel is in units of K; 2 for `papers_network`.
    """
    rate = _checks.nonnegative("rate", rate, positive=True)
    matrix = np.asarray(K, np.float64)
    points = len(matrix)
    n = points // steps
    b = min(_checks.positive_int("batch", batch), n)
    top = float(scipy.linalg.eigvalsh(matrix, subset_by_index=(points - 1, points - 1))[0])
    own = matrix.reshape(n, steps, n, steps)[np.arange(n), :, np.arange(n)]  # (n, steps, steps)
    largest = float(np.linalg.eigvalsh(own)[:, -1].max())
    return rate / (factor * (top / n * (1 - 1 / b) + largest / b))


@dataclasses.dataclass(frozen=True, eq=False)
class NetworkFit:
    """What a network learnt by SGD, its start subtracted: f - f_0.

    Attributes:
        n, width, seed: of what.
        lr, steps, batch: of SGD, for the parameters of the network as they are held; see `papers_network`.
        errors: on the test points.
        train_error: mean of min(1, |f - f_0 - y|) over the training examples.
        predicted: f - f_0 at the test points, (m,) or (m, o).
        losses: of each mini-batch.
        moved: |theta - theta_0| / |theta_0| of the trained parameters.
        diverged_at: the step; None: never. Errors are then nan.
        ratio: largest |grad f(x_i)|^2 at the start over its limit of infinite width; nan if it was not asked for.
    """

    n: int
    width: int
    seed: int
    lr: float
    steps: int
    batch: int
    errors: Errors
    train_error: float
    predicted: Float[np.ndarray, "m ..."]
    losses: Float[np.ndarray, " step"]
    moved: float
    diverged_at: int | None
    ratio: float = math.nan


def papers_sgd(
    x: AnyArray,
    y: ArrayLike,
    x_test: AnyArray,
    y_test: ArrayLike,
    *,
    width: int,
    lr: float,
    epochs: int,
    batch: int,
    seed: int,
    diagonal: float | None = None,
) -> NetworkFit:
    """Train `papers_network` by plain SGD on |f - f_0 - y|^2 / 2; epochs = 1 is one pass in the order given.

    Args:
        x, y: training sequences (n, t, d) and labels (n,).
        x_test, y_test: test sequences and values.
        width: m.
        lr: of the network's own W; `step_size` knows a stable one. The papers' eta is 2 lr / m.
        epochs: passes over the examples.
        batch: examples per step, n at most.
        seed: of the weights and of the order.
        diagonal: K(x, x) of the preset kernel. If given, lr is divided by max_i |grad f(x_i)|^2 / (2 K(x, x)) where
            that is above 1: over many steps narrow networks are far from their limit (the spectral radius of W where
            half of the units are active scatters around 1, to the power of 2t), and would diverge.
    """
    net = papers_network(width)
    start, order = jax.random.split(jax.random.key(seed))
    params = net.init(start, x[0])
    ratio = math.nan
    if diagonal is not None:
        own = float(np.max(np.asarray(_squares(net, params, x))))
        ratio = own / (2 * diagonal)
        lr = lr / max(1.0, ratio)
    found = learn(
        net.apply, params, (x, y), (x_test, y_test), lr=lr, epochs=epochs, batch=batch, key=order,
        trainable=r"\['W'\]", width=width, seed=seed,
    )  # fmt: skip
    return dataclasses.replace(found, ratio=ratio)


def learn(
    f: Callable[..., Any],
    params: PyTree,
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    *,
    lr: float,
    epochs: int,
    batch: int,
    key: jax.Array,
    trainable: str,
    width: int,
    seed: int,
) -> NetworkFit:
    """Train f(params, x) -> (o,) by plain SGD on |f - f_0 - y|^2 / 2, with f_0 = f at the start.

    Args:
        f: keep this object for several fits, which are then compiled once.
        params: at the start.
        train, test: sequences and labels each, labels (n,) or (n, o).
        lr, epochs, batch, key: of SGD. One epoch takes the examples in the order given.
        trainable: pattern of the paths of trained leaves, as for `training.sgd.train`.
        width, seed: to be remembered in what comes back.
    """
    (x, y), (x_test, y_test) = train, test
    y, n = np.asarray(y), len(y)
    before, before_test = (_outputs(f, params, one) for one in (x, x_test))
    shape = (n, *y.shape[1:])
    # training on y + f_0 is training f - f_0 on y
    shifted = (y.astype(np.float64) + before.reshape(shape)).astype(before.dtype)
    batch = min(_checks.positive_int("batch", batch), n)
    order = "once" if epochs == 1 else "shuffle"
    done = sgd.train(
        f, params, (x, shifted), lr=lr, batch=batch, epochs=epochs, order=order, key=key, trainable=trainable
    )
    after, after_test = (_outputs(f, done.params, one) for one in (x, x_test))
    values = np.asarray(y_test, np.float64)
    predicted = (after_test - before_test).reshape(values.shape)
    fitted = (after - before).reshape(shape)
    if done.diverged_at is not None:
        predicted, fitted = np.full_like(predicted, np.nan), np.full_like(fitted, np.nan)
    return NetworkFit(
        n=n, width=width, seed=seed, lr=lr, steps=done.step, batch=batch, errors=errors(predicted, values),
        train_error=errors(fitted, y).mean, predicted=predicted, losses=np.asarray(done.losses),
        moved=_moved(params, done.params), diverged_at=done.diverged_at,
    )  # fmt: skip


def _outputs(f: Callable[..., Any], params: PyTree, x: AnyArray) -> Float[np.ndarray, "n o"]:
    """Outputs for all sequences, in float64, a few at a time."""
    return np.asarray(_evaluate(f, params, x), np.float64)


@functools.partial(jax.jit, static_argnums=0)
def _evaluate(f: Callable[..., Any], params: PyTree, x: AnyArray) -> Any:
    return jax.lax.map(lambda one: f(params, one), x, batch_size=CHUNK)


@jax.jit
def _squares(net: models.Recurrent, params: PyTree, x: AnyArray) -> Any:
    """|grad f(x_i)|^2 over all trained parameters: the others have none."""

    def one(example: AnyArray) -> Any:
        gradient = jax.grad(lambda p: net.apply(p, example)[0])(params)
        return sum(jax.numpy.vdot(leaf, leaf) for leaf in jax.tree.leaves(gradient))

    return jax.lax.map(one, x, batch_size=CHUNK // 8)


def _moved(start: PyTree, end: Any) -> float:
    """Of the leaves that moved at all."""
    pairs = [
        (np.asarray(a, np.float64), np.asarray(b, np.float64))
        for a, b in zip(*map(jax.tree.leaves, (start, end)), strict=True)
    ]
    pairs = [(a, b) for a, b in pairs if not np.array_equal(a, b)]
    size = math.sqrt(sum(float(np.sum(a**2)) for a, _ in pairs))
    gone = math.sqrt(sum(float(np.sum((b - a) ** 2)) for a, b in pairs))
    return gone / size if size > 0 else 0.0
