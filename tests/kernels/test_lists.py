"""Is a list of inputs read alike at every door: as one array, and as a tree by a kernel that takes trees?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import _notices, empirical, kernels
from ntkseq.kernels import lists

X = np.random.default_rng(0).standard_normal((8, 6, 3)).astype(np.float32)
W = jnp.ones((3, 2)) / 3
KERNEL = kernels.Recurrent(sigma_w=1.2)
OWN = empirical.NTK(lambda w, x: jnp.tanh(x @ w).mean(0), W)


def test_a_list_is_an_array_unless_the_kernel_takes_trees_or_it_makes_none() -> None:
    assert lists.read(OWN, [X, X])[1] is X and lists.read(KERNEL, X) is X and lists.read(KERNEL, None) is None
    ragged = [X[0], X[1, :4]]
    assert lists.read(KERNEL, ragged) is ragged
    assert lists.read(KERNEL, [[1.0, 2.0]]).dtype == np.float32 and lists.read(KERNEL, [[2**40]])[0, 0] == 2**40
    assert lists.read(KERNEL, list(X.astype(np.float64))).dtype == np.float64
    assert lists.read(OWN + KERNEL, list(X)).shape == X.shape


@pytest.mark.parametrize(("kernel", "given"), [(KERNEL, tuple(X)), (KERNEL + OWN, list(X))], ids=["tuple", "sum"])
def test_a_list_of_sequences_is_so_many_examples_with_a_store_and_tiles(tmp_path, kernel, given) -> None:
    wanted = np.asarray(ntkseq.gram(kernel, X, tile=4))
    stored = ntkseq.gram(kernel, given[:5], store=tmp_path / "K", tile=4)
    assert stored.shape == (5, 5)
    stored = ntkseq.gram(kernel, X, store=tmp_path / "K")  # the same examples, and more
    np.testing.assert_allclose(stored.rows(range(8)), wanted, rtol=1e-5)
    np.testing.assert_array_equal(
        ntkseq.gram(kernel, given, store=tmp_path / "K").rows(range(8)), stored.rows(range(8))
    )


def test_a_store_of_a_tree_of_inputs_in_a_list_takes_more_examples(tmp_path) -> None:
    kernel = empirical.NTK(lambda w, x: jnp.tanh(x[0] @ w).mean(0) * x[1], W)
    given = [X, X[:, 0, 0]]
    wanted = np.asarray(ntkseq.gram(kernel, given))
    ntkseq.gram(kernel, [leaf[:5] for leaf in given], store=tmp_path / "K")
    K = ntkseq.gram(kernel, given, store=tmp_path / "K")
    np.testing.assert_allclose(K.rows(range(8)), wanted, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="example 7 of x is not the same"):
        ntkseq.gram(kernel, [X, np.r_[X[:7, 0, 0], 9.0].astype(np.float32)], store=tmp_path / "K")


def test_a_list_of_float64_arrays_is_said_to_be_narrowed_as_one_array_is() -> None:
    with jax.enable_x64(False), pytest.warns(_notices.PrecisionWarning, match="x is float64"):
        ntkseq.gram(KERNEL, list(X.astype(np.float64)))
    assert ntkseq.gram(KERNEL, X.tolist()).shape == (8, 8)


def test_rows_of_a_held_matrix_are_chosen_as_of_a_stored_one() -> None:
    K = ntkseq.gram(KERNEL, X)
    for which in (range(2, 4), (2, 3), [2, 3], slice(2, 4)):
        np.testing.assert_array_equal(K.rows(which), np.asarray(K)[2:4])
