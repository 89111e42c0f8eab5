"""Does neural-tangents import on this JAX without leaving traces, and is a wrapped kernel its kernel function?"""

from __future__ import annotations

import importlib.util
import math
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.core
import jax.interpreters.ad
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import bounds, kernels
from ntkseq.blocks import GLU, Convolution, Linear
from ntkseq.interop import neural_tangents
from ntkseq.interop.foreign import Foreign

absent = [name for name in ("neural_tangents", "frozendict") if importlib.util.find_spec(name) is None]
needs_guest = pytest.mark.skipif(
    bool(absent), reason=f"not installed: {', '.join(absent)}; to run: {neural_tangents._INSTALL}"
)


@pytest.fixture(scope="module")
def stax() -> Any:
    return neural_tangents.load().stax


# --- the import, with a package that asks for the same names -------------------------------------------------------

ASKS = """
from jax import core
from jax.core import Jaxpr, JaxprEqn, Literal, Primitive, ShapedArray, Value, Var
from jax.util import safe_map, safe_zip
import jax
NEVER = jax.interpreters.ad.zeros_like_p
from . import experimental, stax
"""


@pytest.fixture
def fake(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Install a package of that text in the place of neural-tangents."""
    ours = lambda: [name for name in sys.modules if name.split(".")[0] == "neural_tangents"]  # noqa: E731
    for name in ours():
        monkeypatch.delitem(sys.modules, name)

    def install(text: str) -> None:
        for name, content in {
            "neural_tangents/__init__.py": text,
            "neural_tangents/stax.py": "",
            "neural_tangents/experimental/__init__.py": "import tensorflow",
            "frozendict.py": "",
        }.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()

    yield install
    for name in ours():
        del sys.modules[name]


def traces() -> tuple[Any, ...]:
    return (
        set(vars(jax.core)),
        set(vars(jax.interpreters.ad)),
        {name for name in sys.modules if name == "jax.util"},
        dict(jax.config.values),
    )


def test_the_names_are_there_for_the_import_and_gone_afterwards(fake) -> None:
    fake(ASKS)
    before = traces()
    guest = neural_tangents.load()
    assert traces() == before
    assert guest.Jaxpr is jax.make_jaxpr(jnp.sin)(1.0).jaxpr.__class__
    assert guest.safe_map(lambda a, b: a + b, [1, 2], [3, 4]) == [4, 6]
    assert guest.safe_zip([1], [2]) == [(1, 2)]
    with pytest.raises(ValueError, match="zip"):
        guest.safe_map(max, [1, 2], [3])
    assert neural_tangents.load() is guest


def test_a_name_that_exists_stays_as_it_is(fake, monkeypatch) -> None:
    mine = object()
    monkeypatch.setattr(jax.core, "Jaxpr", mine, raising=False)
    fake(ASKS)
    assert neural_tangents.load().Jaxpr is mine
    assert jax.core.Jaxpr is mine  # pyright: ignore[reportAttributeAccessIssue]


def test_a_package_that_is_imported_already_is_the_one_you_get(fake) -> None:
    fake("from . import stax\nmine = True")
    import neural_tangents as guest

    assert neural_tangents.load() is guest
    assert "neural_tangents.experimental" not in sys.modules  # nothing was put in its place


def test_what_needs_tensorflow_says_so_when_it_is_used(fake) -> None:
    fake(ASKS)
    guest = neural_tangents.load()
    assert not hasattr(guest.experimental, "__path__")
    with pytest.raises(ImportError, match=r"experimental\.empirical_ntk_fn_tf needs TensorFlow"):
        _ = guest.experimental.empirical_ntk_fn_tf


@pytest.mark.parametrize("text", ["from jax.core import NoSuchName", "import jax\njax.core.NoSuchName"])
def test_a_jax_that_moved_more_names_is_named_and_nothing_half_imported_stays(fake, text: str) -> None:
    fake("from . import stax, experimental\n" + text)
    before = traces()
    with pytest.raises(ImportError, match=rf"jax {jax.__version__} \(.*NoSuchName.*known for jax 0\.10 to 0\.12"):
        neural_tangents.load()
    assert traces() == before
    assert not [name for name in sys.modules if name.startswith("neural_tangents")]


@pytest.mark.parametrize("missing", ["neural_tangents", "frozendict"])
def test_a_package_that_is_not_installed_is_named_with_what_to_type(fake, monkeypatch, missing: str) -> None:
    fake(ASKS)
    there = neural_tangents._there
    monkeypatch.setattr(neural_tangents, "_there", lambda name: name != missing and there(name))
    with pytest.raises(ImportError, match=f"{missing} is not installed.*--no-deps neural-tangents==0.6.5"):
        neural_tangents.load()


# --- the wrapper, with functions written here ------------------------------------------------------------------------


def linear(x1: Any, x2: Any, get: str, mask_constant: float | None = None) -> Any:
    x2 = x1 if x2 is None else x2
    if mask_constant is not None:
        x1, x2 = (jnp.where(x == mask_constant, 0, x) for x in (x1, x2))
    x1, x2 = (x.reshape(x.shape[0], -1) for x in (x1, x2))
    return (2.0 if get == "ntk" else 1.0) * jnp.matmul(x1, x2.T, precision="highest")


def textbook(x1: Any, x2: Any, get: str) -> Any:
    """The arc-cosine of a correlation, which loses half the digits at equal inputs."""
    x2 = x1 if x2 is None else x2
    c = jnp.matmul(x1, x2.T, precision="highest")
    a, b = (jnp.sum(x**2, axis=1) for x in (x1, x2))
    rho = jnp.clip(c / jnp.sqrt(a[:, None] * b[None, :]), -1, 1)
    return c * (1 - jnp.arccos(rho) / np.pi)


@pytest.mark.slow
def test_values_kind_diagonal_and_gradient_are_those_of_the_function() -> None:
    x = jax.random.normal(jax.random.key(0), (4, 3))
    for kind, factor in (("ntk", 2.0), ("nngp", 1.0)):
        kernel = neural_tangents.wrap(linear, kind=kind)
        np.testing.assert_allclose(kernel(x, x[:2]), factor * x @ x[:2].T, rtol=1e-6)
        np.testing.assert_allclose(kernel.diag(x), factor * jnp.sum(x**2, axis=1), rtol=1e-6)
    kernel = neural_tangents.wrap(linear, kind="nngp")
    np.testing.assert_allclose(jax.grad(lambda x: kernel(x)[0, 1])(x)[0], x[1], rtol=1e-6)
    assert jax.tree.leaves(kernel) == []  # what Foreign's docstring says


@pytest.mark.slow
def test_padding_is_masked_and_never_looked_at() -> None:
    x = np.random.default_rng(0).standard_normal((3, 4, 2)).astype(np.float32)
    x[1, 2:] = np.nan
    lengths = np.array([4, 2, 3])
    kernel = neural_tangents.wrap(linear)
    whole = np.where(np.arange(4)[None, :, None] < lengths[:, None, None], x, 0).reshape(3, -1)
    np.testing.assert_allclose(kernel(jnp.asarray(x), lengths=lengths), 2 * whole @ whole.T, rtol=1e-6)
    mixed = kernel(jnp.asarray(x), jnp.asarray(x[:1]), lengths=lengths)  # a side without lengths is all there
    np.testing.assert_allclose(mixed, 2 * whole @ whole[:1].T, rtol=1e-6)
    assert kernel.entry_rounding(kernel.prepare(jnp.asarray(x), lengths)) < 1e-5


@pytest.mark.slow(cases=["0-0.0001", "0-0.01", "0-1.0", "1-1.0"])
@pytest.mark.parametrize("apart", [1.0, 1e-2, 1e-4, 0.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_measured_rounding_covers_the_error_of_every_entry(apart: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((40, 7)).astype(np.float32)
    x[31] = x[5] + apart * rng.standard_normal(7).astype(np.float32)
    kernel = neural_tangents.wrap(textbook)
    with jax.enable_x64(True):
        exact = np.asarray(kernel(jnp.asarray(x.astype(np.float64))))
    root = np.sqrt(np.diagonal(exact))
    got = np.asarray(ntkseq.gram(kernel, x), np.float64)
    error = np.max(np.abs(got - exact) / np.outer(root, root))
    estimate = kernel.entry_rounding(kernel.prepare(x))
    assert error < estimate < 5e-3
    assert neural_tangents.wrap(linear).entry_rounding({"x": jnp.asarray(x)}) < 2e-6


@pytest.mark.slow
def test_the_rounding_of_float64_data_is_extrapolated_and_covers_the_error(x64) -> None:
    x = np.random.default_rng(0).standard_normal((10, 7))
    x[7] = x[2]
    kernel = neural_tangents.wrap(textbook)
    estimate = kernel.entry_rounding(kernel.prepare(x))
    error = abs(float(kernel(x)[2, 7]) / float(kernel.diag(x)[2]) - 1.0)
    assert error < estimate < 1e-6
    straight = neural_tangents.wrap(linear)
    assert straight.entry_rounding(straight.prepare(x)) < straight.entry_rounding(straight.prepare(x[:1])) * 10 < 1e-13
    assert jnp.result_type(float) == jnp.float64  # measuring leaves the switch as it was


def test_nothing_is_claimed_where_nothing_can_be_measured() -> None:
    x = jnp.eye(3)
    single = neural_tangents.wrap(lambda x1, x2, get: linear(x1, x2, get).astype(jnp.float32))
    assert single.entry_rounding(single.prepare(x)) == math.inf
    assert not ntkseq.spectrum(ntkseq.gram(single, x)).min_eigenvalue.resolved
    stated = neural_tangents.wrap(linear, rounding=1e-6)
    assert stated.entry_rounding(stated.prepare(x)) == 1e-6
    assert jnp.result_type(float) == jnp.float32


def test_the_dtype_of_the_data_is_the_dtype_of_the_kernel(x64) -> None:
    kernel = neural_tangents.wrap(lambda x1, x2, get: linear(x1, x2, get) * jnp.float64(1.0))
    x = jnp.eye(3, dtype=jnp.float32)
    assert kernel(x).dtype == kernel.diag(x).dtype == jnp.float32


def test_a_second_gram_compiles_nothing() -> None:
    calls = []

    def counted(x1: Any, x2: Any, get: str) -> Any:
        calls.append(1)
        return linear(x1, x2, get)

    kernel = neural_tangents.wrap(counted, rounding=0.0)
    x = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    ntkseq.gram(kernel, x)
    traced = len(calls)
    ntkseq.gram(neural_tangents.wrap(counted, rounding=0.0), 2 * x)
    assert len(calls) == traced > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: neural_tangents.wrap((1, 2, 3)), r"kernel_fn must be a function .* got tuple.* pass the third"),
        (lambda: neural_tangents.wrap(linear, kind="both"), r"kind must be one of 'ntk', 'nngp'; got 'both'"),
        (lambda: neural_tangents.wrap(linear, rounding=-1.0), r"rounding must be a finite number >= 0; got -1.0"),
        (lambda: neural_tangents.wrap(linear).prepare(np.ones(3)), r"x must have shape \(n, ..., d\).*got \(3,\)"),
        (lambda: neural_tangents.wrap(linear).prepare(np.array([[np.nan]])), r"x must be finite"),
        (lambda: neural_tangents.wrap(linear)(np.eye(3), np.eye(2)), r"agree after the first axis; got \(3, 3\)"),
        (
            lambda: neural_tangents.wrap(linear)(np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float16)),
            r"one dtype; got float32 and float16",
        ),
        (lambda: neural_tangents.wrap(linear).prepare(np.eye(3), lengths=[1, 1, 1]), r"x must have shape \(n, t, d\)"),
        (
            lambda: neural_tangents.wrap(lambda x1, x2, get: x1)(np.ones((2, 3))),
            r"one number per pair, shape \(2, 2\); got shape \(2, 3\) for inputs of shape \(2, 3\).*GlobalAvgPool",
        ),
        (
            lambda: ntkseq.gram(neural_tangents.wrap(lambda x1, x2, get: (x1, x1)), np.ones((2, 3))),
            r"one number per pair, shape \(1, 1\); got tuple",
        ),
    ],
)
def test_wrong_inputs_are_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# --- the guest itself ------------------------------------------------------------------------------------------------

tokens = np.random.default_rng(0).standard_normal((2, 3, 4))


@pytest.mark.slow
@needs_guest
@pytest.mark.parametrize("kind", ["ntk", "nngp"])
@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_fully_connected_kernels_agree_with_ours(x64, stax, activation: str, kind: str) -> None:
    x = np.random.default_rng(1).standard_normal((5, 6))
    phi = {"relu": stax.Relu, "erf": stax.Erf}[activation]
    hidden = [stax.Dense(1, W_std=1.4, b_std=0.1), phi(), stax.Dense(1, W_std=1.4, b_std=0.1), phi()]
    kernel = neural_tangents.wrap(stax.serial(*hidden, stax.Dense(1, W_std=1.2))[2], kind=kind)
    ours = kernels.Dense(sigma_w=1.4, sigma_b=0.1, sigma_r=1.2, depth=2, activation=activation, kind=kind)
    np.testing.assert_allclose(kernel(x), ours(x), rtol=1e-12)
    np.testing.assert_allclose(kernel(x[:2], x[2:]), ours(x[:2], x[2:]), rtol=1e-12)
    np.testing.assert_allclose(kernel.diag(x), ours.diag(x), rtol=1e-12)


@pytest.mark.slow
@needs_guest
@pytest.mark.parametrize("kind", ["ntk", "nngp"])
def test_convolutions_over_tokens_agree_with_ours(x64, stax, kind: str) -> None:
    conv = lambda: stax.Conv(1, (3,), padding="SAME", W_std=1.4, b_std=0.1)  # noqa: E731
    layers = (conv(), stax.Sin(), conv(), stax.Erf(), stax.GlobalAvgPool(), stax.Dense(1, W_std=1.2))
    block = Convolution(3, causal=False, sigma_w=1.4, sigma_b=0.1)
    ours = kernels.Serial(block, "sin", block, "erf", sigma_r=1.2, kind=kind)
    np.testing.assert_allclose(
        neural_tangents.wrap(stax.serial(*layers)[2], kind=kind)(tokens), ours(tokens), rtol=1e-12
    )


@pytest.mark.slow
@needs_guest
@pytest.mark.filterwarnings("ignore:`FanIn` layers assume independent inputs")
@pytest.mark.parametrize("kind", ["ntk", "nngp"])
def test_gated_linear_units_agree_with_ours(x64, stax, kind: str) -> None:
    gate = stax.serial(stax.Dense(1, W_std=1.3, b_std=0.2), stax.Erf())
    product = stax.serial(stax.FanOut(2), stax.parallel(stax.Dense(1, W_std=0.9, b_std=0.1), gate), stax.FanInProd())
    layers = (stax.Dense(1), product, stax.Dense(1), stax.Erf(), stax.GlobalAvgPool(), stax.Dense(1))
    glu = GLU("erf", value=Linear(0.9, 0.1), gate=Linear(1.3, 0.2))
    ours = kernels.Serial(Linear(train="W"), glu, Linear(train="W"), "erf", kind=kind)
    np.testing.assert_allclose(
        neural_tangents.wrap(stax.serial(*layers)[2], kind=kind)(tokens), ours(tokens), rtol=1e-12
    )


@pytest.mark.slow
@needs_guest
@pytest.mark.filterwarnings("ignore:Linear scaling attention")
def test_layer_norm_and_attention_give_the_numbers_recorded_with_the_release(x64, stax) -> None:
    def chain(*layers: Any, kind: str = "ntk") -> Any:
        return neural_tangents.wrap(stax.serial(*layers, stax.GlobalAvgPool(), stax.Dense(1))[2], kind=kind)(tokens)

    def check(K: Any, corner: float, off: float, other: float) -> None:
        np.testing.assert_allclose([K[0, 1], K[1, 0]], off, rtol=1e-12)
        # a token with itself: the guest's arccos at 1 leaves sqrt(eps) = 1.5e-8, another one in each program
        np.testing.assert_allclose([K[0, 0], K[1, 1]], [corner, other], rtol=1.5e-8)

    norm = chain(stax.Dense(1), stax.LayerNorm(), stax.Relu())
    check(norm, 0.48777792357364447, 0.22999843355633756, 0.4430598007960897)
    scales = dict(W_key_std=1.0, W_query_std=1.0, W_value_std=1.0, W_out_std=1.0, b_std=None, linear_scaling=True)
    block = stax.serial(
        stax.Dense(1, b_std=None),
        stax.GlobalSelfAttention(1, 1, 1, n_heads=1, **scales),
        stax.LayerNorm(),
        stax.Dense(1, W_std=2**0.5, b_std=0.1),
        stax.Relu(),
    )
    check(chain(block, kind="nngp"), 0.8796773783532453, 0.3928690576487872, 0.9308698249300165)
    check(chain(block), 3.9009111829492404, 0.7100567168837266, 4.235967163322039)


@pytest.mark.slow(but=["identity"])
@needs_guest
@pytest.mark.filterwarnings("ignore:Linear scaling attention")
@pytest.mark.parametrize("weights", ["softmax", "identity"])
def test_rows_of_attention_equal_the_recorded_ones(x64, stax, weights: str) -> None:
    """Of tokens, not of sequences: the kernel function as it is, without the wrapper."""
    scales = dict(W_key_std=1.3, W_query_std=1.0, W_value_std=0.99, W_out_std=1.0, b_std=None)
    recorded = {
        ("softmax", True): [-0.01999022442959003, 0.06680149572877944, -0.024823171328503858],
        ("identity", True): [-0.44514172686807607, 0.054193202111300444, -0.03475137630000931],
        ("identity", False): [-0.43713815011739904, 0.13301880824135542, -0.224996857923474],
    }
    for linear_scaling in [True] if weights == "softmax" else [True, False]:
        attention = stax.GlobalSelfAttention(
            1, 1, 1, n_heads=1, linear_scaling=linear_scaling, attention_mechanism=weights.upper(), **scales
        )
        kernel_fn = stax.serial(stax.Dense(1, b_std=None), attention)[2]
        block = kernel_fn(jnp.asarray(tokens), None, "nngp", diagonal_spatial=False)[0, 1]  # rows: tokens of 0
        np.testing.assert_allclose(block[0], recorded[weights, linear_scaling], rtol=1e-10)


@needs_guest
@pytest.mark.slow
def test_gram_spectrum_ridge_and_bound_run_on_images(x64, stax) -> None:
    x = np.random.default_rng(2).standard_normal((12, 4, 4, 2))
    y = np.where(x.mean(axis=(1, 2, 3)) > 0, 1.0, -1.0)
    network = stax.serial(stax.Conv(1, (3, 3)), stax.Relu(), stax.Flatten(), stax.Dense(1))
    kernel = neural_tangents.wrap(network[2])
    K = ntkseq.gram(kernel, x)
    np.testing.assert_allclose(np.asarray(K), network[2](x, None, "ntk"), rtol=1e-7)  # arccos at equal patches
    np.testing.assert_allclose(ntkseq.gram(kernel, x[:3], x), network[2](x[:3], x, "ntk"), rtol=1e-7)
    assert ntkseq.spectrum(K).min_eigenvalue.resolved
    fit = ntkseq.ridge(K, y, reg=1e-3)
    np.testing.assert_allclose(fit(K), y, atol=0.1)
    assert np.isfinite(bounds.arora2019(K, y).value)


@needs_guest
@pytest.mark.slow
def test_masked_sequences_equal_sequences_of_their_own_length(x64, stax) -> None:
    x = np.random.default_rng(3).standard_normal((3, 4, 2))
    lengths = np.array([4, 2, 3])
    kernel_fn = stax.serial(stax.Dense(1), stax.Relu(), stax.GlobalAvgPool(), stax.Dense(1))[2]
    K = ntkseq.gram(neural_tangents.wrap(kernel_fn), x, lengths=lengths)
    for i, j in ((0, 1), (1, 1)):  # each shape compiles anew
        alone = kernel_fn(x[i : i + 1, : lengths[i]], x[j : j + 1, : lengths[j]], "ntk")
        np.testing.assert_allclose(K[i, j], alone[0, 0], rtol=1e-7)


@pytest.mark.slow
@needs_guest
def test_sums_with_our_kernels_are_kernels(stax) -> None:
    x = np.random.default_rng(4).standard_normal((3, 2)).astype(np.float32)
    foreign = neural_tangents.wrap(stax.serial(stax.Dense(1), stax.Relu(), stax.Dense(1))[2])
    assert isinstance(foreign, Foreign)
    both = 0.5 * foreign + kernels.Dense()
    np.testing.assert_allclose(both(x), 0.5 * foreign(x) + kernels.Dense()(x), rtol=1e-6)
