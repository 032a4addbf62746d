"""Pretrain, measure and describe: everything that a student's folder holds. Knows no trainer."""

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
    """Make the tiny student in `folder` and return its figures on unseen markets.

    The folder appears as a whole when everything is done; one that is there already is replaced only if
    it holds a student. Raises UsageError otherwise.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / SETTINGS_FILE).is_file():
        raise UsageError(f"{folder} is not empty and holds no student; choose another --out")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / "student"
        pretrain(made, recipe, on_progress)
        settings = {"prompt": "compact", "released": today.isoformat()}
        (made / SETTINGS_FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        student = load_student(StudentSettings(student=str(made)))
        measured = measure_edge(student, EdgeBenchConfig(days=80), data_dir, on_progress)
        measured["student"] = "tiny"
        (made / "README.md").write_text(model_card(recipe, measured), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        made.replace(folder)
    return measured


def model_card(recipe: PretrainConfig, measured: dict[str, Any]) -> str:
    """The model card in Markdown: what it is, what it was trained on, how it scores, what it is not."""
    rows = "\n".join(
        f"| {kind} | {_format_share(row['edge_captured'])} | {row['accuracy']:.3f} | "
        f"{row['oracle_accuracy']:.3f} "
        f"| {row['brier']:.4f} | {row['oracle_brier']:.4f} | {row['abstentions']} | {row['n']:,} |"
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
so that everything runs at once on any machine, and it shows what the loop of forecasts, trades and scores
does. It knows the simulated market and nothing else. On real markets no edge is to be expected of it.
Research software, not financial advice.

## Training

`closecall train pretrain` made it from random weights by supervised fine-tuning (TRL) on simulated markets:
prompts of bars and headlines, answered as the market's oracle would. It has seen no real price and no real
headline. Seeds {TRAINING_SEEDS.start:,} to {TRAINING_SEEDS.stop - 1:,} are reserved for training; every
fifth headline template was withheld from it.

Recipe: {recipe_text}.

## Scores

Simulated markets with seeds {", ".join(map(str, measured["seeds"]))}, {measured["days"]} days each.
The edge is the share of the oracle's edge that the called directions capture. `familiar` markets draw from
the templates of training, `withheld` ones only from those withheld, `all` from both; `shuffled` deals the
headlines out anew over the days; `no_edge` has nothing to know.

| headlines | edge captured | accuracy | oracle | Brier | oracle | abstentions | forecasts |
|---|---|---|---|---|---|---|---|
{rows}
"""


def _format_share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
