import types

import numpy as np
import pytest

import ntkseq
from ntkseq import kernels
from ntkseq.studies import Filling, filled, filled_grams
from ntkseq.studies.filled_grams import counted, summary


@pytest.fixture
def file(tmp_path):
    x = np.random.default_rng(0).standard_normal((30, 4, 2)).astype(np.float32)
    np.savez(tmp_path / "made.npz", x=x[:20], y=np.arange(20) % 2, x_test=x[20:], y_test=np.arange(10) % 2)
    return str(tmp_path / "made.npz"), x


@pytest.mark.slow
def test_the_matrix_of_a_file_is_that_of_its_kernel(file, tmp_path):
    path, x = file
    lines: list[str] = []
    K = filled(Filling(path, str(tmp_path / "K"), sigma_w=1.3, read="last", part="all", n=25), say=lines.append)
    wanted = ntkseq.gram(kernels.Recurrent(sigma_w=1.3, sigma_b=0.1, read="last"), x[:25], tile=K.tile)
    np.testing.assert_array_equal(np.asarray(K), np.asarray(wanted))
    assert lines[0].startswith("Dataset(made: 20 examples + 10 test")
    assert summary(K).startswith(f"{K.path}: 25 x 25, float32") and counted(K.path) == (1, 1)
    assert counted(tmp_path) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n": 21}, "n must be at most 20"),
        ({"n": 0}, "n must be an integer >= 1"),
        ({"processes": 2, "coordinator": "auto"}, "got both"),
        ({"process_id": 2}, "process_id belongs to coordinator"),
        ({"kernel": "dense", "read": "last"}, "kernel 'dense' has no read"),
        ({"dtype": "float64"}, "needs JAX's 64-bit mode"),
        ({"file": "digits", "part": "test"}, "part is for files"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_store_is_begun(file, tmp_path, changes, words):
    given = {"file": file[0], "store": str(tmp_path / "K")} | changes
    with pytest.raises(ValueError, match=words):
        filled(Filling(**given))
    assert not (tmp_path / "K").exists()


@pytest.mark.slow
def test_a_matrix_that_no_disk_holds_is_refused_and_a_long_one_says_its_time(file, tmp_path, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(filled_grams.estimates, "seconds", lambda *args, **options: 90.0)
    filled(Filling(file[0], str(tmp_path / "K"), kernel="dense"), say=said.append)
    assert any(line.startswith("estimate: 90 s (30 s to 4 min) once compiled") and "on disk" in line for line in said)
    monkeypatch.setattr(filled_grams.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1))
    with pytest.raises(OSError, match=r"takes up to .* on disk; 1 B are free. Take fewer examples"):
        filled(Filling(file[0], str(tmp_path / "L"), kernel="dense"))
    assert not (tmp_path / "L").exists()
