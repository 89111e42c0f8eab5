"""Are as many blocks in memory as may be, and is what a file holds whole, or not used?"""

from __future__ import annotations

import pathlib
import pickle
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.grams.stores.shelf import Shelf

Harm = Callable[[bytes], bytes]


def block(k: int) -> dict[str, jax.Array]:
    numbers = jnp.arange(35, dtype=jnp.float32).reshape(5, 7) + k
    few = {"odd": numbers[0, :3], "rows": jnp.full((5, 2), k, jnp.int32), "half": numbers[0].astype("bfloat16")}
    return {"numbers": numbers} | few


def made_of(path: pathlib.Path | None, most: int = 2) -> Any:
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), block(0))
    programs: Any = types.SimpleNamespace(like=like, place=jnp.zeros(()).sharding)
    return Shelf(path, programs, most, 1)


def same(one: Any, other: Any) -> bool:
    return all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))


def never() -> Any:
    raise AssertionError("it was made again")


@pytest.fixture(autouse=True)
def _unchecked(untyped: None) -> None:
    """A shelf of blocks that no kernel made."""


def test_a_block_comes_back_from_its_file_with_every_bit_and_kind(tmp_path: pathlib.Path) -> None:
    one = made_of(tmp_path)
    for k in range(5):
        with one.taken(str(k), lambda k=k: block(k)) as held:
            assert same(held, block(k))
    for k in reversed(range(5)):  # the last ones from memory, the others through buffers that are used again
        with one.taken(str(k), never) as held, one.taken(str((k + 1) % 5), never) as other:
            assert same(held, block(k)) and same(other, block((k + 1) % 5))
            assert {leaf.dtype for leaf in jax.tree.leaves(held)} == {leaf.dtype for leaf in jax.tree.leaves(block(0))}
            assert sum(entry.side is not None for entry in one._held.values()) <= 2
    assert len(one._free) <= 2


@pytest.mark.parametrize("harm", [lambda data: data[:-1], lambda data: data + b"0", lambda data: b"\1" + data[1:]])
def test_a_file_that_is_not_what_was_written_is_made_again(
    tmp_path: pathlib.Path, harm: Callable[[bytes], bytes]
) -> None:
    one = made_of(tmp_path)
    one.write("a", block(1))
    data = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(harm(data))
    with one.taken("a", lambda: block(1)) as held:
        assert same(held, block(1)) and (tmp_path / "a").read_bytes() == data


def test_a_folder_that_was_taken_away_is_not_made_again(tmp_path: pathlib.Path) -> None:
    one = made_of(tmp_path / "gone")
    with one.taken("a", lambda: block(1)) as held:
        assert same(held, block(1))
    assert not (tmp_path / "gone").exists()


def test_threads_that_want_one_block_make_it_once() -> None:
    one, made = made_of(None, 1), []

    def make() -> Any:
        made.append(1)
        return block(3)

    def take(_: int) -> bool:
        with one.taken("a", make) as held:
            return same(held, block(3))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(take, range(40))) and len(made) == 1


def test_a_pickle_holds_no_block() -> None:
    one = made_of(None, 3)
    with one.taken("a", lambda: block(0)):
        pass
    other = pickle.loads(pickle.dumps(Shelf(one.path, None, one.most, one.calls)))  # pyright: ignore[reportArgumentType]
    assert (other.most, other.calls, len(other._held)) == (3, 1, 0)
