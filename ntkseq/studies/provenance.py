"""Where the numbers of a study come from: wall times, a fingerprint of the data, versions, and the command."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib import metadata
from typing import Any

import jax
import numpy as np

from ntkseq.data import Dataset

Stage = Callable[[str], AbstractContextManager[Any]]


class Clock:
    """Wall time by stage, and word of each stage to whoever shows progress."""

    def __init__(self, stage: Stage | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._stage = stage or (lambda name: contextlib.nullcontext())

    @contextlib.contextmanager
    def __call__(self, key: str, name: str) -> Iterator[None]:
        start = time.perf_counter()
        with self._stage(name):
            yield
        self.seconds[key] = round(time.perf_counter() - start, 4)


class Fingerprint:
    """SHA-256 of arrays as they come: dtype, shape and bytes; a text counts by its letters."""

    def __init__(self, *arrays: Any) -> None:
        self._digest = hashlib.sha256()
        self.add(*arrays)

    def add(self, *arrays: Any) -> None:
        """Take in some arrays or texts."""
        for array in arrays:
            if isinstance(array, str):
                self._digest.update(array.encode())
                continue
            array = np.ascontiguousarray(array)
            self._digest.update(f"{array.dtype.str}{array.shape}".encode())
            self._digest.update(array.tobytes())

    def fingerprint(self) -> str:
        """Of all that was taken in."""
        return self._digest.hexdigest()


def provenance(study: Any, mark: Fingerprint, seconds: dict[str, float]) -> dict[str, Any]:
    """Where the numbers come from, and how to get them again.

    study: the record of options, a dataclass with a `command`, and a `seed` where anything is drawn.
    mark: of the data.
    """

    def version(package: str) -> str:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return "not installed as a package"

    device = jax.devices()[0]
    return {
        "command": study.command,
        "config": _config(study),
        "data_sha256": mark.fingerprint(),
        "seed": getattr(study, "seed", None),
        "versions": {name: version(name) for name in ("ntkseq", "jax", "jaxlib", "numpy", "scipy")}
        | {"python": platform.python_version()},
        "device": f"{device.platform}: {device.device_kind}",
        "machine": f"{platform.system()} {platform.machine()}",
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": seconds,
    }


def _config(study: Any) -> dict[str, Any]:
    """The options, with the name of a data set in place of its arrays, and the words for kernels in memory."""
    held = {field.name: getattr(study, field.name) for field in dataclasses.fields(study)}
    held |= {} if isinstance(held.get("kernel", ""), str) else {"kernel": study.kernel_text}
    return {name: value.name if isinstance(value, Dataset) else value for name, value in held.items()}
