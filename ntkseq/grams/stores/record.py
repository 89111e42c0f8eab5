"""What does a stored Gram matrix say of itself? Whose values it holds, how they were computed, how far they are off."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ntkseq import _files
from ntkseq._types import Inputs, Lengths
from ntkseq.grams.sampling import Sampling
from ntkseq.grams.sides import Sides
from ntkseq.grams.stores import identity
from ntkseq.grams.stores.chunks import DamagedChunk, checksum
from ntkseq.grams.stores.layout import Layout

FILE = "gram.json"
FORMAT = "ntkseq gram"
VERSION = 1


@dataclasses.dataclass(frozen=True)
class Record:
    """What gram.json holds.

    Attributes:
        layout: chunks and tiles; a resumed run takes them from here, so that its bits are the same.
        kernel, x, x2: what `identity` says of them; x2 is None for a matrix of inputs with themselves.
        x64: whether JAX was in its 64-bit mode.
        by: versions of ntkseq, jax and jaxlib by which the store was begun.
        entrywise, rounding, estimated: those of the Gram.
        sampled: whether the kernel is a Monte Carlo estimate.
        diagonal: CRC-32C of the file of the diagonal, which is in its name; None for a matrix of two sets of inputs.
    """

    layout: Layout
    kernel: Any
    x: Mapping[str, Any]
    x2: Mapping[str, Any] | None
    x64: bool
    by: Mapping[str, str]
    entrywise: float
    rounding: float
    estimated: str
    sampled: bool
    diagonal: int | None = None

    @property
    def known(self) -> dict[str, Any]:
        """What a Gram says of itself beside its entries."""
        of = Sampling(why="a stored Gram holds no batches") if self.sampled else None
        facts = {"rounding": self.rounding, "entrywise": self.entrywise, "estimated": self.estimated, "sampling": of}
        return facts | {"frobenius": True, "symmetric": self.layout.symmetric}


def asked(pair: Sides, layout: Layout, x: tuple[Inputs, Inputs | None], lengths: tuple[Lengths, Lengths]) -> Record:
    """The record of a Gram matrix that is to be computed, as far as it can be written before: no rounding.

    Args:
        pair: its sides.
        layout: of its chunks.
        x, lengths: both inputs as they were given.
    """
    return Record(
        layout=layout,
        kernel=_plain(identity.of_kernel(pair.kernel, x[0], lengths[0])),
        x=identity.of_inputs(x[0], lengths[0]),
        x2=None if x[1] is None else identity.of_inputs(x[1], lengths[1]),
        x64=pair.x64,
        by=versions(),
        entrywise=math.inf,
        rounding=math.inf,
        estimated=pair.kernel.estimated,
        sampled=bool(pair.kernel.sampled),
    )


def known(record: Record, pair: Sides) -> Record:
    """The record with the rounding that prepared sides with their diagonal state."""
    e = pair.entry_rounding()
    return dataclasses.replace(record, entrywise=float(e), rounding=float(pair.rounding(e)))


def versions() -> dict[str, str]:
    """Of what computes entries."""
    found = {}
    for name in ("ntkseq", "jax", "jaxlib"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def write(path: pathlib.Path, record: Record, diagonal: np.ndarray | None) -> Record:
    """Put a record and the exact diagonal beside the chunks; the record as it was written.

    The record is replaced in one move, after the diagonal that it names is there.

    Raises:
        OSError: it cannot be written.
    """
    if diagonal is not None:
        file = io.BytesIO()
        np.save(file, diagonal, allow_pickle=False)
        data = file.getvalue()
        record = dataclasses.replace(record, diagonal=checksum(data))
        _files.written(_diagonal(path, record), lambda file: file.write(data))
    fields = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    shape = dataclasses.asdict(record.layout) | {"dtype": record.layout.dtype.name}
    text = json.dumps({"format": FORMAT, "version": VERSION} | fields | {"layout": shape})
    _files.written(path / FILE, lambda file: file.write(text.encode()))
    for other in path.glob("diagonal-*.npy"):
        if other != _diagonal(path, record):
            other.unlink(missing_ok=True)
    return record


def there(path: pathlib.Path) -> bool:
    """Whether a store was begun at this place."""
    return (path / FILE).exists()


def mark(path: pathlib.Path) -> tuple[int, int, int] | None:
    """What tells one writing of a record from another; None: it is not there."""
    return _files.mark(path / FILE)


def read(path: pathlib.Path) -> Record:
    """The record of the store at this place.

    Raises:
        ValueError: there is none, it is of a newer version, or no whole one.
        OSError: it cannot be read.
    """
    try:
        text = (path / FILE).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"{path} holds no stored Gram matrix: it has no {FILE}. Pass the path that was store= of ntkseq.gram."
        ) from None
    except UnicodeDecodeError:
        raise _broken(path, "it is no text") from None
    except OSError as error:
        raise OSError(error.errno, f"{path / FILE} cannot be read ({error.strerror or error}).") from None
    try:
        held = json.loads(text)
        form, version = held.pop("format"), held.pop("version")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _broken(path, f"{type(error).__name__}: {error}") from None
    if form != FORMAT:
        raise _broken(path, f"its format is {form!r}")
    if version != VERSION:
        raise ValueError(
            f"{path} is a store of version {version}; this ntkseq ({versions()['ntkseq']}) reads version {VERSION}. "
            "Use the ntkseq that wrote it, or a newer one."
        )
    try:
        shape = held.pop("layout")
        shape["shape"], shape["dtype"] = tuple(shape["shape"]), np.dtype(shape["dtype"])
        record = Record(Layout(**shape), **held)
        _plausible(record)
        return record
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _broken(path, f"{type(error).__name__}: {error}") from None


def diagonal(path: pathlib.Path, record: Record) -> np.ndarray:
    """The exact diagonal, (n,).

    Raises:
        DamagedChunk: its file is not what was written.
    """
    try:
        data = _diagonal(path, record).read_bytes()
        if checksum(data) == record.diagonal:
            return np.load(io.BytesIO(data), allow_pickle=False)
        why = "its checksum does not hold"
    except FileNotFoundError:
        why = "it is missing"
    raise DamagedChunk(
        5, f"the diagonal of {path} is damaged: {why}. ntkseq.gram(kernel, x, store=...) writes it again."
    )


def _diagonal(path: pathlib.Path, record: Record) -> pathlib.Path:
    return path / f"diagonal-{record.diagonal or 0:08x}.npy"


def differences(was: Record, now: Record) -> list[str]:
    """In what the Gram matrix of a store differs from that which is asked for; more examples are no difference."""
    found = list(identity.kernel_differences(was.kernel, now.kernel))
    if (was.x2 is None) != (now.x2 is None):
        return [*found, "x2 was " + ("not given and is" if was.x2 is None else "given and is not")]
    found += identity.input_differences(was.x, now.x, "x")
    if was.x2 is not None and now.x2 is not None:
        found += identity.input_differences(was.x2, now.x2, "x2")
    if was.layout.dtype != now.layout.dtype and not any("dtype" in one for one in found):
        found.append(f"dtype was {was.layout.dtype} and is {now.layout.dtype}")
    if was.x64 != now.x64 and not any("dtype" in one for one in found):
        found.append("the 64-bit mode of JAX was " + ("on and is off" if was.x64 else "off and is on"))
    return found


def _plain(value: Any) -> Any:
    """As JSON gives it back: lists for tuples."""
    return json.loads(json.dumps(value))


def _broken(path: pathlib.Path, why: str) -> ValueError:
    return ValueError(
        f"{path / FILE} does not say what is stored: {why}. Remove {path} to begin again, or pass another store=."
    )


def _plausible(record: Record) -> None:
    """Raise where a record holds what no `write` puts there.

    Raises:
        ValueError: so it is.
        KeyError: inputs without their description.
    """
    layout = record.layout
    numbers = (*layout.shape, layout.chunk, layout.tile, layout.batch)
    if any(isinstance(one, bool) or not isinstance(one, int) or one < 1 for one in numbers) or len(layout.shape) != 2:
        raise ValueError(f"layout of {numbers}")
    known = (record.rounding, record.entrywise)
    if any(isinstance(one, bool) or not isinstance(one, (int, float)) or not one >= 0 for one in known):
        raise ValueError(f"rounding {record.rounding}, entrywise {record.entrywise}")
    for inputs in (record.x, *([] if record.x2 is None else [record.x2])):
        for key in ("examples", "dtype", "shape", "lengths", "digests"):
            inputs[key]
