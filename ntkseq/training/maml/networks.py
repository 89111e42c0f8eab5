"""How is a network trained to adapt? MAML and its relatives on batches of tasks, by SGD or any optimizer."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _display
from ntkseq._types import AnyFunction, ArrayLike, Inputs, Key, Optimizer, PyTree, Tasks
from ntkseq.models.adaptation import adapt, squared_error
from ntkseq.training import sgd
from ntkseq.training.sgd import Trained


@dataclasses.dataclass(frozen=True)
class Learner:
    """f(params, task) -> answers at the queries of one task, flat (q o,): what meta-training trains.

    Two of the same arguments are equal, and share their compiled programs.

    Attributes:
        apply: f(params, x) -> (o,) of one example.
        lr, steps, algorithm, head, reg: the inner loop, see `models.adapt`.
        loss: of the inner loop.
    """

    apply: Any
    lr: float
    steps: int
    algorithm: str
    head: Any
    reg: float | None
    loss: Any

    __repr__ = _display.record

    def __call__(self, params: PyTree, task: PyTree) -> Float[Array, " qo"]:
        learner = adapt(
            self.apply, self.loss, lr=self.lr, steps=self.steps, algorithm=self.algorithm, head=self.head, reg=self.reg
        )
        return learner(params, task).ravel()


def learner(
    apply: AnyFunction,
    *,
    lr: float,
    steps: int = 1,
    algorithm: str = "maml",
    head: Any = "R",
    reg: float | None = None,
    loss: AnyFunction = squared_error,
) -> Learner:
    """The learner of `models.adapt`, with its answers in one row per task.

    It is what `meta_train`, `few_shot_accuracy` and `empirical.NTK` take.

    Args:
        apply: f(params, x) -> (o,) for one example.
        lr, steps, algorithm, head, reg: the inner loop, see `models.adapt`.
        loss: of the inner loop.

    Raises:
        ValueError: as `models.adapt`.

    Reference: finn2017maml; rajeswaran2019imaml.

    Example:
        The empirical kernel of an adapted network between tasks, for any inner loop, at any parameters:

        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import empirical, models
        >>> from ntkseq.data.tasks import sinusoids
        >>> net = models.Dense(width=16)
        >>> tasks = sinusoids(3, shots=4, queries=2, key=jax.random.key(0))
        >>> params = net.init(jax.random.key(1), tasks.query[0, 0])
        >>> f = learner(net.apply, lr=0.1, steps=5)
        >>> empirical.NTK(f, params, outputs="full")(tasks.inputs).shape  # task, task, query, query
        (3, 3, 2, 2)
    """
    adapt(apply, loss, lr=lr, steps=steps, algorithm=algorithm, head=head, reg=reg)  # refuses what it cannot do
    return Learner(apply, float(lr), int(steps), algorithm, head, None if reg is None else float(reg), loss)


def meta_train(
    f: AnyFunction,
    params: PyTree,
    tasks: Tasks,
    optimizer: Optimizer | None = None,
    *,
    lr: float | None = None,
    batch: int | None = 4,
    steps: int | None = None,
    epochs: int | None = None,
    key: Key,
    **options: Any,
) -> Trained:
    """Meta-train a network: SGD over tasks, each step on the mean over a batch of tasks of the loss at its queries.

        theta <- theta - lr grad mean over tasks of |f(theta, task) - y|^2 / (2 q)

    Args:
        f: a `learner`, whose derivative goes through the inner loop as its algorithm says.
        params: at the start.
        tasks: `data.tasks.Tasks` with query labels.
        optimizer: any from optax; None: the plain step with rate `lr`.
        lr: the outer step size, without an optimizer.
        batch: tasks per step; None: all.
        steps, epochs, key: as in `sgd.train`.
        **options: other arguments of `sgd.train`: order ("once": each task is seen once, as the theory of averaged SGD
            wants), average, probes, trainable, checkpoint, progress; loss, a function loss(answers (q o,), y (q o,)).

    Returns:
        Trained, with losses per step; see `sgd.train`.

    Raises:
        ValueError: tasks without labels, labels of another shape, what `sgd.train` refuses.

    Reference: finn2017maml; rajeswaran2019imaml.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from ntkseq import models
        >>> from ntkseq.data.tasks import sinusoids
        >>> net = models.Dense(width=32)
        >>> tasks = sinusoids(40, shots=5, queries=5, key=jax.random.key(0))
        >>> params = net.init(jax.random.key(1), tasks.query[0, 0])
        >>> f = learner(net.apply, lr=0.05, steps=2)
        >>> trained = meta_train(f, params, tasks, optax.adam(1e-2), steps=100, key=jax.random.key(2))
        >>> bool(trained.losses[-20:].mean() < trained.losses[:20].mean())
        True
    """
    inputs, labels = _labelled(tasks)
    options.setdefault("loss", query_loss)
    y = jnp.asarray(labels).reshape(len(labels), -1)
    if not jnp.issubdtype(y.dtype, jnp.floating):
        y = y.astype(jnp.result_type(float))
    return sgd.train(
        f, params, (inputs, y), optimizer, lr=lr, batch=batch, steps=steps, epochs=epochs, key=key, **options
    )


def query_loss(answers: Float[Array, " qo"], y: Float[Array, " qo"]) -> Float[Array, ""]:
    """Half the mean square over queries and outputs."""
    return jnp.mean(jnp.square(answers - y.astype(answers.dtype))) / 2


@dataclasses.dataclass(frozen=True, eq=False)
class FewShotAccuracy:
    """The share of right answers over tasks, with its error: tasks are the independent unit, not their queries.

    Attributes:
        value: mean over tasks.
        error: its standard error; NaN for one task.
        per_task: (N,).
    """

    value: float
    error: float
    per_task: Float[np.ndarray, " N"]

    __repr__ = _display.printed

    def __str__(self) -> str:
        return f"{100 * self.value:.2f} +- {100 * self.error:.2f} % of {len(self.per_task)} tasks"


def few_shot_accuracy(f: AnyFunction, params: PyTree, tasks: Tasks) -> FewShotAccuracy:
    """How often an adapted network names the right class: the sign for labels -1/+1, the largest output for one-hot.

    Args:
        f: a `learner`.
        params: of the network.
        tasks: `data.tasks.Tasks` with query labels (N, q) or (N, q, ways).

    Raises:
        ValueError: tasks without query labels or of different numbers, f that is no function, answers of
            another shape or not finite.
    """
    inputs, labels = _labelled(tasks)
    f = _checks.function("f", f, "(params, task) -> answers, such as a `learner`")
    found = np.asarray(answers(f, _checks.leaves("params", params), inputs), np.float64)
    return scored(found.reshape(np.shape(labels)), labels)


def scored(answers: ArrayLike, labels: ArrayLike) -> FewShotAccuracy:
    """The accuracy of given answers (N, q) or (N, q, ways).

    Args:
        answers: (N, q) or (N, q, ways).
        labels: of the same shape, -1/+1 or one-hot.

    Raises:
        ValueError: shapes that differ, answers that are not finite.

    Example:
        >>> scored([[0.3, -0.2], [0.1, 0.4]], [[1.0, -1.0], [-1.0, 1.0]]).value
        0.75
    """
    answers, labels = _checks.real("answers", answers), _checks.real("labels", labels)
    if answers.shape != labels.shape or answers.ndim not in (2, 3):
        raise ValueError(
            f"answers must have the shape of labels, (N, q) or (N, q, ways); got {answers.shape} and {labels.shape}."
        )
    right = answers * labels > 0 if labels.ndim == 2 else answers.argmax(axis=2) == labels.argmax(axis=2)
    per_task = right.mean(axis=1)
    n = len(per_task)
    error = float(per_task.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return FewShotAccuracy(float(per_task.mean()), error, per_task)


def answers(f: AnyFunction, params: PyTree, inputs: Inputs) -> Float[Array, "N qo"]:
    """f(params, task) for every task; compiled once for one f, or for equal ones.

    Raises:
        ValueError: params that are not those of f.
    """
    f = _checks.function("f", f, "(params, task) -> answers, such as a `learner`")
    try:
        return (_compiled if _checks.hashes(f) else _each)(f, params, inputs)
    except (TypeError, IndexError, KeyError) as error:
        raise ValueError(f"f(params, task) failed: {_checks.why(error)}. Are these the params of f?") from error


def _each(f: AnyFunction, params: PyTree, inputs: Inputs) -> Array:
    return jax.lax.map(lambda task: f(params, task), inputs)


_compiled = jax.jit(_each, static_argnums=0)


def _labelled(tasks: Tasks) -> tuple[Any, Any]:
    inputs, labels = getattr(tasks, "inputs", None), getattr(tasks, "labels", None)
    if inputs is None or labels is None:
        raise ValueError(
            f"tasks must be data.tasks.Tasks with query labels; got {type(tasks).__name__}. Make them by "
            "data.tasks.few_shot_tasks, sinusoids or linear_regression, or Tasks(Support(xs, ys), xq, yq)."
        )
    (xs, _), xq = inputs
    counts = {np.shape(leaf)[:1] for leaf in jax.tree.leaves((xs, xq, labels))}
    if len(counts) != 1 or counts == {(0,)}:
        raise ValueError(f"supports, queries and labels must have the tasks in front; got {sorted(counts)} tasks.")
    return inputs, labels
