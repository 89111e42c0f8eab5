"""Do the examples in the README, in docs/ and in the docstrings run as they stand?"""

from __future__ import annotations

import doctest
import importlib
import inspect
import pathlib
import re
import runpy

import jax
import pytest

from ntkseq import references
from tests.test_public import SURFACE

pytestmark = pytest.mark.filterwarnings("error")  # all of them: a user sees what an example warns of

ROOT = pathlib.Path(__file__).parents[1]
NUMBERED = {path.stem.replace("-", "_"): path for path in (ROOT / "docs" / "theory").glob("*.md")}
"""Pages whose equations are cited from the code, by the word in front of their numbers."""
PAGES = [path for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if path.is_file()]
BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)
MODULES = sorted(
    path.relative_to(ROOT) for path in (ROOT / "ntkseq").rglob("*.py") if ">>> " in path.read_text(encoding="utf-8")
)


def blocks(text: str) -> list[str]:
    """The Python blocks of a page, each moved down to its own line numbers so that a traceback points into the page."""
    return ["\n" * text.count("\n", 0, match.start(1)) + match.group(1) for match in BLOCK.finditer(text)]


WITHOUT_EXAMPLE = {
    # takes seconds, and writes to the cache of the user
    "ntkseq.empirical.calibrate",
    # pictures of a history, as `certificate` on the page on training
    "ntkseq.reports.trajectories.leading_eigenvalues", "ntkseq.reports.trajectories.rotation",
    # adapted networks on labels -1/+1 or one-hot; `scored` has the example
    "ntkseq.training.maml.few_shot_accuracy",
    # what `attention_weights`, `spectrum`, `sampled`, `stored` and `learner` return, by a wider type
    "ntkseq.empirical.AttentionWeights", "ntkseq.spectra.PartialSpectrum", "ntkseq.spectra.SampledRank",
    "ntkseq.spectra.HiddenEstimate",
    "ntkseq.studies.Stored", "ntkseq.training.maml.Learner",
}  # fmt: skip
"""Public names that no code of the documentation uses: none is to be added."""


@pytest.fixture(autouse=True)
def as_a_user(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """A user has JAX's default promotion rules and a folder of their own."""
    monkeypatch.chdir(tmp_path)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.slow(
    but=[
        "docs/howto/data.md",
        "docs/howto/gpu.md",
        "docs/theory/concepts.md",
        "docs/theory/maml.md",
        "docs/versions.md",
    ]
)
@pytest.mark.parametrize(
    "page", [pytest.param(p, id=p.relative_to(ROOT).as_posix()) for p in PAGES if blocks(p.read_text(encoding="utf-8"))]
)
def test_the_code_of_a_page_runs_in_order(page: pathlib.Path):
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page.read_text(encoding="utf-8")):
        exec(compile(block, str(page), "exec"), namespace)


def test_no_page_holds_what_a_merge_left_behind():
    left = re.compile(r"^(<{7} .*|>{7} .*|={7})$", re.MULTILINE)
    pages = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
    assert [path.name for path in pages if left.search(path.read_text(encoding="utf-8"))] == []


def test_the_readme_has_code_that_runs():
    assert blocks((ROOT / "README.md").read_text(encoding="utf-8"))


def test_a_block_keeps_the_line_numbers_of_its_page():
    (block,) = blocks("one\ntwo\n```python\nraise_here()\n```\n")
    assert block.splitlines().index("raise_here()") + 1 == 4


@pytest.mark.slow
@pytest.mark.parametrize(("name", "page"), [("home", "index.md"), ("look", "howto/look.md")])
def test_the_pictures_of_a_page_are_drawn_by_their_script(tmp_path: pathlib.Path, name: str, page: str):
    runpy.run_path(str(ROOT / "docs" / "images" / f"{name}_pictures.py"))["main"](str(tmp_path))
    drawn, text = {path.name for path in tmp_path.glob("*.webp")}, (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert drawn == set(re.findall(rf"images/({name}-\w+\.webp)", text))


def test_every_reference_key_in_a_docstring_is_known():
    keyed = re.compile(r"^\s*Reference: (.*?)(?:\n\s*\n|\"\"\")", re.MULTILINE | re.DOTALL)
    unknown = {
        f"{path.relative_to(ROOT).as_posix()}: {key}"
        for path in (ROOT / "ntkseq").rglob("*.py")
        for passage in keyed.findall(path.read_text(encoding="utf-8"))
        for key in re.findall(r"\b[a-z]+(?:19|20)\d\d[a-z0-9]*", passage)
        if key not in references.KEYS
    }
    assert unknown == set()


def test_the_arguments_of_a_docstring_are_those_of_its_function():
    wrong = []
    for room, names in SURFACE.items():
        for name in names:
            thing = getattr(importlib.import_module(room), name)
            callables = [(f"{room}.{name}", thing)] if callable(thing) else []
            if inspect.isclass(thing):
                callables += [(f"{room}.{name}.{n}", f) for n, f in vars(thing).items() if inspect.isfunction(f)]
            for path, function in callables:
                named = arguments(function.__doc__ or "")
                if named and (extra := named - set(inspect.signature(function).parameters)):
                    wrong.append((path, sorted(extra)))
    assert wrong == []


def records() -> set[str]:
    """Names of classes that functions and methods return: their examples are those of what makes them."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "ntkseq").rglob("*.py"))
    returned = re.findall(r"^ *def [^\"]*?\) -> ([^\n]+):$", text, re.MULTILINE)
    fields = re.findall(r"^    \w+: ([^\n=]+)", text, re.MULTILINE)
    return set(re.findall(r"\b[A-Z]\w+", " ".join(returned + fields)))


def test_every_public_function_and_class_is_used_by_code_of_the_documentation_that_runs():
    pages = [*blocks((ROOT / "README.md").read_text(encoding="utf-8"))]
    for page in PAGES:
        pages += blocks(page.read_text(encoding="utf-8"))
    pages += [path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("*.py")]
    for path in (ROOT / "ntkseq").rglob("*.py"):
        pages += re.findall(r"^\s*(?:>>>|\.\.\.) (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    used = set(re.findall(r"\w+", re.sub(r"#.*", "", "\n".join(pages))))
    made = records()
    unused = {
        f"{room}.{name}"
        for room, names in SURFACE.items()
        for name in names
        if name not in used
        and callable(thing := getattr(importlib.import_module(room), name))
        and not (name in made or (inspect.isclass(thing) and (inspect.isabstract(thing) or issubclass(thing, Warning))))
    }
    assert unused == WITHOUT_EXAMPLE


def arguments(docstring: str) -> set[str]:
    """The names in front of the colons of an "Args:" section; a line may have several."""
    section = re.search(r"^Args:\n((?:    .*\n|\n)+)", inspect.cleandoc(docstring) + "\n", re.MULTILINE)
    lines = re.findall(r"^    (\S[^:]*):", section[1], re.MULTILINE) if section else []
    return {name.strip("*") for line in lines for name in re.split(r",\s*", line)}


CITED = rf"(?<![\w/])({'|'.join(NUMBERED)})\.(\d+)\b"


def equations(page: str) -> list[str]:
    """The numbers that end a line of the page, in a block or in its text."""
    return re.findall(rf"\(({page}\.\d+)\)(?=[.:]?$)", NUMBERED[page].read_text(encoding="utf-8"), re.MULTILINE)


def test_every_equation_that_code_and_pages_cite_ends_a_line_of_its_page():
    known = {page: set(equations(page)) for page in NUMBERED}
    missing = {
        f"{path.relative_to(ROOT).as_posix()}: {page}.{number}"
        for path in [*(ROOT / "ntkseq").rglob("*.py"), *PAGES]
        for page, number in re.findall(CITED, path.read_text(encoding="utf-8"))
        if f"{page}.{number}" not in known[page]
    }
    assert missing == set()


FENCED = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", NUMBERED)
def test_the_equations_of_a_page_have_its_name_are_counted_once_and_fit_its_boxes(page: str):
    text = "".join(FENCED.findall(NUMBERED[page].read_text(encoding="utf-8")))
    numbers = re.findall(r"\((\w+)\.(\d+)\)$", text, re.MULTILINE)
    assert {name for name, _ in numbers} <= {page} and len(set(numbers)) == len(numbers)
    assert [line for line in text.splitlines() if len(line) > 76] == []


@pytest.mark.slow(
    cases=[
        "ntkseq/activations.py",
        "ntkseq/bounds/attention.py",
        "ntkseq/bounds/certificate_probe.py",
        "ntkseq/bounds/gibbs_losses.py",
        "ntkseq/bounds/linearised.py",
        "ntkseq/bounds/meta_learning.py",
        "ntkseq/bounds/network_certificate.py",
        "ntkseq/bounds/posteriors.py",
        "ntkseq/bounds/search.py",
        "ntkseq/bounds/stable.py",
        "ntkseq/bounds/steps.py",
        "ntkseq/bounds/tables.py",
        "ntkseq/bounds/tu_he_tao.py",
        "ntkseq/cells/diagonal.py",
        "ntkseq/cells/gates.py",
        "ntkseq/cells/units.py",
        "ntkseq/concepts/sampling.py",
        "ntkseq/concepts/steps.py",
        "ntkseq/concepts/targets.py",
        "ntkseq/data/held_out.py",
        "ntkseq/data/sequences.py",
        "ntkseq/data/tasks.py",
        "ntkseq/empirical/attention.py",
        "ntkseq/empirical/draws.py",
        "ntkseq/empirical/hidden_cores.py",
        "ntkseq/empirical/hidden_states.py",
        "ntkseq/empirical/methods/base.py",
        "ntkseq/empirical/methods/products.py",
        "ntkseq/empirical/methods/sketch.py",
        "ntkseq/empirical/ntk.py",
        "ntkseq/empirical/optimisers.py",
        "ntkseq/empirical/polynomials.py",
        "ntkseq/empirical/widths.py",
        "ntkseq/grams/auditing.py",
        "ntkseq/grams/entries.py",
        "ntkseq/grams/foreign.py",
        "ntkseq/grams/on_demand.py",
        "ntkseq/grams/stores/stored.py",
        "ntkseq/interop/neural_tangents.py",
        "ntkseq/interop/sklearn.py",
        "ntkseq/kernels/all_steps.py",
        "ntkseq/kernels/bidirectional.py",
        "ntkseq/kernels/dense.py",
        "ntkseq/kernels/gated.py",
        "ntkseq/kernels/inner.py",
        "ntkseq/kernels/leaky.py",
        "ntkseq/kernels/linear.py",
        "ntkseq/kernels/meta.py",
        "ntkseq/kernels/recurrent.py",
        "ntkseq/kernels/serial.py",
        "ntkseq/kernels/transformer.py",
        "ntkseq/models/adaptation.py",
        "ntkseq/models/bidirectional.py",
        "ntkseq/models/dense.py",
        "ntkseq/models/gated.py",
        "ntkseq/models/leaky.py",
        "ntkseq/models/recurrent.py",
        "ntkseq/models/serial.py",
        "ntkseq/predictors/attribution.py",
        "ntkseq/predictors/learning_curves.py",
        "ntkseq/predictors/task_prediction.py",
        "ntkseq/risks/simulation.py",
        "ntkseq/spectra/attention.py",
        "ntkseq/spectra/effective.py",
        "ntkseq/spectra/hidden.py",
        "ntkseq/spectra/meta.py",
        "ntkseq/studies/filled_grams.py",
        "ntkseq/studies/store_status.py",
        "ntkseq/studies/tangent/run.py",
        "ntkseq/training/attention_probe.py",
        "ntkseq/training/feature_probe.py",
        "ntkseq/training/fine_tuning.py",
        "ntkseq/training/history.py",
        "ntkseq/training/linear_training.py",
        "ntkseq/training/loss_probe.py",
        "ntkseq/training/maml/networks.py",
        "ntkseq/training/sgd.py",
        "ntkseq/training/tape.py",
        "ntkseq/training/tuning.py",
    ]
)
@pytest.mark.parametrize("file", [pytest.param(file, id=file.as_posix()) for file in MODULES])
def test_the_examples_of_a_module_print_what_they_say(file: pathlib.Path):
    dotted = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
    module = importlib.import_module(dotted)
    tests = [test for test in doctest.DocTestFinder(exclude_empty=True).find(module) if test.examples]
    found = sum(len(test.examples) for test in tests)
    assert found == (ROOT / file).read_text(encoding="utf-8").count(">>> "), (
        "some examples stand where doctest does not look"
    )
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in tests:
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0
