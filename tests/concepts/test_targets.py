"""Do the targets equal plain loops over their definitions, and refuse what they cannot be?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import references
from ntkseq.concepts import Additive, NVariable, WholeSequence, series

RNG = np.random.default_rng(5)
X = RNG.standard_normal((4, 5, 3))
B = RNG.standard_normal((6, 3))
F = {"exp": np.exp, "sin": np.sin, "cos": np.cos}

ADDITIVE = Additive([(0, B[0], "exp"), (3, B[1], "sin"), (3, B[2], "exp"), (1, B[3], series.polynomial([1, 0, 2]))])
NVARIABLE = NVariable((4, 1), B[:2], "sin")
WHOLE = WholeSequence(("sin", "cos", "sin"), RNG.standard_normal((3, 2, 3)), weights=[0.5, -2.0, 1.0], start=2)
TARGETS = {"additive": ADDITIVE, "n-variable": NVARIABLE, "whole": WHOLE}
every = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


def loop(target, x) -> float:
    """The definition in float64, one token at a time."""
    if target is ADDITIVE:
        plain = [np.exp(B[0] @ x[0]), np.sin(B[1] @ x[3]), np.exp(B[2] @ x[3]), 1 + 2 * (B[3] @ x[1]) ** 2]
        return float(sum(plain))
    if target is NVARIABLE:
        return float(np.sin(B[0] @ x[4] + B[1] @ x[1]))
    total = 0.0
    for weight, name, w in zip((0.5, -2.0, 1.0), ("sin", "cos", "sin"), np.asarray(WHOLE.betas), strict=True):
        total += weight * F[name](sum(float(w[k] @ x[2 + k]) for k in range(2)))
    return total


@every
def test_a_target_equals_its_loop(target, x64):
    found = jax.jit(jax.vmap(target))(jnp.asarray(X))
    np.testing.assert_allclose(found, [loop(target, x) for x in X], rtol=1e-13)


@pytest.mark.slow(but=["n-variable"])
@every
def test_the_value_has_the_dtype_of_the_sequence(target, x64):
    assert target(jnp.asarray(X[0], jnp.float32)).dtype == jnp.float32


@pytest.mark.slow(but=["n-variable"])
@every
def test_a_target_is_a_pytree_whose_leaves_are_its_numbers(target, x64):
    leaves, tree = jax.tree.flatten(target)
    assert all(np.issubdtype(leaf.dtype, np.floating) for leaf in leaves)
    x = jnp.asarray(X[0])
    assert float(jax.jit(lambda f, x: f(x))(tree.unflatten(leaves), x)) == pytest.approx(loop(target, X[0]), rel=1e-13)
    # the gradient in the directions, against a difference
    step = 1e-6
    slope = jax.grad(lambda factor: jax.tree.map(lambda b: b * factor, target)(x))(1.0)
    up, down = (jax.tree.map(lambda b, f=1 + s: b * f, target)(x) for s in (step, -step))
    assert float(slope) == pytest.approx(float(up - down) / (2 * step), rel=1e-7)


@every
def test_directions_keep_their_float64_without_x64(target):
    assert all(leaf.dtype == np.float64 for leaf in jax.tree.leaves(target))


@pytest.mark.slow(cases=["additive"])
@every
def test_a_scaled_target_undoes_the_shortening_of_tokens(target, x64):
    x = jnp.asarray(X[0])
    assert float(target.scaled(8.0)(x / 8)) == pytest.approx(float(target(x)), rel=1e-14)


def test_only_the_tokens_at_the_positions_count(x64):
    def moves(target):
        gradient = np.asarray(jax.grad(lambda x: target(x))(jnp.asarray(X[0])))
        return [k for k in range(5) if gradient[k].any()]

    assert moves(ADDITIVE) == [0, 1, 3] and moves(NVARIABLE) == [1, 4] and moves(WHOLE) == [2, 3]


@pytest.mark.slow
def test_an_additive_target_has_no_mixed_derivatives_and_an_n_variable_one_has(x64):
    def mixed(target, first, second):
        hessian = np.asarray(jax.hessian(lambda x: target(x))(jnp.asarray(X[0])))
        return np.abs(hessian[first, :, second]).max()

    assert mixed(ADDITIVE, 0, 3) == 0 and mixed(NVARIABLE, 1, 4) > 1e-3


def test_targets_can_be_read():
    position, beta, phi = ADDITIVE.parts[1]
    assert (position, phi) == (3, series.sin()) and (beta == B[1]).all()
    np.testing.assert_allclose(ADDITIVE.norms, np.linalg.norm(B[:4], axis=1), rtol=1e-15)
    assert ADDITIVE.family == (series.exp(), series.sin(), series.polynomial([1, 0, 2]))
    assert (ADDITIVE.degree, ADDITIVE.steps, ADDITIVE.features) == (None, 4, 3)
    assert Additive([(0, [1.0], series.polynomial([0, 1])), (1, [1.0], series.polynomial([0, 0, 1]))]).degree == 2
    assert (NVARIABLE.span, NVARIABLE.variables, NVARIABLE.steps, NVARIABLE.degree) == (3, 2, 5, None)
    assert [place for place, _ in NVARIABLE.blocks] == [4, 1] and (NVARIABLE.blocks[1][1] == B[1]).all()
    weight, term = WHOLE.parts[1]
    assert weight == -2 and term.positions == (2, 3) and term.series == series.cos()


def test_each_target_cites_its_paper():
    assert "2109.14142" in references.cite(ADDITIVE, NVARIABLE) and "2106.00047" in references.cite(WHOLE)


def test_a_whole_sequence_target_says_where_it_leaves_the_paper():
    assert WholeSequence("sin", [[0.6], [0.8]]).departures == ()
    found = WHOLE.departures
    assert any("cos() is 1 at 0, not 0" in one for one in found)
    assert any("the weight of term 1 is -2" in one for one in found)
    assert sum("has norm" in one for one in found) == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Additive([]), "at least one"),
        (lambda: Additive([(0, [1.0])]), r"must be \(position, beta, series\)"),
        (lambda: Additive([(-1, [1.0], "exp")]), "position must be an integer >= 0.*got -1"),
        (lambda: Additive([(0.5, [1.0], "exp")]), "position must be an integer >= 0"),
        (lambda: Additive([(0, [[1.0]], "exp")]), r"beta must be floats of shape \(d,\)"),
        (lambda: Additive([(0, [1.0], "exp"), (1, [1.0, 2.0], "exp")]), r"one number d of features.*\[1, 2\]"),
        (lambda: Additive([(0, [np.nan], "exp")]), "beta must be finite"),
        (lambda: Additive([(0, [1.0], "relu")]), "analytic at 0; got 'relu': it has a kink"),
        (lambda: NVariable((0, 0), [[1.0], [1.0]], "exp"), "N different ones"),
        (lambda: NVariable((0, 1), [[1.0]], "exp"), "one row of betas"),
        (lambda: NVariable((0, -1), [[1.0], [1.0]], "exp"), "positions must be an integer >= 0"),
        (lambda: NVariable((), np.ones((0, 1)), "exp"), "no axis empty"),
        (lambda: NVariable("ab", [[1.0], [1.0]], "exp"), "positions must be integers"),
        (lambda: NVariable((0,), [[1.0]], "abs"), "kink"),
        (lambda: WholeSequence("sin", [1.0, 2.0]), r"betas must be floats of shape \(p, s, d\)"),
        (lambda: WholeSequence(["sin", "exp"], [[1.0]]), "hold p = 1 terms; got 2 series"),
        (lambda: WholeSequence("sin", [[1.0]], weights=[1.0, 2.0]), r"weights \(2,\)"),
        (lambda: WholeSequence("sin", [[1.0]], start=-1), "start must be an integer"),
        (lambda: WholeSequence("relu", [[1.0]]), "kink"),
    ],
)
def test_what_is_no_target_is_refused(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()


@every
def test_a_sequence_that_does_not_fit_is_refused(target):
    with pytest.raises(ValueError, match=r"at least . steps, since the target looks at position"):
        target(jnp.zeros((target.steps - 1, 3)))
    with pytest.raises(ValueError, match="must have d = 3 features"):
        target(jnp.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"one example of shape \(t, d\).*jax.vmap"):
        target(jnp.zeros((2, 5, 3)))
    with pytest.raises(ValueError, match="x must be finite"):
        target(jnp.full((5, 3), jnp.nan))
