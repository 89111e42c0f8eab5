"""What is the spectrum of a Gram matrix that lies in a file?"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ntkseq.data import npz
from ntkseq.grams import Dense
from ntkseq.spectra import positive_definite, spectrum


@dataclasses.dataclass(frozen=True)
class Stored:
    """The spectrum of a stored Gram matrix: each number with its error, and whether it is certainly positive definite.

    FILE is an .npz, such as the kernel.npz of a study, or an .npy.
    """

    file: str
    """A file with a symmetric matrix."""
    array: str = "K"
    """Name of the matrix in an .npz."""
    rounding: float | None = None
    """Upper estimate of |stored - exact| in spectral norm. None: the array "rounding" of the file, else that each entry
    was rounded once."""
    method: Literal["auto", "dense", "matrix-free"] = "auto"
    """auto: all eigenvalues up to n = 4096, both ends and a density beyond."""
    ridge: float | None = None
    """Print the effective dimension tr K (K + ridge)^-1 as well."""


def stored(asked: Stored, *, say: Callable[[str], Any] | None = None) -> list[str]:
    """The lines to print.

    Args:
        asked: what is asked.
        say: called with a line on the matrix before anything is computed.

    Raises:
        ValueError: no such array, no symmetric matrix, not finite.
        OSError: the file cannot be read.
    """
    matrix, rounding = _read(asked)
    if say is not None:
        size = " x ".join(map(str, matrix.shape)) or "one number"
        bad = int((~np.isfinite(matrix)).sum()) if matrix.dtype.kind in "fc" else 0
        told = "each entry rounded once" if rounding is None else f"rounding {rounding:.3g}"
        name = "" if pathlib.Path(asked.file).suffix == ".npy" else f", array {asked.array!r}"
        say(f"{asked.file}{name}: {size}, {matrix.dtype}, {told}, {bad or 'no'} missing or infinite values")
    K: Any = matrix if rounding is None else Dense(matrix, rounding=rounding)  # pyright: ignore[reportArgumentType]
    found = spectrum(K, vectors=False, method=asked.method)
    lines = str(found).splitlines()
    if matrix.shape[0] <= 20_000:
        certain = "yes, by a Cholesky factorisation" if positive_definite(K) else "not proven"
        lines.append(f"  {'positive definite':<17} {certain}")
    if asked.ridge is not None:
        lines.append(f"  {'eff. dimension':<17} {found.effective_rank_interval(ridge=asked.ridge)} at {asked.ridge:g}")
    return lines


def _read(asked: Stored) -> tuple[np.ndarray, float | None]:
    path = pathlib.Path(asked.file)
    if not path.exists():
        raise ValueError(f"{asked.file}: no such file.")
    if path.suffix == ".npy":
        try:
            return np.load(path, allow_pickle=False), asked.rounding
        except ValueError as error:
            raise ValueError(f"{asked.file} is no array of numbers: {error}") from None
    names = npz.names(path)
    if asked.array not in names:
        raise ValueError(
            f"{asked.file} holds no array {asked.array!r}; it holds {', '.join(names)}. Pass --array NAME."
        )
    wanted = [asked.array, *(["rounding"] if "rounding" in names and asked.array == "K" else [])]
    held = npz.arrays(path, wanted)
    rounding = asked.rounding
    if rounding is None and "rounding" in held:
        rounding = float(held["rounding"])
    return held[asked.array], rounding
