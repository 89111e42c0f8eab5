"""What came of fine-tuning, as a sheet."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

from ntkseq.reports import Figure, Section, Sheet, Table
from ntkseq.studies.finetune import plots
from ntkseq.studies.finetune.measures import Optimiser, Outcome
from ntkseq.studies.finetune.networks import VOWELS, Texts

NAMES = {"full": "full fine-tuning", "lora": "LoRA", "head": "head only"}


def sheet(found: Sequence[Outcome], steps: Sequence[Optimiser], data: Texts, learned: tuple[float, float]) -> Sheet:
    """The sheet.

    Args:
        found: the fine-tuned networks.
        steps: the optimisers at the start; none where the network was not fine-tuned in full.
        data: the windows.
        learned: loss of pre-training over its first and its last tenth.
    """
    boxes = tuple((one.regime.verdict, f"{NAMES[one.method]}: regime") for one in found)
    sections = [_regime(found)] + ([_optimisers(steps)] if steps else [])
    return Sheet(
        title="fine-tuning and the kernel",
        question="",
        facts=boxes,
        notes=(
            f"Pre-training took the loss of the next character from {learned[0]:.3g} to {learned[1]:.3g}. The task: is "
            f"the next character one of {VOWELS}? The head reads the logits of all characters, at random at first.",
            "Test windows are drawn independently from the last fifth of the texts: intervals speak of such windows.",
        ),
        sections=tuple(sections),
        numbers={
            "methods": {one.method: _numbers(one) for one in found},
            "optimisers": {one.name: _step(one) for one in steps},
            "pretraining_loss": list(learned),
        },
        arrays={f"{one.method}.outputs": one.outputs for one in found}
        | {f"{one.name}.gram": one.gram for one in steps}
        | {"y_test": data.test[1]},
    )


def _regime(found: Sequence[Outcome]) -> Section:
    rows = [
        (NAMES[one.method], one.parameters, one.regime.verdict, one.regime.recovered["logits"],
         one.regime.recovered["accuracy"], one.regime.changes[-1], *one.error, *one.loss)
        for one in found
    ]  # fmt: skip
    header = ("trained", "parameters", "verdict", "logits recovered", "accuracy recovered", "change of the kernel",
              "test error before", "after", "linearised", "training loss", "linearised ")  # fmt: skip
    tables = [Table(header, tuple(rows), "Intervals of both tests hold at once; the verdict is made of them.")]
    parts = [(NAMES[one.method], name, part.start, part.end, part.change)
             for one in found for name, part in one.regime.split.items()]  # fmt: skip
    if parts:
        header = ("trained", "part", "share of the trace before", "after", "its change")
        tables.append(Table(header, tuple(parts), "What the head and the backbone have of the kernel."))
    share, change = found[0].regime.linearisation, found[0].regime.features
    figures = [
        Figure("recovered", partial(plots.intervals, [
            (NAMES[one.method], one.regime.linearisation.verdict, one.regime.linearisation.value) for one in found
        ], share.threshold, "share of the change that the linearisation recovers"),
               f"Linearisation holds right of the dashed line, {share.threshold:g}."),
        Figure("change", partial(plots.intervals, [
            (NAMES[one.method], one.regime.features.verdict, one.regime.features.value) for one in found
        ], change.threshold, "|K after - K before| / |K before|"),
               f"Features are fixed left of the dashed line, {change.threshold:g}."),
        *(Figure(f"outputs-{one.method}", partial(plots.outputs, one.outputs, NAMES[one.method]),
                 f"{NAMES[one.method]}: a point per test window; in the kernel regime they lie on the line.")
          for one in found),
    ]  # fmt: skip
    return Section(
        "Did fine-tuning follow the kernel?", tuple(_sentence(one) for one in found), tuple(figures), tuple(tables)
    )


def _sentence(one: Outcome) -> str:
    said = {"kernel": "is in the kernel regime", "not kernel": "is not in the kernel regime",
            "undecided": "is undecided"}[one.regime.verdict]  # fmt: skip
    name = NAMES[one.method]
    return f"{name[0].upper()}{name[1:]} {said}: {one.regime.linearisation}; {one.regime.features}."


def _optimisers(steps: Sequence[Optimiser]) -> Section:
    rows = [(one.name, one.like_sgd, one.like_labels, one.asymmetry, one.error, *one.step) for one in steps]
    header = ("optimiser", "cosine with SGD's", "cosine with the labels", "asymmetry", "ridge: test error",
              "rate of a step", "part of it not of first order")  # fmt: skip
    text = (
        "The kernels of one step of full fine-tuning at the pre-trained parameters, on training windows: J J', J P J' "
        "with the second moment of Adam, and J sign(J)', which is not symmetric and has no ridge regression. The last "
        "column is a step on a batch, as long as Adam's for SGD: what of its effect on test windows the kernel misses.",
    )
    return Section("The kernel of the step", text, (), (Table(header, tuple(rows), "Cosines between matrices."),))


def _step(one: Optimiser) -> dict[str, Any]:
    names = ("like_sgd", "like_labels", "asymmetry", "error")
    return {name: getattr(one, name) for name in names} | {"rate": one.step[0], "missed": one.step[1]}


def _numbers(one: Outcome) -> dict[str, Any]:
    regime = one.regime
    ends = lambda value: {"lower": value.lower, "estimate": value.estimate, "upper": value.upper}  # noqa: E731
    return {
        "parameters": one.parameters,
        "verdict": regime.verdict,
        "linearisation": regime.linearisation.verdict,
        "features": regime.features.verdict,
        "recovered": {name: ends(value) for name, value in regime.recovered.items()},
        "change": ends(regime.changes[-1]),
        "floor": regime.floor,
        "split": {
            name: {**dataclasses.asdict(part), "change": ends(part.change)} for name, part in regime.split.items()
        },
        "test_error": dict(zip(("before", "after", "linearised"), one.error, strict=True)),
        "training_loss": dict(zip(("network", "linearised"), one.loss, strict=True)),
    }
