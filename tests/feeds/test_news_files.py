import hashlib
import unicodedata
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import DataError
from engine.model import NewsItem, Precision
from feeds.files.news import NewsArchive, clean_text, news_id, read_news
from feeds.instruments import guess_instrument
from feeds.symbols import NameTable
from tests.support.places import SHARED_CASES, SHARED_DATA, needs_shared_cases, needs_shared_data

HEADER = "published_at,precision,source,symbols,title,text"
LATENCY = timedelta(minutes=15)
NAMES = NameTable.for_instruments([guess_instrument(symbol) for symbol in ("BTCUSDT", "ETHUSDT", "AAPL")])
START = date(2024, 4, 1)


def read(folder: Path, *lines: str, header: str = HEADER) -> NewsArchive:
    path = folder / "news.csv"
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return read_news([path], NAMES, LATENCY)


def the_item(folder: Path, line: str, header: str = HEADER) -> NewsItem:
    (item,) = read(folder, line, header=header).items
    return item


def test_a_row_becomes_an_item_with_its_times_and_symbols(tmp_path):
    item = the_item(tmp_path, "2024-05-31T13:45:10Z,second,Wire,bitcoin,Up it goes,Some text")
    published_at = datetime(2024, 5, 31, 13, 45, 10, tzinfo=UTC)
    assert item == NewsItem(
        id=news_id("Wire", published_at, "Up it goes", "Some text"),
        source="Wire",
        title="Up it goes",
        text="Some text",
        published_at=published_at,
        precision=Precision.SECOND,
        zone_known=True,
        first_seen_at=None,
        available_at=published_at + LATENCY,
        symbols=frozenset({"BTCUSDT"}),
    )


@pytest.mark.parametrize(
    ("cell", "symbols"),
    [
        ("\"['BTC', 'ETH']\"", {"BTCUSDT", "ETHUSDT"}),
        ("\"['BTC' 'ETH']\"", {"BTCUSDT", "ETHUSDT"}),
        ('"[""BTC""]"', {"BTCUSDT"}),
        ("(BTC)", {"BTCUSDT"}),
        ("BTC/USDT", {"BTCUSDT"}),
        ("Bitcoin(BTC)", {"BTCUSDT"}),
        ("比特币、以太坊", {"BTCUSDT", "ETHUSDT"}),
        ("CRYPTO:BTC", {"BTCUSDT"}),
        ("[]", set()),
        ("nan", set()),
    ],
)
def test_a_cell_of_subjects_is_read_as_programs_write_it(tmp_path, cell, symbols):
    item = the_item(tmp_path, f"2024-05-31T13:45:10Z,second,Wire,{cell},Up it goes,Some text")
    assert item.symbols == symbols


def stamped(*times: str, days: int = 30) -> list[str]:
    """Rows of as many days, whose times take turns."""
    rows = ((START + n * timedelta(days=1), times[n % len(times)]) for n in range(days))
    return [f"{day:%Y-%m-%d}{clock},,wire,BTC,Title {day:%d},Text" for day, clock in rows]


@pytest.mark.parametrize(
    ("times", "hours"),
    [
        ([" 00:00:00"], 36),  # the zone is unknown: the end of the day in the westernmost one
        (["T00:00:00Z"], 24),
        (["T00:00:00-04:00"], 24),
        (["T07:00:00Z", "T08:00:00Z"], 24),  # the midnight of California, where the day has 24 hours left
        (["T07:00Z"], 24),
        (["T04:00:00+00:00", "T05:00:00+00:00"], 24),
    ],
)
def test_a_midnight_behind_each_date_stands_for_the_day(tmp_path, times, hours):
    archive = read(tmp_path, *stamped(*times))
    assert {item.precision for item in archive.items} == {Precision.DAY}
    assert {item.available_at - item.published_at for item in archive.items} == {timedelta(hours=hours)}
    ((written, count),) = archive.day_stamps.values()
    assert (written[:2], count) == (times[0][1:3], 30)


@pytest.mark.parametrize(
    "times",
    [
        ["T21:30:00Z"],
        ["T20:00:00Z"],  # a wire at a fixed hour
        ["T08:00:00+08:00"],
        ["T04:00:00Z"],
        ["T00:00:00Z", "T09:30:00Z", "T17:45:10Z"],
    ],
)
def test_other_times_that_come_often_are_times(tmp_path, times):
    archive = read(tmp_path, *stamped(*times))
    assert archive.day_stamps == {}
    assert Precision.DAY not in {item.precision for item in archive.items}


def test_a_source_of_midnights_is_one_beside_a_source_of_times(tmp_path):
    rows = [row.replace("wire", "digest") for row in stamped("T00:00:00Z", days=8)]
    archive = read(tmp_path, *rows, *stamped("T13:45:10Z", "T15:00:00Z"))
    assert {(item.source, item.precision) for item in archive.items} == {
        ("digest", Precision.DAY),
        ("wire", Precision.SECOND),
    }


def test_a_time_of_first_sight_tells_when_an_item_at_midnight_was_known(tmp_path):
    rows = [f"2024-05-{day}T00:00:00Z,2024-05-{day}T00:01:00Z,wire,BTC,T{day},T" for day in range(10, 31)]
    archive = read(tmp_path, *rows, header="published_at,first_seen_at,source,symbols,title,text")
    assert archive.day_stamps == {} and archive.items[0].precision is Precision.SECOND


@needs_shared_cases
@pytest.mark.parametrize("name", ["midnight_naive", "midnight_utc", "exact", "day_only"])
def test_news_after_the_close_is_known_no_earlier_for_being_dated_at_midnight(name):
    path = SHARED_CASES / "02-midnight-for-a-day" / f"{name}.csv"
    names = NameTable.for_instruments([guess_instrument("AAPL")])
    for item in read_news([path], names, LATENCY).items:
        day = datetime.combine(item.published_at.date(), datetime.min.time(), UTC)
        assert item.available_at >= day + timedelta(hours=21, minutes=30)


@needs_shared_cases
@pytest.mark.parametrize(
    ("case", "symbol", "items"),
    [
        ("03-dotusd-is-do-tusd", "DOTUSD", 40),
        ("03-dotusd-is-do-tusd", "BNBUSD", 20),
        ("03-dotusd-is-do-tusd", "XBTUSD", 40),
        ("11-spellings-in-symbols", "BTCUSDT", 5),
        ("22-yahoo-spellings", "BRK-B", 2),
        ("22-yahoo-spellings", "UNI7083-USD", 2),
    ],
)
def test_the_news_of_users_finds_its_symbol(case, symbol, items):
    names = NameTable.for_instruments([guess_instrument(symbol)])
    archive = read_news([SHARED_CASES / case / "news.csv"], names, LATENCY)
    assert len(archive.items) == items
    assert all(item.symbols == {symbol} for item in archive.items)


@pytest.mark.parametrize(
    ("written", "precision", "zone_known", "available_at"),
    [
        ("2024-05-31T13:45:10Z", Precision.SECOND, True, "2024-05-31T14:00:10"),
        ("2024-05-31 13:45Z", Precision.MINUTE, True, "2024-05-31T14:01"),
        ("2024-05-31T13:45:10.25+08:00", Precision.SECOND, True, "2024-05-31T06:00:10.25"),
        ("2024-05-31T13+0800", Precision.HOUR, True, "2024-05-31T06:15"),
        ("2024-05-31T13:45:10", Precision.SECOND, False, "2024-06-01T02:00:10"),
        ("2024-05-31", Precision.DAY, False, "2024-06-01T12:00"),
    ],
)
def test_without_a_precision_column_the_way_the_time_is_written_decides(
    tmp_path, written, precision, zone_known, available_at
):
    item = the_item(tmp_path, f"{written},,,t,", header="published_at,source,symbols,title,text")
    assert (item.precision, item.zone_known) == (precision, zone_known)
    assert item.available_at == datetime.fromisoformat(available_at).replace(tzinfo=UTC)


def test_a_stated_precision_makes_a_time_coarser(tmp_path):
    item = the_item(tmp_path, "2024-05-31T08:00:00+08:00,day,,,t,")
    assert item.available_at == datetime(2024, 5, 31, 16, tzinfo=UTC)


def test_a_stated_precision_never_makes_a_date_finer(tmp_path):
    item = the_item(tmp_path, "2024-05-31,second,,,t,")
    assert item.precision is Precision.DAY
    assert item.available_at == datetime(2024, 6, 1, 12, tzinfo=UTC)


def test_first_sight_decides_where_it_is_recorded(tmp_path):
    line = "2024-05-31,day,,,t,,2024-05-31T22:00:00+08:00"
    item = the_item(tmp_path, line, header=HEADER + ",first_seen_at")
    assert item.first_seen_at == datetime(2024, 5, 31, 14, tzinfo=UTC)
    assert item.available_at == datetime(2024, 5, 31, 14, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cell", "symbols"),
    [
        ("bitcoin|ETH;SOL", {"BTCUSDT", "ETHUSDT"}),
        ('"BTC, AAPL"', {"BTCUSDT", "AAPL"}),
        ("btc $AAPL", {"BTCUSDT", "AAPL"}),
        ("Bitcoin Cash ETH", {"ETHUSDT"}),
        ("", set()),
    ],
)
def test_a_symbols_cell_names_what_an_item_concerns(tmp_path, cell, symbols):
    assert the_item(tmp_path, f"2024-05-31,day,,{cell},t,").symbols == symbols


def test_items_about_what_is_not_traded_are_left_out_and_counted(tmp_path):
    archive = read(
        tmp_path, *(f"2024-05-31,day,,{name},{name},t" for name in ("SOL", "BTC", "zork", "SOL;LTC"))
    )
    assert [item.title for item in archive.items] == ["BTC"]
    assert (archive.read, archive.skipped_not_traded) == (4, 3)
    assert archive.unmatched == (("SOL", 2), ("LTC", 1), ("zork", 1))


def test_of_exact_repeats_the_first_is_kept(tmp_path):
    archive = read(tmp_path, *["2024-05-31T13:00:00Z,minute,Wire,BTC,t,x"] * 3)
    assert (len(archive.items), archive.skipped_repeated) == (1, 2)


def test_a_story_filed_under_two_symbols_concerns_both(tmp_path):
    archive = read(tmp_path, "2024-05-31,day,Wire,BTC,t,x", "2024-05-31,day,Wire,ETH,t,x")
    assert [item.symbols for item in archive.items] == [{"BTCUSDT", "ETHUSDT"}]


def test_a_repeat_that_became_available_later_changes_nothing_earlier(tmp_path):
    lines = ("2024-05-31T13:00:00Z,minute,Wire,BTC,t,x", "2024-05-31T13:00:00Z,day,Wire,ETH,t,x")
    assert read(tmp_path, *lines).items == read(tmp_path, lines[0]).items


def test_items_come_in_the_order_in_which_they_became_available(tmp_path):
    lines = ["2024-05-31,day,,,early date,", "2024-05-31T09:00:00Z,second,,,late time,"]
    lines += [f"2024-06-02T09:00:00Z,second,,,{n}," for n in range(9)]
    items = read(tmp_path, *lines).items
    assert [item.title for item in items[:2]] == ["late time", "early date"]
    assert [(item.available_at, item.id) for item in items] == sorted(
        (item.available_at, item.id) for item in items
    )


def test_an_id_does_not_depend_on_how_the_time_was_written(tmp_path):
    ids = {
        the_item(tmp_path, f"{written},second,Wire,,t,x").id
        for written in ("2024-05-31T13:00:00Z", "2024-05-31 21:00:00+08:00")
    }
    digest = hashlib.sha256(b"Wire\x1f2024-05-31T13:00:00+00:00\x1ft\x1fx").hexdigest()
    assert ids == {digest[:16]}


def test_hostile_text_is_stored_on_one_line_without_control_characters(tmp_path):
    item = the_item(tmp_path, '2024-05-31,day,"a\tb","","x\n\x1b[31m\u202eDROP\u200b  it","\r\ny\u2028z"')
    assert (item.source, item.title, item.text) == ("a b", "x [31m DROP it", "y z")


def test_titles_and_texts_are_cut_to_a_length(tmp_path):
    item = the_item(tmp_path, f"2024-05-31,day,,,{'t' * 5000},{'x' * 5000}")
    assert (len(item.title), len(item.text)) == (300, 2000)


@given(st.text(max_size=80), st.integers(1, 50))
def test_clean_text_is_printable_single_spaced_and_short(text, length):
    found = clean_text(text, length)
    assert len(found) <= length
    assert found == " ".join(found.split())
    assert not any(unicodedata.category(char).startswith("C") for char in found)
    assert clean_text(found, length) == found


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (",day,,,t,", "line 2: published_at is empty; write it as"),
        ("yesterday,day,,,t,", "line 2: published_at 'yesterday' is not a time"),
        ("0001-01-01T00:00:00+08:00,day,,,t,", "is not a time"),
        ("2024-05-31,week,,,t,", "line 2: precision 'week' is unknown; write second, minute, hour, day"),
        ('2024-05-31,day,Wire,BTC,"t,', "line 2: unexpected end of data"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_with_its_place(tmp_path, line, complaint):
    with pytest.raises(DataError) as caught:
        read(tmp_path, line)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_item_without_title_and_text_is_left_out_and_counted(tmp_path):
    archive = read(tmp_path, "2024-05-31,day,Wire,BTC,\x1b, ", "2024-05-31,day,Wire,BTC,t,")
    assert (archive.read, len(archive.items), archive.skipped_empty) == (2, 1, 1)


def test_a_text_beyond_the_limit_of_the_csv_module_is_read(tmp_path):
    item = the_item(tmp_path, f"2024-05-31,day,Wire,BTC,t,{'word ' * 30_000}")
    assert item.text.startswith("word word")


def test_the_line_is_where_the_row_begins_also_after_a_text_of_several_lines(tmp_path):
    with pytest.raises(DataError, match="line 5: published_at is empty"):
        read(tmp_path, '2024-05-31,day,,,t,"one\ntwo\nthree"', ",day,,,t,")


def test_a_first_sight_without_a_zone_is_refused(tmp_path):
    with pytest.raises(DataError, match="first_seen_at has no zone"):
        read(tmp_path, "2024-05-31,day,,,t,,2024-05-31T22:00:00", header=HEADER + ",first_seen_at")


@pytest.mark.parametrize("column", ["published_at", "source", "symbols", "title", "text"])
def test_a_missing_column_is_refused_by_name(tmp_path, column):
    with pytest.raises(DataError, match=f"no column {column}; found"):
        read(tmp_path, header=HEADER.replace(column, "other"))


def test_a_folder_without_news_is_refused(tmp_path):
    with pytest.raises(DataError, match="no news file in this folder"):
        read_news([tmp_path], NAMES, LATENCY)


def test_parquet_gives_the_same_items_as_csv(tmp_path):
    stamps = pa.array([datetime(2024, 5, 31, 13, 45, 10)], pa.timestamp("us", "UTC"))
    table = {"published_at": stamps, "source": ["Wire"], "symbols": [["BTC", "ETH"]], "title": ["t"]}
    pq.write_table(pa.table({**table, "text": pa.array([None], pa.string())}), tmp_path / "news.parquet")
    items = read_news([tmp_path], NAMES, LATENCY).items
    assert items == read(tmp_path, "2024-05-31T13:45:10Z,second,Wire,BTC;ETH,t,").items


@given(st.binary(max_size=150) | st.text(alphabet='20-:TZ+,"\n day', max_size=100).map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
def test_any_bytes_give_news_or_one_line(tmp_path, content):
    path = tmp_path / "news.csv"
    path.write_bytes(HEADER.encode() + b"\n" + content)
    try:
        assert read_news([path], NAMES, LATENCY).read >= 0
    except DataError as error:
        assert "\n" not in str(error)


@pytest.mark.slow
@needs_shared_data
@pytest.mark.parametrize(
    ("folder", "symbols", "read_rows", "items"),
    [
        ("news_crypto_googlenews_2023", ["BTCUSDT", "ETH-USD"], 5370, 3019),
        ("news_crypto_week_in_ethereum", ["ETHUSDT"], 4301, 4301),
        ("news_stocks_by_ticker", ["AAPL", "META", "TSLA"], 20179, 20177),
        ("news_stocks_fmp_2024_2025", ["HD", "AMD"], 3161, 424),
        ("news_stocks_reuters_2018_2020", ["AAPL"], 30780, 30780),
        ("news_stocks_stocknet_tweets", ["AAPL", "FB"], 42175, 16995),
        ("cn_news_astock", ["601988", "002299"], 2727, 21),
    ],
)
def test_real_archives_are_read_whole(folder, symbols, read_rows, items):
    names = NameTable.for_instruments([guess_instrument(symbol) for symbol in symbols])
    archive = read_news([SHARED_DATA / folder], names, LATENCY)
    assert (archive.read, len(archive.items)) == (read_rows, items)
    assert archive.read == len(archive.items) + archive.skipped_not_traded + archive.skipped_repeated


@needs_shared_data
def test_real_headlines_cover_most_days_of_bitcoin():
    names = NameTable.for_instruments([guess_instrument("BTCUSDT")])
    archive = read_news([SHARED_DATA / "news_crypto_headlines"], names, LATENCY)
    days = {item.available_at.date() for item in archive.items if item.is_about("BTCUSDT")}
    assert (archive.read, len(archive.items)) == (26451, 25854)
    assert len([day for day in days if day >= date(2021, 11, 1)]) >= 870
