"""Draw the pictures of the home page: a kernel matrix of two digits, its eigenvalues, and the error that they foretell.

python docs/images/home_pictures.py docs/images
"""

from __future__ import annotations

import pathlib
import sys

import jax
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import NullFormatter

import ntkseq
from ntkseq import data, kernels, predictors


def main(folder: str) -> None:
    """Write three pictures."""
    x, y = data.bundled.digits(classes=(3, 8))
    order = np.argsort(np.asarray(y), kind="stable")
    x, y = x[order], np.asarray(y)[order]
    kernel = kernels.Recurrent(sigma_w=1.4, sigma_u=1.0, sigma_b=0.1, read="mean")
    K = ntkseq.gram(kernel, x, progress=False)
    spectrum = ntkseq.spectrum(K)
    mixed = np.random.default_rng(0).permutation(len(y))
    curve = predictors.learning_curve(K.take(mixed), y[mixed], reg=1e-2, key=jax.random.key(0), draws=20)

    plt.rcParams.update({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False})
    sheets = {name: plt.subplots(figsize=(3.2, 3.0), layout="constrained") for name in ("kernel", "spectrum", "error")}
    axes = sheets["kernel"][1]
    axes.imshow(np.asarray(K), cmap="Blues")
    axes.set(title=f"kernel of {len(y)} images", ylabel="8             3", xticks=[], yticks=[])

    axes, index = sheets["spectrum"][1], np.arange(1, len(y) + 1)
    axes.errorbar(index, spectrum.values, yerr=spectrum.errors, fmt=".", color="tab:blue", markersize=4)
    least = spectrum.min_eigenvalue
    axes.text(1, least.estimate, f"least: {least.estimate:.3g}\nin [{least.lower:.3g}, {least.upper:.3g}]")
    axes.set(title="eigenvalues", xscale="log", yscale="log", xlabel="index")

    axes = sheets["error"][1]
    axes.plot(curve.sizes, curve.squared.predicted, color="tab:orange", label="predicted")
    axes.plot(curve.sizes, curve.squared.measured, "o", color="tab:blue", label="measured")
    axes.set(title="squared error", xscale="log", yscale="log", xlabel="examples")
    axes.set_yticks([0.1, 0.2, 0.3], ["0.1", "0.2", "0.3"], minor=False)
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False)
    for name, (figure, _) in sheets.items():
        figure.savefig(pathlib.Path(folder, f"home-{name}.webp"), dpi=200)
        plt.close(figure)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
