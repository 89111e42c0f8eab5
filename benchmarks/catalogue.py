"""Which cases are there, what does each measure, and how long does it take? Read from their files, without JAX."""

from __future__ import annotations

import ast
import dataclasses
import pathlib

FOLDER = pathlib.Path(__file__).parent / "cases"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A case.

    Attributes:
        name: of its file.
        question: the first line of its file.
        text: the rest of what the file says of itself.
        quick, full: seconds that it took on two idle cores.
        named_only: whether it runs only when it is named.
    """

    name: str
    question: str
    text: str
    quick: float
    full: float
    named_only: bool


def entries() -> dict[str, Entry]:
    """All cases by name."""
    return {path.stem: _entry(path) for path in sorted(FOLDER.glob("*.py")) if not path.name.startswith("_")}


def _entry(path: pathlib.Path) -> Entry:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    question, _, text = (ast.get_docstring(tree) or path.stem).partition("\n")
    said = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in ("SECONDS", "NAMED_ONLY")
    }  # fmt: skip
    quick, full = said.get("SECONDS", (0.0, 0.0))
    return Entry(path.stem, question, text.strip(), quick, full, said.get("NAMED_ONLY", False))
