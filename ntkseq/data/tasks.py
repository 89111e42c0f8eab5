"""Where do few-shot tasks come from? Cut out of labelled examples, or made with an answer that is known."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntkseq import _checks, _display, _precision
from ntkseq._types import ArrayLike, DType, Lengths, Number

__all__ = ["Support", "Tasks", "few_shot_tasks", "linear_regression", "sinusoids"]


class Support(NamedTuple):
    """What a learner adapts to.

    Attributes:
        x: inputs, (N, s, ...).
        y: labels, (N, s) or (N, s, k).
    """

    x: Any
    y: Any

    __repr__ = _display.record


class Tasks(NamedTuple):
    """N tasks as a pytree `((xs, ys), xq, ...)` with the tasks in front: what learners and `kernels.Meta` take.

    Attributes:
        support: inputs (N, s, ...) and labels (N, s) or (N, s, k).
        query: inputs (N, q, ...).
        labels: labels of the queries, (N, q) or (N, q, k). No learner looks at them.
        lengths: lengths of support and query sequences, ((N, s), (N, q)), or None.
        truth: what each made task was drawn from, (N, ...), or None.
    """

    support: Support
    query: Any
    labels: Any
    lengths: Any = None
    truth: Any = None

    __repr__ = _display.record

    @property
    def inputs(self) -> tuple[Support, Any]:
        """`((xs, ys), xq)` alone."""
        return self.support, self.query


def few_shot_tasks(
    x: ArrayLike,
    y: ArrayLike,
    *,
    shots: int,
    key: jax.Array,
    queries: int | None = None,
    ways: int | None = None,
    tasks: int = 16,
    permute: bool = False,
    lengths: Lengths = None,
) -> Tasks:
    """Tasks cut out of labelled examples: some classes each, `shots` support and `queries` query examples per class.

    Support and queries of one task share no example; different tasks may. Two ways are labelled -1 and +1, the smaller
    class being -1, so labels -1/+1 stay what they are; more ways are labelled one-hot, (.., ways). Examples stand class
    by class.

    Args:
        x: (n, ...) examples; integers, such as the tokens of a sequence (n, t), stay integers.
        y: (n,) class labels, any numbers.
        shots: support examples per class.
        key: random key.
        queries: query examples per class; None takes as many as `shots`.
        ways: classes per task, drawn anew for each; None takes all.
        tasks: number N of tasks.
        permute: assign the labels to the classes of each task at random, so that no class keeps its label.
        lengths: (n,) lengths of sequences padded on the right, cut along.

    Returns:
        Tasks with s = ways * shots and q = ways * queries, in the dtype of x; labels of tokens in the default float.

    Raises:
        ValueError: counts below 1, more ways than classes or fewer than 2, a class with fewer than shots + queries
            examples, labels that do not fit x.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq.data.tasks import few_shot_tasks
        >>> x, y = jnp.arange(12.0).reshape(6, 2), jnp.array([0, 0, 0, 1, 1, 1])
        >>> (xs, ys), xq = few_shot_tasks(x, y, shots=2, queries=1, tasks=4, key=jax.random.key(0)).inputs
        >>> xs.shape, ys[0].tolist(), xq.shape
        ((4, 4, 2), [-1.0, -1.0, 1.0, 1.0], (4, 2, 2))
    """
    shots, tasks = _checks.positive_int("shots", shots), _checks.positive_int("tasks", tasks)
    queries = shots if queries is None else _checks.positive_int("queries", queries)
    permute = _checks.flag("permute", permute)
    x, known = _checks.examples("x", x, lengths)
    y = _checks.labels("y", y, x.shape[0])
    classes, member = np.unique(y, return_inverse=True)
    ways = len(classes) if ways is None else _checks.positive_int("ways", ways)
    if not 2 <= ways <= len(classes):
        raise ValueError(f"ways must lie in 2..{len(classes)}, the number of classes in y; got {ways}.")
    counts = np.bincount(member)
    if counts.min() < shots + queries:
        few = int(np.argmin(counts))
        raise ValueError(
            f"every class needs shots + queries = {shots} + {queries} examples; class {classes[few]:g} has "
            f"{counts[few]}. Lower shots or queries, or leave that class out."
        )
    rng = np.random.default_rng(np.asarray(jax.random.bits(_checks.prng_key("key", key), (4,), jnp.uint32)))
    pools = [np.flatnonzero(member == c) for c in range(len(classes))]
    rows = np.empty((tasks, ways, shots + queries), np.int64)
    slots = np.empty((tasks, ways), np.int64)
    for i in range(tasks):
        slots[i] = rng.permutation(ways) if permute else np.arange(ways)
        for j, c in enumerate(np.sort(rng.choice(len(classes), ways, replace=False))):
            rows[i, j] = rng.choice(pools[c], shots + queries, replace=False)
    support, query = rows[:, :, :shots].reshape(tasks, -1), rows[:, :, shots:].reshape(tasks, -1)
    codes = np.array([-1.0, 1.0]) if ways == 2 else np.eye(ways)
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.result_type(float)
    ys, yq = (jnp.asarray(codes[np.repeat(slots, times, axis=1)], dtype) for times in (shots, queries))
    cut = None
    if known is not None:
        cut = (jnp.asarray(known[support]), jnp.asarray(known[query]))
    return Tasks(Support(x[support], ys), x[query], yq, cut)


def sinusoids(
    n: int,
    *,
    shots: int,
    queries: int,
    key: jax.Array,
    amplitude: tuple[float, float] = (0.1, 5.0),
    phase: tuple[float, float] = (0.0, math.pi),
    reach: float = 5.0,
    noise: float = 0.0,
    dtype: DType | None = None,
) -> Tasks:
    """Regression to sine waves, one amplitude and phase per task: y = A sin(x - phase) + noise z.

    Args:
        n: number N of tasks.
        shots, queries: support and query points per task.
        key: random key.
        amplitude, phase: ranges of the uniform draws.
        reach: inputs are uniform in [-reach, reach].
        noise: standard deviation of the noise on the support labels; query labels have none.
        dtype: floating dtype; None is the default float.

    Returns:
        Tasks with inputs (N, s, 1) and (N, q, 1); `truth` (N, 2) holds amplitude and phase.

    Raises:
        ValueError: counts below 1, an empty range, reach or noise not a finite number of the right sign.

    Example:
        >>> import jax
        >>> from ntkseq.data.tasks import sinusoids
        >>> sinusoids(4, shots=5, queries=3, key=jax.random.key(0)).query.shape
        (4, 3, 1)
    """
    n, s, q = _sizes(n=n, shots=shots, queries=queries)
    dtype = _checks.float_dtype("dtype", dtype)
    reach, noise = _checks.nonnegative("reach", reach, positive=True), _checks.nonnegative("noise", noise)
    amplitude, phase = _range("amplitude", amplitude), _range("phase", phase)
    keys = jax.random.split(_checks.prng_key("key", key), 4)
    A = jax.random.uniform(keys[0], (n, 1), _precision.wide(dtype), *amplitude).astype(dtype)
    shift = jax.random.uniform(keys[1], (n, 1), _precision.wide(dtype), *phase).astype(dtype)
    x = jax.random.uniform(keys[2], (n, s + q), _precision.wide(dtype), -reach, reach).astype(dtype)
    y = A * jnp.sin(x - shift)
    ys = y[:, :s] + noise * _precision.normal(keys[3], (n, s), dtype)
    truth = jnp.concatenate([A, shift], axis=1)
    return Tasks(Support(x[:, :s, None], ys), x[:, s:, None], y[:, s:], None, truth)


def _range(name: str, value: object) -> tuple[float, float]:
    ends = _checks.real(name, value)
    if ends.shape != (2,) or ends[0] > ends[1]:
        raise ValueError(f"{name} must be a range (low, high) with low <= high; got {_checks.shown(value)}.")
    return float(ends[0]), float(ends[1])


def linear_regression(
    n: int,
    n1: int,
    n2: int,
    spectrum: ArrayLike,
    *,
    key: jax.Array,
    mean: ArrayLike = 0.0,
    spread: Number = 1.0,
    noise: float = 0.0,
    rotation: ArrayLike | None = None,
    dtype: DType | None = None,
) -> Tasks:
    """Mixed linear regression, the model of the theory of MAML's averaged SGD: y = theta . x + noise z.

        x ~ N(0, Sigma),  Sigma = V diag(spectrum) V^T,   theta = V (mean + spread * N(0, I)),   z ~ N(0, 1)

    Args:
        n: number N of tasks.
        n1, n2: support and query points per task.
        spectrum: (d,) eigenvalues of Sigma, >= 0.
        key: random key.
        mean: mean of theta in the eigenbasis of Sigma, a number or (d,).
        spread: standard deviation of theta in that basis, a number or (d,).
        noise: standard deviation of the noise on all labels, support and query.
        rotation: (d, d) orthogonal V; None is the identity.
        dtype: floating dtype; None is the default float.

    Returns:
        Tasks with inputs (N, n1, d) and (N, n2, d); `truth` (N, d) holds theta.

    Raises:
        ValueError: counts below 1, a spectrum that is empty or negative, shapes that do not fit it, V not orthogonal.

    Reference: huang2022maml (the setting, recalled).

    Example:
        >>> import jax
        >>> from ntkseq.data.tasks import linear_regression
        >>> tasks = linear_regression(3, 4, 2, [1.0, 0.5], key=jax.random.key(0))
        >>> tasks.support.x.shape, tasks.truth.shape
        ((3, 4, 2), (3, 2))
    """
    n, n1, n2 = _sizes(n=n, n1=n1, n2=n2)
    dtype = _checks.float_dtype("dtype", dtype)
    noise = _checks.nonnegative("noise", noise)
    eigenvalues = _checks.real("spectrum", spectrum)
    if eigenvalues.ndim != 1 or not eigenvalues.size or (eigenvalues < 0).any():
        raise ValueError(f"spectrum must be (d,) finite eigenvalues >= 0; got {_checks.shown(spectrum)}.")
    d = eigenvalues.size
    center, scale = _in_basis("mean", mean, d), _in_basis("spread", spread, d)
    if (scale < 0).any():
        raise ValueError(f"spread must be standard deviations >= 0; got {_checks.shown(spread)}.")
    V = np.eye(d) if rotation is None else _checks.real("rotation", rotation)
    if V.shape != (d, d) or np.abs(V @ V.T - np.eye(d)).max() > d * float(np.sqrt(np.finfo(np.float32).eps)):
        raise ValueError(f"rotation must be an orthogonal matrix of shape {(d, d)}; got shape {V.shape}.")
    keys = jax.random.split(_checks.prng_key("key", key), 3)
    root, center, scale, V = (jnp.asarray(a, dtype) for a in (np.sqrt(eigenvalues), center, scale, V))
    z = _precision.normal(keys[0], (n, n1 + n2, d), dtype)
    x = jnp.einsum("nid,d,ed->nie", z, root, V, precision="highest")
    theta = center[None, :] + scale[None, :] * _precision.normal(keys[1], (n, d), dtype)
    theta = jnp.matmul(theta, V.T, precision="highest")
    y = jnp.einsum("nid,nd->ni", x, theta, precision="highest")
    y = y + noise * _precision.normal(keys[2], y.shape, dtype)
    return Tasks(Support(x[:, :n1], y[:, :n1]), x[:, n1:], y[:, n1:], None, theta)


def _in_basis(name: str, value: object, d: int) -> Float[np.ndarray, " d"]:
    array = _checks.real(name, value)
    if array.ndim > 1 or (array.ndim == 1 and array.shape != (d,)):
        raise ValueError(f"{name} must be a finite number or shape ({d},), as the spectrum; got shape {array.shape}.")
    return np.broadcast_to(array, (d,))


def _sizes(**sizes: int) -> tuple[int, ...]:
    return tuple(_checks.positive_int(name, size) for name, size in sizes.items())
