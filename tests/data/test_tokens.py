"""Are ids of tokens told from measured whole numbers, and read as what they are?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.data import load
from ntkseq.data.files import Doubt

RNG = np.random.default_rng(0)
IDS = RNG.integers(0, 30, (60, 16))
COUNTS = RNG.poisson(400, (60, 16)) + RNG.integers(0, 2000, (60, 1))
Y = np.arange(60) % 2


def written(folder, x, suffix, **more):
    path = folder / f"a.{suffix}"
    if suffix == "npz":
        np.savez(path, x=x, y=Y, **more)
    elif suffix == "ts":
        lines = [",".join(map(str, row)) + f":{'uv'[c]}\n" for row, c in zip(x.tolist(), Y, strict=True)]
        path.write_text("@classLabel true u v\n@data\n" + "".join(lines))
    else:
        lines = [",".join(map(str, row)) + f",{'uv'[c]}\n" for row, c in zip(x.tolist(), Y, strict=True)]
        path.write_text("".join(lines).replace(",", "\t" if suffix == "tsv" else ","))
    return path


@pytest.mark.parametrize("suffix", ["npz", "csv", "tsv", "ts"])
def test_ids_are_refused_until_it_is_said_what_they_are(tmp_path, suffix):
    path = written(tmp_path, IDS, suffix)
    with pytest.raises(ValueError, match=r"whole number, 0 to 29, one for each step.*tokens='real'.*tokens='one-hot'"):
        load(path)
    assert np.array_equal(load(path, tokens="real").x[:, :, 0], IDS)
    data = load(path, tokens="one-hot")
    assert np.array_equal(data.x, np.eye(30)[IDS]) and data.x.dtype == np.float32
    assert data.notes == ("ids 0..29 are read as unit vectors, d = 30",)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64])
def test_integers_of_any_dtype_with_one_for_each_step_are_asked_about(tmp_path, dtype):
    for x in (IDS.astype(dtype), IDS.astype(dtype)[:, :, None]):
        with pytest.raises(ValueError, match="whole number, 0 to 29"):
            load(written(tmp_path, x, "npz"))
    with pytest.raises(ValueError, match="whole number"):
        load(written(tmp_path, COUNTS, "npz"))
    assert np.array_equal(load(tmp_path / "a.npz", tokens="real").x[:, :, 0], COUNTS)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "ts"])
def test_counts_are_read_and_said(tmp_path, suffix):
    path = written(tmp_path, COUNTS, suffix)
    with pytest.warns(Doubt, match=r"every value is a whole number.*read as real numbers.*tokens='one-hot'"):
        data = load(path)
    assert np.array_equal(data.x[:, :, 0], COUNTS) and "whole number" in repr(data)
    assert load(path, tokens="real").notes == ()


def test_whole_numbers_that_somebody_stored_as_floats_are_read(tmp_path):
    data = load(written(tmp_path, COUNTS.astype(np.float32), "npz"))
    assert np.array_equal(data.x[:, :, 0], COUNTS) and "read as real numbers" in data.notes[0]
    with pytest.warns(Doubt, match="tokens='one-hot'"):  # but these look like ids
        load(written(tmp_path, IDS.astype(np.float32), "npz"))


@pytest.mark.parametrize(
    "x", [IDS > 12, np.stack([IDS, IDS], 2), (IDS > 12).astype(float)], ids=["bool", "d=2", "bits"]
)
def test_what_can_be_no_ids_is_read_and_remarked(tmp_path, x):
    data = load(written(tmp_path, x, "npz"))
    assert np.array_equal(data.x, x.reshape(60, 16, -1)) and "read as real numbers" in data.notes[0]


def test_unit_vectors_stop_at_the_end_of_a_sequence_and_share_one_alphabet(tmp_path):
    lengths = np.arange(60) % 16 + 1
    more = {"lengths": lengths, "x_test": IDS[:5] + 2, "y_test": Y[:5], "lengths_test": lengths[:5]}
    data = load(written(tmp_path, IDS, "npz", **more), tokens="one-hot")
    inside = np.arange(16)[None] < lengths[:, None]
    size = int(max(IDS[inside].max(), (IDS[:5] + 2)[inside[:5]].max())) + 1
    assert np.array_equal(data.x, np.eye(size)[np.minimum(IDS, size - 1)] * inside[:, :, None])
    assert np.array_equal(data.x_test.argmax(-1)[inside[:5]], (IDS[:5] + 2)[inside[:5]])


@pytest.mark.parametrize("x", [IDS - 1, IDS + 0.5, np.stack([IDS, IDS], 2)], ids=["negative", "halves", "d=2"])
def test_what_is_no_id_is_not_made_a_unit_vector(tmp_path, x):
    with pytest.raises(ValueError, match="tokens='one-hot' wants one id 0, 1, 2"):
        load(written(tmp_path, x, "npz"), tokens="one-hot")


def test_an_alphabet_that_fills_the_memory_is_refused(tmp_path):
    x = np.full((60, 16), 2**31)
    with pytest.raises(ValueError, match=r"960 steps as unit vectors of 2147483649 ids would take .* bytes"):
        load(written(tmp_path, x, "npz"), tokens="one-hot")
