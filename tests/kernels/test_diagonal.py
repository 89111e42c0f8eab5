"""Is the kernel of a diagonal linear recurrence that of its initialiser, in any company, within what it states?"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.blocks import Linear, Positions, Recurrent
from ntkseq.cells import LRU, S4D, Elman
from ntkseq.kernels import lag_moments
from ntkseq.kernels.serial import Serial
from ntkseq.models.serial import Serial as Network
from tests.kernels.precision import lost_and_stated
from tests.models import explicit

X = np.random.default_rng(1).standard_normal((3, 5, 2))
RAGGED = np.array([5, 3, 4])


@pytest.mark.slow(but=["tg"])
@pytest.mark.parametrize("train", ["ntgBC", "nB", "tg", ""])
def test_the_kernel_is_the_sum_over_all_pairs_of_lags(train: str, x64: None) -> None:
    M = lag_moments.lru(5, 0.4, 0.9, 1.0)
    own = sum(g in train for g in "gBC") * M["plain"] + ("n" in train) * M["radius"] + ("t" in train) * M["phase"]

    def total(table: np.ndarray, i: int, j: int) -> float:
        one, two = X[i, RAGGED[i] - 1 :: -1], X[j, RAGGED[j] - 1 :: -1]
        return 1.3**2 * float(np.sum(table[: len(one), : len(two)] * (one @ two.T) / 2))

    want = 0.9**2 * np.array([[total(M["plain"] + own, i, j) for j in range(3)] for i in range(3)])
    kernel = Serial(Recurrent(LRU(0.4, 0.9, 1.0, sigma_u=1.3, train=train)), read="last", sigma_r=0.9)
    np.testing.assert_allclose(kernel(X, lengths=RAGGED), want, rtol=1e-12, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("train", ("driCD", "d", "ri", "CD", ""))
@pytest.mark.parametrize("param", ["ntk", "raw"])
def test_a_state_space_model_is_the_sum_over_all_pairs_of_lags(train: str, param: str, x64: None) -> None:
    M = lag_moments.s4d(5, 6, 0.05, 0.8)
    c, d = 0.7**2, 0.4**2
    own_c, own_d = (1, 1) if param == "raw" else (c, d)
    plain = c * M["plain"] + d * M["skip"]
    own = ("C" in train) * own_c * M["plain"] + ("D" in train) * own_d * M["skip"]
    own = own + c * sum(
        (letter in train) * M[name] for letter, name in zip("dri", ("step", "real", "imaginary"), strict=True)
    )

    def total(table: np.ndarray, i: int, j: int) -> float:
        one, two = X[i, RAGGED[i] - 1 :: -1], X[j, RAGGED[j] - 1 :: -1]
        return float(np.sum(table[: len(one), : len(two)] * (one @ two.T) / 2)) * 1.1**2

    want = np.array([[total(plain + 0.9**2 * own, i, j) for j in range(3)] for i in range(3)])
    if param == "ntk":
        want = want - (1 - 0.9**2) * np.array([[total(plain, i, j) for j in range(3)] for i in range(3)])
    cell = S4D(6, 0.05, 0.8, 0.7, 0.4, train)
    for nothing in ((), (Positions(0.0),)):
        kernel = Serial(Linear(1.1, train=""), Recurrent(cell), *nothing, read="last", sigma_r=0.9, param=param)
        np.testing.assert_allclose(kernel(X, lengths=RAGGED), want, rtol=1e-10, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("direction", ("reversed", "both"))
def test_other_directions_are_those_of_turned_sequences(direction: str, x64: None) -> None:
    turned = np.array([[*row[:length][::-1], *row[length:]] for row, length in zip(X, RAGGED, strict=True)])
    cell = LRU(0.4, 0.9, 1.0)
    ahead, back = (np.asarray(Serial(Recurrent(cell), read="mean")(x, lengths=RAGGED)) for x in (X, turned))
    want = back if direction == "reversed" else (ahead + back) / 2
    got = Serial(Recurrent(cell, direction), read="mean")(X, lengths=RAGGED)
    np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("options", ({}, {"kind": "nngp"}, {"param": "raw"}))
@pytest.mark.parametrize("read", ("last", "first", "mean", "sum"))
def test_one_token_read_is_expanded_alone_and_has_the_value_of_all_pairs(read: str, options: dict, x64: None) -> None:
    """A block that could mix tokens, and does nothing, keeps all pairs of tokens."""
    nothing = Positions(0.0)
    before = (Linear(0.9, 0.2, train="b"), Recurrent(LRU(0.4, 0.9, 1.0, sigma_u=1.3, train="ntB"), "both"))
    behind = (Linear(1.2), "relu") if read in ("last", "first") else ()
    alone, grid = (
        Serial(*before, *behind, read=read, **options),
        Serial(*before, nothing, *behind, read=read, **options),
    )
    one, all_of_them = (kernel.prepare(X, RAGGED) for kernel in (alone, grid))
    assert all_of_them["std"].shape == (3, 5) and ("pooled" in one) == (not behind)
    np.testing.assert_allclose(alone.tile(one, one), grid.tile(all_of_them, all_of_them), rtol=1e-12)
    np.testing.assert_allclose(alone.diag_side(one), grid.diag_side(all_of_them), rtol=1e-12)


@pytest.mark.slow
def test_a_thousand_tokens_are_read_at_the_last_one() -> None:
    x = np.random.default_rng(0).standard_normal((3, 1024, 1)).astype(np.float32)
    table = lag_moments.lru(1024, 0.9, 0.999, 0.3)
    want = np.einsum("ip,pq,jq->ij", x[:, ::-1, 0], 4 * table["plain"] + table["radius"] + table["phase"],
                     x[:, ::-1, 0], dtype=np.float64)  # fmt: skip
    kernel = Serial(Recurrent(LRU(0.9, 0.999, 0.3)), read="last")
    side = kernel.prepare(x)
    error, root = np.abs(np.asarray(kernel.tile(side, side)) - want), np.sqrt(np.diagonal(want))
    assert np.max(error / root[:, None] / root[None]) < kernel.entry_rounding(side) < 1e-3


def test_an_activation_may_stand_behind_it_and_its_branch_may_be_added() -> None:
    assert Serial(Linear(), "relu", Recurrent(LRU()), "relu").blocks[2].cell.gaussian
    assert not Elman().gaussian and Elman("identity").gaussian


def test_a_state_space_model_reads_tokens_of_the_width_and_an_activation_wants_weights_behind_it() -> None:
    with pytest.raises(ValueError, match="Recurrent needs tokens of the network's width"):
        Serial(Recurrent(S4D()), Linear())
    with pytest.raises(ValueError, match="Nonlinearity needs Gaussian tokens"):
        Serial(Linear(), Recurrent(S4D()), "relu")


NETS = {
    "disc": (Recurrent(LRU()),),
    "ring near the circle": (Recurrent(LRU(0.9, 0.999, 0.3)),),
    "two layers": (Recurrent(LRU(0.5, 0.99, 1.0), "both"), Linear(1.4), "relu", Recurrent(LRU(0.5, 0.99, 6.0))),
    "state space": (Linear(), Recurrent(S4D(8, 0.01, 0.5)), Linear(1.4), "relu", Recurrent(S4D(8), "both")),
    "state space, one token": (Linear(1.0, 0.3), Recurrent(S4D()), Linear(1.4), "relu"),
    "all tokens": (Recurrent(LRU(0.5, 0.99, 1.0)), Positions(0.0)),
    "under a kink": (Linear(1.0, 0.3), Recurrent(LRU(0.5, 0.99, 1.0)), "relu"),
    "before a kink": (Recurrent(LRU(0.99, 0.9999, 6.28)), Recurrent(Elman(sigma_w=1.2))),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["far", "near", "uneven"])
@pytest.mark.parametrize("name", NETS)
def test_what_is_stated_holds_what_single_precision_loses(name: str, kind: str) -> None:
    x = np.random.default_rng(0).standard_normal((5, 12, 3)).astype(np.float32)
    if kind == "near":
        x[1], x[3] = x[0] + 1e-4 * x[2], x[0]
        x[3, -1] *= 1.001
    elif kind == "uneven":
        x[:, ::2] *= 1e-3
    for read in ("last", "mean"):
        error, stated = lost_and_stated(Serial(*NETS[name], read=read), x)
        assert error < stated
        assert kind == "near" or stated < 1e-4


WIDE = {
    "one layer": ((Recurrent(LRU(0.4, 0.9, 1.0, sigma_u=1.3)),), "last"),
    "state space": ((Linear(train=""), Recurrent(S4D(8, 0.05, 0.5, 0.7, 0.4))), "last"),
    "state space, steps alone": ((Linear(train=""), Recurrent(S4D(4, 0.1, 1.0, train="d"), "both")), "mean"),
    "state space, modes, under relu": (
        (Linear(train=""), Recurrent(S4D(4, 0.1, 1.0, train="ri"), "reversed"), Linear(1.4, train=""), "relu"),
        "last",
    ),
    "radius and phase alone": ((Recurrent(LRU(0.2, 0.95, 3.0, train="nt")),), "mean"),
    "gain, then B": (
        (Recurrent(LRU(0.3, 0.9, 2.0, train="g"), "both"), Linear(1.4, train=""), "relu", Recurrent(LRU(train="B"))),
        "mean",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WIDE)
def test_the_tangent_kernel_of_a_wide_network_is_that_of_the_limit(name: str) -> None:
    parts, read = WIDE[name]
    lengths = RAGGED.astype(np.int32)
    exact = np.asarray(Serial(*parts, read=read)(X.astype(np.float32), lengths=lengths))
    model = Network(*parts, read=read, width=384)
    samples = explicit.over_seeds(model, jnp.asarray(X, jnp.float32), jnp.asarray(lengths), seeds=24)
    assert np.abs(explicit.z_scores(samples, exact)).max() < 4
    assert explicit.relative(samples, exact) < 0.12
