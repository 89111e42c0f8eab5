"""How does a training run go from one look at it to the next, and on from a checkpoint?"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _progress
from ntkseq._precision import eps, wide
from ntkseq._struct import replace
from ntkseq._types import PyTree
from ntkseq.empirical import fingerprint
from ntkseq.training import checkpoint as files
from ntkseq.training import loop, losses
from ntkseq.training.history import History
from ntkseq.training.history_store import of_probes

TRIAL_STEPS = 3
"""Steps of an optimizer by which two of them are told apart; one would not show a momentum."""


@dataclasses.dataclass
class Run:
    """Where a run is. It moves."""

    setting: loop.Setting
    state: loop.State
    history: History | None
    losses: list[np.ndarray] = dataclasses.field(default_factory=list)
    diverged_at: int | None = None
    resumed_from: int | None = None
    identity: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.state.step)

    def tree(self, weights: PyTree) -> PyTree:
        """The whole parameters, with these trained leaves."""
        function = self.setting.function
        leaves = list(function.leaves)
        for i, weight in zip(function.trained, weights, strict=True):
            leaves[i] = weight
        return jax.tree.unflatten(function.tree, leaves)

    def average(self) -> PyTree:
        """The mean of the iterates that counted; None if there was none."""
        count = self.step - int(self.setting.first)
        if not self.setting.averaged or count < 1:
            return None
        means = []
        for total, weight in zip(self.state.sums, self.state.weights, strict=True):
            mean = (np.asarray(total.hi, np.float64) + np.asarray(total.lo, np.float64)) / count
            means.append(jnp.asarray(mean.astype(weight.dtype)))
        return self.tree(means)

    def train(self, steps: int, path: pathlib.Path | None, every: int, progress: bool) -> None:
        """Go on until `steps` are done, or it diverges.

        The breaks are where something is due by the number of the step, never by where this run began.
        """
        step = self.step
        with _progress.bar(progress, 0.0, steps, unit="step", name="fit") as bar:
            if bar is not None:
                bar.update(step)
            while step < steps and self.diverged_at is None:
                end = min(steps, (step // loop.WINDOW + 1) * loop.WINDOW)
                due = None if self.history is None else self.history.next_due(step)
                end = end if due is None else min(end, due)
                end = end if path is None else min(end, (step // every + 1) * every)
                self.state, held, finite = loop.advance(self.setting, self.state, jnp.int32(end))
                done, place = self.step, step % loop.WINDOW
                self.losses.append(np.asarray(held)[place : place + done - step])
                if bool(self.state.diverged) or not bool(finite):
                    self.diverged_at = done
                elif self.history is not None:
                    self.history = self.history.update(done, self.tree(self.state.weights))
                if bar is not None:
                    bar.update(done - step)
                step = done
                if path is not None and (step % every == 0 or step == steps or self.diverged_at is not None):
                    self.save(path)

    def save(self, path: pathlib.Path) -> None:
        """Write the checkpoint."""
        arrays = files.packed("state", self.state) | {
            "losses": np.concatenate(self.losses) if self.losses else np.zeros(0, np.float32),
            "first": np.asarray(self.setting.first),
            "diverged_at": np.int64(-1 if self.diverged_at is None else self.diverged_at),
        }
        if self.history is not None:
            arrays |= {f"history/{name}": array for name, array in self.history.state().items()}
        files.write(path, self.identity, arrays)

    def restore(self, path: pathlib.Path, steps: int) -> None:
        """Go on from a checkpoint of this run.

        Raises:
            ValueError: it is damaged, of another run, beyond `steps`, or of an average that began elsewhere.
        """
        arrays = files.read(path, self.identity)
        try:
            state = files.unpacked("state", arrays, self.state)
            losses, old, diverged = arrays["losses"], int(arrays["first"]), int(arrays["diverged_at"])
            if self.history is not None:
                kept = {name.removeprefix("history/"): a for name, a in arrays.items() if name.startswith("history/")}
                self.history = self.history.restored(kept)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path} does not fit this run: {error} Remove it to begin again.") from error
        step, first = int(state.step), int(self.setting.first)
        if step > steps:
            raise ValueError(f"steps must be at least {step}, where {path} is already; got {steps}.")
        if self.setting.averaged and first >= step:
            state = replace(state, sums=self.state.sums)  # it has not begun
        elif self.setting.averaged and first != old:
            raise ValueError(
                f"average over the steps {first}..{steps - 1} needs iterates that {path}, at step {step}, has no "
                f"sum of: its average begins at step {old}. Pass the steps it was made with, more of them, or another "
                "checkpoint=."
            )
        self.state, self.losses = state, [losses] if len(losses) else []
        self.diverged_at, self.resumed_from = None if diverged < 0 else diverged, step


def identity(run: Run, given: dict[str, Any]) -> dict[str, Any]:
    """By what a checkpoint is known to be of this run; `run` has done no step.

    Args:
        run: at its beginning.
        given: further settings, as JSON holds them.
    """
    setting = run.setting
    function, batches = setting.function, setting.batches
    x, *lengths = setting.x
    loss = setting.loss if isinstance(setting.loss, str) else getattr(setting.loss, "__qualname__", "function")
    return (
        given
        | {
            "version": files.version(),
            "params": files.digest(function.leaves),
            "trained leaves": function.names,
            "x": files.digest(x),
            "y": files.digest(setting.y),
            "lengths": files.digest(lengths),
            "key": files.digest(batches.key),
            "batch": batches.size,
            "order": batches.order,
            "loss": loss,
            "lr": None if setting.lr is None else float(setting.lr),
            "state of the optimizer": files.kinds(run.state.opt),
            "probes": None if run.history is None else _probes(run.history, function),
            "f and loss at the start": _outputs(setting),
            "steps of the optimizer in a trial": _trial(setting, run.state),
        }
        | _computed(setting, run.state)
    )


def _probes(history: History, function: Any) -> dict[str, Any]:
    params = jax.tree.unflatten(function.tree, function.leaves)
    return of_probes(history.probes, [one.start for one in history.references], history.about, params)


def _computed(setting: loop.Setting, state: loop.State) -> dict[str, Any]:
    """Fingerprints of what holds in all steps: a trial of a few says nothing of later ones, or of other values."""
    function, weights = setting.function, tuple(state.weights)
    x, y = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), (setting.x, setting.y))
    found = fingerprint.parts(function.outputs_at, weights, x, losses.get(setting.loss), y)
    if setting.optimizer is not None:
        alone = replace(setting, averaged=False)
        step = fingerprint.fingerprint(
            lambda state, slope: loop.step(alone, state, slope), replace(state, sums=()), weights
        )
        found["what the optimizer computes"] = step
    return found


def _outputs(setting: loop.Setting) -> dict[str, Any]:
    """What f says of the first example, and the loss of the first batch."""

    @jax.jit
    def found(setting: loop.Setting) -> tuple[Any, Any]:
        first = jax.tree.map(lambda leaf: leaf[:1], setting.x)
        loss = loop.mean_loss(setting, tuple(setting.function.weights), setting.batches.at(0))
        return setting.function.values(first)[0], loss

    out, loss = found(setting)
    return {"values": [*np.asarray(out, np.float64).tolist(), float(loss)], "rtol": float(eps(out.dtype) ** 0.5)}


def _trial(setting: loop.Setting, state: loop.State) -> dict[str, Any] | None:
    """How long the first steps of the optimizer are if the gradient is theta, theta + 1, ..."""
    if setting.optimizer is None:
        return None

    def lengths(setting: loop.Setting, state: loop.State) -> list[Any]:
        found = []
        for i in range(TRIAL_STEPS):
            following = loop.step(setting, state, tuple(weight + i for weight in state.weights))
            pairs = zip(following.weights, state.weights, strict=True)
            found += [jnp.sqrt(jnp.sum(jnp.square((new - old).astype(wide(old.dtype))))) for new, old in pairs]
            state = following
        return found

    found = [float(length) for length in jax.jit(lengths)(setting, state)]
    return {"values": found, "rtol": float(eps(np.float32) ** 0.5)}
