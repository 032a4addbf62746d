"""The project's language: the field's words in names, help and docs."""

import ast
import re
from functools import cache

from tests.support.places import ROOT

PACKAGES = ("engine", "feeds", "llm", "strategies", "training", "tui")
STRUCK = {
    *("told", "said", "lived", "story", "standing", "deed", "reckon", "reckoned", "reckons", "reckoning"),
    *("heed", "heeds", "tip", "kin", "anew", "mend", "mends", "mended", "mending"),
}
STRUCK_PHRASES = ("had again", "goes on", "knows no")
# Stored words that never change, English stop words, and the reports of what was measured and released.
ALLOWED_TEXTS = {
    "journal.tip",
    "said_by",
    "given anew after a split",
    "a an the to of in on at as and for by with from is are its it this that says said",
}
ALLOWED_PAGES = {"docs/LOG.md", "CHANGELOG.md"}


def sources():
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [path.relative_to(ROOT).as_posix() for path in [*paths, *ROOT.glob("*.py")]]


def pages():
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return [name for path in found if (name := path.relative_to(ROOT).as_posix()) not in ALLOWED_PAGES]


def names_in(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg | ast.keyword):
            yield node.arg or ""
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.asname or node.name


def words_of(name):
    return {part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def struck_in(text):
    words = set(re.findall(r"[a-z]+", text.lower()))
    return (STRUCK & words) | {phrase for phrase in STRUCK_PHRASES if phrase in text.lower()}


@cache
def tree_of(source):
    return ast.parse((ROOT / source).read_text(encoding="utf-8"))


def texts_in(source):
    """Every text of a module: docstrings, help, messages and what is stored."""
    for node in ast.walk(tree_of(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in ALLOWED_TEXTS:
            yield node.value


def struck_by_place(places, find):
    """What `find` objects to in each place, where it objects to anything."""
    return {place: struck for place in places if (struck := find(place))}


def test_no_name_has_a_word_that_the_field_does_not_use():
    def struck(source):
        return {name for name in names_in(tree_of(source)) if words_of(name) & STRUCK}

    assert struck_by_place(sources(), struck) == {}


def test_no_help_message_or_docstring_has_a_word_that_needs_a_second_reading():
    def struck(source):
        return {word for text in texts_in(source) for word in struck_in(text)}

    assert struck_by_place(sources(), struck) == {}


def test_no_page_of_the_documentation_has_a_word_that_needs_a_second_reading():
    def struck(page):
        return struck_in((ROOT / page).read_text(encoding="utf-8"))

    assert struck_by_place(pages(), struck) == {}


def test_a_struck_word_is_found_in_a_name_and_in_a_text():
    assert words_of("run_toldLater") & STRUCK == {"told"}
    assert struck_in("It goes on, as was said.") == {"goes on", "said"}
    assert len(sources()) > 200 and len(pages()) > 10
