"""Which studies have a name? Frozen records of options, found by name when asked for, that run to a `reports.Sheet`."""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from ntkseq.reports import Sheet
from ntkseq.studies.run import Stage
from ntkseq.studies.spec import command_line

STUDIES: dict[str, str] = {
    "training": "ntkseq.studies.training:Training",
    "attention-rank": "ntkseq.studies.attention_rank:AttentionRank",
    "attention-collapse": "ntkseq.studies.attention_collapse:AttentionCollapse",
    "rnn-additive": "ntkseq.studies.rnn_additive:RnnAdditive",
    "rnn-nvariable": "ntkseq.studies.rnn_nvariable:RnnNVariable",
    "maml-fewshot": "ntkseq.studies.maml_fewshot:MamlFewShot",
    "maml-regression": "ntkseq.studies.maml_regression:MamlRegression",
    "rnn-positions": "ntkseq.studies.rnn_positions:RnnPositions",
}
"""Name on the command line -> "module:Class". A class is loaded when its study is asked for."""

HEADS = "Question|Command|Time|Numbers to expect"


@runtime_checkable
class Named(Protocol):
    """What a class needs to be in `STUDIES`: a frozen dataclass, whose fields are the options on the command line.

    The first line of its docstring is listed by `ntkseq study --help`. A field's docstring is the help of its option.
    """

    @property
    def out(self) -> str | None:
        """Folder to write; None: NAME-report."""
        ...

    @property
    def overwrite(self) -> bool:
        """Whether to replace an earlier report there."""
        ...

    @property
    def command(self) -> str:
        """The command line that does it again; see `command`."""
        ...

    def run(self, stage: Stage | None = None) -> Sheet:
        """Do it and return what was found; call `stage` as `studies.run` does. Writes nothing and prints nothing."""
        ...


def find(name: str) -> type[Any]:
    """The class of a named study.

    Raises:
        ValueError: no such name.
    """
    if name not in STUDIES:
        raise ValueError(f"no study {name!r}; the named ones are {', '.join(STUDIES) or 'none'}.")
    module, _, cls = STUDIES[name].partition(":")
    return getattr(importlib.import_module(module), cls)


def listing() -> list[str]:
    """A line per named study: its name and what it asks."""
    return [f"{name}: {_first(find(name).__doc__)}" for name in STUDIES]


def command(name: str, study: Any) -> str:
    """The command line that asks for a study: its name and the options that are not as they stand by default.

    With --quick the defaults are those of the quick mode.

    Example:
        >>> import dataclasses
        >>> @dataclasses.dataclass(frozen=True)
        ... class Training:
        ...     quick: bool = False
        ...     widths: tuple[int, ...] = (64, 256)
        >>> command("training", Training(quick=True, widths=(32,)))
        'ntkseq study training --widths 32 --quick'
    """
    quick = getattr(study, "quick", False)
    usual = type(study)(quick=True) if quick else type(study)()
    # a record that nobody checks: options that fit --quick need not fit the rest of the defaults
    names = [field.name for field in dataclasses.fields(study)]
    plain = dataclasses.make_dataclass("Plain", [(option, object, getattr(usual, option)) for option in names])
    asked = plain(**{option: getattr(study, option) for option in names})
    words = command_line(["ntkseq", "study", name], asked)
    return words + (" --quick" if quick else "")


def fill(study: Any, quick: Mapping[str, Any]) -> None:
    """With `quick` set, options that stand at their defaults take the values of the quick mode; for `__post_init__`."""
    if study.quick:
        for field in dataclasses.fields(study):
            if field.name in quick and getattr(study, field.name) == field.default:
                object.__setattr__(study, field.name, quick[field.name])


def distinct(study: Any, *names: str, least: int = 1) -> None:
    """These options are `least` or more different values.

    Raises:
        ValueError: too few, or one twice.
    """
    for name in names:
        values = getattr(study, name)
        if len(values) < least or len(set(values)) != len(values):
            many = {1: "one or more", 2: "two or more"}[least]
            raise ValueError(f"{name} must be different ones, {many}; got {values}.")


def passage(doc: str | None, head: str) -> str:
    """What the head of a study's file says in one of its passages.

    Args:
        doc: the module's docstring.
        head: "Question", "Command", "Time" or "Numbers to expect": with what the passage begins, up to its colon.

    Raises:
        ValueError: there is no such passage.

    Example:
        >>> from ntkseq.studies import digits
        >>> passage(digits.__doc__, "Command")
        'ntkseq study digits --out digits-report'
    """
    for part in re.split(rf"\n\s*\n(?={HEADS})", doc or ""):
        if part.startswith(head):
            said = part.split(":", 1)[-1]
            text = "\n\n".join(" ".join(lines.split()) for lines in re.split(r"\n\s*\n", said)).strip()
            return text[:1].upper() + text[1:] if head != "Command" else text
    raise ValueError(f"the head of the study has no passage {head!r}; write one, as in ntkseq/studies/digits.py.")


def _first(doc: str | None) -> str:
    """The first paragraph of a docstring in one line."""
    return " ".join((doc or "").strip().split("\n\n")[0].split())
