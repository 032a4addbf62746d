"""The last champion of a walk-forward as a challenger in the user's registry. Promotes nothing."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from llm.adapters import base_fingerprint
from llm.registry import Registry
from strategies.backtest import Run
from strategies.config import BacktestConfig
from strategies.runs import plain
from training.walkforward.recipes import recipe_of
from training.walkforward.settings import WalkForward


def register_champion(
    run: Run, config: BacktestConfig, settings: WalkForward, data_dir: Path, at: datetime
) -> str | None:
    """Enter the adapter that was promoted last and return its name; None where none was."""
    arm = settings.method.value
    promoted = [fold for fold in run.result["folds"] if _record_gate(fold, arm).get("promoted")]
    if not promoted:
        return None
    fold = promoted[-1]
    gate = _record_gate(fold, arm)
    with Registry.open(data_dir) as registry:
        entered = registry.enter(
            run.folder / "adapters" / f"{arm}-{fold['number']:02}",
            parent=None,
            student=config.student,
            cutoff=datetime.fromisoformat(fold["cutoff"]),
            recipe=plain({"method": arm, "run": run.name, **asdict(recipe_of(settings))}),
            fingerprint=gate["challenger"],
            scores=plain(gate),
            at=at,
            base=base_fingerprint(config.student),
        )
    return entered.name


def _record_gate(fold: Mapping[str, Any], arm: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = fold["arms"].get(arm, {})
    return found
