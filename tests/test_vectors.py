"""Are programs for wide vectors the same programs, and are they made on every jaxlib?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import _vectors


def recursion(x, steps):
    return jax.lax.fori_loop(0, steps, lambda t, z: jnp.sqrt(z) * 0.7 + z * z * 0.2, x)


def test_wide_loops_give_the_values_of_narrow_ones():
    wide = _vectors.Wide(recursion, static_argnums=1)
    x = jnp.linspace(0.1, 1.0, 1031)
    np.testing.assert_allclose(wide(x, 9), wide.plain(x, 9), rtol=1e-6)  # processors may fuse differently
    assert wide.known and wide.wide._cache_size() == 1  # pyright: ignore


def test_a_jaxlib_that_does_not_know_the_option_compiles_without_it(monkeypatch):
    monkeypatch.setattr(_vectors, "WIDEST", {"xla_cpu_of_another_year": 512})
    wide = _vectors.Wide(recursion, static_argnums=1)
    x = jnp.ones(5)
    np.testing.assert_array_equal(wide(x, 2), wide.plain(x, 2))
    assert not wide.known


def test_other_failures_of_a_program_are_raised(monkeypatch):
    def failing(*args):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no memory")

    wide = _vectors.Wide(recursion, static_argnums=1)
    monkeypatch.setattr(wide, "wide", failing)
    with pytest.raises(jax.errors.JaxRuntimeError, match="no memory"):
        wide(jnp.ones(3), 1)
