"""Does a Gram matrix take what a few of its tiles, or the matrices of a few examples, foretell?"""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import blocks, empirical, grams, kernels
from ntkseq.grams import estimates

x = np.random.default_rng(0).normal(size=(1500, 3)).astype(np.float32)


def network() -> empirical.NTK:
    weights = {"W": jnp.asarray(np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)), "v": jnp.ones(40)}
    return empirical.NTK(lambda w, one: (jnp.tanh(w["W"] @ one) @ w["v"])[None], weights)


def test_nothing_is_measured_where_there_is_little_to_do():
    assert estimates.seconds(kernels.Dense(), x[:40]) is None
    assert estimates.seconds(kernels.Dense(), x[:40], worth=1) is None  # all tiles at once


@pytest.mark.slow
def test_the_time_counts_all_batches_of_tiles(monkeypatch):
    clock = iter(np.arange(100) * 0.25)
    monkeypatch.setattr(estimates.time, "perf_counter", lambda: float(next(clock)))
    found = grams.cost(kernels.Dense(), x[:1000], workers=2)
    assert found.seconds == pytest.approx(0.25 * 34 / 2)  # 136 tiles in batches of 4, two at once for 0.25 s
    assert (found.tiles, found.shape, found.result_bytes) == (136, (1000, 1000), 4_000_000)
    sides = sum(leaf.nbytes for leaf in jax.tree.leaves(kernels.Dense().prepare(x[:1000])))
    assert found.work_bytes == sides + 4 * 2 * 4 * 64**2  # two times four tiles


@pytest.mark.parametrize("terms", [(0.0, 1e-3, 1e-6), (0.0, 1e-3, 0.0), (0.1, 0.0, 1e-6), (0.1, 1e-3, 1e-5)])
def test_a_constant_a_part_per_example_and_a_part_per_pair_are_told_apart(terms):
    sizes = (16, 128, 1000)[: 2 if terms[0] == 0 else 3]
    time = [terms @ np.array([1.0, 2.0 * k, k * k]) for k in (*sizes, 5000)]
    runs = [estimates._Timed(seconds, 0.0, 0.0, 2 * k, k * k) for seconds, k in zip(time, sizes, strict=False)]
    assert estimates._extrapolated(runs, "wall", 10_000, 5000**2) == pytest.approx(time[-1])


def test_few_examples_are_spread_over_all_and_keep_their_lengths():
    asked = estimates._Asked(None, (x, None), (np.arange(1500), None), None, None)._part(16 / 1500)
    assert asked.lengths[0].tolist() == [k * 1500 // 16 for k in range(16)]
    np.testing.assert_array_equal(asked.x[0], x[asked.lengths[0]])


@pytest.mark.parametrize("kernel", [kernels.Dense(), 2 * kernels.Dense() + kernels.Dense()])
def test_a_list_is_as_many_examples_as_it_is_for_gram(kernel):
    asked = estimates._Asked(kernel, (list(x), x[:9].tolist()), (None, None), None, None)
    assert asked._counts() == (1500, 9)
    few = asked._part(1.0)
    np.testing.assert_array_equal(few.x[0], x)
    assert few.x[1].dtype == np.float32
    of_trees = estimates._Asked(0.5 * network(), ([x, x], None), (None, None), None, None)
    assert of_trees._counts() == (1500, 1500) and len(of_trees._part(0.1).x[0]) == 2


def test_what_has_no_cost_is_refused():
    with pytest.raises(ValueError, match="got a leaf of type ShapeDtypeStruct"):
        grams.cost(network(), jax.ShapeDtypeStruct((10, 3), jnp.float32))
    with pytest.raises(ValueError, match="got one between few-shot tasks"):
        grams.cost(kernels.Meta(kernels.Dense(), kernels.Flow()), x)
    with pytest.raises(ValueError, match=r"lengths of x must have shape \(1500,\), one per example; got \(3,\)"):
        grams.cost(network(), x, lengths=np.array([1, 2, 3]))


sequences = np.random.default_rng(0).normal(size=(900, 20, 3)).astype(np.float32)
CASES = {
    "recurrent": (kernels.Recurrent(sigma_w=1.4, read="mean"), sequences, None),
    "small tiles": (kernels.Dense(), x[:800], None, 7),
    "two sets": (kernels.Recurrent(sigma_w=1.4, depth=2), sequences, sequences[:500]),
    "gated": (kernels.Gated("gru", particles=512), sequences[:400], None),
    "serial": (kernels.Serial(blocks.Linear(), blocks.Attention(), blocks.Linear()), sequences[:300], None),
    "empirical": (network(), x, None),
    "all outputs": (network().with_(outputs="full"), x, None),
    "small": (kernels.Dense(), x[:40], None),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_processor_time_of_a_gram_lies_within_the_stated_factor(case):
    kernel, one, two, *tile = CASES[case]
    options = {"tile": tile[0]} if tile else {}
    found = grams.cost(kernel, one, two, **options)
    times = []
    for _ in range(3):  # the first compiles
        start = time.process_time()
        K = grams.gram(kernel, one, two, **options)
        times.append(time.process_time() - start)
    print(f"{case}: {found.cpu_seconds:.3f} s foretold, {min(times):.3f} s taken; {found}")
    assert found.cpu_seconds / found.factor <= min(times) <= found.cpu_seconds * found.factor
    assert found.shape == K.shape and found.result_bytes == K.array.nbytes
