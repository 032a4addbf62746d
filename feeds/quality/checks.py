"""Run all data checks on files of bars and news.

A file that a backtest would refuse is still checked to its end.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path

from engine.calendars import Calendar, load_calendar
from engine.errors import DataError
from engine.instruments import Instrument, is_round_the_clock
from feeds.files.bars import COLUMNS as BAR_COLUMNS
from feeds.files.bars import guess_instrument
from feeds.files.news import COLUMNS as NEWS_COLUMNS
from feeds.files.tables import read_columns, read_once
from feeds.quality.days import check_days
from feeds.quality.findings import Finding, FindingFactory, Kind, pluralize
from feeds.quality.news import check_news
from feeds.quality.rows import BarRow, RowCheck
from feeds.quality.volume import check_volume

__all__ = ["Calendars", "Finding", "Kind", "check_bars", "check_files", "check_news", "summarize_blocking"]
_MIN_DAY, _MAX_DAY = date(1900, 1, 1), date(2199, 12, 31)
_SUFFIXES = (".csv", ".jsonl", ".parquet")


class Calendars:
    """Calendars by code, each built once; several checks can share them."""

    def __init__(self) -> None:
        self._built: dict[str, tuple[date, date, Calendar]] = {}

    def covering(self, code: str, first: date, last: date) -> Calendar:
        """Return the calendar `code` for at least the days `first` to `last`.

        Raises:
            DataError: For an unknown code.
        """
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
    """Return all findings on one bar file, by line, whatever the file contains.

    Args:
        path: The file.
        instrument: The instrument in the file; None to guess it from the file's name.
        now: When the file is read, in UTC; None to skip the check for unfinished sessions.
    """
    return _check_bars(path, instrument or guess_instrument(path.stem), now, Calendars())


@read_once()
def check_files(
    paths: Sequence[Path],
    *,
    instruments: Mapping[str, Instrument] | None = None,
    now: datetime | None = None,
    calendars: Calendars | None = None,
) -> list[Finding]:
    """Return all findings on files of bars and news.

    Args:
        paths: Files or folders. A file must hold bars or news; in a folder, other tables, other kinds of file
            and hidden files are skipped.
        instruments: Instruments by the stem of their bar file; the others are guessed.
        now: When the files are read, in UTC; None to skip the check for unfinished sessions.
        calendars: Calendars to share between checks.

    Raises:
        DataError: For a missing path, and for a folder without bars and news.
    """
    findings: list[Finding] = []
    calendars = calendars or Calendars()
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; check the path")
        checked = 0
        for file in _list_files(path):
            columns = _read_columns(file, findings)
            if set(BAR_COLUMNS) <= columns:
                instrument = (instruments or {}).get(file.stem) or guess_instrument(file.stem)
                findings += _check_bars(file, instrument, now, calendars)
            elif set(NEWS_COLUMNS) <= columns:
                findings += check_news(file, now=now)
            elif columns and file == path:
                findings.append(
                    _unreadable_finding(file, "neither bars nor news; name the columns in the header")
                )
            else:
                continue
            checked += 1
        if not checked and not any(finding.file.is_relative_to(path) for finding in findings):
            raise DataError(f"{path}: no file of bars or news in this folder; give another one")
    return findings


def summarize_blocking(findings: Sequence[Finding]) -> str:
    """Return one line on the blocking findings, with the first of them; empty if there are none."""
    blocking = [finding for finding in findings if finding.blocking]
    if not blocking:
        return ""
    first = blocking[0]
    files = pluralize(len({finding.file for finding in blocking}), "file")
    count = pluralize(len(blocking), "finding")
    return f"{first.place}: {first.sentence} ({count} in {files} would harm a backtest)"


def _check_bars(
    path: Path, instrument: Instrument, now: datetime | None, calendars: Calendars
) -> list[Finding]:
    new_finding = FindingFactory(file=path, symbol=instrument.symbol)
    check = RowCheck(new_finding)
    if is_round_the_clock(instrument.calendar) and len(check.offsets) > 1:
        fault = "the days have several offsets from UTC; write days that all begin at the same hour"
        check.findings.append(new_finding(Kind.CLOCK, None, None, "", fault))
    rows = [row for row in check.rows if _MIN_DAY <= row.day <= _MAX_DAY]
    return check_rows(rows, instrument, new_finding, now, calendars, earlier=check.findings)


def check_rows(
    rows: Sequence[BarRow],
    instrument: Instrument,
    new_finding: FindingFactory,
    now: datetime | None,
    calendars: Calendars,
    earlier: Sequence[Finding] = (),
) -> list[Finding]:
    """Return the findings on usable rows, by line.

    Args:
        rows: The rows, ascending by date.
        instrument: Their instrument.
        new_finding: Creates the findings of this file.
        now: When the file is read, in UTC; None to skip the check for unfinished sessions.
        calendars: Calendars to share between checks.
        earlier: Findings that were made while the rows were read.
    """
    from feeds.quality.prices import check_prices

    findings = list(earlier)
    if rows:
        first = rows[0]
        try:
            calendar = calendars.covering(instrument.calendar, first.day, rows[-1].day)
            findings += check_days(rows, instrument, calendar, new_finding, now)
        except DataError as error:
            findings.append(new_finding(Kind.DATE, first.line, first.day, str(first.day), str(error)))
        findings += check_volume(rows, new_finding)
        findings += check_prices(rows, instrument, new_finding)
    return sorted(findings, key=lambda finding: (finding.line or 0, finding.kind))


def _list_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(
        file
        for file in path.iterdir()
        if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".") and file.is_file()
    )


def _read_columns(file: Path, findings: list[Finding]) -> set[str]:
    try:
        return set(read_columns(file))
    except DataError as error:
        findings.append(_unreadable_finding(file, str(error).removeprefix(str(file)).lstrip(":, ")))
        return set()


def _unreadable_finding(file: Path, sentence: str) -> Finding:
    return FindingFactory(file=file)(Kind.UNREADABLE, None, None, "", sentence)
