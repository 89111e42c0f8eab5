"""Does `load` choose the reader, open the door carefully, and give what the file says?"""

from __future__ import annotations

import builtins
import os

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntkseq.data import load, npz

CSV = "1,2,3,up\n4,5,,down\n6,7,8,up\n"
TS = "@univariate true\n@classLabel true up down\n@data\n1,2,3:up\n4,5:down\n6,7,8:up\n"


def write(folder, name, text):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def same(tmp_path):
    """One data set in each format."""
    x = np.array([[1, 2, 3], [4, 5, np.nan], [6, 7, 8]])
    np.savez(tmp_path / "w.npz", x=x, y=np.array(["up", "down", "up"]), lengths=np.array([3, 2, 3]))
    write(tmp_path, "w.csv", CSV)
    write(tmp_path, "w.tsv", CSV.replace(",", "\t"))
    write(tmp_path, "w.TS", TS)
    return tmp_path


@pytest.mark.parametrize("name", ["w.npz", "w.csv", "w.tsv", "w.TS"])
def test_every_format_gives_the_same_data_set(same, name):
    data = load(same / name)
    assert data.x[:, :, 0].tolist() == [[1, 2, 3], [4, 5, 0], [6, 7, 8]] and data.x.dtype == jnp.float32
    assert data.y.tolist() == [1, 0, 1] and data.y.dtype == jnp.int32 and data.classes == ("down", "up")
    assert data.lengths.tolist() == [3, 2, 3] and data.lengths.dtype == jnp.int32
    assert data.name == "w" and data.x_test is None and data.y_test is None and data.lengths_test is None
    assert data.signs().y.tolist() == [1, -1, 1]


@pytest.mark.parametrize("name", ["w.npz", "w.csv", "w.TS"])
def test_a_second_file_is_the_test_split(same, name):
    other = {
        "w.npz": lambda path: np.savez(path, x=np.ones((1, 4)), y=np.array(["down"])),
        "w.csv": lambda path: path.write_text("1,1,1,1,down\n"),
        "w.TS": lambda path: path.write_text("@classLabel true up down\n@data\n1,1,1,1:down\n"),
    }[name]
    other(same / ("test_" + name))
    data = load(same / name, test=same / ("test_" + name))
    assert data.x.shape == (3, 4, 1) and data.lengths.tolist() == [3, 2, 3]
    assert data.x_test.shape == (1, 4, 1) and data.lengths_test.tolist() == [4]
    assert data.y.tolist() == [1, 0, 1] and data.y_test.tolist() == [0]


def test_the_dtype_of_the_file_is_kept_where_the_mode_allows(tmp_path, x64):
    for dtype in (np.float16, np.float32, np.float64):
        np.savez(tmp_path / "a.npz", x=np.full((2, 2), 0.1, dtype), y=np.array([0, 1]))
        assert load(tmp_path / "a.npz").x.dtype == dtype
    assert load(write(tmp_path, "a.csv", "0.1,a\n")).x.dtype == jnp.float64
    assert load(tmp_path / "a.csv", dtype=jnp.float32).x.dtype == jnp.float32
    assert float(load(tmp_path / "a.csv").x[0, 0, 0]) == 0.1


def test_float64_is_rounded_only_when_the_mode_has_no_float64(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.full((2, 2), 0.1), y=np.array([0, 1]))
    assert load(tmp_path / "a.npz").x.dtype == jnp.float32
    with pytest.raises(ValueError, match="64-bit mode"):
        load(tmp_path / "a.npz", dtype=jnp.float64)


def test_regression_targets_come_as_numbers(tmp_path):
    data = load(write(tmp_path, "a.csv", "1,2,0.5\n3,4,-7\n"), targets="values")
    assert data.y.tolist() == [0.5, -7] and data.y.dtype == jnp.float32 and data.classes == ()
    with pytest.raises(ValueError, match="targets='values'"):
        load(tmp_path / "a.csv")


def test_sequences_without_labels_have_none(tmp_path):
    data = load(write(tmp_path, "a.csv", "1,2\n3,4\n"), label=None)
    assert data.y is None and data.classes == () and data.x.shape == (2, 2, 1)


def test_a_byte_order_mark_is_no_part_of_the_first_cell(tmp_path):
    assert float(load(write(tmp_path, "a.csv", b"\xef\xbb\xbf1,2,a\n")).x[0, 0, 0]) == 1


def test_a_number_that_overflows_the_dtype_is_refused(tmp_path):
    path = write(tmp_path, "a.csv", "1e300,1,a\n")
    with pytest.raises(ValueError, match=r"a\.csv: values too large for float32"):
        load(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_refused_with_their_place(tmp_path, bad):
    x = np.ones((2, 3))
    x[1, 2] = bad
    np.savez(tmp_path / "a.npz", x=x, y=np.array([0, 1]))
    with pytest.raises(ValueError, match=r"a\.npz: .*must be finite; got 1 .*index \(1, 2, 0\)"):
        load(tmp_path / "a.npz")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz: no such file"):
        load(tmp_path / "nowhere.npz")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(IsADirectoryError, match=r"is a directory; wanted one file \(\.npz, \.csv, \.tsv, \.ts\)"):
        load(tmp_path)


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    path = write(tmp_path, "a.csv", CSV)

    def closed(*args, **kwargs):  # the superuser may read everything, so chmod proves nothing here
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(builtins, "open", closed)
    with pytest.raises(PermissionError, match=r"a\.csv: may not be read"):
        load(path)


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(ValueError, match="not a regular file"):
        load(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["a.parquet", "a", "a.csv.gz"])
def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path, name):
    with pytest.raises(ValueError, match=r"no reader for suffix .*wanted one of \.npz, \.csv, \.tsv, \.ts"):
        load(write(tmp_path, name, CSV))


@pytest.mark.parametrize("suffix", ["npz", "csv", "ts"])
def test_a_file_of_zero_bytes_is_refused(tmp_path, suffix):
    with pytest.raises(ValueError, match=r"the file is empty \(0 bytes\)"):
        load(write(tmp_path, f"a.{suffix}", b""))


@pytest.mark.parametrize("suffix", ["csv", "ts"])
def test_text_that_is_not_utf8_is_refused_with_its_line(tmp_path, suffix):
    with pytest.raises(ValueError, match=r"line 2: byte 0xe9 is not UTF-8"):
        load(write(tmp_path, f"a.{suffix}", b"# one\n1,2,caf\xe9\n"))


@pytest.mark.parametrize("suffix", ["csv", "ts"])
def test_text_above_the_limit_is_refused_before_it_is_read(tmp_path, suffix):
    with pytest.raises(ValueError, match="would take 31 bytes; the limit is 30"):
        load(write(tmp_path, f"a.{suffix}", b"1" * 31), max_bytes=30)


def test_two_test_splits_are_refused(same):
    np.savez(same / "both.npz", x=np.ones((1, 2)), y=[0], x_test=np.ones((1, 2)), y_test=[0])
    with pytest.raises(ValueError, match="there is a test split in the file already"):
        load(same / "both.npz", test=same / "w.npz")


def test_files_that_list_different_classes_are_refused(same):
    other = write(same, "other.ts", "@classLabel true up left\n@data\n1:up\n")
    with pytest.raises(ValueError, match=r"list different classes, \('up', 'down'\) and \('up', 'left'\)"):
        load(same / "w.TS", test=other)


def test_targets_is_one_of_two_words(same):
    with pytest.raises(ValueError, match="targets must be one of 'classes', 'values'; got 'labels'"):
        load(same / "w.csv", targets="labels")


@pytest.mark.parametrize("suffix", ["csv", "ts"])
@given(st.data())
def test_any_text_gives_a_data_set_or_a_value_error(tmp_path_factory, suffix, data):
    pieces = [
        "@data",
        "@classLabel",
        "true",
        "@dimensions",
        "1",
        "2.5",
        "a",
        "?",
        ":",
        ",",
        ",",
        "\n",
        "\n",
        " ",
        '"',
        "\0",
        "é",
    ]
    text = "".join(data.draw(st.lists(st.sampled_from(pieces), max_size=30)))
    if data.draw(st.booleans()):
        text = (TS if suffix == "ts" else CSV) + text
    path = write(tmp_path_factory.mktemp("fuzz"), f"a.{suffix}", text)
    try:
        found = load(path)
    except ValueError as error:
        assert str(error).startswith(str(path)) and len(str(error)) < len(str(path)) + 300
    else:
        assert (
            np.isfinite(np.asarray(found.x)).all() and found.y is not None and int(found.y.max()) < len(found.classes)
        )


# From the table of the folder of real data: train, test, t, d, classes, ragged.
UCR = {
    "SmoothSubspace": (150, 150, 15, 1, 3, False),
    "Coffee": (28, 28, 286, 1, 2, False),
    "ECG200": (100, 100, 96, 1, 2, False),
    "GunPoint": (50, 150, 150, 1, 2, False),
    "SyntheticControl": (300, 300, 60, 1, 6, False),
    "ItalyPowerDemand": (67, 1029, 24, 1, 2, False),
    "ArrowHead": (36, 175, 251, 1, 3, False),
    "JapaneseVowels": (270, 370, 29, 12, 9, True),
    "BasicMotions": (40, 40, 100, 6, 4, False),
    "PickupGestureWiimoteZ": (50, 50, 361, 1, 10, True),
}
UCI = {
    "conn-bench-sonar-mines-rocks": (208, 60, 2),
    "ecoli": (336, 7, 8),
    "glass": (214, 9, 6),
    "iris": (150, 4, 3),
    "wine": (178, 13, 3),
    "balance-scale": (625, 4, 3),
}


@pytest.mark.data
def test_every_real_file_is_in_the_tables_of_this_test(data_dir):
    assert {path.stem for path in (data_dir / "ucr").glob("*.npz")} == set(UCR)
    assert {path.stem for path in (data_dir / "uci").glob("*.npz")} == set(UCI)


@pytest.mark.data
@pytest.mark.parametrize("name", UCR)
def test_a_real_set_of_time_series_has_the_shape_of_the_table(data_dir, name):
    n, m, t, d, k, ragged = UCR[name]
    data = load(data_dir / "ucr" / f"{name}.npz")
    assert data.name == name and data.x.shape == (n, t, d) and data.x_test.shape == (m, t, d)
    assert data.classes == tuple(str(i) for i in range(k))
    for x, y, lengths in ((data.x, data.y, data.lengths), (data.x_test, data.y_test, data.lengths_test)):
        assert sorted(set(np.asarray(y).tolist())) == list(range(k))
        assert (lengths is not None) == ragged
        if ragged:
            behind = np.arange(t)[None] >= np.asarray(lengths)[:, None]
            assert behind.any() and not np.asarray(x)[behind].any()
    raw = np.load(data_dir / "ucr" / f"{name}.npz", allow_pickle=False)
    assert np.array_equal(np.asarray(data.x_test).ravel(), raw[f"{name}_TEST"].ravel())
    assert np.array_equal(data.y, raw["y_TRAIN"]) and np.array_equal(data.y_test, raw["y_TEST"])


@pytest.mark.data
@pytest.mark.parametrize("name", UCI)
def test_a_real_table_has_the_shape_of_the_table(data_dir, name):
    n, t, k = UCI[name]
    path = data_dir / "uci" / f"{name}.npz"
    data = load(path)
    assert data.name == name and data.x.shape == (n, t, 1) and len(data.classes) == k
    folds = npz.arrays(path, ["max_norm", "train_fold", "val_fold"])
    norms = np.linalg.norm(np.asarray(data.x, np.float64), axis=(1, 2))
    np.testing.assert_allclose(norms.max(), folds["max_norm"], rtol=1e-6)
    assert len(np.union1d(folds["train_fold"], folds["val_fold"])) == n
