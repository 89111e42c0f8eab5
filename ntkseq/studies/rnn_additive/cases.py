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
from ntkseq.bounds import target_risk
from ntkseq.grams import DenseGram, gram
from ntkseq.norms import MemoryProfile, Tokens, memory_profile
from ntkseq.spectra import Interval
from ntkseq.studies.exponents import exponent
from ntkseq.studies.provenance import Fingerprint
from ntkseq.studies.recurrent.cases import NormCase, Trained
from ntkseq.studies.recurrent.kernel_regression import BoundedFit, errors, kernel_fits, leading
from ntkseq.studies.recurrent.sgd import papers_sgd, step_size
from ntkseq.studies.recurrent.targets import KERNEL, function, label_error, unit_directions
from ntkseq.studies.rnn_additive.options import AdditiveOptions


def target(name: str, place: str, directions: Float[np.ndarray, "t d"], eps_x: float) -> concepts.Additive:
    """sum_l phi(<beta_l, x[l]>/eps_x)/sqrt(k) over k positions: the last but one, the second, or all between the ends.

    The first token is the same in all sequences, and the theorem of allenzhu2019rnn leaves out the last one.
    """
    t = len(directions)
    positions = {"late": [t - 2], "early": [1], "all": list(range(1, t - 1))}[place]
    phi = len(positions) ** -0.5 * function(name)
    return concepts.Additive([(p, directions[p], phi) for p in positions]).scaled(1 / eps_x)


@dataclasses.dataclass(frozen=True, eq=False)
class AdditiveCase(NormCase[BoundedFit]):
    """One target at one length and one norm of the later tokens; its sample is x, y and kernel matrix.

    Attributes:
        t, eps_x, name, place: which.
        trained: networks, for the first draw.
    """

    t: int
    eps_x: float
    name: str
    place: str
    target: concepts.Additive
    trained: list[Trained]

    @property
    def broken(self) -> int:
        """Certified risk bounds, of both kinds, that lie below the measured error."""
        values = [(fit.bound.certified, fit.bound.value, fit.errors.mean) for fit in self.every]
        return self.risk_broken + sum(bool(sure and value is not None and value < e) for sure, value, e in values)

    @property
    def slope(self) -> Interval:
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
) -> Iterator[AdditiveCase]:
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
        sample = (x, y, drawn[0][2])
        yield AdditiveCase(risk, kappa, label_error(y), fits, sample, t, eps_x, name, place, f, trained)


def _networks(
    study: AdditiveOptions, drawn: tuple[Any, Any, DenseGram, DenseGram], labels: tuple[Any, Any], t: int
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
                flow = predictors.gradient_flow(part, y[:n], time=2 * lr * (n // fit.batch) * study.epochs / n)
                kernel = errors(flow(np.asarray(cross, np.float64)[:, :n]), y_test)
                found.append(Trained(fit, kernel))
    return found


def profiles(t: int, eps_x: float, features: int) -> MemoryProfile:
    """What each token counts for: the first token common, of norm 1, the others of norm eps_x."""
    one = jnp.zeros((2, t, features)).at[:, 0, -1].set(1.0)
    one = one.at[0, 1:, 0].set(eps_x).at[1, 1:, 0].set(-eps_x)
    return memory_profile(KERNEL, np.asarray(one))
