"""How does a stored matrix become one file of NumPy? Some rows after the other, and whole or not at all."""

from __future__ import annotations

import os
import pathlib
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkseq import _checks, _files

if TYPE_CHECKING:
    from ntkseq.grams.stores.stored import StoredGram
else:  # it imports this file
    StoredGram = Any


def write(K: StoredGram, path: str | os.PathLike[str]) -> None:
    """Write K to an .npy, or to an .npz with what is known of its rounding.

    Raises:
        ValueError: another suffix.
        OSError: it cannot be written.
    """
    place = pathlib.Path(_checks.path("path", path, "an .npy or .npz file"))
    if place.suffix not in (".npy", ".npz") or place.is_dir():
        raise ValueError(f"path must be that of an .npy or .npz file; got {str(place)!r}.")
    _files.written(place, (lambda file: _array(K, file)) if place.suffix == ".npy" else (lambda file: _arrays(K, file)))


def _array(K: StoredGram, file: Any) -> None:
    about = {"descr": np.lib.format.dtype_to_descr(K.dtype), "fortran_order": False, "shape": K.shape}
    np.lib.format.write_array_header_1_0(file, about)
    for rows in K.blocks_of_rows():
        file.write(np.ascontiguousarray(rows).data.cast("B"))


def _arrays(K: StoredGram, file: Any) -> None:
    known = {
        "rounding": np.array(float(K.rounding)),
        "rounding_stated": np.array(K.stated),
        "rounding_estimated": np.array(K.estimated),
        "sampled": np.array(K.sampling is not None),
    }
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as made:
        with made.open("K.npy", "w", force_zip64=True) as one:
            _array(K, one)
        for name, value in known.items():
            with made.open(f"{name}.npy", "w") as one:
                np.lib.format.write_array(one, value, allow_pickle=False)
