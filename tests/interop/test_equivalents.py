"""Are both sides of each row of the page for users of neural-tangents the same kernel?"""

from __future__ import annotations

import importlib.util
import pathlib
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import activations, blocks, empirical, kernels, predictors
from ntkseq.interop import neural_tangents

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("neural_tangents", "frozendict")),
    reason="neural-tangents is not installed",
)
PAGE = pathlib.Path(__file__).parents[2] / "docs" / "howto" / "neural-tangents.md"
ROWS = re.findall(r"^\| `(serial.*?)` \| `(kernels\..*?)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Linear scaling attention used", "ignore:`FanIn` layers assume independent inputs")
@pytest.mark.parametrize(("theirs", "ours"), ROWS)
def test_both_sides_of_a_row_are_the_same_kernel(theirs: str, ours: str, x64: None):
    stax = neural_tangents.load().stax
    shape = (4, 5, 3) if "GlobalAvgPool" in theirs else (4, 6)
    x = jax.random.normal(jax.random.key(0), shape)
    kernel = eval(ours, {"kernels": kernels, "blocks": blocks, "activations": activations})
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        function = eval(theirs, {**vars(stax), "D": stax.Dense(1)})[2]
        for kind in ("ntk", "nngp"):
            wanted = np.asarray(function(x, None, kind))
            np.testing.assert_allclose(kernel.with_(kind=kind)(x), wanted, rtol=1e-6 if kind == "ntk" else 1e-9)


def test_the_page_has_rows():
    assert len(ROWS) >= 11


@pytest.mark.slow
def test_what_follows_a_kernel_is_the_same_too():
    nt: Any = neural_tangents.load()
    x, new = jax.random.normal(jax.random.key(0), (5, 6)), jax.random.normal(jax.random.key(1), (2, 6))
    y = np.sin(np.asarray(x[:, :1]))
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        init, apply, _ = nt.stax.serial(nt.stax.Dense(8), nt.stax.Relu(), nt.stax.Dense(2))
        function = nt.stax.serial(nt.stax.Dense(1), nt.stax.Relu(), nt.stax.Dense(1))[2]
        params = init(jax.random.key(2), x.shape)[1]
        moved = jax.tree.map(lambda w: w + 0.1, params)
        mean = nt.empirical_ntk_fn(apply, implementation=1)(x, None, params)
        full = nt.empirical_ntk_fn(apply, trace_axes=(), implementation=1)(x, None, params)
        line = nt.linearize(apply, params)(moved, x)
        bent = nt.taylor_expand(apply, params, 2)(moved, x)
        fitted = nt.predict.gradient_descent_mse_ensemble(function, x, y, diag_reg=0.01, diag_reg_absolute_scale=True)
        ridge, process = (np.asarray(fitted(x_test=new, get=kind))[:, 0] for kind in ("ntk", "nngp"))
        flow = nt.predict.gradient_descent_mse(function(x, None, "ntk"), y)
        flowed = np.asarray(flow(2.5, 0.0, 0.0, function(new, x, "ntk"))[1])[:, 0]

        def f(weights: Any, one: jax.Array) -> jax.Array:
            return apply(weights, one[None])[0]

        close = lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=2e-5)  # noqa: E731
        close(empirical.NTK(f, params)(x), mean)
        close(empirical.NTK(f, params, outputs="full")(x), full)
        close(jax.vmap(empirical.linearize(f, params), (None, 0))(moved, x), line)
        close(jax.vmap(empirical.taylor(f, params, degree=2), (None, 0))(moved, x), bent)
    kernel = kernels.Dense()
    K, cross = ntkseq.gram(kernel, x), ntkseq.gram(kernel, new, x)
    close(ntkseq.ridge(K, y[:, 0], reg=0.01)(cross), ridge)
    close(predictors.gradient_flow(K, y[:, 0], time=0.5)(cross), flowed)
    prior = kernel.with_(kind="nngp")
    posterior = predictors.gaussian_process(ntkseq.gram(prior, x), y[:, 0], noise=0.01)
    close(posterior.mean(ntkseq.gram(prior, new, x)).values, process)
    assert jnp.shape(K) == (5, 5)
