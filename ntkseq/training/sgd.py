"""How is a network trained with mini-batches, watched, and continued after a crash?"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntkseq import _checks, _display
from ntkseq._precision import wide
from ntkseq._struct import replace
from ntkseq._types import AnyFunction, Inputs, Integer, Key, Optimizer, PyTree, Text, Trainable
from ntkseq.empirical.function import function
from ntkseq.training import checkpoint as files
from ntkseq.training import loop, losses
from ntkseq.training.batches import Batches
from ntkseq.training.history import History, begin
from ntkseq.training.run import Run, identity
from ntkseq.training.state import warn_of_fixed

__all__ = ["train"]

CHECKPOINT_EVERY = 1000


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """A network after training."""

    params: Any
    """After `step` steps."""
    average: Any
    """The mean of the iterates asked for, a pytree like params; None if none was asked for, or none was reached."""
    opt_state: Any
    """The state of the optimizer after them."""
    step: int
    """Steps done."""
    losses: Float[np.ndarray, " step"]
    """The loss of each mini-batch, before the step that used it."""
    history: History | None
    """What the probes saw; None without probes."""
    diverged_at: int | None
    """The number of steps after which the loss, or a parameter, was not finite: training stopped there. None: never."""
    resumed_from: int | None
    """The step of the checkpoint it went on from; None: it began at the beginning."""

    def __repr__(self) -> str:
        went = f", loss {self.losses[0]:.4g} -> {self.losses[-1]:.4g}" if self.step else ""
        end = "" if self.diverged_at is None else f", diverged at {self.diverged_at}"
        return _display.folded(f"Trained({self.step} steps{went}{end})")


def train(
    f: Callable[..., Any],
    params: PyTree,
    data: Inputs,
    optimizer: Optimizer | None = None,
    *,
    lr: float | None = None,
    loss: str | losses.Loss = "squared",
    batch: int | None = 1,
    steps: int | None = None,
    epochs: int | None = None,
    order: str = "shuffle",
    key: Key,
    probes: Any = (),
    average: str | float | None = None,
    trainable: Trainable = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    progress: bool = False,
) -> Trained:
    """Train a network by stochastic gradient descent.

        theta_{s+1} = theta_s - lr grad (mean over i in B_s of loss(f(theta_s, x_i), y_i)),      s = 0, 1, ..., T - 1

    or, in place of that step, the one of an optimizer. Which examples B_s holds depends on key and s alone, so a run
    that was killed goes on from its checkpoint as if nothing had been: parameters, losses and history are bitwise those
    of a run without a break, on the same machine and versions (a GPU needs XLA_FLAGS=--xla_gpu_deterministic_ops=true).

    Nothing is raised when training diverges: it stops, and `diverged_at` says where. The program is compiled once for
    f, optimizer and shapes, whatever the number of steps; keep these two objects for several fits.

    Args:
        f: f(params, x) -> (o,) for one example; f(params, x, length) with lengths.
        params: any pytree of arrays, at the start.
        data: (x, y) or (x, y, lengths), n examples along the first axes. All of it goes to the device.
        optimizer: any from optax; None: the plain step above.
        lr: the step size, without an optimizer.
        loss: "squared" (|f - y|^2 / 2), "logistic" (one output, labels -1/+1), "cross_entropy" (classes 0..o-1), or a
            function loss(prediction (o,), y) -> number.
        batch: examples per step; None: all of them, in the order given.
        steps: T, counted from the very beginning also where a checkpoint is continued.
        epochs: instead of steps: T = epochs (n // batch).
        order: "shuffle" (a permutation per epoch), "once" (one pass in the order given), "replacement"; see `Batches`.
        key: one random key, for the batches.
        probes: what looks at the parameters meanwhile, see `track`; or a history just made by `track`.
        average: "all": also the mean of theta_0, ..., theta_{T-1}; a fraction: of that last share of them, 0.5 for the
            last half.
        trainable: which leaves are trained: a regular expression searched in the leaf's path, or a function of it, as
            for `empirical.NTK`. The others stay as they are, and the optimizer never sees them: None is in their place.
        checkpoint: path of an .npz. Written before the first step, every `checkpoint_every` steps and at the end. If it
            is there, training goes on from it; `steps` may have grown. It is refused if it is of another run: other
            data, start, key, batches, average, or f, loss, optimizer or probes compute something else, also only later;
            what looks at the run cannot change in the middle.
        checkpoint_every: in steps; 1000 by default.
        progress: show a progress bar (needs tqdm).

    Returns:
        Trained.

    Raises:
        ValueError: bad inputs; a checkpoint that is damaged or of another run.
        OSError: the checkpoint cannot be written; the one before is untouched.

    Warns:
        UserWarning: f holds numbers such as running averages, which another loop would move and this one does not; or
            other versions of JAX or optax wrote the checkpoint, so that f, loss or optimizer cannot be compared.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import models
        >>> from ntkseq.training import sgd
        >>> net = models.Recurrent(width=16)
        >>> x, y = jax.random.normal(jax.random.key(0), (8, 4, 2)), jnp.array([1.0, -1, 1, -1, 1, -1, 1, -1])
        >>> params = net.init(jax.random.key(1), x[0])
        >>> trained = sgd.train(net.apply, params, (x, y), lr=0.1, batch=4, epochs=20, key=jax.random.key(2))
        >>> trained.step, bool(trained.losses[-1] < trained.losses[0])
        (40, True)
    """
    setting = _setting(f, params, data, optimizer, lr, loss, batch, order, key, trainable)
    _checks.flag("progress", progress)
    warn_of_fixed(f)
    steps, share = _steps(steps, epochs, setting.batches), _share(average)
    first = steps - max(1, round(share * steps))
    setting = replace(setting, averaged=share > 0, first=jnp.int32(first))
    every = CHECKPOINT_EVERY if checkpoint_every is None else _checks.positive_int("checkpoint_every", checkpoint_every)
    if checkpoint is None and checkpoint_every is not None:
        raise ValueError("checkpoint_every needs checkpoint=, the path of an .npz; got None.")
    path = None if checkpoint is None else files.check_path(checkpoint)
    history = _history(probes, jax.tree.unflatten(setting.function.tree, setting.function.leaves))
    run = Run(setting, loop.start(setting), history)
    if path is not None:
        run.identity = identity(run, {"average": share})
        if path.exists():
            run.restore(path, steps)
        else:
            run.save(path)  # a place that cannot be written shows at once
    run.train(steps, path, every, progress)
    return Trained(
        params=run.tree(run.state.weights),
        average=run.average(),
        opt_state=run.state.opt,
        step=run.step,
        losses=np.concatenate(run.losses) if run.losses else np.zeros(0, np.float32),
        history=run.history,
        diverged_at=run.diverged_at,
        resumed_from=run.resumed_from,
    )


def _setting(
    f: AnyFunction,
    params: PyTree,
    data: Inputs,
    optimizer: Optimizer | None,
    lr: Any,
    loss: Text | AnyFunction,
    batch: Integer | None,
    order: Text,
    key: Key,
    trainable: Trainable,
) -> loop.Setting:
    """The checked inputs, on the device."""
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise ValueError(f"data must be (x, y) or (x, y, lengths); got {type(data).__name__}.")
    x, y, *lengths = data
    losses.get(loss)
    made = function(f, params, trainable)
    inputs = made.inputs(x, lengths[0] if lengths else None, "the x of data")
    n = jax.tree.leaves(inputs)[0].shape[0]
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), inputs)
    out = jax.eval_shape(made.outputs_at, made.weights, one)
    out = jax.ShapeDtypeStruct(out.shape, wide(out.dtype))
    y = losses.targets(loss, y, n, out.shape[0], out.dtype)
    if jnp.issubdtype(y.dtype, jnp.inexact):
        _checks.finite("y", y)
    if callable(loss):
        _check_loss(loss, out, jax.ShapeDtypeStruct(y.shape[1:], y.dtype))
    if (optimizer is None) == (lr is None):
        raise ValueError(
            "give an optimizer, or lr= for plain gradient steps; got "
            + ("neither." if lr is None else "both. Set the rate where the optimizer is made, optax.sgd(lr).")
        )
    if lr is not None:
        lr = jnp.asarray(_checks.nonnegative("lr", lr, positive=True), jnp.result_type(float))
    elif not (callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None))):
        raise ValueError(f"optimizer must be one of optax, such as optax.adam(1e-3); got {type(optimizer).__name__}.")
    batches = Batches(n, batch, order, key)
    return loop.Setting(made, inputs, y, batches, lr, jnp.int32(0), loss, optimizer, False)


def _check_loss(loss: AnyFunction, out: PyTree, y: PyTree) -> None:
    try:
        came = jax.eval_shape(loss, out, y)
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(
            f"loss(prediction, y) failed for one prediction of shape {out.shape} and y of shape {y.shape}: "
            f"{_checks.why(error)}."
        ) from error
    if getattr(came, "shape", None) != () or not jnp.issubdtype(came.dtype, jnp.floating):
        raise ValueError(f"loss(prediction, y) must return one floating number for one example; got {came}.")


def _steps(steps: Integer | None, epochs: Integer | None, batches: Batches) -> int:
    if (steps is None) == (epochs is None):
        raise ValueError(f"give steps or epochs, one of them; got {'neither' if steps is None else 'both'}.")
    if steps is None:
        steps = _checks.positive_int("epochs", epochs) * batches.per_epoch
    steps = _checks.positive_int("steps", steps)
    if steps > batches.max_steps:
        why = f"{batches.n} examples are {batches.max_steps} batches of {batches.size}, each used once"
        raise ValueError(
            f"steps must be at most {batches.max_steps}; got {steps}"
            + (f": {why}. Pass order='shuffle'." if batches.order == "once" else ".")
        )
    return steps


def _share(average: object) -> float:
    """Of all iterates, which enters the average; 0 for none."""
    if average is None or (isinstance(average, str) and average == "all"):
        return 0.0 if average is None else 1.0
    if isinstance(average, (int, float)) and not isinstance(average, bool) and 0 < average <= 1:
        return float(average)
    raise ValueError(
        f"average must be None, 'all' or a share in (0, 1], such as 0.5 for the last half; "
        f"got {_checks.shown(average)}."
    )


def _history(probes: Any, params: PyTree) -> History | None:
    """A history that has seen the start and nothing more."""
    if isinstance(probes, History):
        return probes.update(0, params)  # raises for other parameters, and where rows beyond the start are there
    probes = _checks.listed("probes", probes, "probes, or a History")
    return begin(probes, params) if probes else None
