"""Are tables and lists in Parquet files the sequences that were written?"""

from __future__ import annotations

import datetime
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.data import load, tidy

arrow = pytest.importorskip("pyarrow", reason="the extra parquet")
parquet = pytest.importorskip("pyarrow.parquet")

NAMES = ["up", "down", "up"]


@pytest.fixture
def write(tmp_path):
    def written(columns, name="a.parquet", **options):
        table = columns if isinstance(columns, arrow.Table) else arrow.table(columns)
        parquet.write_table(table, tmp_path / name, **options)
        return tmp_path / name

    return written


def test_a_row_is_a_sequence_in_the_type_of_its_columns(write):
    x = np.array([[0.1, 0.2], [0.3, np.nan], [0.5, 0.6]], np.float32)
    data = load(write({"a": x[:, 0], "b": arrow.array(x[:, 1], from_pandas=True), "label": NAMES}))
    assert np.array_equal(np.asarray(data.x)[:, :, 0], np.nan_to_num(x)) and data.lengths.tolist() == [2, 1, 2]
    assert data.classes == ("down", "up") and data.y.tolist() == [1, 0, 1]
    counts = write({"a": np.arange(3, dtype=np.int16), "b": np.arange(3, dtype=np.int32), "label": NAMES})
    with pytest.raises(ValueError, match="tokens='one-hot'"):
        load(counts)
    assert load(counts, tokens="real").x[2].tolist() == [[2], [2]]


def test_a_row_is_a_step_of_a_tidy_table(write):
    days = [datetime.datetime(2026, 1, day) for day in (2, 1, 5, 6)]
    labels = arrow.array(["p", "p", "q", "q"]).dictionary_encode()
    columns = {"walk": [7, 7, 8, 8], "day": days, "u": [1.5, 2, 3, 4.25], "label": labels}
    path = write(columns)
    data = load(path, id="walk", time="day")
    assert data.x[:, :, 0].tolist() == [[2, 1.5], [3, 4.25]] and data.classes == ("p", "q")
    with pytest.raises(ValueError, match="row 2, column 'u': missing value inside"):
        load(write(columns | {"u": [1.5, None, 3, 4]}), id="walk", time="day")
    longer = {"id": np.repeat(np.arange(9), 7), "time": np.tile(np.arange(7), 9), "u": np.arange(63) / 8}
    with pytest.raises(tidy.Tidy, match="Pass id='id', time='time', label='label'"):
        load(write(longer | {"label": np.repeat(list("abc"), 21)}))


@pytest.mark.parametrize("kind", ["list", "large_list", "fixed"])
def test_a_list_is_a_sequence_and_each_column_a_feature(write, kind):
    series = [[1.5, 2.5], [3.5, 4.5], [5.5, 6.5]] if kind == "fixed" else [[1.5, 2.5], [3.5], [5.5, 6.5]]
    of = {"list": arrow.list_(arrow.float32()), "large_list": arrow.large_list(arrow.float32())}
    of = of.get(kind, arrow.list_(arrow.float32(), 2))
    two = [[value + 1 for value in one] for one in series]
    path = write({"u": arrow.array(series, of), "v": arrow.array(two, of), "gait": NAMES, "sample_id": [1, 2, 3]})
    data = load(path)
    assert data.x.dtype == jnp.float32 and data.y.tolist() == [1, 0, 1]
    assert data.x[0].tolist() == [[1.5, 2.5], [2.5, 3.5]] and data.x[1, 0].tolist() == [3.5, 4.5]
    assert (data.lengths is None) == (kind == "fixed")
    assert data.origin == (
        "a row is a sequence, a list for each feature in 'u', 'v'; the label in column 'gait'; 'sample_id' left aside"
    )


def test_lists_of_steps_are_read_by_either_layout(write):
    steps = [[[1.5, 2], [3, 4], [5, 6]], [[7, 8], [9, 10], [11, 12.5]]]
    assert load(write({"x": steps, "label": ["a", "b"]})).x.tolist() == steps
    channels = {"x": [np.transpose(one).tolist() for one in steps], "label": ["a", "b"]}
    assert load(write(channels), layout="nct").x.tolist() == steps
    ragged = {"x": [[[1.5, 2], [3, 4]], [[7.5], [8]]], "label": ["a", "b"]}
    with pytest.raises(ValueError, match=r"got 2 and others. If they are \(channels, time\), pass layout='nct'"):
        load(write(ragged))
    assert load(write(ragged), layout="nct").lengths.tolist() == [2, 1]


def test_missing_values_at_the_end_of_a_list_are_its_end(write):
    data = load(write({"x": [[1.5, 2.0], [3.0, None]], "label": ["a", "b"]}))
    assert data.lengths.tolist() == [2, 1]
    with pytest.raises(ValueError, match="NaN inside sequences, the first in sequence 1 at step 0"):
        load(write({"x": [[1.5, 2.0], [None, 3.0]], "label": ["a", "b"]}))


@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        ({"x": [{"a": 1}], "label": ["a"]}, {}, r"column 'x' holds 'struct<a: int64>'; wanted numbers, text, dates"),
        ({"x": [b"1"], "label": ["a"]}, {}, "column 'x' holds 'binary'"),
        ({"x": [[1.5], None], "label": ["a", "b"]}, {}, "row 2: no sequence"),
        ({"x": [[1.5], []], "label": ["a", "b"]}, {}, "row 2: the sequence holds nothing"),
        ({"u": [[1.5]], "v": [[1.5, 2]], "label": ["a"]}, {}, "row 1: lists of one row need one length; got 'u' 1"),
        ({"x": [[1.5]], "a": ["a"], "b": ["b"]}, {}, "the label may be one of 'a', 'b'. Pass label='NAME'"),
        ({"x": [[1.5]], "a": ["a"]}, {"label": "x"}, "no column of labels named 'x'; there are 'a'"),
        ({"x": [[1.5]], "a": ["a"]}, {"id": "a"}, "column 'x' holds lists, which are sequences. Leave id and time out"),
        ({"x": [[1.5]], "a": ["a"]}, {"layout": "nct"}, "layout='nct' says nothing of columns of list"),
        ({"x": [1.5], "a": ["a"]}, {"layout": "nct"}, "layout='nct' is for arrays"),
        ({"x": [1.5], "a": ["a"]}, {"delimiter": "tab"}, "delimiter says what stands between cells"),
        ({"x": [1.5, None, 2], "u": [1.5, 2, 3], "a": ["a", "b", "b"]}, {}, "row 2, column 1: missing value"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(write, columns, options, said):
    with pytest.raises(ValueError, match=said):
        load(write(columns), **options)


def test_a_damaged_or_enormous_file_is_refused(write, tmp_path):
    path = write({"x": [[0.0] * 10**5] * 9, "label": list("ababababa")})  # runs of zeros: a few hundred bytes
    with pytest.raises(ValueError, match=r"its columns, unpacked, would take 7,200,0\d\d bytes; the limit"):
        load(path, max_bytes=10**6)
    (tmp_path / "cut.parquet").write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="not a whole Parquet file"):
        load(tmp_path / "cut.parquet")


def test_without_pyarrow_the_extra_is_named(write, monkeypatch):
    path = write({"x": [1.5], "label": ["a"]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r'needs pyarrow, which is not installed. Run: pip install "ntkseq\[par'):
        load(path)
