"""How does a record become options on the command line? Its own first, then, in a group, those for reading a file."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
import textwrap
from collections.abc import Sequence
from typing import Annotated, Any, get_args, get_type_hints

from ntkseq.studies.records import Reading

_GROUP = "file-reading"  # options, as tyro goes on


@dataclasses.dataclass(frozen=True, kw_only=True)
class Output:
    """How a command says what it found: options that each has."""

    json: bool = False
    """Print the result as one JSON document."""
    quiet: bool = False
    """Say nothing on standard error but what went wrong."""
    options: str | None = None
    """A TOML file with options by name, as sigma_w = 1.2. What is typed counts before it; unknown names are refused."""


def command(cls: type, argument: str | None = None) -> type[Any]:
    """A record of what can be typed for `cls`; its `record()` is the `cls` that was asked for, `output()` the rest.

    One argument goes without its name, and "None" is not among the values to be typed. The options of `Reading`, where
    `cls` has them, and those of `Output` are records of their own, which tyro shows as groups.
    """
    import tyro

    reads = issubclass(cls, Reading)
    apart = {field.name for field in dataclasses.fields(Reading)} if reads else set()
    own, reading = _options(cls, argument, apart), _options(Reading, None, set()) if reads else []
    groups = [("shown", "output", _options(Output, None, set()))] + [("apart", _GROUP, reading)] * reads
    for field, title, options in groups:
        group = _record(type(title, (), {"__doc__": ""}), options)
        hint = Annotated[group, tyro.conf.arg(name=title, help=""), tyro.conf.OmitArgPrefixes]
        own.append((field, hint, dataclasses.field(default_factory=group)))

    def record(asked: Any) -> Any:
        """What was asked for, checked."""
        given = {name: getattr(asked, name) for name, *_ in own if name not in ("apart", "shown")}
        return cls(**given, **{name: getattr(asked.apart, name) for name, *_ in reading})

    def output(asked: Any) -> Output:
        return Output(**{field.name: getattr(asked.shown, field.name) for field in dataclasses.fields(Output)})

    return _record(cls, own, record=record, output=output)


def description(cls: type, examples: Sequence[str], *more: str) -> str:
    """What `cls` is for, its examples, and more: paragraphs. Args and Raises are for Python alone."""
    said = re.split(r"\n\n(?:Args|Raises):", inspect.cleandoc(cls.__doc__ or ""))[0]
    return "\n\n".join([said, "Examples:", "\n".join(f"  {e}" for e in examples), *more])


def usage(boxed: str, command: str) -> str:
    """tyro's boxed complaint in one line."""
    # in a frame of lines, or of - and | where standard error is no UTF-8; first the title, help behind a rule
    inner = [line.strip("│| ") for line in boxed.splitlines()[1:]]
    lines = ["" if set(line) <= set("─-+╭╮╰╯ ") else line for line in inner]
    lines = list(itertools.dropwhile(lambda line: not line, lines))
    if lines and lines[0].startswith("Missing from"):
        lines = [f"missing {lines[1]}"]  # without the help text that follows
    said = " ".join(itertools.takewhile(bool, lines)) or "bad arguments"
    said = re.sub(r"^Error parsing \w+: ", "", said).replace("{None}|", "")
    return f"{said.rstrip('.')}. See {command} --help."


def _record(like: type, fields: list[Any], **methods: Any) -> type[Any]:
    named = {"__doc__": like.__doc__, "__module__": like.__module__} | methods
    return dataclasses.make_dataclass(like.__name__, fields, kw_only=True, frozen=True, namespace=named)


def _options(cls: type, argument: str | None, apart: set[str]) -> list[Any]:
    """The fields of a record but for those set apart, with what tyro is to show of them."""
    import tyro

    hints, helps = get_type_hints(cls), _helps(cls)
    made = []
    for field in dataclasses.fields(cls):
        if field.name in apart:
            continue
        hint, metavar = hints[field.name], None
        if field.name == argument:
            hint = str if hint is Any else hint  # no data in memory here
            metavar = field.name.upper() if hint is str else "[KEY ...]"
            hint = tyro.conf.Positional[hint]
        elif hint is Any:  # no kernel in memory here
            hint, metavar = str, "KERNEL[,KERNEL ...]"
        elif type(None) in get_args(hint):
            metavar = next(part for part in get_args(hint) if part is not type(None)).__name__.upper()
        default: Any = {"default": field.default, "default_factory": field.default_factory}
        told = helps.get(field.name, "").replace("NAME-report", f"{getattr(cls, 'name', 'NAME')}-report")
        shown = tyro.conf.arg(metavar=metavar, help=told)
        made.append((field.name, Annotated[hint, shown], dataclasses.field(**default)))
    return made


def _helps(cls: type) -> dict[str, str]:
    """The docstrings of fields, from the source of the class and of those it inherits from."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for one, after in itertools.pairwise(tree.body):
            match one, after:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = " ".join(text.split())
    return found
