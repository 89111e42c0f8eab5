"""Do the finite networks tend to the kernels that claim to be their limits? Statistics over initialisations.

Each z-score is (mean over seeds - limit) / standard error. The seeds are fixed, so these numbers are too; 4 is what the
largest of six correlated scores with 15 degrees of freedom passes about once in two hundred draws. The bias at width
512 is of relative order 1/512, a tenth of the standard error.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq._struct import replace
from ntkseq.kernels import Dense, Recurrent
from tests.models import explicit

# some keep norms or let them grow: over sequences of four steps their averages still have no heavy tails
pytestmark = pytest.mark.filterwarnings("ignore::ntkseq.empirical.HeavyTails")

SCALES = dict(sigma_w=1.4, sigma_u=1.1, sigma_b=0.3, sigma_r=0.9)
X = explicit.sequences().astype(np.float32)
RAGGED = np.array([4, 2, 3], np.int32)


def compare(options, lengths, *, width=512, seeds=16):
    kernel = Recurrent(**{**SCALES, **options})
    rest = () if lengths is None else (jnp.asarray(lengths),)
    samples = explicit.over_seeds(kernel.finite(width), jnp.asarray(X), *rest, seeds=seeds)
    return samples, np.asarray(kernel(X, lengths=lengths))


@pytest.mark.slow(but=["relu-last"])
@pytest.mark.parametrize(
    ("options", "lengths"),
    [
        pytest.param({}, None, id="relu-last"),
        pytest.param({"read": "mean"}, RAGGED, id="relu-mean-ragged"),
        pytest.param({"depth": 2, "train": ("WU", "bR")}, None, id="two-layers-train-subset"),
        pytest.param({"activation": "erf"}, None, id="erf"),
        pytest.param({"direction": "both"}, RAGGED, id="both-ragged"),
        pytest.param({"h0": "shared", "sigma_h": 0.7}, RAGGED, id="h0-shared-ragged"),
    ],
)
def test_the_tangent_kernel_at_width_512_is_its_limit_within_the_error(options, lengths):
    samples, exact = compare(options, lengths)
    assert np.abs(explicit.z_scores(samples, exact)).max() < 4
    assert explicit.relative(samples, exact) < 0.06  # the scores could also be small because the spread is large


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "lengths"),
    [
        ({"read": "steps"}, RAGGED),
        ({"read": "sum"}, None),
        ({"read": "steps", "direction": "both"}, RAGGED),
        ({"read": "mean", "direction": "reversed"}, RAGGED),
        ({"depth": 2, "read": "mean"}, RAGGED),
        ({"depth": 3, "sigma_w": (1.4, 1.0, 0.7), "sigma_u": (1.1, 1.2, 1.3)}, None),
        ({"depth": 2, "h0": "shared", "sigma_h": 0.7, "read": "sum"}, None),
        ({"train": "W"}, None),
        ({"train": "U"}, RAGGED),
        ({"train": "b"}, None),
        ({"train": "R"}, None),
        ({"activation": "tanh", "depth": 2}, None),
        ({"activation": "abs"}, None),
        ({"activation": "leaky_relu"}, RAGGED),
        ({"activation": "sin", "train": "WUb"}, None),
        ({"activation": "gelu", "read": "mean"}, None),
        ({"input_scale": "none", "sigma_b": 0.0}, None),
    ],
)
def test_every_choice_tends_to_its_kernel(options, lengths):
    samples, exact = compare(options, lengths, seeds=32)
    assert np.abs(explicit.z_scores(samples, exact)).max() < 4
    assert explicit.relative(samples, exact) < 0.08


@pytest.mark.slow
def test_initial_states_drawn_for_each_input_count_on_the_diagonal_only():
    kernel = Recurrent(**SCALES, h0="independent", sigma_h=0.7)
    net, x = kernel.finite(512), jnp.asarray(np.stack([X[0], X[0], X[1]]))

    def one(key):
        own, *starts = jax.random.split(key, 4)
        states = jnp.stack(starts)
        f = lambda params, z, start: net.apply(params, z, key=start)  # noqa: E731
        return explicit.tangent_kernel(f, net.init(own, x[0]), x, states)

    samples = np.asarray(jax.lax.map(one, jax.random.split(jax.random.key(1), 16)), np.float64)
    exact = np.asarray(kernel(x))
    assert exact[0, 1] < exact[0, 0]  # equal numbers, two examples
    assert np.abs(explicit.z_scores(samples, exact)).max() < 4
    assert explicit.relative(samples, exact) < 0.06


@pytest.mark.slow
def test_the_covariance_of_the_outputs_at_the_start_is_the_nngp_kernel():
    kernel = Recurrent(**SCALES, read="mean", direction="both", h0="shared", sigma_h=0.5)
    net = replace(kernel.finite(128), outputs=64)  # outputs are independent draws of the read-out
    x = jnp.asarray(X)

    def one(key):
        f = jax.vmap(net.apply, in_axes=(None, 0, 0))(net.init(key, x[0]), x, jnp.asarray(RAGGED))
        return f @ f.T / f.shape[1]

    samples = np.asarray(jax.lax.map(one, jax.random.split(jax.random.key(2), 64)), np.float64)
    exact = np.asarray(kernel.with_(kind="nngp")(X, lengths=RAGGED))
    assert np.abs(explicit.z_scores(samples, exact)).max() < 4
    assert explicit.relative(samples, exact) < 0.06


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"depth": 2, "train": "Wb"},
        pytest.param({"activation": "erf", "depth": 3}, marks=pytest.mark.slow),
        pytest.param({"input_scale": "none", "train": "R"}, marks=pytest.mark.slow),
    ],
)
def test_the_tangent_kernel_of_a_fully_connected_network_is_its_limit_within_the_error(options):
    kernel = Dense(**{"sigma_w": 1.4, "sigma_b": 0.3, "sigma_r": 0.9, **options})
    x = jnp.asarray(X[:, 0])
    samples = explicit.over_seeds(kernel.finite(512), x, seeds=16)
    exact = np.asarray(kernel(x))
    assert np.abs(explicit.z_scores(samples, exact)).max() < 4
    assert explicit.relative(samples, exact) < 0.06


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"depth": 2, "read": "mean"}])
def test_the_error_of_one_network_falls_as_one_over_the_root_of_the_width(options):
    widths, errors = [64, 256, 1024], []
    for width in widths:
        samples, exact = compare(options, RAGGED, width=width, seeds=24)
        errors.append(np.sqrt(np.mean((samples - exact) ** 2)))
    slope = np.polyfit(np.log(widths), np.log(errors), 1)[0]
    assert abs(slope + 0.5) < 0.15  # the spread of each error is 1/sqrt(48) or so: 0.14 over a factor of 16 in width
