"""The commands of `closecall`: flags in, tables or JSON out. Knows how nothing is done, only whom to ask."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from engine.errors import UsageError
from strategies.console import print_stderr, utc_now
from tui.cli.bench import (
    bench_app,
    bench_drift,
    bench_gate,
    bench_grpo,
    bench_no_edge,
    bench_reward,
    train_app,
)
from tui.cli.dash import dash
from tui.cli.data import check_app, collect, fetch_app
from tui.cli.models import models_app
from tui.cli.options import (
    Adapter,
    AsJson,
    ConfigFile,
    DataDir,
    Quantize,
    StudentName,
    Symbols,
    UseChampion,
    drop_unset,
    print_json,
    split_symbols,
    with_champion,
)
from tui.cli.paper import paper_app
from tui.cli.paths import data_dir, require_writable, working_dir
from tui.cli.progress import ProgressDisplay
from tui.cli.training import retrain, train_grpo, train_sft, walkforward

app = typer.Typer(
    name="closecall",
    help="Backtest the forecasts of a small language model on your own machine, and score them honestly.\n\n"
    "Research software; nothing it prints is financial advice.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


app.add_typer(fetch_app, name="fetch")


app.command()(collect)


app.add_typer(check_app, name="check")


app.add_typer(train_app, name="train")


app.add_typer(models_app, name="models")


app.command()(dash)


app.add_typer(paper_app, name="paper")


train_app.command("grpo")(train_grpo)


train_app.command("sft")(train_sft)


app.command()(walkforward)


app.command()(retrain)


bench_app.command("drift")(bench_drift)


bench_app.command("gate")(bench_gate)


bench_app.command("grpo")(bench_grpo)


bench_app.command("no-edge")(bench_no_edge)


bench_app.command("reward")(bench_reward)


app.add_typer(bench_app, name="bench")


@app.command()
def backtest(
    config: ConfigFile = None,
    bars: Annotated[list[Path] | None, typer.Option(help="CSV or Parquet files or folders of bars.")] = None,
    store: Annotated[list[str] | None, typer.Option(help="Bars and news fetched from this source.")] = None,
    news: Annotated[list[Path] | None, typer.Option(help="Files or folders of dated news.")] = None,
    symbols: Symbols = None,
    start: Annotated[str | None, typer.Option(metavar="DATE", help="First day that is traded.")] = None,
    end: Annotated[str | None, typer.Option(metavar="DATE", help="Last day of bars.")] = None,
    student: StudentName = None,
    adapter: Adapter = None,
    champion: UseChampion = False,
    quantization: Quantize = None,
    cash: Annotated[float | None, typer.Option(help="Starting cash, in the quote currency.")] = None,
    fee_bps: Annotated[float | None, typer.Option(help="Commission, basis points of a fill.")] = None,
    slippage_bps: Annotated[float | None, typer.Option(help="Slippage from the official open.")] = None,
    latency_bps: Annotated[float | None, typer.Option(help="Cost of delay, added to slippage.")] = None,
    rates: Annotated[
        list[Path] | None, typer.Option(help="Files of exchange rates, such as CNYUSD.csv.")
    ] = None,
    base_currency: Annotated[str | None, typer.Option(help="Currency of the account, with --rates.")] = None,
    allow_bad_data: Annotated[
        bool, typer.Option("--allow-bad-data", help="Go on with data that the checks would refuse.")
    ] = False,
    allow_short: Annotated[
        bool, typer.Option("--allow-short", help="Let forecasts of down go short.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Makes the simulated market and random callers.")] = None,
    days: Annotated[int | None, typer.Option(help="Length of the simulated market.")] = None,
    no_edge: Annotated[bool, typer.Option("--no-edge", help="Simulate without anything to know.")] = False,
    reversal: Annotated[
        str | None, typer.Option(metavar="DATE", help="From here simulated good news is bad.")
    ] = None,
    headlines: Annotated[
        str | None, typer.Option(help="Simulated templates: all, familiar or withheld.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write result.json and CSV files here.")] = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Forecast every close, trade the forecasts in backtrader, and score them against baselines.

    Without --bars it runs on a simulated market: no network, no key, no GPU.
    """
    from strategies.config import load_config

    market = drop_unset(days=days, reversal=reversal, headlines=headlines, edge=False if no_edge else None)
    flags = drop_unset(
        bars=bars,
        store=store,
        news=news,
        rates_files=rates,
        base_currency=base_currency,
        allow_bad_data=allow_bad_data or None,
        symbols=split_symbols(symbols),
        start=start,
        end=end,
        student=student,
        adapter=adapter,
        champion=champion or None,
        quantization=quantization,
        cash=cash,
        fee_bps=fee_bps,
        slippage_bps=slippage_bps,
        latency_bps=latency_bps,
        allow_short=allow_short or None,
        seed=seed,
        out=out,
        market=market or None,
    )
    if market and (bars or store):
        raise UsageError("--days, --no-edge, --reversal and --headlines are for the simulated market only")
    folder = working_dir(data)
    settings = with_champion(load_config(config, flags, print_stderr), folder)
    if settings.out is not None:
        require_writable(settings.out, "--out")
    from strategies.backtest import backtest as run_backtest
    from tui.cli.tables import print_result

    try:
        with ProgressDisplay() as progress:
            run = run_backtest(settings, data_dir=folder, clock=utc_now, on_progress=progress)
    except KeyboardInterrupt:
        sys.stderr.write("closecall: interrupted; forecasts made so far are kept for the next run\n")
        raise
    print_json(run.result) if as_json else print_result(run.result)


@app.command()
def runs(
    run: Annotated[str | None, typer.Argument(help="Show this run's table again.")] = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the backtests on record, newest first, or show one of them again."""
    from engine.journal.canonical import to_jsonable
    from strategies.runs import list_runs, load_run
    from tui.cli.tables import print_result, print_runs

    if run is None:
        known = list(list_runs(data_dir(data)))
        runs_json = {"runs": to_jsonable([asdict(one) for one in known])}
        print_json(runs_json) if as_json else print_runs(known, data_dir(data))
        return
    found = load_run(data_dir(data), run)
    if as_json:
        print_json(to_jsonable(asdict(found)))
    elif "folds" in found.result:
        from tui.cli.training_tables import print_walkforward

        print_walkforward(found.result)
    else:
        print_result(found.result)


@app.command()
def doctor(data: DataDir = None, as_json: AsJson = False) -> None:
    """Say what is installed, which device and student are used, where data lives, and what is wrong."""
    from tui.cli.doctor import examine, print_examination

    found = examine(data_dir(data))
    print_json(found) if as_json else print_examination(found)
    if found["problems"]:
        raise typer.Exit(4)
