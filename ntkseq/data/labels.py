"""How do labels, numbers or names, become class codes?"""

from __future__ import annotations

import numpy as np

from ntkseq.data.splits import shown


def encode(
    labels: list[np.ndarray | None], declared: tuple[str, ...] | None, targets: str, where: str
) -> tuple[list[np.ndarray | None], tuple[str, ...]]:
    """Labels of all splits as codes into one sorted list of class names, or as numbers.

    Names are sorted by value if all are numbers, else by letters.

    Args:
        labels: raw labels of each split, numbers or text; None throughout without labels.
        declared: class names that the file lists itself, which then count in full.
        targets: "classes" or "values".
        where: the file, for messages.

    Returns:
        Per split int32 codes (or float64 numbers, or None), and the class names.

    Raises:
        ValueError: labels that are missing, not text or whole numbers ("classes"), or not finite numbers ("values").
    """
    if labels[0] is None:
        return labels, ()
    if targets == "values":
        return [_values(part, where) for part in labels if part is not None], ()
    named = [_class_names(part, where) for part in labels if part is not None]
    seen = {name for part in named for name in part} if declared is None else set(declared)
    classes = _sorted(seen)
    if declared is None and _all_numbers(seen) and any(float(name) != round(float(name)) for name in seen):
        odd = next(name for name in classes if float(name) != round(float(name)))
        raise ValueError(
            f"{where}: class labels must be text or whole numbers; got {shown(odd)}. "
            "Regression: pass targets='values'. A table: is the label the first cell (label='first')?"
        )
    code = {name: i for i, name in enumerate(classes)}
    return [np.array([code[name] for name in part], np.int32) for part in named], classes


def _values(labels: np.ndarray, where: str) -> np.ndarray:
    try:
        values = labels.astype(np.float64)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad) == 0:
            return values
        came = labels[bad[0]]
    except (ValueError, TypeError) as error:
        came = str(error)
    raise ValueError(f"{where}: targets='values' wants labels that are finite numbers; got {shown(came)}.")


def _class_names(labels: np.ndarray, where: str) -> list[str]:
    kind = labels.dtype.kind
    if kind in "iub":
        return [str(int(value)) for value in labels]
    if kind == "f":
        if not np.isfinite(labels).all():
            raise ValueError(f"{where}: a label is NaN or infinite. Impute it, or drop the example.")
        return [str(int(value)) if value == round(float(value)) else str(value) for value in labels]
    if kind not in "US":
        raise ValueError(f"{where}: labels must be numbers or text; got dtype {labels.dtype}.")
    try:
        names = [(value.decode() if kind == "S" else str(value)).strip() for value in labels.tolist()]
    except ValueError as error:
        raise ValueError(f"{where}: labels that are not readable text ({error}).") from None
    if "" in names:
        raise ValueError(f"{where}: the label of example {names.index('')} is empty. Fill it in, or drop the example.")
    return names


def _all_numbers(names: set[str]) -> bool:
    try:
        return all(np.isfinite(float(name)) for name in names)
    except ValueError:
        return False


def _sorted(names: set[str]) -> tuple[str, ...]:
    if _all_numbers(names):
        return tuple(sorted(names, key=lambda name: (float(name), name)))
    return tuple(sorted(names))
