"""The benches of training: drift, markets without edge, the gate, the reward, and the time of a GRPO step."""

from typing import Annotated

import typer

from engine.errors import CheckFailed, UsageError
from tui.options import AsJson, DataDir, now, print_json
from tui.paths import working_dir
from tui.progress import ProgressDisplay

_AGREES = 1e-9

Steps = Annotated[int | None, typer.Option(min=1, help="Training steps; default: the recipe's.")]


def bench_drift(
    seed: Annotated[int, typer.Option(min=0, help="Makes the market.")] = 41,
    steps: Steps = None,
    method: Annotated[str, typer.Option(help="The arm that trades: grpo or sft.")] = "grpo",
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Reverse the meaning of a simulated market's news midway, and measure who follows.

    About a quarter of an hour on two cores. One that was interrupted goes on where it stopped.
    """
    from training.benches.drift import DriftBench, measure_drift
    from training.walkforward.settings import Method
    from tui.training_tables import print_drift

    if method not in (Method.GRPO, Method.SFT):
        raise UsageError(f"--method {method!r}: choose grpo or sft")
    bench = DriftBench(seed=seed, steps=steps, method=Method(method))
    with ProgressDisplay() as progress:
        measured = measure_drift(bench, data_dir=working_dir(data), clock=now, on_progress=progress)
    print_json(measured) if as_json else print_drift(measured)


def bench_grpo(
    steps: Annotated[int, typer.Option(min=4, help="Steps of each trainer.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Makes the market.")] = 41,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Time a GRPO step, and where its seconds go, against TRL as it comes, in one process."""
    from training.benches.drift import DriftBench, turned_round
    from training.grpo.round import GrpoRecipe
    from training.grpo.step_time import measure_step_time
    from tui.tables import print_pairs

    start, sets = turned_round(DriftBench(seed=seed), working_dir(data))
    with ProgressDisplay() as progress:
        measured = measure_step_time(start, sets.training, sets.held_out, GrpoRecipe(steps=steps), progress)
    print_json(measured) if as_json else print_pairs(measured)


def bench_no_edge(
    markets: Annotated[int, typer.Option(min=1, help="How many markets, each of the next seed.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Makes the first market.")] = 301,
    steps: Steps = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Train on markets in which nothing can be known, and count claims and promotions.

    Hours on two cores; markets and folds that are done are not done again. Exits with 4 where it fails.
    """
    from training.benches.no_edge import NoEdgeBench, measure_no_edge
    from tui.tables import print_pairs

    seeds = tuple(range(seed, seed + markets))
    bench = NoEdgeBench(seeds=seeds, reversed_seed=seed + markets, steps=steps)
    with ProgressDisplay() as progress:
        measured = measure_no_edge(bench, data_dir=working_dir(data), clock=now, on_progress=progress)
    shown = {key: value for key, value in measured.items() if key not in ("each", "bench", "reversed")}
    print_json(measured) if as_json else print_pairs(shown)
    if not measured["passed"]:
        raise CheckFailed(
            f"{measured['markets'] - measured['markets_without_claim']} of {measured['markets']} markets "
            f"without edge led to a claim, {measured['promotions']} gates promoted; see --json"
        )


def bench_gate(
    windows: Annotated[int, typer.Option(min=1, help="How many windows of each kind.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Makes the windows.")] = 7,
    as_json: AsJson = False,
) -> None:
    """How often the gate promotes, on made-up windows of which it is known who is better.

    A second for about twenty windows; without --json a share of promotions for each kind.
    """
    from training.gate.trials import measure_gate
    from tui.tables import print_pairs

    measured = measure_gate(windows, seed)
    if as_json:
        print_json(measured)
        return
    shares = {
        f"{kind}: {name}": f"{one['promoted']:.1%}"
        for kind, said in (("nobody leads", measured["false"]), ("challenger leads", measured["right"]))
        for name, one in said.items()
    }
    print_pairs({"windows of each kind": windows, **shares})


def bench_reward(
    forecasts: Annotated[int, typer.Option(min=1, help="At least so many forecasts.")] = 100_000,
    seed: Annotated[int, typer.Option(min=0, help="Makes the markets.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Hold the net return in a reward against backtrader's step, on random markets, costs and gaps.

    About half a minute. Exits with 4 where one differs by more than 1e-9.
    """
    from dataclasses import asdict

    from training.outcomes.step_agreement import step_agreement
    from tui.tables import print_pairs

    found = asdict(step_agreement(forecasts, seed))
    shown = {key: value for key, value in found.items() if key != "kinds"} | found["kinds"]
    print_json(found) if as_json else print_pairs(shown)
    if found["worst"] > _AGREES:
        raise CheckFailed(f"a net return differs by {found['worst']:.2g} from backtrader's step; see --json")
