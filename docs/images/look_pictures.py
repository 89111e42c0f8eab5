"""Draw the pictures of the page on how to look at objects: a kernel matrix, its eigenvalues, one bound, all bounds.

python docs/images/look_pictures.py docs/images
"""

from __future__ import annotations

import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import ntkseq
from ntkseq import bounds, data, kernels


def main(folder: str) -> None:
    """Write four pictures, 600 pixels wide."""
    x, y = data.bundled.digits(classes=(3, 8))
    y = np.asarray(y)
    K = ntkseq.gram(kernels.Recurrent(sigma_w=1.4, read="mean"), x, progress=False)
    drawn = {
        "gram": K.plot(y=np.where(y < 0, "3", "8"), correlations=True),
        "spectrum": ntkseq.spectrum(K).plot(reg=0.1),
        "bound": bounds.rademacher(K, y, reg=0.1).plot(),
        "table": bounds.table(K, y, reg=0.1).plot(),
    }
    for name, ax in drawn.items():
        ax.figure.savefig(pathlib.Path(folder, f"look-{name}.webp"), dpi=100)
        plt.close(ax.figure)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
