"""Is fine-tuning of a small transformer, in full, by LoRA or of its head alone, in the kernel regime?

Time: --quick about a minute on two cores, most of it compiling.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import jax
import numpy as np

from ntkseq import _checks
from ntkseq.reports import Sheet
from ntkseq.studies.base import NamedStudy
from ntkseq.studies.finetune.measures import optimisers, tuned
from ntkseq.studies.finetune.networks import pretrained, texts, transformer, tuning
from ntkseq.studies.finetune.sheet import sheet
from ntkseq.studies.provenance import Clock, Fingerprint


@dataclasses.dataclass(frozen=True)
class Finetune(NamedStudy):
    """Fine-tuning a small transformer in full, by LoRA and of its head alone: kernel regime or not.

    A transformer learns the next character of the descriptions of data sets that come with scikit-learn, and is then
    fine-tuned by Adam to tell vowels from the rest; so is its linearisation, by the same batches. Both tests of the
    kernel regime are made on windows of text that neither saw, and the kernels of SGD, Adam and SignGD are compared.
    Writes report.html, report.json, arrays.npz.
    """

    name = "finetune"
    summary = "Fine-tuning a small transformer in full, by LoRA and of its head alone: kernel regime or not."
    question = (
        "A small transformer has learned to predict the next character of real text, and is fine-tuned to say whether "
        "it is a vowel: in full, by low-rank adapters, or its head alone. Does it do what its tangent kernel at the "
        "pre-trained parameters says? And is the kernel of SGD that of the step which Adam makes?"
    )
    # in the quick mode
    expect = (
        "The quick mode: full fine-tuning is in the kernel regime. Its linearisation recovers 0.93 of what it changes, "
        "and the kernel moves by 0.16 of its size, though the part of the backbone moves by 0.8 of its own. LoRA "
        "recovers 0.91, undecided, and moves its kernel by 0.21; the head alone is a kernel. The kernel of Adam's step "
        "has a cosine of 0.90 with that of SGD, that of SignGD 0.98, with an asymmetry of 0.34."
    )
    quick_values: ClassVar[Mapping[str, Any]] = {
        "width": 16, "depth": 1, "pretraining": 150, "steps": 60, "n_pre": 2000, "n_train": 64, "n_test": 300,
        "n_kernel": 64, "window": 12,
    }  # fmt: skip

    quick: bool = False
    """A transformer of width 16 with one block of attention, 60 steps, 64 windows: about a minute on two cores."""
    methods: tuple[Literal["full", "lora", "head"], ...] = ("full", "lora", "head")
    """What is trained: everything, adapters and head, or the head alone."""
    window: int = 16
    """Characters of a window."""
    width: int = 48
    """Of the transformer."""
    heads: int = 4
    """Of each block of attention."""
    depth: int = 2
    """Blocks of attention, each with two layers behind it."""
    rank: int = 4
    """Of the adapters of LoRA."""
    pretraining: int = 2000
    """Steps of pre-training."""
    steps: int = 200
    """Steps of fine-tuning."""
    batch: int = 32
    """Windows of a step."""
    lr: float = 0.003
    """Learning rate of Adam when fine-tuning; ten times as much when pre-training."""
    n_pre: int = 20000
    """Windows for pre-training."""
    n_train: int = 256
    """Windows for fine-tuning."""
    n_test: int = 1000
    """Windows of the last fifth of the texts, for the tests."""
    n_kernel: int = 256
    """The first test windows, on which the kernels are compared."""
    level: float = 0.95
    """Level at which the intervals of both tests hold at once."""
    seed: int = 0
    """Seed of windows, networks and batches."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _checks.nonnegative("lr", self.lr, positive=True)
        _checks.probability("level", self.level)

    def measure(self, clock: Clock, mark: Fingerprint) -> Sheet:
        """Pre-train, fine-tune in every way, and test."""
        with clock("load", "data"):
            data = texts(self.window, self.n_pre, self.n_train, self.n_test, self.seed)
            mark.add(data.x, data.y, *data.train, *data.test)
        net, keys = transformer(self.width, self.heads, self.depth), jax.random.split(jax.random.key(self.seed), 3)
        with clock("pretraining", "pre-training"):
            first = pretrained(net, data, lr=10 * self.lr, batch=self.batch, steps=self.pretraining, key=keys[0])
        if first.diverged_at is not None:
            raise ValueError(f"lr must be smaller: pre-training diverged at step {first.diverged_at} with {self.lr:g}.")
        tenth = max(1, self.pretraining // 10)
        learned = float(np.mean(first.losses[:tenth])), float(np.mean(first.losses[-tenth:]))
        found, steps = [], []
        for method in self.methods:
            with clock(method, method):
                way = tuning(method, net, first.params, self.rank, keys[1])
                if method == "full":
                    steps = optimisers(way, data, batch=self.batch, lr=self.lr, seed=self.seed)
                found.append(tuned(
                    method, way, data, lr=self.lr, batch=min(self.batch, self.n_train), steps=self.steps,
                    level=self.level, examples=self.n_kernel, key=keys[2],
                ))  # fmt: skip
            jax.clear_caches()  # programs of one way are of no use to the next
        return sheet(found, steps, data, learned)
