"""Does every assumption stand in one place, and is it left open where rounding decides?"""

from __future__ import annotations

import ast
import pathlib
from collections import Counter

import numpy as np
import pytest

import ntkseq
from ntkseq._bound import worst
from ntkseq.bounds.assumptions import ceiling, ceiling_of_steps, within

PACKAGE = pathlib.Path(ntkseq.__file__).parent


@pytest.mark.parametrize(
    ("upper", "status"), [(0.9, "holds"), (1.0, "holds"), (1 + 2.0**-52, "unresolved"), (1 + 1e-9, "fails")]
)
def test_within_the_rounding_nothing_holds_and_nothing_fails(upper: float, status: str):
    assert within(upper, 1e-15, 1.0) == status


def test_the_worst_status_counts():
    assert worst(["holds", "unresolved", "declared"]) == "unresolved" and worst([]) == "holds"


def test_a_ceiling_below_a_diagonal_entry_fails_and_one_within_rounding_does_not():
    diagonal = np.array([0.5, 1.0])
    assert ceiling(diagonal, 1.0, 0.0).status == ceiling(diagonal, 0.9995, 1e-2).status == "declared"
    assert ceiling(diagonal, 0.9995, 0.0).status == "fails"
    steps = np.array([[0.5, 4.0], [1.0, 1.0]])
    assert ceiling_of_steps(steps, np.array([1.0, 2.0]), 0.0).status == "declared"
    low = ceiling_of_steps(steps, np.array([1.0, 1.0]), 0.0)
    assert low.status == "fails" and low.evidence == "largest ratio on these data: 4"


def _sentences() -> Counter[str]:
    """What the calls of Assumption in bounds and norms state, as written."""
    found: Counter[str] = Counter()
    for path in [*PACKAGE.glob("bounds/*.py"), *PACKAGE.glob("norms/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Assumption":
                statement = node.args[1] if len(node.args) > 1 else node
                if not isinstance(statement, ast.Name):
                    found[ast.unparse(statement)] += 1
    return found


def test_no_assumption_is_written_twice():
    found = _sentences()
    assert len(found) > 20 and [sentence for sentence, times in found.items() if times > 1] == []
