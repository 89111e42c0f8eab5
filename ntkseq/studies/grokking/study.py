"""Which features do the kernels of networks that grok modular addition hold, in which layer, and when?

Time: --quick some 90 seconds of a processor, half of it compiling; in full some twelve minutes, an estimate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import jax

from ntkseq import _checks
from ntkseq.reports import Sheet
from ntkseq.studies.base import NamedStudy
from ntkseq.studies.grokking import networks
from ntkseq.studies.grokking.runs import Outcome, optimizer, records, trained
from ntkseq.studies.grokking.sentences import findings
from ntkseq.studies.grokking.sheet import sheet
from ntkseq.studies.provenance import Clock, Fingerprint


@dataclasses.dataclass(frozen=True)
class Grokking(NamedStudy):
    """Which Fourier features kernels hold, by layer and when, in networks that grok addition modulo p.

    A network of one hidden layer and a transformer of one block learn a + b modulo p from a part of all pairs, by AdamW
    on all of them at once. The leading eigenspace of the kernel of every layer, on all pairs, is compared with Fourier
    features of a, b, a + b and a - b through training. Writes report.html, report.json, arrays.npz.
    """

    name = "grokking"
    summary = "Which Fourier features kernels hold, by layer and when, in networks that grok addition modulo p."
    question = (
        "A network learns to add modulo p from a part of all pairs. It knows those pairs soon, and all others long "
        "after: it groks. Which features do the leading eigenvectors of its tangent kernel span, in which layer; and "
        "do they turn to functions of a + b before it generalises, or after?"
    )
    # in the quick mode
    expect = (
        "The quick mode: the network of one hidden layer knows 80 % of the training pairs by step 48 and of the test "
        "pairs by step 325. The eigenspace of its read-out layer, which has 0.04 of the functions of a + b at the "
        "start, is above its floor 156 [30, 284] steps before that, and has 0.996 of them in the end, at every "
        "frequency; that of the input layer has waves of a and b alone throughout. Three of four transformers "
        "generalise, by step 360 to 710; their read-out layers are above the floor from step 53 on, also that of the "
        "fourth, and hold one or two frequencies in the end."
    )
    quick_values: ClassVar[Mapping[str, Any]] = {
        "p": 17, "fraction": 0.75, "steps": 1000, "seeds": 4, "records": 14,
    }  # fmt: skip

    quick: bool = False
    """Modulo 17, four seeds, 1000 steps, 14 records: some 90 seconds of a processor."""
    networks: tuple[Literal["mlp", "transformer"], ...] = ("mlp", "transformer")
    """Which networks."""
    p: int = 23
    """The modulus, an odd number from 5 to 63."""
    fraction: float = 0.6
    """Of all pairs, for training."""
    activation: Literal["square", "relu"] = "square"
    """Of the network of one hidden layer."""
    width: int = 128
    """Of the network of one hidden layer."""
    width_transformer: int = 48
    """Of the transformer, a multiple of 4."""
    steps: int = 3000
    """Steps of AdamW on all training pairs."""
    lr: float = 1.0
    """Factor of the learning rates, 0.01 and, of the transformer, 0.005."""
    decay: float = 1.0
    """Factor of the weight decays, 0.5 (square), 2 (relu) and 2 (transformer)."""
    seeds: int = 8
    """Runs of each network, each with a start and training pairs of its own."""
    records: int = 24
    """Steps at which kernels are looked at."""
    accuracy: float = 0.8
    """Share of right answers from which on a set of pairs counts as known."""
    seed: int = 0
    """Seed of the first run, counted up."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.p % 2 == 0 or not 5 <= self.p <= 63:
            raise ValueError(f"p must be an odd number from 5 to 63; got {self.p}.")
        if self.width_transformer % networks.HEADS:
            raise ValueError(
                f"width_transformer must be a multiple of {networks.HEADS}, the heads; got {self.width_transformer}."
            )
        for name in ("fraction", "accuracy"):
            _checks.probability(name, getattr(self, name))
        for name in ("lr", "decay"):
            _checks.nonnegative(name, getattr(self, name), positive=True)
        if self.records < 3:
            raise ValueError(f"records must be 3 or more; got {self.records}.")

    def measure(self, clock: Clock, mark: Fingerprint) -> Sheet:
        """Train every network from every seed."""
        runs: dict[str, list[Outcome]] = {}
        total = 0
        for name in self.networks:
            net = (
                networks.mlp(self.p, self.width, self.activation)
                if name == "mlp"
                else networks.transformer(self.p, self.width_transformer)
            )
            opt, kept = optimizer(net, self.lr, self.decay), []
            for seed in range(self.seed, self.seed + self.seeds):
                data = networks.sums(self.p, self.fraction, seed)
                mark.add(data.x, data.train)
                with clock(f"{name}-{seed}", f"{name}, seed {seed}"):
                    one = trained(
                        net, data, self.p, opt, steps=self.steps, look=records(self.steps, self.records), seed=seed
                    )
                total += 1
                if one.diverged_at is None:
                    kept.append(one)
            if kept:
                runs[name] = kept
            jax.clear_caches()  # programs of one network are of no use to the next
        if not runs:
            raise ValueError("every run diverged; lower --lr.")
        left_out = total - sum(map(len, runs.values()))
        notes = [f"{left_out} of {total} runs diverged and are left out."] if left_out else []
        return dataclasses.replace(
            sheet(runs, self.p, self.accuracy, notes),
            findings=findings(self, runs, self.accuracy, left_out, total),
        )
