"""Does `cite` find the papers an object rests on, and is the BibTeX well formed?"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pathlib
import pkgutil
import re

import numpy as np
import pytest

import ntkseq
from ntkseq import bounds, empirical, kernels, predictors, references

DERIVATIONS = pathlib.Path(ntkseq.__file__).parents[1] / "docs" / "theory"


@dataclasses.dataclass(frozen=True)
class Part:
    references = ("cho2009kernel", "williams1997")
    weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class Whole:
    references = ("yang2020tp2", "cho2009kernel")
    parts: tuple = ()
    named: object = None


def test_every_entry_is_balanced_bibtex_that_opens_with_its_key():
    for key in references.KEYS:
        entry = references.bibtex(key)
        assert re.match(rf"@(article|inproceedings|misc|book)\{{{key},\n", entry)
        assert entry.count("{") == entry.count("}")
        assert {"author", "title", "year"} <= set(re.findall(r"^  (\w+) = ", entry, re.MULTILINE))


def test_the_year_of_a_key_is_the_year_of_its_entry():
    for key in references.KEYS:
        assert f"year = {{{re.search(r'[0-9]{4}', key)[0]}}}" in references.bibtex(key)


def test_arxiv_numbers_are_well_formed_and_no_earlier_than_a_year_before_the_paper():
    numbers = {key: re.search(r"eprint = \{(.*)\}", references.bibtex(key)) for key in references.KEYS}
    assert sum(found is not None for found in numbers.values()) > len(numbers) / 2
    for key, found in numbers.items():
        if found:
            assert re.fullmatch(r"[0-9]{4}\.[0-9]{4,5}", found[1])  # four digits until 2014
            assert 0 <= int(re.search(r"[0-9]{4}", key)[0]) - (2000 + int(found[1][:2])) <= 1


def test_cite_collects_the_keys_of_the_parts_each_once_in_order():
    whole = Whole(parts=(Part(), Part(2.0)), named={"a": Part()})
    assert references.keys_of(whole) == ("yang2020tp2", "cho2009kernel", "williams1997")
    assert references.cite(whole).count("@") == 3
    assert references.cite([Part(), Whole()]).count("@") == 3


def test_cite_of_keys_and_of_an_object_without_references():
    assert references.cite("roy2007effective") == references.bibtex("roy2007effective")
    assert references.cite(object(), 3) == ""


@pytest.mark.parametrize("key", ["arora2019", "zzz", None, 10**400])
def test_an_unknown_key_is_answered_in_one_short_line(key):
    with pytest.raises(
        ValueError, match=r"unknown reference key .* All \d+, .* are in ntkseq.references.KEYS"
    ) as caught:
        references.bibtex(key)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)
    assert key != "arora2019" or "arora2019finegrained" in str(caught.value)


def test_an_object_that_contains_itself_is_visited_once():
    loop: list = [Part()]
    loop.append(loop)
    assert references.keys_of(loop) == ("cho2009kernel", "williams1997")


def documented() -> dict[str, object]:
    """Every public or private function and class of the library with a "Reference:" in its docstring."""
    found = {}
    for info in pkgutil.walk_packages(ntkseq.__path__, "ntkseq."):
        module = importlib.import_module(info.name)
        for thing in vars(module).values():
            own = inspect.isclass(thing) or inspect.isroutine(thing)
            own = own and getattr(thing, "__module__", "") == info.name
            if own and re.search(r"^\s*Reference:", thing.__doc__ or "", re.MULTILINE):
                found[f"{info.name}.{thing.__name__}"] = thing
    return found


KEY = r"\b[a-z]+(?:19|20)\d\d[a-z0-9]*\b"


def test_every_key_behind_a_reference_is_in_the_bibliography_and_cite_names_it():
    things = documented()
    assert len(things) > 50
    for name, thing in things.items():
        named = set(bounds.__all__) - set(references.KEYS)  # du2019 is a bound
        for key in set(re.findall(KEY, thing.__doc__)) - named:
            assert f"{{{key}," in references.cite(thing), f"{name}: {key}"


def test_cite_names_the_papers_of_every_kernel():
    kinds = [kind for name in kernels.__all__ if inspect.isclass(kind := getattr(kernels, name))]
    silent = {
        kind.__name__
        for kind in kinds
        if issubclass(kind, kernels.Kernel) and not inspect.isabstract(kind) and not references.cite(kind)
    }
    assert silent == {"Sum", "Scaled"} & {kind.__name__ for kind in kinds}  # which cite their parts
    made = (kernels.LinearRecurrent(), kernels.LeakyRecurrent(), kernels.Bidirectional(), kernels.Gated())
    for kernel in made:
        assert "yang2020tp2" in references.cite(kernel)
        assert references.cite(2 * kernel + kernel) == references.cite(kernel)
    net = empirical.NTK(lambda p, x: p @ x, np.ones((1, 2), np.float32))
    assert "jacot2018" in references.cite(net) and "novak2022" in references.cite([net])
    assert "anderson1999" in references.cite(ntkseq.spectrum) and references.cite(predictors.gaussian_process)


def test_objects_of_other_libraries_are_not_read_for_keys():
    class Other:
        """By jacot2018."""

    assert references.cite(Other()) == ""


def test_an_unknown_key_is_an_error_that_says_which_ones_there_are():
    with pytest.raises(ValueError, match="allenzhu2019rnn"):
        references.cite("nobody1900")


ROOMS = (
    "blocks", "bounds", "cells", "concepts", "empirical", "kernels", "models", "norms", "predictors", "risks",
    "spectra", "spectra.ranks", "training", "training.maml",
)  # fmt: skip
"""Where formulas are: kernels, networks, spectra, ranks, bounds, predictors, risks and probes."""

STEMS = "|".join(sorted(path.stem.replace("-", "_") for path in DERIVATIONS.glob("*.md")))


def public() -> dict[str, object]:
    """What people cite."""
    rooms = {room: importlib.import_module(f"ntkseq.{room}") for room in ROOMS}
    return {f"{room}.{name}": getattr(module, name) for room, module in rooms.items() for name in module.__all__}


def sourced(thing: object) -> bool:
    """Whether it cites a paper, or an equation that was derived here."""
    text = "" if inspect.ismodule(thing) else inspect.getdoc(thing) or ""
    return bool(references.cite(thing) or re.search(rf"\b({STEMS})\.[0-9]", text))


# a frame, a container, a count, a piece of a record, or a formula that is its own definition
NO_PAPER = {
    "blocks.Block", "blocks.Linear", "blocks.Nonlinearity", "blocks.Positions", "blocks.Residual",
    "bounds.Assumption", "bounds.Bound", "bounds.BoundTable", "bounds.LinearisedBound", "bounds.Optimal",
    "bounds.Search", "bounds.Term",
    "cells.Cell",
    "concepts.Sample", "concepts.Series", "concepts.Target", "concepts.series",
    "empirical.AttentionWeights", "empirical.Average", "empirical.Method", "empirical.Plan",
    "empirical.attention_weights", "empirical.average", "empirical.calibrate",
    "kernels.Kernel", "kernels.Scaled", "kernels.Sum", "kernels.get", "kernels.names",
    "models.Model", "models.squared_error",
    "predictors.Estimates", "predictors.data_subsets", "predictors.one_hot",
    "spectra.AlignmentCurve", "spectra.AttentionRanks", "spectra.Auto", "spectra.ClassStructure", "spectra.Decay",
    "spectra.Interval", "spectra.LayerRanks", "spectra.SampledRank", "spectra.Spectrum", "spectra.aggregate",
    "spectra.centred", "spectra.classwise", "spectra.effective_ranks", "spectra.ranks", "spectra.ranks.EffectiveRank",
    "spectra.ranks.Energy", "spectra.ranks.Numerical", "spectra.sampled",
    "training.Batches", "training.Deviation", "training.History", "training.LossProbe", "training.Probe",
    "training.ProbeTable", "training.Tape", "training.Trained", "training.Tuned", "training.deviation",
    "training.maml", "training.maml.FewShotAccuracy", "training.maml.Learner", "training.maml.few_shot_accuracy",
    "training.maml.scored", "training.sgd", "training.track",
}  # fmt: skip


def test_every_formula_cites_its_paper_or_the_equation_that_was_derived_here():
    assert {name for name, thing in public().items() if not sourced(thing)} == NO_PAPER
