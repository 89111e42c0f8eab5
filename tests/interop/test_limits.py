"""Is the kernel that `limit_of` gives for a module of another library the limit of that library's own module?"""

from __future__ import annotations

import importlib.metadata
import pathlib
import runpy
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import cells, kernels
from ntkseq.interop import limits
from ntkseq.interop.limits import Limit, limit_of
from tests.interop import library_cells

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*at infinite width the input would vanish:UserWarning"),
]
X = library_cells.X
CUT = 0.7737413
WIDE = ("nnx.GRUCell", "nnx.OptimizedLSTMCell", "nnx.SimpleCell", "equinox.GRUCell", "haiku.LSTM")
WIDER = ((256, 60), (1024, 16))
GUESTS = {"nnx": "flax", "linen": "flax", "equinox": "equinox", "haiku": "haiku"}


@pytest.fixture(autouse=True)
def promotion() -> Iterator[None]:
    """The guests are written for JAX's default rules."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def row(name: str, h: int) -> Any:
    library = name.split(".")[0]
    pytest.importorskip(GUESTS[library], reason=f"{GUESTS[library]} is not installed")
    of, cell = library_cells.ROWS[name]
    return of(cell)(h)


def numbers(h: int, d: int = 3) -> dict[str, tuple[float, float, float, str, dict[str, Any]]]:
    """sigma_w^2, sigma_u^2, sigma_b^2, law of U and the rest, as the libraries document it."""
    divided = (1 / 3, d / (3 * h), 1 / (3 * h), "uniform")
    after: dict[str, Any] = {"reset": "after", "sigma_c": 0.0}
    return {
        "nnx.GRUCell": (1 / 3, 1, 0, "truncated", {"reset": "after", "sigma_c": None}),
        "nnx.LSTMCell": (1, 1, 0, "truncated", {"forget": 0.0}),
        "nnx.OptimizedLSTMCell": (1 / 4, 1, 0, "truncated", {"forget": 0.0}),
        "nnx.SimpleCell": (1, 1, 0, "", {}),
        "linen.GRUCell": (1, 1, 0, "truncated", after),
        "linen.LSTMCell": (1, 1, 0, "truncated", {"forget": 0.0}),
        "linen.OptimizedLSTMCell": (1, 1, 0, "truncated", {"forget": 0.0}),
        "linen.SimpleCell": (1, 1, 0, "", {}),
        "equinox.GRUCell": (*divided, {"reset": "after", "sigma_c": (3 * h) ** -0.5}),
        "equinox.LSTMCell": (*divided, {"forget": 0.0}),
        "haiku.GRU": (1, 1, 0, "truncated", {"reset": "before"}),
        "haiku.LSTM": (CUT * h / (d + h), CUT * d / (d + h), 0, "truncated", {"forget": 1.0}),
        "haiku.VanillaRNN": (CUT, CUT, 0, "", {}),
    }


@pytest.mark.slow(
    cases=[
        "equinox.GRUCell",
        "equinox.LSTMCell",
        "nnx.GRUCell",
        "nnx.LSTMCell",
        "nnx.OptimizedLSTMCell",
        "nnx.SimpleCell",
    ]
)
@pytest.mark.parametrize("name", library_cells.ROWS)
def test_the_scales_are_those_that_the_library_documents(name: str) -> None:
    h = 16
    found = limit_of(row(name, h)[0], X, particles=64)
    w, u, b, law, own = numbers(h)[name]
    cell = found.layer.cell
    np.testing.assert_allclose([cell.sigma_w**2, cell.sigma_u**2, cell.sigma_b**2], [w, u, b], rtol=1e-6)
    assert getattr(cell, "law", "") == law
    for field, value in own.items():
        assert getattr(cell, field) == pytest.approx(value)
    assert (found.name, found.layer.width, found.layer.features) == (name, h, 3)
    assert found.library.split()[1] == importlib.metadata.version(found.library.split()[0])
    assert bool(found.degenerate) == (name.startswith("equinox") or name == "haiku.LSTM")
    assert f"n = {h}, d = 3" in str(found) and not found.read_out


# ---------------------------------------------------------------------------------------------------- their own modules


def check_convergence(name: str, h: int, seeds: int, tangent: bool, particles: int = 4096) -> None:
    module, init, apply = row(name, h)
    found = limit_of(module, X, particles=particles)
    kernel = found.standard() if tangent else found.kernel.with_(kind="nngp")  # pyright: ignore
    side = kernel.prepare(X)
    wanted, error = np.diagonal(kernel.tile(side, side)), kernel.standard_error(side, side)
    of_limit = np.zeros(2) if error is None else np.diagonal(error)
    mean, of_mean = library_cells.measured(init, apply, h, seeds, tangent)
    relative = np.hypot(np.diagonal(of_mean) / np.diagonal(mean), of_limit / wanted)
    assert np.all(np.abs(np.log(np.diagonal(mean) / wanted)) < 3 * relative + 0.05)
    assert np.all(relative < 0.1)


@pytest.mark.slow
def test_a_simple_cell_has_the_kernel_at_a_small_width() -> None:
    check_convergence("linen.SimpleCell", 24, 40, tangent=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "h", "seeds"),
    [*((name, 64, 120) for name in library_cells.ROWS), *((name, h, s) for name in WIDE for h, s in WIDER)],
)
def test_the_states_of_the_module_have_the_covariance_of_the_limit(name: str, h: int, seeds: int) -> None:
    check_convergence(name, h, seeds, tangent=False, particles=8192)


@pytest.mark.slow
@pytest.mark.parametrize("name", library_cells.ROWS)
def test_its_stored_weights_have_the_tangent_kernel_in_standard_parametrisation(name: str) -> None:
    check_convergence(name, 128, 60, tangent=True, particles=8192)


@pytest.mark.slow
def test_the_standard_kernel_is_put_together_by_its_factors() -> None:
    module = row("haiku.VanillaRNN", 16)[0]
    found = limit_of(module, X)
    raw = lambda train: np.asarray(kernels.Recurrent(sigma_w=CUT**0.5, sigma_u=CUT**0.5, param="raw", train=train)(X))  # noqa: E731
    np.testing.assert_allclose(found.standard()(X), 16 * raw("W") + 3 * raw("U") + 2 * raw("b"), rtol=1e-5)
    hk = pytest.importorskip("haiku")
    with_head = limit_of(lambda: (module(), hk.Linear(2)), X)
    np.testing.assert_allclose(with_head.kernel.sigma_r, CUT**0.5, rtol=1e-6)  # pyright: ignore
    scaled = CUT * np.asarray(found.standard()(X)) + 16 * raw("R")
    np.testing.assert_allclose(with_head.standard()(X), scaled, rtol=1e-5)


# ------------------------------------------------------------------------------------------------- wrappers and arrays


@pytest.mark.slow
def test_a_wrapper_and_a_read_out_are_taken_off() -> None:
    nnx = pytest.importorskip("flax.nnx")
    linen = pytest.importorskip("flax.linen")
    rngs = nnx.Rngs(0)
    rnn = nnx.RNN(nnx.LSTMCell(3, 8, rngs=rngs))
    for module in (nnx.Sequential(rnn, nnx.Linear(8, 2, rngs=rngs)), (linen.RNN(linen.LSTMCell(8)), linen.Dense(1))):
        found = limit_of(module, X, read="mean", particles=64)
        assert found.read_out and found.kernel.train_readout and found.kernel.read == "mean"  # pyright: ignore
        assert found.kernel.sigma_r == pytest.approx(1.0)  # pyright: ignore
    assert limit_of(rnn, X, particles=64).kernel.train_readout is False  # pyright: ignore
    assert isinstance(found, Limit)


@pytest.mark.slow
def test_an_initialiser_that_is_held_is_read_and_another_is_measured() -> None:
    linen = pytest.importorskip("flax.linen")
    init = jax.nn.initializers
    cell = linen.GRUCell(8, kernel_init=init.variance_scaling(2.0, "fan_avg", "uniform"), bias_init=init.normal(0.3))
    found = limit_of(cell, X).layer.cell
    assert found.law == "uniform" and found.sigma_u**2 == pytest.approx(2 * 3 / 5.5)
    np.testing.assert_allclose([found.sigma_b, found.sigma_c], 0.3, rtol=0.01)
    assert "measured on draws" in str(limit_of(cell, X))
    geometric = linen.GRUCell(64, kernel_init=jax.nn.initializers.variance_scaling(2.0, "fan_geo_avg", "normal"))
    squared = limit_of(geometric, X).layer.cell.sigma_u ** 2
    assert squared == pytest.approx(2 * 3 / (3 * 64) ** 0.5)
    shifted = lambda key, shape, dtype: 5 + jax.random.normal(key, shape, dtype)  # noqa: E731
    with pytest.raises(ValueError, match="drawn with mean 0; got an initialiser with mean 5"):
        limit_of(linen.SimpleCell(8, kernel_init=shifted), X)
    with pytest.raises(ValueError, match=r"linen\.GRUCell must start in the state 0"):
        limit_of(linen.GRUCell(8, carry_init=init.normal(0.3)), X)


def orthogonal(rows: int, columns: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(1).standard_normal((max(rows, columns), min(rows, columns))))[0].reshape(
        (rows, columns) if rows >= columns else (columns, rows)
    )


def arrays(name: str, h: int) -> list[np.ndarray]:
    rng, gates = np.random.default_rng(0), {"GRU": 3, "LSTM": 4}.get(name.split(".")[1], 1)
    if name.startswith("torch"):
        shapes = [(gates * h, 3), (gates * h, h), (gates * h,), (gates * h,)]
        return [rng.uniform(-(h**-0.5), h**-0.5, shape) for shape in shapes]
    bound = (6 / (3 + gates * h)) ** 0.5
    past = orthogonal(gates * h, h).T
    return [rng.uniform(-bound, bound, (3, gates * h)), past, np.zeros((2, gates * h) if gates == 3 else gates * h)]


@pytest.mark.parametrize(
    ("name", "w", "u", "b"),
    [
        ("torch.RNN", 1 / 3, 3 / (3 * 32), 2 / (3 * 32)), ("torch.LSTM", 1 / 3, 3 / (3 * 32), 2 / (3 * 32)),
        ("keras.SimpleRNN", 1, 6 / 35, 0), ("keras.GRU", 1 / 3, 6 / 99, 0), ("keras.LSTM", 1 / 4, 6 / 131, 0),
    ],
)  # fmt: skip
def test_arrays_of_torch_and_keras_are_those_of_their_class(name: str, w: float, u: float, b: float) -> None:
    found = limit_of(arrays(name, 32), X, name=name, particles=64)
    cell = found.layer.cell
    np.testing.assert_allclose([cell.sigma_w**2, cell.sigma_u**2, cell.sigma_b**2], [w, u, b], rtol=1e-6)
    assert getattr(cell, "forget", 0.0) == (1.0 if name == "keras.LSTM" else 0.0)
    if name == "keras.GRU":
        with pytest.raises(ValueError, match=r"keras\.GRU: z and r have two trained biases and g one"):
            found.standard()


def test_a_gru_of_torch_has_two_biases_but_for_the_candidate() -> None:
    cell = limit_of(dict(enumerate(arrays("torch.GRU", 32))), X, name="torch.GRU").layer.cell
    np.testing.assert_allclose(np.square([*cell.sigma_b, cell.sigma_c]), np.array([2, 2, 1, 1]) / 96, rtol=1e-6)
    assert cell.reset == "after" and cell.law == "uniform"


# --------------------------------------------------------------------------------------------------------- refusals


def made(make: Callable[[Any, Any], Any]) -> Any:
    nnx = pytest.importorskip("flax.nnx")
    return make(nnx, nnx.Rngs(0))


@pytest.mark.slow(
    cases=[
        "<lambda>-known rule, .*nnx\\\\.GRUCell.*got 'nnx\\\\.Conv'.*empirical\\\\.NTK",
        "<lambda>-must have the 4 features of nnx.GRUCell; got 3",
        "<lambda>-must have the activation sigmoid; got tanh",
    ]
)
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda nnx, r: nnx.SimpleCell(3, 8, residual=True, rngs=r), "not Gaussian at infinite width.*LeakyRecurrent"),
        (lambda nnx, r: nnx.Conv(3, 8, 2, rngs=r), r"known rule, .*nnx\.GRUCell.*got 'nnx\.Conv'.*empirical\.NTK"),
        (lambda nnx, r: nnx.GRUCell(3, 8, gate_fn=jnp.tanh, rngs=r), "must have the activation sigmoid; got tanh"),
        (lambda nnx, r: nnx.GRUCell(3, 8, kernel_init=jax.nn.initializers.ones, rngs=r), "If it is trained"),
        (lambda nnx, r: nnx.GRUCell(4, 8, rngs=r), "must have the 4 features of nnx.GRUCell; got 3"),
        (lambda nnx, r: (), "got none"),
        (lambda nnx, r: 3, "got 'builtins.int'"),
    ],
)
def test_what_has_no_limit_or_no_rule_is_refused_in_one_line(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        limit_of(made(make), X)
    assert "\n" not in str(caught.value)


def test_inputs_and_arrays_out_of_place_are_refused_at_the_door() -> None:
    with pytest.raises(ValueError, match=r"x must have shape \(n, t, d\); got \(6, 3\)"):
        limit_of(arrays("torch.RNN", 8), X[0], name="torch.RNN")
    with pytest.raises(ValueError, match="2 or 4 arrays in the order of the library"):
        limit_of(arrays("torch.RNN", 8)[:3], X, name="torch.RNN")
    with pytest.raises(ValueError, match=r"name must be one of 'torch\.RNN'.*got 'torch\.Transformer'"):
        limit_of(arrays("torch.RNN", 8), X, name="torch.Transformer")
    with pytest.raises(ValueError, match=r"array 1 of torch\.nn\.RNN must be as its class draws it"):
        limit_of([2 * a if i == 1 else a for i, a in enumerate(arrays("torch.RNN", 8))], X, name="torch.RNN")
    with pytest.raises(ValueError, match=r"module, layer 1, builtins\.float: has no rule"):
        limit_of([1.0, 2.0], X)


def test_of_traced_inputs_the_shape_is_enough() -> None:
    linen = pytest.importorskip("flax.linen")
    found: list[Limit] = []
    jax.eval_shape(lambda x: found.append(limit_of(linen.GRUCell(4), x, particles=64)), X)
    assert found[0].assumed == limit_of(linen.GRUCell(4), X, particles=64).assumed


@pytest.mark.filterwarnings("error")
def test_a_limit_that_holds_at_one_width_only_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"torch\.LSTM: .*variance 1/hidden size.*the scales of width 8"):
        limit_of(arrays("torch.LSTM", 8), X, name="torch.LSTM")


def test_a_class_of_ones_own_gets_a_rule() -> None:
    class Mine:
        hidden = 5

    limits.register(Mine, lambda cell, d: limits.Recurrence(cells.Elman("erf", sigma_w=0.3), cell.hidden, d))
    found = limit_of(Mine(), X)
    assert found.kernel.sigma_w == 0.3 and found.library == ""  # pyright: ignore
    assert any(name.endswith("Mine") for name in limits.known())

    class Below(Mine):
        pass

    with pytest.raises(ValueError, match="known rule"):
        limit_of(Below(), X)
    with pytest.raises(ValueError, match="kind must be a"):
        limits.register("nnx.GRUCell", print)  # pyright: ignore
    with pytest.raises(ValueError, match="rule must be a function of a module"):
        limits.register(Mine, 3)  # pyright: ignore


@pytest.mark.slow
@pytest.mark.parametrize("library", ["flax", "equinox", "haiku"])
def test_the_example_script_runs(library: str, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed")
    monkeypatch.setattr(sys, "argv", ["limit_of.py", library])
    runpy.run_path(str(pathlib.Path(__file__).parents[2] / "examples" / "limit_of.py"))
    assert "tangent kernel as stored" in capsys.readouterr().out


# ----------------------------------------------------------------------------------------------------- linear layers


def stacks(library: str, h: int = 64) -> Any:
    guest = pytest.importorskip({"nnx": "flax.nnx", "linen": "flax.linen"}.get(library, library))
    if library == "nnx":
        rngs = guest.Rngs(0)
        make = lambda a, b: guest.Linear(a, b, rngs=rngs)  # noqa: E731
        return guest.Sequential(make(3, h), guest.relu, make(h, h), guest.relu, make(h, 1))
    if library == "linen":
        return guest.Sequential([guest.Dense(h), guest.relu, guest.Dense(h), guest.relu, guest.Dense(1)])
    if library == "equinox":
        return guest.nn.MLP(3, 1, h, 2, key=jax.random.key(0))
    return lambda: guest.nets.MLP([h, h, 1])


@pytest.mark.slow(but=["haiku-0.7737413-b3", "linen-1-b1"])
@pytest.mark.parametrize(
    ("library", "w", "b"),
    [("nnx", 1, (0, 0)), ("linen", 1, (0, 0)), ("equinox", 1 / 3, (1 / 9, 1 / 192)), ("haiku", CUT, (0, 0))],
)
def test_a_stack_of_linear_layers_has_the_scales_of_its_library(library: str, w: float, b: tuple[float, float]) -> None:
    found = limit_of(stacks(library), X[:, 0])
    kernel: Any = found.kernel
    assert isinstance(kernel, kernels.Dense) and kernel.depth == 2 and found.layer.width == 64
    np.testing.assert_allclose(np.square(kernel.sigma_w), [w, w], rtol=1e-6)
    np.testing.assert_allclose(np.square(kernel.sigma_b), b, rtol=1e-6)
    assert kernel.sigma_r**2 == pytest.approx(w) and "2 hidden layers" in str(found)
    assert found.standard()(X[:, 0]).shape == (2, 2)
    with pytest.raises(ValueError, match="have no lengths"):
        found.standard().prepare(X[:, 0], np.ones(2, int))


@pytest.mark.slow
@pytest.mark.parametrize(("h", "seeds"), [(32, 300), (512, 60)])
@pytest.mark.parametrize("library", ["linen", "haiku"])
def test_the_stored_weights_of_an_mlp_have_the_tangent_kernel_in_standard_parametrisation(
    library: str, h: int, seeds: int
) -> None:
    module = stacks(library, h)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 12)), jnp.float32)
    if library == "linen":
        init, apply = module.init, module.apply
    else:
        both = pytest.importorskip("haiku").transform(lambda u: module()(u))
        init, apply = both.init, lambda params, u: both.apply(params, None, u)
    one = jax.jit(lambda key: library_cells.tangent_kernel(init(key, x), apply, key, x))
    found = np.stack([np.asarray(one(jax.random.key(s)), np.float64) for s in range(seeds)])
    mean, error = found.mean(axis=0), found.std(axis=0, ddof=1) / seeds**0.5
    wanted = np.asarray(limit_of(module, x).standard()(x)) + 1.0  # the bias of the read-out, which it leaves out
    assert np.all(np.abs(mean - wanted) < 3 * error + 0.02 * mean[0, 0]) and np.all(error < 0.05 * mean[0, 0])


@pytest.mark.slow
def test_the_outputs_of_an_mlp_have_the_covariance_of_the_limit() -> None:
    eqx = pytest.importorskip("equinox")
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 12)), jnp.float32)
    make = lambda key: eqx.nn.MLP(12, 1, 128, 2, use_final_bias=False, key=key)  # noqa: E731
    f = eqx.filter_jit(lambda key: jax.vmap(make(key))(x)[:, 0])
    found = np.asarray(jax.lax.map(f, jax.random.split(jax.random.key(1), 2000)))
    wanted = np.diagonal(limit_of(make(jax.random.key(0)), x).kernel.with_(kind="nngp")(x))  # pyright: ignore
    assert np.all(np.abs(np.log(np.mean(found**2, axis=0) / wanted)) < 3 * (2.2 / 2000) ** 0.5 + 0.05)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda a, r: [a.Linear(3, 4, rngs=r), a.Linear(4, 1, rngs=r)], "with an activation between each two"),
        (lambda a, r: a.Linear(3, 4, rngs=r), "with an activation between each two"),
        (
            lambda a, r: [a.Linear(3, 4, rngs=r), a.relu, a.Linear(4, 4, rngs=r), jnp.tanh, a.Linear(4, 1, rngs=r)],
            "one activation; got relu, tanh",
        ),
        (lambda a, r: [a.Linear(3, 4, rngs=r), a.log_softmax, a.Linear(4, 4, rngs=r)], "got log_softmax"),
    ],
)
def test_other_stacks_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        limit_of(made(make), X[:, 0])
    assert "\n" not in str(caught.value)
