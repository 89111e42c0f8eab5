"""What does a prepared example take in memory?"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Footprint:
    """Bytes that a prepared example takes, `each`, and that all which are in memory at once may take, `memory`."""

    each: int
    memory: int
