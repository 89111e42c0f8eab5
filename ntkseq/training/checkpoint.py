"""How does a training run survive being killed? By one .npz, whole at every moment, that says which run it is of."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import pathlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _checks, _files
from ntkseq._types import AnyArray, PyTree
from ntkseq.empirical import fingerprint

FORMAT = "ntkseq checkpoint 3"


def check_path(path: str | os.PathLike[str], name: str = "checkpoint") -> pathlib.Path:
    """The path of a checkpoint, or of another such file, free of what a killed run left half written beside it.

    Raises:
        ValueError: no .npz, or a folder.
    """
    path = pathlib.Path(_checks.path(name, path, "an .npz file"))
    if path.suffix != ".npz" or path.is_dir():
        raise ValueError(f"{name} must be the path of an .npz file; got {str(path)!r}.")
    if path.parent.is_dir():
        for part in path.parent.iterdir():
            if part.name.startswith(f".{path.name}-") and part.suffix == ".part":
                with contextlib.suppress(OSError):
                    part.unlink()
    return path


def write(path: pathlib.Path, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Replace the checkpoint, in one move.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    about = json.dumps({"format": FORMAT, "settings": dict(settings)})
    held: dict[str, Any] = {"about": np.array(about), **{f"run/{name}": array for name, array in arrays.items()}}
    _files.written(path, lambda file: np.savez(file, allow_pickle=False, **held))


def read(path: pathlib.Path, settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint of the run with these settings.

    Raises:
        ValueError: it cannot be read, or is of another run; says in what they differ.

    Warns:
        UserWarning: other versions of the libraries write f, loss or optimizer in other equations, so that these cannot
            be compared.
    """
    try:
        # opened here, since np.load leaves a file open that is no zip
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}  # all of it: zip checks the sums of what is read
        about = json.loads(str(arrays.pop("about")))
        if about["format"] != FORMAT:
            raise ValueError(f"its format is {about['format']!r}")
        found = dict(about["settings"])
    except Exception as error:
        raise ValueError(
            f"{path} is no whole checkpoint of this version of ntkseq ({type(error).__name__}: {error}). Remove it to "
            "begin again, or pass another checkpoint=."
        ) from None
    compare(path, "checkpoint", "checkpoint", found, settings)
    return {name.removeprefix("run/"): array for name, array in arrays.items()}


def compare(
    path: pathlib.Path, kind: str, argument: str, found: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Raise where a file is of another run.

    Args:
        path, kind, argument: the file, what it is, and the argument that names it.
        found, settings: by what its run is known, and this one.

    Raises:
        ValueError: they differ; says in what.

    Warns:
        UserWarning: as `read`.
    """
    differ = [(name, was, now) for name, was, now in _beside("", found, settings) if not _same(now, was)]
    if differ:
        what = "; ".join(_difference(*each) for each in differ)
        raise ValueError(
            f"{path} is the {kind} of another run: {what}. Pass what it was made with, or another {argument}=."
        )
    _warn_of_rewritten(path, settings, found)


def version() -> str:
    """Of ntkseq, as installed."""
    try:
        return importlib.metadata.version("ntkseq")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def digest(tree: PyTree) -> list[str]:
    """Dtype, shape and a hash of the bytes of every leaf."""
    found = []
    for leaf in jax.tree.leaves(tree):
        array = _array(leaf)
        code = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
        found.append(f"{array.dtype}{list(array.shape)} {code}")
    return found


def kinds(tree: PyTree) -> list[str]:
    """Path, dtype and shape of every leaf."""
    return [
        f"{jax.tree_util.keystr(path)}: {jnp.asarray(leaf).dtype}{list(np.shape(leaf))}"
        for path, leaf in jax.tree.leaves_with_path(tree)
    ]


def packed(name: str, tree: PyTree) -> dict[str, np.ndarray]:
    """The leaves of a pytree as arrays "name/0", "name/1", ..."""
    return {f"{name}/{i}": _array(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))}


def unpacked(name: str, arrays: Mapping[str, np.ndarray], like: PyTree) -> PyTree:
    """The pytree that `packed` took apart, with the structure, dtypes and kinds of leaves of `like`.

    Raises:
        ValueError: another number of leaves, or leaves of other shapes.
    """
    leaves, tree = jax.tree.flatten(like)
    found = []
    for i, leaf in enumerate(leaves):
        wanted, array = _array(leaf), arrays.get(f"{name}/{i}")
        if array is not None and array.dtype.kind == "V" and array.dtype.itemsize == wanted.dtype.itemsize:
            array = array.view(wanted.dtype)  # NumPy writes bfloat16 as bytes without a name
        if array is None or (array.shape, array.dtype) != (wanted.shape, wanted.dtype):
            came = None if array is None else f"{array.dtype}{list(array.shape)}"
            raise ValueError(f"the checkpoint holds {came} for {name}/{i}, wanted {wanted.dtype}{list(wanted.shape)}.")
        array = jnp.asarray(array)
        found.append(jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else array)
    return jax.tree.unflatten(tree, found)


def _is_key(leaf: AnyArray) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _array(leaf: AnyArray) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _beside(name: str, was: Any, now: PyTree) -> Iterator[tuple[str, Any, Any]]:
    """Each setting as it was and as it is; those within settings with dots in their names."""
    if not all(isinstance(one, Mapping) and not _is_fingerprint(one) and "values" not in one for one in (was, now)):
        yield name, was, now
        return
    for key in {**now, **was}:
        yield from _beside(f"{name}.{key}" if name else key, was.get(key), now.get(key))


def _same(a: Any, b: Any) -> bool:
    """Whether two settings agree; numbers that were computed only up to what another machine may round differently."""
    if _is_fingerprint(a) and _is_fingerprint(b):
        return fingerprint.same(a, b) or bool(fingerprint.rewritten(a, b))
    if isinstance(a, dict) and isinstance(b, dict) and set(a) == set(b) == {"values", "rtol"}:
        left, right = (np.asarray(part["values"], np.float64) for part in (a, b))
        if left.shape != right.shape:
            return False
        size = np.max(np.abs(left[np.isfinite(left)]), initial=0.0)
        return np.allclose(left, right, rtol=0.0, atol=a["rtol"] * float(size), equal_nan=True)
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def _is_fingerprint(value: object) -> bool:
    return isinstance(value, dict) and {"equations", "operations", "arrays", "by"} <= set(value)


def _difference(name: str, was: Any, now: PyTree) -> str:
    if _is_fingerprint(was) and _is_fingerprint(now):
        return f"{name} {fingerprint.difference(was, now)}"
    return f"{name} was {_shown(was)} and is {_shown(now)}"


def _warn_of_rewritten(path: pathlib.Path, settings: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Say what could not be compared, since other versions or another backend write the same in other equations."""
    pairs = [pair for pair in _beside("", found, settings) if _is_fingerprint(pair[2])]
    unlike = [(name, was, now) for name, was, now in pairs if was is not None and not fingerprint.same(was, now)]
    if unlike:
        _, was, now = unlike[0]
        warnings.warn(
            f"{path} was written by {fingerprint.rewritten(was, now)}, which write a function in other equations: "
            f"whether {', '.join(name for name, *_ in unlike)} is what it was cannot be told from them. A trial at the "
            "start gives the same numbers, so the run goes on. To go on without this doubt, use the versions before.",
            UserWarning,
            stacklevel=5,
        )


def _shown(value: object) -> str:
    text = str(value["values"] if isinstance(value, dict) and "values" in value else value)
    return text if len(text) <= 120 else text[:117] + "..."
