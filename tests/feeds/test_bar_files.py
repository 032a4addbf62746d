from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.calendars import load_calendar
from engine.errors import ClosecallError, DataError
from feeds.files.bars import read_bars, read_date_span
from feeds.instruments import guess_instrument

HEADER = "date,open,high,low,close,volume"
GOOD = "2024-07-03,10,12,9,11,100"
BTC = guess_instrument("BTCUSDT")
UTC_DAYS = load_calendar("24/7", date(2024, 1, 1), date(2024, 12, 31))


def write_file(folder: Path, *lines: str, name: str = "BTCUSDT.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read(path: Path, **window):
    return read_bars(path, BTC, UTC_DAYS, **window)


def refusal(path: Path) -> str:
    with pytest.raises(ClosecallError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def require_bars_or_one_line(path: Path) -> None:
    try:
        assert read(path)
        assert read_date_span(path)
    except DataError as error:
        assert "\n" not in str(error)


def parquet(path: Path, **columns) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_a_row_becomes_a_bar_with_the_session_of_its_date(tmp_path):
    (bar,) = read(write_file(tmp_path, HEADER, GOOD))
    assert (bar.symbol, bar.opens_at) == ("BTCUSDT", datetime(2024, 7, 3, tzinfo=UTC))
    assert bar.closes_at == datetime(2024, 7, 4, tzinfo=UTC)
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (10, 12, 9, 11, 100)


def test_columns_come_in_any_order_and_case_and_others_are_ignored(tmp_path):
    path = write_file(tmp_path, "Close,VOLUME,note, Low ,High,Open,Date", "11,100,x,9,12,10,2024-07-03")
    assert read(path) == read(write_file(tmp_path, HEADER, GOOD))


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_a_byte_order_mark_and_any_line_ending_are_fine(tmp_path, ending):
    path = tmp_path / "BTCUSDT.csv"
    path.write_bytes(b"\xef\xbb\xbf" + (HEADER + ending + GOOD + ending).encode())
    assert len(read(path)) == 1


def test_a_date_written_as_midnight_is_that_date(tmp_path):
    days = load_calendar("XNYS", date(2024, 7, 1), date(2024, 7, 31))
    written = [
        read_bars(write_file(tmp_path, HEADER, f"{day},10,12,9,11,100"), guess_instrument("AAPL"), days)
        for day in ("2024-07-03", "2024-07-03T00:00:00Z", "2024-07-03 00:00:00-04:00")
    ]
    assert written[0] == written[1] == written[2]


@pytest.mark.parametrize(
    ("symbol", "day", "calendar"),
    [("BTCUSDT", "2024-07-03 00:00:00+08:00", "24/7"), ("AAPL", "2024-07-03 00:00:00+08:00", "XNYS")],
)
def test_a_day_that_does_not_begin_with_its_session_is_refused(tmp_path, symbol, day, calendar):
    path = write_file(tmp_path, HEADER, f"{day},10,12,9,11,100")
    days = load_calendar(calendar, date(2024, 7, 1), date(2024, 7, 31))
    with pytest.raises(DataError, match=r"begins at 2024-07-02 16:00 UTC, .* set `calendar`"):
        read_bars(path, guess_instrument(symbol), days)


@given(st.floats(min_value=1e-300, max_value=1e300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_a_price_is_read_to_the_last_digit(tmp_path, price):
    row = f"2024-07-03,{price!r},{price!r},{price!r},{price!r},0"
    assert read(write_file(tmp_path, HEADER, row))[0].close == price


def test_parquet_gives_the_same_bars_as_csv(tmp_path):
    path = parquet(
        tmp_path / "BTCUSDT.parquet",
        Date=[date(2024, 7, 3), date(2024, 7, 4)],
        Open=[10.1, 11.0],
        High=[12.0, 12.0],
        Low=[9.0, 9.0],
        Close=[11.7, 11.0],
        Volume=[100, 7],
    )
    lines = ("2024-07-03,10.1,12,9,11.7,100", "2024-07-04,11,12,9,11,7")
    assert read(path) == read(write_file(tmp_path, HEADER, *lines))


def test_parquet_with_timestamps_is_read_by_their_dates(tmp_path):
    stamps = pa.array([datetime(2024, 7, 3)], pa.timestamp("ns"))
    path = parquet(
        tmp_path / "B.parquet", date=stamps, open=[10], high=[12], low=[9], close=[11], volume=[100]
    )
    assert read(path) == read(write_file(tmp_path, HEADER, GOOD))


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("2024-7-4,10,12,9,11,100", "line 3: date '2024-7-4' is not a day; write it as YYYY-MM-DD"),
        ("2024-02-30,10,12,9,11,100", "line 3: date '2024-02-30' is not a day"),
        (",10,12,9,11,100", "line 3: date '' is not a day"),
        ("2024-07-04,,12,9,11,100", "line 3: open is empty; correct or remove the row"),
        ("2024-07-04,10,n/a,9,11,100", "line 3: high 'n/a' is not a number"),
        ("2024-07-04,10,12,nan,11,100", "line 3: low nan is not a price above zero"),
        ("2024-07-04,10,inf,9,11,100", "line 3: high inf is not a price"),
        ("2024-07-04,10,12,0,11,100", "line 3: low 0.0 is not a price above zero"),
        ("2024-07-04,10,12,9,-1,100", "line 3: close -1.0 is not a price above zero"),
        ("2024-07-04,10,9,12,11,100", "line 3: high 9.0 is below low 12.0"),
        ("2024-07-04,8,12,9,11,100", "line 3: open 8.0 is outside low 9.0 to high 12.0"),
        ("2024-07-04,10,12,9,13,100", "line 3: close 13.0 is outside low 9.0 to high 12.0"),
        ("2024-07-04,10,12,9,11,-5", "line 3: volume -5.0 is not a number of zero or more"),
        ("2024-07-04,10,12,9,11,", "line 3: volume is empty"),
        ("2024-07-03,10,12,9,11,100", "line 3: date 2024-07-03 comes twice"),
        ("2024-07-02,10,12,9,11,100", "line 3: date 2024-07-02 comes after 2024-07-03"),
        ("2024-07-04,10,12,9,11,1,000", "line 3: 7 cells where the header has 6"),
        ("2024-07-04,10,12,9,11", "line 3: 5 cells where the header has 6"),
        ('2024-07-04,"10,12,9,11,100', "line 3: unexpected end of data; correct the quotes"),
        ("9999-12-31,10,12,9,11,100", "line 3: calendar 24/7 knows the days"),
    ],
)
def test_a_row_that_cannot_be_right_is_refused_with_its_place(tmp_path, row, complaint):
    assert complaint in refusal(write_file(tmp_path, HEADER, GOOD, row))


def test_a_value_of_many_lines_is_shown_on_one(tmp_path):
    message = refusal(write_file(tmp_path, HEADER, GOOD, f'2024-07-04,"x\n{"y" * 500}",12,9,11,100'))
    assert len(message) < 300


def test_the_line_is_that_of_the_file_also_after_empty_ones(tmp_path):
    assert "line 4: open is empty" in refusal(write_file(tmp_path, HEADER, GOOD, "", "2024-07-04,,12,9,11,1"))


def test_a_day_on_which_the_exchange_was_closed_is_refused_with_the_calendar_to_change(tmp_path):
    path = write_file(tmp_path, HEADER, GOOD, "2024-07-04,10,12,9,11,100", name="AAPL.csv")
    calendar = load_calendar("XNYS", date(2024, 7, 1), date(2024, 7, 31))
    with pytest.raises(
        DataError, match=r"line 3: 2024-07-04 .* XNYS was closed.* `calendar` under \[instruments\.AAPL\]"
    ):
        read_bars(path, guess_instrument("AAPL"), calendar)


def test_a_bad_stretch_can_be_left_out_by_its_dates(tmp_path):
    path = write_file(tmp_path, HEADER, "2024-07-02,8,12,9,11,100", GOOD, "2024-07-04,10,12,9,99,")
    bars = read(path, since=date(2024, 7, 3), until=date(2024, 7, 3))
    assert [bar.opens_at.day for bar in bars] == [3]


def test_dates_outside_the_window_must_still_ascend(tmp_path):
    path = write_file(tmp_path, HEADER, "2024-07-02,1,1,1,1,1", "2024-07-01,1,1,1,1,1", GOOD)
    with pytest.raises(DataError, match="line 3: date 2024-07-01 comes after 2024-07-02"):
        read(path, since=date(2024, 7, 3))


def test_a_window_without_bars_is_refused(tmp_path):
    with pytest.raises(DataError, match="no bar from 2025-01-01 to the end; choose other dates"):
        read(write_file(tmp_path, HEADER, GOOD), since=date(2025, 1, 1))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (HEADER.encode(), "a header and no rows"),
        (b"date,open,high,low,volume\n", "no column close; found 'date', 'open', 'high', 'low', 'volume'"),
        (HEADER.encode() + b",close\n", "column close is there twice"),
        (HEADER.encode() + b"\n2024-07-03,\xff,1,1,1,1\n", "line 2: not UTF-8 text"),
        (HEADER.encode() + b"\n\0\0\0\n", "line 2: not text but binary data"),
    ],
)
def test_a_file_that_is_no_table_of_bars_is_refused(tmp_path, content, complaint):
    path = tmp_path / "BTCUSDT.csv"
    path.write_bytes(content)
    assert complaint in refusal(path)


def test_a_damaged_parquet_file_is_refused(tmp_path):
    path = parquet(tmp_path / "B.parquet", date=["2024-07-03"], open=[1.0])
    path.write_bytes(path.read_bytes()[:-20])
    assert "not a readable Parquet file" in refusal(path)


def test_a_bad_parquet_row_is_refused_with_its_row(tmp_path):
    prices = {"open": [None], "high": [1.0], "low": [1.0], "close": [1.0]}
    path = parquet(tmp_path / "B.parquet", date=["2024-07-03"], **prices, volume=[1])
    assert "row 1: open is empty" in refusal(path)


def test_a_missing_file_and_another_kind_of_file_are_refused(tmp_path):
    assert "no such file or folder" in refusal(tmp_path / "BTCUSDT.csv")
    assert "give a file that ends in .csv" in refusal(write_file(tmp_path, GOOD, name="BTCUSDT.doc"))
    assert "not a table" in refusal(tmp_path)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@given(st.binary(max_size=200) | st.text(alphabet='date,open"\n\r0129.-', max_size=120).map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
def test_any_bytes_give_bars_or_one_line(tmp_path, ending, content):
    path = tmp_path / f"B.{ending}"
    for start in (b"", HEADER.encode() + b"\n"):
        path.write_bytes(start + content)
        require_bars_or_one_line(path)


@given(st.integers(0, 10_000), st.integers(0, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
def test_a_parquet_file_with_one_wrong_byte_gives_bars_or_one_line(tmp_path, place, value):
    columns = {name: [10.0, 10.0] for name in ("open", "high", "low", "close", "volume")}
    path = parquet(tmp_path / "B.parquet", date=["2024-07-03", "2024-07-04"], **columns)
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content)
    require_bars_or_one_line(path)


def test_the_span_of_a_file_is_its_first_and_last_date(tmp_path):
    path = write_file(tmp_path, HEADER, GOOD, "2024-07-09,,,,,")
    assert read_date_span(path) == (date(2024, 7, 3), date(2024, 7, 9))
