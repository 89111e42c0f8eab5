"""Does an error in somebody's own kernel come through as it is, with a line that says where and for what?"""

from __future__ import annotations

import traceback
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import kernels
from ntkseq._struct import static, struct

X = np.ones((5, 3), np.float32)


class Lost(RuntimeError):
    """An error that this library does not know."""


@struct
class Own(kernels.Kernel):
    """A kernel that fails at one place."""

    scale: Any = 1.0
    fails: int = static(default=0)

    def prepare(self, x: Any, lengths: Any = None) -> Any:
        if self.fails == 1:
            raise Lost("no such table")
        return jnp.asarray(x)

    def tile(self, left: Any, right: Any) -> Any:
        if self.fails == 2:
            raise Lost("no such row")
        return left @ right.T


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        (1, "raised by Own.prepare, called by gram for x of shape (5, 3)"),
        (2, "raised by Own.diag_side, called by gram"),
    ],
)
@pytest.mark.parametrize(
    "around", [lambda own: own, lambda own: 2.0 * (own + kernels.Dense())], ids=["alone", "in a sum"]
)
def test_an_error_of_somebodys_own_kernel_comes_through_with_a_line_beside_it(
    fails: int, said: str, around: Any
) -> None:
    with pytest.raises(Lost, match="no such") as caught:
        ntkseq.gram(around(Own(fails=fails)), X)
    (note,) = (note for note in caught.value.__notes__ if note.startswith("raised by"))  # JAX has notes of its own
    assert said in note and "\n" not in note
    lines = "".join(traceback.format_exception(caught.value))
    assert f'raise Lost("no such {("table", "row")[fails - 1]}")' in lines


def test_an_error_of_a_kernel_of_this_library_has_no_such_line() -> None:
    with pytest.raises(ValueError, match="must be finite") as caught:
        ntkseq.gram(kernels.Dense(), X * np.nan)
    assert not hasattr(caught.value, "__notes__")


def test_a_functions_own_error_is_seen_below_what_is_said_of_its_kernel() -> None:
    def f(params: Any, x: Any) -> Any:
        return params @ missing_name  # noqa: F821  # pyright: ignore[reportUndefinedVariable]

    with pytest.raises(NameError, match="missing_name") as caught:
        ntkseq.gram(ntkseq.empirical.NTK(f, jnp.ones((1, 3))), X)
    lines = "".join(traceback.format_exception(caught.value))
    assert "return params @ missing_name" in lines
    with pytest.raises(ValueError, match="failed for one example of shape") as caught:
        ntkseq.gram(ntkseq.empirical.NTK(lambda p, x: p @ x[:2], jnp.ones((1, 3))), X)
    assert "lambda p, x: p @ x[:2]" in "".join(traceback.format_exception(caught.value))
    assert jax.tree.leaves(caught.value.args) != []
