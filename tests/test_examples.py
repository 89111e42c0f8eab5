"""Do the scripts of `examples/` run without a warning, say what they found, and stand on the page of examples?"""

from __future__ import annotations

import pathlib
import runpy

import jax
import pytest

ROOT = pathlib.Path(__file__).parents[1]
SCRIPTS = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))
SAID = {
    "attention_rank": ("before training: right on", "after training: right on", "the entropy rank changes by"),
    "certificate": ("All bounds of one kernel", "with probability at least 0.95", "You vouch for:"),
    "classify_series": ("unseen series:", "95 % interval", "always saying the most frequent class"),
    "few_shot": ("labels drawn anew", "adaptation alone is right on", "the meta-kernel adds"),
    "lazy_rnn": ("the kernel moved by", "the kernel's drift goes as width^", "the error of linearisation goes as"),
    "limit_of": ("covariance of the outputs", "tangent kernel as stored"),
    "model_kernel": ("flax:", "equinox:", "least eigenvalue", "its kernel machine errs on"),
    "network_certificate": ("relu RNN, digits 3/8", "draws on these examples"),
}
"""What each prints, whatever its numbers."""


@pytest.fixture(autouse=True)
def as_a_user(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def output(name: str, words: list[str], monkeypatch, capsys) -> str:
    monkeypatch.setattr("sys.argv", [f"{name}.py", *words])
    runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
    return capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != "limit_of"])
def test_a_quick_run_says_what_it_found(name: str, monkeypatch, capsys):
    said = output(name, ["--quick"], monkeypatch, capsys)
    assert [part for part in SAID[name] if part not in said] == []


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("certificate", "P(y f(x) <= 0) <= 0.06404"),  # as docs/bounds.md prints it
        ("classify_series", "that is more than the"),
        ("limit_of", "equinox"),
    ],
)
def test_a_full_run_finds_what_there_is_to_find(name: str, found: str, monkeypatch, capsys):
    said = output(name, [], monkeypatch, capsys)
    assert found in said and [part for part in SAID[name] if part not in said] == []


def test_every_script_stands_on_the_page_and_has_a_line_of_its_own():
    page = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
    assert sorted(SAID) == SCRIPTS
    for name in SCRIPTS:
        assert f'--8<-- "examples/{name}.py"' in page and f"`python examples/{name}.py" in page
        text = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")
        assert f"\npython examples/{name}.py" in text  # how to run it, in its docstring


def test_scripts_are_short_enough_to_be_read():
    lengths = {
        name: len((ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8").splitlines()) for name in SCRIPTS
    }
    assert {name: n for name, n in lengths.items() if n > 80 and name != "network_certificate"} == {}
