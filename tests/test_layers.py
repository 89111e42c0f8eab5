"""Do imports go down the layers only, through public APIs, and do files stay small?"""

from __future__ import annotations

import ast
import functools
import pathlib
from collections.abc import Iterator

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "ntkseq"

# A room may import the rooms of the lines above its own, and itself. Rooms of one line do not import each other.
LAYERS = (
    ("references", "activations"),  # and every top-level file that begins with an underscore
    ("cells",),
    ("blocks",),
    ("models", "concepts", "data", "risks"),
    ("kernels",),
    ("empirical", "norms"),
    ("grams",),
    ("spectra",),
    ("predictors", "training"),
    ("bounds",),
    ("reports",),
    ("studies",),
    ("cli",),
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
INTEROP_MAY_IMPORT = LEVEL["kernels"]  # it stands above kernels and beside the rest
ESTIMATORS = "interop/sklearn"
ESTIMATORS_MAY_IMPORT = LEVEL["predictors"]  # they fit and predict; nothing of interop but their door imports them
MOST_LINES = 400

# Private or unstable parts of JAX -> the files that may use them.
FENCED = {
    "jax._src": ("interop/neural_tangents.py",),
    "jax.util": ("interop/neural_tangents.py",),
    "jax.core": ("interop/neural_tangents.py",),
    "jax.extend.core": ("interop/neural_tangents.py", "empirical/trace.py"),
}

# to threads, which do not see the setting of the thread that calls, and to what was made under another setting
HANDS_X64_ON = ("grams/host.py", "_precision.py")
# the rounding of a few entries, or a product in float64 of entries in any dtype, within one `with`
MEASURES_IN_X64 = (
    "empirical/rounding.py",
    "empirical/versions.py",
    "interop/foreign.py",
    "grams/sweep.py",
    "grams/mesh_products.py",
    "grams/auditing.py",
)

FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def test_the_page_on_architecture_and_its_picture_show_every_room():
    docs = PACKAGE.parent / "docs"
    page, picture = ((docs / name).read_text(encoding="utf-8") for name in ("architecture.md", "images/rooms.svg"))
    rooms = [room for rooms in LAYERS for room in rooms] + ["interop"]
    assert [room for room in rooms if f">{room}</text>" not in picture] == []
    assert [room for room in rooms if room != "cli" and f"`{room}`" not in page] == []


def room_of(file: str) -> str:
    """The room of a file, by its path below ntkseq/: 'kernels/base.py' -> 'kernels', '_checks.py' -> '_checks'."""
    return file.split("/")[0].removesuffix(".py")


def level_of(room: str) -> int | None:
    return 0 if room.startswith("_") else LEVEL.get(room)


@functools.cache
def parsed(source: str) -> ast.Module:
    """The tree of a file, which several tests walk."""
    return ast.parse(source)


@pytest.fixture(autouse=True, scope="module")
def no_trees_afterwards() -> Iterator[None]:
    """The trees of the whole package are not held for the tests of other files."""
    yield
    parsed.cache_clear()


def dotted(node: ast.AST) -> str:
    """`a.b.c` as it is written, `?.b.c` where a is more than a name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id if isinstance(node, ast.Name) else "?", *reversed(parts)])


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING:`, which Python never runs."""
    ahead = [tree]
    while ahead:
        for node in ast.iter_child_nodes(ahead.pop()):
            if isinstance(node, ast.If) and dotted(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
                yield from node.orelse
                ahead.extend(node.orelse)
            else:
                yield node
                ahead.append(node)


def imported(file: str, source: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything a file imports, at the top or inside a function, in absolute terms."""
    package = ["ntkseq", *file.split("/")[:-1]]
    for node in runtime_nodes(parsed(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif isinstance(node, ast.Call) and dotted(node.func).endswith(("import_module", "__import__")):
            yield from ((node.lineno, str(name.value)) for name in node.args[:1] if isinstance(name, ast.Constant))


def used(file: str, source: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything a file imports or spells out as a.b.c."""
    yield from imported(file, source)
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Attribute):
            yield node.lineno, dotted(node)


def upward_imports(file: str, source: str) -> list[str]:
    """The imports of a file that do not go down the layers."""
    room = room_of(file)
    if file in ("__init__.py", "__main__.py"):  # the public surface sees every room
        return []
    wrong = []
    for line, name in imported(file, source):
        parts = name.split(".")
        if parts[0] != "ntkseq":
            continue
        other = parts[1] if len(parts) > 1 else ""
        own, theirs = level_of(room), level_of(other)
        if room == "interop":
            estimator = file.startswith(ESTIMATORS)
            most = ESTIMATORS_MAY_IMPORT if estimator else INTEROP_MAY_IMPORT
            fine = other == "interop" or (theirs is not None and theirs <= most)
            if name.startswith("ntkseq.interop.sklearn") and not estimator:
                fine = file == "interop/__init__.py"
        elif theirs is None:  # ntkseq itself, a verb of it, interop, or a room nobody placed
            fine = False
        else:
            fine = other == room or theirs < own or own == theirs == 0
        if not fine:
            wrong.append(f"ntkseq/{file}:{line} imports {name}")
    return wrong


def imported_files(file: str, source: str) -> Iterator[str]:
    """The files of the package that a file imports, at the top or inside a function."""
    for _, name in imported(file, source):
        parts = name.split(".")
        if parts[0] != "ntkseq":
            continue
        for length in range(len(parts), 0, -1):
            stem = "/".join(parts[1:length])
            found = [path for path in (f"{stem}.py", f"{stem}/__init__.py".lstrip("/")) if path in FILES]
            if found:
                yield from (path for path in found[:1] if path != file)
                break


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """The groups of files that reach each other."""
    reached: dict[str, set[str]] = {}
    for start in arrows:
        seen: set[str] = set()
        ahead = list(arrows[start])
        while ahead:
            now = ahead.pop()
            if now not in seen:
                seen.add(now)
                ahead.extend(arrows.get(now, ()))
        reached[start] = seen
    groups = {frozenset([a, *(b for b in reached[a] if a in reached.get(b, ()))]) for a in arrows if a in reached[a]}
    return sorted(sorted(group) for group in groups)


def fenced_uses(file: str, source: str) -> list[str]:
    """The uses of private or unstable parts of JAX in a file that may not use them."""
    wrong = []
    for line, name in used(file, source):
        for fence, files in FENCED.items():
            inside = name == fence or name.startswith(fence + ".")
            if inside and file not in files:
                wrong.append(f"ntkseq/{file}:{line} uses {name}")
    return sorted(set(wrong))


def precision_switches(file: str, source: str) -> list[str]:
    """The places where a file sets the x64 switch of JAX; to read it is fine."""
    wrong = []
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Call) and dotted(node.func).endswith("enable_x64"):
            handed_on = file in HANDS_X64_ON and all(isinstance(given, ast.Name) for given in node.args)
            sets = not handed_on and file not in MEASURES_IN_X64
        elif isinstance(node, ast.Attribute):
            sets = node.attr == "jax_enable_x64" and not isinstance(node.ctx, ast.Load)
        else:
            sets = isinstance(node, ast.Constant) and node.value in ("jax_enable_x64", "JAX_ENABLE_X64")
        if sets:
            wrong.append(f"ntkseq/{file}:{node.lineno}")
    return wrong


def read(file: str) -> str:
    return (PACKAGE / file).read_text(encoding="utf-8")


def test_every_file_belongs_to_a_room_with_a_place_in_the_order():
    unplaced = {room_of(file) for file in FILES} - {"__init__", "__main__", "interop"}
    assert [room for room in sorted(unplaced) if level_of(room) is None] == []


@pytest.mark.slow
def test_imports_go_down_the_layers():
    assert [wrong for file in FILES for wrong in upward_imports(file, read(file))] == []


@pytest.mark.slow
def test_no_files_import_each_other_in_a_circle():
    assert circles({file: set(imported_files(file, read(file))) for file in FILES}) == []


@pytest.mark.slow
def test_only_public_parts_of_jax_are_used():
    assert [wrong for file in FILES for wrong in fenced_uses(file, read(file))] == []


@pytest.mark.slow
def test_nothing_switches_x64():
    assert [wrong for file in FILES for wrong in precision_switches(file, read(file))] == []


def test_files_stay_small():
    assert [file for file in FILES if len(read(file).splitlines()) > MOST_LINES] == []


@pytest.mark.slow
def test_every_file_says_what_it_is_for():
    assert [file for file in FILES if file != "__init__.py" and not ast.get_docstring(parsed(read(file)))] == []


@pytest.mark.parametrize(
    ("arrows", "wanted"),
    [
        ({"a.py": {"b.py"}, "b.py": {"c.py"}, "c.py": set()}, []),
        ({"a.py": {"b.py"}, "b.py": {"c.py"}, "c.py": {"b.py"}}, [["b.py", "c.py"]]),
        (
            {"a.py": {"b.py"}, "b.py": {"a.py"}, "c.py": {"d.py"}, "d.py": {"c.py"}},
            [["a.py", "b.py"], ["c.py", "d.py"]],
        ),
    ],
)
def test_the_check_finds_circles(arrows: dict[str, set[str]], wanted: list[list[str]]):
    assert circles(arrows) == wanted


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("from ntkseq.kernels import base", ["kernels/base.py"]),
        ("from ntkseq.kernels.base import Kernel", ["kernels/base.py"]),
        ("def f():\n    from ntkseq import kernels", ["kernels/__init__.py"]),
        ("import numpy", []),
    ],
)
def test_the_check_knows_which_file_is_imported(source: str, wanted: list[str]):
    assert sorted(imported_files("grams/base.py", source)) == wanted


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("kernels/base.py", "from ntkseq.grams import gram"),
        ("kernels/base.py", "from ..grams import gram"),
        ("kernels/base.py", "import ntkseq"),
        ("kernels/base.py", "from ntkseq import gram"),
        ("kernels/base.py", "def f():\n    from ntkseq import bounds"),
        ("kernels/base.py", "import importlib\nimportlib.import_module('ntkseq.spectra')"),
        ("kernels/base.py", "from ntkseq import interop"),
        ("models/dense.py", "from ntkseq.data import sequences"),
        ("training/track.py", "from ntkseq.predictors import ridge"),
        ("_checks.py", "from ntkseq import models"),
        ("interop/flax.py", "from ntkseq import grams"),
        ("interop/flax.py", "from ntkseq.interop import sklearn"),
        ("interop/sklearn.py", "from ntkseq import bounds"),
        ("cellar/wine.py", "from ntkseq import cellars"),
    ],
)
def test_the_check_finds_an_import_upwards_or_sideways(file: str, source: str):
    assert len(upward_imports(file, source)) == 1


@pytest.mark.parametrize(
    ("file", "source"),
    [
        (
            "grams/entries.py",
            "from ntkseq import _checks, kernels\nfrom .base import Gram\nfrom ntkseq.grams import tiles",
        ),
        ("activations.py", "from ntkseq import _checks"),
        ("kernels/recurrent.py", "def finite():\n    from ntkseq import models"),
        ("interop/sklearn.py", "from ntkseq import kernels"),
        ("interop/sklearn.py", "from ntkseq import predictors"),
        ("__init__.py", "from ntkseq import cli"),
        ("kernels/base.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ntkseq.grams import Gram"),
    ],
)
def test_the_check_passes_imports_downwards(file: str, source: str):
    assert upward_imports(file, source) == []


@pytest.mark.parametrize(
    ("file", "source", "uses"),
    [
        ("grams/entries.py", "from jax._src import core", 1),
        ("grams/entries.py", "import jax\nx = jax._src.core.Tracer", 3),
        ("grams/entries.py", "from jax import util", 1),
        ("grams/entries.py", "import jax\nx = jax.core.Tracer", 2),
        ("grams/entries.py", "from jax.extend import core", 1),
        ("_checks.py", "import jax\nx = jax.core.Tracer", 2),
        ("empirical/trace.py", "from jax.extend import core", 0),
        ("interop/neural_tangents.py", "import jax.core", 0),
    ],
)
def test_the_check_finds_private_parts_of_jax(file: str, source: str, uses: int):
    assert len(fenced_uses(file, source)) == uses


@pytest.mark.parametrize(
    "source",
    [
        "import jax\njax.config.update('jax_enable_x64', True)",
        "import jax\nwith jax.enable_x64(True):\n    pass",
        "from jax import enable_x64\nenable_x64(True)",
        "import jax\njax.config.jax_enable_x64 = True",
        "import os\nos.environ['JAX_ENABLE_X64'] = '1'",
    ],
)
def test_the_check_finds_the_x64_switch(source: str):
    assert len(precision_switches("grams/entries.py", source)) == 1


MOST_ANY = 0.04
"""The share of `Any` among the parameters of all functions."""


def any_share(sources: list[str]) -> float:
    """How many parameters say nothing but `Any`; names of `ntkseq._types` tell more."""
    said = [
        parameter.annotation is not None and ast.unparse(parameter.annotation) == "Any"
        for source in sources
        for node in ast.walk(parsed(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for parameter in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        if parameter.arg not in ("self", "cls")
    ]
    return sum(said) / len(said)


def returns_of(source: str, names: list[str]) -> Iterator[tuple[str, str]]:
    """(name, annotation) of what the named functions, and the public methods of the named classes, return."""
    for top in parsed(source).body:
        if isinstance(top, ast.FunctionDef) and top.name in names and top.returns is not None:
            yield top.name, ast.unparse(top.returns)
        elif isinstance(top, ast.ClassDef) and top.name in names:
            for node in top.body:
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node.returns is not None:
                    yield f"{top.name}.{node.name}", ast.unparse(node.returns)


def test_parameters_say_what_they_take():
    assert any_share([read(file) for file in FILES]) <= MOST_ANY


def test_public_functions_say_what_they_return():
    names = {name for room in FILES if room.count("/") == 1 and room.endswith("__init__.py") for name in exported(room)}
    assert [
        f"ntkseq/{file}: {name}"
        for file in FILES
        for name, returned in returns_of(read(file), sorted(names))
        if returned == "Any"
    ] == []


def exported(file: str) -> list[str]:
    """The names in `__all__` of a file."""
    for node in parsed(read(file)).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def test_the_counts_of_any_see_it():
    source = "class K:\n    def f(self, x: Any, y: int) -> Any: ...\n    def _g(self) -> Any: ...\ndef h() -> int: ..."
    assert any_share([source]) == 0.5
    assert list(returns_of(source, ["K", "h"])) == [("K.f", "Any"), ("h", "int")]
