"""The no-edge bench: does walk-forward retraining promote or claim anything where nothing can be learned?

It counts claims and promotions. One more market, with a reversal, shows that the same recipe promotes where
there is something to learn.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.journal.canonical import to_jsonable
from strategies.config import BacktestConfig
from strategies.console import Progress
from strategies.results import Result
from strategies.runs import list_runs
from training.benches.windows import BenchWindows
from training.walkforward.config import WalkForwardConfig
from training.walkforward.run import walkforward

_FOLDS = 5
_MIN_CLEAR = 0.95
_MAX_PROMOTIONS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NoEdgeBench(BenchWindows):
    """The markets, five folds each. `reversed_seed` None: without the market with a reversal."""

    seeds: tuple[int, ...] = tuple(range(301, 321))
    reversed_seed: int | None = 321

    def config(self, seed: int, *, reverses: bool) -> BacktestConfig:
        """Return a market without edge, or with the news reversed where the second fold is trained."""
        return self.build_config(seed, windows=_FOLDS, reversed_at=1 if reverses else None, edge=reverses)


def measure_no_edge(
    bench: NoEdgeBench,
    *,
    data_dir: Path,
    clock: Callable[[], datetime],
    on_progress: Progress,
    walk: Callable[..., Result] = walkforward,
) -> dict[str, Any]:
    """Count claims and promotions. A market that `data_dir` already has is not run again.

    Args:
        bench: The markets and the training.
        data_dir: The data folder of the runs.
        clock: The current time.
        on_progress: Called with the current stage, the steps done and the steps in all.
        walk: Runs a walk-forward.

    Returns:
        Counts, as JSON types. A claim says that the joined forecasts are better, in accuracy or Brier score,
        than the static student, the base rate or the best baseline. `training_seconds` is of the slowest
        training.
    """
    markets: list[dict[str, Any]] = []
    for number, seed in enumerate(bench.seeds):
        on_progress("markets", number, len(bench.seeds))
        markets.append(_run_market(bench, seed, data_dir, clock, on_progress, walk, reverses=False))
    on_progress("markets", len(bench.seeds), len(bench.seeds))
    control = None
    if bench.reversed_seed is not None:
        control = _run_market(bench, bench.reversed_seed, data_dir, clock, on_progress, walk, reverses=True)
    clear = sum(not market["claims"] for market in markets)
    promotions = sum(market["promotions"] for market in markets)
    learned = control is None or control["promotions"] > 0
    return {
        "bench": to_jsonable(asdict(bench)),
        "markets": len(markets),
        "markets_without_claim": clear,
        "promotions": promotions,
        "gates": sum(market["gates"] for market in markets),
        "training_seconds": max((market["training_seconds"] for market in markets), default=None),
        "reversed": control,
        "passed": clear >= _MIN_CLEAR * len(markets) and promotions <= _MAX_PROMOTIONS and learned,
        "each": markets,
    }


def _run_market(
    bench: NoEdgeBench,
    seed: int,
    data_dir: Path,
    clock: Callable[[], datetime],
    on_progress: Progress,
    walk: Callable[..., Result],
    *,
    reverses: bool,
) -> dict[str, Any]:
    folder = data_dir / "no-edge" / (f"{seed}-reversed" if reverses else str(seed))
    config, settings = bench.config(seed, reverses=reverses), bench.build_settings(compare=False)

    def report(stage: str, done: int, total: int) -> None:
        on_progress(f"market {seed}, {stage}", done, total)

    result = _load_result(folder, config, settings)
    if result is None:
        result = walk(config, settings, data_dir=folder, clock=clock, on_progress=report).result
    return {"seed": seed, **_count_claims(result, bench.method.value)}


def _load_result(
    folder: Path, config: BacktestConfig, settings: WalkForwardConfig
) -> Mapping[str, Any] | None:
    """Return the result of the same walk-forward, if it has finished."""
    stored_config, stored_settings = to_jsonable(config.stored()), to_jsonable(asdict(settings))
    for run in list_runs(folder):
        # A result has the embargo that was computed where the settings gave none.
        recorded = run.result.get("walkforward", {}) | {"embargo_days": stored_settings["embargo_days"]}
        if (
            run.state == "finished"
            and run.config == stored_config
            and stored_settings.items() <= recorded.items()
        ):
            return run.result
    return None


def _count_claims(result: Mapping[str, Any], arm: str) -> dict[str, Any]:
    claims = [
        f"{claim['measure']} against {claim['against']}" for claim in result["claims"] if claim["claimed"]
    ]
    claims += [
        f"{claim} against {verdict['comparator']}"
        for claim, verdict in result.get("verdicts", {}).items()  # an earlier version had one
        if verdict["result"] == "better"
    ]
    gates = [fold["arms"][arm] for fold in result["folds"] if arm in fold["arms"]]
    return {
        "claims": claims,
        "promotions": result["promotions"][arm],
        "gates": len(gates),
        "p_values": [gate["p_value"] for gate in gates],
        "guards_stopped": sum(not gate["clean"] for gate in gates),
        "training_seconds": max((gate["seconds"] for gate in gates), default=0.0),
    }
