"""Other libraries beside this one: each guest is imported only when it is used."""

from ntkseq.interop import equinox, flax, neural_tangents

__all__ = ["equinox", "flax", "neural_tangents"]
