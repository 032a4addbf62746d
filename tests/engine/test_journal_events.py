"""Every kind of event has one payload, which a journal hands back as it was written."""

import ast
import json
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import JournalError
from engine.journal.canonical import canonical_json
from engine.journal.events import PAYLOADS, Kind, decode, encode
from engine.journal.events.codec import Rest
from engine.journal.events.rules import RULES, RulesError, require_rules
from engine.journal.journal import Event
from tests.support.journal_events import AT, EXAMPLES, stored_payload

ROOT = Path(__file__).parents[2]
PRODUCT = ("engine", "feeds", "llm", "strategies", "training", "tui")


def read_back(payload):
    event = encode(payload, AT)
    return Event(kind=event.kind, as_of=AT, payload=json.loads(canonical_json(event.payload)))


def test_every_kind_has_a_payload_and_an_example():
    assert set(PAYLOADS) == set(Kind) == {encode(payload, AT).kind for payload in EXAMPLES}


@pytest.mark.parametrize("payload", EXAMPLES, ids=lambda payload: type(payload).__name__)
def test_a_payload_reads_back_as_it_was_written_and_is_written_alike_again(payload):
    event = read_back(payload)
    assert decode(event) == payload
    assert encode(decode(event), AT).payload == encode(payload, AT).payload


@given(
    st.sampled_from(sorted(Kind)),
    st.data(),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
)
@settings(max_examples=600, deadline=None)
def test_a_payload_with_any_value_in_any_place_is_read_or_refused_and_nothing_else(kind, data, value):
    stored = stored_payload(kind)
    key = data.draw(st.sampled_from(sorted(stored) or ["x"]))
    try:
        payload = decode(Event(kind=kind, as_of=AT, payload=stored | {key: value}))
    except JournalError as error:
        assert "incompatible closecall version" in str(error)
    else:
        assert isinstance(payload, PAYLOADS[kind])


def test_a_kind_that_is_not_known_and_a_payload_that_is_none_are_refused():
    with pytest.raises(JournalError, match="dreamt"):
        decode(Event(kind="dreamt", as_of=AT, payload={}))
    with pytest.raises(JournalError, match="fill"):
        decode(Event(kind="fill", as_of=AT, payload={"symbol": "BTC"}))


def test_rules_that_this_version_has_are_accepted_older_and_newer_ones_named(monkeypatch):
    require_rules(1, "session s", "start anew")
    with pytest.raises(RulesError, match=rf"rules {RULES + 1} of a newer closecall.*upgrade"):
        require_rules(RULES + 1, "session s", "start anew")
    with pytest.raises(RulesError, match=r"older rules \(1; .* 2: an order that cash does not cover"):
        require_rules(1, "run r", "start it again", oldest=2)
    monkeypatch.setattr("engine.journal.events.rules.RULES", 3)
    monkeypatch.setattr("engine.journal.events.rules.OLDEST_RULES", 2)
    monkeypatch.setattr("engine.journal.events.rules.CHANGES", {2: "fees are rounded", 3: "lots are split"})
    require_rules(2, "session s", "")
    with pytest.raises(RulesError, match=r"older rules.*2: fees are rounded; 3: lots are split.*use --like"):
        require_rules(1, "session s", "use --like")


def test_the_reference_names_every_kind_with_its_fields():
    page = (ROOT / "docs" / "reference" / "journals.md").read_text(encoding="utf-8")
    for payload in EXAMPLES:
        event = encode(payload, AT)
        hints = get_type_hints(type(payload), include_extras=True)
        rest = [getattr(payload, each.name) for each in fields(payload) if hints[each.name] == Rest]
        keys = [f"`{key}`" for key in sorted(event.payload) if not rest or key not in rest[0]]
        row = f"| `{event.kind}` | {', '.join([*keys, *(['…'] if rest else [])]) or '-'} |"
        assert row in page, row


ALSO_OTHER_WORDS = {
    "engine/trading/risk.py",  # the author of what a limit does; command words
    "feeds/files/kinds.py",  # kinds of files
    "strategies/config.py",  # words of the configuration
}


@pytest.mark.parametrize("package", PRODUCT)
def test_no_kind_is_written_out_beside_the_enum(package):
    for path in sorted((ROOT / package).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith("engine/journal/events/") and name not in ALSO_OTHER_WORDS:
            found = list(_kinds_as_text(ast.parse(path.read_text(encoding="utf-8"))))
            assert not found, f"{name}: {found}; use engine.journal.events.Kind"


def _kinds_as_text(tree):
    """Texts that are kinds, where something is compared with a kind, made of one or read by kinds."""
    for node in ast.walk(tree):
        places = []
        if isinstance(node, ast.Compare) and any(map(_is_kind, (node.left, *node.comparators))):
            places = [node.left, *node.comparators]
        elif isinstance(node, ast.keyword) and node.arg in ("kind", "kinds", "only", "without"):
            places = [node.value]
        elif isinstance(node, ast.Match) and _is_kind(node.subject):
            places = [pattern for case in node.cases for pattern in ast.walk(case.pattern)]
        elif isinstance(node, ast.Assign) and any(_names_kinds(target) for target in node.targets):
            places = [node.value]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "read":
            places = node.args
        for place in places:
            for text in ast.walk(place):
                if isinstance(text, ast.Constant) and text.value in set(Kind):
                    yield f"line {text.lineno}: {text.value!r}"


def _is_kind(node):
    attribute = isinstance(node, ast.Attribute) and node.attr == "kind"
    return attribute or (isinstance(node, ast.Name) and node.id == "kind")


def _names_kinds(target):
    return isinstance(target, ast.Name) and target.id.upper().strip("_").endswith("KINDS")
