"""Is forward mode the transpose of reverse mode for look-ups and updates beyond the table, in every mode and place?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from ntkseq._checks import is_concrete
from ntkseq.empirical.lookups import agreed
from ntkseq.empirical.methods.sketch import Sketch
from ntkseq.empirical.ntk import NTK
from tests import oracles

ROWS, D = 7, 3
IDS = ([0, 9, 6], [-20, 2, 6], [3, -1, 1])
MODES = ("fill", "clip", "promise_in_bounds", None)


def table() -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).standard_normal((ROWS, D)), jnp.float32)


def modes_agree(f: Callable[[Any, Any], Any], ids: Any = IDS) -> None:
    """f(E, ids) for three lists of row numbers, in one program."""
    many = lambda E: jax.vmap(f, (None, 0))(E, jnp.asarray(ids))  # noqa: E731
    same = lambda E: agreed(many, E)  # noqa: E731

    @jax.jit
    def run(E: jax.Array) -> Any:
        return many(E), same(E), jax.jacrev(many)(E), jax.jacfwd(same)(E), jax.jacrev(same)(E)

    value, again, reverse, *others = run(table())
    np.testing.assert_allclose(again, value, rtol=1e-6, atol=1e-6)
    for other in others:
        np.testing.assert_allclose(other, reverse, rtol=1e-5, atol=1e-5)


@pytest.mark.slow(but=["clip", "promise_in_bounds"])
@pytest.mark.parametrize("mode", MODES)
def test_reads(mode: Any) -> None:
    more = {"fill_value": 0.5} if mode == "fill" else {}
    modes_agree(lambda E, i: jnp.sum(jnp.sin(E.at[i].get(mode=mode, **more)) ** 2, axis=0))


@pytest.mark.slow
@pytest.mark.parametrize("unique", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_updates(mode: Any, unique: bool) -> None:
    base = jnp.arange(float(ROWS * D)).reshape(ROWS, D) / 7
    given = {"mode": mode, "unique_indices": unique}

    beyond = jax.grad(lambda row: jnp.zeros(2).at[5].min(row, mode="clip").sum())(-1.0)
    exact = mode != "clip" or bool(jnp.isfinite(beyond))  # JAX 0.10.2 divides by zero here, 0.12 does not
    ops = ("set", "add", "subtract", "multiply", "min", "max")[: 6 if exact else 4]

    def f(E: jax.Array, i: jax.Array) -> jax.Array:
        found = []
        for op in ops:
            if unique or op != "multiply":  # JAX has no other derivative
                found.append(getattr(base.at[i], op)(2 * E[:3], **given))
            found.append(getattr(E.at[i], op)(0.7, **given))
        return jnp.sum(jnp.sin(jnp.stack(found)), axis=1).ravel()

    # the row at the edge twice is no unique index
    modes_agree(f, [[0, 9, 5], *IDS[1:]] if unique and mode == "clip" else IDS)


def look(E: jax.Array, i: jax.Array) -> jax.Array:
    return jnp.sum(jnp.sin(E[i]), axis=0)


def scanned(E: jax.Array, i: jax.Array) -> jax.Array:
    return lax.scan(lambda h, now: (jnp.tanh(h + E[now]), h), jnp.zeros(D), i)[0]


PLACES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "scan": scanned,
    "scan of rows": lambda E, i: lax.scan(lambda h, row: (h + look(row[:, None], i), row[i]), jnp.zeros(1), E)[1][0],
    "jit": jax.jit(look),
    "checkpoint": jax.checkpoint(look),  # pyright: ignore[reportPrivateImportUsage]
    "cond": lambda E, i: lax.cond(i[0] > 0, look, lambda E, i: E[i[1]], E, i),
    "vmap": lambda E, i: jax.vmap(look, (None, 0))(E, jnp.stack([i, i + 1])).sum(0),
    "gradient": lambda E, i: jax.grad(lambda E: look(E, i)[0])(E)[0] + jax.grad(lambda E: look(E, i)[0])(E)[6],
    "columns": lambda E, i: E[jnp.array([0, 1, 8]), i],
    "single": lambda E, i: E[i[1]] + E[i[0], 1],
}


@pytest.mark.slow(but=["scan", "cond", "vmap", "columns"])
@pytest.mark.parametrize("place", PLACES)
def test_places(place: str) -> None:
    modes_agree(PLACES[place])


@pytest.mark.slow
def test_in_half_precision_and_by_narrow_row_numbers() -> None:
    i = jnp.array([0, 9, 6], jnp.int8)
    modes_agree(lambda E, i: look(E.astype(jnp.bfloat16), i).astype(E.dtype))
    E = table()
    long = jnp.concatenate([E] * 40)  # 280 rows: an int8 never reaches the last
    f = lambda E: jnp.sum(lax.gather(  # noqa: E731
        E, i[:, None], lax.GatherDimensionNumbers((1,), (0,), (0,)), (1, D), mode="promise_in_bounds"
    ), axis=0)  # fmt: skip
    np.testing.assert_array_equal(jax.jacrev(f)(long), jax.jacfwd(lambda E: agreed(f, E))(long))


def test_a_function_without_such_look_ups_is_handed_through() -> None:
    seen = []

    def f(E: jax.Array) -> jax.Array:
        seen.append(is_concrete(E))
        return jnp.sum(E, axis=0)

    np.testing.assert_array_equal(agreed(f, table()), f(table()))
    assert seen[:2] == [False, True]  # traced to be looked at, then called itself


def test_a_look_up_inside_a_custom_rule_is_refused_in_words() -> None:
    @jax.custom_jvp
    def f(E: jax.Array) -> jax.Array:
        return E[jnp.array([0, 9])].sum(0)

    f.defjvp(lambda p, t: (f(*p), t[0].sum(0)))
    x = jnp.ones((2, 3))
    with pytest.raises(ValueError, match=r'inside custom_jvp_call.*method="auto"'):
        NTK(lambda p, x: f(p) * x, table(), method="products")(x)


@pytest.mark.slow
@pytest.mark.parametrize("read", ("index", "take", "clip", "fill", "scan", "cond", "state"))
def test_one_kernel_by_every_method_and_for_products_with_vectors(x64, read: str) -> None:
    """The last row is read by its own number too, so that a gradient moved there would be seen."""
    x = jnp.array([[0, 1, 9], [2, 3, 6], [4, 7, 6], [-1, -9, 5]])
    rng = np.random.default_rng(1)
    params = {"E": jnp.asarray(rng.standard_normal((ROWS, D))), "W": jnp.asarray(rng.standard_normal((D, 2)))}

    def rows(E: jax.Array, ids: jax.Array) -> jax.Array:
        if read == "take":
            return jnp.take(E, ids, axis=0, mode="wrap") + E[ids]
        if read in ("clip", "fill"):
            return jnp.take(E, ids, axis=0, mode=read, fill_value=0.3)
        if read == "scan":
            return lax.scan(lambda h, i: (jnp.tanh(h + E[i]), h), jnp.zeros(D), ids)[1] + E[ids]
        if read == "cond":
            return lax.cond(ids[0] > 1, lambda: E[ids], lambda: 2 * jnp.tanh(E)[ids])
        if read == "state":
            return jnp.sin(E).at[ids].add(E[ids] * 2, mode="promise_in_bounds") @ E.T @ E
        return E[ids]

    f = lambda p, ids: jnp.tanh(rows(p["E"], ids)).mean(0) @ p["W"]  # noqa: E731
    exact = np.trace(oracles.explicit_ntk(f, params, x), axis1=2, axis2=3) / 2
    v = jnp.arange(1.0, 5)
    for method in ("auto", "structured", "jacobian", "products"):
        kernel = NTK(f, params, method=method)
        np.testing.assert_allclose(kernel(x), exact, rtol=1e-12, atol=1e-12, err_msg=method)
        np.testing.assert_allclose(kernel.diag(x), np.diagonal(exact), rtol=1e-12, err_msg=method)
    np.testing.assert_allclose(kernel.mv(x, v), exact @ v, rtol=1e-12, atol=1e-12)
    full = NTK(f, params, method="products", outputs="full")
    np.testing.assert_allclose(full(x), oracles.explicit_ntk(f, params, x), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(full.diag(x), full(x)[np.arange(4), np.arange(4)], rtol=1e-12, atol=1e-12)
    sketched = NTK(f, params, method=Sketch(jax.random.key(0), 64))
    side = sketched.prepare(x)
    pulls = (np.asarray(sketched(x)) - exact) / np.asarray(sketched.standard_error(side, side))
    assert np.abs(pulls).max() < 5
