"""Do the bounds on one attention head have their stated numbers, and say what they rest on?"""

from __future__ import annotations

import itertools
import math

import jax
import numpy as np
import pytest

from ntkseq import activations, models
from ntkseq.blocks import Attention, Linear
from ntkseq.bounds.attention import attention_norm, attention_rank, attention_schatten
from ntkseq.bounds.attention_covers import rounded_up
from ntkseq.bounds.attention_head import AttentionHead

GOLDEN = AttentionHead([1.0, -0.5], [[0.5, 0.0], [0.2, 0.1], [0.0, 0.3]], [[1, 0.2, 0], [0, 0.5, 0.1], [0, 0, 0.05]])
BOUNDS = (attention_norm, attention_rank, attention_schatten)


def inputs(n=40, t=5, d=3, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, t, d))
    return x / np.linalg.norm(x, axis=2, keepdims=True)


def status(bound, name):
    return next(a.status for a in bound.assumptions if a.name == name)


def term(bound, name):
    return next(t for t in bound.terms if t.name == name)


@pytest.mark.parametrize("bound", BOUNDS)
def test_the_terms_add_up_and_the_bound_is_certified(bound):
    x = inputs()
    y = GOLDEN.predict(x) + 0.1
    found = bound(GOLDEN, x, y, Bx=1.0, delta=0.1)
    assert found.certified and found.provenance == "derived" and found.delta == 0.1
    assert found.value == sum(t.value for t in found.terms if t.counted)
    assert term(found, "training loss").value == pytest.approx(0.1)
    assert found.constants.complexity <= found.constants.b_f
    assert term(found, "capacity").value == 2 * found.constants.complexity
    assert status(found, "Bx") == status(found, "i.i.d.") == "declared" and status(found, "sigma") == "holds"
    found.to_dict()
    assert "<=" in str(found)


def test_the_confidence_counts_every_radius_choice_and_setting():
    x, y = inputs(), np.zeros(40)
    found = attention_norm(GOLDEN, x, y, Bx=1.0, delta=0.02, tried=7, grid=1.5)
    costs = [rounded_up(GOLDEN.norm(name), 1.5)[1] for name in ("w_1", "w_2", "V_11", "V_op", "W_11")]
    by_hand = math.sqrt((math.log(7 / 0.02) + sum(costs)) / 80)
    assert term(found, "confidence").value == pytest.approx(by_hand, rel=1e-12)
    radii = {"w_2": 2.0, "V_op": 1.0, "W_op": 1.5}
    found = attention_rank(GOLDEN, x, y, Bx=1.0, delta=0.02, radii=radii)
    assert term(found, "confidence").value == pytest.approx(math.sqrt(math.log(2 * 4 / 0.02) / 80), rel=1e-12)
    found = attention_rank(GOLDEN, x, y, Bx=1.0, delta=0.02, radii=radii, ranks=(1, 1))
    assert term(found, "confidence").value == pytest.approx(math.sqrt(math.log(1 / 0.02) / 80), rel=1e-12)


def test_truncation_has_the_numbers_of_the_theory_file():
    x, y = inputs(), np.zeros(40)
    for ranks, tau in (((1, 1), 0.650447441802525), ((2, 1), 0.3005946856227609), ((2, 3), 0.0)):
        found = attention_rank(GOLDEN, x, y, Bx=1.0, ranks=ranks)
        assert found.constants.tau == pytest.approx(tau, rel=1e-12)
        assert term(found, "truncation").value == 2 * found.constants.tau


@pytest.mark.slow
def test_cutting_singular_values_moves_the_head_by_at_most_tau():
    """On 300 random heads; the weights are cut and the functions compared."""
    generator = np.random.default_rng(1)
    for seed in range(300):
        d, k = (int(m) for m in generator.integers(2, 6, size=2))
        w, V, W = generator.normal(size=k), generator.normal(size=(d, k)), generator.normal(size=(d, d))
        r_V, r_W = int(generator.integers(1, min(d, k) + 1)), int(generator.integers(0, d + 1))
        cut = []
        for matrix, r in ((V, r_V), (W, r_W)):
            U, s, Vt = np.linalg.svd(matrix, full_matrices=False)
            cut.append(U[:, :r] * s[:r] @ Vt[:r])
        x, y = inputs(4, 5, d, seed), np.zeros(4)
        tau = attention_rank(AttentionHead(w, V, W), x, y, Bx=1.0, ranks=(r_V, r_W)).constants.tau
        gap = np.abs(AttentionHead(w, V, W).predict(x) - AttentionHead(w, *cut).predict(x)).max()
        assert gap <= tau + 1e-12


@pytest.mark.slow
def test_the_chosen_ranks_are_the_best_of_all():
    generator = np.random.default_rng(4)
    w, V = generator.normal(size=3) * 0.1, np.diag([1.0, 0.3, 1e-9])
    W = np.diag([0.5, 1e-7, 0.0])
    x = np.tile(inputs(50), (2000, 1, 1))
    found = attention_rank(AttentionHead(w, V, W), x, np.zeros(len(x)), Bx=1.0)
    capacity_and_cut = {}
    for ranks in itertools.product((1, 2, 3), (0, 1, 2, 3)):
        fixed = attention_rank(AttentionHead(w, V, W), x, np.zeros(len(x)), Bx=1.0, ranks=ranks)
        capacity_and_cut[ranks] = term(fixed, "capacity").value + term(fixed, "truncation").value
    assert capacity_and_cut[found.constants.rank_V, found.constants.rank_W] == min(capacity_and_cut.values())
    assert found.constants.rank_V == 2 and found.constants.rank_W == 1


def test_the_rank_bound_keeps_the_norms_of_the_uncut_weights():
    small = attention_rank(GOLDEN, inputs(), np.zeros(40), Bx=1.0, ranks=(1, 0))
    assert small.constants.radii["W_op"] >= np.linalg.norm(GOLDEN.W, 2)
    assert small.constants.b_f >= np.linalg.norm(GOLDEN.w) * np.linalg.norm(GOLDEN.V, 2)


@pytest.mark.slow
@pytest.mark.parametrize("bound", BOUNDS)
def test_more_examples_and_smaller_weights_give_less(bound):
    x = inputs(50)
    values = []
    for repeats in (200, 2000, 20000):
        many = np.tile(x[:, -1:], (repeats, 1, 1))
        values.append(bound(GOLDEN, many, np.zeros(len(many)), Bx=1.0).constants.complexity)
    assert values[0] >= values[1] > values[2] or (bound is attention_norm and values[0] >= values[1] >= values[2])
    small = AttentionHead(GOLDEN.w / 8, GOLDEN.V, GOLDEN.W)
    assert (
        bound(small, many, np.zeros(len(many)), Bx=1.0).constants.complexity
        < bound(GOLDEN, many, np.zeros(len(many)), Bx=1.0).constants.complexity
    )


@pytest.mark.parametrize("bound", BOUNDS)
def test_rotated_features_permuted_keys_and_longer_padding_change_nothing(bound):
    x, y = inputs(), np.ones(40)
    base = bound(GOLDEN, x, y, Bx=1.0)
    order = [2, 0, 3, 1, 4]  # the last token asks
    padded = np.concatenate([x[:, order], np.full((40, 2, 3), np.nan)], axis=1)
    assert bound(GOLDEN, padded, y, Bx=1.0, lengths=np.full(40, 5)).value == pytest.approx(base.value, rel=1e-12)
    if bound is not attention_norm:  # sums of absolute entries depend on the axes
        Q = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
        turned = AttentionHead(GOLDEN.w, Q @ GOLDEN.V, Q @ GOLDEN.W @ Q.T)
        assert bound(turned, x @ Q.T, y, Bx=1.0).value == pytest.approx(base.value, rel=1e-9)


@pytest.mark.parametrize("bound", BOUNDS)
def test_units_of_the_tokens_and_the_place_of_a_factor_do_not_matter(bound):
    """Tokens twice as long with V half and W a quarter; relu twice as steep with w half: the same functions."""
    x, y = np.tile(inputs(50, 2), (400, 1, 1)), np.zeros(20_000)
    small = AttentionHead(GOLDEN.w / 64, GOLDEN.V, GOLDEN.W)
    base = bound(small, x, y, Bx=1.0)
    longer = bound(AttentionHead(small.w, small.V / 2, small.W / 4), 2 * x, y, Bx=2.0)
    steeper = bound(AttentionHead(small.w / 2, small.V, small.W, sigma=activations.Rectifier(2.0, 0.0)), x, y, Bx=1.0)
    for other in (longer, steeper):
        assert term(other, "training loss").value == pytest.approx(term(base, "training loss").value, rel=1e-9)
        assert other.constants.b_f == pytest.approx(base.constants.b_f, rel=1e-12)
        if bound is not attention_schatten:  # there the union over radii may choose another power
            assert other.constants.complexity == pytest.approx(base.constants.complexity, rel=1e-9)
        if bound is attention_norm:  # its complexity is b_f here
            assert other.constants.Gamma == pytest.approx(base.constants.Gamma, rel=1e-9)
    assert bound is attention_norm or base.constants.complexity < base.constants.b_f
    if bound is attention_schatten:
        cases = (
            (small, x, 1.0),
            (AttentionHead(small.w, small.V / 2, small.W / 4), 2 * x, 2.0),
            (AttentionHead(small.w / 2, small.V, small.W, sigma=activations.Rectifier(2.0, 0.0)), x, 1.0),
        )
        same = [bound(head, data, y, Bx=Bx, powers=(0.5,)).constants.complexity for head, data, Bx in cases]
        assert same == pytest.approx([same[0]] * 3, rel=1e-9)
    if bound is attention_rank:
        assert longer.constants.tau == pytest.approx(base.constants.tau, rel=1e-9)
        assert steeper.constants.tau == pytest.approx(base.constants.tau, rel=1e-9)


@pytest.mark.parametrize("bound", BOUNDS)
def test_no_random_head_of_the_class_fits_random_signs_better_than_the_complexity(bound):
    """A lower estimate of the Rademacher complexity, from heads scaled to the radii; it must not exceed the bound.

    Norms of the identity-like weights are small enough that the bound is below b_f.
    """
    n = 4000
    generator = np.random.default_rng(7)
    x = np.tile(inputs(40, 3, 2), (n // 40, 1, 1))
    head = AttentionHead([0.5], [[0.8], [0.1]], 0.05 * np.eye(2), sigma="identity")
    found = bound(head, x, np.zeros(n), Bx=1.0)
    # sigma linear, V one column: with attention fixed the best V has a closed form
    best = []
    for _ in range(20):
        signs = generator.choice([-1.0, 1.0], size=n)
        for W in [head.W, *generator.normal(size=(4, 2, 2)) * 0.02]:
            scores = np.einsum("nti,ij,nj->nt", x, W, x[:, -1])
            p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            best.append(np.linalg.norm(signs @ np.einsum("nt,ntd->nd", p, x)) / n * 0.5 * 0.8)
    assert max(best) <= found.constants.complexity


@pytest.mark.slow
def test_a_single_head_network_is_bounded_through_its_weights():
    net = models.Serial(Linear(), Attention(scaling="root"), Linear(), "relu", width=4, heads=1, read="last")
    x = inputs(20).astype(np.float32)
    params = net.init(jax.random.key(0), x[0])
    found = attention_norm(AttentionHead.of(net, params), x, np.zeros(20), Bx=1.0001)  # float32 inputs
    assert found.certified
    by_net = np.mean([min(1, abs(float(net.apply(params, one)[0]))) for one in x])
    assert term(found, "training loss").value == pytest.approx(by_net, rel=1e-5)


def test_data_that_contradict_a_declaration_turn_the_bound_into_an_estimate():
    x, y = inputs(), np.zeros(40)
    found = attention_norm(GOLDEN, 1.01 * x, y, Bx=1.0)
    assert status(found, "Bx") == "fails" and not found.certified and "<=" not in found.verdict
    radii = {"w_1": 2.0, "w_2": 2.0, "V_11": 1.0, "V_op": 1.0, "W_11": 2.0}
    found = attention_norm(GOLDEN, x, y, Bx=1.0, radii=radii)
    assert status(found, "norms") == "fails" and "V_11 = 1.1 > 1" in str(found)
    assert attention_norm(GOLDEN, x, y, Bx=1.0, radii=radii | {"V_11": 1.1}).certified  # a radius may equal its norm


def test_losses_have_their_slopes():
    x = inputs()
    y = np.sign(GOLDEN.predict(x) + 1e-9)
    small = AttentionHead(GOLDEN.w / 1e3, GOLDEN.V, GOLDEN.W)
    absolute = attention_rank(small, x, y, Bx=1.0, ranks=(2, 3))
    squared = attention_rank(small, x, y, Bx=1.0, ranks=(2, 3), loss="squared")
    margin = attention_rank(small, x, y, Bx=1.0, ranks=(2, 3), loss="margin", gamma=0.25)
    assert term(squared, "capacity").value == 2 * term(absolute, "capacity").value
    assert term(margin, "capacity").value == 4 * term(absolute, "capacity").value
    assert margin.quantity == "P(sign f(x) != y)" and term(margin, "training loss").value >= 0.99


def test_the_powers_are_the_best_pair_and_their_choice_is_counted():
    x, y = np.tile(inputs(50, 2), (1000, 1, 1)), np.zeros(50_000)
    best = attention_schatten(GOLDEN, x, y, Bx=1.0, powers=(0.5, 2.0))
    pair = best.constants.p_V, best.constants.p_W
    assert set(pair) <= {0.5, 2.0}
    alone = [attention_schatten(GOLDEN, x, y, Bx=1.0, powers=(p,)) for p in (0.5, 2.0)]
    costs = sum(rounded_up(GOLDEN.norm(name), 2**0.125)[1] for name in ("w_2", "V_op", "W_op"))
    costs += sum(rounded_up(GOLDEN.norm(f"{part}_{p}"), 2**0.125)[1] for part, p in zip("VW", pair, strict=True))
    assert best.constants.log_union == pytest.approx(costs + math.log(4), rel=1e-12)
    assert best.value - term(best, "confidence").value <= min(b.value for b in alone)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": None}, r"must be a bounds\.AttentionHead; got NoneType"),
        ({"y": np.zeros(3)}, r"y must have shape \(40,\)"),
        ({"Bx": 0.0}, "Bx must be a finite number > 0"),
        ({"delta": 1.0}, "delta must lie strictly between"),
        ({"grid": 1.0}, "grid must be a ratio above 1"),
        ({"loss": "hinge"}, "loss must be one of"),
        ({"loss": "margin"}, "must hold -1 and"),
        ({"tried": 0}, "tried must be an integer"),
        ({"gamma": 0.0}, "gamma must be"),
        ({"x": np.ones((40, 5))}, r"shape \(n, t, d\)"),
        ({"x": np.full((40, 5, 3), np.nan)}, "x must be finite"),
        ({"x": np.ones((40, 5, 2))}, "x must have 3 features"),
        ({"lengths": np.zeros(40, int)}, "lengths of x"),
    ],
)
def test_bad_input_is_turned_away_by_every_bound(changes, message: str):
    arguments = {"head": GOLDEN, "x": inputs(), "y": np.zeros(40), "Bx": 1.0} | changes
    for bound in BOUNDS:
        with pytest.raises(ValueError, match=message):
            bound(arguments["head"], arguments["x"], arguments["y"], **{
                key: value for key, value in arguments.items() if key not in ("head", "x", "y")
            })  # fmt: skip


def test_bad_options_of_one_bound_are_turned_away():
    x, y = inputs(), np.zeros(40)
    with pytest.raises(ValueError, match=r"ranks must lie in 1..2 and 0..3; got \(0, 1\)"):
        attention_rank(GOLDEN, x, y, Bx=1.0, ranks=(0, 1))
    with pytest.raises(ValueError, match="radii must name w_2, V_op, W_op; got w_2"):
        attention_rank(GOLDEN, x, y, Bx=1.0, radii={"w_2": 1.0})
    with pytest.raises(ValueError, match=r"radii\['w_2'\] must be"):
        attention_rank(GOLDEN, x, y, Bx=1.0, radii={"w_2": -1.0, "V_op": 1.0, "W_op": 1.0})
    for powers in ((), (2.5,), (0.0,)):
        with pytest.raises(ValueError, match="powers must be"):
            attention_schatten(GOLDEN, x, y, Bx=1.0, powers=powers)
