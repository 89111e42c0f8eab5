"""Does `cite` find the papers an object rests on, and is the BibTeX well formed?"""

from __future__ import annotations

import dataclasses
import re

import pytest

from ntkseq import references


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
    for key in references.KEYS:
        found = re.search(r"eprint = \{(.*)\}", references.bibtex(key))
        if found:
            assert re.fullmatch(r"[0-9]{4}\.[0-9]{5}", found[1])
            assert 0 <= int(re.search(r"[0-9]{4}", key)[0]) - (2000 + int(found[1][:2])) <= 1


def test_cite_collects_the_keys_of_the_parts_each_once_in_order():
    whole = Whole(parts=(Part(), Part(2.0)), named={"a": Part()})
    assert references.keys_of(whole) == ("yang2020tp2", "cho2009kernel", "williams1997")
    assert references.cite(whole).count("@") == 3
    assert references.cite([Part(), Whole()]).count("@") == 3


def test_cite_of_keys_and_of_an_object_without_references():
    assert references.cite("roy2007effective") == references.bibtex("roy2007effective")
    assert references.cite(object(), 3) == ""


def test_an_object_that_contains_itself_is_visited_once():
    loop: list = [Part()]
    loop.append(loop)
    assert references.keys_of(loop) == ("cho2009kernel", "williams1997")


def test_an_unknown_key_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match="allenzhu2019rnn"):
        references.cite("nobody1900")
