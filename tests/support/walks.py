"""A walk-forward whose students and trainers are doubles, and the same one killed at every boundary.

The doubles know the simulated market's oracle: a student calls it right or wrong, by what its adapter says.
"""

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from engine.journal.events.training import TrainingStep
from llm.model_files import fingerprint
from strategies.config import BacktestConfig, MarketTable
from strategies.market_data import load_market_data
from tests.support.students import RuleStudent
from training.trained_adapter import TrainedAdapter
from training.walkforward.config import Method, WalkForwardConfig
from training.walkforward.run import walkforward

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
MARKET = BacktestConfig(market=MarketTable(coins=6, stocks=0, days=106))
SETTINGS = WalkForwardConfig(method=Method.SFT, train_days=30, test_days=25)
NO_EDGE = MARKET.model_copy(update={"market": MarketTable(coins=6, stocks=0, days=106, edge=False)})


def answer(*, up: bool, confidence: float = 0.7) -> str:
    direction, close = ("up", 100.5) if up else ("down", 99.5)
    return f'{{"direction": "{direction}", "confidence": {confidence:.2f}, "close": {close:.2f}}}'


class Doubles:
    """Students and trainers for one market. A fold's adapter is right, wrong or silent, as `skills` say."""

    def __init__(
        self, config: BacktestConfig = MARKET, skills: tuple[str, ...] = ("right",), base: str = "wrong"
    ) -> None:
        self.config = config.model_dump_json()
        self.oracle = load_market_data(config, Path()).oracle
        self.turn = config.market.reversal
        self.base = base
        self.skills = skills
        self.trained: list[str] = []
        self.sets: list[tuple] = []
        self.started_from: list[str | None] = []
        self.clean = True

    def load(self, wanted):
        adapter = wanted.adapter
        skill = json.loads((adapter / "closecall.json").read_text())["skill"] if adapter else self.base
        student = RuleStudent(lambda prompt: self._answer(prompt, skill))
        student.fingerprint = f"{skill}-{fingerprint([adapter]) if adapter else 'base'}"
        return student

    def trainers(self):
        return {Method.GRPO: self.train, Method.SFT: self.train}

    def train(self, job):
        folder = job.folder
        self.trained.append(folder.name)
        self.sets.append((job.training, job.held_out))
        self.started_from.append(job.start.adapter and job.start.adapter.name)
        number = int(folder.name[-2:]) if folder.name[-2:].isdigit() else len(self.trained)
        skill = self.skills[min(number, len(self.skills)) - 1]
        job.on_event(TrainingStep(step=1, figures={"reward": 0.5}))
        job.on_progress("training", 1, 1)
        write_adapter(folder, skill, number)
        return TrainedAdapter(
            folder=folder,
            fingerprint=fingerprint([folder]),
            passed_guards=self.clean,
            reason=None,
            figures={},
        )

    def _answer(self, prompt: str, skill: str) -> str:
        symbol, as_of = prompt.split("\n")[-1].split()
        q = self.oracle[symbol, datetime.fromisoformat(as_of)].probability_up
        if skill == "stale":  # right until the news changes its meaning
            skill = "right" if as_of < self.turn.isoformat() else "wrong"
        if skill == "silent":
            return "nothing"
        return answer(up=(q > 0.5) == (skill == "right"), confidence=min(0.99, max(q, 1 - q)))


def run_walkforward(folder: Path, doubles: Doubles, clock: Callable[[], datetime] = lambda: NOW, **more):
    config = more.pop("config", MARKET)
    settings = more.pop("settings", SETTINGS)
    return walkforward(
        config,
        settings,
        data_dir=folder,
        clock=clock,
        load=doubles.load,
        trainers=doubles.trainers(),
        **more,
    )


def write_adapter(folder: Path, skill: str, number: int = 0) -> Path:
    """A folder that passes for a LoRA adapter, with the skill that a double reads from it."""
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    save_file({"lora": np.full(2, float(number), dtype=np.float32)}, folder / "adapter_model.safetensors")
    (folder / "closecall.json").write_text(json.dumps({"skill": skill}))
    return folder


class Deadly:
    """A clock that ends the process, as a kill would, when it is asked for the n-th time."""

    def __init__(self, asked: int) -> None:
        self.left = asked

    def __call__(self) -> datetime:
        self.left -= 1
        if self.left < 0:
            os._exit(9)
        return NOW


def killed_until_done(folder: Path, every: int) -> dict:
    """Run in processes that each die after a few more events than the one before, until one finishes."""
    deaths = 0
    for attempt in range(1, 100):
        child = os.fork()
        if child == 0:
            doubles = Doubles(skills=("right", "right", "wrong"))
            run = run_walkforward(folder, doubles, Deadly(every + attempt))
            (folder / "trained").write_text(json.dumps(doubles.trained))
            (folder / "result").write_text(json.dumps(run.result))
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            break
        deaths += 1
    result = json.loads((folder / "result").read_text())
    return {"deaths": deaths, "result": result, "runs": len(list((folder / "runs").glob("*")))}


if __name__ == "__main__":
    print(json.dumps(killed_until_done(Path(sys.argv[1]), int(sys.argv[2]))))  # noqa: T201  # its answer to the test
