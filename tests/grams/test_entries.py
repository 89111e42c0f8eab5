import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import empirical, kernels
from ntkseq.grams import as_gram, device, host, tiles

KERNEL = kernels.Recurrent(sigma_w=1.4, sigma_b=0.2)


def inputs(n: int = 21, t: int = 5, d: int = 2, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), (n, t, d))


@pytest.mark.slow
@pytest.mark.parametrize("tile", [None, 1, 4, 16, 64])
def test_the_gram_does_not_depend_on_the_tile_size(tile):
    K = ntkseq.gram(KERNEL, inputs(), tile=tile)
    np.testing.assert_allclose(K, KERNEL(inputs()), rtol=2e-6, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("read", ["mean", "last", "steps"])
def test_a_ragged_gram_equals_the_kernel_in_one_piece(read):
    kernel = KERNEL.with_(read=read)
    lengths = jnp.arange(21) % 5 + 1
    K = ntkseq.gram(kernel, inputs(), lengths=lengths, tile=8)
    np.testing.assert_allclose(K, kernel(inputs(), lengths=lengths), rtol=2e-6, atol=2e-6)


def test_a_symmetric_gram_is_symmetric_to_the_last_bit_with_the_exact_diagonal():
    K = np.asarray(ntkseq.gram(KERNEL, inputs(), tile=4))
    np.testing.assert_array_equal(K, K.T)
    np.testing.assert_array_equal(np.diag(K), KERNEL.diag(inputs()))


@pytest.mark.slow
def test_a_cross_gram_is_a_block_of_the_joint_gram():
    x = inputs(30)
    joint = ntkseq.gram(KERNEL, x)
    cross = ntkseq.gram(KERNEL, x[:11], x[11:], tile=8)
    assert cross.shape == (11, 19) and not cross.symmetric
    np.testing.assert_allclose(cross, joint[:11, 11:], rtol=2e-6, atol=2e-6)


@pytest.mark.slow
def test_one_example_and_one_pair_are_grams():
    assert ntkseq.gram(KERNEL, inputs(1)).shape == (1, 1)
    assert ntkseq.gram(KERNEL, inputs(1), inputs(2)).shape == (1, 2)


@pytest.mark.slow
def test_threads_work_in_float64_where_the_caller_does(x64):
    x = np.asarray(inputs(40), np.float64)
    K = ntkseq.gram(KERNEL, x, tile=4, workers=3)
    assert K.dtype == np.float64
    np.testing.assert_allclose(K, KERNEL(x), rtol=1e-13)


@pytest.mark.slow
def test_an_independent_initial_state_counts_on_the_diagonal_only():
    kernel = KERNEL.with_(h0="independent", sigma_h=0.7)
    K, plain = ntkseq.gram(kernel, inputs(9)), kernel(inputs(9), inputs(9))
    off = ~np.eye(9, dtype=bool)
    np.testing.assert_allclose(np.asarray(K)[off], np.asarray(plain)[off], rtol=2e-6, atol=2e-6)
    assert np.all(np.diag(K) > np.diag(plain) + 0.01)


@pytest.mark.slow
def test_the_device_path_gives_the_host_path():
    x, y = inputs(21), inputs(5, seed=1)
    left, right = KERNEL.prepare(x), KERNEL.prepare(y)
    diagonal = KERNEL.diag_side(left)
    plan = tiles.plan(21, 21, symmetric=True, entries=1, on_cpu=False, size=8)
    K, finite = device.run(tiles.Task(KERNEL, left, left, plan, (21, 21), diagonal, True), lambda count: None)
    assert finite
    np.testing.assert_allclose(K, ntkseq.gram(KERNEL, x), rtol=2e-6, atol=2e-6)
    np.testing.assert_array_equal(K, K.T)
    plan = tiles.plan(21, 5, symmetric=False, entries=1, on_cpu=False, size=8)
    K, _ = device.run(tiles.Task(KERNEL, left, right, plan, (21, 5), diagonal, False), lambda count: None)
    np.testing.assert_allclose(K, ntkseq.gram(KERNEL, x, y), rtol=2e-6, atol=2e-6)


def test_a_second_call_and_a_sweep_compile_nothing():
    ntkseq.gram(KERNEL, inputs())
    before = tiles.compute.wide._cache_size()  # pyright: ignore
    for sigma_w in (1.0, 1.2, 1.9):
        ntkseq.gram(kernels.Recurrent(sigma_w=sigma_w, sigma_b=0.2), inputs(seed=3))
    assert tiles.compute.wide._cache_size() == before  # pyright: ignore


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "abs", "erf", "tanh", "gelu"])
@pytest.mark.parametrize("distance", [1e-2, 1e-4])
def test_the_rounding_of_a_float32_gram_is_not_understated(activation, distance):
    kernel = kernels.Recurrent(sigma_w=1.3, sigma_b=0.1, activation=activation)
    x = np.random.default_rng(0).standard_normal((16, 24, 1)).astype(np.float32)
    x[1] = x[0] + distance * x[5]
    K = ntkseq.gram(kernel, x)
    with jax.enable_x64(True):
        exact = np.asarray(ntkseq.gram(kernel, x.astype(np.float64)))
    error = np.linalg.norm(np.asarray(K, np.float64) - exact, 2)
    assert 0 < error <= K.rounding


@pytest.mark.slow
def test_a_chaotic_kernel_says_that_its_digits_are_gone():
    kernel = kernels.Recurrent(sigma_w=1.6, sigma_u=0.5, activation="tanh")
    x = np.random.default_rng(0).standard_normal((6, 128, 1)).astype(np.float32)
    K = ntkseq.gram(kernel, x)
    with jax.enable_x64(True):
        exact = np.asarray(ntkseq.gram(kernel, x.astype(np.float64)))
    # how many digits are lost depends on how a machine adds: 5e-6 and more than 1e-4 of the trace were seen
    assert np.linalg.norm(np.asarray(K, np.float64) - exact, 2) <= K.rounding
    assert 1e-4 * np.trace(exact) < K.rounding


def test_a_progress_bar_counts_every_batch(capsys):
    ntkseq.gram(KERNEL, inputs(), tile=4, progress=True, workers=2)
    assert "4/4" in capsys.readouterr().err  # 6 blocks: 21 pairs, in 2 * 2 batches


@pytest.mark.slow(cases=["<lambda>-agree after the first axis", "<lambda>-one length"])
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: inspect.unwrap(ntkseq.gram)(jnp.dot, x), "kernel must be an ntkseq Kernel"),
        (lambda x: ntkseq.gram(KERNEL, x, tile=0), "tile must be an integer >= 1"),
        (lambda x: ntkseq.gram(KERNEL, x, lengths2=[1]), "lengths2 belongs to x2"),
        (lambda x: ntkseq.gram(KERNEL, x, x[:, :3]), "one length"),
        (lambda x: ntkseq.gram(KERNEL, x, x[..., :1]), "agree after the first axis"),
        (lambda x: ntkseq.gram(KERNEL, x[0]), r"shape \(n, t, d\)"),
        (lambda x: ntkseq.gram(KERNEL, x[:0]), "at least one example"),
        (lambda x: ntkseq.gram(KERNEL, x.at[2, 1, 0].set(jnp.nan)), r"index \(2, 1, 0\)"),
        (lambda x: ntkseq.gram(KERNEL, 1e19 * x), "overflow"),
    ],
)
def test_bad_input_is_turned_away_at_the_door(call, words):
    with pytest.raises(ValueError, match=words):
        call(inputs())


def test_the_result_is_not_copied_at_the_end(monkeypatch):
    made, aligned = [], host.aligned
    monkeypatch.setattr(host, "aligned", lambda *a: made.append(aligned(*a)) or made[-1])
    K = ntkseq.gram(KERNEL, inputs())
    assert K.array.unsafe_buffer_pointer() == made[0].ctypes.data


@pytest.mark.slow
def test_an_unknown_error_of_a_kernel_that_is_zero_is_infinite_at_every_door() -> None:
    kernel = empirical.NTK(
        lambda p, x: (0.0 * p["w"] @ x)[None], {"w": jnp.ones(3)}, method=empirical.Sketch(jax.random.key(0), 8)
    )
    x = jnp.ones((3, 3))
    assert kernel.entry_rounding(kernel.prepare(x)) == np.inf
    for K in (ntkseq.gram(kernel, x), as_gram(kernel(x)), ntkseq.gram(kernel, x).take([0, 1]), ntkseq.lazy(kernel, x)):
        assert K.rounding == np.inf
