"""Is the kernel of a stack of layers of another library the limit of that library's own modules, layer by layer?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import blocks, cells, kernels
from ntkseq.interop.limits import limit_of
from tests.interop import library_stacks

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*at infinite width the input would vanish:UserWarning"),
]
X = library_stacks.X
FEW: dict[str, Any] = {"particles": 64, "batches": 4}


@pytest.fixture(autouse=True)
def promotion() -> Iterator[None]:
    """The guests are written for JAX's default rules."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def made(name: str, h: int) -> library_stacks.Made:
    library, get = library_stacks.STACKS[name]
    pytest.importorskip(library, reason=f"{library} is not installed")
    return get()(h)


SHAPES: dict[str, tuple[Any, ...]] = {
    "nnx, two ways": (
        blocks.Recurrent(cells.Elman("tanh"), "both"), blocks.Linear(), blocks.Nonlinearity("relu"),
        blocks.Recurrent(cells.Elman("tanh"), "reversed"), blocks.Recurrent(cells.Elman("tanh"), "reversed"),
    ),
    "nnx, gated": (
        blocks.Recurrent(cells.GRU(3**-0.5, reset="after", law="truncated")), blocks.LayerNorm(1e-6),
        blocks.Recurrent(cells.LSTM(0.5, law="truncated"), "both"), blocks.Nonlinearity("relu"), blocks.Linear(),
        blocks.Nonlinearity("tanh"),
    ),
    "linen, attended": (
        blocks.Recurrent(cells.GRU(sigma_c=0.0, reset="after", law="truncated"), "reversed"), blocks.LayerNorm(1e-6),
        blocks.Attention(scaling="root"), blocks.Linear(), blocks.Nonlinearity("gelu"),
    ),
    "linen, plain": (
        blocks.Linear(), blocks.Nonlinearity("tanh"), blocks.Recurrent(cells.Elman("tanh"), "reversed"),
        blocks.Recurrent(cells.Elman("tanh")),
    ),
    "equinox": (
        blocks.Recurrent(cells.GRU(3**-0.5, 16**-0.5, 48**-0.5, 48**-0.5, "after", "uniform")), blocks.LayerNorm(1e-5),
        blocks.Attention(1 / 3, 1 / 3, scaling="root"),
        blocks.Recurrent(cells.LSTM(3**-0.5, 3**-0.5, 48**-0.5, law="uniform")),
    ),
    "haiku": (
        blocks.Recurrent(cells.GRU(law="truncated")), blocks.Nonlinearity("relu"),
        blocks.Recurrent(cells.LSTM((0.7737413 / 2) ** 0.5, (0.7737413 / 2) ** 0.5, forget=1.0, law="truncated")),
        blocks.Nonlinearity("tanh"),
    ),
}  # fmt: skip


@pytest.mark.slow(but=["linen, plain", "haiku"])
@pytest.mark.parametrize("name", SHAPES)
def test_every_layer_is_the_block_with_the_scales_of_its_own_fan_in(name: str) -> None:
    found = limit_of(made(name, 16)[0], X, **FEW)
    kernel: Any = found.kernel
    assert isinstance(kernel, kernels.Serial) and len(kernel.blocks) == len(SHAPES[name])
    for one, wanted in zip(kernel.blocks, SHAPES[name], strict=True):
        assert jax.tree.structure(one) == jax.tree.structure(wanted), (one, wanted)
        np.testing.assert_allclose(jax.tree.leaves(one), jax.tree.leaves(wanted), rtol=2e-6)
    assert kernel.read == ("first" if name == "nnx, two ways" else "last")  # a layer that turned all behind it
    assert found.read_out == kernel.train_readout == (name == "haiku")
    assert found.layer.features == 3 and found.layer.width == 16
    assert bool(found.degenerate) == (name == "equinox")
    assert all(line.startswith(("layer ", "no read-out", "every layer")) for line in found.assumed)


def check_convergence(name: str, h: int, seeds: int, tangent: bool = False) -> None:
    stack = made(name, h)
    found: Any = limit_of(stack[0], X, particles=4096)
    kernel = found.standard() if tangent else found.kernel.with_(kind="nngp")
    side = kernel.prepare(X)
    wanted, error = np.diagonal(kernel.tile(side, side)), kernel.standard_error(side, side)
    of_limit = np.zeros(2) if error is None else np.diagonal(error)
    mean, of_mean = library_stacks.measured(stack, seeds, tangent)
    mean = mean - float(tangent and found.read_out)  # that of the bias of the read-out, which is left out
    relative = np.hypot(np.diagonal(of_mean) / np.diagonal(mean), of_limit / wanted)
    assert np.all(np.abs(np.log(np.diagonal(mean) / wanted)) < 3 * relative + 0.05)
    assert np.all(relative < 0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "h", "seeds"),
    [
        ("nnx, two ways", 64, 40), ("nnx, two ways", 256, 12), ("nnx, gated", 64, 60), ("nnx, gated", 256, 16),
        ("linen, plain", 64, 40), ("linen, plain", 256, 12), ("linen, attended", 256, 40), ("equinox", 256, 24),
        ("haiku", 64, 60), ("haiku", 256, 16),
    ],
)  # fmt: skip
def test_what_stands_behind_the_stack_has_the_covariance_of_the_limit(name: str, h: int, seeds: int) -> None:
    check_convergence(name, h, seeds)


@pytest.mark.slow
@pytest.mark.parametrize(("h", "seeds"), [(64, 60), (256, 16)])
@pytest.mark.parametrize("name", ["linen, plain", "nnx, two ways", "haiku"])
def test_the_stored_weights_of_a_stack_have_the_tangent_kernel_in_standard_parametrisation(
    name: str, h: int, seeds: int
) -> None:
    check_convergence(name, h, seeds, tangent=True)


def test_dropout_is_left_out_and_said_also_in_a_network_of_one_layer_or_of_vectors() -> None:
    linen = pytest.importorskip("flax.linen")
    drop, head = linen.Dropout(0.5), linen.Dense(1)
    one = limit_of([linen.GRUCell(8), drop, head], X, **FEW)
    assert isinstance(one.kernel, kernels.Gated) and "linen.Dropout: left out, as in inference" in one.assumed
    vectors = limit_of([linen.Dense(8), linen.relu, drop, head], X[:, 0])
    assert isinstance(vectors.kernel, kernels.Dense) and "linen.Dropout: left out, as in inference" in vectors.assumed
    tokens = limit_of([linen.Dense(8), drop, linen.relu, head], X, read="mean")
    assert [type(one) for one in tokens.kernel.blocks] == [blocks.Linear, blocks.Nonlinearity]  # pyright: ignore
    assert "layer 2, linen.Dropout: left out, as in inference" in str(tokens)
    behind = limit_of([linen.Dense(8), linen.relu, head, drop], X)
    assert behind.read_out and behind.layer.width == 8 and "layer 4, linen.Dropout: left out" in str(behind)


def test_an_activation_may_stand_behind_any_states_where_the_network_is_sampled() -> None:
    linen = pytest.importorskip("flax.linen")
    parts = [linen.SimpleCell(8), linen.relu, linen.GRUCell(8)]
    assert len(limit_of(parts, X, **FEW).kernel.blocks) == 3  # pyright: ignore
    with pytest.raises(ValueError, match="layer 2, relu: Nonlinearity needs Gaussian tokens"):
        limit_of(parts[:2], X)


def test_a_layer_alone_that_reads_backwards_is_read_where_its_last_state_is() -> None:
    linen = pytest.importorskip("flax.linen")
    rnn = lambda **how: linen.RNN(linen.SimpleCell(8), **how)  # noqa: E731
    turned: Any = limit_of(rnn(reverse=True), X).kernel
    kept: Any = limit_of(rnn(reverse=True, keep_order=True), X).kernel
    assert (turned.read, kept.read) == ("first", "last")
    assert [one.blocks[0].direction for one in (turned, kept)] == ["reversed"] * 2
    both = limit_of(linen.Bidirectional(rnn(), rnn(reverse=True)), X)
    assert both.kernel.blocks[0].direction == "both" and both.layer.width == 16  # pyright: ignore
    another = linen.GRUCell(8, kernel_init=jax.nn.initializers.lecun_uniform())
    with pytest.raises(ValueError, match=r"layer 1, linen\.Bidirectional of linen\.SimpleCell: must have cells of one"):
        limit_of(linen.Bidirectional(rnn(), linen.RNN(linen.SimpleCell(9))), X)
    with pytest.raises(ValueError, match="must have cells of one kind, size and initialiser"):
        limit_of(linen.Bidirectional(linen.RNN(linen.GRUCell(8)), linen.RNN(another)), X)


def last(y: jax.Array) -> jax.Array:
    return y[:, -1]


last.__name__ = "relu"


BAD: dict[str, tuple[Any, str]] = {
    "batch norm": (lambda nnx, r, rnn: [rnn(3), nnx.BatchNorm(8, rngs=r)], r"layer 2, nnx\.BatchNorm: has no rule"),
    "fan-in": (lambda nnx, r, rnn: [rnn(3), rnn(3)], r"layer 2, nnx\.GRUCell: must read the 8 coord.*in_features=3"),
    "one's own": (lambda nnx, r, rnn: [rnn(3), lambda y: y[:, -1], rnn(8)], r"layer 2, <lambda>: is a function.*read="),
    "activation": (lambda nnx, r, rnn: [rnn(3), nnx.swish, rnn(8)], r"layer 2, silu: a stack must have the activation"),
    "another relu": (lambda nnx, r, rnn: [rnn(3), last, rnn(8)], r"layer 2, relu: .* another function named relu"),
    "partial attention": (
        lambda nnx, r, rnn: [
            rnn(3), nnx.MultiHeadAttention(2, 8, attention_fn=partial(nnx.dot_product_attention), decode=False, rngs=r)
        ],
        "layer 2, nnx.MultiHeadAttention: has no rule with normalize_qk, decode or an attention_fn",
    ),
    "order": (
        lambda nnx, r, rnn: [nnx.SimpleCell(3, 8, rngs=r), nnx.relu, nnx.Linear(8, 1, rngs=r)],
        "layer 2, relu: Nonlinearity needs Gaussian tokens",
    ),
    "time": (lambda nnx, r, rnn: [rnn(3), rnn(8, time_major=True)], "layer 2, nnx.GRUCell: must have time_major=False"),
    "carry": (lambda nnx, r, rnn: [rnn(3, return_carry=True), rnn(8)], "layer 1, .* must have return_carry=False"),
    "shared": (lambda nnx, r, rnn: nnx.Bidirectional(*(rnn(3),) * 2), "weights of its own for each direction"),
    "merged": (
        lambda nnx, r, rnn: nnx.Bidirectional(rnn(3), rnn(3), merge_fn=jnp.add), "put both directions side by side"
    ),
    "unlike": (
        lambda nnx, r, rnn: nnx.Bidirectional(rnn(3), nnx.RNN(nnx.LSTMCell(3, 8, rngs=r))),
        "layer 1, nnx.Bidirectional of nnx.GRUCell: must have cells of one kind",
    ),
    "features": (
        lambda nnx, r, rnn: [nnx.MultiHeadAttention(3, 3, decode=False, rngs=r), rnn(3)],
        "layer 1, nnx.MultiHeadAttention: gives 3 coordinates, as many as x has features",
    ),
    "norm first": (lambda nnx, r, rnn: [nnx.LayerNorm(3, rngs=r), rnn(3)], r"layer 1, nnx\.LayerNorm: LayerNorm needs"),
    "scale": (
        lambda nnx, r, rnn: [rnn(3), nnx.LayerNorm(8, scale_init=nnx.initializers.zeros, rngs=r)],
        "layer 2, nnx.LayerNorm: must start with scale 1",
    ),
    "axis": (
        lambda nnx, r, rnn: [rnn(3), nnx.LayerNorm(8, reduction_axes=(-1, -2), rngs=r)],
        "layer 2, nnx.LayerNorm: must be over the last axis",
    ),
    "normalised queries": (
        lambda nnx, r, rnn: [rnn(3), nnx.MultiHeadAttention(2, 8, normalize_qk=True, decode=False, rngs=r)],
        "layer 2, nnx.MultiHeadAttention: has no rule with normalize_qk",
    ),
}  # fmt: skip


@pytest.mark.slow(cases=["order"])
@pytest.mark.parametrize("name", BAD)
def test_a_layer_out_of_place_is_refused_by_its_number_in_one_line(name: str) -> None:
    nnx = pytest.importorskip("flax.nnx")
    r = nnx.Rngs(0)
    make, message = BAD[name]
    stack = make(nnx, r, lambda d, **how: nnx.RNN(nnx.GRUCell(d, 8, rngs=r), **how))
    with pytest.raises(ValueError, match=message) as caught:
        limit_of(stack, X)
    assert "\n" not in str(caught.value)


def test_each_array_of_a_stack_is_multiplied_by_its_own_fan_in() -> None:
    linen = pytest.importorskip("flax.linen")
    plain = linen.Dense(9, use_bias=False)
    found = limit_of([linen.Dense(8), linen.tanh, linen.SimpleCell(16), plain, linen.Dense(1)], X)
    assert found.layer.factors == ({"W": 3, "b": 1}, {}, {"W": 16, "U": 8, "b": 1}, {"W": 16})  # pyright: ignore
    assert found.layer.last == 9  # pyright: ignore
    letters = {
        int(part.factor): [getattr(getattr(one, "cell", one), "train", "") for one in part.kernel.blocks]
        for part in summands(found.standard())
    }
    assert letters == {1: ["b", "", "b", ""], 3: ["W", "", "", ""], 8: ["", "", "U", ""], 9: [""] * 4,
                       16: ["", "", "W", "W"]}  # fmt: skip


def summands(kernel: Any) -> list[Any]:
    return [*summands(kernel.first), *summands(kernel.second)] if isinstance(kernel, kernels.Sum) else [kernel]


def test_a_stack_whose_factors_mix_says_which_layer_has_no_standard_parametrisation() -> None:
    linen = pytest.importorskip("flax.linen")
    found = limit_of([linen.Dense(8), linen.MultiHeadAttention(2), linen.Dense(1)], X, read="mean")
    assert "layer 2, linen.MultiHeadAttention: biases of queries, keys and values start at 0 and are held" in str(found)
    with pytest.raises(ValueError, match=r"layer 2, linen\.MultiHeadAttention: its kernel takes queries with keys"):
        found.standard()
    without = limit_of([linen.Dense(8), linen.MultiHeadAttention(2, use_bias=False), linen.Dense(1)], X, read="mean")
    assert "biases of queries" not in str(without)


def test_a_carry_in_front_of_a_read_out_is_refused() -> None:
    linen = pytest.importorskip("flax.linen")
    rnn = linen.RNN(linen.SimpleCell(8), return_carry=True)
    assert limit_of(rnn, X).layer.width == 8
    with pytest.raises(ValueError, match=r"module: linen\.RNN of linen\.SimpleCell must have return_carry=False"):
        limit_of([rnn, linen.Dense(1)], X)


def test_a_stack_has_known_words_for_read_and_layers_of_one_coordinate_at_least() -> None:
    linen = pytest.importorskip("flax.linen")
    with pytest.raises(ValueError, match="read must be one of 'last', 'mean', 'sum'; got 'first'"):
        limit_of([linen.SimpleCell(8), linen.SimpleCell(8)], X, read="first")
    with pytest.raises(ValueError, match=r"layer 1, linen\.Dense: must give one coordinate at least; got 0"):
        limit_of([linen.Dense(0), linen.SimpleCell(8)], X)
