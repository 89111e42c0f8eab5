"""Is the kernel of a network of blocks the one of the theory, for every block and choice?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import blocks
from ntkseq.blocks import GLU, Attention, Convolution, LayerNorm, Linear, Positions, Recurrent, Residual
from ntkseq.cells import Elman
from ntkseq.kernels.serial import Serial
from tests.kernels import explicit_tokens as explicit

X = np.random.default_rng(1).standard_normal((3, 4, 2))
RAGGED = np.array([4, 2, 3])

# the tokens of the golden numbers of neural-tangents 0.6.5
XS = np.random.default_rng(0).standard_normal((2, 3, 4))


def relative(got: Any, want: np.ndarray) -> float:
    root = np.sqrt(np.diagonal(want))
    return float(np.max(np.abs(np.asarray(got, np.float64) - want) / np.outer(root, root)))


def forward(activation: str = "relu") -> Residual:
    return Residual(LayerNorm(0.1), Linear(1.3, 0.2), blocks.Nonlinearity(activation), Linear(0.7, 0.1))


NETS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "dense": ((Linear(1.2, 0.3), "relu", Linear(0.9, 0.1, train="b"), "erf"), {"read": "sum"}),
    "transformer": (
        (Linear(), Residual(LayerNorm(), Attention(0.7, 1.2, 0.3)), forward(), Attention(1.1, causal=True)),
        {"read": "last", "sigma_r": 1.3},
    ),
    "attention of features only": (
        (
            Linear(1.1, 0.2),
            Positions(0.3, 0.4),
            LayerNorm(),
            Attention(1.3, 0.9, 0.2, skip=True),
            Residual(Linear(0.4)),
            Attention(weights="abs"),
        ),
        {"read": "first"},
    ),
    "attention of pairs": (
        (
            Linear(),
            "relu",
            Attention(weights="relu", skip=True, train="Vb", sigma_b=0.3),
            Positions(0.2, 0.5),
            Linear(),
            "erf",
            Attention(project=False, skip=True),
            Positions(0.2),
        ),
        {"train_readout": False, "input_scale": "none"},
    ),
    "scores at the root": (
        (
            Linear(),
            forward("erf"),
            Attention(0.8, 1.1, 0.2, weights="identity", scaling="root", train="QVb"),
            forward(),
        ),
        {},
    ),
    "scores at the root, causal": (
        (Linear(), Attention(0.8, 1.1, weights="identity", scaling="root", causal=True, skip=True), LayerNorm()),
        {"read": "last"},
    ),
    "retention": (
        (Linear(), Attention(0.8, 1.1, 0.2, "identity", "root", causal=True, decay=(0.5, 0.9)), Linear(1.3), "relu"),
        {"read": "mean"},
    ),
    "convolutions of features": (
        (Convolution(3, sigma_w=1.2, sigma_b=0.3), Residual(Convolution(5, False, 0.8, 0.2, train="b")), "relu"),
        {"read": "sum"},
    ),
    "convolutions of pairs": (
        (
            Linear(1.1, 0.2),
            "relu",
            Convolution(3, causal=False, sigma_w=1.2, sigma_b=0.3),
            "erf",
            Convolution(2, sigma_w=0.9, sigma_b=0.1, depthwise=True, train="W"),
            Convolution(7, sigma_w=1.3),
            LayerNorm(0.1),
        ),
        {"read": "last"},
    ),
    "a gated unit, a convolution": (
        (GLU("erf", Linear(1.2, 0.3), Linear(0.8, 0.4, train="W")), Convolution(2, sigma_b=0.2), "relu"),
        {"read": "last"},
    ),
    "gated units": (
        (
            Linear(1.1, 0.2),
            Residual(LayerNorm(0.1), GLU("erf", Linear(1.2, 0.3), Linear(0.8, 0.4, train="W")), Linear(0.9)),
            GLU("relu", Linear(0.9, 0.1, train="b"), Linear(1.3, 0.2)),
            Convolution(2),
            "relu",
        ),
        {"read": "mean"},
    ),
    "raw convolutions and gated units": (
        (
            Convolution(2, sigma_w=1.3, sigma_b=0.2),
            GLU("erf", Linear(1.2, 0.3)),
            Convolution(3, False, 0.8, 0.4),
            "relu",
        ),
        {"param": "raw", "read": "sum", "input_scale": "none"},
    ),
    "recurrences": (
        (Recurrent(Elman(sigma_w=1.2, sigma_b=0.3)), Recurrent(Elman("erf", 0.9, 1.1, train="Wb"), "both")),
        {"read": "last"},
    ),
    "recurrence, attention, recurrence": (
        (
            Linear(1.1),
            Residual(LayerNorm(0.1), Recurrent(Elman("identity", 0.6, 0.8, 0.1), "reversed")),
            Attention(1.1, causal=True),
            "relu",
            Recurrent(Elman("erf", 1.3, train="U")),
        ),
        {"read": "mean"},
    ),
    "raw recurrence": (
        (Recurrent(Elman(sigma_w=0.9, sigma_u=1.4, sigma_b=0.3), "both"),),
        {"param": "raw", "read": "sum"},
    ),
    "raw": ((Linear(1.4, 0.2), Attention(project=False), Linear(0.6), "relu"), {"param": "raw", "sigma_r": 0.8}),
    "nngp": ((Linear(1.4), Attention(0.6), LayerNorm(), "relu", Attention()), {"kind": "nngp"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_kernel_equals_the_recursion_over_all_pairs_of_tokens(name: str, x64: None) -> None:
    parts, arguments = NETS[name]
    kernel = Serial(*parts, **arguments)
    want = explicit.serial(parts, X, RAGGED, **arguments)
    assert relative(kernel(X, lengths=RAGGED), want) < 1e-12
    behind = np.arange(4)[None, :, None] >= RAGGED[:, None, None]
    padded = np.concatenate([np.where(behind, np.nan, X), np.full((3, 2, 2), 7.0)], axis=1)
    np.testing.assert_allclose(kernel(padded, lengths=RAGGED), want, rtol=1e-11)
    np.testing.assert_allclose(kernel.diag(X, RAGGED), np.diagonal(want), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parts", "kind", "want"),
    [
        ((Linear(), LayerNorm(), "relu"), "ntk", (0.48777792357364447, 0.22999843355633756, 0.4430598007960897)),
        (
            (Linear(), Attention(), LayerNorm(), Linear(2**0.5, 0.1), "relu"),
            "nngp",
            (0.8796773783532453, 0.3928690576487872, 0.9308698249300165),
        ),
        (
            (Linear(), Attention(), LayerNorm(), Linear(2**0.5, 0.1), "relu"),
            "ntk",
            (3.9009111829492404, 0.7100567168837266, 4.235967163322039),
        ),
    ],
    ids=["dense", "attention nngp", "attention ntk"],
)
def test_golden_numbers_of_neural_tangents(parts, kind, want, x64: None) -> None:
    K = np.asarray(Serial(*parts, kind=kind)(XS))
    np.testing.assert_allclose(K[np.triu_indices(2)], want, rtol=1e-10)


@pytest.mark.slow
def test_order_of_tokens_is_seen_by_positions_only(x64: None) -> None:
    order = [2, 0, 3, 1]
    plain = (Linear(), Residual(Attention()), forward())
    kernel = Serial(*plain)
    moved = X.copy()
    moved[0] = X[0, order]
    np.testing.assert_allclose(kernel(moved), kernel(X), rtol=1e-12)
    placed = Serial(plain[0], Positions(0.5), *plain[1:])
    assert relative(placed(moved), np.asarray(placed(X))) > 1e-3


@pytest.mark.slow
def test_one_token_meets_dense_layers_only(x64: None) -> None:
    one = X[:, :1]
    attention = Serial(Linear(1.1), Attention(0.4, 1.3), "relu")(one)
    linear = Serial(Linear(1.1), Linear(1.3), Linear(1.0), "relu")(one)  # V and O: two layers of weights
    np.testing.assert_allclose(attention, linear, rtol=1e-12)


@pytest.mark.slow
def test_near_duplicates_keep_their_digits_in_single_precision() -> None:
    x = np.random.default_rng(0).standard_normal((4, 5, 6))
    x[1], x[3] = x[0] + 1e-3 * x[2], x[0]
    parts = (Linear(), Residual(LayerNorm(), Attention()), forward())
    with jax.enable_x64(True):
        want = np.asarray(Serial(*parts)(x))
    kernel = Serial(*parts)
    single = jnp.asarray(x, jnp.float32)
    error = relative(kernel(single), want)
    assert error < 1e-6  # measured 2e-7
    assert error < kernel.entry_rounding(kernel.prepare(single)) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("gap", [1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
@pytest.mark.parametrize("weights", ["softmax", "identity"])
def test_attention_behind_an_activation_states_what_it_loses(gap: float, weights: str) -> None:
    x = np.random.default_rng(0).standard_normal((4, 5, 6))
    x[1], x[3] = x[0] + gap * x[2], x[0]
    layer = (Residual(LayerNorm(), Attention(weights=weights)), forward())
    parts = (Linear(), *layer, *layer, LayerNorm())
    with jax.enable_x64(True):
        want = np.asarray(Serial(*parts)(x))
    kernel = Serial(*parts)
    single = jnp.asarray(x, jnp.float32)
    K = np.asarray(kernel(single), np.float64)
    error = relative(K, want)
    assert error < kernel.entry_rounding(kernel.prepare(single)) < 2e-3
    apart = np.ix_([0, 2], [0, 2])  # without near-duplicates
    assert relative(K[apart], want[apart]) < 3e-6


@pytest.mark.slow
def test_gradients_are_those_of_finite_differences(x64: None) -> None:
    def value(s: jax.Array) -> jax.Array:
        parts = (
            Linear(s[0], s[1]),
            Residual(LayerNorm(s[2]), Attention(s[3], s[4], s[5])),
            Linear(s[0]),
            "relu",
            Attention(s[3], weights="abs"),
            Positions(s[6], s[7]),
        )
        return jnp.sum(Serial(*parts, sigma_r=s[8])(X, lengths=RAGGED) * jnp.arange(9.0).reshape(3, 3))

    s = jnp.array([1.1, 0.3, 0.2, 0.8, 1.2, 0.4, 0.3, 0.5, 0.9])
    run = jax.jit(value)
    gradient = jax.jit(jax.grad(value))(s)
    h = 1e-5
    wanted = [(run(s.at[k].add(h)) - run(s.at[k].add(-h))) / (2 * h) for k in range(s.size)]
    np.testing.assert_allclose(gradient, wanted, rtol=1e-6)


def test_a_sweep_compiles_once() -> None:
    from ntkseq.kernels import serial

    x = jnp.asarray(X, jnp.float32)
    run = lambda s: Serial(Linear(s), Attention(s), "relu", sigma_r=s).diag(x)  # noqa: E731
    run(1.0)
    before = serial._prepare._cache_size(), serial._each._cache_size()
    run(1.5)
    assert (serial._prepare._cache_size(), serial._each._cache_size()) == before


@pytest.mark.parametrize(
    ("parts", "arguments", "words"),
    [
        ((), {}, "one or more blocks"),
        (("relu",), {}, "width"),
        ((Attention(project=False),), {}, "no block maps"),
        ((Attention(skip=True),), {}, "width"),
        ((Linear(), "relu", "relu"), {}, "Gaussian"),
        ((Linear(), "relu", LayerNorm()), {}, "Gaussian"),
        ((Linear(), "relu", Residual(Linear()), "erf"), {}, "Gaussian"),
        ((Linear(), Residual(Linear(), blocks.Nonlinearity("relu"))), {}, "end with weights"),
        ((Linear(), Residual(Attention(project=False))), {}, "end with weights"),
        ((Linear(), Attention()), {"param": "raw"}, "raw"),
        ((Recurrent(Elman()), "relu"), {}, "Gaussian"),
        ((Recurrent(Elman()), LayerNorm()), {}, "Gaussian"),
        ((Linear(), Residual(Recurrent(Elman()))), {}, "end with weights"),
        ((Residual(Recurrent(Elman("identity"))),), {}, "width"),
        ((Linear(), GLU(), "relu"), {}, "Gaussian"),
        ((Linear(), Convolution(2, depthwise=True), "relu"), {}, "Gaussian"),
        ((Convolution(2, depthwise=True), Linear()), {}, "width"),
        ((Linear(), Residual(GLU())), {}, "end with weights"),
        ((Linear(), Residual(Convolution(2, depthwise=True))), {}, "end with weights"),
        ((Linear(),), {"read": "max"}, "read"),
        ((Linear(),), {"kind": "both"}, "kind"),
        ((Linear(),), {"train_readout": 1}, "train_readout"),
        ((Linear(),), {"sigma_r": -1.0}, "sigma_r"),
    ],
)
def test_what_has_no_known_limit_is_refused(parts, arguments, words) -> None:
    with pytest.raises(ValueError, match=words):
        Serial(*parts, **arguments)


@pytest.mark.slow
def test_bad_inputs_are_refused() -> None:
    kernel = Serial(Linear(), Attention(), LayerNorm())
    for x, lengths, words in (
        (X[0], None, "shape"),
        (X, np.array([0, 1, 2]), "lengths"),
        (np.where(X > 1, np.nan, X), None, "finite"),
        (X * np.array([1.0, 0, 1])[:, None, None], None, "LayerNorm"),
    ):
        with pytest.raises(ValueError, match=words):
            kernel(jnp.asarray(x, jnp.float32), lengths=lengths)
    steep = Serial(
        Linear(), Attention(weights="identity"), Attention(weights="identity"), Attention(weights="identity")
    )
    with pytest.raises(ValueError, match="overflow"):
        steep(jnp.asarray(1e3 * X, jnp.float32))
    assert np.isfinite(Serial(Linear(), Attention())(jnp.asarray(1e3 * X, jnp.float32))).all()  # softmax does not


def test_a_network_for_nngp_or_raw_gradients_does_not_exist() -> None:
    for arguments in ({"kind": "nngp"}, {"param": "raw"}):
        with pytest.raises(ValueError, match="finite"):
            Serial(Linear(), **arguments).finite(8)
