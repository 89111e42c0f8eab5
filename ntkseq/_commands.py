"""The commands of the shell: what each is for, examples, and where its options are. Nothing is loaded to say so."""

from __future__ import annotations

import dataclasses

ABOUT = """Neural tangent kernels of sequence models: kernel, spectrum, bounds, prediction.

Exit codes: 0 done; 1 a failure inside (please report it); 2 bad input or arguments, said in one line; 130 interrupted;
141 nobody reads the output any more.
Nothing is left half-written. Results go to standard output, progress and errors to standard error."""

MORE = """every command but bench has --help, its options with examples; --json, the result as one JSON document;
--quiet, no word but errors; --options FILE.toml, options by name.
shell completion: ntkseq --tyro-print-completion bash|zsh|tcsh
version: ntkseq --version"""


@dataclasses.dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        summary: what it is for, in a line.
        examples: command lines.
        record: "module:Class" of its options; empty for those that another program answers.
        argument: the field that is typed without its name.
    """

    summary: str
    examples: tuple[str, ...]
    record: str = ""
    argument: str = ""


COMMANDS: dict[str, Command] = {
    "study": Command(
        "from a file to a report: kernel, spectrum, prediction and bounds; or a named study",
        (
            "ntkseq study digits",
            "ntkseq study walks.csv --id walk --time ms --label gait",
            "ntkseq study a.npz --kernel recurrent,gru --tune --out a-report",
            "ntkseq study memory --quick",
        ),
        "ntkseq.studies:Study",
        "source",
    ),
    "gram": Command(
        "the kernel matrix of a file, in a folder on disk; a run that was stopped goes on",
        ("ntkseq gram a.npz --store K", "ntkseq gram a.npz --store K --processes 4 --kernel transformer"),
        "ntkseq.studies:Filling",
        "file",
    ),
    "status": Command(
        "how far such a matrix is",
        ("ntkseq status K", "ntkseq status K --verify"),
        "ntkseq.studies:Status",
        "path",
    ),
    "spectrum": Command(
        "the spectrum of a stored matrix, each number with its error",
        ("ntkseq spectrum a-report/arrays.npz", "ntkseq spectrum K --ridge 0.1"),
        "ntkseq.studies:Stored",
        "file",
    ),
    "bound": Command(
        "generalization bounds from a stored matrix and labels, side by side",
        ("ntkseq bound a-report/arrays.npz", "ntkseq bound K --labels a.npz --delta 0.01"),
        "ntkseq.studies.gram_bounds:GramBounds",
        "file",
    ),
    "track": Command(
        "train networks on a file and track their kernels: the study called training",
        ("ntkseq track a.npz --quick", "ntkseq track --widths 64 256"),
    ),
    "report": Command(
        "a report on a training run from its saved history",
        ("ntkseq report run.npz --out run-report",),
        "ntkseq.studies.history:Recorded",
        "file",
    ),
    "accuracy": Command(
        "test accuracy by the published protocols of the UCR and UCI collections",
        ("ntkseq accuracy GunPoint_TRAIN.ts --test GunPoint_TEST.ts", "ntkseq accuracy iris.npz --kernel dense"),
        "ntkseq.studies.accuracies:Scored",
        "file",
    ),
    "cite": Command(
        "BibTeX of the papers behind a number",
        ("ntkseq cite", "ntkseq cite arora2019finegrained"),
        "ntkseq.studies.citations:Cite",
        "keys",
    ),
    "bench": Command(
        "measure the speed of this machine beside other ways to the same numbers (in a clone of the repository)",
        ("ntkseq bench --quick recurrent",),
    ),
}


def help_text() -> str:
    """What `ntkseq --help` says."""
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {one.summary}" for name, one in COMMANDS.items())
    first = "\n".join(f"  {one.examples[0]}" for one in COMMANDS.values() if one.record)
    return f"usage: ntkseq COMMAND [OPTIONS]\n\n{ABOUT}\n\ncommands:\n{listed}\n\nexamples:\n{first}\n\n{MORE}"
