"""How is an npz file read that nobody vouches for?

No pickle is ever loaded, no file name in the archive is ever used as a path, and what an array's header promises is
compared with what the archive holds before any memory is taken.
"""

from __future__ import annotations

import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ntkseq.data.splits import MAX_BYTES, Found, check_size, joined, shown, split

# What zipfile and its decompressors raise on hostile bytes; all of it means the same to the caller.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,  # encrypted; NotImplementedError (a strange compression) is one too
    ValueError,
    LookupError,
    OverflowError,
)

_PIECE = 2**18  # bytes


def arrays(
    path: str | os.PathLike[str], names: Iterable[str] | None = None, *, max_bytes: int = MAX_BYTES
) -> dict[str, np.ndarray]:
    """The named arrays of an npz file, read with suspicion; for what `load` leaves aside, such as folds.

    Args:
        path: the file.
        names: which arrays; None reads all.
        max_bytes: the most that the named arrays may declare to take together.

    Returns:
        Name -> host array of numbers or text.

    Raises:
        ValueError: not an npz file, truncated, damaged, encrypted, forged, too large, pickled, or a name is not there.
    """
    where = str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive)
            wanted = list(members) if names is None else list(names)
            missing = [name for name in wanted if name not in members]
            if missing:
                raise _Refused(f"no array {shown(missing[0])}; it holds {_listed(members)}.")
            return _read(archive, {name: members[name] for name in wanted}, where, max_bytes)
    except _Refused as error:
        raise ValueError(f"{where}: {error}") from None
    except (FileNotFoundError, PermissionError, IsADirectoryError, _TooLarge):
        raise
    except _DAMAGE as error:
        raise ValueError(
            f"{where}: not a whole npz file ({type(error).__name__}: {shown(str(error))}). "
            "Wanted what numpy.savez writes; copy or save it again."
        ) from error


def read(path: str | os.PathLike[str], *, layout: str = "auto", max_bytes: int = MAX_BYTES) -> Found:
    """The splits of an npz file, by the names of its arrays; `files.load` describes the layouts.

    Three vocabularies: `x`, `y`, and if present `lengths`, `x_test`, `y_test`, `lengths_test`, in capitals or not; the
    same with `x_train`, `y_train`, `lengths_train` (or `len_train`, `len_test`); or, as UCR collections are stored,
    `NAME_TRAIN`, `y_TRAIN`, `NAME_TEST`, `y_TEST`, and if present `len_TRAIN`, `len_TEST`.
    """
    where = str(path)
    present = names(path)
    name, keys = _vocabulary(present, Path(path).stem, where)
    found = arrays(path, [key for key in keys if key in present], max_bytes=max_bytes)
    for x_key, y_key, _ in (keys[:3], keys[3:]):
        if x_key in found and y_key not in found:
            raise ValueError(f"{where}: {x_key} comes without its labels {y_key}; it holds {_listed(present)}.")
        if y_key in found and x_key not in found:
            raise ValueError(f"{where}: {y_key} comes without its sequences {x_key}; it holds {_listed(present)}.")
    said = one_step_or_wide(found[keys[0]].shape, keys[0], layout, where)
    axes = "(n, channels, time)" if layout == "nct" else "(n, t)" if found[keys[0]].ndim == 2 else "(n, t, d)"
    origin = f"array {keys[0]} of shape {found[keys[0]].shape} read as {axes}, labels {keys[1]}"
    aside = [key for key in present if key.lower() in _ASIDE]
    origin += f"; {', '.join(aside)} left aside" if aside else ""
    train = split(found[keys[0]], found[keys[1]], found.get(keys[2]), where, keys[0], layout)
    if keys[3] not in found:
        return Found(name, train, origin=origin, said=said)
    test = split(found[keys[3]], found[keys[4]], found.get(keys[5]), where, keys[3], layout)
    return Found(name, *joined(train, test, where), origin=origin, said=said)


def names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The names of the arrays in an npz file; reads none of them."""
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(_members(archive))
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except _DAMAGE as error:
        raise ValueError(
            f"{path}: not an npz file ({type(error).__name__}: {shown(str(error))}). "
            "Wanted what numpy.savez writes; copy or save it again."
        ) from error


def one_step_or_wide(shape: tuple[int, ...], key: str, layout: str, where: str) -> tuple[str, ...]:
    """What must be said of (n, t, d) that looks like (n, channels, time); one step of many features is refused."""
    if layout != "auto" or len(shape) != 3 or shape[2] < 2 * shape[1]:
        return ()
    _, t, d = shape
    ways = "If it is (n, channels, time), as aeon stores it, pass layout='nct'; if it is right, layout='ntd'."
    if t == 1 and d > 3:
        raise ValueError(f"{where}: {key} of shape {shape} would be one step of {d} features. {ways}")
    return (f"{key} of shape {shape} is read as t = {t} steps of d = {d} features. {ways}",)


_ASIDE = tuple(f"{letter}_{part}" for letter in "xy" for part in ("val", "valid", "validation", "dev"))


class _Refused(Exception):
    """The message of a refusal, before the path is put in front."""


class _TooLarge(ValueError):
    """Passes through unchanged: its message carries the path already."""


def _vocabulary(present: tuple[str, ...], stem: str, where: str) -> tuple[str, tuple[str, ...]]:
    """The data set's name and the keys of (x, y, lengths) for training and for test."""
    both = [name for name in (_in(present, "x"), _in(present, "x_train")) if name in present]
    if len(both) == 2:
        raise ValueError(f"{where}: both {both[0]} and {both[1]} may be the training split. Rename one of them.")
    if both:
        train = "_train" if both[0].lower() == "x_train" else ""
        keys = [_in(present, word) for end in (train, "_test") for word in (f"x{end}", f"y{end}", f"lengths{end}")]
        for at, end in ((2, train), (5, "_test")):
            keys[at] = keys[at] if keys[at] in present else _in(present, f"len{end}") if end else keys[at]
        return stem, tuple(keys)
    ucr = [key.removesuffix("_TRAIN") for key in present if key.endswith("_TRAIN")]
    ucr = [name for name in ucr if name not in ("y", "len", "")]
    if len(ucr) == 1:
        name = ucr[0]
        return name, (f"{name}_TRAIN", "y_TRAIN", "len_TRAIN", f"{name}_TEST", "y_TEST", "len_TEST")
    raise ValueError(
        f"{where}: wanted arrays x and y, or X_train and y_train, or one NAME_TRAIN and y_TRAIN; it holds "
        f"{_listed(present)}. Rename them."
    )


def _in(present: tuple[str, ...], word: str) -> str:
    """The name in the file for a lower-case one: the same, or one with capitals."""
    return word if word in present else next((key for key in present if key.lower() == word), word)


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    return {info.filename.removesuffix(".npy"): info for info in archive.infolist() if not info.is_dir()}


def _read(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], where: str, max_bytes: int
) -> dict[str, np.ndarray]:
    total = sum(info.file_size for info in members.values())
    try:
        check_size(total, max_bytes, f"{where}: its arrays, unpacked,")
    except ValueError as error:
        raise _TooLarge(str(error)) from None
    return {name: _array(archive, info, name) for name, info in members.items()}


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> np.ndarray:
    """One array; memory is taken only for what the archive's own record of its size confirms."""
    key = shown(name)
    with archive.open(info) as stream:
        shape, fortran, dtype = _header(stream, key)
        if dtype.hasobject:
            raise _Refused(
                f"array {key} holds pickled Python objects, which are never loaded. Save numbers or text; sequences of "
                "several lengths as one array (n, t, d), padded at the end, with their lengths as array 'lengths'."
            )
        if dtype.kind not in "fiubUS":
            raise _Refused(f"array {key} must hold numbers or text; got dtype {shown(str(dtype))}.")
        size = dtype.itemsize
        for length in shape:  # Python integers: no overflow
            if length < 0:
                raise _Refused(f"the header of array {key} is forged: shape {shown(shape)}.")
            size *= int(length)
        if size == 0:
            raise _Refused(f"array {key} is empty, shape {shown(shape)}; wanted at least one example and step.")
        held = info.file_size - stream.tell()
        if size != held:
            raise _Refused(
                f"the header of array {key} promises shape {shown(shape)}, {size:,} bytes, but {held:,} are there. "
                "The file is forged or damaged; save it again."
            )
        data = _bytes(stream, size, key)
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _bytes(stream: Any, size: int, key: str) -> np.ndarray:
    """The member's bytes to its end, where zipfile compares the checksum.

    In pieces: one large `read` of a compressed member copies all it has for each 4 KiB that it takes in.
    """
    data = np.empty(size, np.uint8)
    have = 0
    while have < size:
        piece = np.frombuffer(stream.read(min(_PIECE, size - have)), np.uint8)
        if len(piece) == 0:
            raise _Refused(f"array {key} ends after {have:,} of {size:,} bytes. Copy or save the file again.")
        data[have : have + len(piece)] = piece
        have += len(piece)
    return data


def _header(stream: Any, key: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(stream)
        if version == (2, 0):
            return np.lib.format.read_array_header_2_0(stream)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError):  # the archive's fault, not the header's
        raise
    except Exception as error:  # numpy evaluates the header as a literal: any error is the header's, MemoryError too
        raise _Refused(
            f"array {key} has no readable npy header ({type(error).__name__}: {shown(str(error))}). "
            "Save it again with numpy.savez."
        ) from error
    raise _Refused(f"array {key} has npy version {version}; wanted 1.0 or 2.0. Save it again as plain numbers.")


def _listed(keys: Iterable[str]) -> str:
    keys = list(keys)
    text = ", ".join(shown(key) for key in keys[:12])
    return f"{text} and {len(keys) - 12} more" if len(keys) > 12 else text or "no arrays"
