"""Does the command line help, list, cite and complain in one line?"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from ntkseq import _commands, cli
from ntkseq.studies import Study
from tests.cli.commands import document_of, refused


@pytest.mark.slow(
    cases=[
        "study digits --classes 3 x-no class 'x'; the classes are 0, 1",
        "study digits --read never-Expected one of ('last', 'mean', 'sum', 'steps')",
    ]
)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "",
            "wanted a command; got ''. There are study, gram, status, spectrum, bound, track, report, accuracy, cite,",
        ),
        ("spectra k.npz", "no command 'spectra'. Did you mean spectrum? There are study,"),
        ("bound k.npz", "k.npz: no such file"),
        ("study digits --target label", "--target"),
        ("study digits --options none.toml", "none.toml: No such file"),
        ("study", "missing SOURCE. See ntkseq study --help."),
        ("study digits --nope", "--nope"),
        ("study digits --sigma-w x", "--sigma-w: could not convert string to float: 'x'"),
        ("study digits --kernel gruu", "no kernel 'gruu'. Did you mean gru?"),
        ("study digits --kernel leaky --depth 2", "kernel 'leaky' has no depth; got 2."),
        ("gram digits --store K --kernel gru,lstm", "kernel must be one; got 2: gru, lstm."),
        ("study digits --sigma-w -1", "sigma_w must be a finite standard deviation >= 0; got -1.0"),
        ("study digits --reg x", "--reg: no type matching FLOAT could be instantiated from ['x']"),
        ("study digits --read never", "Expected one of ('last', 'mean', 'sum', 'steps')"),
        ("study digits --delta 2", "delta must lie strictly between 0 and 1"),
        ("study digits --classes 3 x", "no class 'x'; the classes are 0, 1"),
        ("study nope.npz", "nope.npz: no such file"),
        ("study nope.npz --dtype float64", "JAX_ENABLE_X64=1"),
        ("study .", "is a directory"),
        ("accuracy nope.npz", "no such file"),
        ("spectrum nope.npz", "nope.npz: no such file"),
        ("status nope", "holds no stored Gram matrix"),
        ("gram nope.npz", "missing --store"),
        ("gram made.npz --store K --coordinator here", "coordinator must be HOST:PORT, or auto; got 'here'"),
        ("spectrum", "missing FILE. See ntkseq spectrum --help."),
        ("spectrum k.npz --method fast", "auto"),
        ("report nope.npz", "nope.npz: no such file"),
        ("report", "missing FILE. See ntkseq report --help."),
        ("report nope.pickle", "wanted a history as .npz or .json"),
        ("cite nope", "unknown reference key 'nope'"),
    ],
)
def test_bad_arguments_are_answered_in_one_line(capsys, words: str, said: str):
    assert said in refused(capsys, *words.split())


def test_without_the_extra_the_command_to_install_it_is_named(capsys, monkeypatch):
    real = cli.util.find_spec
    monkeypatch.setattr(cli.util, "find_spec", lambda name: None if name in ("tyro", "rich") else real(name))
    assert 'needs tyro, rich. Run: pip install "ntkseq[study]"' in refused(capsys, "study", "digits")


def test_a_doubt_about_a_file_is_a_note_of_one_line(capsys):
    cli._noted(UserWarning("a.npz: two\n lines. Pass layout='nct'."), UserWarning, "cli.py", 1)
    assert capsys.readouterr().err == "ntkseq: note: a.npz: two lines. Pass --layout nct.\n"


def test_an_error_of_many_lines_becomes_one():
    assert cli._message(ValueError("a\n  b")) == "a b"
    assert cli._message(FileNotFoundError(2, "No such file", "x")) == "x: No such file"


def test_output_that_nobody_reads_any_more_is_no_failure():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run([sys.executable, "-m", "ntkseq", "--help"], stdout=closed, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (141, b"")


def test_cite_prints_bibtex(capsys):
    assert cli.main(["cite", "williams1997"]) == 0
    assert capsys.readouterr().out.startswith("@inproceedings{williams1997,")
    assert document_of(capsys, "cite", "williams1997")["williams1997"].startswith("@inproceedings{williams1997,")


def test_help_lists_the_commands_and_loads_nothing_heavy():
    code = "import sys; from ntkseq import cli; cli.main(['--help']); print(sorted({'jax', 'tyro'} & set(sys.modules)))"
    root = pathlib.Path(cli.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=60)
    assert "Exit codes: 0 done;" in " ".join(done.stdout.split()) and done.stdout.rstrip().endswith("[]")
    for name, one in _commands.COMMANDS.items():
        assert f"{name} " in done.stdout and one.summary in done.stdout


@pytest.mark.parametrize("name", [name for name, one in _commands.COMMANDS.items() if one.record])
def test_the_help_of_a_command_has_its_examples_and_each_of_them_is_understood(capsys, name, monkeypatch):
    assert cli.main([name, "--help"]) == 0
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"usage: ntkseq {name}" in told and "--json" in told and "--quiet" in told and "Raises:" not in told
    asked = []
    monkeypatch.setitem(cli.RUNS, name, lambda one, output: asked.append(one) or 0)
    monkeypatch.setattr(cli, "_named", lambda name, one, output: asked.append(one) or 0)
    for example in _commands.COMMANDS[name].examples:
        assert example in told and cli.main(example.split()[1:]) == 0
    assert len(asked) == len(_commands.COMMANDS[name].examples)


def test_track_is_the_study_called_training(monkeypatch):
    asked = []
    monkeypatch.setattr(cli, "_named", lambda name, one, output: asked.append((name, one.source, one.quick)) or 0)
    assert cli.main(["track", "a.npz", "--quick"]) == 0 and cli.main(["track"]) == 0
    assert asked == [("training", "a.npz", True), ("training", "digits", False)]


def test_bench_without_its_folder_says_where_it_is(capsys, monkeypatch):
    monkeypatch.setattr(cli.util, "find_spec", lambda name: None if name.startswith("benchmarks") else name)
    assert "Clone the repository and run it there: python -m benchmarks" in refused(capsys, "bench", "--quick")


def test_options_of_a_toml_file_count_behind_those_that_are_typed(capsys, monkeypatch):
    asked = []
    monkeypatch.setitem(cli.RUNS, "study", lambda study, output: asked.append((study, output.quiet)) or 0)
    text = 'sigma_w = 1.2\nclasses = ["a", "b"]\noverwrite = true\ntune = false\nn-train = 9\nquiet = true\n'
    pathlib.Path("o.toml").write_text(text)
    assert cli.main(["study", "a.npz", "--options", "o.toml", "--n-train", "7"]) == 0
    wanted = Study("a.npz", sigma_w=1.2, classes=("a", "b"), overwrite=True, n_train=7)
    assert asked == [(wanted, True)]
    for line, said in [
        ("sigma_v = 1", "o.toml: no option 'sigma_v'. Did you mean sigma_"),
        ("source = 'a.npz'", "It is typed on the command line"),
        ("sigma_w", "o.toml is no TOML"),
        ("kernel = {a = 1}", "kernel must be a value or a list of them"),
        ("sigma_w = 'x'", "could not convert string to float"),
    ]:
        pathlib.Path("o.toml").write_text(line)
        assert said in refused(capsys, "study", "a.npz", "--options", "o.toml")


def test_the_version_is_printed(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ntkseq ")


@pytest.mark.slow(cases=["ntkseq.cli"])
@pytest.mark.parametrize("module", ["ntkseq", "ntkseq.cli"])
def test_the_module_is_the_command(tmp_path, module):
    root = pathlib.Path(cli.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", module, "cite", "nope"],
        capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(root)}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith("ntkseq: unknown reference key")
