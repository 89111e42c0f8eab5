"""What is measured of fine-tuning: kernels of optimisers at the start, a step of each, and the regime in the end."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from ntkseq import empirical
from ntkseq._types import Key, PyTree
from ntkseq.predictors import ridge
from ntkseq.spectra.comparison import cosine
from ntkseq.studies.finetune.networks import Texts, Tuning
from ntkseq.training import KernelRegime, kernel_regime, sgd

SEEN = 20
"""Batches from which Adam takes its second moment before the step that is looked at."""
RIDGE = 1e-2
"""Ridge of the regressions, over the mean of the diagonal."""


@dataclasses.dataclass(frozen=True, eq=False)
class Optimiser:
    """The kernel of an optimiser's step at the pre-trained parameters.

    Attributes:
        gram: on the training windows, (n, n).
        like_sgd, like_labels: its cosine with the kernel of SGD and with y y'.
        asymmetry: |K - K'| / |K|.
        error: share of test windows on which ridge regression with it errs; None where it is not symmetric.
        step: learning rate and |f(stepped) - f - first-order change| / |f(stepped) - f| on the test windows.
    """

    name: str
    gram: Float[np.ndarray, "n n"]
    like_sgd: float
    like_labels: float
    asymmetry: float
    error: float | None
    step: tuple[float, float]


def optimisers(tuning: Tuning, data: Texts, *, batch: int, lr: float, seed: int) -> list[Optimiser]:
    """SGD, Adam with the second moment of the first batches, and SignGD, each with a step of the same length.

    lr: of Adam and SignGD; that of SGD makes a step as long as Adam's.
    """
    f, params = tuning.f, tuning.params
    (x, y), x_test = data.train, data.test[0]
    rng = np.random.default_rng(seed)

    @jax.jit
    def slope(x: Array, y: Array) -> PyTree:
        return jax.grad(lambda p: jnp.mean(jax.nn.softplus(-y * jax.vmap(f, (None, 0))(p, x)[:, 0])))(params)

    adam = optax.adam(lr)
    state = adam.init(params)
    with jax.numpy_dtype_promotion("standard"):  # optax raises b2 to a whole number
        for _ in range(SEEN):
            some = rng.choice(len(y), size=min(batch, len(y)), replace=False)
            gradient = slope(x[some], y[some])
            updates, state = adam.update(gradient, state, params)
    length = optax.tree_utils.tree_norm(updates) / optax.tree_utils.tree_norm(gradient)  # pyright: ignore[reportPossiblyUnboundVariable]
    steps: dict[str, tuple[float, PyTree]] = {
        "SGD": (float(length), jax.tree.map(lambda g: -length * g, gradient)),  # pyright: ignore[reportPossiblyUnboundVariable]
        "Adam": (lr, updates),  # pyright: ignore[reportPossiblyUnboundVariable]
        "SignGD": (lr, jax.tree.map(lambda g: -lr * jnp.sign(g), gradient)),  # pyright: ignore[reportPossiblyUnboundVariable]
    }
    sign, outputs = empirical.SignGDKernel(f, params), jax.jit(jax.vmap(f, (None, 0)))
    start = outputs(params, x_test)
    symmetric = {
        "SGD": empirical.NTK(f, params),
        "Adam": empirical.NTK(f, params, rates=empirical.preconditioner(state, params)),
    }

    def missed(step: PyTree) -> float:
        """How much of a step's change is not of first order."""
        change = outputs(optax.apply_updates(params, step), x_test) - start
        first = empirical.first_order_change(f, params, step, x_test)
        return float(jnp.linalg.norm(change - first) / jnp.linalg.norm(change))

    found: list[Optimiser] = []
    for name, (rate, step) in steps.items():
        K, error = _ridge(symmetric[name], data) if name in symmetric else (np.asarray(sign(x), np.float64), None)
        plain = found[0].gram if found else K
        both = 0.5 * (K + K.T)
        found.append(
            Optimiser(
                name, K, cosine(both, plain, [0.0, 0.0]).estimate,
                cosine(both, np.outer(y, y).astype(np.float64), [0.0, 0.0]).estimate,
                float(np.linalg.norm(K - K.T) / np.linalg.norm(K)), error, (rate, missed(step)),
            )
        )  # fmt: skip
    return found


def _ridge(kernel: empirical.NTK, data: Texts) -> tuple[np.ndarray, float]:
    """The kernel on the training windows, and the share of test windows on which ridge regression errs."""
    (x, y), (x_test, y_test) = data.train, data.test
    both = np.asarray(kernel(np.concatenate([x, x_test]), x), np.float64)  # one program for both
    K, cross = 0.5 * (both[: len(y)] + both[: len(y)].T), both[len(y) :]
    fit = ridge(K, y, reg=RIDGE * float(np.mean(np.diagonal(K))))
    return K, float(np.mean(np.asarray(fit(cross)) * y_test <= 0))


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """One fine-tuned network beside its linearisation.

    Attributes:
        parameters: how many were trained.
        loss: mean training loss over the last tenth of the steps, of the network and of the linearisation.
        error: share of test windows decided wrongly: before, after, and by the linearisation.
        regime: what `training.kernel_regime` says.
        outputs: on the test windows, of the network and the linearisation, (2, k).
    """

    method: str
    parameters: int
    loss: tuple[float, float]
    error: tuple[float, float, float]
    regime: KernelRegime
    outputs: Float[np.ndarray, "2 k"]


def tuned(
    method: str,
    tuning: Tuning,
    data: Texts,
    *,
    lr: float,
    batch: int,
    steps: int,
    level: float,
    examples: int,
    key: Key,
) -> Outcome:
    """Fine-tune a network and its linearisation by Adam on the same batches, and test the regime on new text.

    Raises:
        ValueError: a run that diverged.
    """
    linear = empirical.linearize(tuning.f, tuning.params, trainable=tuning.trainable)
    ends, curves = [], []
    for f in (tuning.f, lambda params, x: linear.batch(params, x[None])[0]):
        run = sgd.train(
            f, tuning.params, data.train, optimizer=optax.adam(lr), batch=batch, steps=steps, key=key, loss="logistic",
            trainable=tuning.trainable,
        )  # fmt: skip
        if run.diverged_at is not None:
            raise ValueError(f"lr must be smaller: {method} diverged at step {run.diverged_at} with {lr:g}.")
        ends.append(run.params)
        curves.append(float(np.mean(run.losses[-max(1, steps // 10) :])))
    regime = kernel_regime(
        tuning.f, tuning.params, ends[0], ends[1], data.test, loss="logistic", level=level, examples=examples,
        trainable=tuning.trainable, head=r"\['head'\]" if method == "full" else None,
    )  # fmt: skip
    x, y = data.test
    values = jax.jit(jax.vmap(tuning.f, (None, 0)))
    outputs = [values(tuning.params, x), values(ends[0], x), linear.batch(ends[1], x)]
    wrong = tuple(float(np.mean(np.asarray(out)[:, 0] * y <= 0)) for out in outputs)
    counted = empirical.NTK(tuning.f, tuning.params, trainable=tuning.trainable).function.weights
    return Outcome(
        method, sum(int(leaf.size) for leaf in counted), (curves[0], curves[1]), wrong, regime,  # pyright: ignore[reportArgumentType]
        np.stack([np.asarray(out, np.float64)[:, 0] for out in outputs[1:]]),
    )  # fmt: skip
