"""Does `load` choose the reader, open the door carefully, and give what the file says?"""

from __future__ import annotations

import builtins
import os
import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntkseq import data as package
from ntkseq.data import npz

CSV = "1,2,3,up\n4,5,,down\n6,7,8,up\n"
ARFF = "@attribute u real\n@attribute v real\n@attribute c {up,down}\n@data\n1,2,up\n4,?,down\n"
TS = "@univariate true\n@classLabel true up down\n@data\n1,2,3:up\n4,5:down\n6,7,8:up\n"


def load(path, **options):
    """Whole numbers are measured values in this file; test_tokens.py is about those that may be ids."""
    return package.load(path, **{"tokens": "real"} | options)


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


def test_infinity_is_refused_with_its_place(tmp_path):
    x = np.ones((2, 3))
    x[1, 2] = np.inf
    np.savez(tmp_path / "a.npz", x=x, y=np.array([0, 1]))
    with pytest.raises(ValueError, match=r"a\.npz: .*must be finite; got 1 .*index \(1, 2, 0\)"):
        load(tmp_path / "a.npz")


X = np.array([[0.5, 1.5, 2.5, 3.5], [0.5, 1.5, np.nan, np.nan], [0.5, 1.5, 2.5, np.nan]])
ENDS = {
    "a.tsv": "1\t0.5\t1.5\t2.5\t3.5\n2\t0.5\t1.5\tNaN\tNaN\n1\t0.5\t1.5\t2.5\tnan\n",
    "a.csv": "0.5,1.5,2.5,3.5,1\n0.5,1.5,NaN,,2\n0.5,1.5,2.5,nan,1\n",
    "a.ts": "@missing true\n@equalLength true\n@classLabel true 1 2\n"
    "@data\n0.5,1.5,2.5,3.5:1\n0.5,1.5,?,?:2\n0.5,1.5,2.5,NaN:1\n",
    "flat.npz": {"x": X},
    "deep.npz": {"x": X[:, :, None]},
    "nct.npz": {"x": X[:, None, :], "layout": "nct"},
}


@pytest.mark.parametrize("name", ENDS)
def test_missing_values_to_the_end_of_a_sequence_are_its_end(tmp_path, name):
    made, options = ENDS[name], {}
    if isinstance(made, str):
        write(tmp_path, name, made)
    else:
        options = {"layout": made.get("layout", "auto")}
        np.savez(tmp_path / name, x=made["x"], y=np.array([1, 2, 1]))
    data = load(tmp_path / name, **options)
    assert data.lengths.tolist() == [4, 2, 3] and np.array_equal(data.x[:, :, 0], np.nan_to_num(X))
    assert data.classes == ("1", "2") and data.y.tolist() == [0, 1, 0]
    assert any("2 sequence(s) end in missing values" in note for note in data.notes)


INSIDE = {
    "a.tsv": ("1\t0.5\tNaN\t2.5\n2\t0.5\t1.5\t2.5\n", r"line 1, column 3: missing value 'NaN'.*Impute"),
    "a.csv": ("0.5,,2.5,a\n0.5,1.5,2.5,b\n", r"line 1, column 2: missing value ''"),
    "q.csv": ("0.5,1.5,?,a\n0.5,1.5,2.5,b\n", r"line 1, column 3: missing value '\?'.*leave these cells empty"),
    "a.ts": ("@classLabel true a b\n@data\n0.5,?,1.5:a\n", r"line 3, dimension 1, column 2: missing value '\?'"),
    "b.ts": ("@classLabel true a b\n@data\n0.5,1.5:0.5,?:a\n", r"line 3, dimension 2, column 2: missing value '\?'"),
    "c.ts": ("@classLabel true a b\n@data\n?,?:a\n", "line 3: the sequence holds nothing but missing values"),
    "a.npz": (
        np.array([[0.5, np.nan, 2.5]] * 2),
        "2 NaN inside sequences, the first in sequence 0 at step 1",
    ),
    "b.npz": (np.array([[[0.5, 1.5], [0.5, np.nan]]] * 2), r"the first in sequence 0 at step 1, feature 1"),
    "c.npz": (np.array([[0.5, 1.5], [np.nan, np.nan]]), "sequence 1 of x holds nothing but NaN"),
}


@pytest.mark.parametrize("name", INSIDE)
def test_a_missing_value_inside_a_sequence_is_refused_with_its_place(tmp_path, name):
    made, message = INSIDE[name]
    if isinstance(made, str):
        write(tmp_path, name, made)
    else:
        np.savez(tmp_path / name, x=made, y=np.array([0, 1]))
    with pytest.raises(ValueError, match=message):
        load(tmp_path / name)


def test_a_missing_target_is_named_with_its_example(tmp_path):
    text = "@targetLabel true\n@data\n0.5,1.5:2.5\n0.5,1.5:none\n"
    with pytest.raises(ValueError, match=r"that of example 1 is no finite number, got 'none'. Fill it in"):
        load(write(tmp_path, "a.ts", text), targets="values")
    with pytest.raises(ValueError, match=r"line 4: the label behind the last ':' is missing"):
        load(write(tmp_path, "a.ts", text.replace("none", "?")), targets="values")


@pytest.mark.parametrize("text", ["0.5,1.5,a\n0.5,1.5,2.5,b\n\n   \n", "x,y,z,label\n0.5,1.5,,a\n0.5,1.5,2.5,b\n,,,\n"])
def test_blank_lines_and_rows_of_nothing_at_the_end_are_no_sequences(tmp_path, text):
    assert load(write(tmp_path, "a.csv", text)).lengths.tolist() == [2, 3]


# arrays of an npz as (n, channels, time)


@pytest.mark.parametrize("shape", [(40, 6, 100), (5, 3, 24), (4, 2, 4)])
def test_channels_before_time_are_said_and_swapped_when_asked(tmp_path, shape):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(shape[0]) % 2)
    with pytest.warns(package.Doubt, match=rf"read as t = {shape[1]} steps of d = {shape[2]}.*layout='nct'"):
        data = load(tmp_path / "a.npz")
    assert np.array_equal(data.x, x) and "layout='nct'" in repr(data)
    assert np.array_equal(load(tmp_path / "a.npz", layout="nct").x, np.swapaxes(x, 1, 2))
    assert np.array_equal(load(tmp_path / "a.npz", layout="ntd").x, x)


@pytest.mark.parametrize("shape", [(4, 3, 5), (4, 8, 8), (4, 3, 1), (4, 100, 6)])
def test_nothing_is_said_of_arrays_with_about_as_many_steps_as_features(tmp_path, shape):
    np.savez(tmp_path / "a.npz", x=np.full(shape, 0.5), y=np.arange(4) % 2)
    data = load(tmp_path / "a.npz")
    assert data.notes == () and data.origin == f"array x of shape {shape} read as (n, t, d), labels y"


def test_one_step_of_many_features_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.full((4, 1, 150), 0.5), y=np.arange(4) % 2)
    with pytest.raises(ValueError, match=r"would be one step of 150 features.*layout='nct'.*layout='ntd'"):
        load(tmp_path / "a.npz")
    assert load(tmp_path / "a.npz", layout="nct").x.shape == (4, 150, 1)
    assert load(tmp_path / "a.npz", layout="ntd").x.shape == (4, 1, 150)


def test_nan_and_lengths_along_the_last_axis_point_to_channels_before_time(tmp_path):
    x = np.full((4, 3, 5), 0.5)
    x[0, :, 3:] = np.nan
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(4) % 2)
    with pytest.raises(ValueError, match=r"end of the last axis.*layout='nct'"):
        load(tmp_path / "a.npz")
    assert load(tmp_path / "a.npz", layout="nct").lengths.tolist() == [3, 5, 5, 5]
    np.savez(tmp_path / "a.npz", x=np.full((4, 3, 5), 0.5), y=np.arange(4) % 2, lengths=np.array([3, 5, 5, 5]))
    with pytest.raises(ValueError, match=r"lengths of x must lie in 1\.\.3.*layout='nct'"):
        load(tmp_path / "a.npz")
    assert load(tmp_path / "a.npz", layout="nct").lengths.tolist() == [3, 5, 5, 5]


@pytest.mark.parametrize(("name", "layout"), [("w.csv", "nct"), ("w.TS", "ntd"), ("w.TS", "rows"), ("w.npz", "rows")])
def test_a_layout_of_another_format_is_refused(same, name, layout):
    with pytest.raises(ValueError, match=f"layout='{layout}' is for"):
        load(same / name, layout=layout)


# the test split is read as the training split


def test_the_label_column_of_the_training_file_is_that_of_the_test_file(tmp_path):
    train = write(tmp_path, "a_TRAIN.tsv", "1\t573\t375\t212\n2\t394\t264\t144\n1\t603\t348\t177\n")
    test = write(tmp_path, "a_TEST.tsv", "2\t573\t375\t1\n1\t394\t264\t2\n2\t603\t348\t2\n")
    data = load(train, test=test)
    assert data.y.tolist() == [0, 1, 0] and data.y_test.tolist() == [1, 0, 1]
    assert data.x_test[:, :, 0].tolist() == [[573, 375, 1], [394, 264, 2], [603, 348, 2]]
    assert data.origin == "a row is a sequence, the label its first cell"


def test_tables_with_other_columns_are_no_pair(tmp_path):
    train = write(tmp_path, "a.csv", "u,v,label\n0.5,1.5,a\n0.5,2.5,b\n")
    with pytest.raises(ValueError, match="different columns, 'u' to train on where the test has 'v'"):
        load(train, test=write(tmp_path, "b.csv", "v,u,label\n0.5,1.5,a\n0.5,2.5,b\n"))
    with pytest.raises(ValueError, match="a row index stands in front of one of the two"):
        load(train, test=write(tmp_path, "b.csv", ",u,v,label\n7,0.5,1.5,a\n9,0.5,2.5,b\n"))


# labels are one class where they are one number, in every format


@pytest.mark.parametrize("other", ["1.0", "01", "1e0", " 1 ", "+1"])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "ts", "npz"])
def test_one_number_is_one_class_however_it_is_written(tmp_path, suffix, other):
    def made(name, labels):
        path = tmp_path / f"{name}.{suffix}"
        rows = [[f"{i}.5", "0.25", label] for i, label in enumerate(labels)]
        if suffix == "npz":
            np.savez(path, x=np.array([[float(a), float(b)] for a, b, _ in rows]), y=np.array(labels))
        elif suffix == "ts":
            path.write_text("@classLabel true 1 2\n@data\n" + "".join(f"{a},{b}:{c}\n" for a, b, c in rows))
        elif suffix == "tsv":
            path.write_text("".join(f"{c}\t{a}\t{b}\n" for a, b, c in rows))
        else:
            path.write_text("".join(f"{a},{b},{c}\n" for a, b, c in rows))
        return path

    one = load(made("a", ["1", "2", other]))
    assert one.classes == ("1", "2") and one.y.tolist() == [0, 1, 0]
    pair = load(made("b", ["1", "2"]), test=made("c", [other, "2.0"]))
    assert pair.classes == ("1", "2") and pair.y.tolist() == pair.y_test.tolist() == [0, 1]


def test_numbers_of_every_dtype_and_text_name_the_same_classes(tmp_path):
    made = []
    for i, y in enumerate([np.array([1, 2]), np.array([1.0, 2.0]), np.array(["1", "2.0"]), np.array([b"1", b"2"])]):
        made.append(tmp_path / f"{i}.npz")
        np.savez(made[-1], x=np.full((2, 3), 0.5), y=y)
    for train in made:
        for test in made:
            data = load(train, test=test)
            assert data.classes == ("1", "2") and data.y.tolist() == data.y_test.tolist() == [0, 1]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz: no such file"):
        load(tmp_path / "nowhere.npz")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(
        IsADirectoryError, match=r"is a directory; wanted one file \(\.npz, \.csv, .*, \.txt, \.parquet\)"
    ):
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


@pytest.mark.parametrize("name", ["a.feather", "a", "a.csv.gz"])
def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path, name):
    with pytest.raises(ValueError, match=r"no reader for suffix .*wanted one of \.npz, \.csv, \.tsv, \.ts"):
        load(write(tmp_path, name, CSV))


@pytest.mark.parametrize(("name", "option"), [("w.npz", "label"), ("w.TS", "label"), ("w.npz", "delimiter")])
def test_an_option_that_a_file_cannot_use_is_refused(same, name, option):
    with pytest.raises(ValueError, match=f"{option} says .* is none. Leave it out"):
        load(same / name, **{option: "first" if option == "label" else ";"})


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


def test_targets_is_one_of_three_words(same):
    with pytest.raises(ValueError, match="targets must be one of 'auto', 'classes', 'values'; got 'labels'"):
        load(same / "w.csv", targets="labels")


@pytest.mark.parametrize("suffix", ["csv", "ts", "arff", "txt"])
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
        text = {"ts": TS, "arff": ARFF, "txt": CSV.replace(",", " ")}.get(suffix, CSV) + text
    path = write(tmp_path_factory.mktemp("fuzz"), f"a.{suffix}", text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", package.Doubt)
            found = load(path)
    except ValueError as error:
        assert str(error).startswith(str(path)) and len(str(error)) < 3 * len(str(path)) + 900
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
