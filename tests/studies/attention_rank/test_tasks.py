"""Do the tasks of the study of attention ranks hold what they promise: independent draws, short tokens, true signs?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.data import text
from ntkseq.studies.attention_rank.tasks import characters, classes

PROSE = "it was the best of times, it was the worst of times. " * 6


@pytest.fixture
def prose(tmp_path):
    file = tmp_path / "prose.txt"
    file.write_text(PROSE)
    return str(file)


def test_windows_of_a_text_are_drawn_with_the_character_behind_them(prose):
    task = characters(prose, 4, 50, 0)
    part = task.draw(200, (0, 1))
    codes = part.x[..., : len(text.ALPHABET)].argmax(axis=2)
    for window, after, sign in zip(codes, part.y, part.signs, strict=True):
        assert text.decode([*window, after]) in PROSE
        assert (sign > 0) == (text.ALPHABET[after] in "aeiou")
    assert task.replace and task.outputs == len(text.ALPHABET) and task.read == "last"


def test_the_last_tenth_of_a_text_is_never_drawn_from(tmp_path):
    file = tmp_path / "two.txt"
    file.write_text("ab" * 450 + "xy" * 50)
    task = characters(str(file), 3, 60, 0)
    x, y = (text.ALPHABET.index(letter) for letter in "xy")
    near = task.take(np.arange(task.size))
    assert not np.isin(near.y, (x, y)).any() and not near.x[..., [x, y]].any()
    assert task.apart is not None and np.isin(task.apart.y, (x, y)).all()
    assert task.size == 900 - 3


def test_draws_differ_with_the_seed_and_come_again_with_the_same(prose):
    task = characters(prose, 4, 50, 0)
    one, again, other = (task.draw(30, seed) for seed in ((0, 1), (0, 1), (0, 2)))
    np.testing.assert_array_equal(one.x, again.x)
    assert not np.array_equal(one.x, other.x)
    assert task.fingerprint() == characters(prose, 4, 50, 0).fingerprint() != characters(prose, 4, 50, 1).fingerprint()


def test_digits_become_tokens_no_longer_than_one_and_test_examples_are_never_drawn():
    task = classes("digits", (), 80, 0)
    part = task.draw(task.size, (0, 0))
    for one in (part, task.test):
        assert np.max(np.sum(one.x.astype(np.float64) ** 2, axis=2)) <= 1
        np.testing.assert_array_equal(one.signs > 0, one.y % 2 == 1)
    assert len(task.test.y) == 80 and task.outputs == 10 and part.x.shape[1:] == (8, 16)
    drawn = {row.tobytes() for row in part.x}
    assert len(drawn) == task.size and not drawn & {row.tobytes() for row in task.test.x}


def test_tokens_of_a_file_are_squashed_and_placed_whatever_their_length(tmp_path):
    x = 10.0 ** np.random.default_rng(0).uniform(-2, 4, (20, 4, 1)) * np.ones((20, 4, 2))
    np.savez(tmp_path / "f.npz", x=x, y=np.arange(20) % 2, x_test=x[:5], y_test=np.arange(5) % 2)
    task = classes(str(tmp_path / "f.npz"), (), None, 0)
    part = task.take(np.arange(20))
    norms = np.linalg.norm(part.x[..., :2].astype(np.float64), axis=2)
    size = np.linalg.norm(x, axis=2)
    np.testing.assert_allclose(norms, size / np.sqrt(2 * (1 + size**2)), rtol=1e-5)
    assert np.max(np.sum(part.x.astype(np.float64) ** 2, axis=2)) <= 1
    assert len(task.test.y) == 5  # the file's own split


def test_padding_stays_zero_and_lengths_go_along(tmp_path):
    rng = np.random.default_rng(0)
    lengths = np.array([1, 4, 2, 4] * 5)
    np.savez(tmp_path / "r.npz", x=rng.standard_normal((20, 4, 3)), y=np.arange(20) % 2, lengths=lengths)
    task = classes(str(tmp_path / "r.npz"), (), 4, 0)
    part = task.draw(6, (0, 0))
    assert part.lengths is not None
    inside = np.arange(4) < part.lengths[:, None]
    assert not part.x[~inside].any() and part.x[inside].any(axis=1).all()
    assert len(part.inputs) == 2 and len(part.data(part.y)) == 3


@pytest.mark.parametrize("words", ["", "abc", "abcdefg"])
def test_a_text_shorter_than_a_window_is_refused(tmp_path, words):
    file = tmp_path / "short.txt"
    file.write_text(words)
    with pytest.raises(ValueError, match="must have more than t = 8 characters"):
        characters(str(file), 8, 10, 0)


def test_more_examples_than_there_are_is_refused(prose):
    task = characters(prose, 4, 50, 0)
    with pytest.raises(ValueError, match=f"n must be at most {task.size}"):
        task.draw(task.size + 1, (0, 0))
