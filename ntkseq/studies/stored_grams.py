"""What is the spectrum of a Gram matrix that lies in a file?"""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ntkseq import _checks, _display, grams
from ntkseq._types import GramLike
from ntkseq.data import npz
from ntkseq.grams import DenseGram, StoredGram, as_gram
from ntkseq.grams.protocol import IMPLICIT
from ntkseq.grams.sampling import Sampling
from ntkseq.reports.files import FLAGS
from ntkseq.reports.record import interval_record
from ntkseq.spectra import Spectrum, positive_definite, spectrum
from ntkseq.spectra.ranks import Dimension
from ntkseq.studies.records import check_fields


@dataclasses.dataclass(frozen=True)
class Matrix:
    """A Gram matrix in a file, or in the folder of a stored one."""

    file: str
    """A file with a symmetric matrix, or the folder of a stored one."""
    array: str = "K"
    """Name of the matrix in an .npz."""
    rounding: float | None = None
    """Upper estimate of |stored - exact| in spectral norm. None: the array "rounding" of the file, else that each entry
    was rounded once. Where the file says that K is sampled, or its rounding an estimate, nothing is proven by it."""


@dataclasses.dataclass(frozen=True)
class Stored(Matrix):
    """The spectrum of a stored Gram matrix: each number with its error, and whether it is certainly positive definite.

    FILE is an .npz, such as the arrays.npz of a study, an .npy, or the folder that ntkseq gram filled.

    Raises:
        ValueError: an option of another type, a negative number.
    """

    method: Literal["auto", "dense", "matrix-free"] = "auto"
    """auto: all eigenvalues up to n = 4096, both ends and a density beyond."""
    ridge: float | None = None
    """Print the effective dimension tr K (K + ridge)^-1 as well."""

    __repr__ = _display.record

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("rounding", "ridge"):
            if getattr(self, name) is not None:
                _checks.nonnegative(name, getattr(self, name))


def stored(asked: Stored, *, say: Callable[[str], Any] | None = None) -> list[str]:
    """The lines to print.

    Args:
        asked: what is asked.
        say: called with a line on the matrix before anything is computed.

    Raises:
        ValueError: no such array, no symmetric matrix, not finite.
        OSError: the file cannot be read.
    """
    return _lines(*_spectrum(asked, say))


def stored_record(asked: Stored, *, say: Callable[[str], Any] | None = None) -> dict[str, Any]:
    """What `stored` prints, by name; an interval by its ends."""
    found, certain, dimension = _spectrum(asked, say)
    made: dict[str, Any] = {"file": asked.file, "n": found.n}
    for name in ("min_eigenvalue", "max_eigenvalue", "condition"):
        made[name] = interval_record(getattr(found, name))
    ranks = {name: found.effective_rank_interval(name) for name in ("entropy", "stable", "participation")}
    made["effective_rank"] = {name: interval_record(value) for name, value in ranks.items()}
    if dimension is not None:
        made["effective_dimension"] = interval_record(dimension[1]) | {"ridge": dimension[0]}
    return made | ({} if certain is None else {"positive_definite": certain})


def _spectrum(asked: Stored, say: Callable[[str], Any] | None) -> tuple[Spectrum, str | None, Any]:
    """The spectrum, whether K is positive definite where a proof is not too much, and the effective dimension."""
    _checks.kind("asked", asked, Stored)
    K, words = matrix_of(asked, say)
    found = spectrum(K, vectors=False, method=asked.method)
    small = K.shape[0] ** 2 * K.dtype.itemsize <= IMPLICIT if isinstance(K, StoredGram) else K.shape[0] <= 20_000
    certain = _certain(K, words) if small else None
    ridge = asked.ridge
    return found, certain, None if ridge is None else (ridge, found.effective_rank_interval(Dimension(ridge)))


def matrix_of(asked: Matrix, say: Callable[[str], Any] | None) -> tuple[Any, str]:
    """The Gram matrix, and what a proof by it takes for granted, in words.

    Raises:
        ValueError: no such array, no symmetric matrix, a store that is not finished.
        OSError: the file cannot be read.
    """
    if pathlib.Path(asked.file).is_dir():
        return _opened(asked, say), ""
    matrix, rounding, known = _read(asked)
    if say is not None:
        size = " x ".join(map(str, matrix.shape)) or "one number"
        bad = int((~np.isfinite(matrix)).sum()) if matrix.dtype.kind in "fc" else 0
        told = "each entry rounded once" if rounding is None else f"rounding {rounding:.3g}"
        name = "" if pathlib.Path(asked.file).suffix == ".npy" else f", array {asked.array!r}"
        say(f"{asked.file}{name}: {size}, {matrix.dtype}, {told}, {bad or 'no'} missing or infinite values")
    if rounding is None:
        return matrix, ", if each entry was rounded once"
    return DenseGram(matrix, rounding=rounding, **known), ""


def _opened(asked: Matrix, say: Callable[[str], Any] | None) -> StoredGram:
    """The stored Gram in a folder, finished."""
    for name, usual in (("array", "K"), ("rounding", None)):
        if getattr(asked, name) != usual:
            raise ValueError(
                f"{name} is for files; got the folder of a stored Gram matrix, {asked.file}. Leave it out."
            )
    K = grams.open(asked.file)
    if lacking := len(K.missing):
        raise ValueError(
            f"{asked.file} is not finished: {lacking} of {len(K.chunks.layout.chunks)} chunks are missing. ntkseq "
            f"status {asked.file} says how far it is; the command that began it goes on."
        )
    if say is not None:
        say(f"{asked.file}: {K.shape[0]} x {K.shape[1]}, {K.dtype}, rounding {float(K.rounding):.3g}, stored in chunks")
    return K


def _lines(found: Spectrum, certain: str | None, dimension: Any) -> list[str]:
    lines = str(found).splitlines()
    if certain is not None:
        lines.append(f"  {'positive definite':<17} {certain}")
    if dimension is not None:
        ridge, value = dimension
        lines.append(f"  {'eff. dimension':<17} {value} at {ridge:g}")
    return lines


def _certain(K: GramLike, condition: str) -> str:
    """Whether K is proven to be positive definite, and what a proof would lack."""
    if not positive_definite(K):
        return "not proven"
    K = as_gram(K)
    if K.sampling is not None:
        return "not proven: K is a Monte Carlo estimate"
    if K.estimated:
        return f"not proven: its rounding is an estimate, {K.estimated}"
    if not K.stated:
        return "not proven: the rounding of K is unchecked"
    return f"yes, by a Cholesky factorisation{condition}"


def _read(asked: Matrix) -> tuple[np.ndarray, float | None, dict[str, Any]]:
    """The matrix, its rounding if known, and what the file says of that."""
    path = pathlib.Path(asked.file)
    if not path.exists():
        raise ValueError(f"{asked.file}: no such file.")
    if path.suffix == ".npy":
        try:
            return np.load(path, allow_pickle=False), asked.rounding, {}
        except ValueError as error:
            raise ValueError(f"{asked.file} is no array of numbers: {error}") from None
    names = npz.names(path)
    if asked.array not in names:
        raise ValueError(
            f"{asked.file} holds no array {asked.array!r}; it holds {', '.join(names)}. Pass --array NAME."
        )
    several = re.fullmatch(r"K(_\d+|)", asked.array)  # a comparison holds K_0, K_1, ..., each with its own
    end = None if several is None else several[1]
    wanted = [] if end is None else [name + end for name in ("rounding", *FLAGS) if name + end in names]
    held = {name.removesuffix(end or ""): a for name, a in npz.arrays(path, [asked.array, *wanted]).items()}
    matrix = held["K" if end is not None else asked.array]
    rounding, known = asked.rounding, {}
    if rounding is None and "rounding" in held:
        rounding = float(held["rounding"])
        known["stated"] = all(name in held for name in FLAGS) and bool(held["rounding_stated"])
    known["estimated"] = str(held.get("rounding_estimated", ""))
    known["sampling"] = Sampling(why="a file holds no batches") if bool(held.get("sampled", False)) else None
    return matrix, rounding, known
