"""Kernels of a given function at given parameters: exact by structure, by products, or sketched."""

from ntkseq.empirical.ntk import NTK

__all__ = ["NTK"]
