"""Other libraries beside this one: each guest is imported only when it is used."""

from ntkseq.interop import neural_tangents

__all__ = ["neural_tangents"]
