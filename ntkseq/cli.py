"""How is ntkseq used from a shell? The commands, their messages and their exit codes."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import io
import pathlib
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata, util
from typing import TYPE_CHECKING, Any

from ntkseq import _interrupts, _printed

if TYPE_CHECKING:
    from ntkseq.studies import Filling, Status, Stored, Study
    from ntkseq.studies.accuracies import Scored
    from ntkseq.studies.base import NamedStudy
    from ntkseq.studies.history import Recorded

OK, BAD_INPUT, INTERRUPTED = 0, 2, 130
STOPPED = "interrupted; nothing was written."

ABOUT = """Neural tangent kernels of sequence models: kernel, spectrum, bounds, prediction.

Exit codes: 0 done; 1 a failure inside (please report it); 2 bad input or arguments, said in one line; 130 interrupted.
Nothing is left half-written. Results go to standard output, progress and errors to standard error."""

EXTRA = ("tyro", "rich", "jinja2", "matplotlib", "sklearn")


@dataclasses.dataclass(frozen=True)
class Cite:
    """BibTeX of the papers behind something: reference keys as they stand in reports. None: all."""

    keys: tuple[str, ...] = ()
    """Reference keys, such as arora2019finegrained."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in ("--version", "-V"):
        print(f"ntkseq {_version()}")
        return OK
    with _interrupts.watched(), warnings.catch_warnings():
        warnings.showwarning = _noted
        try:
            missing = [name for name in EXTRA if util.find_spec(name) is None]
            if missing:
                return _say(f'the command line needs {", ".join(missing)}. Run: pip install "ntkseq[study]"')
            return _dispatch(words)
        except KeyboardInterrupt:
            return _say(STOPPED, INTERRUPTED)
        except Exception as error:
            if _interrupts.asked():  # a callback, or a module that was loading, made another exception of it
                return _say(STOPPED, INTERRUPTED)
            if isinstance(error, MemoryError):
                less = "Take fewer examples (--n-train, --n-test) or --read last"
                less = "Ask for less" if _is_named(words) or words[0] != "study" else less
                return _say(f"not enough memory. {less}.")
            if isinstance(error, (ValueError, OSError, ImportError, FloatingPointError)):  # the last: training diverged
                return _say(_message(error, words))
            raise


def _dispatch(words: list[str]) -> int:
    with _interrupts.leaving(f"ntkseq: {STOPPED}", INTERRUPTED):
        from ntkseq import references
        from ntkseq.studies import Filling, Status, Stored, Study
        from ntkseq.studies.accuracies import Scored
        from ntkseq.studies.history import Recorded

    asked = _parse_named(words[1], words[2:]) if _is_named(words) else _parse(words)
    if isinstance(asked, int):
        return asked
    if _is_named(words):
        return _named(words[1], asked)
    if isinstance(asked, Study):
        return _study(asked)
    if isinstance(asked, Scored):
        return _accuracy(asked)
    if isinstance(asked, Filling):
        return _gram(asked)
    if isinstance(asked, Status):
        return _status(asked)
    if isinstance(asked, Stored):
        return _spectrum(asked)
    if isinstance(asked, Recorded):
        return _report(asked)
    print(references.cite(*(asked.keys or references.KEYS)))
    return OK


def _parse(words: list[str]) -> Any:
    """The command as a record; an exit code if it was help, or is wrong."""
    import tyro

    from ntkseq.studies import Filling, Status, Stored, Study, named, options
    from ntkseq.studies.accuracies import Scored
    from ntkseq.studies.history import Recorded

    commands = {
        "study": options.command(Study, "source"),
        "report": options.command(Recorded, "file"),
        "accuracy": options.command(Scored, "file"),
        "gram": options.command(Filling, "file"),
        "status": options.command(Status, "path"),
        "spectrum": options.command(Stored, "file"),
        "cite": options.command(Cite, "keys"),
    }
    if words and words[0] == "study" and {"-h", "--help"} & set(words) and (listing := named.listing()):
        more = "\n\nStudies with a name and options of their own, which ntkseq study NAME --help lists:\n\n"
        commands["study"].__doc__ = f"{Study.__doc__ or ''}{more}" + "\n\n".join(listing)
    command = f"ntkseq {words[0]}" if words and words[0] in commands else "ntkseq"
    return _asked(
        lambda config: tyro.extras.subcommand_cli_from_dict(
            commands, prog="ntkseq", description=ABOUT, args=words, config=config
        ),
        command,
    )


def _is_named(words: list[str]) -> bool:
    if len(words) < 2 or words[0] != "study":
        return False
    from ntkseq.studies import named

    return words[1] in named.STUDIES


def _parse_named(name: str, words: list[str]) -> Any:
    """The options of a named study as its record; an exit code if it was help, or is wrong."""
    import tyro

    from ntkseq.studies import named, options

    cls, command = options.command(named.find(name)), f"ntkseq study {name}"
    return _asked(lambda config: tyro.cli(cls, prog=command, args=words, config=config), command)


def _asked(parse: Callable[[Any], Any], command: str) -> Any:
    """The record that `parse` makes; its exit code, with a complaint of one line, where it leaves."""
    import tyro

    from ntkseq.studies import options

    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            made = parse((tyro.conf.FlagCreatePairsOff,))
    except SystemExit as stop:
        return _say(options.usage(complaint.getvalue(), command)) if stop.code else OK
    return made.record()


def _study(study: Study) -> int:
    from ntkseq.data.files import Doubt
    from ntkseq.studies import run

    warnings.simplefilter("ignore", Doubt)  # said in lines of its own
    out = study.out or f"{pathlib.Path(str(study.source)).stem}-report"
    return _written(out, study.overwrite, lambda progress: run(study, stage=progress.stage, say=_saying(progress)))


def _named(name: str, study: NamedStudy) -> int:
    return _written(study.out or f"{name}-report", study.overwrite, lambda progress: study.run(progress.stage))


def _report(asked: Recorded) -> int:
    from ntkseq.studies.history import recorded

    out = asked.out or f"{pathlib.Path(asked.file).stem}-report"
    return _written(out, asked.overwrite, lambda progress: recorded(asked))


def _written(out: str, overwrite: bool, make: Callable[[Any], Any]) -> int:
    """Make a report and put it into a folder, all of it or nothing."""
    from ntkseq.reports import Folder
    from ntkseq.reports.files import names
    from ntkseq.reports.progress import Progress

    folder = Folder(out, overwrite=overwrite)
    try:
        with folder, Progress() as progress:
            report = make(progress)
            with progress.stage("report"):
                folder.write(report, look=_interrupts.look)
        for line in report.summary():
            _print(line)
    except KeyboardInterrupt:
        if not folder.placed:
            raise
        return _say(f"interrupted after {out} was written.", INTERRUPTED)
    _print(f"wrote {out}: {', '.join(names(report))}", sys.stderr)
    return OK


def _accuracy(asked: Scored) -> int:
    from ntkseq.data.files import Doubt
    from ntkseq.reports.progress import Progress
    from ntkseq.studies import accuracy

    warnings.simplefilter("ignore", Doubt)  # said in lines of its own
    options = {name: value for name, value in vars(asked).items() if name != "file"}
    with Progress() as progress, progress.stage("kernels and support vector machines"):
        found = accuracy(asked.file, say=_saying(progress), **options)
    _interrupts.look()
    low, high = found.test_range
    chosen = "cross-validation" if found.protocol == "ucr" else "validation"
    print(f"data set\tprotocol\t{chosen} %\ttest %\tlowest\thighest\ttied\tof")
    _print(
        f"{found.name}\t{found.protocol}\t{found.validation:.2f}\t{found.test:.2f}\t{low:.2f}\t{high:.2f}"
        f"\t{len(found.settings)}\t{found.tried}"
    )
    return OK


def _spectrum(asked: Stored) -> int:
    from ntkseq.reports.progress import Progress
    from ntkseq.studies import stored

    with Progress() as progress, progress.stage("eigenvalues"):
        lines = stored(asked, say=_saying(progress))
    _interrupts.look()
    for line in lines:
        _print(line)
    return OK


def _gram(asked: Filling) -> int:
    from ntkseq.data.files import Doubt
    from ntkseq.reports.progress import Progress
    from ntkseq.studies.filled_grams import counted, filled, summary

    warnings.simplefilter("ignore", Doubt)  # said in lines of its own
    try:
        with Progress() as progress, progress.stage("stored kernel matrix"):
            watch = lambda path: progress.counting(lambda: counted(path), "chunks")  # noqa: E731
            K = filled(asked, say=_saying(progress), watch=watch)
        _interrupts.look()
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt) and not _interrupts.asked():
            raise
        there = counted(pathlib.Path(asked.store))
        if there is None:
            return _say(STOPPED, INTERRUPTED)
        done, total = there
        return _say(
            f"interrupted; {asked.store} holds {done} of {total} chunks. The same command goes on with the rest.",
            INTERRUPTED,
        )
    _print(summary(K))
    return OK


def _status(asked: Status) -> int:
    from ntkseq.studies import status

    for line in status(asked):
        _print(line)
    return OK


def _message(error: Exception, words: Sequence[str] = ()) -> str:
    """An error in one line, without the number in front of an OSError; for a tidy table the command that reads it."""
    from ntkseq.data.columns import ROWS
    from ntkseq.data.tidy import Tidy

    if isinstance(error, Tidy):
        more = [_option(name, value) for name, value in error.options.items() if f"--{name}" not in words]
        return _worded(f"{error.table} Read it so: {' '.join(['ntkseq', shlex.join(words), *more])} . {ROWS}")
    text = _worded(str(error)) if isinstance(error, ValueError) else str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return " ".join(text.split())


def _noted(message: Any, category: type, *place: Any, **more: Any) -> None:
    """A warning in one line, without the place in the program where it arose."""
    _print(f"ntkseq: note: {' '.join(_worded(str(message)).split())}", sys.stderr)


def _worded(text: str) -> str:
    """Options of `data.load` as they are written here."""
    from ntkseq.studies.records import Reading

    options = "|".join(field.name for field in dataclasses.fields(Reading))
    quoted = r"'[^']*'|\([^()]*\)"
    return re.sub(rf"\b({options})=({quoted})", lambda found: _option(found[1], ast.literal_eval(found[2])), text)


def _option(name: str, value: str | tuple[str, ...]) -> str:
    """An option with its value as it is typed."""
    return shlex.join([f"--{name}", *((value,) if isinstance(value, str) else value)])


def _saying(progress: Any) -> Callable[[str], None]:
    return lambda line: progress.say(_worded(line))


def _version() -> str:
    try:
        return metadata.version("ntkseq")
    except metadata.PackageNotFoundError:
        return "(not installed as a package)"


def _say(message: str, code: int = BAD_INPUT) -> int:
    _print(f"ntkseq: {message}", sys.stderr)
    return code


def _print(line: str, file: Any = None) -> None:
    """A line; names of files, classes and columns come without the codes that a terminal would obey."""
    print(_printed.plain(line), file=file)


if __name__ == "__main__":
    sys.exit(main())
