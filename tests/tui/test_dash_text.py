"""Text of strangers stays within its cells and does nothing to the screen."""

import time
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.dashboard.sanitize import pad, truncate, wrap

HOSTILE = (
    "\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07",
    "[bold]x[/bold] [link=file:///etc/passwd]y[/link]",
    "a\nb\r\nc\td\x00e\x7ff\x9b1m",
    "\u202egnirts\u202c \u2066x\u2069 \u200f",
    "👨\u200d👩\u200d👧 ❤\ufe0f 🇩🇪 👍🏽 1\ufe0f\u20e3",
    "e" + "\u0301" * 500,
    "한국어 漢字 עברית العربية ไทย",
    "\ud800 \U000e0041 \ufeff",
)


def harmless(text):
    return all(
        unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for letter in text
    )


@given(st.text(st.characters(), max_size=60) | st.sampled_from(HOSTILE), st.integers(0, 40))
@example("漢" * 10, 5)
@settings(max_examples=300, deadline=None)
def test_any_text_fits_its_cells_and_holds_nothing_that_moves_the_cursor(text, width):
    for said in (truncate(text, width), pad(text, width), pad(text, width, right=True)):
        assert cell_len(said) <= width
        assert harmless(said)
    assert cell_len(pad(text, width)) == width


@given(st.text(st.characters(), max_size=300), st.integers(1, 40), st.integers(1, 6))
@settings(max_examples=150, deadline=None)
def test_a_text_over_several_lines_keeps_to_its_box(text, width, most):
    found = wrap(text, width, most)
    assert len(found) <= most
    assert all(harmless(line) and cell_len(line) <= max(2, width) for line in found)


def test_a_text_that_fits_is_shown_as_it_is_and_a_longer_one_ends_in_dots():
    assert truncate("Zürich ▲ 漢字", 40) == "Zürich ▲ 漢字"
    assert truncate("abcdefgh", 5) == "abcd…"
    assert truncate("[bold]x", 40) == "[bold]x"


@pytest.mark.parametrize("text", ["x" * 1_000_000, "\u202e" * 1_000_000, "e" + "\u0301" * 1_000_000])
def test_a_megabyte_in_one_line_costs_no_more_than_a_line(text):
    began = time.perf_counter()
    for _ in range(20):
        truncate(text, 100)
        wrap(text, 100, 5)
    assert time.perf_counter() - began < 1.0
