"""Run all data checks on files of bars and news.

A file that a backtest would refuse is still checked to its end.
"""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

from engine.calendars import Calendar, load_calendar
from engine.errors import DataError, UsageError
from engine.instruments import Instrument, is_round_the_clock
from feeds.files.bars import read_first_days
from feeds.files.folders import NO_ACTIONS, find_unread_tables, lists_corporate_actions
from feeds.files.kinds import identify_table
from feeds.files.layouts import NOTHING_STATED, ColumnSettings
from feeds.files.listing import list_tables
from feeds.files.raw import stem_of
from feeds.files.tables import UnknownTableError, read_once
from feeds.instruments import GetInstrument, guess_instrument
from feeds.quality.days import check_days
from feeds.quality.findings import Finding, FindingFactory, Kind, pluralize
from feeds.quality.news import NewsCheck, check_news
from feeds.quality.repeats import check_repeats
from feeds.quality.report import CheckReport, FileReport
from feeds.quality.rows import BarRow, RowCheck
from feeds.quality.volume import check_volume

__all__ = ["Calendars", "Finding", "Kind", "check_files", "check_news", "summarize_blocking"]
_MIN_DAY, _MAX_DAY = date(1900, 1, 1), date(2199, 12, 31)


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


@read_once()
def inspect_files(
    paths: Sequence[Path],
    *,
    columns: ColumnSettings = NOTHING_STATED,
    get_instrument: GetInstrument = guess_instrument,
    now: datetime | None = None,
    calendars: Calendars | None = None,
    skip_unknown: bool = False,
) -> CheckReport:
    """Check files of bars and news, and return what was read and found.

    Args:
        paths: Files or folders. Other kinds of file than tables, and hidden ones, are passed over.
        columns: What the user states about columns.
        get_instrument: Returns the instrument of a bar file by its stem and first days.
        now: When the files are read, in UTC; None to skip the check for unfinished sessions.
        calendars: Calendars to share between checks.
        skip_unknown: Whether tables of a folder that hold neither bars nor news are no findings.

    Raises:
        UsageError: For a path that is not there.
        DataError: For a folder without bars and news.
    """
    calendars = calendars or Calendars()
    reports: list[FileReport] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder; check the path")
        before = len(reports)
        for file in list_tables(path) if path.is_dir() else [path]:
            try:
                kind = identify_table(file, columns)
            except DataError as error:
                if not (skip_unknown and path.is_dir() and isinstance(error, UnknownTableError)):
                    reports.append(_report_unreadable(file, error, in_folder=path.is_dir()))
                continue
            if kind == "bars":
                instrument = get_instrument(stem_of(file), read_first_days(file, columns))
                reports.append(_check_bars(file, instrument, columns, now, calendars))
            else:
                reports.append(NewsCheck(file, now, columns.date_order).report)
        if path.is_dir() and not skip_unknown:
            reports += [_report_unreadable(file, error) for file, error in find_unread_tables(path)]
        if len(reports) == before:
            raise DataError(f"{path}: no file of bars or news in this folder; give another one")
    return CheckReport(files=reports)


def check_files(
    paths: Sequence[Path],
    *,
    columns: ColumnSettings = NOTHING_STATED,
    get_instrument: GetInstrument = guess_instrument,
    now: datetime | None = None,
    calendars: Calendars | None = None,
    skip_unknown: bool = False,
) -> list[Finding]:
    """Return all findings on files of bars and news; arguments and errors are those of `inspect_files`."""
    report = inspect_files(
        paths,
        columns=columns,
        get_instrument=get_instrument,
        now=now,
        calendars=calendars,
        skip_unknown=skip_unknown,
    )
    return report.findings


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
    path: Path,
    instrument: Instrument,
    columns: ColumnSettings,
    now: datetime | None,
    calendars: Calendars,
) -> FileReport:
    new_finding = FindingFactory(file=path, symbol=instrument.symbol)
    check = RowCheck(new_finding, columns)
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
) -> FileReport:
    """Return the report on usable rows, with its findings by line.

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
        findings += check_repeats(rows, instrument, new_finding)
        findings += check_prices(rows, instrument, new_finding)
    return FileReport(
        findings=sorted(findings, key=lambda finding: (finding.line or 0, finding.kind)),
        symbol=instrument.symbol,
        bars=len(rows),
        days=(rows[0].day, rows[-1].day) if rows else None,
    )


def _report_unreadable(file: Path, error: DataError, *, in_folder: bool = False) -> FileReport:
    sentence, blocking = str(error).removeprefix(str(file)).lstrip(":, "), True
    if in_folder and isinstance(error, UnknownTableError) and lists_corporate_actions(file):
        sentence, blocking = NO_ACTIONS, False
    finding = FindingFactory(file=file)(Kind.UNREADABLE, None, None, "", sentence, blocking=blocking)
    return FileReport(findings=[finding])
