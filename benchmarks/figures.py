"""`python -m benchmarks.figures [NAME ...]`: draw the pictures of the documentation, or those named."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jax
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import ntkseq
from benchmarks.peers import textbook_recurrent
from ntkseq import bounds, data, kernels
from ntkseq._plots import grid

FOLDER = Path(__file__).parents[1] / "docs" / "images"
SCALES = {"sigma_w": 2**0.5, "sigma_u": 0.5, "sigma_b": 0.1}


def least_eigenvalue() -> Path:
    """The lower end of the spectrum of 256 sequences with eight near-duplicates: textbook, chords, float64."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((256, 64, 1)).astype(np.float32)
    for copy, size in zip(range(1, 17, 2), np.geomspace(1e-1, 1e-5, 8), strict=True):
        x[copy] = x[copy - 1] + size * rng.standard_normal((64, 1))
    kernel = kernels.Recurrent(**SCALES)
    ours = ntkseq.spectrum(ntkseq.gram(kernel, x))
    with jax.enable_x64(True):
        truth = ntkseq.spectrum(ntkseq.gram(kernel, x.astype(np.float64)))
    textbook = np.linalg.eigvalsh(np.asarray(textbook_recurrent(x, **SCALES), np.float64))[::-1]
    last = 12
    index = np.arange(256 - last, 256) + 1
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(index, np.abs(textbook[-last:]), "x", color="tab:red", label="textbook recursion, float32")
    axes.errorbar(
        index, ours.values[-last:], ours.errors[-last:], fmt="o", mfc="none", color="tab:blue", capsize=3,
        label="ntkseq, float32, with its stated error",
    )  # fmt: skip
    axes.plot(index, truth.values[-last:], "_", color="black", ms=14, label="float64")
    axes.set(
        xlabel="index",
        ylabel="eigenvalue",
        title="The twelve least eigenvalues of 256 sequences, eight of them copied nearly",
    )
    axes.set_yscale("log")
    axes.legend()
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / "least-eigenvalue.png"
    figure.savefig(path, dpi=110)
    print(
        f"{path.name}: least {textbook[-1]:.5g} (textbook), {ours.min_eigenvalue} (ours), "
        f"{truth.min_eigenvalue} (float64)"
    )
    return path


LINES = {
    "free": ("s--", "tab:orange", "certified, prior without data"),
    "learned": ("o--", "tab:purple", "certified, prior learned on a part"),
    "best": ("D-", "tab:blue", "certified, the least of the search"),
    "tested": ("x:", "tab:green", "error on the share that was tested"),
    "test": (".-", "black", "error on held-out examples"),
}


def certified_bounds() -> Path:
    """What is proved and what is true against the number of examples: two digits, and all ten."""
    x, y = data.bundled.digits(classes=(3, 8))
    two = measured(x, np.asarray(y), 100, (30, 60, 120, 257), "zero-one")
    x, codes = data.bundled.digits()
    ten = measured(x, np.eye(10)[np.asarray(codes)], 297, (60, 150, 400, 1000), "argmax")
    figure = drawn({"digits, 3 against 8": two, "digits, ten classes": ten})
    path = FOLDER / "certified-bounds.svg"
    with matplotlib.rc_context({"svg.hashsalt": "ntkseq"}):
        figure.savefig(path, metadata={"Date": None, "Creator": None})
    return path


def measured(x: Any, y: np.ndarray, held: int, sizes: tuple[int, ...], loss: str) -> dict[str, list[float]]:
    """By name of a curve its values at `sizes`, which stand there too: the first `held` examples are for the test."""
    kernel = kernels.Recurrent(sigma_w=1.4, sigma_u=1.0, sigma_b=0.1, read="mean")
    most = held + max(sizes)
    K = ntkseq.gram(kernel, x[held:most])
    cross = np.asarray(ntkseq.gram(kernel, x[:held], x[held:most]).dense(), np.float64)
    curves: dict[str, list[float]] = {name: [] for name in LINES} | {"n": list(map(float, sizes))}
    for n in sizes:
        found = bounds.Search(loss=loss).bounds(K.take(slice(0, n)), y[held : held + n])
        assert all(one.certified for one in found)
        values = [(one.constants, float(one.value or 1.0)) for one in found]
        curves["free"].append(min(value for known, value in values if not known.seen))
        curves["learned"].append(min(value for known, value in values if known.seen and known.scale > 0))
        curves["best"].append(values[0][1])
        curves["tested"].append(next(known.loss for known, _ in values if known.scale == 0))
        curves["test"].append(wrong(found[0].constants.predictor.mean(cross[:, :n]), y[:held]))
    largest = max(np.mean(y > 0), np.mean(y < 0)) if y.ndim == 1 else y.mean(axis=0).max()
    curves["always"] = [1.0 - float(largest)]
    print({name: np.round(values, 4).tolist() for name, values in curves.items()})
    return curves


def drawn(panels: dict[str, dict[str, list[float]]]) -> Any:
    """A panel for each set."""
    figure, axes = plt.subplots(1, len(panels), figsize=(8.6, 3.9), layout="constrained", sharey=True)
    for ax, (title, curves) in zip(axes, panels.items(), strict=True):
        sizes, (share,) = curves["n"], curves["always"]
        for name, (style, colour, label) in LINES.items():
            ax.plot(sizes, curves[name], style, color=colour, label=label, ms=5, lw=1.4)
        ax.axhline(share, color="grey", lw=0.8)
        ax.annotate("always the largest class", (sizes[-1], share), (0, -10), textcoords="offset points", fontsize=8,
                    color="grey", ha="right")  # fmt: skip
        ax.set(xlabel="n, examples", title=title, xscale="log", ylim=(-0.02, 1.02))
        ax.set_xticks(sizes, [f"{size:g}" for size in sizes])
        ax.minorticks_off()
        grid(ax)
    axes[0].set_ylabel("probability of an error")
    axes[0].legend(fontsize=8, loc="upper right")
    return figure


def wrong(scores: np.ndarray, y: np.ndarray) -> float:
    """The share of examples that the sign, or the largest, of the scores gets wrong."""
    if y.ndim == 1:
        return float(np.mean(np.sign(scores) != y))
    return float(np.mean(np.argmax(scores, axis=1) != np.argmax(y, axis=1)))


DRAWN = {"least-eigenvalue": least_eigenvalue, "certified-bounds": certified_bounds}

if __name__ == "__main__":
    for name in sys.argv[1:] or DRAWN:
        DRAWN[name]()
