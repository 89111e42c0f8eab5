"""Are operations counted as often as they happen?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from benchmarks import counts
from ntkseq import kernels


def test_a_product_in_a_loop_counts_as_often_as_the_loop_runs():
    a = jnp.ones((3, 4, 5))

    def f(a: jax.Array) -> jax.Array:
        step = lambda h, _: (jnp.tanh(h + jnp.einsum("bij,bkj->bik", a, a)), None)  # noqa: E731
        return jax.lax.scan(step, jnp.zeros((3, 4, 4)), None, length=7)[0]

    found = counts.count(jax.jit(f), a)
    assert found.products == 7 * 2 * 3 * 4 * 4 * 5
    assert found.exponentials == found.flops == 7 * 3 * 4 * 4


def test_a_convolution_counts_a_product_for_each_weight_and_place():
    x, w = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 16))
    numbers = ("NHWC", "HWIO", "NHWC")
    f = lambda x, w: jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=numbers)  # noqa: E731
    assert counts.count(f, x, w).products == 2 * 2 * 8 * 8 * 16 * 3 * 3 * 3


def test_a_rule_for_derivatives_is_not_counted_beside_the_function():
    @jax.custom_jvp
    def f(x: jax.Array) -> jax.Array:
        return jnp.exp(x)

    f.defjvp(lambda x, dx: (f(*x), f(*x) * dx[0]))
    assert counts.count(f, jnp.ones(5)).exponentials == 5


def test_the_recurrent_kernel_counts_its_triangle_and_one_root_a_step():
    n, t = 64, 100
    work = counts.gram_work(kernels.Recurrent(1.4), n, t, 1)
    steps = t * n * (n + 1) / 2
    assert work.roots / steps == pytest.approx(1.0, abs=0.03)  # and the read-out's
    assert 40 < work.flops / steps < 80  # counted by hand in docs/performance.md
    assert work.pair_steps == n * n * t


def test_kernels_that_look_at_all_pairs_of_steps_count_them():
    work = counts.gram_work(kernels.Recurrent(1.4, read="mean"), 32, 20, 1, pair_steps=32 * 32 * 20 * 20)
    assert 1.0 < work.roots / (32 * 33 / 2 * 20 * 20) < 1.2
