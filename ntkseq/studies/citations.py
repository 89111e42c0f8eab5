"""The papers behind a number, in BibTeX."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Cite:
    """BibTeX of the papers behind something: reference keys as they stand in reports. None: all."""

    keys: tuple[str, ...] = ()
    """Reference keys, such as arora2019finegrained."""
