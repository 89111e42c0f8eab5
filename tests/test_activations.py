"""Are the activations what their names say, and do they say no to what they are not?"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from ntkseq import activations, kernels, models
from ntkseq.activations import LeakyRelu, Rectifier, Sine, Smooth

Z = np.linspace(-3, 3, 25)
VALUES = {
    "relu": np.maximum(Z, 0),
    "leaky_relu": np.where(Z > 0, Z, 0.01 * Z),
    "abs": np.abs(Z),
    "identity": Z,
    "erf": scipy.special.erf(Z),
    "sin": np.sin(Z),
    "cos": np.cos(Z),
    "gelu": Z * scipy.special.ndtr(Z),
    "tanh": np.tanh(Z),
    "sigmoid": scipy.special.expit(Z),
    "softplus": np.logaddexp(0, Z),
}


def test_every_name_is_known_and_tested_here() -> None:
    assert set(activations.names()) == set(VALUES)


@pytest.mark.slow(cases=["gelu", "relu"])
@pytest.mark.parametrize("name", VALUES)
def test_the_values_are_those_of_the_name(name, x64) -> None:
    np.testing.assert_allclose(activations.get(name)(jnp.asarray(Z)), VALUES[name], atol=1e-14)


@pytest.mark.parametrize("name", VALUES)
def test_single_precision_stays_single(name) -> None:
    assert activations.get(name)(jnp.float32(0.3)).dtype == jnp.float32


@pytest.mark.parametrize("act", [Rectifier(1.0, 0.0), Rectifier(1.0, -1.0), LeakyRelu(0.3)], ids=repr)
def test_the_derivative_of_the_relu_family_at_zero_is_zero(act) -> None:
    assert float(jax.grad(act)(0.0)) == 0.0


def test_an_activation_is_its_own_get() -> None:
    act = Sine(2.0, 0.1)
    assert activations.get(act) is act


def test_parameters_are_leaves_and_choices_are_structure() -> None:
    assert jax.tree.leaves(LeakyRelu(0.3)) == [0.3]
    assert jax.tree.leaves(Sine(2.0, 0.5)) == [2.0, 0.5]
    assert jax.tree.leaves(Smooth(jnp.tanh)) == [] == jax.tree.leaves(Rectifier(1.0, -1.0))
    again = jax.tree.map(lambda leaf: 2 * leaf, Sine(2.0, 0.5))
    assert (again.frequency, again.phase) == (4.0, 1.0)


def test_the_slope_of_the_leaky_relu_can_be_differentiated() -> None:
    assert float(jax.grad(lambda s: LeakyRelu(s)(jnp.float32(-2.0)))(0.1)) == -2.0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: activations.get("swish"), "activation must be one of 'relu'.*got 'swish'"),
        (lambda: activations.get(jnp.tanh), r"activation must be a name.*Smooth\(function\)"),
        (lambda: activations.get(None), "activation must be a name"),
        (lambda: activations.Rectifier(1.0, float("nan")), "negative must be a finite number; got nan"),
        (lambda: activations.LeakyRelu(float("nan")), "slope must be finite; got nan"),
        (lambda: activations.Sine(1.0, "pi"), "phase must be real numbers; got 'pi'"),
        (lambda: activations.Erf([1.0, float("inf")]), "frequency must be finite"),
        (lambda: Smooth("tanh"), "function must be callable"),
        (lambda: Smooth(jnp.tanh, terms=0), "terms must be an integer >= 1; got 0"),
        (lambda: Smooth(jnp.tanh, terms=2.5), "terms must be an integer >= 1; got 2.5"),
        (lambda: Smooth(jnp.tanh, parity="uneven"), "parity must be one of 'odd', 'even', 'none'; got 'uneven'"),
    ],
)
def test_a_wrong_activation_is_refused_with_words(make, words, untyped) -> None:
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("made", [kernels.Dense, kernels.Recurrent, kernels.Bidirectional, partial(models.Dense, 4)])
@pytest.mark.usefixtures("untyped")
def test_a_bare_function_is_refused_where_the_kernel_is_made(made) -> None:
    with pytest.raises(
        ValueError, match=r"activation must be a name .*; got the function tanh\. Pass \"tanh\"\. .*Smooth\(function\)"
    ):
        made(activation=jnp.tanh)
