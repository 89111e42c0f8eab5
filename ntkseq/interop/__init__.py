"""Other libraries beside this one: each guest is imported only when it is used."""

from ntkseq.interop import equinox, flax, limits, neural_tangents

__all__ = ["equinox", "flax", "limits", "neural_tangents"]
