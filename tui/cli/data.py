"""The commands that fetch and check bars and news."""

import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.errors import DataError, UsageError
from engine.journal.canonical import to_jsonable
from strategies.console import print_stderr, print_wait, utc_now
from tui.cli.config_options import config_options
from tui.cli.options import (
    AsJson,
    ConfigFile,
    DataDir,
    Sources,
    Urls,
    add_sources,
    print_json,
    require_used,
)
from tui.cli.paths import data_dir, working_dir
from tui.cli.progress import ProgressDisplay

__all__ = ["check_app", "collect", "data_app", "fetch_app"]
fetch_app = typer.Typer(help="Fetch bars and news into the store.", no_args_is_help=True)
check_app = typer.Typer(help="Check data quality and reproducibility.", no_args_is_help=True)
data_app = typer.Typer(help="Convert files of bars; list and remove what is stored.", no_args_is_help=True)
_BLOCKING_HELP = 4

BarFiles = Annotated[list[Path], typer.Argument(help="Files in any form that is recognised.")]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder for the new files, one for each symbol.")]
DateOrder = Annotated[
    str | None, typer.Option(help='"day first" or "month first", where the file does not decide it.')
]
Decimal = Annotated[str | None, typer.Option(help="Decimal sign, where the file does not decide it.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")]


@data_app.command("convert")
def convert_files(
    files: BarFiles,
    out: OutFolder = Path("bars"),
    date_order: DateOrder = None,
    decimal: Decimal = None,
    overwrite: Overwrite = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Write bars and news of other programs as files of our own, and say what was taken for what.

    Files of one symbol are joined; a file of several symbols becomes one file for each.

    Where the columns are not recognised, the table `columns` in --config names them.
    """
    from feeds.files.conversion import convert_bars, convert_news
    from feeds.files.kinds import identify_table

    columns = _column_settings(config, date_order, decimal)
    kinds = {file: identify_table(file, columns) for file in files}
    bars = [file for file in files if kinds[file] == "bars"]
    written = convert_bars(bars, out, columns=columns, overwrite=overwrite) if bars else []
    news = [file for file in files if kinds[file] == "news"]
    written += [convert_news(file, out, columns=columns, overwrite=overwrite) for file in news]
    _print_written(written, as_json=as_json)


@data_app.command("resample")
def resample_files(
    files: BarFiles,
    out: OutFolder = Path("bars"),
    zone: Annotated[
        str | None, typer.Option(help="Time zone of the days, such as America/New_York; coins: UTC.")
    ] = None,
    date_order: DateOrder = None,
    decimal: Decimal = None,
    overwrite: Overwrite = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Make daily bars of minutes or hours, and write them as files of our own.

    Days of a coin that lack their first or last bar are left out.
    """
    from feeds.files.conversion import resample_bars

    columns = _column_settings(config, date_order, decimal)
    written = resample_bars(files, out, zone=zone, columns=columns, overwrite=overwrite)
    _print_written(written, as_json=as_json)


def _column_settings(config: Path | None, date_order: str | None, decimal: str | None) -> Any:
    from strategies.config_file import load_config

    stated = {"date_order": date_order, "decimal": decimal}
    columns = {name: value for name, value in stated.items() if value is not None}
    settings = load_config(config, {"columns": columns} if columns else {}, print_stderr)
    return settings.columns.to_settings()


def _print_written(files: list[Any], *, as_json: bool) -> None:
    if as_json:
        rows = [_encode(file, {}) | {"path": str(file.path)} for file in files]
        print_json(to_jsonable({"written": rows}))
        return
    for file in files:
        for note in file.notes:
            print_stderr(note)
        sys.stdout.write(f"{file.path}: {file.rows} rows from {file.first} to {file.last}\n")


@fetch_app.command("bars")
@config_options(
    "symbols",
    "start",
    "end",
    "bars",
    "skip_unknown_files",
    flags={"start": "--since", "end": "--until"},
    texts={
        "start": "First day.",
        "end": "Last day; default: the newest.",
        "bars": "With --source file: files or folders.",
    },
)
def fetch_bars(
    flags: dict[str, Any],
    source: Sources = None,
    timeframe: Annotated[str, typer.Option(help="Length of a candle; stocks have 1d only.")] = "1d",
    adjustment: Annotated[
        str | None,
        typer.Option(help="raw, split or split+dividend; only files need it."),
    ] = None,
    retry_gaps: Annotated[bool, typer.Option("--retry-gaps", help="Request known gaps again.")] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Fetch everything again and replace it.")
    ] = False,
    url: Urls = None,
    config: ConfigFile = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Fetch missing bars into the store and check each candle; missing candles are stored as named gaps.

    The same command resumes a fetch that was interrupted.

    Several sources: --source ccxt:binance=BTC/USDT --source yfinance=AAPL,MSFT
    Files of yours: --source file --bars PATH --adjustment raw
    """
    from feeds.history.candles import Adjustment
    from feeds.history.file_import import SOURCE as FILES
    from feeds.sources.registry import list_sources, require_source
    from strategies.config_file import load_config
    from tui.cli.tables import print_fetch_report

    flags, tied = add_sources(flags, source, url)
    settings = load_config(config, flags, print_stderr)
    prices = _parse_adjustment(adjustment, Adjustment)
    if not settings.store:
        raise UsageError(f"name a source of bars: --source {list_sources('file')}")
    for name in settings.store:
        if name != FILES:
            require_source(name)
    require_used(flags, [name for name in settings.store if name != FILES])
    with ProgressDisplay() as progress:
        if set(settings.store) == {FILES}:
            reports = [_import_files(settings, data, prices, progress, refresh=refresh)]
        else:
            store = tuple(name for name in settings.store if name != FILES)
            how = {"timeframe": timeframe, "adjustment": prices}
            more = {"retry_gaps": retry_gaps, "refresh": refresh}
            reports = fetch_sources(
                settings.model_copy(update={"store": store}), tied, data, progress, how, more
            )
    if as_json:
        keys = {"provenance": "said_by"}
        print_json(to_jsonable({"fetched": [_encode(report, keys) for report in reports]}))
    else:
        for report in reports:
            print_fetch_report(report)


def _import_files(
    settings: Any, data: Path | None, prices: Any, progress: ProgressDisplay, *, refresh: bool
) -> Any:
    from feeds.history.candles import Adjustment
    from feeds.history.file_import import import_bars
    from feeds.history.store import BarStore
    from strategies.data_folder import BARS_FOLDER
    from strategies.instrument_settings import build_instruments

    if not settings.bars or prices is None:
        kinds = ", ".join(Adjustment)
        raise UsageError(f"--source file needs --bars PATH and --adjustment, one of {kinds}")
    if settings.symbols or settings.start or settings.end:
        raise UsageError("--source file takes whole files; leave --symbols, --since and --until out")
    return import_bars(
        settings.bars,
        BarStore(working_dir(data) / BARS_FOLDER),
        prices,
        clock=utc_now,
        on_progress=progress,
        columns=settings.columns.to_settings(),
        get_instrument=lambda symbol, days=(): build_instruments([symbol], settings, {symbol: days})[symbol],
        refresh=refresh,
        skip_unknown=settings.skip_unknown_files,
    )


def fetch_sources(
    settings: Any,
    symbol_overrides: Mapping[str, str],
    data: Path | None,
    progress: ProgressDisplay,
    how: Mapping[str, Any],
    more: Mapping[str, bool],
) -> list[Any]:
    """Fetch each source's symbols and return the reports."""
    from feeds.history.download import fetch_bars as fetch
    from feeds.history.store import BarStore
    from strategies.data_folder import BARS_FOLDER
    from strategies.instrument_settings import build_instruments
    from strategies.source_routing import RetryContext, SourceClients, assign_symbols

    if not settings.symbols or settings.start is None:
        raise UsageError("name --symbols and --since, the first day to fetch")
    instruments = build_instruments(dict.fromkeys(settings.symbols), settings)
    waiting = RetryContext(sleep=time.sleep, on_wait=progress.show_wait)
    clients = SourceClients(settings, instruments, clock=utc_now, waiting=waiting, **how)
    return [
        fetch(
            clients.get(source),
            BarStore(working_dir(data) / BARS_FOLDER),
            wanted,
            settings.start,
            settings.end,
            clock=utc_now,
            sleep=time.sleep,
            on_progress=progress,
            on_wait=progress.show_wait,
            **more,
        )
        for source, wanted in assign_symbols(
            settings.store, instruments, symbol_overrides, clients.lists_symbol
        ).items()
    ]


@fetch_app.command("news")
@config_options("feeds", "symbols")
def fetch_news(
    flags: dict[str, Any],
    articles: Annotated[int, typer.Option(min=0, help="Maximum number of article pages to read.")] = 100,
    config: ConfigFile = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Fetch feeds once and store new items with the time they were first seen.

    --symbols names the symbols that items are matched to; items of others are stored as well.
    """
    from feeds.instruments import guess_instrument
    from feeds.news.download import FetchSettings
    from feeds.news.download import fetch_news as fetch
    from feeds.news.store import NewsStore
    from feeds.symbols import NameTable
    from strategies.config_file import load_config
    from strategies.data_folder import NEWS_FILE
    from tui.cli.tables import print_news

    settings = load_config(config, flags, print_stderr)
    if not settings.feeds:
        raise UsageError("name a feed: --feed https://…, or `feeds` in the configuration")
    names = NameTable.for_instruments(map(guess_instrument, settings.symbols), settings.aliases)
    report = fetch(
        settings.feeds,
        NewsStore(working_dir(data) / NEWS_FILE),
        names,
        clock=utc_now,
        sleep=time.sleep,
        settings=FetchSettings(max_articles=articles),
    )
    for fault in (*report.faults, *report.article_faults):
        print_stderr(f"closecall: {fault}")
    if as_json:
        print_json(to_jsonable(_encode(report, {"text_sources": "speakers"})))
    else:
        print_news(report)


@check_app.command("data")
def check_data(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files or folders of bars and news.")] = None,
    store: Annotated[bool, typer.Option("--store", help="Check the store of fetched bars.")] = False,
    skip_unknown: Annotated[
        bool,
        typer.Option("--skip-unknown-files", help="Leave out files of a folder that are no bars or news."),
    ] = False,
    config: ConfigFile = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Find gaps, bad prices, outliers, unadjusted splits, wrong dates and news from the future.

    Exit code 4 if a finding would harm a backtest. Of --config, the tables `columns` and `instruments` count.
    """
    from feeds.history.store import BarStore
    from feeds.quality.checks import inspect_files
    from feeds.quality.stored import check_store
    from strategies.config_file import load_config
    from strategies.data_folder import BARS_FOLDER
    from strategies.instrument_settings import build_instruments
    from tui.cli.tables import print_findings

    if bool(paths) == store:
        raise UsageError("name files or folders to check, or --store")
    kept = BarStore(data_dir(data) / BARS_FOLDER)
    if store and not any(map(kept.symbols, kept.sources())):
        raise DataError(f"{kept.root}: nothing is stored; fetch first, see: closecall fetch bars --help")
    if store:
        report = check_store(kept, now=utc_now())
    else:
        settings = load_config(config, {}, print_stderr)
        report = inspect_files(
            paths or [],
            columns=settings.columns.to_settings(),
            get_instrument=lambda symbol, days=(): build_instruments([symbol], settings, {symbol: days})[
                symbol
            ],
            now=utc_now(),
            skip_unknown=skip_unknown,
        )
    blocking = sum(finding.blocking for finding in report.findings)
    if as_json:
        keys = {"blocking": "harmful"}
        rows = [_encode(finding, keys) | {"file": str(finding.file)} for finding in report.findings]
        first, last = report.days or (None, None)
        read = {
            "files": len(report.files),
            "bars": report.bars,
            "symbols": report.symbols,
            "news": report.news,
            "first": first,
            "last": last,
        }
        print_json(to_jsonable({"findings": rows, "harmful": blocking, "read": read}))
    else:
        print_findings(report.findings)
        sys.stdout.write(f"{report.describe()}\n")
    if blocking:
        raise typer.Exit(_BLOCKING_HELP)


def _parse_adjustment(name: str | None, kinds: Any) -> Any:
    if name is None:
        return None
    if name not in list(kinds):
        raise UsageError(f"--adjustment {name} is unknown; choose one of {', '.join(kinds)}")
    return kinds(name)


def _encode(value: Any, keys: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a dataclass by name, or by the name in `keys` where the JSON has another."""
    return {keys.get(name, name): field for name, field in asdict(value).items()}


@config_options("symbols", "feeds")
def collect(
    flags: dict[str, Any],
    source: Sources = None,
    name: Annotated[str, typer.Option(help="Name of the collection; an existing name resumes it.")] = "live",
    url: Urls = None,
    config: ConfigFile = None,
    data: DataDir = None,
) -> None:
    """Record live bars, prices and news in a journal until Ctrl-C, without trading.

    Several sources: --source ccxt:binance=BTC/USDT --source yfinance=AAPL,MSFT

    A coin's day is final when the exchange's clock is past its end, a stock's
    15 minutes after its session's close (30 where the source's last trade is
    from before it). Bars missed while it did not run are backfilled, marked late.
    """
    from feeds.sources.registry import list_sources
    from strategies.config_file import load_config
    from strategies.live_data import collect_live
    from strategies.monitor.descriptions import COLLECTOR_KINDS, log_line
    from strategies.source_routing import RetryContext

    flags, tied = add_sources(flags, source, url)
    settings = load_config(config, flags, print_stderr)
    if not settings.store:
        raise UsageError(f"name a source: --source {list_sources()}, or `store` in --config")
    require_used(flags, settings.store)

    def show(events: Any) -> None:
        for line in (log_line(event) for event in events if event.kind in COLLECTOR_KINDS):
            if line is not None:
                print_stderr(line)

    place = working_dir(data)
    print_stderr(f"collecting into {place / 'collections' / name}; Ctrl-C ends it")
    try:
        collect_live(
            settings,
            tied,
            name=name,
            data_dir=place,
            clock=utc_now,
            waiting=RetryContext(sleep=time.sleep, on_wait=print_wait),
            on_journaled=show,
        )
    except KeyboardInterrupt:
        print_stderr("stopped; the same command resumes, and backfills what it missed")
        raise
    finally:
        sys.stdout.flush()
