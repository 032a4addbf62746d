"""The commands that fetch and check bars and news."""

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.errors import UsageError
from tui.options import AsJson, ConfigFile, DataDir, Symbols, listed, now, print_json, stated
from tui.paths import data_dir, working_dir
from tui.progress import ProgressDisplay

fetch_app = typer.Typer(help="Fetch bars and news into the store.", no_args_is_help=True)
check_app = typer.Typer(help="Check what a result stands on.", no_args_is_help=True)
_HARM = 4


@fetch_app.command("bars")
def fetch_bars(
    source: Annotated[
        str | None, typer.Option(help="ccxt:EXCHANGE (such as ccxt:binance), yfinance, eastmoney or file.")
    ] = None,
    symbols: Symbols = None,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="First day.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Last day; default: the newest.")] = None,
    timeframe: Annotated[str, typer.Option(help="Length of a candle; stocks have 1d only.")] = "1d",
    adjustment: Annotated[
        str | None,
        typer.Option(help="raw, split or split+dividend; only files need it."),
    ] = None,
    bars: Annotated[list[Path] | None, typer.Option(help="With --source file: files or folders.")] = None,
    retry_gaps: Annotated[bool, typer.Option("--retry-gaps", help="Ask again for known gaps.")] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Fetch all anew and replace it.")] = False,
    config: ConfigFile = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Fetch what the store lacks, checked candle by candle; what cannot be had becomes a named gap.

    It can be interrupted at any moment; the same command goes on from there.
    """
    from feeds.history.bar_clients import client_of
    from feeds.history.candles import Adjustment
    from feeds.history.fetching import fetch_bars as fetch
    from feeds.history.importing import SOURCE, import_bars
    from feeds.history.store import BarStore
    from strategies.config import load_config
    from strategies.real_facts import BARS_FOLDER
    from tui.data_tables import print_fetched

    settings = load_config(
        config, stated(symbols=listed(symbols), start=since, end=until, bars=bars, store=_one(source))
    )
    if len(settings.store) != 1:
        raise UsageError("name one source of bars: --source ccxt:EXCHANGE, yfinance, eastmoney or file")
    prices = _adjustment(adjustment, Adjustment)
    store = BarStore(working_dir(data) / BARS_FOLDER)
    with ProgressDisplay() as progress:
        if settings.store[0] == SOURCE:
            if not settings.bars or prices is None:
                kinds = ", ".join(Adjustment)
                raise UsageError(f"--source file needs --bars PATH and --adjustment, one of {kinds}")
            if settings.symbols or settings.start or settings.end:
                raise UsageError("--source file takes whole files; leave --symbols, --since and --until out")
            report = import_bars(
                settings.bars, store, prices, clock=now, on_progress=progress, refresh=refresh
            )
        else:
            if not settings.symbols or settings.start is None:
                raise UsageError("name --symbols and --since, the first day to fetch")
            report = fetch(
                client_of(settings.store[0], timeframe=timeframe, adjustment=prices, clock=now),
                store,
                settings.symbols,
                settings.start,
                settings.end,
                clock=now,
                sleep=time.sleep,
                on_progress=progress,
                retry_gaps=retry_gaps,
                refresh=refresh,
            )
    _shown(report, as_json, print_fetched)


@fetch_app.command("news")
def fetch_news(
    feed: Annotated[list[str] | None, typer.Option(help="Address of an RSS or Atom feed.")] = None,
    symbols: Symbols = None,
    articles: Annotated[int, typer.Option(min=0, help="The most article pages to read.")] = 100,
    config: ConfigFile = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Fetch feeds once and keep what was not seen before, with the time of first sight.

    Without --symbols everything is kept; what is traded is decided when the news is used.
    """
    from feeds.bars import guess_instrument
    from feeds.names import NameTable
    from feeds.press.news_fetching import fetch_news as fetch
    from feeds.press.news_pages import FetchSettings
    from feeds.press.news_store import NewsStore
    from strategies.config import load_config
    from strategies.real_facts import NEWS_FILE
    from tui.data_tables import print_news

    settings = load_config(config, stated(feeds=feed, symbols=listed(symbols)))
    if not settings.feeds:
        raise UsageError("name a feed: --feed https://…, or `feeds` in the configuration")
    names = NameTable.for_instruments(map(guess_instrument, settings.symbols), settings.names)
    report = fetch(
        settings.feeds,
        NewsStore(working_dir(data) / NEWS_FILE),
        names,
        clock=now,
        sleep=time.sleep,
        settings=FetchSettings(most_articles=articles),
    )
    for fault in (*report.faults, *report.article_faults):
        sys.stderr.write(f"closecall: {fault}\n")
    _shown(report, as_json, print_news)


@check_app.command("data")
def check_data(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files or folders of bars and news.")] = None,
    store: Annotated[bool, typer.Option("--store", help="Check what was fetched.")] = False,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Find gaps, bad prices, outliers, unadjusted splits, wrong dates and news from the future.

    Exit code 4 if something found would harm a backtest.
    """
    from dataclasses import asdict

    from feeds.check_store import check_store
    from feeds.checks import check_files
    from feeds.history.store import BarStore
    from strategies.real_facts import BARS_FOLDER
    from strategies.runs import plain
    from tui.data_tables import print_findings

    if bool(paths) == store:
        raise UsageError("name files or folders to check, or --store")
    found = (
        check_store(BarStore(data_dir(data) / BARS_FOLDER), now=now())
        if store
        else check_files(paths or [], now=now())
    )
    harmful = sum(finding.harmful for finding in found)
    if as_json:
        rows = [asdict(finding) | {"file": str(finding.file)} for finding in found]
        print_json({"findings": plain(rows), "harmful": harmful})
    else:
        print_findings(found)
    if harmful:
        raise typer.Exit(_HARM)


def _one(source: str | None) -> tuple[str, ...] | None:
    return None if source is None else (source,)


def _adjustment(name: str | None, kinds: Any) -> Any:
    if name is None:
        return None
    if name not in list(kinds):
        raise UsageError(f"--adjustment {name} is unknown; choose one of {', '.join(kinds)}")
    return kinds(name)


def _shown(report: Any, as_json: bool, print_table: Any) -> None:  # noqa: FBT001  # as typer gives it
    from dataclasses import asdict

    from strategies.runs import plain

    print_json(plain(asdict(report))) if as_json else print_table(report)


def collect(
    source: Annotated[str | None, typer.Option(help="ccxt:EXCHANGE, such as ccxt:binance.")] = None,
    symbols: Symbols = None,
    feed: Annotated[list[str] | None, typer.Option(help="Address of an RSS or Atom feed.")] = None,
    name: Annotated[str, typer.Option(help="Name of the collection; the same one goes on.")] = "live",
    config: ConfigFile = None,
    data: DataDir = None,
) -> None:
    """Journal bars, prices and news of coins as they become known, until Ctrl-C.

    Nothing is traded. What was missed while it did not run is filled in and marked as late.
    """
    from strategies.collecting import collect_live
    from strategies.config import load_config

    settings = load_config(config, stated(store=_one(source), symbols=listed(symbols), feeds=feed))
    if len(settings.store) != 1:
        raise UsageError("name one source: --source ccxt:EXCHANGE, or `store` in the configuration")
    place = working_dir(data)
    sys.stderr.write(f"collecting under {place / 'collections'}; Ctrl-C ends it\n")
    collect_live(
        settings.store[0],
        settings.symbols,
        settings.feeds,
        name=name,
        data_dir=place,
        clock=now,
        sleep=time.sleep,
    )
