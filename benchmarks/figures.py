"""`python -m benchmarks.figures [NAME ...]`: draw the pictures of the documentation, or those named."""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import ntkseq
from benchmarks.peers import textbook_recurrent
from ntkseq import bounds, data, kernels

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


def certified_bounds() -> Path:
    """What is proved and what is true against the number of examples: two digits, and all ten."""
    kernel = kernels.Recurrent(sigma_w=1.4, sigma_u=1.0, sigma_b=0.1, read="mean")
    x, y = data.bundled.digits(classes=(3, 8))
    pair = (x, np.asarray(y), 100, (30, 60, 120, 257), "zero-one", "digits, 3 against 8")
    x, y = data.bundled.digits()
    ten = (x, np.eye(10)[np.asarray(y)], 297, (60, 150, 400, 1000), "argmax", "digits, ten classes")
    figure, panels = plt.subplots(1, 2, figsize=(8.6, 3.9), layout="constrained", sharey=True)
    for axes, (x, y, held, sizes, loss, title) in zip(panels, (pair, ten), strict=True):
        n = max(sizes)
        K = ntkseq.gram(kernel, x[held : held + n])
        cross = np.asarray(ntkseq.gram(kernel, x[:held], x[held : held + n]).dense(), np.float64)
        curves: dict[str, list[float]] = {name: [] for name in ("free", "learned", "best", "tested", "test")}
        for size in sizes:
            part = K.take(slice(0, size))
            free = bounds.Search(loss=loss).priors[0]
            found = bounds.Search(loss=loss).bounds(part, y[held : held + size])
            assert all(one.certified for one in found)
            values = {(one.constants.seen, one.constants.scale): one for one in found}
            curves["free"].append(values[0, free.scale].value)
            curves["learned"].append(min(v.value for (_, scale), v in values.items() if scale > 0))
            curves["best"].append(found[0].value)
            (tested,) = (v for (seen, scale), v in values.items() if scale == 0)
            curves["tested"].append(tested.constants.loss)
            curves["test"].append(wrong(found[0].constants.predictor.mean(cross[:, :size]), y[:held]))
        for name, style, label in (
            ("free", "s--", "certified, prior without data"),
            ("learned", "o--", "certified, prior learned on a part"),
            ("best", "D-", "certified, the least of the search"),
            ("tested", "x:", "error on the share that was tested"),
            ("test", "k.-", "error on held-out examples"),
        ):
            axes.plot(sizes, curves[name], style, label=label)
        share = 1 - (np.bincount((y > 0).astype(int)) if y.ndim == 1 else y.sum(0)).max() / len(y)
        axes.axhline(share, color="grey", lw=0.8)
        axes.annotate("always the largest class", (sizes[0], share), (0, 3), textcoords="offset points", fontsize=8)
        axes.set(xlabel="n, examples", title=title, xscale="log", ylim=(-0.02, 1.02))
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.grid(alpha=0.25, lw=0.5)
        print(title, sizes, {name: np.round(values, 4).tolist() for name, values in curves.items()})
    panels[0].set_ylabel("probability of an error")
    panels[0].legend(fontsize=8)
    path = FOLDER / "certified-bounds.svg"
    with matplotlib.rc_context({"svg.hashsalt": "ntkseq"}):
        figure.savefig(path, metadata={"Date": None, "Creator": None})
    return path


def wrong(scores: np.ndarray, y: np.ndarray) -> float:
    """The share of examples that the sign, or the largest, of the scores gets wrong."""
    if y.ndim == 1:
        return float(np.mean(np.sign(scores) != y))
    return float(np.mean(np.argmax(scores, axis=1) != np.argmax(y, axis=1)))


DRAWN = {"least-eigenvalue": least_eigenvalue, "certified-bounds": certified_bounds}

if __name__ == "__main__":
    for name in sys.argv[1:] or DRAWN:
        DRAWN[name]()
