"""Do names arrive on a terminal without codes that it obeys?"""

from __future__ import annotations

import pytest

from ntkseq import _printed


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("two\nlines", "two\\nlines"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202egnp", "\\u202egnp"),
        ("bell\x07", "bell\\x07"),
        ("half \udcff", "half \\udcff"),
    ],
)
def test_codes_are_spelt_out(name: str, shown: str) -> None:
    assert _printed.plain(name) == shown


@pytest.mark.parametrize("name", ["déjà vu ≤ 1", "语言", "a\tb", "", "no\u00a0break"])
def test_letters_of_all_languages_and_tabs_stay(name: str) -> None:
    assert _printed.plain(name) == name
