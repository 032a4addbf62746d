"""Release a tiny student: pretrain it, measure it on unseen markets, and write its model card."""

import json
import shutil
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from feeds.simulated.market import TRAINING_SEEDS
from llm.backends import load_student
from llm.model_files import SETTINGS_FILE
from llm.student import StudentSettings
from training.benches.edge import EdgeBenchConfig, measure_edge
from training.pretraining.pretrain import PretrainConfig, Progress, pretrain


def release_student(
    folder: Path, recipe: PretrainConfig, data_dir: Path, today: date, on_progress: Progress
) -> dict[str, Any]:
    """Pretrain the tiny student into a folder and measure it on unseen markets.

    Args:
        folder: Where the student goes. It appears as a whole at the end; an existing student is replaced.
        recipe: Its training and size.
        data_dir: Where answers are cached.
        today: Its release date.
        on_progress: Called after each step.

    Returns:
        The figures of `training.benches.edge.measure_edge`.

    Raises:
        UsageError: If the folder has other contents than a student.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / SETTINGS_FILE).is_file():
        raise UsageError(f"{folder} is not empty and holds no student; choose another --out")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        built = Path(scratch) / "student"
        pretrain(built, recipe, on_progress)
        settings = {"prompt": "compact", "released": today.isoformat(), "mask": False}
        (built / SETTINGS_FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        student = load_student(StudentSettings(student=str(built)))
        figures = measure_edge(student, EdgeBenchConfig(days=80), data_dir, on_progress)
        figures["student"] = "tiny"
        (built / "README.md").write_text(build_model_card(recipe, figures), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        built.replace(folder)
    return figures


def build_model_card(recipe: PretrainConfig, measured: dict[str, Any]) -> str:
    """Return the model card in Markdown: purpose, training data, scores and limits."""
    rows = "\n".join(
        f"| {kind} | {_format_share(row['edge_captured'])} | {row['accuracy']:.3f} | "
        f"{row['oracle_accuracy']:.3f} | {row['brier']:.4f} | {row['oracle_brier']:.4f} | "
        f"{row['abstentions']} | {row['n']:,} |"
        for kind in ("familiar", "all", "withheld", "shuffled", "no_edge")
        for row in [measured[kind]]
    )
    recipe_text = ", ".join(f"{name} {value}" for name, value in recipe.stored().items())
    return f"""---
license: gpl-3.0
language: en
library_name: transformers
---

# The tiny student

A very small `Qwen3ForCausalLM` that forecasts the next close of a simulated market. It ships with closecall
so that everything runs at once on any machine, and it demonstrates the loop of forecasts, trades and scores.
It was trained on the simulated market only: on real markets it has no edge. Research software, not financial
advice.

## Training

`closecall train pretrain` trained it from random weights by supervised fine-tuning (TRL) on simulated
markets: prompts of bars and headlines with the answers of the market's oracle. It has seen no real price and
no real headline. Seeds {TRAINING_SEEDS.start:,} to {TRAINING_SEEDS.stop - 1:,} are reserved for training;
every fifth headline template was withheld from it.

Recipe: {recipe_text}.

## Scores

Simulated markets with seeds {", ".join(map(str, measured["seeds"]))}, {measured["days"]} days each.
The edge is the share of the oracle's edge that the forecast directions capture. `familiar` markets use the
headline templates of training, `withheld` ones only those withheld, `all` both; `shuffled` distributes the
headlines at random over the days; `no_edge` has nothing to learn.

| headlines | edge captured | accuracy | oracle | Brier | oracle | abstentions | forecasts |
|---|---|---|---|---|---|---|---|
{rows}
"""


def _format_share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
