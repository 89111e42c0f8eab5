"""Are the coordinates of classes what argmax sees, and are margins and their errors those of the exact kernel?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.bounds.class_margins import ClassSystem, class_margins, simplex
from ntkseq.bounds.processes import LearnedPrior, Prior
from ntkseq.bounds.system import System, system
from ntkseq.grams import DenseGram

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("k", [2, 3, 7])
def test_vertices_are_alike_and_lose_the_mean_over_outputs_alone(k: int):
    B = simplex(k)
    assert pytest.approx(2 * np.eye(k) - 2 / k, abs=1e-12) == B @ B.T
    f = RNG.standard_normal(k)
    assert f - f.mean() == pytest.approx(0.5 * B @ (B.T @ f))
    G = class_margins(np.arange(k), B)
    assert G @ B.T @ f == pytest.approx(np.array([2 * (f[own] - np.delete(f, own)) for own in range(k)]))


@pytest.mark.parametrize("prior", [Prior(), LearnedPrior(0.4)])
def test_margins_of_the_exact_kernel_are_within_their_errors(prior: Prior | LearnedPrior):
    n, w, e = 12, 2, 1e-5
    features = RNG.standard_normal((n * w, 5))
    exact = features @ features.T
    root = np.sqrt(np.diagonal(exact))
    shift = np.triu(RNG.choice([-e, e], exact.shape)) * np.outer(root, root)
    K = exact + shift + np.triu(shift, 1).T
    own = RNG.integers(3, size=n)
    y = simplex(3)[own].ravel()
    read = []
    for matrix, size in ((K, e), (exact, 0.0)):
        known = system(DenseGram(matrix, size * float(np.sum(root**2)), entrywise=size), y, vectors=True)
        parts = {name: getattr(known, name) for name in System.__dataclass_fields__ if name != "processes"}
        parts |= {"width": w, "margins": class_margins(own, simplex(3))}
        read.append(prior.process(ClassSystem(**parts), np.arange(n)))
    told, true = read
    b = RNG.standard_normal((told.rank, 1))
    mean, off = told.mean_at(b)
    count = told.examples
    C = true.basis @ np.diag(true.values) @ true.basis.T
    start = true.mean[:, 0] + C @ told.basis @ b[:, 0]
    G = told.margins
    assert (np.abs(mean - np.einsum("ncw,nw->nc", G, start.reshape(count, w))) <= off).all()
    for removed in (told.removed(0.5), np.zeros(told.rank)):
        covariance, moved = told.variance_at(removed)
        left = (C - C @ told.basis @ np.diag(removed) @ told.basis.T @ C).reshape(count, w, count, w)
        blocks = np.stack([left[i, :, i] for i in range(count)])
        wanted = G @ blocks @ np.swapaxes(G, 1, 2)
        assert (np.abs(covariance - wanted) <= moved).all() and moved.max() < 0.2
        assert np.abs(covariance - wanted).max() > 1e-3 * moved.max()  # the errors are of the size of what they cover
    assert told.weights.sum() == pytest.approx(1) and len(told.weights) == count
