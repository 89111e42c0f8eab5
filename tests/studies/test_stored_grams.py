"""Is the spectrum of a stored Gram matrix that of the matrix, with the rounding it was stored with?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq import cli
from ntkseq._notices import PrecisionWarning
from ntkseq.studies import Stored, stored


@pytest.fixture
def matrix() -> np.ndarray:
    X = np.random.default_rng(0).standard_normal((12, 20))
    return X @ X.T


@pytest.fixture
def file(tmp_path, matrix):
    path = tmp_path / "arrays.npz"
    np.savez(path, K=matrix, rounding=np.float64(1e-3), other=np.zeros(3), short=matrix.astype(np.float32))
    return str(path)


def test_the_rounding_of_the_file_counts_unless_another_is_given(file):
    assert any("of which rounding of K 0.001" in line for line in stored(Stored(file)))
    assert any("rounding of K 0.1" in line for line in stored(Stored(file, rounding=0.1)))
    with pytest.warns(PrecisionWarning):
        lines = stored(Stored(file, array="short"))
    assert any("entries float32" in line for line in lines)
    assert any("not proven: the rounding of K is unchecked" in line for line in lines)


def test_the_lines_say_the_least_eigenvalue_and_what_is_proven(file, matrix, tmp_path):
    lines = stored(Stored(file, rounding=1e-3, ridge=1.0))
    least = np.linalg.eigvalsh(matrix)[0]
    assert any(line.split()[:2] == ["least", "eigenvalue"] and f"{least:.4g}"[:4] in line for line in lines)
    assert any("positive definite" in line and "yes, by a Cholesky" in line for line in lines)
    assert any("eff. dimension" in line and "at 1" in line for line in lines)
    np.save(tmp_path / "singular.npy", np.ones((3, 3)))
    lines = stored(Stored(str(tmp_path / "singular.npy")))
    assert any("not proven" in line for line in lines)
    assert any("the kernel cannot tell examples 0 and 1 apart" in line for line in lines)


def test_the_command_prints_them(file, capsys):
    assert cli.main(["spectrum", file, "--method", "matrix-free"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("Spectrum in part") and "matrix-free:" in said.out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"array": "nope"}, "holds no array 'nope'; it holds K, rounding, other, short"),
        ({"array": "other"}, "K must be a matrix of floats"),
        ({"rounding": -1.0}, "rounding must be a finite number >= 0"),
        ({"file": "nope.npz"}, "no such file"),
    ],
)
def test_bad_files_and_names_are_turned_away(file, change, message: str):
    with pytest.raises(ValueError, match=message):
        stored(Stored(**{"file": file, **change}))


def test_an_array_of_objects_is_not_loaded(tmp_path):
    np.save(tmp_path / "bad.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="no array of numbers"):
        stored(Stored(str(tmp_path / "bad.npy")))


@pytest.mark.parametrize("sampled", [True, False])
def test_a_matrix_of_several_has_its_own_rounding(tmp_path, sampled):
    said = {"rounding": 0.25, "rounding_stated": True, "rounding_estimated": "", "sampled": sampled}
    own = {f"{name}_1": value for name, value in said.items()}
    np.savez(tmp_path / "a.npz", K_0=np.eye(3), K_1=2 * np.eye(3), rounding_0=0.0, **own)
    lines = stored(Stored(file=str(tmp_path / "a.npz"), array="K_1"))
    assert "2 in [1.749, 2.251]" in lines[2]  # 2 +- 0.25, outwards
    assert ("yes, by a Cholesky" in lines[-1]) != sampled
