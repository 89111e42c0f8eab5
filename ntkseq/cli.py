"""How is ntkseq used from a shell? The commands, their messages and their exit codes."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import difflib
import importlib
import io
import json
import os
import pathlib
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata, util
from typing import TYPE_CHECKING, Any

from ntkseq import _commands, _interrupts, _printed

if TYPE_CHECKING:
    from ntkseq.studies import Filling, Status, Stored, Study
    from ntkseq.studies.accuracies import Scored
    from ntkseq.studies.base import NamedStudy
    from ntkseq.studies.citations import Cite
    from ntkseq.studies.gram_bounds import GramBounds
    from ntkseq.studies.history import Recorded
    from ntkseq.studies.options import Output

OK, BAD_INPUT, INTERRUPTED, UNREAD = 0, 2, 130, 141
STOPPED = "interrupted; nothing was written."
EXTRA = ("tyro", "rich", "jinja2", "matplotlib", "sklearn")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    try:
        code = _answered(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has read enough: what is left goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    return code


def _answered(words: list[str]) -> int:
    if words and words[0] in ("--version", "-V"):
        print(f"ntkseq {_version()}")
        return OK
    if words and words[0] in ("--help", "-h"):
        print(_commands.help_text())
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
        except BrokenPipeError:
            raise
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
    """Read the words and do what they say."""
    if words and words[0].startswith("--tyro-"):
        return _completion(words)
    name = words[0] if words else ""
    if name not in _commands.COMMANDS:
        near = difflib.get_close_matches(name, _commands.COMMANDS, 1)
        came = f"no command {name!r}. Did you mean {near[0]}?" if near else f"wanted a command; got {name!r}."
        return _say(f"{came} There are {', '.join(_commands.COMMANDS)}. See ntkseq --help.")
    if name == "bench":
        return _bench(words[1:])
    if name == "track":  # a file first goes without its name
        rest = words[1:]
        words = ["study", "training", *(["--source"] if rest and not rest[0].startswith("-") else []), *rest]
    with _interrupts.leaving(f"ntkseq: {STOPPED}", INTERRUPTED):
        import ntkseq.studies  # noqa: F401  # takes seconds

    parsed = _parse(words)
    if isinstance(parsed, int):
        return parsed
    asked, output = parsed
    if output.quiet:
        warnings.simplefilter("ignore")
    if _is_named(words):
        return _named(words[1], asked, output)
    return RUNS[words[0]](asked, output)


def _parse(words: list[str]) -> Any:
    """The command as a record, and how it is to be shown; an exit code if it was help, or is wrong."""
    import tyro

    from ntkseq.studies import named, option_files, options

    if _is_named(words):
        command, rest, argument, cls = f"ntkseq study {words[1]}", words[2:], None, named.find(words[1])
        examples: Sequence[str] = (f"{command} --quick", f"{command} --seed 1 --out {words[1]}-1")
    else:
        one = _commands.COMMANDS[words[0]]
        command, rest, argument, cls = f"ntkseq {words[0]}", words[1:], one.argument, _record(words[0])
        examples = one.examples
    asked_for_help = bool({"-h", "--help"} & set(rest))
    more = named.listing() if command == "ntkseq study" and asked_for_help else []
    title = ["Studies with a name and options of their own, which ntkseq study NAME --help lists:"] if more else []
    about, typed = options.description(cls, examples, *title, *more), options.command(cls, argument)
    rest = option_files.expanded(rest, cls, argument)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            config = (tyro.conf.FlagCreatePairsOff,)
            made = tyro.cli(typed, prog=command, description=about, args=rest, config=config)
    except SystemExit as stop:
        return _say(options.usage(complaint.getvalue(), command)) if stop.code else OK
    return made.record(), made.output()


def _record(name: str) -> type[Any]:
    """The class of the options of a command."""
    module, _, cls = _commands.COMMANDS[name].record.partition(":")
    return getattr(importlib.import_module(module), cls)


def _completion(words: list[str]) -> int:
    """A script that completes words in a shell, from all commands."""
    import tyro

    from ntkseq.studies import named, options

    commands = {
        name: options.command(_record(name), one.argument) for name, one in _commands.COMMANDS.items() if one.record
    }
    commands["track"] = options.command(named.find("training"))
    try:
        tyro.extras.subcommand_cli_from_dict(commands, prog="ntkseq", args=words)
    except SystemExit as stop:
        return BAD_INPUT if stop.code else OK
    return OK


def _bench(words: list[str]) -> int:
    """The measurements that lie beside the package in its repository."""
    if util.find_spec("benchmarks") is None or util.find_spec("benchmarks.catalogue") is None:
        return _say(
            "bench measures with the folder benchmarks, which is no part of the package. Clone the repository and run "
            "it there: python -m benchmarks."
        )
    return importlib.import_module("benchmarks.__main__").main(words)


def _is_named(words: list[str]) -> bool:
    if len(words) < 2 or words[0] != "study":
        return False
    from ntkseq.studies import named

    return words[1] in named.STUDIES


def _study(study: Study, output: Output) -> int:
    from ntkseq.data.files import Doubt
    from ntkseq.studies import run

    warnings.simplefilter("ignore", Doubt)  # said in lines of its own
    out = study.out or f"{pathlib.Path(str(study.source)).stem}-report"
    make = lambda progress: run(study, stage=progress.stage, say=_saying(progress))  # noqa: E731
    return _written(out, study.overwrite, make, output)


def _named(name: str, study: NamedStudy, output: Output) -> int:
    return _written(study.out or f"{name}-report", study.overwrite, lambda it: study.run(it.stage), output)


def _report(asked: Recorded, output: Output) -> int:
    from ntkseq.studies.history import recorded

    out = asked.out or f"{pathlib.Path(asked.file).stem}-report"
    return _written(out, asked.overwrite, lambda progress: recorded(asked), output)


def _written(out: str, overwrite: bool, make: Callable[[Any], Any], output: Output) -> int:
    """Make a report and put it into a folder, all of it or nothing."""
    from ntkseq.reports import Folder
    from ntkseq.reports.files import NAMES
    from ntkseq.reports.progress import Progress

    folder = Folder(out, overwrite=overwrite)
    try:
        with folder, Progress(quiet=output.quiet) as progress:
            report = make(progress)
            with progress.stage("report"):
                folder.write(report, look=_interrupts.look)
        written = {"folder": out, "files": list(NAMES)}
        _show(report.summary(), lambda: report.to_dict() | {"written": written}, output)
    except KeyboardInterrupt:
        if not folder.placed:
            raise
        return _say(f"interrupted after {out} was written.", INTERRUPTED)
    if not output.quiet:
        _print(f"wrote {out}: {', '.join(NAMES)}", sys.stderr)
    return OK


def _accuracy(asked: Scored, output: Output) -> int:
    from ntkseq.data.files import Doubt
    from ntkseq.reports.progress import Progress
    from ntkseq.studies import accuracy

    warnings.simplefilter("ignore", Doubt)  # said in lines of its own
    options = {name: value for name, value in vars(asked).items() if name != "file"}
    with Progress(quiet=output.quiet) as progress, progress.stage("kernels and support vector machines"):
        found = accuracy(asked.file, say=_saying(progress), **options)
    _interrupts.look()
    low, high = found.test_range
    chosen = "cross-validation" if found.protocol == "ucr" else "validation"
    lines = [
        f"data set\tprotocol\tkernel\t{chosen} %\ttest %\tlowest\thighest\ttied\tof\tunconverged",
        f"{found.name}\t{found.protocol}\t{found.kernel}\t{found.validation:.2f}\t{found.test:.2f}\t{low:.2f}\t{high:.2f}"
        f"\t{len(found.settings)}\t{found.tried}\t{found.unconverged}",
    ]
    return _show(lines, lambda: vars(found), output)


def _spectrum(asked: Stored, output: Output) -> int:
    from ntkseq.reports.progress import Progress
    from ntkseq.studies.stored_grams import stored, stored_record

    make = stored_record if output.json else stored
    with Progress(quiet=output.quiet) as progress, progress.stage("eigenvalues"):
        found = make(asked, say=_saying(progress))
    _interrupts.look()
    return _show(found, lambda: found, output)


def _bound(asked: GramBounds, output: Output) -> int:
    from ntkseq.data.files import Doubt
    from ntkseq.reports.progress import Progress
    from ntkseq.studies.gram_bounds import gram_bounds

    warnings.simplefilter("ignore", Doubt)
    with Progress(quiet=output.quiet) as progress, progress.stage("bounds"):
        found = gram_bounds(asked, say=_saying(progress))
    _interrupts.look()
    return _show(str(found).splitlines(), found.to_dict, output)


def _gram(asked: Filling, output: Output) -> int:
    from ntkseq.data.files import Doubt
    from ntkseq.reports.progress import Progress
    from ntkseq.studies.filled_grams import counted, filled, summary, summary_record

    warnings.simplefilter("ignore", Doubt)  # said in lines of its own
    try:
        with Progress(quiet=output.quiet) as progress, progress.stage("stored kernel matrix"):
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
    return _show([summary(K)], lambda: summary_record(K), output)


def _status(asked: Status, output: Output) -> int:
    from ntkseq.studies.store_status import status, status_record

    found = (status_record if output.json else status)(asked)
    return _show(found, lambda: found, output)


def _cite(asked: Cite, output: Output) -> int:
    from ntkseq import references

    keys = asked.keys or references.KEYS
    text = references.cite(*keys)
    return _show([text], lambda: {key: references.cite(key) for key in keys}, output, raw=True)


RUNS: dict[str, Callable[[Any, Any], int]] = {
    "study": _study,
    "report": _report,
    "accuracy": _accuracy,
    "gram": _gram,
    "status": _status,
    "spectrum": _spectrum,
    "bound": _bound,
    "cite": _cite,
}


def _show(lines: Any, record: Callable[[], Any], output: Output, *, raw: bool = False) -> int:
    """Print the lines of a result; or the record of it, as JSON."""
    if output.json:
        from ntkseq.reports.record import strict

        print(json.dumps(strict(record()), indent=1, allow_nan=False))
        return OK
    for line in lines:
        print(line) if raw else _print(line)
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
