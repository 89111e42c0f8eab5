"""What is a Gram matrix that lies on disk? Its chunks, read when they are asked for."""

from __future__ import annotations

import math
import os
import pathlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Array, Float, Int

from ntkseq import _checks, _display, _precision
from ntkseq._types import ArrayLike, Index
from ntkseq.grams.base import DenseGram, Gram, column_block
from ntkseq.grams.digits import in_norm
from ntkseq.grams.sampling import kept
from ntkseq.grams.stores import exports, passes, record
from ntkseq.grams.stores.chunks import Chunks, DamagedChunk, MissingChunk


class StoredGram(Gram):
    """A Gram matrix on disk, in chunks. Made by `ntkseq.gram(..., store=path)` and by `grams.open`.

    Its entries are those that were computed, in their dtype. A product reads every chunk once; rows and parts read
    those that they touch. Memory is that of a few chunks. An unfinished one is a Gram of which some chunks are
    `missing`: what does not touch them can be read.

    It is pickled as its path.

    Args:
        path: the folder.
        turned: read it as its transpose.

    Attributes:
        path: the folder.
        rounding, entrywise, estimated, sampling, frobenius, symmetric: as of any Gram, from the record in the folder.

    Raises:
        ValueError: the folder holds no stored Gram matrix, or none that is whole, or one of a newer version.
        OSError: it cannot be read.
    """

    held = False
    where = "on disk"

    def __init__(self, path: str | os.PathLike[str], *, turned: bool = False) -> None:
        self.path = pathlib.Path(path).absolute()
        self._turned = turned
        self._norm: float | None = None
        self._mark = record.mark(self.path)
        self._record = record.read(self.path)
        self.chunks = Chunks(self.path, self._record.layout)
        for name, value in self._record.known.items():
            setattr(self, name, value)

    # ---- what it is

    @property
    def shape(self) -> tuple[int, int]:
        n, m = self._record.layout.shape
        return (m, n) if self._turned else (n, m)

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the entries."""
        return self._record.layout.dtype

    @property
    def tile(self) -> int:
        """Rows of a tile: `gram(kernel, x, tile=K.tile)` computes the same bits."""
        return self._record.layout.tile

    @property
    def missing(self) -> Int[np.ndarray, "k 2"]:
        """The chunks (i, j) that are not computed yet, in their order; empty: all of them are. Looked up each time.

        Chunk (i, j) holds rows i c to (i+1) c - 1 and columns j c to (j+1) c - 1, c = `chunk_rows`; of a symmetric
        matrix those with j >= i.
        """
        return self.chunks.missing()

    @property
    def chunk_rows(self) -> int:
        """Rows, and columns, of a chunk."""
        return self._record.layout.chunk

    # ---- products

    def times(self, V: ArrayLike) -> Float[np.ndarray, "n ..."]:
        V, single = column_block(V, self.shape)
        self._require_place()
        self._require_all("a product")
        found = passes.run(self.chunks, V, turned=self._turned, squares=self._norm is None)
        if self._norm is None:
            self._norm = math.sqrt(found.squares)
        return found.product[:, 0] if single else found.product

    def known_norm(self) -> float | None:
        return self._norm

    def norm_fro(self) -> float:
        if self._norm is None:
            self.times(np.zeros((self.shape[1], 0)))
        assert self._norm is not None
        return self._norm

    # ---- parts

    @cached_property
    def _diagonal(self) -> np.ndarray:
        try:
            return record.diagonal(self.path, self._record)
        except DamagedChunk:
            now = record.read(self.path)  # which another process may have extended since this one was opened
            if now.diagonal == self._record.diagonal or record.differences(self._record, now):
                raise
            return record.diagonal(self.path, now)[: self.shape[0]]

    def diag(self) -> Float[Array | np.ndarray, " k"]:
        if not self.symmetric:
            raise ValueError("the diagonal of a cross Gram is not stored; got x2. Take gram(kernel, x).diag().")
        return _precision.handed(self._diagonal)

    def rows(self, which: Index) -> Float[Array | np.ndarray, "k m"]:
        index = np.arange(self.shape[0])[which].reshape(-1)
        return _precision.handed(self._block(index, np.arange(self.shape[1])))

    def take(self, which: Index) -> DenseGram:
        """The Gram matrix of some of the examples, held, with its own rounding; see `DenseGram.take`.

        Raises:
            ValueError: they meet in a chunk that is missing.
        """
        index = DenseGram._examples(self, which)  # pyright: ignore[reportArgumentType]  it looks at the shape alone
        array = self._block(index, index)
        own = float(np.sum(array.diagonal().astype(np.float64)))
        rounding = float(self.rounding)
        if self.entrywise is not None:
            rounding = min(rounding, in_norm(float(self.entrywise), own))
        known = kept(self, "it is that of some of the examples")
        part = DenseGram(_precision.handed(array), rounding, True, self.frobenius, self.entrywise, **known)
        return part if self.audit is None else self.audit.beside(part, index)

    def dense(self) -> Float[Array | np.ndarray, "n m"]:
        self._require_all("all entries")
        n, m = self.shape
        return _precision.handed(self._block(np.arange(n), np.arange(m)))

    def entries(self, i: Int[np.ndarray, " k"], j: Int[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """The entries (i, j), pair by pair; each chunk that holds some is read once."""
        self._require_place()
        if self._turned:
            i, j = j, i
        if self.symmetric:
            i, j = np.minimum(i, j), np.maximum(i, j)
        c, found, into = self.chunk_rows, np.empty(len(i), self.dtype), self.chunks.buffer()
        code = (i // c) * self.chunks.layout.grid[1] + j // c
        order = np.argsort(code, kind="stable")
        for some in np.split(order, np.flatnonzero(np.diff(code[order])) + 1) if len(order) else ():
            a, b = int(i[some[0]] // c), int(j[some[0]] // c)
            found[some] = self._read(a, b, into)[i[some] - a * c, j[some] - b * c]
        return found

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write all entries to one file: an .npy, or an .npz with K, its rounding and what is known of that.

        `ntkseq spectrum FILE` reads either. It appears whole or not at all, and takes the memory of some rows.

        Raises:
            ValueError: another suffix, or a chunk is missing.
            OSError: it cannot be written.

        Example:
            >>> import tempfile, jax, ntkseq
            >>> from ntkseq import kernels
            >>> import numpy as np
            >>> x = jax.random.normal(jax.random.key(0), (20, 6, 3))
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     K = ntkseq.gram(kernels.Recurrent(), x, store=f"{folder}/K")
            ...     K.export(f"{folder}/K.npy")
            ...     np.load(f"{folder}/K.npy").shape
            (20, 20)
        """
        self._require_all("an export")
        exports.write(self, path)

    def blocks_of_rows(self) -> Iterator[np.ndarray]:
        """All rows, as many at a time as a chunk has."""
        n, m = self.shape
        for start in range(0, n, self.chunk_rows):
            yield self._block(np.arange(start, min(start + self.chunk_rows, n)), np.arange(m))

    # ---- as any Gram

    def hold(self) -> DenseGram:
        held = super().hold()
        return held if self.audit is None else self.audit.beside(held)

    def audited(self, rounding: float, found: Any) -> StoredGram:
        """The same matrix with the rounding that `grams.audit` found; its folder stays as it is."""
        made = StoredGram(self.path, turned=self._turned)
        made.rounding, made.audit = rounding, found
        return made

    def proved_rounding(self) -> float:
        return float(self.rounding) if self.audit is None else float(self._record.rounding)

    def _transposed(self) -> StoredGram:
        return StoredGram(self.path, turned=not self._turned)

    def __getstate__(self) -> dict[str, Any]:
        """Its path; what an audit found goes with it."""
        return {"path": self.path, "turned": self._turned, "audited": (self.rounding, self.audit)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"], turned=state["turned"])
        self.rounding, self.audit = state["audited"]

    def __repr__(self) -> str:
        kind = "symmetric, " if self.symmetric else ""
        error = "rounding" if self.sampling is None else "sampling error"
        lacking, of = len(self.missing), len(self.chunks.layout.chunks)
        left = f", {lacking} of {of} chunks missing" if lacking else ""
        shape = f"{self.shape[0]} x {self.shape[1]}"
        return _display.folded(
            f"StoredGram({shape}, {kind}{self.dtype}, {error} {float(self.rounding):.1e}, {self.path.name}{left})"
        )

    # ---- chunks

    def _block(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The entries in these rows and columns."""
        self._require_place()
        out, into = np.empty((len(rows), len(columns)), self.dtype), self.chunks.buffer()
        there = _by_chunk(columns, self.chunk_rows)
        for i, (mine, at) in _by_chunk(rows, self.chunk_rows).items():
            for j, (theirs, where) in there.items():
                flip = self._turned or (self.symmetric and j < i)
                values = self._read(j, i, into).T if flip else self._read(i, j, into)
                out[np.ix_(at, where)] = values[np.ix_(mine, theirs)]
        return out

    def _read(self, i: int, j: int, into: np.ndarray) -> np.ndarray:
        try:
            return self.chunks.read(i, j, into)
        except MissingChunk:
            self._require_all("this", (i, j))
            raise

    def _require_place(self) -> None:
        """Refuse to read another matrix that was put in the place of this one."""
        mark = record.mark(self.path)
        if mark is None or mark == self._mark:  # where the folder is gone, chunks are missing
            return
        if differ := record.differences(self._record, record.read(self.path)):
            raise ValueError(
                f"{self.path} holds another Gram matrix than when it was opened: {'; '.join(differ)}. Open it again, "
                "grams.open(path)."
            )
        self._mark = mark

    def _require_all(self, doing: str, chunk: tuple[int, int] | None = None) -> None:
        """Refuse what needs a chunk that is missing."""
        lacking = self.missing
        if not len(lacking):
            return
        i, j = map(int, lacking[0]) if chunk is None else chunk
        rows, columns = self.chunks.layout.part(i, j)
        raise MissingChunk(
            f"{doing} needs chunk ({i}, {j}) of {self.path}, rows {rows.start} to {rows.stop - 1} and columns "
            f"{columns.start} to {columns.stop - 1}, which is not computed yet, as {len(lacking)} of "
            f"{len(self.chunks.layout.chunks)}. ntkseq.gram(kernel, x, store=...) goes on with them."
        )


def _by_chunk(index: np.ndarray, c: int) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """{chunk: numbers within it, and where they stand in `index`}."""
    order = np.argsort(index // c, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(index[order] // c)) + 1) if len(order) else []
    return {int(index[some[0]] // c): (index[some] % c, some) for some in parts}


def open(path: str | os.PathLike[str]) -> StoredGram:
    """The stored Gram matrix in a folder, finished or not; nothing is computed, and nothing read but its record.

    Args:
        path: what was `store` of `ntkseq.gram`.

    Raises:
        ValueError: no stored Gram lies there, or one of a newer version.
        OSError: it cannot be read.

    Example:
        >>> import tempfile, jax, ntkseq
        >>> from ntkseq import grams, kernels
        >>> x = jax.random.normal(jax.random.key(0), (20, 6, 3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = ntkseq.gram(kernels.Recurrent(sigma_w=1.4), x, store=f"{folder}/K")
        ...     K = grams.open(f"{folder}/K")
        ...     K.shape, len(K.missing), K.rows([3]).shape
        ((20, 20), 0, (1, 20))
    """
    return StoredGram(_checks.path("path", path, "the folder of a stored Gram"))
