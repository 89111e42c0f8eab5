"""Which kernels have short names? One table, for commands, studies, files and estimators."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from ntkseq import _checks, activations, blocks, cells
from ntkseq._layers import check_letters
from ntkseq._types import AnyKernel
from ntkseq.kernels.base import Kernel
from ntkseq.kernels.bidirectional import Bidirectional
from ntkseq.kernels.dense import Dense
from ntkseq.kernels.gated import Gated
from ntkseq.kernels.leaky import LeakyRecurrent
from ntkseq.kernels.linear import LinearRecurrent
from ntkseq.kernels.recurrent import Recurrent
from ntkseq.kernels.serial import Serial
from ntkseq.kernels.transformer import Attention, Transformer


@dataclasses.dataclass(frozen=True)
class Entry:
    """A kernel with a short name.

    Attributes:
        make: the kernel from its settings.
        label: the network, in a word or two, as in a report.
        settings: the names that `make` takes.
        vectors: whether it takes vectors (n, d), sequences laid out, and no sequences.
    """

    make: Callable[..., Kernel]
    label: str
    settings: tuple[str, ...]
    vectors: bool = False


def get(kernel: str | AnyKernel, **settings: Any) -> Kernel:
    """The kernel of that name, or the kernel itself.

    The names are those of `names`, and of `ntkseq study --kernel`: recurrent (Elman), dense, gru, lstm, bidirectional,
    leaky, linear, lru, s4d, convolution, attention, transformer. What is not given stands as in the class.

    Args:
        kernel: the name.
        **settings: its arguments: those of the class, and of the cell or block that makes it (`forget` of "lstm",
            `causal` of "transformer"). "gru" and "lstm" have `depth` layers and a `direction`, and letters out of
            "WUbR" in `train`. "lru", "s4d" and "convolution" have `depth` layers of their block, a `Linear` (the first
            two) and an `activation`.

    Raises:
        ValueError: an unknown name or setting; the message names the nearest. A value that the kernel refuses.

    Example:
        >>> from ntkseq import kernels
        >>> kernels.get("lstm", forget=1.0, particles=512).cell.forget
        1.0
        >>> kernels.get("lru", depth=2).blocks[3].cell.r_max
        1.0
    """
    if isinstance(kernel, Kernel):
        if settings:
            raise ValueError(f"{next(iter(settings))} goes with a name; got a kernel. Change it: kernel.with_(...).")
        return kernel
    entry = find(kernel)
    for one in settings:
        if one not in entry.settings:
            raise ValueError(f"kernel {kernel!r} has no {one!r}{nearest(one, entry.settings)}")
    return entry.make(**settings)


def names() -> tuple[str, ...]:
    """The names that `get` knows."""
    return tuple(ENTRIES)


def find(name: object) -> Entry:
    """The entry of that name.

    Raises:
        ValueError: there is none; the message names the nearest.
    """
    if isinstance(name, str) and name in ENTRIES:
        return ENTRIES[name]
    raise ValueError(f"no kernel {_checks.shown(name)}{nearest(name, ENTRIES)}")


def nearest(word: object, known: Iterable[str]) -> str:
    """The end of a message on an unknown name: those that are near, and else all."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.6) if isinstance(word, str) else []
    return f". Did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(known)}."


def arguments(make: Callable[..., object], *without: str) -> tuple[str, ...]:
    """The names that a class or function takes by name."""
    found = inspect.signature(make).parameters.values()
    plain = [one.name for one in found if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    return tuple(name for name in plain if name not in ("self", *without))


READ_OUT = arguments(Serial, "particles", "batches", "seed")
"""Settings of a network of blocks beside its blocks."""


def _parted(settings: dict[str, Any], *groups: Iterable[str]) -> list[dict[str, Any]]:
    """The settings of each group; a name belongs to the first group that has it."""
    parted: list[dict[str, Any]] = [{} for _ in groups]
    for name, value in settings.items():
        first = next(i for i, group in enumerate(groups) if name in group)
        parted[first][name] = value
    return parted


def _gated(cell: type[cells.Cell], label: str) -> Entry:
    own, layers, outer = arguments(cell), ("depth", "direction"), arguments(Gated, "cell")

    def make(**settings: Any) -> Kernel:
        inner, stack, rest = _parted(settings, own, layers, outer)
        letters = inner.get("train")
        if isinstance(letters, str):  # the read-out's among those of the cell, as in all short names
            check_letters(letters, "WUbR")
            if "train_readout" in rest:
                raise ValueError(
                    f"train={letters!r} says by its R whether the read-out is trained, and train_readout says it, too. "
                    "Leave one of them out."
                )
            inner["train"] = letters.replace("R", "")
            rest["train_readout"] = "R" in letters
        depth, direction = _checks.positive_int("depth", stack.get("depth", 1)), stack.get("direction", "forward")
        if depth == 1 and direction == "forward":
            return Gated(cell(**inner), **rest)
        rest.setdefault("read", "last")
        return Serial(*(blocks.Recurrent(cell(**inner), direction),) * depth, **rest)

    return Entry(make, label, (*own, *layers, *outer))


def _stack(block: Callable[..., blocks.Block], own: tuple[str, ...], label: str, mixed: bool) -> Entry:
    """`depth` layers of a block, weights behind it where it is no Gaussian map by itself, and an activation."""
    weights = ("sigma_w", "sigma_b") if mixed else ()
    layer = ("depth", "activation")

    def make(**settings: Any) -> Kernel:
        inner, linear, rest, outer = _parted(settings, own, weights, layer, READ_OUT)
        depth = _checks.positive_int("depth", rest.get("depth", 1))
        phi = blocks.Nonlinearity(activations.get(rest.get("activation", "relu")))
        one = (block(**inner), *((blocks.Linear(linear.pop("sigma_w", 2**0.5), **linear),) if mixed else ()), phi)
        first = () if getattr(getattr(one[0], "cell", None), "mixes", True) else (blocks.Linear(),)
        return Serial(*first, *one * depth, **outer)

    return Entry(make, label, (*own, *weights, *layer, *READ_OUT))


def _cell(cell: type[cells.Cell], label: str) -> Entry:
    own = arguments(cell)
    return _stack(
        lambda direction="forward", **inner: blocks.Recurrent(cell(**inner), direction),
        (*own, "direction"), label, mixed=True,
    )  # fmt: skip


def _with_attention(make: Callable[..., Serial], label: str) -> Entry:
    own = arguments(make)
    inner = tuple(name for name in arguments(blocks.Attention) if name not in own)
    return Entry(make, label, (*own, *inner))


ENTRIES: dict[str, Entry] = {
    "recurrent": Entry(Recurrent, "Recurrent", arguments(Recurrent)),
    "dense": Entry(Dense, "Dense", arguments(Dense), vectors=True),
    "gru": _gated(cells.GRU, "GRU"),
    "lstm": _gated(cells.LSTM, "LSTM"),
    "bidirectional": Entry(Bidirectional, "Bidirectional", arguments(Bidirectional)),
    "leaky": Entry(LeakyRecurrent, "Leaky recurrent", arguments(LeakyRecurrent)),
    "linear": Entry(LinearRecurrent, "Linear recurrent", arguments(LinearRecurrent)),
    "lru": _cell(cells.LRU, "LRU"),
    "s4d": _cell(cells.S4D, "S4D"),
    "convolution": _stack(
        lambda size=3, **inner: blocks.Convolution(size, **inner),
        arguments(blocks.Convolution, "depthwise"), "Convolution", mixed=False,
    ),
    "attention": _with_attention(Attention, "Attention"),
    "transformer": _with_attention(Transformer, "Transformer"),
}  # fmt: skip
"""Short name -> how the kernel is made."""
