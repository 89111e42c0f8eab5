"""Is the empirical kernel the explicit float64 Jacobian times its transpose, for every function and by every method?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import ntkseq
from ntkseq import blocks, models, training
from ntkseq.empirical import Cheapest, Products, Sketch
from ntkseq.empirical.late import Late
from ntkseq.empirical.methods import held
from ntkseq.empirical.ntk import NTK
from tests import oracles
from tests.empirical.functions import FUNCTIONS

N = 5
REVERSE = [name for name, case in FUNCTIONS.items() if case.reverse]
EACH = pytest.mark.parametrize("name", REVERSE)


def made(name: str, dtype: Any, n: int = N) -> tuple[Any, Any, Any]:
    f, params, inputs = FUNCTIONS[name].make(dtype)
    return f, params, inputs(jax.random.key(1), n)


def reduced(exact: np.ndarray, outputs: str | int) -> np.ndarray:
    """The (n, m, o, o) of the oracle as the kernel with those outputs."""
    if outputs == "full":
        return exact
    if outputs == "pseudo":
        return exact.mean(axis=3).sum(axis=2)
    diagonal = np.diagonal(exact, axis1=2, axis2=3)
    if isinstance(outputs, int):
        return diagonal[:, :, outputs]
    return diagonal if outputs == "diagonal" else diagonal.mean(axis=2)


def error(computed: Any, exact: np.ndarray) -> float:
    assert computed.shape == exact.shape
    return float(np.abs(np.asarray(computed, np.float64) - exact).max() / np.abs(exact).max())


@pytest.mark.slow(but=["no_input"])
@EACH
def test_every_function_is_exact_in_both_precisions(name: str) -> None:
    case = FUNCTIONS[name]
    with jax.enable_x64(True):
        f, params, x = made(name, jnp.float64)
        exact = oracles.explicit_ntk(f, params, x)
        tolerance = 1e-12 if case.compute is None else case.tolerance(jnp.float64)
        assert error(NTK(f, params)(x), reduced(exact, "mean")) < tolerance
        assert error(NTK(f, params, method="structured", outputs="full")(x), exact) < tolerance
    f, params, x = made(name, jnp.float32)
    assert error(NTK(f, params)(x), reduced(exact, "mean")) < max(1e-5, case.tolerance(jnp.float32))


@pytest.mark.slow
@EACH
def test_every_function_is_exact_by_every_method_between_two_batches(x64, name: str) -> None:
    f, params, x = made(name, jnp.float64)
    some = jax.tree.map(lambda leaf: leaf[:2], x)
    exact = oracles.explicit_ntk(f, params, some, x)
    tolerance = 1e-12 if FUNCTIONS[name].compute is None else FUNCTIONS[name].tolerance(jnp.float64)
    if not FUNCTIONS[name].forward:
        with pytest.raises(ValueError, match="custom_vjp whose rule is not linear"):
            NTK(f, params, method="products")(some, x)
    methods = ("auto", "structured", "jacobian", "products") if FUNCTIONS[name].forward else ("auto", "structured")
    for method in methods:
        assert error(NTK(f, params, method=method)(some, x), reduced(exact, "mean")) < tolerance, method


@pytest.mark.slow
@pytest.mark.parametrize("method", ["structured", "jacobian", "products"])
@pytest.mark.parametrize("outputs", ["full", "mean", "diagonal", "pseudo", 1])
def test_outputs(x64, method: str, outputs: str | int) -> None:
    f, params, x = made("rnn_outputs", jnp.float64)
    some = jax.tree.map(lambda leaf: leaf[:2], x)
    exact = reduced(oracles.explicit_ntk(f, params, x), outputs)
    kernel = NTK(f, params, outputs=outputs, method=method)
    own = np.arange(N)
    assert error(kernel(x), exact) < 1e-12
    assert error(kernel(some, x), exact[:2]) < 1e-12
    assert error(kernel.diag(x), exact[own, own]) < 1e-12
    expected = np.trace(exact[own, own].sum(axis=0)) if outputs == "full" else exact[own, own].sum(axis=0)
    assert error(kernel.trace(x), np.asarray(expected)) < 1e-12


@pytest.mark.slow(but=["rnn_outputs-full-weights"])
@pytest.mark.parametrize("order", ["gram", "weights", "jacobian"])
@pytest.mark.parametrize("outputs", ["full", "mean", "diagonal"])
@pytest.mark.parametrize("name", ["rnn_outputs", "embedding_edges", "complex_twins", "rows_filled"])
def test_every_order_gives_the_same(x64, order: str, outputs: str, name: str) -> None:
    f, params, x = made(name, jnp.float64)
    exact = reduced(oracles.explicit_ntk(f, params, x), outputs)
    kernel = NTK(f, params, outputs=outputs, method=Cheapest(orders={".": order}))
    assert error(kernel(x), exact) < 1e-12
    assert {part.order for part in kernel.plan(x).parts} <= {order, "jacobian"}


@pytest.mark.slow
@pytest.mark.parametrize("outputs", ["full", "mean", "diagonal"])
@pytest.mark.parametrize("block", [1, 2, 4])
def test_what_does_not_fit_is_made_block_by_block(x64, outputs: str, block: int) -> None:
    f, params, x = made("rnn_outputs", jnp.float64, 9)
    whole = NTK(f, params, outputs=outputs)
    each = whole.prepare(x)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves((each.factors, each.rows))) // 9
    kernel = whole.with_(method=Cheapest(memory=4 * size * block))
    side = kernel.prepare(x)
    assert isinstance(side, Late) and side.block == block
    some = jax.tree.map(lambda leaf: leaf[:3], x)
    assert error(kernel(x), np.asarray(whole(x))) < 1e-14
    assert error(kernel(some, x), np.asarray(whole(some, x))) < 1e-14
    assert error(whole.tile(whole.prepare(some), side), np.asarray(whole(some, x))) < 1e-14
    assert error(kernel.diag(x), np.asarray(whole.diag(x))) < 1e-14
    assert f"{block} examples at a time" in str(kernel.plan(x))


def test_one_example_that_exceeds_the_memory_is_named(monkeypatch: Any) -> None:
    f, params, x = made("rnn", jnp.float32)
    monkeypatch.setattr("ntkseq._memory.available", lambda device: 64)
    monkeypatch.setattr("ntkseq.empirical.choose.LITTLE", 0)
    with pytest.raises(ValueError, match='method="products"'):
        NTK(f, params)(x)


@pytest.mark.slow
def test_learning_rates_scale_leaves_and_zero_freezes_them(x64) -> None:
    f, params, x = made("rnn_outputs", jnp.float64)
    parts = NTK(f, params).by_leaf(x)
    assert error(sum(parts.values()), np.asarray(NTK(f, params)(x))) < 1e-14
    first, *rest = parts
    pattern = "^" + first.replace("[", r"\[").replace("]", r"\]") + "$"
    for method in ("structured", "jacobian", "products"):
        kernel = NTK(f, params, rates={pattern: 0.3}, method=method)
        assert error(kernel(x), np.asarray(0.3 * parts[first] + sum(parts[name] for name in rest))) < 1e-14
        frozen = NTK(f, params, rates={pattern: 0.0}, method=method)
        assert error(frozen(x), np.asarray(sum(parts[name] for name in rest))) < 1e-14
    alone = NTK(f, params, trainable=pattern)
    assert list(alone.by_leaf(x)) == [first] and error(alone(x), np.asarray(parts[first])) < 1e-14
    by_function = NTK(f, params, trainable=lambda path: path != first)
    assert error(by_function(x), np.asarray(sum(parts[name] for name in rest))) < 1e-14
    tree = jax.tree.map(lambda leaf: 2.0, params)
    assert error(NTK(f, params, rates=tree)(x), 2 * np.asarray(sum(parts.values()))) < 1e-14


@pytest.mark.slow
def test_rates_keep_structure_at_frozen_and_scaled_leaves(x64) -> None:
    """A tied leaf with a rate: records and deltas of all of its uses are scaled once."""
    f, params, x = made("tied_decoder", jnp.float64)
    parts = NTK(f, params).by_leaf(x)
    kernel = NTK(f, params, rates={name.replace("[", r"\[").replace("]", r"\]"): 3.0 for name in parts})
    assert error(kernel(x), 3 * np.asarray(sum(parts.values()))) < 1e-13


@pytest.mark.slow
def test_products_are_those_with_the_matrix(x64) -> None:
    f, params, x = made("rnn_outputs", jnp.float64)
    some = jax.tree.map(lambda leaf: leaf[:2], x)
    v = jax.random.normal(jax.random.key(2), (N,))
    kernel = NTK(f, params)
    assert error(kernel.mv(x, v), np.asarray(kernel(x) @ v)) < 1e-13
    assert error(kernel.mv(some, v, x), np.asarray(kernel(some, x) @ v)) < 1e-13


@pytest.mark.slow
def test_a_sketch_is_within_its_standard_error() -> None:
    f, params, x = made("rnn_outputs", jnp.float32, 16)
    exact = np.asarray(NTK(f, params)(x))
    kernel = NTK(f, params, method=Sketch(jax.random.key(3), 512))
    side = kernel.prepare(x)
    pulls = (np.asarray(kernel(x)) - exact) / np.asarray(kernel.standard_error(side, side))
    assert 0.3 < np.sqrt(np.mean(pulls**2)) < 2.0 and np.abs(pulls).max() < 6
    np.testing.assert_allclose(kernel.diag(x), np.diagonal(kernel(x)), rtol=1e-5)
    gram = ntkseq.gram(kernel, x)
    assert np.linalg.norm(np.asarray(gram) - exact, 2) < gram.rounding


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rnn", "embedding_edges", "maml_task"])
def test_a_gram_matrix_is_the_kernel_and_its_rounding_covers_the_error(name: str) -> None:
    with jax.enable_x64(True):
        exact = reduced(oracles.explicit_ntk(*made(name, jnp.float64, 24)), "mean")
    f, params, x = made(name, jnp.float32, 24)
    gram = ntkseq.gram(NTK(f, params), x)
    assert np.linalg.norm(np.asarray(gram, np.float64) - exact, 2) <= gram.rounding
    assert gram.rounding < 1e-3 * np.trace(exact)
    some = jax.tree.map(lambda leaf: leaf[:7], x)
    np.testing.assert_allclose(ntkseq.gram(NTK(f, params), some, x), np.asarray(gram)[:7], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_rounding_of_activations_coarser_than_the_weights_is_theirs() -> None:
    f, params, x = made("bfloat16_activations", jnp.float32, 12)
    exact = reduced(oracles.explicit_ntk(f, params, x), "mean")
    gram = ntkseq.gram(NTK(f, params), x)
    assert np.linalg.norm(np.asarray(gram, np.float64) - exact, 2) <= gram.rounding
    assert gram.rounding > float(jnp.finfo(jnp.bfloat16).eps) * np.trace(exact) / len(exact)


@pytest.mark.slow
def test_complex_examples_and_booleans_have_one_kernel_everywhere() -> None:
    rng = np.random.default_rng(0)
    params = {"W": jnp.asarray(rng.standard_normal((4, 3)), jnp.float32)}
    f = lambda p, x: jnp.abs(lax.dot_general(x, p["W"], (((0,), (0,)), ((), ()))))  # noqa: E731
    turned = jnp.asarray(rng.standard_normal((5, 4)) + 1j * rng.standard_normal((5, 4)), jnp.complex64)
    for x in (turned, turned.real > 0):
        exact = reduced(oracles.explicit_ntk(f, params, x), "mean")
        kernel = NTK(f, params)
        gram, lazy = ntkseq.gram(kernel, x), ntkseq.lazy(kernel, x)
        for K in (kernel(x), gram, lazy.dense(), kernel.with_(method="products")(x)):
            assert error(jnp.asarray(K), exact) < 1e-5 and np.asarray(K).dtype == np.float32
        largest = ntkseq.spectrum(gram).max_eigenvalue
        assert largest.lower <= np.linalg.eigvalsh(exact)[-1] <= largest.upper
        row = training.track([training.KernelProbe(f, x, every=1)], params)["kernel"]
        assert row["max_eigenvalue"][0] - row["max_eigenvalue_error"][0] <= np.linalg.eigvalsh(exact)[-1]


@pytest.mark.slow
def test_a_complex_leaf_may_be_held_and_is_not_trained() -> None:
    rng = np.random.default_rng(0)
    turn = jnp.asarray(rng.standard_normal(3) + 1j * rng.standard_normal(3), jnp.complex64)
    params = {"W": jnp.asarray(rng.standard_normal((4, 3)), jnp.float32), "turn": turn}
    f = lambda p, x: ((x @ p["W"]).astype(p["turn"].dtype) * p["turn"]).imag  # noqa: E731
    x = jnp.asarray(rng.standard_normal((5, 4)), jnp.float32)
    with pytest.raises(ValueError, match=r"complex64 at \['turn'\].*lax.complex.*trainable"):
        NTK(f, params)
    held = NTK(f, params, trainable="W")
    closed = lambda p, x: f(params | p, x)  # noqa: E731
    exact = reduced(oracles.explicit_ntk(closed, {"W": params["W"]}, x), "mean")
    assert error(held(x), exact) < 1e-6 and held.entry_rounding(held.prepare(x)) < 1e-4
    with pytest.raises(ValueError, match=r"same dtypes; got .*complex64.*float32"):
        NTK(lambda p, x: jnp.abs(x) @ p["W"], params, trainable="W")(x.astype(jnp.complex64), x)


@pytest.mark.slow
def test_rounding_is_measured_where_another_precision_has_other_equations() -> None:
    # float64 casts other constants of a block network, and a choice by numbers of equations did not fit: a KeyError
    net = models.Serial(blocks.Linear(), blocks.Attention(scaling="root"), "relu", width=8, heads=2)
    x = jax.random.normal(jax.random.key(0), (5, 4, 2))
    kernel = NTK(net.apply, net.init(jax.random.key(1), x[0]))
    assert 0 < kernel.entry_rounding(kernel.prepare(x)) < 1e-3


def test_lengths_are_checked_inside_a_trace_too() -> None:
    net = models.Recurrent(width=8)
    x, lengths = jax.random.normal(jax.random.key(0), (3, 4, 2)), jnp.array([4, 1, 2])
    params = net.init(jax.random.key(1), x[0])
    kernel = jax.jit(lambda params: NTK(net.apply, params).prepare(x, lengths).inputs[1])(params)
    np.testing.assert_array_equal(kernel, lengths)
    longer = lengths + 1
    with pytest.raises(ValueError, match=r"must lie in 1\.\.4"):
        jax.jit(lambda params: NTK(net.apply, params).prepare(x, longer).inputs[1])(params)


@pytest.mark.slow
def test_bfloat16_parameters_are_summed_in_float32() -> None:
    f, params, x = made("rnn", jnp.float32)
    half = lambda tree: jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), tree)  # noqa: E731
    kernel = NTK(f, half(params))
    exact = oracles.explicit_ntk(
        f, jax.tree.map(lambda leaf: leaf.astype(jnp.float32), half(params)), half(x).astype("f4")
    )
    values = kernel(half(x))
    assert values.dtype == jnp.float32
    assert error(values, reduced(exact, "mean")) < 0.05
    assert kernel.entry_rounding(kernel.prepare(half(x))) > 1e-3


@pytest.mark.slow
def test_a_second_call_compiles_nothing_and_new_parameters_neither() -> None:
    net = models.Dense(width=16, depth=2)
    x = jax.random.normal(jax.random.key(0), (6, 3))
    first, second = (net.init(jax.random.key(seed), x[0]) for seed in (0, 1))
    kernel = NTK(net.apply, first)
    kernel(x), kernel.diag(x)
    sizes = [g._cache_size() for g in (held._prepare, held._square, held._own)]
    kernel(x), kernel.diag(x)
    again = kernel.with_(params=second)
    again(x), again.diag(x)
    NTK(net.apply, second)(x)
    assert sizes == [g._cache_size() for g in (held._prepare, held._square, held._own)]
    np.testing.assert_array_equal(again(x), NTK(net.apply, second)(x))


@pytest.mark.slow
def test_the_kernel_is_differentiable_and_jits() -> None:
    f, params, x = made("rnn", jnp.float32)
    total = lambda params: jnp.sum(NTK(f, params)(x))  # noqa: E731
    np.testing.assert_allclose(jax.jit(total)(params), total(params), rtol=1e-5)
    gradient = jax.grad(total)(params)
    direction = jax.tree.map(jnp.ones_like, params)
    h = 1e-2
    moved = [total(jax.tree.map(lambda leaf, s=s: leaf + s * h, params)) for s in (1, -1)]
    slope = sum(float(jnp.sum(leaf)) for leaf in jax.tree.leaves(gradient))
    assert abs((moved[0] - moved[1]) / (2 * h) - slope) < 2e-2 * abs(slope) + 1e-2
    del direction


@pytest.mark.slow
def test_one_example_and_equal_examples() -> None:
    f, params, x = made("rnn", jnp.float32)
    one = jax.tree.map(lambda leaf: leaf[:1], x)
    same = jax.tree.map(lambda leaf: jnp.concatenate([leaf[:1]] * 3), x)
    kernel = NTK(f, params)
    assert kernel(one).shape == (1, 1)
    values = np.asarray(kernel(same))
    np.testing.assert_allclose(values, values[0, 0], rtol=1e-5)


@pytest.mark.slow
def test_lengths_are_the_third_argument() -> None:
    def f(params: Any, x: Any, length: Any) -> Any:
        inside = jnp.arange(x.shape[0]) < length
        return jnp.sum(jnp.where(inside[:, None], jnp.tanh(x @ params), 0), axis=0)

    W = jax.random.normal(jax.random.key(0), (3, 4))
    x = jax.random.normal(jax.random.key(1), (4, 6, 3))
    lengths = np.array([6, 2, 1, 6])
    ragged = NTK(f, W)(x, lengths=lengths)
    for i, j in ((0, 1), (1, 2), (2, 3)):
        short = NTK(lambda p, x: jnp.sum(jnp.tanh(x @ p), axis=0), W)
        cut = [x[k : k + 1, : lengths[k]] for k in (i, j)]
        both = np.concatenate([np.asarray(short.mv(cut[0], jnp.ones(1), cut[1]))])
        np.testing.assert_allclose(ragged[i, j], both[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(f=3), "must be a function"),
        (dict(f=lambda p, x: jnp.sum(p["W"] @ x)), r"Return out\[None\]"),
        (dict(f=lambda p, x: {"a": p["W"] @ x}), "got the tree"),
        (dict(f=lambda p, x: jnp.outer(p["W"] @ x, x)), "must return an array of shape"),
        (dict(f=lambda p, x: jnp.argmax(p["W"] @ x)[None]), "nothing to derive"),
        (dict(f=lambda p, x: jnp.fft.fft(p["W"] @ x)), r"got dtype complex64.*out\.real, out\.imag"),
        (dict(f=lambda p, x: p["W"] @ x[0]), "failed for one example"),
        (dict(params={"W": jnp.ones((2, 3), jnp.int32)}), "a floating leaf to train"),
        (dict(params={"W": jnp.full((2, 3), jnp.nan)}), r"\['W'\]"),
        (dict(params={"W": "no"}), "got str"),
        (dict(params={"W": jnp.ones((2, 3), jnp.complex64)}), "must be real"),
        (dict(outputs="all"), "outputs must be one of .*'mean' is that of K"),
        (dict(outputs=2), "an index in 0..1"),
        (dict(outputs=-1), "an index >= 0"),
        (dict(method="best"), "method must be"),
        (dict(method="sketch"), r"write method=Sketch\(jax\.random\.key\(0\)\)"),
        (dict(trainable="nothing"), r"trainable= must choose a floating leaf .* The paths are \['W'\]"),
        (dict(trainable=3), "trainable must be"),
        (dict(rates={"nothing": 1.0}), "found in no path"),
        (dict(rates={"W": -1.0}), ">= 0"),
        (dict(rates={"W": 0.0}), "a leaf to train; .* all with rates of 0"),
        (dict(method=Cheapest(orders={"nothing": "gram"})), "found in no trained path"),
        (dict(x=jnp.ones((0, 3))), "at least one example"),
        (dict(x={"a": jnp.ones((2, 3)), "b": jnp.ones(3)}), "along its first axis"),
        (dict(x=jnp.full((2, 3), jnp.inf)), "finite|inf"),
        (dict(x=[]), "empty tree"),
        (dict(x=jnp.float32(1)), "first axis"),
    ],
)
def test_bad_input_is_named_at_the_door(change: dict[str, Any], message: str) -> None:
    given = dict(f=lambda p, x: p["W"] @ x, params={"W": jnp.ones((2, 3))}, x=jnp.ones((4, 3))) | change
    f, params, x = (given.pop(key) for key in ("f", "params", "x"))
    with pytest.raises(ValueError, match=message):
        NTK(f, params, **given)(x)


def test_a_function_without_reverse_derivative_is_named() -> None:
    f, params, x = made("while_loop", jnp.float32)
    with pytest.raises(ValueError, match=r"no reverse derivative.*lax\.scan"):
        NTK(f, params)(x)


def test_batches_that_do_not_fit_are_named() -> None:
    f, params, x = made("rnn", jnp.float32)
    with pytest.raises(ValueError, match="agree after the first axis"):
        NTK(f, params)(x, x[:, :-1])


def test_with_changes_what_it_says() -> None:
    f, params, _ = made("rnn", jnp.float32)
    kernel = NTK(f, params)
    assert kernel.with_(method="products").method == Products()
    with pytest.raises(ValueError, match="must have the structure"):
        kernel.with_(params={"other": jnp.ones(3)})
    with pytest.raises(ValueError, match="must have shape"):
        kernel.with_(params=jax.tree.map(lambda leaf: leaf[..., None], params))
    with pytest.raises(ValueError, match="got trainable"):
        kernel.with_(trainable="W")


def test_the_plan_says_what_is_done_and_why() -> None:
    f, params, x = made("rnn_outputs", jnp.float32)
    plan = NTK(f, params).plan(x)
    assert {name for part in plan.parts for name in part.leaves} == set(NTK(f, params).by_leaf(x))
    assert plan.seconds > 0 and plan.bytes > 0 and plan.jacobian > 0
    assert "for all gradients" in str(plan)
    odd, leaves, inputs = made("weight_norm", jnp.float32)
    assert "other ways than products" in str(NTK(odd, leaves).plan(inputs))
    assert "random directions" in str(NTK(f, params, method=Sketch(jax.random.key(0))).plan(x))
    assert "forward through" in str(NTK(f, params, method="products").plan(x))


def test_parameters_and_inputs_of_a_weak_dtype_are_taken():
    f = lambda p, x: (p["v"] @ jnp.tanh((p["A"] @ x - p["m"]) / jnp.sqrt(p["s"])))[None]  # noqa: E731
    params = {"A": jnp.ones((2, 3)), "v": jnp.ones(2), "m": jnp.full(2, 0.5), "s": jnp.full(2, 2.0)}
    x = jnp.full((3, 3), 0.25)
    assert params["m"].weak_type and x.weak_type  # it was a KeyError
    exact = oracles.explicit_ntk(f, params, x)[:, :, 0, 0]
    np.testing.assert_allclose(NTK(f, params)(x), exact, rtol=1e-5)


@pytest.mark.parametrize("trainable", ["attention", lambda path: False])
def test_a_pattern_that_chooses_nothing_is_told_with_the_paths(trainable) -> None:
    params = {"attn": {"key": jnp.ones((2, 3))}, **{f"w{i}": jnp.ones(2) for i in range(8)}}
    with pytest.raises(ValueError, match=r"trainable= must choose .* \['attn'\]\['key'\], \['w0'\], .*\(9 in all\)"):
        NTK(lambda p, x: p["attn"]["key"] @ x, params, trainable=trainable)


def test_a_kernel_prints_as_a_line_whatever_its_parameters() -> None:
    params = {f"w{i}": jnp.ones((3, 4)) for i in range(40)}
    kernel = NTK(lambda p, x: p["w0"] @ x, params, trainable="w1")
    assert repr(kernel).startswith("NTK(") and "132 parameters in 11 leaves of 480" in " ".join(repr(kernel).split())
    assert max(len(repr(2.0 * kernel)), len(repr(kernel))) < 250 and repr(2.0 * kernel + kernel).count("\n") < 6
