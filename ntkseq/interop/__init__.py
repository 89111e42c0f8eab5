"""Other libraries beside this one: each guest is imported only when it is used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ntkseq.interop import equinox, flax, limits, neural_tangents

if TYPE_CHECKING:
    from ntkseq.interop import sklearn

__all__ = ["equinox", "flax", "limits", "neural_tangents", "sklearn"]


def __getattr__(name: str) -> Any:
    """The estimators are classes below scikit-learn's, which is imported with them."""
    if name == "sklearn":
        return import_module("ntkseq.interop.sklearn")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
