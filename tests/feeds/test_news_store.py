import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import DataError
from engine.model import Precision
from feeds.files.tables import read_json_columns, read_json_rows
from feeds.instruments import guess_instrument
from feeds.news.articles import TextSource
from feeds.news.store import NewsStore, StoredItem
from feeds.symbols import NameTable

NAMES = NameTable.for_instruments([guess_instrument("BTCUSDT")])
PUBLISHED = datetime(2024, 6, 1, 8, 30, tzinfo=UTC)

SEEN = StoredItem(
    source="Wire",
    title="Bitcoin rises",
    text="比特币 ↑",
    published_at=PUBLISHED,
    precision=Precision.MINUTE,
    zone_known=True,
    dated=True,
    first_seen_at=PUBLISHED + timedelta(hours=1, microseconds=7),
    subjects=("bitcoin",),
    feed="https://h.example/feed",
    link="https://h.example/1",
    guid="1",
    text_source=TextSource.NEWSPAPER,
)


@pytest.fixture
def store(tmp_path: Path) -> NewsStore:
    return NewsStore(tmp_path / "news" / "seen.jsonl")


def test_an_empty_store_has_nothing(store):
    assert store.read() == () and store.items(NAMES) == ()


def test_what_was_appended_is_read_back_in_order(store):
    other = replace(SEEN, title="Später", zone_known=False, dated=False, subjects=())
    store.append([SEEN])
    store.append([other])
    assert store.read() == (SEEN, other)


def test_appending_changes_no_earlier_byte(store):
    store.append([SEEN])
    before = store.path.read_bytes()
    store.append([replace(SEEN, title="Next")])
    assert store.path.read_bytes().startswith(before)


def test_an_item_is_available_when_it_was_first_seen_plus_the_latency(store):
    store.append([SEEN])
    (item,) = store.items(NAMES, timedelta(seconds=30))
    assert item.available_at == SEEN.first_seen_at + timedelta(seconds=30)
    assert item.symbols == {"BTCUSDT"} and item.first_seen_at == SEEN.first_seen_at


def test_an_item_that_states_a_later_time_waits_for_it(store):
    store.append([replace(SEEN, published_at=PUBLISHED + timedelta(hours=9), zone_known=False)])
    (item,) = store.items(NAMES)
    assert item.available_at == PUBLISHED + timedelta(hours=9)


def test_what_is_traded_is_decided_when_the_store_is_read(store):
    store.append(
        [SEEN, replace(SEEN, title="Bakery", subjects=("other",)), replace(SEEN, title="All", subjects=())]
    )
    assert [item.title for item in store.items(NAMES)] == ["All", "Bitcoin rises"] or len(
        store.items(NAMES)
    ) == 2
    tesla = NameTable.for_instruments([guess_instrument("TSLA")])
    assert [item.title for item in store.items(tesla)] == ["All"]


def test_a_line_is_a_line_of_a_news_archive(store):
    store.append([SEEN, replace(SEEN, zone_known=False)])
    first, second = (json.loads(line) for line in store.path.read_text(encoding="utf-8").splitlines())
    assert first["published_at"] == "2024-06-01T08:30:00Z" and second["published_at"] == "2024-06-01T08:30:00"
    assert first["first_seen_at"] == "2024-06-01T09:30:00.000007Z"
    assert (first["precision"], first["symbols"], first["source"]) == ("minute", "bitcoin", "Wire")


def test_a_store_is_a_table_of_text_cells(store):
    store.append([SEEN, replace(SEEN, title="Next", subjects=("bitcoin", "fed"))])
    assert list(read_json_rows(store.path, {"title", "symbols", "price"})) == [
        (0, ["symbols", "title"]),
        (1, ["bitcoin", "Bitcoin rises"]),
        (2, ["bitcoin;fed", "Next"]),
    ]


def test_json_lines_may_leave_cells_out_and_list_what_belongs_together(tmp_path):
    path = tmp_path / "news.jsonl"
    path.write_text(
        '\ufeff{"title": "a", "symbols": ["x", "y"], "n": 3}\n\n{"title": null}\n', encoding="utf-8"
    )
    assert list(read_json_rows(path, {"title", "symbols", "n"})) == [
        (0, ["title", "symbols", "n"]),
        (1, ["a", "x;y", "3"]),
        (3, ["", "", ""]),
    ]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"[1]", "not a JSON object"),
        (b"{", "not a JSON object"),
        (b'{"title": {"a": 1}}', "title is no text"),
        (b"\xff", "not UTF-8 text"),
        (b"[" * 100_000, "not a JSON object"),
        (b"x" * 2_000_000, "longer than 1,000,000 bytes"),
    ],
)
def test_a_damaged_line_of_json_is_named(tmp_path, line, fault):
    path = tmp_path / "news.jsonl"
    path.write_bytes(b'{"title": "a"}\n' + line + b"\n")
    with pytest.raises(DataError, match=f"line 2: {fault}"):
        list(read_json_rows(path, {"title"}))


def test_a_file_that_does_not_begin_with_an_object_is_no_table(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("[1]\n")
    assert read_json_columns(path) == []


@pytest.mark.parametrize("left", ['{"published_at": "2024', "x" * 100_000])
def test_what_a_crash_left_of_a_line_is_dropped(store, left):
    store.append([SEEN])
    with store.path.open("a") as file:
        file.write(left)
    assert store.read() == (SEEN,)
    store.append([replace(SEEN, title="Next")])
    assert [one.title for one in store.read()] == ["Bitcoin rises", "Next"]


@pytest.mark.parametrize("damage", ["{}", "[]", "x", "", '{"published_at": 3}', "null"])
def test_a_damaged_line_is_named(store, damage):
    store.append([SEEN])
    with store.path.open("a") as file:
        file.write(damage + "\n")
    with pytest.raises(DataError, match=r"seen\.jsonl, line 2: not an item of this store"):
        store.read()


def test_a_store_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="check the folder"):
        NewsStore(tmp_path / "file" / "seen.jsonl").append([SEEN])


@settings(max_examples=60, deadline=None)
@given(
    title=st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
    at=st.datetimes(datetime(1970, 1, 1), datetime(2199, 1, 1)),
    late=st.timedeltas(timedelta(0), timedelta(days=9)),
    precision=st.sampled_from(Precision),
    zone_known=st.booleans(),
)
def test_any_item_is_read_back_as_it_was(tmp_path_factory, title, at, late, precision, zone_known):
    published_at = at.replace(tzinfo=UTC)
    one = replace(
        SEEN,
        title=title,
        published_at=published_at,
        first_seen_at=published_at + late,
        precision=precision,
        zone_known=zone_known,
    )
    store = NewsStore(tmp_path_factory.mktemp("store") / "seen.jsonl")
    store.append([one])
    assert store.read() == (one,)
