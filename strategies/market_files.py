"""The data of a run from files of bars and news."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from engine.errors import DataError
from engine.instruments import ROUND_THE_CLOCK, Instrument
from engine.model import Bar
from feeds.files.bars import find_bar_files, read_bars, read_dates, read_day_offset, read_first_days
from feeds.files.dialects import describe_bar_file
from feeds.files.folders import require_known_tables
from feeds.files.layouts import ColumnSettings
from feeds.files.tables import read_once
from feeds.instruments import guess_instrument
from feeds.quality.checks import check_files
from strategies.config import BacktestConfig
from strategies.console import Progress
from strategies.instrument_settings import (
    build_instruments,
    describe_assumptions,
    find_unused_names,
    load_calendars,
)
from strategies.market import Market, accept_findings, build_market, history_start, select_symbols
from strategies.market_news import read_archive


@read_once()
def load_files(config: BacktestConfig, on_progress: Progress) -> Market:
    """Read the files that `config` names. Raises DataError, also for data that would harm a backtest."""
    columns = config.columns.to_settings()
    skipped = require_known_tables(
        [*config.bars, *config.news], skip=config.skip_unknown_files, columns=columns
    )
    files = find_bar_files(config.bars, columns)
    for symbol, path in files.items():
        if not symbol.isprintable():
            raise DataError(f"{path!r}: the name is the symbol, and it cannot be printed; rename the file")
    picked = select_symbols(config.symbols, files, ", ".join(str(path) for path in config.bars))
    days = {symbol: read_first_days(files[symbol], columns) for symbol in picked}
    instruments, notes = _set_day_offsets(build_instruments(picked, config, days), files, columns)
    spans: dict[str, tuple[date, date]] = {}
    counts = [0]
    for symbol in picked:
        on_progress("reading files", len(spans), len(picked))
        dates = read_dates(files[symbol], columns)
        spans[symbol] = dates[0], dates[-1]
        counts.append(counts[-1] + len(dates))
    on_progress("reading files", len(spans), len(picked))
    newest = max(last for _, last in spans.values())
    if config.start and newest < config.start:
        raise DataError(
            f"{config.bars[0]}: no bar from {config.start} on, the newest is of {newest}; "
            "choose an earlier --start"
        )
    since = history_start(config)
    for symbol, (first, last) in spans.items():
        if (since and last < since) or (config.end and config.end < first):
            raise DataError(
                f"{files[symbol]}: no bar from {config.start or 'the start'} to {config.end or 'the end'}, "
                f"its bars are of {first} to {last}; choose other dates"
            )
    notes += describe_assumptions(config, instruments)
    notes = skipped + notes + find_unused_names(config, instruments, files)
    calendars = load_calendars(instruments, spans)
    bars: dict[str, Sequence[Bar]] = {}
    for symbol, instrument in instruments.items():
        on_progress("reading bars", counts[len(bars)], counts[-1])
        bars[symbol] = read_bars(
            files[symbol],
            instrument,
            calendars[instrument.calendar],
            since=since,
            until=config.end,
            columns=columns,
        )
    on_progress("reading bars", counts[-1], counts[-1])
    news = read_archive(config, instruments, bars)

    def report(done: int, _total: int) -> None:
        # Files of news come after those of bars.
        on_progress("checking bars", counts[min(done, len(picked))], counts[-1])

    notes += _check_files([files[symbol] for symbol in picked], instruments, config, report)
    notes += filter(None, [describe_bar_file(files[symbol], columns) for symbol in picked])
    return build_market(config, instruments, calendars, bars, news, notes, "files")


def _set_day_offsets(
    instruments: dict[str, Instrument], files: Mapping[str, Path], columns: ColumnSettings
) -> tuple[dict[str, Instrument], list[str]]:
    """Return the instruments with the days that their files state, and a note on each that are not UTC's."""
    notes = []
    for symbol, instrument in instruments.items():
        if instrument.calendar == ROUND_THE_CLOCK and (offset := read_day_offset(files[symbol], columns)):
            instruments[symbol] = replace(instrument, calendar=ROUND_THE_CLOCK + offset)
            notes.append(f"{symbol}: its days begin at midnight of {offset}, as its file states.")
    return instruments, notes


def _check_files(
    files: Sequence[Path],
    instruments: Mapping[str, Instrument],
    config: BacktestConfig,
    on_progress: Callable[[int, int], None],
) -> list[str]:
    findings = check_files(
        [*files, *config.news],
        columns=config.columns.to_settings(),
        get_instrument=lambda symbol, days=(): instruments.get(symbol) or guess_instrument(symbol, days),
        skip_unknown=True,
        on_progress=on_progress,
    )
    return accept_findings(findings, config)
