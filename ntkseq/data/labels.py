"""How do labels, numbers or names, become class codes?"""

from __future__ import annotations

import decimal

import numpy as np

from ntkseq.data.splits import MISSING, shown

_NONE = ("", "?", "nan")  # what stands where a label is missing (lower case); "none" and "na" may be names


def encode(
    labels: list[np.ndarray | None], declared: tuple[str, ...] | None, targets: str, where: str, *, named: bool = False
) -> tuple[list[np.ndarray | None], tuple[str, ...], tuple[str, ...]]:
    """Labels of all splits as codes into one sorted list of class names, or as numbers.

    Numbers are one class where they are equal, however they are written: `1`, `1.0`, `01` and `1e0` are class "1".
    Names are sorted by value if all are numbers, else by letters.

    Args:
        labels: raw labels of each split, numbers or text; None throughout without labels.
        declared: class names that the file lists itself, which then count in full.
        targets: "classes", "values", or "auto": classes, unless nearly every example would be one of its own, or
            numbers are too many and too scattered for codes, which is refused.
        where: the file, for messages.
        named: whether it was said where the labels are.

    Returns:
        Per split int32 codes (or float64 numbers, or None), the class names, and what the user should be told.

    Raises:
        ValueError: labels that are missing, not text or whole numbers ("classes"), or not finite numbers ("values");
            names that may or may not be equal numbers; splits that name their classes differently.
    """
    if labels[0] is None:
        return labels, (), ()
    if targets == "values":
        return [_values(part, where) for part in labels if part is not None], (), ()
    raw = [_class_names(part, where) for part in labels if part is not None]
    listed, spelled, said = _spelled(declared, raw, where)
    seen = {name for part in spelled for name in part} if listed is None else set(listed)
    classes = _sorted(seen)
    if listed is None:
        odd = next((name for name in classes if _fraction(name)), None)
        if odd is not None and all(number(name) is not None for name in seen):
            raise ValueError(
                f"{where}: class labels must be text or whole numbers; got {shown(odd)}. Regression: pass "
                "targets='values'. A table: is the label the other end of the row (label='first', label='last')?"
            )
        said += _compared(spelled, where)
        if targets == "auto":
            whole = all(part.dtype.kind in "iub" for part in labels if part is not None)
            said += _doubted(spelled, classes, whole, where, named)
    elif strangers := sorted({name for part in spelled for name in part} - seen):
        raise ValueError(f"{where}: label {shown(strangers[0])} is none of the classes that the file lists.")
    code = {name: i for i, name in enumerate(classes)}
    return [np.array([code[name] for name in part], np.int32) for part in spelled], classes, tuple(said)


def number(label: str) -> str | None:
    """The one way of writing a finite number, "1" for 1, 1.0, 01 and 1e0; None if the label is none.

    Example:
        >>> [number(label) for label in ("1", "1.0", "01", "1e0", "1.50", "one")]
        ['1', '1', '1', '1', '1.5', None]
    """
    try:
        value = decimal.Decimal(label)
    except decimal.InvalidOperation:
        return None
    if "_" in label or not value.is_finite() or abs(value.adjusted()) > 25:
        return None  # 1_0 is a name; 1e999999999 would fill the memory
    return str(int(value)) if value == int(value) else f"{value.normalize():f}"


MANY = 20
"""More classes than this by numbers are looked at twice."""


def _doubted(spelled: list[list[str]], classes: tuple[str, ...], whole: bool, where: str, named: bool) -> list[str]:
    """What to say of very many classes; refused where the labels look like a time, an id or a target of regression."""
    k, n = len(classes), sum(map(len, spelled))
    values = [int(name) for name in classes if (number(name) or ".") == name and "." not in name]
    numeric = len(values) == k
    ways = "targets='classes' if they are classes; regression: targets='values'" if numeric else "targets='classes'"
    if n >= 5 and 2 * k > n and (k > MANY or not named):
        what = "numbers" if numeric else "times or ids, as those of a table with a row for each step,"
        raise ValueError(
            f"{where}: {n} examples have {k} different labels ({_few(set(classes))}), so these may be {what} and no "
            f"classes. Pass {ways}, or name the label."
        )
    if not numeric or k <= MANY:
        return []
    gaps = values[-1] - values[0] + 1 > k or values[0] not in (0, 1)
    if gaps:
        raise ValueError(
            f"{where}: {k} different numbers with gaps ({_few(set(classes))}) may be measured values and no classes. "
            f"Pass {ways}."
        )
    return [] if whole else [f"the labels are {k} numbers, read as classes; targets='values' reads them as numbers"]


def _fraction(name: str) -> bool:
    value = number(name)
    return value is not None and "." in value


def _spelled(
    declared: tuple[str, ...] | None, raw: list[list[str]], where: str
) -> tuple[tuple[str, ...] | None, list[list[str]], list[str]]:
    """Listed classes and labels with one spelling for each class."""
    every = {*(declared or ()), *(name for part in raw for name in part)}
    same: dict[str, list[str]] = {}
    for name in sorted(every):
        if (value := number(name)) is not None:
            same.setdefault(value, []).append(name)
    twice = [names for names in same.values() if len(names) > 1]
    if sum(map(len, same.values())) == len(every):  # numbers all of them
        listed = None if declared is None else tuple(number(name) or name for name in declared)
        if listed is not None and len(set(listed)) < len(listed):
            raise ValueError(f"{where}: the file lists {shown(twice[0])}, which are one number, as different classes.")
        said = [f"labels {', '.join(map(repr, names))} are one class, the number {number(names[0])}" for names in twice]
        return listed, [[number(name) or name for name in part] for part in raw], said
    if twice:
        raise ValueError(
            f"{where}: labels mix names with numbers that are written in different ways ({shown(twice[0])}). "
            "Write each class in one way."
        )
    odd = [name for name in sorted(every) if name.lower() in (*MISSING, "true", "false")]
    if same and odd:
        raise ValueError(
            f"{where}: labels are numbers, but {shown(odd[0])} is none. Write each class in one way, and drop examples "
            "without a label."
        )
    kinds = [{number(name) is not None for name in part} for part in raw]
    if len(kinds) == 2 and kinds[0] != kinds[1] and all(len(kind) == 1 for kind in kinds):
        raise ValueError(
            f"{where}: the training split has {shown(raw[0][0])} for a label, the test split {shown(raw[1][0])}: names "
            "in one, numbers in the other. Write the classes in one way."
        )
    folded: dict[str, list[str]] = {}
    for name in sorted(every):
        folded.setdefault(" ".join(name.casefold().split()), []).append(name)
    said = [f"labels {', '.join(map(repr, names))} are different classes" for names in folded.values() if names[1:]]
    if same:
        said.append("labels are numbers and names, mixed; all are taken as names")
    return declared, raw, said


def _compared(named: list[list[str]], where: str) -> list[str]:
    """Whether the splits mean the same classes."""
    if len(named) < 2:
        return []
    train, test = set(named[0]), set(named[1])
    only = test - train
    if only and (not test & train or (train - test and all(number(name) is not None for name in train | test))):
        raise ValueError(
            f"{where}: the splits name different classes: {_few(train)} to train on, {_few(test)} to test. "
            "Write them in one way."
        )
    return [f"{len(only)} class(es) have no training example: {_few(only)}"] if only else []


def _few(names: set[str]) -> str:
    ordered = _sorted(names)
    return ", ".join(shown(name) for name in ordered[:6]) + (", ..." if len(ordered) > 6 else "")


def _values(labels: np.ndarray, where: str) -> np.ndarray:
    try:
        values = labels.astype(np.float64)
    except (ValueError, TypeError):
        values = np.array([_float(value) for value in labels.tolist()])
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad) == 0:
        return values
    came = labels[bad[0]].item()
    came = came.decode("ascii", "replace") if isinstance(came, bytes) else came
    what = "is missing" if str(came).strip().lower() in _NONE else "is no finite number"
    raise ValueError(
        f"{where}: targets='values' wants a finite number for each example; that of example {bad[0]} {what}, got "
        f"{shown(came)}. Fill it in, or drop the example."
    )


def _float(value: object) -> float:
    try:
        return float(value)  # pyright: ignore[reportArgumentType]
    except (ValueError, TypeError):
        return np.nan


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
    missing = next((i for i, name in enumerate(names) if name.lower() in _NONE), None)
    if missing is not None:
        came = f"missing, {shown(names[missing])}" if names[missing] else "empty"
        raise ValueError(f"{where}: the label of example {missing} is {came}. Fill it in, or drop the example.")
    return names


def _sorted(names: set[str]) -> tuple[str, ...]:
    if all(number(name) is not None for name in names):
        return tuple(sorted(names, key=lambda name: (decimal.Decimal(name), name)))
    return tuple(sorted(names))
