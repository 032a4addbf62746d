"""Whether walk-forward training leaves markets alone in which nothing can be known: the no-edge bench.

It knows claims and promotions and counts them. One market more, with a reversal, shows that the very same
recipe promotes where there is something to learn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from engine.journal.canonical import to_jsonable
from strategies.backtest import Progress
from strategies.config import BacktestConfig, MarketTable
from strategies.market_data import SIMULATED_START
from strategies.results import Result
from strategies.runs import list_runs
from training.walkforward.config import Method, WalkForwardConfig
from training.walkforward.run import walkforward

_FOLDS = 5

_MIN_CLEAR = 0.95

_MAX_PROMOTIONS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NoEdgeBench:
    """The markets, five folds each. `reversed_seed` None leaves the market with a reversal out."""

    seeds: tuple[int, ...] = tuple(range(301, 321))
    reversed_seed: int | None = 321
    coins: int = 7
    stocks: int = 7
    train_days: int = 60
    test_days: int = 60
    recency_half_life: float | None = None
    steps: int | None = None
    method: Method = Method.GRPO

    def config(self, seed: int, *, reverses: bool) -> BacktestConfig:
        """One market: without edge, or with the news reversed where the second fold is trained."""
        turn = SIMULATED_START + timedelta(days=self.train_days + self.test_days)
        market = MarketTable(
            coins=self.coins,
            stocks=self.stocks,
            days=self.train_days + _FOLDS * self.test_days,
            edge=reverses,
            reversal=turn if reverses else None,
        )
        return BacktestConfig(seed=seed, market=market)

    @property
    def settings(self) -> WalkForwardConfig:
        """One recipe for all markets; supervised training does not stand beside it here."""
        return WalkForwardConfig(
            method=self.method,
            train_days=self.train_days,
            test_days=self.test_days,
            recency_half_life=self.recency_half_life,
            steps=self.steps,
            compare=False,
        )


def measure_no_edge(
    bench: NoEdgeBench,
    *,
    data_dir: Path,
    clock: Callable[[], datetime],
    on_progress: Progress,
    walk: Callable[..., Result] = walkforward,
) -> dict[str, Any]:
    """Count claims and promotions, as JSON types. A market that is on record in `data_dir` is not run again.

    A claim is a statement that the joined forecasts are better, in accuracy or Brier score, than the static
    student, the base rate or the best baseline. The seconds are those of the slowest training.
    """
    markets: list[dict[str, Any]] = []
    for number, seed in enumerate(bench.seeds):
        on_progress("markets", number, len(bench.seeds))
        markets.append(_run_market(bench, seed, data_dir, clock, on_progress, walk, reverses=False))
    on_progress("markets", len(bench.seeds), len(bench.seeds))
    turned = None
    if bench.reversed_seed is not None:
        turned = _run_market(bench, bench.reversed_seed, data_dir, clock, on_progress, walk, reverses=True)
    clear = sum(not one["claims"] for one in markets)
    promotions = sum(one["promotions"] for one in markets)
    learned = turned is None or turned["promotions"] > 0
    return {
        "bench": to_jsonable(asdict(bench)),
        "markets": len(markets),
        "markets_without_claim": clear,
        "promotions": promotions,
        "gates": sum(one["gates"] for one in markets),
        "training_seconds": max((one["training_seconds"] for one in markets), default=None),
        "reversed": turned,
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
    config, settings = bench.config(seed, reverses=reverses), bench.settings

    def report(stage: str, done: int, total: int) -> None:
        on_progress(f"market {seed}, {stage}", done, total)

    result = _load_result(folder, config, settings)
    if result is None:
        result = walk(config, settings, data_dir=folder, clock=clock, on_progress=report).result
    return {"seed": seed, **_count_claims(result, bench.method.value)}


def _load_result(
    folder: Path, config: BacktestConfig, settings: WalkForwardConfig
) -> Mapping[str, Any] | None:
    """The result of the same walk-forward, if it has finished."""
    wanted, stated = to_jsonable(config.stored()), to_jsonable(asdict(settings))
    for one in list_runs(folder):
        said = one.result.get("walkforward", {})
        if (
            one.state == "finished"
            and one.config == wanted
            and stated.items() <= _recorded_settings(said, stated)
        ):
            return one.result
    return None


def _recorded_settings(result: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    """The settings of a result; the embargo is reckoned where none was given."""
    return {**result, "embargo_days": settings["embargo_days"]}.items()


def _count_claims(result: Mapping[str, Any], arm: str) -> dict[str, Any]:
    made: Sequence[Mapping[str, Any]] = result["claims"]
    claims = [f"{one['measure']} against {one['against']}" for one in made if one["claimed"]]
    if result["verdict"] == "better":
        claims.append(f"accuracy against {result['verdict_detail']['baseline']}")
    gates = [fold["arms"][arm] for fold in result["folds"] if arm in fold["arms"]]
    return {
        "claims": claims,
        "promotions": result["promotions"][arm],
        "gates": len(gates),
        "p_values": [gate["p_value"] for gate in gates],
        "guards_stopped": sum(not gate["clean"] for gate in gates),
        "training_seconds": max((gate["seconds"] for gate in gates), default=0.0),
    }
