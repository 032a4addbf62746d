"""`closecall bench`: measure students, training and the speed of the engine."""

from typing import Annotated, Any

import typer

from engine.errors import CheckFailed, UsageError
from strategies.config import STUDENT_KEYS
from strategies.console import utc_now
from tui.cli.config_options import config_options
from tui.cli.options import AsJson, DataDir, print_json
from tui.cli.paths import working_dir
from tui.cli.progress import ProgressDisplay

bench_app = typer.Typer(help="Measure students and the engine.", no_args_is_help=True)


@bench_app.command("forecast")
@config_options(*STUDENT_KEYS)
def bench_forecast(
    flags: dict[str, Any],
    prompts: Annotated[int, typer.Option(min=8, help="How many prompts to answer.")] = 512,
    seed: Annotated[int, typer.Option(help="Seed of the market that the prompts come from.")] = 101,
    as_json: AsJson = False,
) -> None:
    """Compare the speed of each mode with one `model.generate` call a bar."""
    from llm.backends import require_trainable
    from training.benches.forecast import measure_speed
    from tui.cli.tables import print_pairs

    wanted = _student_settings(flags)
    require_trainable(wanted)
    with ProgressDisplay() as progress:
        measured = measure_speed(wanted, seed=seed, prompts=prompts, on_progress=progress)
    if as_json:
        print_json(measured)
        return
    modes = measured.pop("modes")
    print_pairs(measured)
    for name, figures in modes.items():
        if figures is not None:
            print_pairs({f"{name} {key}": value for key, value in figures.items()})


@bench_app.command("edge")
@config_options(*STUDENT_KEYS)
def bench_edge(
    flags: dict[str, Any],
    seeds: Annotated[str, typer.Option(help="Seeds of the markets, with commas.")] = "101,102,103,104,105",
    days: Annotated[int, typer.Option(min=30, help="Days of each market.")] = 250,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Measure the edge a student captures on simulated markets that training never saw."""
    from llm.backends import load_student
    from training.benches.edge import EdgeBenchConfig, measure_edge
    from tui.cli.tables import print_edge

    exam = EdgeBenchConfig(seeds=_numbers(seeds), days=days)
    measured_student = load_student(_student_settings(flags))
    with ProgressDisplay() as progress:
        measured = measure_edge(measured_student, exam, working_dir(data), progress)
    print_json(measured) if as_json else print_edge(measured)


@bench_app.command("engine")
def bench_engine(
    slices: Annotated[int, typer.Option(min=600, help="How many slices to run.")] = 30_000,
    as_json: AsJson = False,
) -> None:
    """Measure slices a second with 2, 20 and 150 symbols that arrive one after the other."""
    from training.benches.engine import measure_engine
    from tui.cli.tables import print_pairs

    with ProgressDisplay() as progress:
        measured = measure_engine(slices, progress)
    if as_json:
        print_json(measured)
    else:
        rates = measured["slices_per_second"]
        print_pairs({f"slices a second, {symbols} symbols": rate for symbols, rate in rates.items()})


def _student_settings(flags: dict[str, Any]) -> Any:
    from strategies.config import student_settings
    from strategies.config_file import load_config

    return student_settings(load_config(None, flags, every_mode=True))


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--seeds {text!r}: write whole numbers with commas between them") from error


_AGREES = 1e-9
Steps = Annotated[int | None, typer.Option(min=1, help="Training steps; default: the recipe's.")]


@bench_app.command("drift")
def bench_drift(
    seed: Annotated[int, typer.Option(min=0, help="Makes the market.")] = 41,
    steps: Steps = None,
    method: Annotated[str, typer.Option(help="The arm that trades: grpo or sft.")] = "grpo",
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Reverse the effect of a simulated market's news midway, and measure which arm adapts.

    About a quarter of an hour on two cores. An interrupted run resumes where it stopped.
    """
    from training.benches.drift import DriftBench, measure_drift
    from training.walkforward.config import Method
    from tui.cli.training_tables import print_drift

    if method not in (Method.GRPO, Method.SFT):
        raise UsageError(f"--method {method!r}: choose grpo or sft")
    bench = DriftBench(seed=seed, steps=steps, method=Method(method))
    with ProgressDisplay() as progress:
        measured = measure_drift(bench, data_dir=working_dir(data), clock=utc_now, on_progress=progress)
    print_json(measured) if as_json else print_drift(measured)


@bench_app.command("grpo")
def bench_grpo(
    steps: Annotated[int, typer.Option(min=4, help="Steps of each trainer.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Makes the market.")] = 41,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Time a GRPO step and its parts against unmodified TRL, in one process."""
    from training.benches.drift import DriftBench, post_reversal_fold
    from training.benches.grpo import measure_step_time
    from training.grpo.config import GrpoConfig
    from tui.cli.tables import print_pairs

    start, sets = post_reversal_fold(DriftBench(seed=seed), working_dir(data))
    with ProgressDisplay() as progress:
        measured = measure_step_time(start, sets.training, sets.held_out, GrpoConfig(steps=steps), progress)
    print_json(measured) if as_json else print_pairs(measured)


@bench_app.command("no-edge")
def bench_no_edge(
    markets: Annotated[int, typer.Option(min=1, help="How many markets, each of the next seed.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first market.")] = 301,
    steps: Steps = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Train on markets whose news has no predictive value, and count claims and promotions.

    Takes hours on two cores and resumes after an interruption. Exit code 4 if a claim or promotion is made.
    """
    from training.benches.no_edge import NoEdgeBench, measure_no_edge
    from tui.cli.tables import print_pairs

    seeds = tuple(range(seed, seed + markets))
    bench = NoEdgeBench(seeds=seeds, reversed_seed=seed + markets, steps=steps)
    with ProgressDisplay() as progress:
        measured = measure_no_edge(bench, data_dir=working_dir(data), clock=utc_now, on_progress=progress)
    shown = {key: value for key, value in measured.items() if key not in ("each", "bench", "reversed")}
    print_json(measured) if as_json else print_pairs(shown)
    if not measured["passed"]:
        raise CheckFailed(
            f"{measured['markets'] - measured['markets_without_claim']} of {measured['markets']} markets "
            f"without edge led to a claim, {measured['promotions']} gates promoted; see --json"
        )


@bench_app.command("gate")
def bench_gate(
    windows: Annotated[int, typer.Option(min=1, help="How many windows of each kind.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the windows.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Measure how often the gate promotes on synthetic windows with a known better model.

    Takes a second for about twenty windows; --json has the details.
    """
    from training.benches.gate import measure_gate
    from tui.cli.tables import print_pairs

    measured = measure_gate(windows, seed)
    if as_json:
        print_json(measured)
        return
    shares = {
        f"{kind}: {name}": f"{counts['promoted']:.1%}"
        for kind, rates in (("nobody leads", measured["false"]), ("challenger leads", measured["right"]))
        for name, counts in rates.items()
    }
    print_pairs({"windows of each kind": windows, **shares})


@bench_app.command("reward")
def bench_reward(
    forecasts: Annotated[int, typer.Option(min=1, help="The least number of forecasts.")] = 100_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the markets.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Compare the net return in a reward with backtrader's, on random markets, costs and gaps.

    Takes about half a minute. Exit code 4 if a return differs by more than 1e-9.
    """
    from dataclasses import asdict

    from training.benches.reward import measure_step_agreement
    from tui.cli.tables import print_pairs

    agreement = asdict(measure_step_agreement(forecasts, seed))
    shown = {key: value for key, value in agreement.items() if key != "kinds"} | agreement["kinds"]
    print_json(agreement) if as_json else print_pairs(shown)
    if agreement["worst"] > _AGREES:
        raise CheckFailed(
            f"a net return differs by {agreement['worst']:.2g} from backtrader's step; see --json"
        )
