"""What is measured of one additive target at one length: norms, bounds, and the errors of those who learn it?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntkseq import concepts, predictors
from ntkseq.bounds import Bound, Tokens, target_risk
from ntkseq.bounds.memory import MemoryProfile, memory_profile
from ntkseq.grams import Dense, gram
from ntkseq.studies.provenance import Fingerprint
from ntkseq.studies.rnn_additive_options import AdditiveOptions
from ntkseq.studies.rnn_learning import Errors, KernelFit, errors, exponent, kernel_fits, leading
from ntkseq.studies.rnn_sgd import NetworkFit, papers_sgd, step_size
from ntkseq.studies.rnn_targets import KERNEL, function, label_error, unit_directions


def target(name: str, place: str, directions: Float[np.ndarray, "t d"], eps_x: float) -> concepts.Additive:
    """sum_l phi(<beta_l, x[l]>/eps_x)/sqrt(k) over k positions: the last but one, the second, or all between the ends.

    The first token is the same in all sequences, and the theorem of allenzhu2019rnn leaves out the last one.
    """
    t = len(directions)
    positions = {"late": [t - 2], "early": [1], "all": list(range(1, t - 1))}[place]
    phi = len(positions) ** -0.5 * function(name)
    return concepts.Additive([(p, directions[p], phi) for p in positions]).scaled(1 / eps_x)


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """A network beside the kernel machine that was trained by gradient flow for the time lr steps.

    lr is the step in the limit; a network whose own kernel is larger takes shorter ones, see `papers_sgd`.
    """

    network: NetworkFit
    kernel: Errors


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One target at one length and one norm of the later tokens.

    Attributes:
        t, eps_x, name, place: which.
        risk: `bounds.target_risk` at the largest n; its constants hold the norm.
        kappa: root of K(x, x).
        label_error: how far rounding may have moved a label.
        fits: kernel regression, one list over n per draw.
        trained: networks, for the first draw.
        sample: x, y, kernel matrix of the first draw, for the theorems.
    """

    t: int
    eps_x: float
    name: str
    place: str
    target: concepts.Additive
    risk: Bound
    kappa: float
    label_error: float
    fits: list[list[KernelFit]]
    trained: list[Trained]
    sample: tuple[Any, np.ndarray, Dense]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers n of examples."""
        return tuple(fit.n for fit in self.fits[0])

    @property
    def norm(self) -> float:
        """The bound of |f|_K^2, in units of 1/K(x, x); inf where none is proven."""
        return self.risk.constants["norm"] ** 2 * self.kappa**2

    def risk_at(self, n: int) -> float:
        """The risk bound at n examples: all of it goes with 1/sqrt(n) (recurrent_bounds.10)."""
        value = self.risk.value
        return math.inf if value is None else value * math.sqrt(self.risk.constants["n"] / n)

    @property
    def mean_errors(self) -> Float[np.ndarray, "draws s"]:
        """Test errors of kernel regression."""
        return np.array([[fit.errors.mean for fit in fits] for fits in self.fits])

    @property
    def violations(self) -> int:
        """Draws and sizes where y'K^-1 y is above the bound of the norm."""
        most = self.risk.constants["norm"] ** 2
        return sum(fit.violates(most, label_error=self.label_error) for fits in self.fits for fit in fits)

    @property
    def broken(self) -> int:
        """Certified risk bounds, of both kinds, that lie below the measured error."""
        count = 0
        for fit in (fit for fits in self.fits for fit in fits):
            own = fit.bound.value
            count += fit.bound.certified and own is not None and own < fit.errors.mean
            count += self.risk.certified and self.risk_at(fit.n) < fit.errors.mean
        return int(count)

    @property
    def slope(self) -> Any:
        """The exponent of the test error over the larger half of the sizes; see `exponent`."""
        half = min(len(self.sizes) // 2, max(len(self.sizes) - 2, 0))
        return exponent(self.sizes[half:], np.maximum(self.mean_errors[:, half:], np.finfo(np.float64).tiny))


def cases(
    study: AdditiveOptions,
    t: int,
    eps_x: float,
    *,
    networks: bool,
    mark: Fingerprint,
    clock: Callable[[str, str], AbstractContextManager[None]],
) -> Iterator[Case]:
    """Measure every target of a study at one length.

    Args:
        study: what.
        t: number of steps.
        eps_x: norm of all tokens but the first. All norms see the same tokens, shortened.
        networks: whether to train some.
        mark: takes in the data.
        clock: times a stage by key and name.
    """
    directions = unit_directions(study.seed, t, study.features)
    targets = {(f, p): target(f, p, directions, eps_x) for p in study.places for f in study.functions}
    n, drawn = max(*study.examples, *(study.sgd_examples if networks else ())), []
    with clock(f"kernel-{t}-{eps_x:.3g}", f"kernel, t = {t}, token norm {eps_x:.3g}"):
        for draw in range(study.draws):
            key = jax.random.fold_in(jax.random.fold_in(jax.random.key(study.seed), t), draw)
            x = concepts.sample(
                next(iter(targets.values())), n + study.n_test, t, study.features, key=key, eps_x=eps_x
            ).x
            mark.add(x)
            drawn.append((x[:n], x[n:], gram(KERNEL, x[:n]), gram(KERNEL, x[n:], x[:n])))
        # all inputs have the same token norms, so kappa is known before any label
        law = Tokens.measured(drawn[0][0], rounded=True)  # `concepts.sample` divides tokens by their norms
        kappa = math.sqrt(memory_profile(KERNEL, law).kernel_diagonal)
    for (name, place), f in targets.items():
        with clock(f"{name}-{place}-{t}-{eps_x:.3g}", f"{name}, {place}, t = {t}, token norm {eps_x:.3g}"):
            options: Any = {"delta": study.delta, "B0": study.grid / kappa}
            risk = target_risk(f, KERNEL, law, n=max(study.examples), **options)
            labels = [(np.asarray(jax.vmap(f)(x)), np.asarray(jax.vmap(f)(q))) for x, q, _, _ in drawn]
            fits = [
                kernel_fits(K, cross, y, y_test, sorted(study.examples), kappa=kappa, **options)
                for (_, _, K, cross), (y, y_test) in zip(drawn, labels, strict=True)
            ]
            trained = _networks(study, drawn[0], labels[0], t) if networks and place == study.places[0] else []
        x, y = drawn[0][0], labels[0][0]
        yield Case(t, eps_x, name, place, f, risk, kappa, label_error(y), fits, trained, (x, y, drawn[0][2]))


def _networks(
    study: AdditiveOptions, drawn: tuple[Any, Any, Dense, Dense], labels: tuple[Any, Any], t: int
) -> list[Trained]:
    """Networks of all widths and seeds on the first examples, and the kernel machine trained as long."""
    (x, x_test, K, cross), (y, y_test) = drawn, labels
    found = []
    for n in sorted(study.sgd_examples):
        part = leading(K, n)
        lr = step_size(part, batch=study.batch, rate=study.rate)
        for width in sorted(study.widths):
            for seed in range(study.seeds):
                fit = papers_sgd(
                    x[:n], y[:n], x_test, y_test, width=width, lr=lr, epochs=study.epochs, batch=study.batch,
                    seed=study.seed + seed, diagonal=float(K.diag()[0]),
                )  # fmt: skip
                # the network's kernel is twice the preset, see papers_network; a flow, which no step makes diverge
                flow = predictors.flow(part, y[:n], time=2 * lr * (n // fit.batch) * study.epochs / n)
                kernel = errors(flow(np.asarray(cross, np.float64)[:, :n]), y_test)
                found.append(Trained(fit, kernel))
    return found


def profiles(t: int, eps_x: float, features: int) -> MemoryProfile:
    """What each token counts for: the first token common, of norm 1, the others of norm eps_x."""
    one = jnp.zeros((2, t, features)).at[:, 0, -1].set(1.0)
    one = one.at[0, 1:, 0].set(eps_x).at[1, 1:, 0].set(-eps_x)
    return memory_profile(KERNEL, np.asarray(one))
