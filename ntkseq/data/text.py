"""How does real text become sequences of characters? Text that an installed package ships, or a file of the user's."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from ntkseq import _checks
from ntkseq._types import ArrayLike

__all__ = ["decode", "descriptions", "encode", "one_hot_letters", "placed", "read", "windows"]

ALPHABET = " abcdefghijklmnopqrstuvwxyz0.,:;()'\"-/_#"
"""The characters that `encode` knows: "0" stands for every digit, the last one for all that is not here."""

SOURCE = "scikit-learn's descriptions of its data sets, sklearn/datasets/descr/*.rst"
LICENCE = "BSD 3-Clause"
MAX_BYTES = 4 * 2**20


def descriptions() -> dict[str, str]:
    """Some 40,000 characters of English that come with scikit-learn: what it says of its data sets, by file name.

    Source: sklearn/datasets/descr/*.rst of the scikit-learn that is installed; licence: BSD 3-Clause.

    Raises:
        ImportError: scikit-learn, which carries the texts, is not installed.

    Example:
        >>> texts = descriptions()
        >>> "iris.rst" in texts, min(map(len, texts.values())) > 500
        (True, True)
    """
    try:
        folder = resources.files("sklearn.datasets.descr")
    except ImportError as error:
        raise ImportError(
            "data.text.descriptions needs scikit-learn, which carries the texts and is not installed. "
            'Run: pip install "ntkseq[study]"'
        ) from error
    found = {one.name: one for one in folder.iterdir() if one.name.endswith(".rst")}
    return {name: found[name].read_text(encoding="utf-8") for name in sorted(found)}


def read(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> dict[str, str]:
    """One text file, UTF-8, as `descriptions` returns several.

    Args:
        path: of the file.
        max_bytes: how large it may be.

    Raises:
        OSError: it cannot be read.
        ValueError: no plain file, too large, or no UTF-8.
    """
    file = Path(_checks.path("path", path))
    max_bytes = _checks.positive_int("max_bytes", max_bytes)
    if file.exists() and not file.is_file():
        raise ValueError(f"path must name a text file; got {file}, which is none.")
    if (size := file.stat().st_size) > max_bytes:
        raise ValueError(f"path must name a text of at most {max_bytes:,} bytes; {file.name} has {size:,}. Cut it.")
    try:
        return {file.name: file.read_text(encoding="utf-8")}
    except UnicodeDecodeError as error:
        raise ValueError(f"{file.name} must be UTF-8 text; byte {error.start} is not. Convert it.") from None


def encode(text: str) -> Int[np.ndarray, " length"]:
    """Codes of the characters, places in `ALPHABET`: small letters, one space for each run of white space.

    Args:
        text: any string; a digit counts as 0, and what is not in `ALPHABET` as its last character.

    Raises:
        ValueError: no string.

    Example:
        >>> decode(encode("Iris,  in 1936!"))
        'iris, in 0000#'
    """
    if not isinstance(text, str):
        raise ValueError(f"text must be a string; got {_checks.shown(text)}.")
    code = {letter: i for i, letter in enumerate(ALPHABET)}
    plain = " ".join(text.lower().split())
    return np.array([code["0"] if c.isdigit() else code.get(c, len(ALPHABET) - 1) for c in plain], np.int32)


def decode(codes: ArrayLike) -> str:
    """The text of some codes, a sequence of integers.

    Args:
        codes: integers of any shape, read in order, each a place in `ALPHABET`.

    Raises:
        ValueError: no code, one outside the alphabet, numbers that are no integers.
    """
    return "".join(ALPHABET[code] for code in _codes(codes).ravel())


def _codes(codes: ArrayLike) -> Int[np.ndarray, "*n"]:
    """Codes, checked."""
    codes = _checks.host("codes", codes)
    if codes.dtype.kind not in "iu" or not codes.size or codes.min() < 0 or codes.max() >= len(ALPHABET):
        raise ValueError(
            f"codes must be integers in 0..{len(ALPHABET) - 1}, one per character; got {_checks.shown(codes)}. "
            "See encode(text)."
        )
    return codes


def windows(codes: Int[np.ndarray, " length"], t: int) -> tuple[Int[np.ndarray, "n t"], Int[np.ndarray, " n"]]:
    """Every stretch of t characters, with the character that follows it: length - t of them, which overlap.

    They are read-only views of the text, not copies.

    Args:
        codes: of a text, (length,) integers, see `encode`.
        t: characters of a window.

    Raises:
        ValueError: t below 1, or a text that is not longer than t.

    Example:
        >>> x, y = windows(encode("ananas"), 3)
        >>> for one, after in zip(x, y):
        ...     print(decode(one), decode([after]))
        ana n
        nan a
        ana s
    """
    t, codes = _checks.positive_int("t", t), _checks.host("codes", codes)
    if codes.ndim != 1 or codes.dtype.kind not in "iu":
        raise ValueError(f"codes must be integers, one per character; got {_checks.shown(codes)}. See encode(text).")
    if len(codes) <= t:
        raise ValueError(
            f"a window of t = {t} characters and the one behind it need a text of {t + 1}; got {len(codes)}. "
            "Take a longer text or a shorter window."
        )
    rows = np.lib.stride_tricks.sliding_window_view(codes, t + 1)
    return rows[:, :t], rows[:, t]


def one_hot_letters(codes: Int[np.ndarray, "*n"], *, positions: bool = False) -> Float[np.ndarray, "*n d"]:
    """Tokens of length 1: a unit vector per character; with positions, one for its place behind it, both over sqrt 2.

    Args:
        codes: (..., t).
        positions: adds t coordinates.

    Raises:
        ValueError: codes that are none of the alphabet.

    Example:
        >>> one_hot_letters(encode("a rose")).shape, one_hot_letters(encode("a rose"), positions=True).shape
        ((6, 40), (6, 46))
    """
    tokens = np.eye(len(ALPHABET), dtype=np.float32)[_codes(codes)]
    return placed(tokens) if _checks.flag("positions", positions) else tokens


def placed(tokens: Float[np.ndarray, "*n t d"]) -> Float[np.ndarray, "*n t e"]:
    """Tokens beside a unit vector for their place, e = d + t, both over sqrt 2: no token grows longer than before or 1.

    The network then knows the order of tokens without positions that are drawn.

    Args:
        tokens: floats, (..., t, d).

    Raises:
        ValueError: tokens of another rank, no floats, NaN or infinity.

    Example:
        >>> placed(one_hot_letters(encode("a rose"))).shape
        (6, 46)
    """
    tokens = _checks.host("tokens", tokens)
    if tokens.ndim < 2 or tokens.dtype.kind != "f":
        raise ValueError(f"tokens must be floats of shape (..., t, d); got {_checks.shown(tokens)}.")
    _checks.finite("tokens", tokens)
    t = tokens.shape[-2]
    places = np.broadcast_to(np.eye(t, dtype=tokens.dtype), (*tokens.shape[:-1], t))
    return np.concatenate([tokens, places], axis=-1) * np.asarray(0.5**0.5, tokens.dtype)
