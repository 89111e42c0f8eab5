"""The studies that the command line knows by name; a class is loaded when its study is asked for."""

from __future__ import annotations

import importlib

from ntkseq.studies.base import NamedStudy

STUDIES: dict[str, str] = {
    "training": "ntkseq.studies.training:Training",
    "finetune": "ntkseq.studies.finetune:Finetune",
    "grokking": "ntkseq.studies.grokking:Grokking",
    "attention-rank": "ntkseq.studies.attention_rank:AttentionRank",
    "attention-collapse": "ntkseq.studies.attention_collapse:AttentionCollapse",
    "rnn-additive": "ntkseq.studies.rnn_additive:RnnAdditive",
    "rnn-nvariable": "ntkseq.studies.rnn_nvariable:RnnNVariable",
    "maml-fewshot": "ntkseq.studies.maml_fewshot:MamlFewShot",
    "maml-regression": "ntkseq.studies.maml_regression:MamlRegression",
    "memory": "ntkseq.studies.memory:Memory",
    "rnn-positions": "ntkseq.studies.rnn_positions:RnnPositions",
}
"""Name on the command line -> "module:Class"."""


def find(name: str) -> type[NamedStudy]:
    """The class of a named study.

    Raises:
        ValueError: no such name.
    """
    if name not in STUDIES:
        raise ValueError(f"no study {name!r}; the named ones are {', '.join(STUDIES) or 'none'}.")
    module, _, cls = STUDIES[name].partition(":")
    return getattr(importlib.import_module(module), cls)


def listing() -> list[str]:
    """A line per named study: its name and what it asks."""
    return [f"{name}: {find(name).summary}" for name in STUDIES]
