"""Links, paths, commands and options on the project's pages exist, and the page of keys has every key."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from typer.main import get_command

from tui.cli.app import app
from tui.dashboard.keys import KEYS

ROOT = Path(__file__).resolve().parents[1]
COMMAND = get_command(app)
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")])

# These report what earlier versions were and did.
HISTORY = {"CHANGELOG.md", "LOG.md"}
CURRENT = [page for page in PAGES if page.name not in HISTORY]
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
FOLDERS = "engine|feeds|llm|strategies|training|tui|tests|docs|examples|\\.github|\\.ci"


def code_of(page):
    """Yield inline code and lines of shell blocks, comments removed."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for language, block in fenced if not language for line in block.splitlines()]
    lines += re.findall(r"^ {4}.*$", prose, re.MULTILINE)
    prose = re.sub(r"^ {4}.*$", "", prose, flags=re.MULTILINE)
    for code in [*lines, *(" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose))]:
        yield code.strip().partition(" #")[0]


def commands_of(page):
    for code in code_of(page):
        for call in re.findall(r"\bclosecall ([a-z][^|&]*)", code):
            yield call.split()


def options_of(command):
    return {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]} | {
        "--help"
    }


def every_command(command):
    yield command
    for child in getattr(command, "commands", {}).values():
        yield from every_command(child)


def find_faults(words):
    """Return the words of a call of closecall that are no command, and the options that its command lacks."""
    command = COMMAND
    while (children := getattr(command, "commands", {})) and words and not words[0].startswith("-"):
        if words[0] not in children:
            return [words[0]]
        command, words = children[words[0]], words[1:]
    named = [word.partition("=")[0] for word in words if word.startswith("--")]
    return [name for name in named if name not in options_of(command)]


@pytest.mark.parametrize("page", CURRENT, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_command_option_and_target_on_a_page_exists(page):
    codes = list(code_of(page))
    paths = [code for code in codes if re.fullmatch(rf"(?:{FOLDERS})/[\w./-]*", code)]
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert [(words, faults) for words in commands_of(page) if (faults := find_faults(words))] == []
    known = set().union(*map(options_of, every_command(COMMAND)))
    bare = [code.split()[0].partition("=")[0] for code in codes if re.match(r"--[a-z]", code)]
    assert [option for option in bare if option not in known] == []
    targets = set(
        re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    called = [
        name
        for code in codes
        if code.startswith("make ")
        for name in re.findall(r"[a-z][a-z0-9-]*", code[5:])
    ]
    assert [name for name in called if name not in targets] == []


def test_a_command_option_or_path_that_does_not_exist_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "`closecall backtets`\n```\nclosecall backtest --barz x  # as\n```\n    closecall dash --once\n"
    )
    assert [find_faults(words) for words in commands_of(page)] == [["--barz"], [], ["backtets"]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_of_a_page_leads_to_a_file(page):
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (page.parent / unquote(link)).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_holds_a_conflict_of_a_merge(page):
    assert not re.search(r"^(<{7}|>{7})( |$)", page.read_text(encoding="utf-8"), re.MULTILINE)


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
    assert rows == [key.name for key in KEYS if key.group != "Screens"]
