"""What is every cell?"""

from __future__ import annotations


class Cell:
    """One step of a recurrent layer: from the state behind the last token and the token of now to the state of now."""

    @property
    def gaussian(self) -> bool:
        """Whether the coordinates of what it gives are Gaussian of mean zero at infinite width."""
        raise NotImplementedError

    @property
    def mixes(self) -> bool:
        """Whether every unit reads all coordinates of a token; otherwise unit c reads coordinate c alone."""
        return True
