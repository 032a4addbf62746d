import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.calendars import load_calendar
from engine.errors import DataError
from feeds.history.candles import Adjustment, Candle, Gap
from feeds.history.store import BarStore
from feeds.history.stored_bars import Span, StoredBars
from feeds.instruments import guess_instrument
from tests.support.own_processes import started
from tests.support.places import ROOT

DAY = timedelta(days=1)
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
FETCHED = datetime(2024, 2, 1, 9, 30, tzinfo=UTC)


def candle(day: int, close: float = 11.0) -> Candle:
    return Candle(starts_at=FIRST + day * DAY, open=10.0, high=12.5, low=9.25, close=close, volume=100.5)


def make_stored(symbol: str = "BTC/USDT", source: str = "ccxt:binance", days: int = 3) -> StoredBars:
    return StoredBars(
        source=source,
        symbol=symbol,
        timeframe="1d",
        adjustment=Adjustment.RAW,
        candles=tuple(candle(day) for day in range(days)),
        gaps=(
            Gap(symbol=symbol, first=FIRST + days * DAY, last=FIRST + days * DAY, candles=1, reason="why"),
        ),
        spans=(Span(since=FIRST, until=FIRST + (days + 1) * DAY, provenance="binance", fetched_at=FETCHED),),
    )


def store_and_read(root: Path, what: StoredBars) -> BarStore:
    store = BarStore(root)
    with store.writing(what.source):
        store.write(what)
    return store


def test_what_is_written_is_read_back_with_its_gaps_and_who_said_it_when(tmp_path):
    found = store_and_read(tmp_path, make_stored()).read("ccxt:binance", "BTC/USDT")
    assert found == make_stored()
    assert (found.provenance, found.fetched_at, found.adjustment) == ("binance", FETCHED, Adjustment.RAW)


def test_the_metadata_lies_in_the_parquet_file_for_other_readers(tmp_path):
    import pyarrow.parquet as pq

    store = store_and_read(tmp_path, make_stored())
    table = pq.read_table(store.path("ccxt:binance", "BTC/USDT", "1d"))
    assert b'"adjustment":"raw"' in table.schema.metadata[b"closecall"]
    assert table.column("starts_at").to_pylist()[1].isoformat() == "2024-01-02T00:00:00+00:00"


@pytest.mark.parametrize(
    "symbol",
    ["BTC/USDT", "600519", "BRK.B", "../../x", "..", ".hidden", "a\0b", "贵州茅台", "con ", "%2F", "~"],
)
def test_no_symbol_leaves_the_folder_of_its_source(tmp_path, symbol):
    store = store_and_read(tmp_path / "store", make_stored(symbol))
    assert store.symbols("ccxt:binance") == [symbol]
    assert store.read("ccxt:binance", symbol).symbol == symbol
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.parent for path in files] == [tmp_path / "store" / "ccxt%3Abinance" / "1d"]


@settings(max_examples=60)
@given(st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12))
def test_two_symbols_never_share_a_file_whatever_becomes_of_small_letters(one, other):
    store = BarStore(Path("root"))
    paths = [str(store.path("file", symbol, "1d")).casefold() for symbol in (one, other)]
    assert (paths[0] == paths[1]) == (one == other)


@pytest.mark.parametrize("symbol", ["", "X" * 300])
def test_a_symbol_that_cannot_name_a_file_is_refused(tmp_path, symbol):
    with pytest.raises(DataError, match="cannot name a file"):
        BarStore(tmp_path).path("file", symbol, "1d")


def test_a_reader_sees_the_old_file_or_the_new_one_and_nothing_else(tmp_path):
    store = store_and_read(tmp_path, make_stored())
    before = store.path("ccxt:binance", "BTC/USDT", "1d").stat().st_ino
    store_and_read(tmp_path, make_stored(days=9))
    path = store.path("ccxt:binance", "BTC/USDT", "1d")
    assert path.stat().st_ino != before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_temporary_files_of_fetches_that_died_are_removed_at_the_next_start(tmp_path):
    store = store_and_read(tmp_path, make_stored())
    folder = store.path("ccxt:binance", "BTC/USDT", "1d").parent
    (folder / ".BTC%2FUSDT.parquet.4711.tmp").write_bytes(b"half")
    with store.writing("ccxt:binance"):
        assert [each.name for each in folder.iterdir()] == ["BTC%2FUSDT.parquet"]
    assert store.read("ccxt:binance", "BTC/USDT") == make_stored()


def test_two_fetches_never_write_one_source_at_once(tmp_path):
    store = BarStore(tmp_path)
    refused = pytest.raises(DataError, match="another fetch is writing here; wait for it to end")
    with store.writing("file"), store.writing("yfinance"), refused, BarStore(tmp_path).writing("file"):
        pass
    with store.writing("file"):
        pass


def test_a_process_that_is_killed_gives_the_right_to_write_back(tmp_path):
    code = (
        "import sys; from pathlib import Path; from feeds.history.store import BarStore\n"
        "with BarStore(Path(sys.argv[1])).writing('file'): print('held', flush=True); sys.stdin.read()"
    )
    with started(
        [sys.executable, "-c", code, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(DataError, match="another fetch"), BarStore(tmp_path).writing("file"):
            pass
        holder.kill()
        holder.wait()
        with BarStore(tmp_path).writing("file"):
            pass


def test_a_damaged_file_is_refused_with_a_remedy(tmp_path):
    store = store_and_read(tmp_path, make_stored(days=400))
    path = store.path("ccxt:binance", "BTC/USDT", "1d")
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"PAR1" + b"\0" * 200 + b"PAR1", b"date,open\n"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="remove it and fetch again"):
            store.read("ccxt:binance", "BTC/USDT")
    flipped = bytearray(whole)
    flipped[300] ^= 0x40
    path.write_bytes(bytes(flipped))
    with pytest.raises(DataError, match="remove it and fetch again"):
        store.read("ccxt:binance", "BTC/USDT")


def test_a_file_under_another_symbols_name_is_refused(tmp_path):
    store = store_and_read(tmp_path, make_stored())
    path = store.path("ccxt:binance", "BTC/USDT", "1d")
    path.rename(store.path("ccxt:binance", "ETH/USDT", "1d"))
    with pytest.raises(DataError, match="holds 'BTC/USDT', not 'ETH/USDT'; remove it"):
        store.read("ccxt:binance", "ETH/USDT")


def test_bars_that_were_never_fetched_are_named(tmp_path):
    with pytest.raises(DataError, match="no 1d bars of BTC/USDT from file; fetch them first"):
        BarStore(tmp_path).read("file", "BTC/USDT")
    assert BarStore(tmp_path).find("file", "BTC/USDT", "1d") is None
    assert BarStore(tmp_path).symbols("file") == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    refused = pytest.raises(DataError, match="choose a folder that can be written")
    with refused, BarStore(tmp_path).writing("file"):
        pass


def test_stored_facts_that_contradict_each_other_cannot_be_made():
    good = make_stored()
    hole = replace(good.spans[0], since=good.until + DAY, until=good.until + 2 * DAY)
    with pytest.raises(ValueError, match="do not join"):
        replace(good, spans=(*good.spans, hole))
    with pytest.raises(ValueError, match="do not ascend"):
        replace(good, candles=good.candles[::-1])
    with pytest.raises(ValueError, match="outside the spans"):
        replace(good, candles=(*good.candles, candle(40)))


def test_a_coins_candle_becomes_a_bar_of_its_day_in_utc():
    instrument = guess_instrument("BTC/USDT")
    bar = make_stored().bars(instrument, load_calendar("24/7", date(2024, 1, 1), date(2024, 1, 9)))[1]
    assert (bar.opens_at, bar.closes_at) == (FIRST + DAY, FIRST + 2 * DAY)
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (10.0, 12.5, 9.25, 11.0, 100.5)


def test_a_stocks_candle_becomes_a_bar_of_its_exchanges_hours():
    shares = replace(make_stored("AAPL", "yfinance"), candles=(candle(1), candle(2)))
    bars = shares.bars(guess_instrument("AAPL"), load_calendar("XNYS", date(2024, 1, 1), date(2024, 1, 9)))
    assert bars[0].opens_at == datetime(2024, 1, 2, 14, 30, tzinfo=UTC)
    assert bars[0].closes_at == datetime(2024, 1, 2, 21, tzinfo=UTC)


def test_a_candle_on_a_day_without_a_session_is_refused_as_a_bar():
    calendar = load_calendar("XNYS", date(2024, 1, 1), date(2024, 1, 9))
    with pytest.raises(DataError, match="a candle on 2024-01-01, when XNYS was closed"):
        make_stored("AAPL", "yfinance").bars(guess_instrument("AAPL"), calendar)


def test_a_candle_of_an_hour_closes_an_hour_later():
    hours = replace(make_stored(), timeframe="1h")
    bar = hours.bars(guess_instrument("BTC/USDT"), load_calendar("24/7", date(2024, 1, 1), date(2024, 1, 9)))[
        0
    ]
    assert (bar.timeframe, bar.closes_at - bar.opens_at) == ("1h", timedelta(hours=1))
