"""Is a stored matrix that of `gram`, is only computed what is not there, and is another Gram refused by name?"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import empirical, grams, kernels
from ntkseq.grams.stores import building, claims, filling, record

KERNEL = kernels.Recurrent(sigma_w=1.3, sigma_b=0.1)
HERE = pathlib.Path(__file__).parents[2]


def inputs(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 4, 2)).astype(np.float32)


X = inputs(200)


def same(one: Any, other: Any) -> bool:
    return bool(np.array_equal(np.asarray(one), np.asarray(other)))


class Counted:
    """Fills a store as always, and remembers which chunks it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def __call__(self, chunks: Any, pair: Any, which: Any, workers: Any, tick: Any) -> None:
        self.asked += which.tolist()
        filling.fill(chunks, pair, which, workers, tick)


def again(path: pathlib.Path, x: Any = X, x2: Any = None, kernel: Any = KERNEL, **given: Any) -> tuple[Any, list[Any]]:
    """The stored matrix, and the chunks that had to be computed."""
    fill = Counted()
    K = building.build(kernel, x, x2, None, None, store=path, workers=2, fill=fill, **given)
    return K, fill.asked


def test_a_build_reads_its_record_once_and_again_only_where_another_process_wrote_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read, reads = tmp_path / "K", record.read, []
    again(path)
    monkeypatch.setattr(record, "read", lambda path: reads.append(path) or read(path))
    again(path)
    assert len(reads) == 2  # and once by what is returned
    found = building._Found(path)
    held = found.now()
    assert held is not None and found.now() is held
    record.write(path, held, record.diagonal(path, held))
    assert found.now() is not held and found.now() == held


@pytest.mark.slow
def test_entries_facts_and_diagonal_are_bitwise_those_of_gram(tmp_path: pathlib.Path) -> None:
    K, G = ntkseq.gram(KERNEL, X, store=tmp_path / "K"), ntkseq.gram(KERNEL, X)
    assert isinstance(K, grams.StoredGram) and len(K.chunks.layout.chunks) == 10 and not len(K.missing)
    assert same(K, G) and same(K.diag(), G.diag())
    facts = ("rounding", "entrywise", "estimated", "sampling", "frobenius", "symmetric", "stated", "dtype", "shape")
    assert [getattr(K, name) for name in facts] == [getattr(G, name) for name in facts]


@pytest.mark.slow
def test_a_tile_that_does_not_divide_a_matrix_between_two_sets_is_bitwise_that_of_gram(tmp_path: pathlib.Path) -> None:
    y = inputs(70, 1)
    K, G = (ntkseq.gram(KERNEL, X, y, tile=24, workers=1, **s) for s in ({"store": tmp_path / "K"}, {}))
    assert same(K, G) and same(K.T, np.asarray(G).T) and K.rounding == G.rounding and not K.symmetric
    with pytest.raises(ValueError, match=r"the diagonal of a cross Gram is not stored"):
        K.diag()


@pytest.mark.slow
def test_float64_and_lengths_are_stored(tmp_path: pathlib.Path) -> None:
    lengths = np.arange(len(X)) % 4 + 1
    with jax.enable_x64(True):
        x = X.astype(np.float64)
        K = ntkseq.gram(KERNEL, x, lengths=lengths, store=tmp_path / "K")
        wanted = np.asarray(ntkseq.gram(KERNEL, x, lengths=lengths))
    assert K.dtype == np.float64 and same(grams.open(tmp_path / "K"), wanted)
    with pytest.raises(ValueError, match=r"another Gram matrix: dtype of x was float64 and is float32"):
        ntkseq.gram(KERNEL, X, lengths=lengths, store=tmp_path / "K")


@pytest.mark.slow
def test_only_missing_and_damaged_chunks_are_computed_again(tmp_path: pathlib.Path) -> None:
    first, asked = again(tmp_path / "K")
    wanted = np.asarray(first)
    assert len(asked) == 10 and again(tmp_path / "K")[1] == []
    first.chunks.file(0, 1).unlink()
    torn, flipped = first.chunks.file(1, 1), first.chunks.file(2, 3)
    torn.write_bytes(torn.read_bytes()[:-9])
    data = bytearray(flipped.read_bytes())
    data[17] ^= 4
    flipped.write_bytes(data)
    (tmp_path / "K" / "c" / "0" / ".2-17-4.part").write_bytes(b"half")
    (tmp_path / "K" / "c" / "0" / "2.__lock").write_bytes(b"")
    K, asked = again(tmp_path / "K")
    assert asked == [[0, 1], [1, 1], [2, 3]] and same(K, wanted)
    assert sorted(one.name for one in (tmp_path / "K" / "c" / "0").iterdir()) == ["0", "1", "2", "3"]


def test_a_chunk_of_zeros_counts_as_there(tmp_path: pathlib.Path) -> None:
    x = np.zeros_like(X)
    K, asked = again(tmp_path / "K", x, kernel=kernels.Recurrent())
    assert (
        len(asked) == 10 and not np.asarray(K).any() and again(tmp_path / "K", x, kernel=kernels.Recurrent())[1] == []
    )


@pytest.mark.slow
def test_with_more_examples_only_their_border_is_computed(tmp_path: pathlib.Path) -> None:
    more = np.concatenate([X, inputs(60, 2)])
    K, _ = again(tmp_path / "K")
    L, asked = again(tmp_path / "K", more)
    assert L.shape == (260, 260) and same(L, ntkseq.gram(KERNEL, more, tile=K.tile))
    assert all(max(at) >= 3 for at in asked) and len(asked) == 9  # chunks of 64: rows 192.. were not full
    assert L.rounding == ntkseq.gram(KERNEL, more, tile=K.tile).rounding and len(L.diag()) == 260
    assert json.loads((tmp_path / "K" / "zarr.json").read_text())["shape"] == [260, 260]
    with pytest.raises(ValueError, match=r"x had 260 examples and has 200.*take\(slice\(0, n\)\)"):
        again(tmp_path / "K")


@pytest.mark.slow
def test_a_matrix_between_two_sets_grows_in_both(tmp_path: pathlib.Path) -> None:
    x, y = inputs(260, 3), inputs(140, 4)
    again(tmp_path / "K", x[:200], y[:64])
    K, asked = again(tmp_path / "K", x, y)
    assert same(K, ntkseq.gram(KERNEL, x, y, tile=K.tile))
    assert sorted(asked) == [[i, j] for i in range(5) for j in range(3) if i >= 3 or j >= 1]


@pytest.mark.slow
def test_a_store_is_not_extended_into_too_many_files(tmp_path: pathlib.Path, monkeypatch: Any) -> None:
    again(tmp_path / "K")
    monkeypatch.setattr(building, "MOST_ROWS", 4)
    with pytest.raises(ValueError, match=r"chunks of 64 rows, made for 200 examples; 300 would be 15 files"):
        again(tmp_path / "K", inputs(300))
    assert len(grams.open(tmp_path / "K").missing) == 0


@pytest.mark.slow(
    cases=[
        "given1-kernel.activation was activations.Rectifier and is activations.E",
        "given5-shape of an example of x was \\\\[4, 2\\\\] and is \\\\[3, 2\\\\]",
        "given6-x2 was not given and is",
    ]
)
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kernel": KERNEL.with_(sigma_w=1.4)}, "kernel.sigma_w was 1.3 and is 1.4"),
        (
            {"kernel": KERNEL.with_(activation="erf")},
            "kernel.activation was activations.Rectifier and is activations.E",
        ),
        ({"kernel": 2.0 * KERNEL}, "kernel was kernels.recurrent.Recurrent and is kernels.base.Scaled"),
        ({"x": np.concatenate([X[:3], X[4:5], X[4:]])}, "example 3 of x is not the same"),
        ({"x": X + 1}, "examples 0, 1, 2, 3, 4 and 195 more of x are not the same"),
        ({"x": X[:, :3]}, r"shape of an example of x was \[4, 2\] and is \[3, 2\]"),
        ({"x2": X[:9]}, "x2 was not given and is"),
        ({"tile": 8}, "tile must be 16, as in .*, or left out; got 8"),
    ],
)
def test_another_kernel_or_other_inputs_are_refused_and_the_difference_named(
    tmp_path: pathlib.Path, given: dict[str, Any], said: str
) -> None:
    again(tmp_path / "K")
    with pytest.raises(ValueError, match=said):
        again(tmp_path / "K", **given)
    assert again(tmp_path / "K")[1] == []


def test_longer_sequences_are_told_to_be_padded_from_the_start(tmp_path: pathlib.Path) -> None:
    lengths = np.full(6, 3)
    ntkseq.gram(KERNEL, X[:6, :3], lengths=lengths, store=tmp_path / "K")
    with pytest.raises(ValueError, match=r"x was \[3, 2\] and is \[4, 2\].* begin with all padded to as many steps as"):
        ntkseq.gram(KERNEL, X[:6], lengths=lengths, store=tmp_path / "K")


@pytest.mark.slow
def test_a_network_is_known_by_its_equations_and_its_parameters(tmp_path: pathlib.Path) -> None:
    params = {"W": jnp.ones((4, 2)), "v": jnp.ones((1, 4))}
    x = inputs(12)[:, 0]
    one = empirical.NTK(lambda p, x: p["v"] @ jnp.tanh(p["W"] @ x), params)
    other = empirical.NTK(lambda p, x: p["v"] @ jnp.sin(p["W"] @ x), params)
    K, asked = again(tmp_path / "K", x, kernel=one)
    assert same(K, ntkseq.gram(one, x, tile=K.tile)) and len(asked) == 1
    same_text = empirical.NTK(lambda p, x: p["v"] @ jnp.tanh(p["W"] @ x), params)
    assert again(tmp_path / "K", x, kernel=same_text)[1] == []
    with pytest.raises(ValueError, match=r"what kernel.function.equations of f computes had tanh and has sin"):
        again(tmp_path / "K", x, kernel=other)
    with pytest.raises(ValueError, match=r"kernel.function.params.\['W'\] was float32\[4, 2\]"):
        again(tmp_path / "K", x, kernel=one.with_(params=params | {"W": jnp.ones((4, 2)) * 2}))


def test_what_has_no_tiles_is_refused(tmp_path: pathlib.Path) -> None:
    tasks = (X[:6, :2], np.ones((6, 2), np.float32)), X[:6, 2:]
    inner = kernels.Meta(kernels.Dense(), kernels.GD(steps=1, lr=0.1))
    with pytest.raises(ValueError, match=r"store= takes kernels between examples, .* got kernels.Meta"):
        ntkseq.gram(inner, tasks, store=tmp_path / "K")
    network = empirical.NTK(lambda w, x: w @ x, jnp.ones((3, 2)), outputs="full")
    with pytest.raises(ValueError, match=r"a stored Gram has one number per pair of inputs; got \(3, 3\)"):
        ntkseq.gram(network, X[:, 0], store=tmp_path / "K")
    with pytest.raises(ValueError, match=r"overflow"):
        ntkseq.gram(KERNEL, 1e25 * X, store=tmp_path / "K")
    assert not (tmp_path / "K").exists()


@pytest.mark.slow
def test_a_sampled_kernel_is_stored_as_an_estimate_without_batches(tmp_path: pathlib.Path) -> None:
    kernel = kernels.Gated(particles=64)
    K = ntkseq.gram(kernel, X[:20], store=tmp_path / "K")
    assert K.sampling is not None and K.sampling.batches is None and "holds no batches" in K.sampling.why
    assert same(K, ntkseq.lazy(kernel, X[:20], tile=K.tile)) and K.rounding > 0


def test_a_store_of_another_version_says_so(tmp_path: pathlib.Path) -> None:
    K, _ = again(tmp_path / "K")
    file = tmp_path / "K" / record.FILE
    held = json.loads(file.read_text())
    file.write_text(json.dumps(held | {"by": held["by"] | {"ntkseq": "0.0.7"}}))
    assert again(tmp_path / "K")[1] == []  # finished: nothing is computed, so nothing is mixed
    K.chunks.drop(0, 1)
    with pytest.raises(ValueError, match=r"was begun by ntkseq 0.0.7, and not all of it is there; this is"):
        again(tmp_path / "K")
    file.write_text(json.dumps(held | {"version": 2, "more": 1}))
    for refused in (lambda: grams.open(tmp_path / "K"), lambda: again(tmp_path / "K")):
        with pytest.raises(ValueError, match=r"is a store of version 2; this ntkseq .* reads version 1"):
            refused()


def test_a_half_deleted_store_is_told_from_a_new_one(tmp_path: pathlib.Path) -> None:
    K, _ = again(tmp_path / "K")
    wanted, text = np.asarray(K), (tmp_path / "K" / record.FILE).read_text()
    (tmp_path / "K" / "zarr.json").unlink()
    next((tmp_path / "K").glob("diagonal-*.npy")).unlink()
    with pytest.raises(OSError, match=r"the diagonal of .* is damaged: it is missing"):
        grams.open(tmp_path / "K").diag()
    L, asked = again(tmp_path / "K")
    assert asked == [] and same(L, wanted) and same(L.diag(), wanted.diagonal()) and (tmp_path / "K/zarr.json").exists()
    (tmp_path / "K" / record.FILE).write_text(text[:100])
    with pytest.raises(ValueError, match=r"gram.json does not say what is stored"):
        again(tmp_path / "K")
    (tmp_path / "K" / record.FILE).unlink()
    with pytest.raises(ValueError, match=r"store must be a new folder, .* which has no gram.json and holds 'by'"):
        again(tmp_path / "K")


def test_places_that_are_no_store_are_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("a")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("a")
    for path, said in ((tmp_path / "file", "which is a file"), (tmp_path / "full", "holds 'mine.txt'")):
        with pytest.raises(ValueError, match=said):
            again(path)
    with pytest.raises(OSError, match=r"cannot be written \(Not a directory\)\. Pass another store="):
        again(tmp_path / "file" / "K")
    with pytest.raises(ValueError, match=r"holds no stored Gram matrix: it has no gram.json"):
        grams.open(tmp_path / "nowhere")


def test_what_is_no_path_is_refused(untyped: None) -> None:
    for call in (lambda: ntkseq.gram(KERNEL, X, store=3), lambda: grams.open(3)):  # pyright: ignore
        with pytest.raises(ValueError, match=r"must be the path of .*folder.*; got 3"):
            call()


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path: pathlib.Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match=r"Permission denied"):
        again(tmp_path / "K")


def test_a_second_command_is_refused_and_told_by_whom(tmp_path: pathlib.Path) -> None:
    again(tmp_path / "K")
    assert claims.writer(tmp_path / "K") == ""
    with claims.claimed(tmp_path / "K"):
        assert claims.writer(tmp_path / "K").startswith(f"process {os.getpid()} on ")
        with pytest.raises(OSError, match=f"is being filled by process {os.getpid()} on .*grams.open"):
            again(tmp_path / "K")
        assert len(grams.open(tmp_path / "K").missing) == 0
    assert again(tmp_path / "K")[1] == []


def test_a_full_disk_is_one_line_and_leaves_what_is_finished(tmp_path: pathlib.Path, monkeypatch: Any) -> None:
    from ntkseq.grams.stores import chunks

    done, replace = [], os.replace

    def full(part: Any, path: Any) -> None:
        if pathlib.Path(path).parent.parent.name == "c":
            if len(done) == 4:
                raise OSError(28, "No space left on device")
            done.append(path)
        replace(part, path)

    monkeypatch.setattr(chunks.os, "replace", full)
    with pytest.raises(
        OSError, match=r"^\[Errno 28\] chunk \(\d, \d\) of .* cannot be written \(No space left"
    ) as told:
        again(tmp_path / "K")
    assert "\n" not in str(told.value) and not list(tmp_path.rglob("*.part"))
    monkeypatch.undo()
    assert len(grams.open(tmp_path / "K").missing) == 6
    K, asked = again(tmp_path / "K")
    assert len(asked) == 6 and same(K, ntkseq.gram(KERNEL, X))


@pytest.mark.slow
@pytest.mark.faults
def test_twenty_seeded_accidents_leave_the_matrix_of_an_undisturbed_run(tmp_path: pathlib.Path) -> None:
    sys.path.insert(0, str(HERE))
    try:
        import store_trials
    finally:
        sys.path.remove(str(HERE))
    trials, kinds = store_trials.Trials(tmp_path), []
    for seed in range(20):
        try:
            kinds.append(trials.run(seed))
        except OSError as error:
            if "no small file system can be mounted here" not in str(error):
                raise
    assert len(kinds) >= 17 and set(kinds) >= set(store_trials.KINDS) - {"full disk"}


@pytest.mark.parametrize("store", ["s3://bucket/K", pathlib.Path("gs://bucket/K"), "~/K"])
def test_an_address_and_a_home_folder_that_no_shell_read_are_refused_and_no_folder_is_made(
    store: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="store must be the path of a folder that this machine sees; got"):
        ntkseq.gram(KERNEL, X[:4], store=store)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_nested_lists_of_numbers_are_stored_like_the_array_they_make(tmp_path: pathlib.Path) -> None:
    K = ntkseq.gram(KERNEL, X[:4].tolist(), store=tmp_path / "K")
    assert same(K, ntkseq.gram(KERNEL, X[:4], store=tmp_path / "K"))


@pytest.mark.slow
def test_a_reader_that_was_there_before_a_store_grew_reads_its_diagonal(tmp_path: pathlib.Path) -> None:
    ntkseq.gram(KERNEL, X[:30], store=tmp_path / "K")
    before = grams.open(tmp_path / "K")
    ntkseq.gram(KERNEL, X[:31], store=tmp_path / "K")
    assert before.shape == (30, 30) and same(before.diag(), ntkseq.gram(KERNEL, X[:30]).diag())


@pytest.mark.slow
def test_a_reader_refuses_another_matrix_that_was_put_in_its_place(tmp_path: pathlib.Path) -> None:
    K = ntkseq.gram(KERNEL, X[:6], store=tmp_path / "K")
    shutil.rmtree(tmp_path / "K")
    ntkseq.gram(KERNEL.with_(sigma_w=0.5), X[:6], store=tmp_path / "K")
    for read in (lambda: K.rows([0]), lambda: K.times(np.ones(6)), lambda: np.asarray(K)):
        with pytest.raises(ValueError, match=r"another Gram matrix than when it was opened: kernel\.sigma_w was 1\.3"):
            read()


@pytest.mark.slow(cases=["wrong0", "wrong1", "wrong2"])
@pytest.mark.parametrize(
    "wrong", [{"rounding": -1.0}, {"rounding": "a"}, {"entrywise": None}, {"x": {}}, {"layout": {"chunk": 0}}]
)
def test_a_record_that_nobody_wrote_is_refused_in_one_line(
    tmp_path: pathlib.Path, wrong: dict[str, Any], untyped: None
) -> None:
    ntkseq.gram(KERNEL, x := inputs(20), store=tmp_path / "K")
    file = tmp_path / "K" / "gram.json"
    held = json.loads(file.read_text())
    for key, value in wrong.items():
        held[key] = held[key] | value if key == "layout" else value
    file.write_text(json.dumps(held))
    for call in (lambda: grams.open(tmp_path / "K"), lambda: ntkseq.gram(KERNEL, x, store=tmp_path / "K")):
        with pytest.raises(ValueError, match=r"gram\.json does not say what is stored: .*Remove"):
            call()


def test_a_chunk_that_is_a_folder_is_named(tmp_path: pathlib.Path) -> None:
    K = ntkseq.gram(KERNEL, x := inputs(20), store=tmp_path / "K")
    K.chunks.file(0, 0).unlink()
    K.chunks.file(0, 0).mkdir()
    for call in (lambda: K.times(np.ones(20)), lambda: ntkseq.gram(KERNEL, x, store=tmp_path / "K")):
        with pytest.raises(OSError, match=r"is a folder\. Remove it"):
            call()
