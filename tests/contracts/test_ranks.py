"""Does every definition of effective rank keep what a definition promises, also one of a user's own?"""

from __future__ import annotations

import pathlib
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import bounds, kernels, spectra, training
from ntkseq.data.tasks import sinusoids
from ntkseq.spectra import effective_rank, effective_ranks, ranks
from ntkseq.spectra.ranks import (
    Dimension,
    EffectiveRank,
    Energy,
    Entropy,
    Intrinsic,
    Numerical,
    Participation,
    Stable,
    Tail,
)
from ntkseq.spectra.ranks.short import SHORT
from tests.spectra.exact_ranks import exact_rank
from tests.spectra.own_rank import Above

FOUR = np.array([4.0, 2.0, 1.0, 0.0])
# of the values (4, 2, 1, 0), by hand or in rationals; with a partial spectrum or not
TABLE: tuple[tuple[EffectiveRank, float, bool], ...] = (
    (Entropy(), 2.6004900059896596, True),
    (Entropy(power=2), 1.950367504492245, False),
    (Stable(), 1.3125, True),
    (Intrinsic(), 1.75, True),
    (Participation(), 7 / 3, True),
    (Participation(power=2), 441 / 273, False),
    (Numerical(), 3.0, True),
    (Numerical(0.3), 2.0, True),
    (Energy(0.9), 2.0, False),
    (Tail(1), 1.5, False),
    (Tail(1, Participation()), 1.8, False),
    (Tail(2, Entropy()), 1.0, False),
    (Dimension(0.5), 4 / 4.5 + 2 / 2.5 + 1 / 1.5, True),
    (Dimension(0.5, power=2), (4 / 4.5) ** 2 + (2 / 2.5) ** 2 + (1 / 1.5) ** 2, True),
    (Above(1.5), 2.0, False),
)
every = pytest.mark.parametrize("rank", [pytest.param(rank, id=rank.name) for rank, _, _ in TABLE])


def truth(values: np.ndarray, rank: EffectiveRank) -> float:
    if isinstance(rank, Above):
        return rank.of(values)
    found = exact_rank([Fraction(float(v)) for v in values], rank)
    return np.nan if found is None else float(found)


def test_the_table_holds_every_definition():
    of = {type(rank) for rank, _, _ in TABLE}
    assert of - {Above} == {getattr(ranks, name) for name in ranks.__all__} - {EffectiveRank}
    assert {rank.name for rank, _, _ in TABLE} > set(SHORT) - {"nuclear"}


@pytest.mark.parametrize(("rank", "value"), [pytest.param(rank, value, id=rank.name) for rank, value, _ in TABLE])
def test_it_has_its_value_on_a_known_spectrum(rank: EffectiveRank, value: float):
    assert rank.of(FOUR) == effective_rank(FOUR[::-1], rank) == pytest.approx(value, rel=1e-14)
    s = ntkseq.spectrum(np.diag(FOUR))
    found = s.effective_rank_interval(rank)
    assert found.estimate == s.effective_rank(rank) == pytest.approx(value, rel=1e-13)
    assert found.lower <= value <= found.upper


@every
def test_its_interval_holds_the_rank_of_every_spectrum_within_the_errors(rank: EffectiveRank):
    generator = np.random.default_rng(0)
    s, errors = FOUR + 0.05, np.array([0.3, 0.01, 0.1, 0.05])
    lower, upper = rank.bounds(s, errors)
    for _ in range(20):
        moved = np.sort(np.maximum(s + errors * generator.uniform(-1, 1, 4), 0.0))[::-1]
        assert lower * (1 - 1e-12) <= truth(moved, rank) <= upper * (1 + 1e-12)
    narrow, wide = rank.bounds(s, 1e-9 * errors)
    if rank != Numerical():  # which counts what is resolved, and leaves open what is not
        assert wide - narrow < 1e-6


@pytest.mark.parametrize(("rank", "partial"), [pytest.param(rank, known, id=rank.name) for rank, _, known in TABLE])
def test_a_spectrum_in_part_bounds_it_or_says_that_it_cannot(rank: EffectiveRank, partial: bool):
    values = np.concatenate([[4.0, 2.0, 1.0], 0.5 ** np.arange(3.0, 9.0)])
    part = ntkseq.spectrum(np.diag(values), spectra.MatrixFree(k=2, probes=4, steps=6))
    assert part.values.size < values.size
    if not partial:
        with pytest.raises(ValueError, match="needs every eigenvalue; only part of them is known"):
            part.effective_rank(rank)
        return
    found = part.effective_rank_interval(rank)
    assert found.lower <= truth(values, rank) <= found.upper and found.upper - found.lower < values.size
    assert found.lower <= part.effective_rank(rank) == found.estimate <= found.upper


@pytest.mark.slow(but=["intrinsic"])
@every
def test_a_batch_is_a_loop_also_under_jit_and_vmap(rank: EffectiveRank, x64: None):
    A = np.random.default_rng(1).standard_normal((2, 2, 3, 4))
    A[0, 0], A[0, 1, 1:] = 0.0, 0.0
    alone = [[effective_rank(one, rank) for one in row] for row in A]
    ask = lambda A: effective_ranks(A, rank)  # noqa: E731
    for found in (ask(A), jax.jit(ask)(A), jax.vmap(ask)(jnp.asarray(A)), jax.lax.map(ask, jnp.asarray(A))):
        np.testing.assert_allclose(found, alone, rtol=1e-12)
    broken = jax.jit(ask)(jnp.asarray(A).at[1, 0, 0, 0].set(jnp.nan))
    assert jnp.isnan(broken[1, 0]) and np.allclose(broken[1, 1], alone[1][1])


@pytest.mark.parametrize("name", SHORT)
def test_a_short_name_and_its_object_agree(name: str):
    A, s = np.diag(FOUR), ntkseq.spectrum(np.diag(FOUR))
    part = ntkseq.spectrum(A, spectra.MatrixFree(k=4, probes=1, steps=2))
    for ask in (lambda r: effective_rank(A, r), s.effective_rank, lambda r: float(effective_ranks(A, r))):
        assert ask(name) == ask(SHORT[name])
    if SHORT[name] in {rank for rank, _, known in TABLE if known}:
        assert part.effective_rank(name) == part.effective_rank(SHORT[name])


@every
def test_it_is_a_value_equal_and_printed_by_its_fields(rank: EffectiveRank):
    again = eval(repr(rank), {**vars(ranks), "Above": Above})
    assert again == rank and hash(again) == hash(rank) and rank.name and rank.formula


@pytest.mark.slow
def test_a_rank_of_ones_own_goes_wherever_a_rank_is_asked_for(tmp_path: pathlib.Path):
    mine = Above(0.5)
    x = jax.random.normal(jax.random.key(0), (4, 3, 2))
    look = lambda params, x: jax.nn.softmax(params * x @ x.T)[None]  # noqa: E731
    found = spectra.attention_ranks(look, 1.0, x, kinds=("stable", mine))
    matrices = jax.vmap(lambda x: look(1.0, x))(x)
    mean = np.mean([np.sum(np.linalg.svd(A[0], compute_uv=False) > 0.5) for A in np.asarray(matrices, np.float64)])
    assert found.layers[0].mean["above_0_5"] == pytest.approx(mean) and "above_0_5" in str(found)
    assert bounds.effective_rank_capacity(found, 10, kind=mine).constants.r_eff == pytest.approx(mean)

    probes = (
        training.AttentionRankProbe(look, x, kinds=(mine,), every=1),
        training.KernelProbe(lambda params, x: jnp.tanh(params * x[:, :1].sum(0)), x, ranks=(mine,), every=1),
    )
    history = training.track(probes, jnp.float32(1.0)).update(1, jnp.float32(1.0))
    np.testing.assert_allclose(history["attention"]["rank_above_0_5"].reshape(-1), mean)
    row = {end: history["kernel"][f"rank_above_0_5{end}"][1] for end in ("", "_lower", "_upper")}
    assert row["_lower"] <= row[""] <= row["_upper"] and "rank_entropy" not in history["kernel"].columns
    history.save(tmp_path / "run.npz")
    assert "rank_above_0_5" in training.History.load(tmp_path / "run.npz")["kernel"].columns

    tasks = sinusoids(3, shots=2, queries=1, key=jax.random.key(0))
    meta = spectra.meta_spectra(kernels.Dense(), kernels.GD(steps=2, lr=0.02), tasks, algorithms=("maml",))
    assert meta["maml"].spectrum.effective_rank(mine) == mine.of(meta["maml"].spectrum.values)
