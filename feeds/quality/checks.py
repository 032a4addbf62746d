"""The check of data: every finding on files of bars and news, and whether one would harm a backtest.

Knows which rules there are, not what they look for. A file that a backtest would refuse is checked to its
end.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path

from engine.calendars import Calendar, load_calendar
from engine.errors import DataError
from engine.instruments import Instrument
from feeds.files.bars import COLUMNS as BAR_COLUMNS
from feeds.files.bars import guess_instrument
from feeds.files.news import COLUMNS as NEWS_COLUMNS
from feeds.files.tables import read_columns
from feeds.quality.days import check_days
from feeds.quality.findings import Finding, FindingFactory, Kind, pluralize
from feeds.quality.news import check_news
from feeds.quality.prices import check_volume
from feeds.quality.rows import BarRow, RowCheck

__all__ = ["Calendars", "Finding", "Kind", "check_bars", "check_files", "check_news", "summarize_blocking"]

_LEAST, _MOST = date(1900, 1, 1), date(2199, 12, 31)

_SUFFIXES = (".csv", ".jsonl", ".parquet")


class Calendars:
    """Calendars by code, each built once for all the days asked for; several checks can share them."""

    def __init__(self) -> None:
        self._built: dict[str, tuple[date, date, Calendar]] = {}

    def covering(self, code: str, first: date, last: date) -> Calendar:
        """The calendar `code` for at least the days `first` to `last`. Raises DataError."""
        if code in self._built:
            since, until, calendar = self._built[code]
            if since <= first and last <= until:
                return calendar
            first, last = min(first, since), max(last, until)
        calendar = load_calendar(code, first, last)
        self._built[code] = first, last, calendar
        return calendar


def check_bars(
    path: Path, instrument: Instrument | None = None, *, now: datetime | None = None
) -> list[Finding]:
    """Everything that is wrong with one bar file, by line.

    `instrument` is what the file holds, guessed from its name if None; `now` (UTC) is when the file is read,
    and without it no bar is found unfinished. Raises nothing on account of what the file holds.
    """
    return _check_bars(path, instrument or guess_instrument(path.stem), now, Calendars())


def check_files(
    paths: Sequence[Path],
    *,
    instruments: Mapping[str, Instrument] | None = None,
    now: datetime | None = None,
    calendars: Calendars | None = None,
) -> list[Finding]:
    """Everything that is wrong with the files of bars and news in `paths`, each a file or a folder.

    `instruments` are by the name of their bar file without its ending; the others are guessed. In a folder
    other tables, other kinds of file and hidden files are passed over; a file named in `paths` must hold bars
    or news. Raises DataError for a path that is not there, and for a folder without bars and news.
    """
    found: list[Finding] = []
    calendars = calendars or Calendars()
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; check the path")
        checked = 0
        for file in _list_files(path):
            columns = _read_columns(file, found)
            if set(BAR_COLUMNS) <= columns:
                instrument = (instruments or {}).get(file.stem) or guess_instrument(file.stem)
                found += _check_bars(file, instrument, now, calendars)
            elif set(NEWS_COLUMNS) <= columns:
                found += check_news(file, now=now)
            elif columns and file == path:
                found.append(
                    _unreadable_finding(file, "neither bars nor news; name the columns in the header")
                )
            else:
                continue
            checked += 1
        if not checked and not any(one.file.is_relative_to(path) for one in found):
            raise DataError(f"{path}: no file of bars or news in this folder; give another one")
    return found


def summarize_blocking(findings: Sequence[Finding]) -> str:
    """One line on what would harm a backtest, with the first place; empty if nothing would."""
    harmful = [one for one in findings if one.harmful]
    if not harmful:
        return ""
    first = harmful[0]
    files = pluralize(len({one.file for one in harmful}), "file")
    count = pluralize(len(harmful), "finding")
    return f"{first.place}: {first.sentence} ({count} in {files} would harm a backtest)"


def _check_bars(
    path: Path, instrument: Instrument, now: datetime | None, calendars: Calendars
) -> list[Finding]:
    find = FindingFactory(file=path, symbol=instrument.symbol)
    check = RowCheck(find)
    rows = [row for row in check.rows if _LEAST <= row.day <= _MOST]
    return check_rows(rows, instrument, find, now, calendars, found=check.findings)


def check_rows(
    rows: Sequence[BarRow],
    instrument: Instrument,
    find: FindingFactory,
    now: datetime | None,
    calendars: Calendars,
    found: Sequence[Finding] = (),
) -> list[Finding]:
    """What is wrong with usable rows that ascend, beside what was `found` already, by line."""
    from feeds.quality.prices import check_prices

    found = list(found)
    if rows:
        first = rows[0]
        try:
            calendar = calendars.covering(instrument.calendar, first.day, rows[-1].day)
            found += check_days(rows, instrument, calendar, find, now)
        except DataError as error:
            found.append(find(Kind.DATE, first.line, first.day, str(first.day), str(error)))
        found += check_volume(rows, find)
        found += check_prices(rows, instrument, find)
    return sorted(found, key=lambda one: (one.line or 0, one.kind))


def _list_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(
        file
        for file in path.iterdir()
        if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".") and file.is_file()
    )


def _read_columns(file: Path, found: list[Finding]) -> set[str]:
    try:
        return set(read_columns(file))
    except DataError as error:
        found.append(_unreadable_finding(file, str(error).removeprefix(str(file)).lstrip(":, ")))
        return set()


def _unreadable_finding(file: Path, sentence: str) -> Finding:
    return FindingFactory(file=file)(Kind.UNREADABLE, None, None, "", sentence)
