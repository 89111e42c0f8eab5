"""Is the page one self-contained file, are foreign texts escaped, and is an estimate never shown as certified?"""

from __future__ import annotations

import builtins
import dataclasses
import html.parser
import math
import re

import pytest

from ntkseq.bounds import Bound, Term
from ntkseq.reports import Figure, Section, Sheet, plots
from ntkseq.reports.figure_data import widths
from ntkseq.reports.page import cell, number, page, paragraphs, parts, rows, verdict
from ntkseq.spectra import Interval
from tests.reports import examples


class Tags(html.parser.HTMLParser):
    """All tags with their attributes, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def sums(text: str) -> list[str]:
    """The last row of the table of each bound: what its terms come to."""
    return re.findall(r'<tr class="sum">(.*?)</tr>', text, re.DOTALL)


@pytest.fixture(scope="module")
def text() -> str:
    return page(examples.report())


@pytest.fixture(scope="module")
def sheet() -> str:
    return page(examples.sheet())


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "pictures"), [("text", 5), ("sheet", 3)])
def test_the_page_asks_for_nothing_outside(request, kind: str, pictures: int):
    text = request.getfixturevalue(kind)
    parsed = Tags(text)
    addresses = [
        v for _, attributes in parsed.tags for k, v in attributes.items() if k in ("src", "href", "srcset", "data")
    ]
    assert len(addresses) == pictures and all(address.startswith("data:image/") for address in addresses)
    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert "url(" not in text and "@import" not in text
    assert re.search(r"default-src 'none'", text)


@pytest.mark.slow
def test_every_plot_has_words_for_those_who_cannot_see_it(text: str, sheet: str):
    images = [attributes for tag, attributes in Tags(text).tags if tag == "img"]
    assert len(images) == 5 and all(attributes.get("alt") for attributes in images)
    told = [attributes.get("alt") for tag, attributes in Tags(sheet).tags if tag == "img"]
    assert told == ['a "curve"', "words for another", "a map"]


def test_a_bound_above_its_trivial_level_says_nothing_and_has_its_number_in_the_table(text: str):
    made = examples.report()
    card = text[text.index('<section class="bound certified">') :]
    card = card[: card.index("</section>")]
    value = re.search(r'<p class="value">(.*?)</p>', card, re.DOTALL)
    bound = made.bounds["rademacher"]
    assert bound.vacuous and value and value[1].strip() == "says nothing at n = 6"
    assert f"≤ {bound.shown}" in sums(card)[0] and "says nothing from 1 on" in sums(card)[0]


@pytest.mark.slow
def test_a_page_opens_with_its_question_and_what_was_learned_and_ends_that_with_a_command():
    made = dataclasses.replace(examples.report(), question="Is it?", advice="Next: more: ntkseq study a.npz --tune")
    told = page(made)
    assert told.index("Is it?") < told.index('<div class="findings">') < told.index('<div class="facts">')
    said = re.findall(r"<p>(.*?)</p>", told[told.index('<div class="findings">') : told.index('<div class="facts">')])
    assert 3 <= len(said) <= 5 and said[-1] == "Next: more: <code>ntkseq study a.npz --tune</code>"
    assert parts("Next: run(Study(..., tune=True))") == ("Next: ", "run(Study(..., tune=True))")
    assert parts("no command") == ("no command", "")


def test_the_letters_of_every_picture_are_eleven_pixels_on_the_narrowest_page(text: str, sheet: str):
    styles = [a.get("style") or "" for tag, a in [*Tags(text).tags, *Tags(sheet).tags] if tag == "img"]
    assert len(styles) == 8 and all(re.fullmatch(r"min-width:\d+px", style) for style in styles)
    ax = plots.axes(width=5.0)
    ax.set_title("small", fontsize=5.5)
    least, most = widths(ax)
    assert least == 5 * 72 * 2 and most > least  # 5.5 points on 360 become 11 pixels on 720


def test_two_ranks_are_shown_and_the_others_folded(text: str):
    folded = text[text.index("All 4 rows") :]
    folded = folded[: folded.index("</details>")]
    before = text[text.index("Effective ranks</h2>") : text.index("All 4 rows")]
    names = lambda part: [one for one in ("entropy", "stable", "participation", "r_1") if f"<td>{one}</td>" in part]  # noqa: E731
    assert names(before) == ["entropy", "stable"] and names(folded) == ["entropy", "stable", "participation", "r_1"]
    assert "<details><summary>Effective ranks in a picture</summary>" in text


def test_every_figure_has_its_numbers_behind_it(text: str, sheet: str):
    assert text.count('<details class="numbers">') == 4  # the ranks have their table
    assert sheet.count('<details class="numbers">') == 3
    for score in examples.report().prediction.scores:
        assert f">{number(float(score))}</td>" in text


@pytest.mark.slow
def test_names_from_the_data_are_escaped_everywhere():
    evil = examples.EVIL
    made = page(examples.report(classes=(evil, '"><img src=x onerror=alert(1)>', "$\\frac{$"), name=evil))
    parsed = Tags(made)
    assert "script" not in {tag for tag, _ in parsed.tags}
    assert not [attributes for _, attributes in parsed.tags if "onerror" in attributes]
    assert evil in parsed.text  # shown as text


@pytest.mark.slow
def test_a_name_in_a_script_that_the_font_lacks_is_no_noise():
    assert "日本" in page(examples.report(classes=("日本", "b")))


def test_certified_and_estimated_bounds_look_different(text: str):
    sections = [a["class"] for tag, a in Tags(text).tags if tag == "section"]
    assert sections == ["bound certified", "bound estimate", "bound certified"]
    arora = text[text.index("Arora et al.") :]
    arora = arora[: arora.index("</section>")]
    value = re.search(r'<p class="value">(.*?)</p>', arora, re.DOTALL)
    assert value and value[1].strip() == "says nothing at n = 6"
    (all_terms,) = sums(arora)
    assert "estimate" in all_terms and "≤" not in all_terms


@pytest.mark.slow
def test_the_first_number_of_a_page_is_what_is_proved():
    made = page(dataclasses.replace(examples.report(), best="rademacher", predicted=Interval(0.1, 0.2, 0.3)))
    facts = re.findall(r'<div class="fact"><b>(.*?)</b><span>(.*?)</span>', made)
    assert facts[0][0].startswith("≤ ") and "certified" in facts[0][1] and "on the test examples 0.4" in facts[0][1]
    assert facts[1] == ("0.2", "test error of the ridge fit as predicted, not certified; 0.2 in [0.1, 0.3]")
    without = re.findall(r'<div class="fact"><b>(.*?)</b>', page(examples.report()))
    assert "≤" not in "".join(without)


def test_a_sheet_writes_less_or_equal_before_certified_bounds_only(sheet: str):
    sections = [a["class"] for tag, a in Tags(sheet).tags if tag == "section"]
    assert sections == ["bound certified", "bound estimate", "bound certified"]
    values = re.findall(r'<p class="value">(.*?)</p>', sheet, re.DOTALL)
    assert ["≤" in value for value in values] == [False, False, True]  # the first is above its trivial level
    assert ["≤" in value for value in sums(sheet)] == [True, False, True]
    assert "Measured on the test examples, same predictor: 0.4" in sheet


def test_a_lower_bound_is_written_as_one_and_rounded_down():
    terms = (Term("all", "formula", 0.123456, explicit=True, provenance="derived"),)
    least = Bound("least", "the risk", 0.123456, terms, (), trivial=0.0, lower=True)
    made = page(Sheet("Two sides", "How large?", sections=(Section("Bounds", bounds={"least": least}),)))
    (value,) = re.findall(r'<p class="value">(.*?)</p>', made, re.DOTALL)
    assert "≥ <strong>0.1234</strong>" in value and "≤" not in value


def test_a_sheet_shows_everything_it_holds_and_escapes_it(sheet: str):
    parsed = Tags(sheet)
    assert "script" not in {tag for tag, _ in parsed.tags} and examples.EVIL in parsed.text
    for words in (
        "Made", "Does the kernel stand still?", "ntkseq study made", "A slope of -1/2.", "And nothing else.",
        "drift at width 64", "The least eigenvalue is not resolved.", "Drift", "by width", "0.1235",
        "0.0001 in [-0.001, 0.002]", "seed", "jax 1",
    ):  # fmt: skip
        assert words in parsed.text, words


def test_two_pages_have_one_style(text: str, sheet: str):
    style = re.compile(r"<style>.*?</style>", re.DOTALL)
    assert style.findall(text) == style.findall(sheet)
    assert "prefers-color-scheme: dark" in sheet and 'name="viewport"' in sheet


def test_a_wide_figure_stands_alone():
    a, b, c, wide = (Figure(name, plots.axes, name, wide=name == "wide") for name in ("a", "b", "c", "wide"))
    assert [[figure.name for figure in row] for row in rows((a, b, wide, c))] == [["a", "b"], ["wide"], ["c"]]


def test_a_sheet_with_nothing_but_a_question_is_a_page():
    made = page(examples.Sheet("T", "Q?"))
    assert "Q?" in made and "<img" not in made and "Provenance" not in made


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3, "3"), (0.123456, "0.1235"), (None, "–"), (float("nan"), "–"), (True, "yes"), ("a", "a"),
        (Interval(1.0, 2.0, 3.0), "2 in [1, 3]"), (Interval(math.nan, math.nan, math.nan), "–"),
    ],
)  # fmt: skip
def test_a_cell_shows_what_it_holds(value, shown: str):
    assert cell(value) == shown


def test_paragraphs_end_at_empty_lines():
    assert paragraphs("a\nb\n\nc\n") == ["a b", "c"]


@pytest.mark.slow
def test_a_bound_without_a_value_is_said_to_have_none():
    singular = examples.report(singular=True)
    assert verdict(singular.bounds["arora2019"]) == "no value"
    made = page(singular)
    assert "no value" in made and "not told from zero" in made
    assert ">nan<" not in made.lower()


def test_each_assumption_stands_with_its_status(text: str):
    for bound in examples.report().bounds.values():
        for assumption in bound.assumptions:
            assert f'<td class="n {assumption.status}">{assumption.status}</td>' in text


def test_a_missing_number_is_a_dash():
    assert number(None) == number(float("nan")) == "–" and number(0.12345) == "0.1235"


def test_without_jinja2_the_error_names_the_command(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "jinja2":
            raise ImportError("no", name="jinja2")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'jinja2.*pip install "ntkseq\[study\]"'):
        page(examples.report())
