"""Files of other programs that are converted, resampled, or refused with what to do."""

import csv
import json
from datetime import UTC, date, datetime, timedelta

import pytest

import closecall as cc
from engine.errors import DataError
from feeds.files.conversion import convert_bars, resample_bars
from feeds.files.dialects import read_bar_rows
from feeds.files.layouts import ColumnSettings
from tests.support.places import SHARED_CASES, needs_shared_cases
from tests.support.tables_on_disk import BAR_HEADER, write_lines
from tui.cli.main import run

CASES = SHARED_CASES / "17-dialects"
START = date(2024, 1, 1)


def refusal(path, read=lambda path: list(read_bar_rows(path))):
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def dated(days, *, step=1, form="%Y-%m-%d", first=START):
    """Rows of possible bars, one every `step` days."""
    days = [first + timedelta(days=step * number) for number in range(days)]
    return [f"{day.strftime(form)},{10 + n},{12 + n},{9 + n},{11 + n},100" for n, day in enumerate(days)]


def minutes(count, step, *, at="2024-01-01T00:00:00+00:00"):
    """Rows of bars that are `step` minutes long."""
    first = datetime.fromisoformat(at)
    rows = []
    for n in range(count):
        begin = first + timedelta(minutes=step * n)
        rows.append(f"{begin.isoformat()},{100 + n},{102 + n},{99 + n},{101 + n},1.5")
    return rows


@needs_shared_cases
@pytest.mark.parametrize(
    ("file", "bars", "first", "close"),
    [
        ("akshare/600519.csv", 77, "2024-01-02", 1728.91),
        ("binance/BTCUSDT-1d-2024-01.csv", 31, "2024-01-01", 43623.11278898),
        ("cdd/Binance_BTCUSDT_d.csv", 120, "2024-01-01", 43623.112788975886),
        ("freqtrade/BTC_USDT-1d.json", 120, "2024-01-01", 43623.112788975886),
        ("investing/BTCUSD.csv", 120, "2024-01-01", 43623.1),
        ("kraken/XBTUSD_1440.csv", 120, "2024-01-01", 43623.112788975886),
        ("pq_utc/AAPL.parquet", 82, "2024-01-02", 191.135853083002),
        ("reversed/AAPL.csv", 82, "2024-01-02", 191.135853083002),
        ("semi/AAPL.csv", 82, "2024-01-02", 191.14),
        ("tv/BINANCE_BTCUSDT, 1D.csv", 120, "2024-01-01", 43623.112788975886),
        ("yf_multi/AAPL.csv", 82, "2024-01-02", 191.135853083002),
    ],
)
def test_a_file_of_another_program_is_read_as_it_is(file, bars, first, close):
    data = cc.MarketData.from_files(CASES / file)
    ((series),) = data.bars.values()
    assert (len(series), f"{series[0].opens_at:%Y-%m-%d}", series[0].close) == (bars, first, close)
    assert series[-1].opens_at.date() == date(2024, 1, 31) if bars == 31 else date(2024, 4, 29)


@needs_shared_cases
def test_an_article_beyond_131072_characters_is_read():
    bars = SHARED_CASES / "11-spellings-in-symbols" / "BTCUSDT.csv"
    data = cc.MarketData.from_files(
        bars, SHARED_CASES / "18-long-article" / "news.csv", start=date(2024, 5, 5)
    )
    assert [(item.title, len(item.text)) for item in data.news] == [("a headline", 1_999)]
    assert csv.field_size_limit() == 131_072


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (dated(10, form="%d/%m/%Y"), "can be day first or month first, .* set `date_order`"),
        (dated(10, form="%m/%d/%Y"), "can be day first or month first"),
        (dated(30, step=7), "a bar every 7 days: weekly bars, and closecall reads daily bars only"),
        (dated(30, step=31), "monthly bars"),
        (minutes(40, 60), "a bar every 1 hour; closecall reads daily bars only"),
        (dated(20, form="%d.%m.%y"), "has a year of two digits; write it with four"),
        (
            [row.replace(row[:10], str(45_292 + n)) for n, row in enumerate(dated(20))],
            "day number of a spreads",
        ),
    ],
)
def test_a_file_that_can_be_read_in_two_ways_or_is_not_daily_is_refused(tmp_path, rows, complaint):
    with pytest.raises(DataError, match=complaint):
        list(read_bar_rows(write_lines(tmp_path / "X.csv", [BAR_HEADER, *rows])))


def test_a_day_above_twelve_or_a_setting_decides_the_order_of_day_and_month(tmp_path):
    path = write_lines(tmp_path / "X.csv", [BAR_HEADER, *dated(20, form="%d/%m/%Y")])
    assert [row.cells["date"] for row in read_bar_rows(path)][:2] == ["2024-01-01", "2024-01-02"]
    short = write_lines(tmp_path / "Y.csv", [BAR_HEADER, *dated(8, form="%d/%m/%Y")])
    stated = read_bar_rows(short, columns=ColumnSettings(date_order="day first"))
    assert [row.cells["date"] for row in stated][-1] == "2024-01-08"


def test_a_comma_that_may_group_or_divide_is_refused_until_it_is_named(tmp_path):
    rows = [
        f"{START + timedelta(days=n)};1,{200 + n};1,{300 + n};1,{100 + n};1,{250 + n};5" for n in range(9)
    ]
    path = write_lines(tmp_path / "X.csv", [BAR_HEADER.replace(",", ";"), *rows])
    assert "set `decimal`" in refusal(path)
    assert next(read_bar_rows(path, columns=ColumnSettings(decimal=","))).cells["open"] == "1.200"


def test_columns_can_be_stated_by_name_and_by_number(tmp_path):
    config = write_lines(
        tmp_path / "names.toml", ["[columns]", 'date = "when"', 'close = "ended"', "volume = 0"]
    )
    rows = [row.rpartition(",")[0] for row in dated(20)]
    path = write_lines(tmp_path / "BTCUSDT.csv", ["when,open,high,low,ended", *rows])
    words = ["data", "convert", str(path), "--out", str(tmp_path / "out")]
    assert run(words) == 3
    assert run([*words, "--config", str(config)]) == 0
    written = (tmp_path / "out" / "BTCUSDT.csv").read_text().splitlines()
    assert written[:2] == [BAR_HEADER, "2024-01-01,10,12,9,11,0"]
    bare = write_lines(tmp_path / "ETHUSDT.csv", [f"x,y,{row}" for row in dated(20)])
    numbers = {"date": 3, "open": 4, "high": 5, "low": 6, "close": 7, "volume": 8}
    data = cc.MarketData.from_files(bare, columns=numbers)
    assert data.bars["ETHUSDT"][0].close == 11


def describe_bars(folder):
    return [
        (bar.symbol, str(bar.opens_at.date()), bar.close)
        for bar in cc.MarketData.from_files(folder).traded_bars
    ]


@pytest.fixture
def odd_folder(tmp_path):
    """A folder with bars of our own form and of one that is not recognised, which `columns.toml` states."""
    folder = tmp_path / "odd"
    folder.mkdir()
    write_lines(folder / "ETHUSDT.csv", [BAR_HEADER, *dated(20)])
    write_lines(folder / "BTCUSDT.csv", ["when,first,top,bottom,ended,traded", *dated(20)])
    stated = ['date = "when"', 'open = "first"', 'high = "top"', 'low = "bottom"', 'close = "ended"']
    write_lines(tmp_path / "columns.toml", ["[columns]", *stated, 'volume = "traded"'])
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ["check", "data", "{odd}"],
        ["data", "convert", "{odd}/BTCUSDT.csv", "{odd}/ETHUSDT.csv", "--out", "{out}"],
        [
            "fetch",
            "bars",
            "--source",
            "file",
            "--bars",
            "{odd}",
            "--adjustment",
            "raw",
            "--data-dir",
            "{out}",
        ],
        ["backtest", "--bars", "{odd}", "--data-dir", "{out}"],
    ],
)
def test_every_command_that_reads_bars_reads_the_columns_that_are_stated(
    tmp_path, odd_folder, words, capsys, monkeypatch
):
    monkeypatch.setattr("tui.cli.data.utc_now", lambda: datetime(2024, 3, 1, tzinfo=UTC))
    words = [word.format(odd=odd_folder, out=tmp_path / "out") for word in words]
    assert run(words) in (3, 4)
    assert "lack the column" in "".join(capsys.readouterr())
    assert run([*words, "--config", str(tmp_path / "columns.toml")]) == 0
    if "convert" in words:
        assert describe_bars(tmp_path / "out") == [
            (symbol, str(START + timedelta(days=n)), 11 + n)
            for n in range(20)
            for symbol in ("BTCUSDT", "ETHUSDT")
        ]


def test_bars_of_an_hour_are_resampled_by_the_columns_that_are_stated(tmp_path, odd_folder):
    path = write_lines(
        odd_folder / "BTCUSDT.csv", ["when,first,top,bottom,ended,traded", *minutes(24 * 9, 60)]
    )
    words = ["data", "resample", str(path), "--out", str(tmp_path / "out")]
    assert run(words) == 3
    assert run([*words, "--config", str(tmp_path / "columns.toml")]) == 0
    assert describe_bars(tmp_path / "out")[0] == ("BTCUSDT", "2024-01-01", 124)


@pytest.mark.parametrize(
    ("header", "stated", "complaint"),
    [
        ("when,first,top,bottom,ended,traded", 'date = "when"\nclose = "endde"', "did you mean 'ended'?"),
        (BAR_HEADER, 'close = "Cloze"', "no column 'Cloze', which [columns] states as close"),
        (
            BAR_HEADER,
            "date = 1\nopen = 2\nhigh = 3\nlow = 4\nclose = 9",
            "6 columns, and [columns] states column 9",
        ),
    ],
)
def test_a_stated_column_that_a_file_lacks_is_named(tmp_path, header, stated, complaint, capsys):
    config = write_lines(tmp_path / "columns.toml", ["[columns]", stated])
    path = write_lines(tmp_path / "BTCUSDT.csv", [header, *dated(20)])
    assert run(["data", "convert", str(path), "--out", str(tmp_path / "out"), "--config", str(config)]) == 3
    assert complaint in capsys.readouterr().err


def test_news_beside_bars_by_number_stays_news(tmp_path):
    config = write_lines(
        tmp_path / "columns.toml",
        [
            "[columns]",
            *(
                f"{name} = {at}"
                for at, name in enumerate(("date", "open", "high", "low", "close", "volume"), start=1)
            ),
        ],
    )
    write_lines(tmp_path / "BTCUSDT.csv", dated(20))
    news = ["Date,Article_title,Stock_symbol,Url,Publisher,Author", "2024-01-02,A title,BTC,x,P,Q"]
    write_lines(tmp_path / "fnspid.csv", news)
    assert run(["check", "data", str(tmp_path), "--config", str(config)]) == 0


def test_a_file_of_several_symbols_becomes_a_file_of_each(tmp_path, capsys):
    rows = [f"{symbol},{row}" for row in dated(12) for symbol in ("BTC/USDT", "ETH/USDT")]
    path = write_lines(tmp_path / "coins.csv", [f"symbol,{BAR_HEADER}", *rows])
    assert f"run closecall data convert {path}" in refusal(path)
    out = tmp_path / "out"
    assert run(["data", "convert", str(path), "--out", str(out), "--json"]) == 0
    written = json.loads(capsys.readouterr().out)["written"]
    assert [(file["path"], file["rows"]) for file in written] == [
        (str(out / "BTC-USDT.csv"), 12),
        (str(out / "ETH-USDT.csv"), 12),
    ]
    assert run(["data", "convert", str(path), "--out", str(out)]) == 3
    assert "is there already" in capsys.readouterr().err
    assert len(cc.MarketData.from_files(out).bars) == 2


def test_a_large_file_of_minutes_is_refused_by_its_start(tmp_path, monkeypatch):
    path = write_lines(tmp_path / "BTCUSDT.csv", [BAR_HEADER, *minutes(30_000, 1)])
    rest = b"2024-02-01T00:00:00+00:00,\xff,not,bars,at,all\n"
    path.write_bytes(path.read_bytes() + rest)
    assert "a bar every 1 minute; closecall reads daily bars only" in refusal(path)
    assert "a bar every 1 minute" in refusal(path, lambda path: convert_bars([path], tmp_path / "out"))
    monkeypatch.setattr("feeds.files.tables.MAX_LINES", 10_000)
    assert "split it, such as by year" in refusal(path, lambda path: resample_bars([path], tmp_path / "out"))


@pytest.mark.parametrize("suffix", [".xlsx", ".xls"])
def test_a_spreadsheet_is_refused_with_the_way_to_a_csv(tmp_path, suffix, capsys):
    path = tmp_path / f"AAPL{suffix}"
    path.write_bytes(b"PK\x03\x04")
    for words in (["backtest", "--bars", str(path)], ["check", "data", str(tmp_path)]):
        assert run(words) in (3, 4)
        printed = " ".join("".join(capsys.readouterr()).split())
        assert "open it, choose File, Save As and the type CSV UTF-8 (.csv), and give that file" in printed


def test_news_is_converted_too(tmp_path, capsys):
    path = write_lines(
        tmp_path / "fnspid.csv", ["Date,Article_title,Stock_symbol", "2024-01-02,A title,AAPL"]
    )
    assert run(["data", "convert", str(path), "--out", str(tmp_path / "news")]) == 0
    assert (tmp_path / "news" / "fnspid.csv").read_text().splitlines() == [
        "published_at,source,symbols,title,text",
        "2024-01-02,,AAPL,A title,",
    ]
    assert "title = 'Article_title'" in capsys.readouterr().err


def test_months_of_one_symbol_are_joined_and_a_contradiction_is_refused(tmp_path):
    early, late = dated(10), dated(12, first=START + timedelta(days=10))
    files = [
        write_lines(tmp_path / f"BTCUSDT-1d-2024-0{n}.csv", [BAR_HEADER, *rows])
        for n, rows in enumerate((early, late), start=1)
    ]
    (written,) = convert_bars(files, tmp_path / "out")
    assert (written.path.name, written.rows) == ("BTCUSDT.csv", 22)
    again = write_lines(tmp_path / "BTCUSDT-1d-2024-03.csv", [BAR_HEADER, late[0].replace(",100", ",7")])
    with pytest.raises(DataError, match="has other numbers in"):
        convert_bars([*files, again], tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_shorter_bars_become_days_that_are_whole(tmp_path):
    path = write_lines(tmp_path / "BTCUSDT.csv", [BAR_HEADER, *minutes(24 * 9 + 5, 60)])
    (written,) = resample_bars([path], tmp_path / "out")
    assert (written.rows, written.last) == (9, "2024-01-09")
    assert written.path.read_text().splitlines()[1] == "2024-01-01,100,125,99,124,36.0"
    assert "1 days without their first or last bar left out" in written.notes[0]


def test_days_of_a_stock_are_counted_in_its_zone(tmp_path):
    rows = [row for day in range(2, 6) for row in minutes(9 + day, 30, at=f"2024-01-0{day}T14:30:00+00:00")]
    path = write_lines(tmp_path / "AAPL.csv", [BAR_HEADER, *rows])
    assert "--zone America/New_York" in refusal(path, lambda path: resample_bars([path], tmp_path / "out"))
    assert (
        run(["data", "resample", str(path), "--out", str(tmp_path / "out"), "--zone", "America/New_York"])
        == 0
    )
    data = cc.MarketData.from_files(tmp_path / "out")
    opens_at = [bar.opens_at for bar in data.bars["AAPL"]]
    assert (len(opens_at), opens_at[0]) == (4, datetime(2024, 1, 2, 14, 30, tzinfo=UTC))


def test_midnights_of_new_york_in_utc_are_its_days(tmp_path):
    rows = [
        f"{row[:10]}T05:00:00Z{row[10:]}" for row in dated(40) if date.fromisoformat(row[:10]).weekday() < 5
    ]
    path = write_lines(tmp_path / "AAPL.csv", [BAR_HEADER, *rows])
    assert [row.cells["date"] for row in read_bar_rows(path)][:2] == ["2024-01-01", "2024-01-02"]


def test_a_coins_days_that_begin_at_another_hour_keep_their_instants(tmp_path):
    rows = [f"{row[:10]}T16:00:00Z{row[10:]}" for row in dated(40)]
    data = cc.MarketData.from_files(write_lines(tmp_path / "BTCUSDT.csv", [BAR_HEADER, *rows]))
    assert data.bars["BTCUSDT"][0].opens_at == datetime(2024, 1, 1, 16, tzinfo=UTC)
