"""Does every method hold its own options, and does "auto" say which way it goes?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.spectra import Auto, Full, FullSpectrum, MatrixFree, Spectrum, spectrum
from ntkseq.spectra.methods import SHORT, as_method
from ntkseq.spectra.partial import PartialSpectrum

K = np.diag(np.arange(30.0, 0.0, -1.0))
FREE = MatrixFree(k=2, probes=2, steps=4)


def test_auto_goes_by_the_size_alone_and_says_why_it_is_not_dense():
    assert spectrum(K).values.size == spectrum(K, Auto(rows=30, beyond=FREE)).values.size == 30
    s = spectrum(K, Auto(rows=29, beyond=FREE))
    assert s.values.size == 2 and s.method.startswith("matrix-free, as n = 30 > 29 (dense: ")
    four = np.einsum("ij,ab->ijab", np.eye(3), np.diag([2.0, 1.0]))
    assert [spectrum(four, Auto(rows=rows, beyond=FREE)).values.size for rows in (6, 5)] == [6, 2]


def test_an_option_of_one_method_never_chooses_the_method():
    """`spectrum(K, k=10)` of a small matrix was matrix-free, where auto says dense up to n = 4096."""
    with pytest.raises(TypeError, match="k"):
        spectrum(K, k=10)  # pyright: ignore[reportCallIssue]
    assert isinstance(spectrum(K, Auto(beyond=MatrixFree(k=10))), FullSpectrum)


def test_a_short_name_is_its_object_and_each_method_has_its_spectrum():
    assert {"auto": Auto(), "dense": Full(), "matrix-free": MatrixFree()} == SHORT
    for method, kind in ((Full(), FullSpectrum), ("dense", FullSpectrum), (FREE, PartialSpectrum)):
        found = spectrum(K, method)
        assert type(found) is kind and isinstance(found, Spectrum)
        assert found.n == 30 and 30.0 in found.max_eigenvalue and 1.0 in found.min_eigenvalue
        assert 30.0 in found.condition and found.semidefinite


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MatrixFree(k=0), "k must be an integer >= 1"),
        (lambda: MatrixFree(probes=True), "probes must be an integer"),
        (lambda: MatrixFree(k_smallest=-1), "k_smallest must be an integer >= 0"),
        (lambda: MatrixFree(max_iterations=0), "max_iterations must be an integer >= 1"),
        (lambda: MatrixFree(delta=1.0), "delta must lie strictly between"),
        (lambda: MatrixFree(tol=-1.0), "tol must be a finite number >= 0"),
        (lambda: Auto(rows=0), "rows must be an integer >= 1"),
        (lambda: as_method("fast"), "method must be one of 'auto', 'dense', 'matrix-free', or an object such as"),
        (lambda: as_method(Full), r"method must be an object, not a class; got Full. Write Full\(...\)"),
    ],
)
def test_bad_options_are_turned_away(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()
