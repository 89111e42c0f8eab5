"""`python -m benchmarks.figures`: draw the pictures of the documentation."""

from __future__ import annotations

from pathlib import Path

import jax
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import ntkseq
from benchmarks.peers import textbook_recurrent
from ntkseq import kernels

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


if __name__ == "__main__":
    least_eigenvalue()
