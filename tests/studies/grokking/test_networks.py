"""Do networks add what they are given, and are the features those of the sum?"""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.studies.grokking import networks


def test_all_pairs_are_split_once_and_features_of_the_sum_span_its_functions():
    data = networks.sums(7, 0.6, seed=3)
    assert (data.y == data.x.sum(axis=1) % 7).all() and len(data.train) == 29
    assert sorted([*data.train, *data.test]) == list(range(49))
    features = networks.characters(7)
    ones = np.eye(7)[data.y]  # all functions of the sum
    together = np.linalg.matrix_rank(np.column_stack([features["a + b"], np.ones(49), ones]))
    assert features["a + b"].shape == (49, 6) and np.linalg.matrix_rank(features["a + b"]) == 6 and together == 7
    cross = [features[one].T @ features[two] for one, two in (("a + b", "a - b"), ("a or b", "a + b"))]
    assert max(np.abs(one).max() for one in cross) < 1e-12
    assert sum(features[networks.frequency(f)].shape[1] for f in (1, 2, 3)) == 6
    with pytest.raises(ValueError, match="fraction must leave pairs"):
        networks.sums(3, 0.999, seed=0)


@pytest.mark.slow
def test_the_transformer_is_its_loop_and_layers_hold_every_leaf_once():
    net = networks.transformer(5, 8)
    params = net.init(jax.random.key(0))
    h = np.asarray(params["embed"])[[2, 4, 5]] + np.asarray(params["place"])
    P = {name: np.asarray(leaf, np.float64) for name, leaf in params.items()}
    out = np.zeros(8)
    for head in range(4):
        part = slice(2 * head, 2 * head + 2)
        q, k, v = (P["Q"] @ h[2])[part], (h @ P["K"].T)[:, part], (h @ P["V"].T)[:, part]
        weights = np.exp(k @ q / 2**0.5)
        out[part] = weights @ v / weights.sum()
    z = h[2] + P["O"] @ out
    z = z + P["down"] @ np.maximum(P["up"] @ z, 0)
    np.testing.assert_allclose(net.f(params, jnp.array([2, 4])), P["read"] @ z, rtol=1e-4, atol=1e-5)
    for one in (net, networks.mlp(5, 8, "relu")):
        paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(one.init(jax.random.key(0)))]
        assert [sum(bool(re.search(p, path)) for p in one.layers.values()) for path in paths] == [1] * len(paths)
