"""Is a machine that is not fitted again the one that would have been, and is one that was stopped known as such?"""

from __future__ import annotations

import numpy as np

from ntkseq.studies import support_vectors

RNG = np.random.default_rng(0)
Y = np.arange(60) % 3
X = RNG.standard_normal((60, 2)) + Y[:, None]
K = np.exp(-np.square(X[:, None] - X[None]).sum(axis=2))
PENALTIES = [0.01, 1.0, 100.0, 1e4, 1e6]


def test_a_machine_off_its_bounds_stands_for_every_larger_penalty(monkeypatch):
    calls, fitted = [], support_vectors.fitted
    monkeypatch.setattr(support_vectors, "fitted", lambda K, y, C: calls.append(C) or fitted(K, y, C))
    path = list(support_vectors.path(K + 0.1 * np.eye(60), Y, PENALTIES))
    assert calls == PENALTIES[:3] and len(path) == 5
    for C, machine in zip(PENALTIES, path, strict=True):
        again = fitted(K + 0.1 * np.eye(60), Y, C)
        np.testing.assert_array_equal(machine.dual_coef_, again.dual_coef_)
        np.testing.assert_array_equal(machine.intercept_, again.intercept_)


def test_a_machine_that_is_stopped_says_so_and_is_not_carried_on(monkeypatch):
    assert support_vectors.fitted(K, Y, 1e4, iterations=3).fit_status_ == 1
    assert support_vectors.fitted(K, Y, 1.0).fit_status_ == 0
    calls, fitted = [], support_vectors.fitted
    monkeypatch.setattr(support_vectors, "fitted", lambda K, y, C: calls.append(C) or fitted(K, y, C, iterations=3))
    list(support_vectors.path(K, Y, PENALTIES))
    assert calls == PENALTIES
