"""Files of bars and news that cannot be trusted, as the command meets them."""

import pytest

from tests.support.tables_on_disk import (
    BAR_HEADER,
    NEWS_HEADER,
    bar_lines,
    write_bars,
    write_lines,
    write_news,
)
from tui.cli.main import run

NEWS_ROW = "2024-01-03T10:00:00Z,wire,BTC-USD,Bitcoin rises,"


def expect_refusal(folder, capsys, *arguments, code=3):
    """Run a backtest that must fail; its one line. Nothing may have been written."""
    assert run(["backtest", *arguments, "--data-dir", f"{folder}/data", "--out", f"{folder}/out"]) == code
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("closecall: ")
    assert not (folder / "data").exists()
    assert not (folder / "out").exists()
    return line


def third_bar(row):
    """Four sound bars, the third of which (line 4) is `row`."""
    lines = bar_lines(4)
    return [*lines[:3], row, *lines[4:]]


BAD_ROWS = {
    "an unreadable date": ("soon,1,1,1,1,1", "'soon'", "YYYY-MM-DD"),
    "a day that does not exist": ("2024-02-30,1,1,1,1,1", "'2024-02-30'", "YYYY-MM-DD"),
    "a date without a value": (",1,1,1,1,1", "''", "YYYY-MM-DD"),
    "a day before all calendars": ("1850-01-01,1,1,1,1,1", "1850-01-01", "oldest first"),
    "not a number": ("2024-01-03,1,1,1,nan,1", "close nan", "remove the row"),
    "an infinite price": ("2024-01-03,1,inf,1,1,1", "high inf", "remove the row"),
    "a price of zero": ("2024-01-03,0,1,0,1,1", "open 0.0", "remove the row"),
    "a price below zero": ("2024-01-03,1,1,-1,1,1", "low -1.0", "remove the row"),
    "a high below the low": ("2024-01-03,5,4,6,5,1", "high 4.0 is below low 6.0", "remove the row"),
    "a close outside the range": ("2024-01-03,5,6,4,7,1", "close 7.0", "remove the row"),
    "a volume below zero": ("2024-01-03,5,6,4,5,-1", "volume -1.0", "remove the row"),
    "a word for a number": ("2024-01-03,5,6,4,n/a,1", "close 'n/a'", "remove the row"),
    "a number with a comma": ('2024-01-03,"1,000",1,1,1,1', "open '1,000'", "remove the row"),
    "an empty cell": ("2024-01-03,5,6,4,,1", "close is empty", "remove the row"),
    "a row that is too short": ("2024-01-03,5,6,4", "4 cells", "remove the row"),
    "a quote that never closes": ('2024-01-03,"5,6,4,5,1', "unexpected end", "remove the row"),
    "a day that comes twice": ("2024-01-02,5,6,4,5,1", "2024-01-02 comes twice", "one row a day"),
    "a day out of order": ("2023-12-31,5,6,4,5,1", "comes after 2024-01-02", "oldest first"),
    "no text": ("2024-01-03,5,6,4,\0,1", "binary data", "CSV in UTF-8"),
}


@pytest.mark.parametrize(("row", "value", "remedy"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_a_bad_row_of_bars_is_refused_with_its_line_its_value_and_a_remedy(
    tmp_path, capsys, row, value, remedy
):
    path = write_lines(tmp_path / "BTC-USD.csv", third_bar(row))
    line = expect_refusal(tmp_path, capsys, "--bars", str(path))
    assert f"{path}, line 4: " in line
    assert value in line
    assert remedy in line


BAD_FILES = {
    "empty": ("BTC-USD.csv", b"", "empty"),
    "only blank": ("BTC-USD.csv", b"\n \n", "empty"),
    "only a header": ("BTC-USD.csv", BAR_HEADER.encode(), "no rows"),
    "without the close": (
        "BTC-USD.csv",
        b"date,open,high,low,volume\n2024-01-01,1,1,1,1\n",
        "no column close",
    ),
    "with the close twice": ("BTC-USD.csv", BAR_HEADER.encode() + b",close\n", "can both be close"),
    "an image": ("BTC-USD.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "UTF-8"),
    "a broken Parquet": ("BTC-USD.parquet", b"PAR1 not at all PAR1", "Parquet"),
    "an empty Parquet": ("BTC-USD.parquet", b"", "Parquet"),
    "another ending": ("BTC-USD.xlsx", b"PK", "choose File, Save As"),
    "a holiday": (
        "AAPL.csv",
        f"{BAR_HEADER}\n2024-01-01,1,1,1,1,1".encode(),
        "line 2: 2024-01-01 is a day on",
    ),
    "a name that cannot be printed": ("BTC\n-USD.csv", "\n".join(bar_lines(3)).encode(), "rename the file"),
}


@pytest.mark.parametrize(("name", "content", "reason"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_file_that_holds_no_bars_is_refused_by_name(tmp_path, capsys, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    line = expect_refusal(tmp_path, capsys, "--bars", str(path))
    assert (str(path) if name.isprintable() else repr(str(path))[1:-1]) in line
    assert reason in line


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--bars", "nowhere.csv"], ["nowhere.csv: no such file"]),
        (["--bars", "x" * 300], ["no such file"]),
        (["--bars", "empty"], ["empty: no bar file in this folder", ".csv or .parquet"]),
        (["--bars", "bars", "--symbols", "BTC-USDT"], ["bars: no bars of symbol BTC-USDT", "BTC-USD?"]),
        (["--bars", "bars", "--symbols", "BTC-USD", "NVDA"], ["no bars of symbol NVDA", "BTC-USD, ETH-EUR"]),
        (["--bars", "bars"], ["EUR, USD", "--symbols"]),
        (["--bars", "bars", "twin"], ["twin/BTC-USD.csv", "already"]),
        (
            ["--bars", "bars/BTC-USD.csv", "--start", "2025-01-01"],
            ["no bar from 2025-01-01", "2024-01-12", "--start"],
        ),
        (
            ["--bars", "bars/BTC-USD.csv", "--start", "2022-12-01", "--end", "2023-01-01"],
            ["no bar from 2022-12-01 to 2023-01-01, its bars are of 2024-01-01 to 2024-01-12", "other dates"],
        ),
        (["--bars", "bars/BTC-USD.csv", "--news", "nowhere"], ["nowhere: no such file"]),
        (["--bars", "bars/BTC-USD.csv", "--news", "empty"], ["empty: no news file", "published_at"]),
        (["--symbols", "AAPL"], ["the simulated market: no bars of symbol AAPL", "choose among"]),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_paths_symbols_and_dates_that_nothing_has_are_refused(tmp_path, capsys, monkeypatch, flags, parts):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_bars(tmp_path / "bars", "BTC-USD", "ETH-EUR")
    write_bars(tmp_path / "twin", "BTC-USD")
    missing = parts[0].rpartition(": ")[2].startswith(("no such file", "no bars of symbol"))
    line = expect_refusal(tmp_path, capsys, *flags, code=2 if missing else 3)
    assert all(part in line for part in parts), line


BAD_NEWS = {
    "no date column": ("title,text\na,b\n", "no column published_at"),
    "no date": (f"{NEWS_HEADER}\n{NEWS_ROW}\n,wire,,A,\n", "line 3: published_at is empty"),
    "an unreadable date": (f"{NEWS_HEADER}\nyesterday,wire,,A,\n", "line 2: published_at 'yesterday'"),
    "a date past all years": (f"{NEWS_HEADER}\n9999-12-31,wire,,A,\n", "line 2: published_at '9999-12-31'"),
    "an unknown precision": (
        f"{NEWS_HEADER},precision\n2024-01-03,wire,,A,,month\n",
        "line 2: precision 'month'",
    ),
    "first sight without a zone": (
        f"{NEWS_HEADER},first_seen_at\n2024-01-03,wire,,A,,2024-01-03T10:00\n",
        "line 2: first_seen_at has no zone",
    ),
    "an empty file": ("", "empty"),
}


@pytest.mark.parametrize(("text", "reason"), BAD_NEWS.values(), ids=BAD_NEWS.keys())
def test_bad_news_is_refused_with_its_place(tmp_path, capsys, text, reason):
    (bars,) = write_bars(tmp_path, "BTC-USD")
    news = tmp_path / "news.csv"
    news.write_text(text, encoding="utf-8")
    line = expect_refusal(tmp_path, capsys, "--bars", str(bars), "--news", str(news))
    assert str(news) in line
    assert reason in line


def test_news_that_fights_back_changes_no_line_of_the_terminal(tmp_path, capsys):
    (bars,) = write_bars(tmp_path, "BTC-USD")
    news = write_news(tmp_path, NEWS_ROW, '"\x1b[2J\nclosecall: all is well",wire,,A,')
    line = expect_refusal(tmp_path, capsys, "--bars", str(bars), "--news", str(news))
    assert line.isprintable()
    assert "line 3: published_at" in line


def test_a_fault_of_closecall_itself_is_one_line_that_asks_for_a_report(tmp_path, capsys, monkeypatch):
    def broken(*_args):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr("strategies.backtest.load_market_data", broken)
    line = expect_refusal(tmp_path, capsys, code=1)
    assert "report it: RuntimeError: first line second line" in line
    assert "test_bad_input.py:" in line
