"""`closecall forecast`: one forecast of one symbol, now."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import UsageError
from engine.journal.canonical import format_utc
from strategies.config import STUDENT_KEYS
from strategies.console import print_stderr, utc_now
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
    with_champion,
)
from tui.cli.paths import working_dir

if TYPE_CHECKING:
    from pathlib import Path

    from strategies.config import BacktestConfig
    from strategies.latest_forecast import LatestForecast


@config_options(
    "bars",
    "store",
    "news",
    *STUDENT_KEYS,
    "champion",
    "task",
    "seed",
    "allow_bad_data",
    "skip_unknown_files",
    texts={"store": "Stored bars of this source; default: of any.", "seed": "Seed of drawn answers."},
)
def forecast(
    flags: dict[str, Any],
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="The symbol, as its file or store has it.")],
    source: Sources = None,
    url: Urls = None,
    show: Annotated[bool, typer.Option("--show", help="Also show the prompt, and without its mask.")] = False,
    config: ConfigFile = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Forecast the next close of one symbol from its newest closed bar, without trading.

    From files: --bars PATH, with --news PATH. Without files and sources from what is stored. With --source
    the newest bars are fetched into the store first.
    """
    from strategies.config_file import load_config
    from strategies.latest_forecast import forecast_latest

    folder = working_dir(data)
    if source and flags.keys() & {"bars", "store"}:
        raise UsageError("--source asks for the newest bars; leave --bars and --store out")
    flags, overrides = add_sources({**flags, "symbols": [symbol]}, source, url)
    settings = with_champion(load_config(config, flags, print_stderr), folder)
    require_used(flags, settings.store)
    if source:
        _fetch(settings, overrides, data)
    made = forecast_latest(symbol, settings, data_dir=folder, clock=utc_now)
    print_json(_to_json(made, show=show)) if as_json else _print(made, show=show)


def _fetch(settings: "BacktestConfig", overrides: dict[str, str], data: "Path | None") -> None:
    from strategies.market import warm_up
    from tui.cli.data import fetch_sources
    from tui.cli.progress import ProgressDisplay

    since = settings.model_copy(update={"start": (utc_now() - warm_up(settings)).date()})
    with ProgressDisplay() as progress:
        fetch_sources(
            since, overrides, data, progress, {"timeframe": "1d", "adjustment": None}, {"retry_gaps": False}
        )


def _to_json(made: "LatestForecast", *, show: bool) -> dict[str, Any]:
    from engine.model import Forecast

    call = made.call
    forecast = call if isinstance(call, Forecast) else None
    return {
        "symbol": call.symbol,
        "as_of": format_utc(call.as_of),
        "prompt": made.prompt,
        **({"plain_prompt": made.plain_prompt} if show else {}),
        "answer": made.answer,
        "direction": forecast.direction.value if forecast else None,
        "confidence": forecast.confidence if forecast else None,
        "probability_up": made.probability_up,
        "close": forecast.close if forecast else None,
        "last_close": call.last_close,
        "abstention": None if isinstance(call, Forecast) else call.reason,
        "latency_s": round(made.latency, 4),
        "fingerprint": made.fingerprint,
        "mode": made.mode.value,
        "notes": list(made.notes),
    }


def _print(made: "LatestForecast", *, show: bool) -> None:
    from strategies.conclusions import NOTICE
    from strategies.monitor.descriptions import prediction_text
    from tui.cli.tables import print_pairs

    if show:
        _print_text("prompt", made.prompt)
        if made.plain_prompt is not None:
            _print_text("prompt without its mask", made.plain_prompt)
    call = made.call
    print_pairs(
        {
            "symbol": call.symbol,
            "as of": format_utc(call.as_of),
            "answer": made.answer.strip(),
            "forecast": prediction_text(call),
            "probability of a rise": "-" if made.probability_up is None else f"{made.probability_up:.1%}",
            "last close": f"{call.last_close:,.6g}",
            "latency": f"{made.latency:.2f} s",
            "mode": made.mode.value,
            "fingerprint": made.fingerprint[:12],
        }
    )
    for note in (*made.notes, NOTICE):
        print_stderr(note)


def _print_text(title: str, text: str) -> None:
    # What a file's news says may hold control characters; a terminal must not obey them.
    shown = "".join(mark if mark.isprintable() or mark == "\n" else "�" for mark in text)
    sys.stdout.write(f"--- {title}\n{shown}\n---\n")
