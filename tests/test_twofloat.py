from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _twofloat as tf

RNG = np.random.default_rng(0)


def pairs(n: int = 200) -> tuple[tf.Two, list[Fraction]]:
    hi = (RNG.uniform(0.5, 2, n) * 10.0 ** RNG.integers(-6, 6, n)).astype(np.float32)
    lo = (hi * RNG.uniform(-1, 1, n) * 2.0**-26).astype(np.float32)
    return tf.Two(jnp.asarray(hi), jnp.asarray(lo)), exact(tf.Two(jnp.asarray(hi), jnp.asarray(lo)))


def exact(x: tf.Two) -> list[Fraction]:
    return [Fraction(float(h)) + Fraction(float(low)) for h, low in zip(x.hi, x.lo, strict=True)]


def worst(x: tf.Two, truth: list[Fraction]) -> float:
    return max(float(abs(a - b) / abs(b)) for a, b in zip(exact(x), truth, strict=True))


def test_sums_products_and_quotients_keep_twice_the_digits():
    (a, fa), (b, fb) = pairs(), pairs()
    assert worst(jax.jit(tf.add)(a, b), [x + y for x, y in zip(fa, fb, strict=True)]) < 2.0**-44
    assert worst(jax.jit(tf.multiply)(a, b), [x * y for x, y in zip(fa, fb, strict=True)]) < 2.0**-44
    assert worst(jax.jit(tf.divide)(a, b), [x / y for x, y in zip(fa, fb, strict=True)]) < 2.0**-44


def test_the_root_is_rounded_once():
    a, fa = pairs()
    truth = np.array([float(x) for x in fa]) ** 0.5
    assert np.max(np.abs(np.asarray(tf.root(a), np.float64) / truth - 1)) < 1.001 * 2.0**-24
    assert tf.root(tf.two(jnp.zeros(1)))[0] == 0


def test_a_double_is_split_into_two_singles():
    value = np.array([1.96, np.pi, 1e-8])
    parts = tf.split(value, jnp.float32)
    assert np.max(np.abs(np.asarray(parts.hi, float) + np.asarray(parts.lo, float) - value) / value) < 2.0**-47
