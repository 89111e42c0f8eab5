"""Does a method of one's own go wherever a method is asked for, and is what it does not state measured?"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import empirical
from ntkseq.empirical import NTK, Cheapest, Jacobian, Method, Products, Sketch, Structured
from tests.empirical.own_method import Gradients

RNG = np.random.default_rng(0)
PARAMS = {"W": RNG.standard_normal((3, 4)).astype(np.float32), "V": RNG.standard_normal((4, 2)).astype(np.float32)}
X = RNG.standard_normal((4, 3)).astype(np.float32)


def f(p: Any, x: Any) -> Any:
    return jnp.tanh(x @ p["W"]) @ p["V"]


@pytest.mark.slow
@pytest.mark.parametrize("outputs", ["full", "mean", "diagonal", "pseudo", 1])
def test_a_method_of_ones_own_is_the_kernel_with_all_outputs_and_rates(outputs: Any) -> None:
    rates = {"W": 0.3}
    exact = NTK(f, PARAMS, outputs=outputs, rates=rates)
    kernel = exact.with_(method=Gradients())
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)  # noqa: E731
    close(kernel(X), exact(X))
    close(kernel(X[:2], X), exact(X[:2], X))
    close(kernel.diag(X), exact.diag(X))
    assert 0 < kernel.entry_rounding(kernel.prepare(X)) < 1e-4
    if outputs in ("mean", "full"):
        close(np.asarray(ntkseq.gram(kernel, X)), np.asarray(ntkseq.gram(exact, X)))


@pytest.mark.slow
def test_its_grams_say_that_their_rounding_was_compared() -> None:
    kernel = NTK(f, PARAMS, method=Gradients())
    for K in (ntkseq.gram(kernel, X), ntkseq.lazy(kernel, X)):
        assert "compared with the exact kernel" in K.estimated and float(K.rounding) > 0
    assert "compared with" in str(ntkseq.spectrum(kernel(X)))
    assert set(kernel.by_leaf(X)) == {"['W']", "['V']"}
    assert "One gradient per example and output" in str(kernel.plan(X)) and "Gradients(" in repr(kernel)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.1, 0.5])
def test_what_it_gets_wrong_is_in_its_rounding(scale: float) -> None:
    """A rounding from its own tiles in float64 would be that of a method that is right."""
    kernel = NTK(f, PARAMS, method=Gradients(scale))
    off = np.asarray(kernel(X)) - np.asarray(NTK(f, PARAMS)(X))
    K = ntkseq.gram(kernel, X)
    assert np.linalg.norm(off, 2) <= K.rounding


def test_a_tile_of_another_shape_is_named() -> None:
    @dataclasses.dataclass(frozen=True)
    class Summed(Gradients):
        def tile(self, function: Any, left: Any, right: Any) -> Any:
            return jnp.sum(super().tile(function, left, right), axis=0)

    kernel = NTK(f, PARAMS, method=Summed())
    with pytest.raises(ValueError, match=r"must have shape \(16, 16\) for 16 examples .* got \(16,\)"):
        kernel.entry_rounding(kernel.prepare(X))


def test_under_a_trace_nothing_is_known() -> None:
    kernel = NTK(f, PARAMS, method=Gradients())
    stated = []
    jax.jit(lambda x: stated.append(kernel.entry_rounding(kernel.prepare(x))) or x)(X)
    assert stated == [np.inf]


@pytest.mark.slow(but=["Gradients-", "Structured-"])
@pytest.mark.parametrize(
    ("method", "leaves"),
    [
        (Cheapest(memory=2**20, orders={"W": "gram"}), []),
        (Structured(), []),
        (Jacobian(memory=64), []),
        (Products(), []),
        (Sketch(jax.random.key(0), 4), [".method.key"]),
        (Gradients(jnp.float32(2.0)), [".method.scale"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Method) else "",
)
def test_a_method_is_a_pytree_inside_its_kernel(method: Any, leaves: list[str]) -> None:
    kernel = NTK(f, PARAMS, method=method)
    paths, structure = jax.tree.flatten_with_path(kernel)
    assert [jax.tree_util.keystr(path) for path, _ in paths if ".method" in jax.tree_util.keystr(path)] == leaves
    again = jax.tree.unflatten(structure, [leaf for _, leaf in paths])
    assert type(again.method) is type(method) and repr(again) == repr(kernel) and repr(kernel).count("\n") < 6
    assert jax.tree.structure(NTK(f, PARAMS, method=method)) == structure
    values = jax.jit(lambda kernel, x: kernel(x))(kernel, X)
    np.testing.assert_allclose(values, kernel(X), rtol=1e-4, atol=1e-4)


def test_methods_with_other_options_are_other_programs() -> None:
    kernels = [NTK(f, PARAMS, method=method) for method in (Sketch(jax.random.key(0), 4), Sketch(jax.random.key(1), 4))]
    other = NTK(f, PARAMS, method=Sketch(jax.random.key(0), 5))
    assert jax.tree.structure(kernels[0].method) == jax.tree.structure(kernels[1].method)
    assert jax.tree.structure(kernels[0].method) != jax.tree.structure(other.method)
    assert Cheapest(memory=3) == Cheapest(memory=3) != Structured(memory=3)


def test_the_class_itself_has_no_method_to_offer() -> None:
    with pytest.raises(TypeError, match="abstract"):
        empirical.Method()  # pyright: ignore[reportAbstractUsage]
