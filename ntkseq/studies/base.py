"""The base of studies with a name: a frozen record of options that measures, and the sheet that comes of it."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, get_args, get_type_hints

from ntkseq import _checks
from ntkseq.reports import Sheet
from ntkseq.studies.provenance import Clock, Fingerprint, Stage, provenance
from ntkseq.studies.records import check_fields, command_line


@dataclasses.dataclass(frozen=True)
class NamedStudy(abc.ABC):
    """Options of a study that the command line knows by its name; `run` does it.

    A study is a frozen dataclass with options of its own and a `measure`. The docstring of a field is the help of its
    option; a study says in its own words what `quick` does and has an option `seed` if it draws anything. Whole numbers
    are counts, 1 or more; a list holds different values, one or more unless it is empty by default.

    Attributes:
        name: on the command line.
        summary: what `ntkseq study --help` says of it, in a line.
        question, expect: of the report: what is asked, and which numbers to expect.
        quick_values: what --quick makes of options that stand at their defaults.
        two_or_more: lists that need two values, for a slope.

    Raises:
        ValueError: a value of another type, a count below 1, a list that repeats a value or has too few.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Widths(NamedStudy):
        ...     name = "widths"
        ...     quick_values = {"seeds": 1}
        ...     widths: tuple[int, ...] = (64, 256)
        ...     seeds: int = 3
        ...
        ...     def measure(self, clock, mark):
        ...         return Sheet("Widths", "")
        >>> Widths(quick=True, widths=(32,)).seeds
        1
        >>> Widths(quick=True, widths=(32,)).command
        'ntkseq study widths --widths 32 --quick'
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    question: ClassVar[str] = ""
    expect: ClassVar[str] = ""
    quick_values: ClassVar[Mapping[str, Any]] = {}
    two_or_more: ClassVar[tuple[str, ...]] = ()

    quick: bool = False
    """Fewer of everything."""
    out: str | None = None
    """Folder to write. Default: NAME-report in the working directory."""
    overwrite: bool = False
    """Replace the files of an earlier report in --out; other files there are left alone."""

    def __post_init__(self) -> None:
        _checks.flag("quick", self.quick)
        for field in dataclasses.fields(self) if self.quick else ():
            if field.name in self.quick_values and getattr(self, field.name) == field.default:
                object.__setattr__(self, field.name, self.quick_values[field.name])
        check_fields(self)
        hints = get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple) and field.default != ():
                self._check_different(field.name, value)
            if field.name == "seed":
                _checks.integer("seed", value, 0, 2**32 - 1)
            elif _counts(hints[field.name]) and value is not None:
                for one in value if isinstance(value, tuple) else (value,):
                    _checks.positive_int(field.name, one)

    def _check_different(self, name: str, values: tuple[Any, ...]) -> None:
        least, many = (2, "two or more") if name in self.two_or_more else (1, "one or more")
        if len(values) < least or len(set(values)) != len(values):
            raise ValueError(f"{name} must be different ones, {many}; got {values}.")

    @property
    def command(self) -> str:
        """The command line that asks for this study: its name and what differs from the defaults.

        With --quick the defaults are those of the quick mode.
        """
        words = command_line(["ntkseq", "study", self.name], self, usual=type(self)(quick=self.quick))
        return f"{words} --quick" if self.quick else words

    @abc.abstractmethod
    def measure(self, clock: Clock, mark: Fingerprint) -> Sheet:
        """Do it and put what was measured on a sheet; question, command and provenance are added by `run`.

        Args:
            clock: times a stage by key and name.
            mark: takes in the data.
        """

    def run(self, stage: Stage | None = None) -> Sheet:
        """Do it and return what came of it; call `stage` as `studies.run` does. Writes nothing and prints nothing.

        Raises:
            OSError, ImportError: the data are not there.
            ValueError: data that do not fit the study, or an option that does not fit the data.
        """
        clock, mark = Clock(stage), Fingerprint()
        made = self.measure(clock, mark)
        return dataclasses.replace(
            made,
            question=self.question,
            expect=self.expect,
            command=self.command,
            provenance=provenance(self, mark, clock.seconds),
        )


def _counts(hint: Any) -> bool:
    """Whether an option of this type is a whole number, or several."""
    return hint is int or any(map(_counts, get_args(hint)))
