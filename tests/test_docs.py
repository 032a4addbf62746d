"""Links in the project's pages lead somewhere, and the page of keys has every key."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tui.dashboard.keys import KEYS

ROOT = Path(__file__).resolve().parents[1]

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")])

CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_of_a_page_leads_to_a_file(page):
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (page.parent / unquote(link)).exists()] == []


def test_every_decision_has_a_date_a_status_and_a_line_in_the_index():
    pages = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    index = (ROOT / "docs" / "decisions" / "index.md").read_text(encoding="utf-8")
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert re.search(r"^Date: \d{4}-\d\d-\d\d$", text, re.MULTILINE), page.name
        assert re.search(r"^Status: (accepted|superseded by .+)$", text, re.MULTILINE), page.name
        assert f"({page.name})" in index, page.name
    assert len(pages) >= 11


def test_the_page_of_keys_has_a_row_for_every_key():
    text = (ROOT / "docs" / "guide" / "keys.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+ \| `[^|]+` \| ([^|]+) \| [^|]+ \|$", text, re.MULTILINE)
    assert rows == [key.name for key in KEYS]
