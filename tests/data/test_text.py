"""Is text coded as its docstring says, and does real text come with an installed package?"""

from __future__ import annotations

from importlib import resources

import numpy as np
import pytest

from ntkseq.data import text


def test_the_descriptions_of_scikit_learn_are_there_and_of_some_length():
    found = text.descriptions()
    assert list(found) == sorted(found) and {"iris.rst", "digits.rst"} <= set(found)
    assert sum(map(len, found.values())) > 30_000
    assert "Iris" in found["iris.rst"]


def test_every_character_has_one_code_and_unknown_ones_share_the_last():
    assert len(set(text.ALPHABET)) == len(text.ALPHABET)
    assert text.decode(text.encode("A b\n\n C\t9,7 é%")) == "a b c 0,0 ##"
    codes = text.encode("".join(text.descriptions().values()))
    assert codes.min() >= 0 and codes.max() < len(text.ALPHABET)
    assert text.decode(text.encode(text.decode(codes))) == text.decode(codes).replace("  ", " ")


def test_windows_are_every_stretch_with_what_follows():
    codes = text.encode("the quick brown fox")
    x, y = text.windows(codes, 5)
    assert len(x) == len(y) == len(codes) - 5
    for i in range(len(x)):
        assert x[i].tolist() == codes[i : i + 5].tolist() and y[i] == codes[i + 5]


@pytest.mark.parametrize(("t", "message"), [(3, r"need a text of 4; got 3"), (0, "t must be")])
def test_a_text_that_is_not_longer_than_a_window_is_refused(t, message):
    with pytest.raises(ValueError, match=message):
        text.windows(text.encode("abc"), t)


def test_tokens_have_length_one_and_know_their_place():
    codes = text.encode("abca")
    plain, placed = text.one_hot_letters(codes), text.one_hot_letters(codes, positions=True)
    assert plain.shape == (4, len(text.ALPHABET)) and placed.shape == (4, len(text.ALPHABET) + 4)
    np.testing.assert_array_equal(plain.argmax(axis=1), codes)
    assert (np.sum(placed.astype(np.float64) ** 2, axis=1) <= 1).all()
    np.testing.assert_allclose(np.linalg.norm(placed, axis=1), 1, rtol=1e-6)
    assert plain[0].tolist() == plain[3].tolist() and placed[0].tolist() != placed[3].tolist()
    np.testing.assert_array_equal(placed[:, -4:] > 0, np.eye(4, dtype=bool))


def test_a_file_is_read_as_text(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("Grüße", encoding="utf-8")
    assert text.read(file) == {"mine.txt": "Grüße"}


def test_what_is_no_text_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must name a text file"):
        text.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        text.read(tmp_path / "none.txt")
    broken = tmp_path / "broken.txt"
    broken.write_bytes(b"ab\xff\xfe")
    with pytest.raises(ValueError, match="must be UTF-8 text; byte 2 is not"):
        text.read(broken)
    with pytest.raises(ValueError, match=r"at most 3 bytes; broken\.txt has 4"):
        text.read(broken, max_bytes=3)


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    def without(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(resources, "files", without)
    with pytest.raises(ImportError, match=r'pip install "ntkseq\[study\]"'):
        text.descriptions()
