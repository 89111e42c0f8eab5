"""Is the page one self-contained file, are foreign texts escaped, and is an estimate never shown as certified?"""

from __future__ import annotations

import builtins
import html.parser
import re

import pytest

from ntkseq.reports.page import number, page, verdict
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


@pytest.fixture(scope="module")
def text() -> str:
    return page(examples.report())


def test_the_page_asks_for_nothing_outside(text: str):
    parsed = Tags(text)
    addresses = [
        v for _, attributes in parsed.tags for k, v in attributes.items() if k in ("src", "href", "srcset", "data")
    ]
    assert len(addresses) == 5 and all(address.startswith("data:image/") for address in addresses)
    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert "url(" not in text and "@import" not in text
    assert re.search(r"default-src 'none'", text)


def test_every_plot_has_words_for_those_who_cannot_see_it(text: str):
    images = [attributes for tag, attributes in Tags(text).tags if tag == "img"]
    assert len(images) == 5 and all(attributes.get("alt") for attributes in images)


def test_names_from_the_data_are_escaped_everywhere():
    evil = examples.EVIL
    made = page(examples.report(classes=(evil, '"><img src=x onerror=alert(1)>', "$\\frac{$"), name=evil))
    parsed = Tags(made)
    assert "script" not in {tag for tag, _ in parsed.tags}
    assert not [attributes for _, attributes in parsed.tags if "onerror" in attributes]
    assert evil in parsed.text  # shown as text


def test_a_name_in_a_script_that_the_font_lacks_is_no_noise():
    assert "日本" in page(examples.report(classes=("日本", "b")))


def test_certified_and_estimated_bounds_look_different(text: str):
    sections = [a["class"] for tag, a in Tags(text).tags if tag == "section"]
    assert sections == ["bound certified", "bound estimate", "bound certified"]
    arora = text[text.index("Arora et al.") :]
    arora = arora[: arora.index("</section>")]
    value = re.search(r'<p class="value">(.*?)</p>', arora, re.DOTALL)
    assert value and "estimate" in value[1] and "≤" not in value[1]


def test_a_bound_without_a_value_is_said_to_have_none():
    singular = examples.report(singular=True)
    assert verdict(singular.bounds["arora"]) == "no value"
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
