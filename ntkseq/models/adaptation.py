"""What does a network answer after it has adapted to a task's support? MAML's inner loop as a function transformer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.sparse.linalg
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks
from ntkseq._types import AnyFunction, ArrayLike, Number, PyTree

ALGORITHMS = ("maml", "fomaml", "anil", "imaml")
READ_OUT = "R"
"""The name of the read-out weights in the parameters of every network of `ntkseq.models`."""


def squared_error(outputs: Float[Array, "n o"], targets: ArrayLike) -> Float[Array, ""]:
    """1/2 of the sum of squares over examples and outputs; for a mean over examples, divide the step size by n.

    Args:
        outputs: answers of the network.
        targets: (n, o), or (n,) where o = 1.

    Raises:
        ValueError: targets of another shape.

    Example:
        >>> import jax.numpy as jnp
        >>> float(squared_error(jnp.array([[1.0], [3.0]]), jnp.array([0.0, 1.0])))
        2.5
    """
    outputs, targets = _checks.floating("outputs", outputs), _checks.floating("targets", targets)
    if outputs.ndim != 2:
        raise ValueError(f"outputs must have shape (n, o); got {outputs.shape}.")
    _checks.finite("outputs", outputs)
    _checks.finite("targets", targets)
    if targets.ndim == 1 and outputs.shape[1] == 1:
        targets = targets[:, None]
    if targets.shape != outputs.shape:
        raise ValueError(
            f"targets must have the shape of the outputs, {outputs.shape}, or (n,) for one output; got {targets.shape}."
        )
    return jnp.sum(jnp.square(outputs - targets.astype(outputs.dtype))) / 2


def adapt(
    apply: Callable[..., Any],
    loss: Callable[[Any, Any], Any] = squared_error,
    *,
    lr: Number,
    steps: int,
    algorithm: str = "maml",
    head: str | Callable[[Any], bool] = READ_OUT,
    reg: Number | None = None,
    cg: int = 50,
) -> Callable[[Any, Any], Float[Array, "q o"]]:
    """The function (params, task) -> answers at the queries, after `steps` of gradient descent on the support.

        theta_{j+1} = theta_j - lr grad loss(f(theta_j, X'), y'),   learner(theta_0, task) = f(theta_steps, X)

    With "imaml" reg/2 |theta - theta_0|^2 is added to the loss, a step of Newton follows, and derivatives are those of
    the minimiser,

        d theta / d theta_0 = (1 + H/reg)^(-1),   H the Hessian of the loss there,

    by conjugate gradients, whatever the steps that led there: take enough steps, and lr below 2/(|H| + reg).

    A task is `((xs, ys), xq)`: support inputs (s, ...), support labels, query inputs (q, ...); what stands behind is
    ignored. Inputs may be any pytree with the examples in front, such as a pair of sequences and lengths for an `apply`
    that takes it. A batch of tasks is `jax.vmap(learner, in_axes=(None, 0))(params, tasks)`.

    Args:
        apply: any f(params, x) -> (o,) for one example.
        loss: loss(outputs (s, o), ys) -> scalar. Its scale is part of the step size.
        lr: step size, a number (it may be traced).
        steps: number of steps; 0 gives f itself.
        algorithm: "maml"; "fomaml", whose derivative is that of f at the adapted parameters (the inner gradients are
            constants to it, the values are those of MAML); "anil", where only the read-out adapts; or "imaml".
        head: for "anil", the parameters that adapt: the name of a key on their path, or a predicate of the path
            (the tuple of `jax.tree_util` keys). The read-outs of `ntkseq.models` are called "R".
        reg: for "imaml", the weight of the distance from the shared parameters, > 0.
        cg: for "imaml", steps of conjugate gradients at most; they stop at 1e-5 of the right-hand side in float32, at
            1e-10 in float64. Where H has a negative eigenvalue below -reg there is no minimiser, and derivatives
            mean nothing.

    The steps run in one `jax.lax.scan` that keeps the parameters of each step and computes the rest again in reverse
    mode, so memory is steps times the parameters.

    Raises:
        ValueError: unknown algorithm, steps below 0, a task of another structure, no parameter that `head` names, reg
            missing for "imaml" or given for another.

    Reference: finn2017maml; rajeswaran2019imaml.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import models
        >>> from ntkseq.models.adaptation import adapt, squared_error
        >>> net = models.Dense(width=32, sigma_w=1.4)
        >>> x, y = jnp.ones((5, 3)), jnp.ones((5,))
        >>> learner = adapt(net.apply, squared_error, lr=0.1, steps=2)
        >>> learner(net.init(jax.random.key(0), x[0]), ((x[:3], y[:3]), x[3:])).shape
        (2, 1)
    """
    if not callable(apply) or not callable(loss):
        raise ValueError(
            f"apply and loss must be functions; got {type(apply).__name__} and {type(loss).__name__}. "
            "Pass net.apply of a model, and a loss such as models.squared_error."
        )
    _checks.choice("algorithm", algorithm, ALGORITHMS)
    if not isinstance(head, str) and not callable(head):
        raise ValueError(f"head must be the name of a parameter or a predicate of its path; got {_checks.shown(head)}.")
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 0:
        raise ValueError(f"steps must be an integer >= 0; got {_checks.shown(steps)}.")
    _checks.not_a_key("lr", lr)
    if not isinstance(lr, jax.Array):
        _checks.number("lr", lr, "one finite number, the step size of all parameters")
    if np.ndim(lr) != 0:
        raise ValueError(f"lr must be one number, the step size of all parameters; got shape {np.shape(lr)}.")
    _checks.finite("lr", lr)
    if (algorithm == "imaml") != (reg is not None):
        raise ValueError(
            f'reg belongs to algorithm="imaml" and must be given there; got {_checks.shown(reg)} for {algorithm!r}.'
        )
    if reg is not None:
        _checks.scale("reg", reg, positive=True)
    cg = _checks.positive_int("cg", cg)
    batch = jax.vmap(apply, in_axes=(None, 0))

    def learner(params: PyTree, task: PyTree) -> Array:
        xs, ys, xq = _task(task)
        if steps == 0:
            return batch(params, xq)
        leaves, tree = jax.tree.flatten(params)
        chosen = _chosen(params, head) if algorithm == "anil" else [True] * len(leaves)

        def whole(moving: list[Array]) -> Any:
            rest = iter(moving)
            return tree.unflatten([next(rest) if c else leaf for c, leaf in zip(chosen, leaves, strict=True)])

        start = [jnp.asarray(leaf) for c, leaf in zip(chosen, leaves, strict=True) if c]
        if algorithm == "imaml":
            slope = jax.grad(lambda m: loss(batch(whole(m), xs), ys))
            return batch(whole(_nearest(slope, start, reg, lr, int(steps), cg)), xq)

        def step(moving: list[Array], _: None) -> tuple[list[Array], None]:
            grads = jax.grad(lambda m: loss(batch(whole(m), xs), ys))(moving)
            if algorithm == "fomaml":
                grads = jax.lax.stop_gradient(grads)
            return [p - jnp.asarray(lr, p.dtype) * g for p, g in zip(moving, grads, strict=True)], None

        end, _ = jax.lax.scan(jax.checkpoint(step, prevent_cse=False), start, None, length=int(steps))
        return batch(whole(end), xq)

    return learner


def _nearest(
    slope: AnyFunction, start: list[Array], reg: Number | None, lr: Number, steps: int, cg: int
) -> list[Array]:
    """The root of slope(m) + reg (m - start), by descent and a last step of Newton.

    The step of Newton carries the derivative: at a point and with a Hessian that are constants to it, it depends on
    `start` through the residual alone, by reg (H + reg)^(-1), which is what the theorem of implicit functions says.
    """
    held = [jax.lax.stop_gradient(leaf) for leaf in start]

    def off(moving: list[Array], start: list[Array]) -> list[Array]:
        pairs = zip(jax.lax.stop_gradient(slope(moving)), moving, start, strict=True)
        return [g + jnp.asarray(reg, m.dtype) * (m - s) for g, m, s in pairs]

    def step(_: object, m: list[Array]) -> list[Array]:
        return [p - jnp.asarray(lr, p.dtype) * g for p, g in zip(m, off(m, held), strict=True)]

    def curvature(v: list[Array]) -> list[Array]:
        along = jax.jvp(slope, (end,), (v,))[1]
        return [h + jnp.asarray(reg, p.dtype) * p for h, p in zip(along, v, strict=True)]

    def solve(matrix: AnyFunction, right: list[Array]) -> list[Array]:
        tol = 1e-10 if all(jnp.finfo(leaf.dtype).bits == 64 for leaf in right) else 1e-5
        return jax.scipy.sparse.linalg.cg(matrix, right, tol=tol, maxiter=cg)[0]

    end = jax.lax.stop_gradient(jax.lax.fori_loop(0, steps, step, held))
    newton = jax.lax.custom_linear_solve(curvature, off(end, start), solve, symmetric=True)
    return [p - n for p, n in zip(end, newton, strict=True)]


def _task(task: PyTree) -> tuple[Any, Any, Any]:
    try:
        (xs, ys), xq, *_ = task
    except (TypeError, ValueError):
        raise ValueError(
            f"a task must be ((xs, ys), xq), support inputs and labels, then query inputs; got {type(task).__name__}. "
            "A batch of tasks: jax.vmap(learner, in_axes=(None, 0))."
        ) from None
    counts = {np.shape(leaf)[:1] for leaf in jax.tree.leaves((xs, ys))}
    if ys is None or len(counts) != 1 or counts == {()}:
        shapes = [[np.shape(leaf) for leaf in jax.tree.leaves(part)] for part in (xs, ys)]
        raise ValueError(
            f"xs and ys of a task must have the support examples in front; got shapes {shapes[0]} and {shapes[1]}. "
            "Give every support input its label."
        )
    return xs, ys, xq


def _chosen(params: PyTree, head: str | Callable[[Any], bool]) -> list[bool]:
    """Which leaves of the parameters adapt."""

    def named(path: Any) -> bool:
        return any(head in (getattr(key, "key", None), getattr(key, "name", None)) for key in path)

    choose = head if callable(head) else named
    chosen = [bool(choose(path)) for path, _ in jax.tree.leaves_with_path(params)]
    if not any(chosen):
        paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(params)]
        raise ValueError(f"head={head!r} names none of the parameters {paths}. Pass a key of theirs, or a predicate.")
    return chosen
