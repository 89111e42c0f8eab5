"""Tests of `ntkseq.studies.rnn_nvariable_solved`."""

from __future__ import annotations

import jax
import numpy as np

from ntkseq import concepts, gram
from ntkseq.studies.rnn_learning import kernel_fits
from ntkseq.studies.rnn_nvariable_solved import Solved
from ntkseq.studies.rnn_targets import KERNEL

TARGETS = [concepts.NVariable((1, 2), np.eye(2, 3) * s, name) for s, name in ((1.0, "sin"), (0.5, "exp"))]


def test_many_targets_get_what_each_would_get_alone():
    x = concepts.sample(TARGETS[0], 60, 4, 3, key=jax.random.key(0), eps_x=1.0).x
    K, cross = gram(KERNEL, x[:20]), gram(KERNEL, x[20:], x[:20])
    for n in (1, 7, 20):
        solved = Solved(K, cross, n)
        for f in TARGETS:
            y = np.asarray(jax.vmap(f)(x))
            (alone,), mine = kernel_fits(K, cross, y[:20], y[20:], (n,)), solved.learn(y[:20], y[20:])
            assert mine.errors == alone.errors and mine.n == n and solved.reg == alone.reg == 0
            for end in ("lower", "estimate", "upper"):
                np.testing.assert_allclose(getattr(mine.norm_squared, end), getattr(alone.norm_squared, end), rtol=1e-9)
            for limit in (0.5 * mine.norm_squared.lower, 2 * mine.norm_squared.upper):
                flags = [
                    [one.violates(limit, label_error=off) for off in np.geomspace(1e-6, 10, 300).tolist()]
                    for one in (mine, alone)
                ]
                assert flags[0] == flags[1] and flags[0][0] == (limit < mine.norm_squared.lower) and not flags[0][-1]


def test_duplicates_are_said_and_do_not_crash():
    x = concepts.sample(TARGETS[0], 12, 4, 3, key=jax.random.key(0), eps_x=1.0).x
    twice = np.concatenate([x[:6], x[:2]])
    solved = Solved(gram(KERNEL, twice), gram(KERNEL, x[6:], twice), 8)
    assert solved.reg > 0 and "not told from zero" in solved.reason
    y = np.asarray(jax.vmap(TARGETS[0])(twice))
    learnt = solved.learn(y, np.asarray(jax.vmap(TARGETS[0])(x[6:])))
    assert not learnt.norm_squared.finite and np.isinf(learnt.norm_squared.upper) and learnt.errors.mean < 1
