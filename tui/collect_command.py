"""The command that collects live bars, prices and news."""

import sys
import time
from typing import Annotated, Any

import typer

from engine.errors import UsageError
from tui.options import ConfigFile, DataDir, Symbols, now
from tui.paths import working_dir
from tui.progress import say, say_wait
from tui.source_options import Sources, Urls, require_used, source_flags


def collect(
    source: Sources = None,
    symbols: Symbols = None,
    feed: Annotated[list[str] | None, typer.Option(help="Address of an RSS or Atom feed.")] = None,
    name: Annotated[str, typer.Option(help="Name of the collection; the same one goes on.")] = "live",
    url: Urls = None,
    config: ConfigFile = None,
    data: DataDir = None,
) -> None:
    """Journal bars, prices and news as they become known, until Ctrl-C. Nothing is traded.

    Several sources: --source ccxt:binance=BTC/USDT --source yfinance=AAPL,MSFT

    A coin's day is final when the exchange's clock is past its end, a stock's
    15 minutes after its session's close (30 where the source's last trade is
    from before it). What was missed while it did not run is filled in, late.
    """
    from strategies.collecting import collect_live
    from strategies.config import load_config
    from strategies.routing import Waiting
    from tui.data_tables import event_line

    flags, tied = source_flags(source, url, symbols)
    settings = load_config(config, flags | ({"feeds": feed} if feed else {}))
    if not settings.store:
        raise UsageError(
            "name a source: --source ccxt:EXCHANGE, yfinance or eastmoney, or `store` in --config"
        )
    require_used(flags, settings.store)

    def show(events: Any) -> None:
        for line in filter(None, map(event_line, events)):
            say(line)

    place = working_dir(data)
    say(f"collecting into {place / 'collections' / name}; Ctrl-C ends it")
    try:
        collect_live(
            settings,
            tied,
            name=name,
            data_dir=place,
            clock=now,
            waiting=Waiting(sleep=time.sleep, on_wait=say_wait),
            on_journaled=show,
        )
    except KeyboardInterrupt:
        say("stopped; the same command goes on, and fills in what it missed")
        raise
    finally:
        sys.stdout.flush()
