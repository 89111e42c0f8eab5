"""Is the kernel of a linear recurrent unit the one of its initialiser, in any company, within the error it states?"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

from ntkseq.blocks import Linear, Positions, Recurrent
from ntkseq.cells import LRU, Elman
from ntkseq.kernels import lru
from ntkseq.kernels.serial import Serial
from ntkseq.models.serial import Serial as Network
from tests.kernels.precision import lost_and_stated
from tests.marks import among
from tests.models import explicit

X = np.random.default_rng(1).standard_normal((3, 5, 2))
RAGGED = np.array([5, 3, 4])
RINGS = {"disc": (0.0, 1.0, 2 * math.pi), "ring": (0.4, 0.9, math.pi / 10), "no turns": (0.0, 0.99, 1e-3)}


@pytest.mark.parametrize("name", RINGS)
def test_the_moments_are_the_integrals_over_the_initialiser(name: str) -> None:
    a, b, f = RINGS[name]
    found = lru.moments(9, a, b, f)
    for p, q in ((0, 0), (1, 0), (3, 3), (2, 5), (8, 8)):
        for got, radius, phase in zip(found, (0, 2, 0), (0, 0, 2), strict=True):
            of_size = scipy.integrate.quad(
                lambda r, p=p, q=q, k=radius: (1 - r) * r ** ((p + q) / 2) * (math.log(r) / 2) ** k, a**2, b**2,
                epsabs=1e-13,
            )[0] / (b**2 - a**2)  # fmt: skip
            of_turn = scipy.integrate.quad(lambda z, p=p, q=q, k=phase: z**k * math.cos(z * (p - q)), 0, f)[0] / f
            want = of_size * of_turn * (p * q if radius or phase else 1)
            assert got[p, q] == pytest.approx(want, rel=1e-9, abs=1e-13)


def test_on_the_whole_disc_memory_fades_like_a_power() -> None:
    lag = np.arange(40)
    found = lru.moments(40, *RINGS["disc"]).plain
    np.testing.assert_allclose(found, np.diag(1.0 / ((lag + 1) * (lag + 2))), atol=1e-15)


@pytest.mark.parametrize("train", ["ntgBC", "nB", "tg", ""])
def test_the_kernel_is_the_sum_over_all_pairs_of_lags(train: str, x64: None) -> None:
    M = lru.moments(5, 0.4, 0.9, 1.0)
    own = sum(g in train for g in "gBC") * M.plain + ("n" in train) * M.radius + ("t" in train) * M.phase

    def total(table: np.ndarray, i: int, j: int) -> float:
        one, two = X[i, RAGGED[i] - 1 :: -1], X[j, RAGGED[j] - 1 :: -1]
        return 1.3**2 * float(np.sum(table[: len(one), : len(two)] * (one @ two.T) / 2))

    want = 0.9**2 * np.array([[total(M.plain + own, i, j) for j in range(3)] for i in range(3)])
    kernel = Serial(Recurrent(LRU(0.4, 0.9, 1.0, sigma_u=1.3, train=train)), read="last", sigma_r=0.9)
    np.testing.assert_allclose(kernel(X, lengths=RAGGED), want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("direction", among(("reversed", "both"), ("both",)))
def test_other_directions_are_those_of_turned_sequences(direction: str, x64: None) -> None:
    turned = np.array([[*row[:length][::-1], *row[length:]] for row, length in zip(X, RAGGED, strict=True)])
    cell = LRU(0.4, 0.9, 1.0)
    ahead, back = (np.asarray(Serial(Recurrent(cell), read="mean")(x, lengths=RAGGED)) for x in (X, turned))
    want = back if direction == "reversed" else (ahead + back) / 2
    got = Serial(Recurrent(cell, direction), read="mean")(X, lengths=RAGGED)
    np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize("options", among(({}, {"kind": "nngp"}, {"param": "raw"}), ({}, {"param": "raw"})))
@pytest.mark.parametrize("read", among(("last", "first", "mean", "sum"), ("first", "mean")))
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


def test_a_thousand_tokens_are_read_at_the_last_one() -> None:
    x = np.random.default_rng(0).standard_normal((3, 1024, 1)).astype(np.float32)
    table = lru.moments(1024, 0.9, 0.999, 0.3)
    want = np.einsum("ip,pq,jq->ij", x[:, ::-1, 0], 3 * table.plain + table.radius + table.phase + table.plain,
                     x[:, ::-1, 0], dtype=np.float64)  # fmt: skip
    kernel = Serial(Recurrent(LRU(0.9, 0.999, 0.3)), read="last")
    side = kernel.prepare(x)
    error, root = np.abs(np.asarray(kernel.tile(side, side)) - want), np.sqrt(np.diagonal(want))
    assert np.max(error / root[:, None] / root[None]) < kernel.entry_rounding(side) < 1e-3


def test_an_activation_may_stand_behind_it_and_its_branch_may_be_added() -> None:
    assert Serial(Linear(), "relu", Recurrent(LRU()), "relu").blocks[2].cell.gaussian
    assert not Elman().gaussian and Elman("identity").gaussian


NETS = {
    "disc": (Recurrent(LRU()),),
    "ring near the circle": (Recurrent(LRU(0.9, 0.999, 0.3)),),
    "two layers": (Recurrent(LRU(0.5, 0.99, 1.0), "both"), Linear(1.4), "relu", Recurrent(LRU(0.5, 0.99, 6.0))),
    "all tokens": (Recurrent(LRU(0.5, 0.99, 1.0)), Positions(0.0)),
    "under a kink": (Linear(1.0, 0.3), Recurrent(LRU(0.5, 0.99, 1.0)), "relu"),
    "before a kink": (Recurrent(LRU(0.99, 0.9999, 6.28)), Recurrent(Elman(sigma_w=1.2))),
}


@pytest.mark.parametrize("kind", ["far", "near", "uneven"])
@pytest.mark.parametrize("name", among(NETS, ("disc",)))
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
