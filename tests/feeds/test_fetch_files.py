from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from engine.errors import DataError
from feeds.history.candles import Adjustment
from feeds.history.download import FetchReport
from feeds.history.file_import import import_bars
from feeds.history.store import BarStore

NOW = datetime(2024, 6, 1, tzinfo=UTC)
HEADER = "date,open,high,low,close,volume"


def write_file(folder: Path, name: str, *days: str, close: float = 11) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("\n".join([HEADER, *(f"{day},10,12,9,{close},100" for day in days)]) + "\n")
    return path


def import_files(root: Path, *paths: Path, adjustment: Adjustment = Adjustment.RAW, **more) -> FetchReport:
    store = BarStore(root)
    return import_bars(paths, store, adjustment, clock=lambda: NOW, on_progress=lambda *_: None, **more)


def test_a_file_is_stored_under_its_name_with_what_its_user_says_of_it(tmp_path):
    file = write_file(tmp_path / "bars", "AAPL.csv", "2024-01-05", "2024-01-08")
    import_files(tmp_path / "store", file, adjustment=Adjustment.SPLIT)
    stored = BarStore(tmp_path / "store").read("file", "AAPL")
    assert [candle.starts_at.date() for candle in stored.candles] == [date(2024, 1, 5), date(2024, 1, 8)]
    assert (stored.adjustment, stored.provenance, stored.fetched_at) == ("split", "file AAPL.csv", NOW)
    assert stored.gaps == ()


def test_a_session_without_a_row_becomes_a_named_gap(tmp_path):
    file = write_file(tmp_path / "bars", "BTCUSDT.csv", "2024-01-05", "2024-01-08")
    (report,) = import_files(tmp_path / "store", file).symbols
    assert [str(gap) for gap in report.gaps] == [
        "BTCUSDT 2024-01-06 to 2024-01-07: 2 missing; the file has no row"
    ]
    assert (report.new, report.stored) == (2, 2)


def test_a_later_file_adds_its_days_and_fills_gaps(tmp_path):
    import_files(tmp_path / "store", write_file(tmp_path / "old", "BTCUSDT.csv", "2024-01-05", "2024-01-08"))
    later = write_file(tmp_path / "new", "BTCUSDT.csv", "2024-01-07", "2024-01-08", "2024-01-09")
    (report,) = import_files(tmp_path / "store", later).symbols
    assert (report.new, report.stored) == (2, 4)
    assert [(gap.first.date(), gap.candles) for gap in report.gaps] == [(date(2024, 1, 6), 1)]


def test_a_file_that_contradicts_the_store_is_refused_until_it_shall_replace_it(tmp_path):
    import_files(tmp_path / "store", write_file(tmp_path / "old", "BTCUSDT.csv", "2024-01-05"))
    other = write_file(tmp_path / "new", "BTCUSDT.csv", "2024-01-05", close=11.5)
    with pytest.raises(DataError, match=r"closes at 11\.5 on 2024-01-05, and at 11 in the store"):
        import_files(tmp_path / "store", other)
    import_files(tmp_path / "store", other, refresh=True)
    assert BarStore(tmp_path / "store").read("file", "BTCUSDT").candles[0].close == 11.5


def test_raw_and_adjusted_files_are_never_mixed(tmp_path):
    file = write_file(tmp_path / "bars", "AAPL.csv", "2024-01-05")
    import_files(tmp_path / "store", file)
    with pytest.raises(DataError, match="the store has raw ones, and the two are never mixed"):
        import_files(tmp_path / "store", file, adjustment=Adjustment.SPLIT)


def test_days_between_two_files_are_a_named_gap(tmp_path):
    for day in ("2024-01-10", "2024-01-20", "2024-01-05"):
        (report,) = import_files(
            tmp_path / "store", write_file(tmp_path / "bars", "BTCUSDT.csv", day)
        ).symbols
    assert [str(gap) for gap in report.gaps] == [
        "BTCUSDT 2024-01-06 to 2024-01-09: 4 missing; the file has no row",
        "BTCUSDT 2024-01-11 to 2024-01-19: 9 missing; the file has no row",
    ]


def test_stocks_files_join_over_a_weekend(tmp_path):
    import_files(tmp_path / "store", write_file(tmp_path / "old", "AAPL.csv", "2024-01-05"))
    (report,) = import_files(
        tmp_path / "store", write_file(tmp_path / "new", "AAPL.csv", "2024-01-08")
    ).symbols
    assert (report.stored, report.gaps) == (2, ())


def test_a_bad_file_is_refused_with_its_line_and_nothing_is_written(tmp_path):
    file = write_file(tmp_path / "bars", "BTCUSDT.csv", "2024-01-05", close=99)
    with pytest.raises(
        DataError, match=r"BTCUSDT\.csv, line 2: close 99\.0 is outside low 9\.0 to high 12\.0"
    ):
        import_files(tmp_path / "store", file)
    assert BarStore(tmp_path / "store").symbols("file") == []
