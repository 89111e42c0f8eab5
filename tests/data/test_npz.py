"""Is an npz file read right when it is good, and refused before harm when it is not?"""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntkseq.data import npz

X = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
Y = np.array([1, 0, 1, 0])


def save(folder, **arrays):
    path = folder / "set.npz"
    np.savez(path, **arrays)
    return path


def member(shape: str, descr: str = "<f4", data: bytes = b"") -> bytes:
    """An npy member with a header that says what we like."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def archive(folder, method=zipfile.ZIP_STORED, **members: bytes):
    path = folder / "set.npz"
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members.items():
            file.writestr(name + ".npy", data)
    return path


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


class Bomb:
    """Its pickle makes a folder when it is loaded."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_x_and_y_are_found(tmp_path):
    found = npz.read(save(tmp_path, x=X, y=Y, other=np.ones(3)))
    assert np.array_equal(found.train.x, X) and np.array_equal(found.train.labels, Y)
    assert found.train.lengths is None and found.test is None and found.name == "set"


def test_a_table_of_features_is_read_as_scalar_time_steps(tmp_path):
    found = npz.read(save(tmp_path, X=X[:, :, 0], y=Y, max_norm=3.0, k0_train=np.arange(2)))
    assert found.train.x.shape == (4, 3, 1)


def test_the_names_of_ucr_collections_are_found(tmp_path):
    path = save(tmp_path, Gun_TRAIN=X[:, :, 0], Gun_TEST=X[:2, :, 1], y_TRAIN=Y, y_TEST=Y[:2], source=np.array("here"))
    found = npz.read(path)
    assert found.name == "Gun" and found.train.x.shape == (4, 3, 1)
    assert np.array_equal(found.test.x[:, :, 0], X[:2, :, 1]) and found.test.labels.tolist() == [1, 0]


def test_what_stands_behind_the_lengths_becomes_zero(tmp_path):
    x = X.copy()
    x[0, 2:] = np.nan
    found = npz.read(save(tmp_path, x=x, y=Y, lengths=np.array([2, 3, 3, 3])))
    assert found.train.lengths.tolist() == [2, 3, 3, 3]
    assert (found.train.x[0, 2] == 0).all() and np.array_equal(found.train.x[1:], X[1:])


def test_lengths_that_are_all_full_are_left_out(tmp_path):
    assert npz.read(save(tmp_path, x=X, y=Y, lengths=np.full(4, 3))).train.lengths is None


def test_splits_of_unequal_padding_get_one_padding_and_lengths(tmp_path):
    found = npz.read(save(tmp_path, x=X, y=Y, x_test=X[:, :2], y_test=Y))
    assert found.test.x.shape == (4, 3, 2) and (found.test.x[:, 2] == 0).all()
    assert found.train.lengths.tolist() == [3] * 4 and found.test.lengths.tolist() == [2] * 4


@pytest.mark.parametrize(
    "array",
    [X.astype(">f8"), np.asfortranarray(X), X.astype(np.int8), X[:1, :1, :1], np.array(["é", "b"]), np.array(2.5)],
    ids=["big-endian", "fortran", "int8", "one", "text", "scalar"],
)
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_arrays_come_back_as_numpy_reads_them(tmp_path, array, write):
    write(tmp_path / "set.npz", a=array)
    got = npz.arrays(tmp_path / "set.npz")["a"]
    assert np.array_equal(got, array) and got.dtype == array.dtype.newbyteorder("=")


def test_a_pickled_array_is_refused_and_its_code_does_not_run(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, x=np.array([Bomb(tmp_path / "pwned")], dtype=object), y=Y)
    with pytest.raises(ValueError, match=r"'x' holds pickled Python objects, which are never loaded.*'lengths'"):
        npz.read(path)
    assert not (tmp_path / "pwned").exists()


def test_a_member_named_out_of_its_folder_writes_nothing_and_does_not_disturb(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    path = archive(inside, **{"x": npy(X), "y": npy(Y), "../../evil": npy(Y), "/etc/evil": npy(Y)})
    assert npz.read(path).train.x.shape == (4, 3, 2)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["inside", "set.npz"]
    assert "../../evil" in npz.arrays(path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["inside", "set.npz"]


@pytest.mark.parametrize("shape", ["(1000000, 100000, 64)", "(10**30,)", "(4, 3, 3)", "(1,)"])
def test_a_forged_header_is_refused_before_memory_is_taken(tmp_path, shape):
    path = archive(tmp_path, x=member(shape, data=b"\0" * 96), y=npy(Y))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"header of array 'x'|'x' has no readable npy header"):
        npz.read(path)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


@pytest.mark.parametrize("shape", ["(-4, -3, 2)", "(-1,)"])
def test_a_negative_shape_is_refused(tmp_path, shape):
    with pytest.raises(ValueError, match="header of array 'x' is forged"):
        npz.read(archive(tmp_path, x=member(shape, data=b"\0" * 96), y=npy(Y)))


@pytest.mark.parametrize(
    "header", [b"(" * 9000, b"-" * 9000, b"{", b"{'descr': '<f4'}", b"\xff" * 100, b"__import__('os')"]
)
def test_a_header_that_is_none_is_refused(tmp_path, header):
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n"
    with pytest.raises(ValueError, match="'x' has no readable npy header"):
        npz.read(archive(tmp_path, x=data, y=npy(Y)))


@pytest.mark.parametrize("descr", ["<c8", "|V8", "<M8[s]"])
def test_what_is_neither_number_nor_text_is_refused(tmp_path, descr):
    data = member("(4, 3, 1)", descr, b"\0" * 96)
    with pytest.raises(ValueError, match="array 'x' must hold numbers or text; got dtype"):
        npz.read(archive(tmp_path, x=data, y=npy(Y)))


def test_a_zip_bomb_is_refused_by_what_it_declares(tmp_path):
    path = archive(tmp_path, zipfile.ZIP_DEFLATED, x=member("(1, 2000000, 1)", data=b"\0" * 8_000_000), y=npy(Y[:1]))
    assert path.stat().st_size < 20_000
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"would take 8,\d+,\d+ bytes; the limit is 1,000,000.*raise max_bytes"):
        npz.read(path, max_bytes=1_000_000)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
    assert npz.read(path, max_bytes=10_000_000).train.x.shape == (1, 2_000_000, 1)


def test_a_zip_bomb_that_declares_too_little_is_cut_off(tmp_path):
    path = archive(tmp_path, zipfile.ZIP_DEFLATED, x=member("(1, 25, 1)", data=b"\0" * 8_000_000), y=npy(Y[:1]))
    data = path.read_bytes()
    size = struct.pack("<I", len(member("(1, 25, 1)", data=b"\0" * 8_000_000)))
    assert data.count(size) == 2  # the local record and the central one
    path.write_bytes(data.replace(size, struct.pack("<I", len(member("(1, 25, 1)")) + 100)))
    tracemalloc.start()
    with pytest.raises(ValueError, match="not a whole npz file"):
        npz.read(path)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path, keep):
    path = save(tmp_path, x=X, y=Y)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ValueError, match=r"set\.npz: not an npz file"):
        npz.read(path)


@pytest.mark.parametrize("t", [3, 30_000])
def test_a_flipped_bit_in_the_numbers_is_refused(tmp_path, t):
    x = np.random.default_rng(0).standard_normal((4, t, 2))
    path = save(tmp_path, x=x, y=Y)
    data = bytearray(path.read_bytes())
    at = bytes(data).index(x.tobytes())
    data[at + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"not a whole npz file \(BadZipFile.*CRC"):
        npz.read(path)


def test_what_is_no_zip_is_refused(tmp_path):
    path = tmp_path / "set.npz"
    path.write_bytes(npy(X))
    with pytest.raises(ValueError, match=r"not an npz file.*numpy\.savez"):
        npz.read(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": Y}, r"wanted arrays x and y, or X_train and y_train, or one NAME_TRAIN.*it holds 'y'"),
        ({"x": X}, r"x comes without its labels y; it holds 'x'"),
        ({"x": X, "y": Y, "x_test": X}, "x_test comes without its labels y_test"),
        ({"x": X, "y": Y, "y_test": Y}, "y_test comes without its sequences x_test"),
        (
            {"A_TRAIN": X, "B_TRAIN": X, "y_TRAIN": Y},
            "wanted arrays x and y, or X_train and y_train, or one NAME_TRAIN",
        ),
        ({"x": X[0, 0], "y": Y}, r"x must have shape \(n, t\).*got \(2,\)"),
        ({"x": X[None], "y": Y}, r"x must have shape \(n, t\).*got \(1, 4, 3, 2\)"),
        ({"x": X, "y": Y[:3]}, r"labels of x must have shape \(4,\), one per example; got \(3,\)"),
        ({"x": X, "y": np.eye(4)}, r"got \(4, 4\).*not one-hot"),
        ({"x": np.array(["a", "b"]), "y": Y}, "x must be real numbers; got dtype <U1"),
        ({"x": X[:0], "y": Y[:0]}, "'x' is empty"),
        ({"x": X, "y": Y, "lengths": np.array([0, 1, 1, 1])}, r"lengths of x must lie in 1\.\.3.*got 0\.\.1"),
        ({"x": X, "y": Y, "lengths": np.array([1, 1, 1, 4])}, r"lengths of x must lie in 1\.\.3.*got 1\.\.4"),
        ({"x": X, "y": Y, "lengths": np.array([1, 1, 1, 2**32 + 2])}, r"lengths of x must lie in 1\.\.3"),
        ({"x": X, "y": Y, "lengths": np.array([1, 1, 1])}, r"lengths of x must have shape \(4,\)"),
        ({"x": X, "y": Y, "lengths": np.array([1.0, 1, 1, 1])}, "lengths of x must be integers"),
        ({"x": X, "y": Y, "x_test": X[:, :, :1], "y_test": Y}, "same features; got d = 2 to train on, 1 to test"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_with_the_path(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=r"set\.npz: .*" + message) as caught:
        npz.read(save(tmp_path, **arrays))
    assert "\n" not in str(caught.value)


def test_an_array_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no array 'folds'; it holds 'x', 'y'"):
        npz.arrays(save(tmp_path, x=X, y=Y), ["folds"])


@given(st.data())
def test_damaged_bytes_give_the_arrays_or_a_value_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "set.npz"
    compressed = data.draw(st.booleans())
    (np.savez_compressed if compressed else np.savez)(path, x=X, y=Y)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    try:
        found = npz.read(path)
    except ValueError as error:
        assert str(error).startswith(str(path))
    else:
        assert np.array_equal(found.train.labels, Y)


@pytest.mark.parametrize(
    "names",
    [
        ("X_train", "y_train", "lengths_train", "X_test", "y_test", "lengths_test"),
        ("x_train", "Y_train", "len_train", "x_test", "Y_test", "len_test"),
        ("X_TRAIN", "Y_TRAIN", "len_TRAIN", "X_TEST", "Y_TEST", "len_TEST"),
        ("X", "Y", "Lengths", "X_test", "Y_test", "Lengths_test"),
    ],
)
def test_the_names_that_people_give_to_splits_are_read(tmp_path, names):
    arrays = (X, Y, np.full(len(X), 2), X[:2] + 1, Y[:2], np.array([1, 2]))
    np.savez(tmp_path / "a.npz", **dict(zip(names, arrays, strict=True)), x_val=X, k0=X)
    found = npz.read(tmp_path / "a.npz")
    assert np.array_equal(found.train.x[:, 0], X[:, 0]) and found.train.labels.tolist() == Y.tolist()
    assert found.test.labels.tolist() == Y[:2].tolist() and found.test.lengths.tolist() == [1, 2]
    assert found.train.lengths.tolist() == [2] * len(X) and found.origin.endswith("; x_val left aside")


def test_two_training_splits_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=X, y=Y, X_train=X, y_train=Y)
    with pytest.raises(ValueError, match="both x and X_train may be the training split"):
        npz.read(tmp_path / "a.npz")
