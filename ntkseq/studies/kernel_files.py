"""How does a TOML file describe a kernel? By its blocks, or by a short name with settings."""

from __future__ import annotations

import inspect
import pathlib
import tomllib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from ntkseq import _checks, activations, blocks, cells
from ntkseq.kernels import Kernel, Serial, catalogue

KIND = "type"  # what a table is
OUTER = catalogue.arguments(Serial)
"""What stands beside the blocks."""


def load(path: str) -> Kernel:
    """The kernel that a file describes.

    A list `blocks` is a network of `ntkseq.blocks` in a row, each a table with its `type` and its arguments, or the
    name of an activation; beside it stand the arguments of `kernels.Serial`. Without blocks, `kernel` is a short name
    of `kernels.names()`, with its settings.

        read = "last"
        blocks = [
            {type = "Linear", sigma_w = 1.4},
            {type = "Residual", blocks = [{type = "LayerNorm"}, {type = "Attention", causal = true}]},
            {type = "Recurrent", cell = {type = "Elman", activation = "erf"}, direction = "both"},
        ]

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no TOML; a key or type that is not known, with the nearest; values that do not fit.
    """
    try:
        described = tomllib.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no TOML file: {error}.") from None
    try:
        return _kernel(described)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def _kernel(described: dict[str, Any]) -> Kernel:
    settings = dict(described)
    if "blocks" not in settings:
        if "kernel" not in settings:
            near = [key for key in settings if not catalogue.nearest(key, ("blocks", "kernel")).startswith(";")]
            hint = f" {near[0]!r} is near." if near else ""
            raise ValueError(f"a file needs a list `blocks`, or `kernel`, a short name with settings.{hint}")
        return catalogue.get(settings.pop("kernel"), **settings)
    listed = settings.pop("blocks")
    if settings.pop("kernel", "serial") != "serial":
        raise ValueError("a file has `blocks` or the name of a `kernel`; got both. Leave one of them out.")
    _known(settings, OUTER, "the file", ("blocks", *OUTER))
    return Serial(*_blocks(listed, "blocks"), **settings)


def _blocks(listed: object, where: str) -> list[Any]:
    if not isinstance(listed, list) or not listed:
        raise ValueError(f"{where} must be a list of one or more blocks; got {_checks.shown(listed)}.")
    return [_block(one, f"{where}[{i}]") for i, one in enumerate(listed)]


def _block(one: object, where: str) -> Any:
    if isinstance(one, str):
        if one not in activations.names() and one in _named(blocks, blocks.Block):
            return _block({KIND: one}, where)
        if one not in activations.names():
            known = (*activations.names(), *_named(blocks, blocks.Block))
            raise ValueError(f"{where}: no activation or block {one!r}{catalogue.nearest(one, known)}")
        return one
    made, settings = _typed(one, _named(blocks, blocks.Block), where)
    if made is blocks.Residual:
        _known(settings, ("blocks",), where)
        return blocks.Residual(*_blocks(settings.get("blocks"), f"{where}.blocks"))
    if made is blocks.Recurrent and isinstance(settings.get("cell"), (dict, str)):
        given = settings["cell"]
        table = {KIND: given} if isinstance(given, str) else given
        cell, inner = _typed(table, _named(cells, cells.Cell), f"{where}.cell")
        settings["cell"] = _made(cell, inner, f"{where}.cell")
    if made is blocks.GLU:
        for name in {"value", "gate"} & set(settings):
            settings[name] = _block(settings[name], f"{where}.{name}")
    return _made(made, settings, where)


def _typed(table: object, known: Mapping[str, Any], where: str) -> tuple[Any, dict[str, Any]]:
    """The class that a table names, and its other entries."""
    if not isinstance(table, dict) or KIND not in table:
        raise ValueError(f'{where} must be a table with a `type`, as {{type = "Linear"}}; got {_checks.shown(table)}.')
    settings = dict(table)
    name = settings.pop(KIND)
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"{where}: no type {_checks.shown(name)}{catalogue.nearest(name, known)}")
    return known[name], settings


def _made(made: Callable[..., object], settings: dict[str, Any], where: str) -> Any:
    _known(settings, catalogue.arguments(made), where)
    if lacking := [name for name in _required(made) if name not in settings]:
        called = getattr(made, "__name__", "it")
        raise ValueError(
            f"{where}: {called} needs {', '.join(lacking)}, which its table has not. Add {lacking[0]} = ..."
        )
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    try:
        return made(**settings)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None


def _required(made: Callable[..., object]) -> list[str]:
    """The arguments without a default."""
    given = inspect.signature(made).parameters.values()
    return [
        one.name for one in given if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]


def _known(settings: Mapping[str, Any], known: tuple[str, ...], where: str, shown: tuple[str, ...] = ()) -> None:
    for key in settings:
        if key not in known:
            raise ValueError(f"{where} has no {key!r}{catalogue.nearest(key, shown or known)}")


def _named(room: ModuleType, base: type) -> dict[str, Any]:
    """The classes of a room that are of a kind, by name."""
    held = {name: getattr(room, name) for name in room.__all__}
    return {name: one for name, one in held.items() if issubclass(one, base) and one is not base}
