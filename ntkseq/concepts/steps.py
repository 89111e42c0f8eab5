"""Which functions from sequence to sequence does the theorem on trained recurrent networks speak of?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks
from ntkseq._struct import fill, static, struct
from ntkseq._types import ArrayLike
from ntkseq.concepts import _target
from ntkseq.concepts._target import Parts
from ntkseq.concepts.series import Series, get

_UNIT = 1e-6  # a norm is called 1 within this: directions may have been made in float32


@struct
class Link:
    """phi(<beta, x[source]>) in output `output` of step `step`. Unpacks as (source, step, output, beta, series)."""

    source: int = static()
    step: int = static()
    output: int = static()
    beta: Any  # (d,)
    series: Series

    def __iter__(self) -> Iterator[Any]:
        return iter((self.source, self.step, self.output, self.beta, self.series))


@struct
class PositionToPosition(Parts):
    """Every step has outputs, each a sum of functions of single tokens up to that step.

    f(x)[j, s] = sum_i sum_r phi_{i->j,r,s}(<beta_{i->j,r,s}, x[i]>),  i <= j

    It can tell steps apart but adds up over tokens. The paper sums over i < j, with directions of norm 1 and steps from
    the third on, as we recall it: `departures` says where a target does otherwise.

    Args:
        parts: `(source i, step j, output s, beta (d,), phi)` each; phi a Series or its name. Repeats add up.
        outputs: the number o of outputs of a step; None: as many as the parts speak of. Steps and outputs without a
            part are zero.

    Raises:
        ValueError: no part, a source behind its step, a position below 0, directions of unlike size, a function that
            is not analytic, or an output beyond `outputs`.

    Reference: allenzhu2019rnn (the class; its exact indices are recalled).

    Example:
        >>> import jax.numpy as jnp
        >>> f = PositionToPosition([(0, 2, 0, [1.0, 0.0], "exp"), (1, 2, 0, [0.0, 1.0], "exp")])
        >>> f(jnp.zeros((4, 2))).tolist()
        [[0.0], [0.0], [2.0], [0.0]]
    """

    parts: Any  # tuple of Link
    outputs: Any = static(default=None)

    references = ("allenzhu2019rnn",)

    def __post_init__(self) -> None:
        parts = tuple(map(_link, _checks.listed("parts", self.parts, "(source, step, output, beta, series)")))
        if not parts:
            raise ValueError("parts must hold at least one (source, step, output, beta, series); got none.")
        _target.same_features("beta", [part.beta for part in parts])
        named = 1 + max(part.output for part in parts)
        outputs = named if self.outputs is None else _checks.positive_int("outputs", self.outputs)
        if outputs < named:
            raise ValueError(f"outputs must be at least {named}, since a part feeds output {named - 1}; got {outputs}.")
        fill(self, parts=parts, outputs=outputs)

    @property
    def steps(self) -> int:
        return 1 + max(part.step for part in self.parts)

    @property
    def terms(self) -> int:
        """p, the largest number of parts that share source, step and output."""
        feeds = [(part.source, part.step, part.output) for part in self.parts]
        return max(feeds.count(feed) for feed in set(feeds))

    @property
    def departures(self) -> tuple[str, ...]:
        found = []
        for r, (part, norm) in enumerate(zip(self.parts, self.norms, strict=True)):
            if part.source == part.step:
                found.append(f"part {r} feeds step {part.step} from its own token, not from an earlier one")
            if part.step < 2:
                found.append(f"part {r} feeds step {part.step}, before the third")
            if abs(norm - 1) > _UNIT:
                found.append(f"the direction of part {r} has norm {norm:.3g}, not 1")
        return tuple(found)

    def __call__(self, x: ArrayLike) -> Float[Array, "t o"]:
        x = self.read(x)
        beta = jnp.stack([_target.in_dtype(part.beta, x) for part in self.parts])
        z = _target.product("kd,kd->k", x[np.array([part.source for part in self.parts])], beta)
        step = np.array([part.step for part in self.parts])
        output = np.array([part.output for part in self.parts])
        y = jnp.zeros((x.shape[0], self.outputs), x.dtype)
        for phi, where in _target.by_series(part.series for part in self.parts):
            y = y.at[step[where], output[where]].add(phi(z[where]))
        return y


def _link(given: Any) -> Link:
    if isinstance(given, Link):
        given = tuple(given)
    if not isinstance(given, (tuple, list)) or len(given) != 5:
        raise ValueError(f"each of parts must be (source, step, output, beta, series); got {_checks.shown(given)}.")
    source, step, output = (
        _target.position(name, value) for name, value in zip(("source", "step", "output"), given[:3], strict=True)
    )
    if source > step:
        raise ValueError(
            f"a step sees tokens up to its own; got source {source} for step {step}. Swap them or feed a later one."
        )
    return Link(source, step, output, _target.directions("beta", given[3], "d"), get(given[4]))
