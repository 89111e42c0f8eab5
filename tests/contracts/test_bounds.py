"""Does every bound keep what a bound promises: above the truth, near it once, and saying what it is?

A row plays worlds of which the truth is known: laws with finitely many atoms, a Fourier series, a recursion in float64.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest

from ntkseq import bounds, cite, concepts, gram, kernels, norms, risks
from ntkseq._bound import total
from ntkseq.activations import LeakyRelu
from ntkseq.bounds import AttentionHead, Bound
from ntkseq.concepts import series
from ntkseq.norms import Tokens
from tests.bounds import linearised_worlds, risk_worlds, worlds

Draw = tuple[Bound, float]  # the bound, and the truth of its quantity
RNN = kernels.Recurrent.preset("allen-zhu-li")
LINEAR = series.polynomial([0.0, 1.0])


def played(world: Callable[[np.random.Generator], worlds.Case], rng: np.random.Generator) -> Draw:
    case = world(rng)
    return case.bound, case.risk


# A coin: the only feature is constant, labels are 1 but for one in five, so that the mean of the labels is 0.6.
COIN = np.where(np.arange(600) % 5 == 0, -1.0, 1.0)
WRONG, OFF = 0.2, 0.2 * 1.0 + 0.8 * 0.4  # the share of wrong signs, and E min(1, |0.6 - y|)


def coin(bound: Callable[..., Bound], truth: float, **options: Any) -> Draw:
    n = len(COIN)
    return bound(np.ones((n, n)), COIN, reg=0.1, kappa=1.0, B0=0.6, **options), truth


def compressed_coin() -> Draw:
    return bounds.compression(np.ones((600, 600)), COIN, reg=0.1), WRONG


def stable_coin() -> Draw:
    n, reg, labels = 600, 600.0, 0.3 * COIN
    f = labels.sum() / (n + reg)
    return bounds.stability(np.ones((n, n)), labels, reg=reg, kappa=1.0, M=0.3), 0.8 * abs(f - 0.3) + 0.2 * abs(f + 0.3)


def coin_of_steps() -> Draw:
    n = 300
    said = bounds.rademacher_steps(np.ones((n, n, 2, 2)), COIN[:n, None].repeat(2, 1), reg=0.1, kappa=1.0, B0=0.6)
    return said, OFF


def coin_of_tasks() -> Draw:
    n = 300
    said = bounds.meta_kernel(np.ones((2 * n, 2 * n)), COIN.reshape(n, 2), reg=0.1, kappa=1.0, B0=0.6)
    return said, OFF


def each(rng: np.random.Generator) -> Draw:
    """The bound of the last of several steps, of which all hold at once."""
    p, n, t = int(rng.integers(1, 4)), int(rng.choice([8, 30])), 3
    atoms, y = rng.standard_normal((worlds.ATOMS, t, p)), rng.uniform(-1, 1, (worlds.ATOMS, t))
    drawn, reg = rng.integers(worlds.ATOMS, size=n), 0.1
    said = bounds.rademacher_each_step(np.einsum("itp,jsp->ijts", atoms[drawn], atoms[drawn]), y[drawn], reg=reg)[-1]
    phi = atoms[drawn].reshape(-1, p)
    weights = np.linalg.solve(phi.T @ phi + reg * np.eye(p), phi.T @ y[drawn].ravel())
    return said, float(np.mean(np.minimum(1, np.abs(atoms[:, -1] @ weights - y[:, -1]))))


def coin_of_each_step() -> Draw:
    n = 300
    K = np.ones((n, n, 2, 2))
    return bounds.rademacher_each_step(K, COIN[:n, None].repeat(2, 1), reg=0.1, kappa=1.0, B0=0.6)[0], OFF


# Of attention the class is small, so that the noise of the labels is what the bound is near to.
HEAD = AttentionHead([0.01], [[1.0], [0.5], [0.25]], 0.1 * np.eye(3))


def coin_of_networks() -> Draw:
    """One weight, nearly surely positive, on a constant input: wrong where the coin is -1, and seldom else."""
    n = len(COIN)
    said = bounds.network(
        lambda w, x: w * x, np.zeros(1), np.full(1, 3.0), np.ones((n, 1)), COIN, key=jax.random.key(0), c=1.0, s=9.0,
        draws=300, trial=1,
    )  # fmt: skip
    flipped = 0.5 * math.erfc(3 / math.sqrt(2 * 9 / (n + 9)))  # of N(3, s/(n + s)): J'J = n
    return said, WRONG + (1 - 2 * WRONG) * flipped


def coin_of_gradients() -> Draw:
    """One gradient for all examples: the process is one number, nearly surely of the sign of most coins."""
    x = np.ones((len(COIN), 1))
    return bounds.linearised_network(lambda w, x: w * x, np.zeros(1), x, COIN, seen=()), WRONG


def fair(bound: Callable[..., Bound]) -> Draw:
    """Labels -1/2 and 1/2 by a fair coin: the loss of f with |f| <= 1/2 that does not know it is 1/2."""
    x = np.eye(3)[None].repeat(1000, 0)
    return bound(HEAD, x, np.where(np.arange(1000) % 2 == 0, 0.5, -0.5), Bx=1.0), 0.5


def frozen_coin() -> Draw:
    n = 5000
    one = np.ones((n, 1, 1))
    return bounds.frozen_attention([[0.6]], one, one, np.resize(COIN, n), loss="margin", gamma=0.5), WRONG


def circle(rng: np.random.Generator) -> Draw:
    """Two tokens on a circle: the kernel depends on two angles, and the norm is a sum over Fourier coefficients."""
    g = 32
    angles = 2 * math.pi * np.arange(g) / g
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    x = np.stack(np.broadcast_arrays(ring[:, None], ring[None]), axis=2).reshape(g * g, 2, 2)
    spectrum = np.fft.fft2(np.asarray(gram(RNN, x, x[:1]).array, np.float64).reshape(g, g)).real / g**2
    position, degree = int(rng.integers(2)), int(rng.integers(1, 3))
    beta = rng.standard_normal(2)
    beta *= rng.uniform(0.2, 1.0) / np.linalg.norm(beta)
    f = concepts.Additive([(position, beta, series.polynomial(rng.standard_normal(degree + 1).tolist()))])
    values = np.fft.fft2(np.asarray(jax.vmap(f)(x), np.float64).reshape(g, g)) / g**2
    seen = np.abs(values) > 1e-12 * np.abs(values).max()
    # what the grid folds onto a coefficient raises it, so the norm is no larger than it says
    truth = float(np.sum(np.abs(values[seen]) ** 2 / spectrum[seen]))
    return norms.rkhs_norm(f, RNN, Tokens.declared([1.0, 1.0], features=2)), truth


def known_steps(rng: np.random.Generator, n: int = 30) -> Draw:
    """y'K^-1 y of noiseless labels at every step, which grows with n to the norm from below."""
    x = rng.standard_normal((n, 3, 3))
    x[:, :, 2] = 0.0
    x /= np.linalg.norm(x, axis=2, keepdims=True)
    x[:, 0] = [0.0, 0.0, 1.0]
    beta = rng.standard_normal((2, 2))
    beta *= rng.uniform(0.2, 1.0) / np.linalg.norm(beta, axis=1, keepdims=True)
    parts = [(j, j, 0, [*beta[j - 1], 0.0], series.polynomial([0.0, *rng.standard_normal(2)])) for j in (1, 2)]
    f = concepts.PositionToPosition(parts)
    y = np.asarray(jax.vmap(f)(x), np.float64)[:, 1:, 0].ravel()
    K = np.asarray(kernels.every_step(RNN, x))[:, :, 1:, 1:].transpose(0, 2, 1, 3).reshape(2 * n, 2 * n)
    law = Tokens.declared([1.0] * 3, common=[1.0, 0, 0], features=3)
    return norms.every_step_norm(f, RNN, law), float(y @ np.linalg.solve(K, y))


def axes(n: int, seed: int, which: str) -> tuple[Any, Tokens, float, Any]:
    """Tokens along d = 2n axes, each with the label +-1/sqrt(d): target, tokens, the interpolant's risk, the kernel.

    K is a on the diagonal and b off it, so the interpolant of the axes that were seen is known in closed form. For
    "steps" they stand behind a first token that all share; the kernel of one token is linear, with b = 0.
    """
    rng, d, later = np.random.default_rng([n, seed]), 2 * n, which == "steps"
    kernel = RNN if later else SUM
    two = np.eye(3)[:2, None]
    two = np.concatenate([np.broadcast_to(np.eye(3)[2], two.shape), two], axis=1) if later else two
    (a, b), _ = np.asarray(kernels.every_step(kernel, two))[:, :, -1, -1]
    labels = rng.choice([-1.0, 1.0], d) / math.sqrt(d)
    seen = np.unique(rng.integers(d, size=n))
    dual = (labels[seen] - b * labels[seen].sum() / (a - b + b * len(seen))) / (a - b)
    answers = np.full(d, b * dual.sum())
    answers[seen] = labels[seen]
    if later:
        target: Any = concepts.PositionToPosition([(1, 1, 0, np.append(labels, 0.0), LINEAR)])
        law = Tokens.declared([1.0, 1.0], common=[1.0, 0.0], features=d + 1)
    else:
        target, law = concepts.Additive([(0, labels, LINEAR)]), Tokens.declared([1.0], features=d)
    return target, law, float(np.mean(np.abs(answers - labels))), kernel


def on_axes(rng: np.random.Generator, which: str, n: int | None = None) -> Draw:
    n = int(rng.choice([50, 400])) if n is None else n
    f, law, risk, kernel = axes(n, int(rng.integers(10**6)), which)
    bound = bounds.every_step_risk if which == "steps" else bounds.target_risk
    return bound(f, kernel, law, n=n), risk


def examples_needed(rng: np.random.Generator, share: float | None = None) -> Draw:
    """So many axes must have been seen that those that were not, times their label, come to eps at most."""
    half = int(rng.integers(1, 30)) if share is None else 200
    f, law, _, kernel = axes(half, 0, "token")
    size = 1 / math.sqrt(2 * half)
    eps = (rng.uniform(0.1, 1.0) if share is None else share) * size
    return bounds.sample_size(f, kernel, law, eps=eps), math.ceil(2 * half * (1 - eps / size))


def descended(rng: np.random.Generator) -> Draw:
    """|f_k - y| by k steps in long double."""
    n, k = int(rng.integers(1, 12)), int(rng.integers(1, 60))
    phi = rng.standard_normal((n, int(rng.integers(1, 15))))
    K, y = phi @ phi.T, rng.standard_normal(n)
    eta = float(rng.uniform(0.05, 1.99) / np.linalg.eigvalsh(K)[-1])
    f = np.zeros(n, np.longdouble)
    for _ in range(k):
        f = f - np.longdouble(eta) * (K.astype(np.longdouble) @ (f - y))
    return bounds.du2019(K, y, eta=eta, steps=k), float(np.linalg.norm((f - y).astype(np.float64)))


def meta_trained(rng: np.random.Generator, bound: Callable[..., Bound]) -> Draw:
    """The exact risk of MAML on linear regression, by its recursion."""
    d, steps = int(rng.integers(1, 9)), int(rng.choice([1, 3, 40, 300]))
    spectrum = np.arange(1.0, d + 1) ** -rng.uniform(0.5, 3)
    problem = risks.MixedRegression(
        spectrum, rng.standard_normal(d), 0.1, noise=0.5, n1=4, n2=3, beta_tr=float(rng.uniform(-0.5, 0.5))
    )
    problem = problem.with_(alpha=float(rng.uniform(0.02, 0.2)) / (2 + float(problem.mu_tr.max()) + spectrum.sum()))
    return bound(problem, steps), float(risks.risk(problem, steps).total[-1])


KNOWN = risks.MixedRegression(1 / np.arange(1.0, 51) ** 2, 0.3, 0.1, noise=0.5, n1=10, n2=10, beta_tr=0.2, alpha=0.02)


def known_maml(bound: Callable[..., Bound]) -> Draw:
    return bound(KNOWN, 1000), float(risks.risk(KNOWN, 1000).total[-1])


@dataclasses.dataclass(frozen=True)
class Row:
    """A certified bound: worlds with a known truth, one that it is near to, and one where it says nothing."""

    draw: Callable[[np.random.Generator], Draw]
    tight: Callable[[], Draw]
    factor: (
        float  # how near: value over truth, or truth over value of a lower bound, is at most this; from what was seen
    )
    empty: Callable[[], Bound]
    draws: int = 8


TWO, SIGNS, FEW = np.eye(2), np.array([1.0, -1.0]), np.eye(3)[None].repeat(2, 0)
FIRST = concepts.Additive([(0, [1.0], LINEAR)])
SECOND = concepts.PositionToPosition([(1, 1, 0, [1.0, 0.0], LINEAR)])
ONE = Tokens.declared([1.0], features=1)  # where W plays no role, so that RNN, which trains W alone, is zero
PAIR = Tokens.declared([1.0, 1.0], common=[1.0, 0.0], features=2)
SUM = kernels.Recurrent(activation=LeakyRelu(1.0), sigma_b=0.0, input_scale="none")  # linear: it tells no steps apart

ROWS = {
    "rademacher": Row(
        partial(played, worlds.kernel), partial(coin, bounds.rademacher, OFF), 1.6,
        lambda: bounds.rademacher(TWO, SIGNS),
    ),
    "margin": Row(
        partial(played, partial(worlds.kernel, which="margin")), partial(coin, bounds.margin, WRONG, gamma=0.5), 2.0,
        lambda: bounds.margin(TWO, SIGNS),
    ),
    "pac_bayes": Row(
        partial(played, worlds.process), lambda: (bounds.pac_bayes(np.ones((600, 600)), COIN), WRONG), 1.5,
        lambda: bounds.pac_bayes(np.zeros((3, 3)), np.ones(3)),
    ),
    "compression": Row(
        partial(played, risk_worlds.compressed), compressed_coin, 1.4,
        lambda: bounds.compression(TWO, SIGNS, members=[0, 1]),
    ),
    "stability": Row(
        partial(played, partial(risk_worlds.fitted, which="stability")), stable_coin, 1.5,
        lambda: bounds.stability(TWO, SIGNS, reg=0.1, kappa=1.0),
    ),
    "local_rademacher": Row(
        partial(played, partial(risk_worlds.fitted, which="local")), partial(coin, bounds.local_rademacher, OFF), 1.6,
        lambda: bounds.local_rademacher(TWO, SIGNS, kappa=1.0),
    ),
    "rademacher_steps": Row(
        partial(played, worlds.every_step), coin_of_steps, 1.6,
        lambda: bounds.rademacher_steps(np.ones((2, 2, 1, 1)), SIGNS[:, None], reg=1.0),
    ),
    "rademacher_each_step": Row(
        each,
        coin_of_each_step,
        1.6,
        lambda: bounds.rademacher_each_step(np.ones((2, 2, 1, 1)), SIGNS[:, None], reg=1.0)[0],
    ),
    "meta_kernel": Row(
        partial(played, worlds.meta_kernel), coin_of_tasks, 1.6, lambda: bounds.meta_kernel(TWO, SIGNS[:, None])
    ),
    "linearised_network": Row(
        partial(played, linearised_worlds.linearised), coin_of_gradients, 1.7,
        lambda: bounds.linearised_network(lambda w, x: w * x, np.zeros(1), np.zeros((2, 1)), SIGNS, seen=()),
    ),
    "network": Row(
        partial(played, worlds.network), coin_of_networks, 1.7,
        lambda: bounds.network(
            lambda w, x: w * x, np.zeros(1), np.ones(1), np.ones((2, 1)), SIGNS, key=jax.random.key(0)
        ),
    ),
    "attention_norm": Row(
        partial(played, partial(worlds.attention, which="norm")), partial(fair, bounds.attention_norm), 1.4,
        lambda: bounds.attention_norm(HEAD, FEW, SIGNS, Bx=1.0), draws=5,
    ),
    "attention_rank": Row(
        partial(played, partial(worlds.attention, which="rank")), partial(fair, bounds.attention_rank), 1.4,
        lambda: bounds.attention_rank(HEAD, FEW, SIGNS, Bx=1.0), draws=5,
    ),
    "attention_schatten": Row(
        partial(played, partial(worlds.attention, which="schatten")), partial(fair, bounds.attention_schatten), 1.4,
        lambda: bounds.attention_schatten(HEAD, FEW, SIGNS, Bx=1.0), draws=5,
    ),
    "frozen_attention": Row(
        partial(played, worlds.frozen), frozen_coin, 1.7,
        lambda: bounds.frozen_attention(np.zeros((3, 3)), FEW, FEW, SIGNS),
    ),
    "target_risk": Row(
        partial(on_axes, which="token"), lambda: on_axes(np.random.default_rng(0), "token", 400), 12.0,
        lambda: bounds.target_risk(FIRST, RNN, ONE, n=10),
    ),
    "sample_size": Row(
        examples_needed, lambda: examples_needed(np.random.default_rng(0), 2 / 3), 120.0,
        lambda: bounds.sample_size(FIRST, RNN, ONE, eps=0.1),
    ),
    "every_step_risk": Row(
        partial(on_axes, which="steps"), lambda: on_axes(np.random.default_rng(0), "steps", 400), 20.0,
        lambda: bounds.every_step_risk(SECOND, SUM, PAIR, n=10),
    ),
    "rkhs_norm": Row(
        circle, lambda: circle(np.random.default_rng(2)), 1.6, lambda: norms.rkhs_norm(FIRST, RNN, ONE)
    ),
    "every_step_norm": Row(
        known_steps, lambda: known_steps(np.random.default_rng(10)), 2.5,
        lambda: norms.every_step_norm(SECOND, SUM, PAIR),
    ),
    "du2019": Row(
        descended, lambda: descended(np.random.default_rng(0)), 1 + 1e-9,
        lambda: bounds.du2019(np.ones((2, 2)), SIGNS, eta=0.5, steps=3),
    ),
    "maml_upper": Row(
        partial(meta_trained, bound=bounds.maml_upper), partial(known_maml, bounds.maml_upper), 1.7,
        lambda: bounds.maml_upper(KNOWN.with_(alpha=10.0), 10),
    ),
    "maml_lower": Row(
        partial(meta_trained, bound=bounds.maml_lower), partial(known_maml, bounds.maml_lower), 1.01,
        lambda: bounds.maml_lower(KNOWN.with_(alpha=10.0), 10),
    ),
}  # fmt: skip

X, TARGET = np.eye(3)[None].repeat(4, 0), concepts.Additive([(1, [1.0, 0.0, 0.0], "sin")])
Y = np.sin(X[:, 1, 0])
WHOLE = concepts.WholeSequence("sin", np.eye(3)[:2] / math.sqrt(2), start=1)

ESTIMATES: dict[str, Callable[[], Bound]] = {
    "arora2019": lambda: bounds.arora2019(TWO, SIGNS),
    "cao_gu2019": lambda: bounds.cao_gu2019(TWO, SIGNS),
    "benign_overfitting": lambda: bounds.benign_overfitting(np.eye(9), n=2, noise=0.1, norm=1.0),
    "caponnetto_devito2007": lambda: bounds.caponnetto_devito2007(TWO, reg=1.0, kappa=1.0, norm=1.0, noise=0.1, M=1.0),
    "meta_kernel": lambda: bounds.meta_kernel(TWO, SIGNS[:, None], kind="recalled"),
    "maml_upper": lambda: bounds.maml_upper(KNOWN, 1000, form="paper"),
    "maml_lower": lambda: bounds.maml_lower(KNOWN, 1000, form="paper"),
    "effective_rank_capacity": lambda: bounds.effective_rank_capacity([3.0], 100),
    "edelman2022": lambda: bounds.edelman2022(HEAD, 100, 3, Bx=1.0),
    "trauger_tewari2024": lambda: bounds.trauger_tewari2024(HEAD, 100),
    "truong2024": lambda: bounds.truong2024(HEAD, 100),
    "tu_he_tao2020": lambda: bounds.tu_he_tao2020(np.eye(3), np.eye(3), np.eye(3), X, np.array([0, 1, 2, 0])),
    "sakai_imaizumi2026": lambda: bounds.sakai_imaizumi2026(HEAD, 100),
    "allen_zhu_li2019": lambda: bounds.allen_zhu_li2019(TARGET, X, Y),
    "wang_shen2021": lambda: bounds.wang_shen2021(TARGET, X, Y),
    "panigrahi_goyal2021": lambda: bounds.panigrahi_goyal2021(WHOLE, X, Y),
}
NO_BOUND = {"learning_speed", "maml_sides", "memory_profile", "table"}  # functions that return something else

_draws: dict[str, list[Draw]] = {}


def draws(name: str) -> list[Draw]:
    """The worlds of a row, the one that the bound is near to first."""
    if name not in _draws:
        row = ROWS[name]
        played = [row.draw(np.random.default_rng([seed, len(name)])) for seed in range(row.draws)]
        _draws[name] = [row.tight(), *played]
    return _draws[name]


def every(name: str) -> list[Bound]:
    """Bounds of a row or an estimate: near the truth, of random worlds, and one that says nothing."""
    if name in ROWS:
        return [bound for bound, _ in draws(name)] + [ROWS[name].empty()]
    return [ESTIMATES[name]()]


pytestmark = pytest.mark.usefixtures("x64")
of_rows = pytest.mark.parametrize("name", ROWS)
of_all = pytest.mark.parametrize("name", sorted(set(ROWS) | set(ESTIMATES)))


def test_every_public_bound_has_a_row():
    public = {name for name in [*bounds.__all__, *norms.__all__] if name.islower()}
    assert set(ROWS) | set(ESTIMATES) | NO_BOUND == public


@pytest.mark.slow(
    but=[
        "du2019",
        "maml_lower",
        "maml_upper",
        "margin",
        "meta_kernel",
        "rademacher",
        "rademacher_each_step",
        "rademacher_steps",
    ]
)
@of_rows
def test_a_certified_bound_is_on_its_side_of_a_truth_that_is_known(name: str):
    certified = [(bound, truth) for bound, truth in draws(name) if bound.certified]
    assert len(certified) > len(draws(name)) // 2  # others are singular, with reg = 0
    for bound, truth in certified:
        assert bound.value is not None
        slack = 1e-9 * abs(truth)  # of the truth's own float64
        assert truth >= bound.value - slack if bound.lower else truth <= bound.value + slack, f"{truth}\n{bound}"


@pytest.mark.slow(
    cases=[
        "attention_norm",
        "attention_schatten",
        "every_step_norm",
        "every_step_risk",
        "frozen_attention",
        "linearised_network",
        "network",
        "pac_bayes",
        "rkhs_norm",
        "target_risk",
    ]
)
@of_rows
def test_in_one_world_it_is_near_the_truth_and_not_by_saying_nothing(name: str):
    bound, truth = draws(name)[0]
    assert bound.certified and not bound.vacuous and bound.value is not None and truth > 0
    ratio = truth / bound.value if bound.lower else bound.value / truth
    assert 1 - 1e-9 <= ratio <= ROWS[name].factor


@pytest.mark.slow(
    cases=[
        "attention_schatten",
        "every_step_norm",
        "every_step_risk",
        "linearised_network",
        "network",
        "pac_bayes",
        "rkhs_norm",
    ]
)
@of_all
def test_its_terms_add_up_to_its_value(name: str):
    for bound in every(name):
        summed = total(bound.terms)
        if bound.computable:
            assert summed == pytest.approx(bound.value, rel=1e-12)
        else:
            assert bound.reason and (bound.value is None) == (summed is None)


@of_all
def test_it_goes_through_json_and_back(name: str):
    for bound in every(name):
        entry = bound.to_dict()
        assert json.loads(json.dumps(entry, allow_nan=False)) == entry
        assert entry["value"] == (bound.value if bound.computable else None)
        assert entry["certified"] == bound.certified and entry["vacuous"] == bound.vacuous
        assert set(bound.constants.to_dict()) <= set(entry["constants"]) and entry["constants"]
        assert [term["name"] for term in entry["terms"]] == [term.name for term in bound.terms]


@of_all
def test_cite_names_what_it_rests_on(name: str):
    for bound in every(name):
        assert bound.references and all(f"{{{key}," in cite(bound) for key in bound.references)


@of_all
def test_what_it_prints_is_on_the_safe_side_of_its_value_or_is_called_an_estimate(name: str):
    for bound in every(name):
        if bound.certified:
            assert bound.value is not None and bound.claim in bound.verdict
            shown, value = Fraction(bound.shown), Fraction(bound.value)
            assert shown <= value if bound.lower else shown >= value
            assert abs(shown - value) <= abs(value) / 1000
        else:
            assert bound.objections and "not certified" in bound.verdict
            assert f"{bound.quantity} <=" not in bound.verdict and f"{bound.quantity} >=" not in bound.verdict


@of_rows
def test_where_it_says_nothing_it_says_so(name: str):
    bound = ROWS[name].empty()
    assert bound.vacuous
    assert bound.verdict.endswith("(vacuous)") if bound.computable else "no value" in bound.verdict and bound.reason


@pytest.mark.parametrize("name", ESTIMATES)
def test_what_is_recalled_or_assumed_is_never_certified(name: str):
    bound = ESTIMATES[name]()
    assert not bound.certified and bound.provenance in ("recalled", "template")
