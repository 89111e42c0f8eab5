"""The assumptions that several bounds make, each written once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntkseq._bound import Assumption

EPS = float(np.finfo(np.float64).eps)


def within(upper: float, spread: float, limit: float) -> str:
    """Whether a number in [upper (1 - spread), upper], >= 0, is at most a limit: "holds", "unresolved" or "fails"."""
    if upper <= limit:
        return "holds"
    return "fails" if upper * (1 - 2 * spread) > limit else "unresolved"


def independent(copies: int = 0) -> Assumption:
    """The assumption no data can show; `copies` of them repeat another example, input and label, number for number."""
    said = f"{copies} of the examples repeat another: drawn twice that is no harm, copied it is" if copies else ""
    words = "the n examples and the test examples are independent draws of one law"
    return Assumption("i.i.d.", words, "declared", said)


def independent_tasks(N: int) -> Assumption:
    """`independent` where an example is a task."""
    return Assumption(
        "i.i.d. tasks",
        f"the {N} tasks, each support with its queries, and the new task are independent draws of one law",
        "declared",
        "tasks cut out of one pool of examples share examples, and then are so only given that pool",
    )


def beforehand(chosen: str, tried: int) -> Assumption:
    """The assumption that nothing was chosen by these data, inputs or labels, or is counted."""
    listed = "one setting fixed" if tried == 1 else f"{tried} settings, which the bound counts, fixed"
    what = f"{chosen} were chosen without these data: {listed} beforehand"
    return Assumption(
        "fixed beforehand", what, "declared", "the least of several bounds needs a delta divided among them"
    )


def ceiling(
    diagonal: Float[np.ndarray, " n"], kappa: float, rounding: float, *, K: str = "K", inputs: str = "every input x"
) -> Assumption:
    """The assumption that kappa^2 is above K(x, x) of all inputs; `diagonal` has it for these, to its rounding."""
    largest = float(diagonal.max())
    return Assumption(
        "kappa",
        f"{K}(x, x) <= kappa^2, kappa = {kappa!r}, for {inputs}",
        _below(diagonal, np.asarray(kappa), rounding),
        f"largest on these data: {largest:.4g}",
    )


def ceiling_of_steps(diagonal: Float[np.ndarray, "n t"], kappa: Float[np.ndarray, " t"], rounding: float) -> Assumption:
    """`ceiling` with a kappa for every step."""
    return Assumption(
        "kappa",
        "K[t, t](x, x) <= kappa_t^2 for every input x and step t",
        _below(diagonal, kappa, rounding),
        f"largest ratio on these data: {float(np.max(diagonal.max(axis=0) / kappa**2)):.4g}",
    )


def _below(diagonal: Float[np.ndarray, "n ..."], kappa: Float[np.ndarray, "..."], rounding: float) -> str:
    return "fails" if (diagonal.max(axis=0) > kappa**2 * (1 + 2 * EPS) + rounding).any() else "declared"


def noiseless(where: str = "", status: str = "declared", evidence: str = "") -> Assumption:
    """The assumption that labels are those of the target; declared before any label is seen."""
    return Assumption("noiseless", f"labels are y = f(x), without noise{where}", status, evidence)


def like_these(shared: str) -> Assumption:
    """The assumption that what was read off these inputs holds for all: token norms, and what is `shared`."""
    return Assumption("all inputs", f"test inputs have the same token norms and {shared} as these", "declared")


def gaussian(status: str, evidence: str) -> Assumption:
    """The assumption on the law of the inputs of linear regression."""
    return Assumption("Gaussian inputs", "inputs are Gaussian", status, evidence)
