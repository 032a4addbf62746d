import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from threading import Semaphore
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.errors import StudentError, UsageError
from engine.instruments import DEFAULT_COSTS
from engine.journal.events import encode
from engine.journal.events.codec import encode_fields
from engine.model import Direction
from engine.timeline import build_observations
from feeds.simulated.market import MarketSettings, simulate
from llm.answers import format_answer
from llm.loading import quiet_deprecations
from llm.student import StudentSettings
from llm.transformers_student import load_student
from strategies.sizing import PositionSizing
from training.dataset.experience import TrainingSet, build_experiences
from training.grpo.config import GrpoConfig
from training.grpo.prompt_sampling import choose_batch_size, sort_by_length
from training.grpo.train import train_grpo
from training.monitoring.evaluation import compute_metrics, parse_answers
from training.monitoring.guards import GuardLimits
from training.sft.train import SftConfig
from training.trained_adapter import TrainedAdapter, TrainingJob

CUTOFF = datetime(2023, 2, 10, tzinfo=UTC)
EMBARGO = timedelta(days=5)
LENIENT = GuardLimits(invalid=1, abstentions=1, one_class=1, confidence_spread=0, close_spread=0, errors=1e9)

QUICK = GrpoConfig(
    steps=2,
    prompts_per_step=8,
    num_generations=4,
    learning_rate=3e-3,
    decay=False,
    rank=4,
    alpha=8,
    forced_prefixes=2,
    eval_every=2,
    limits=LENIENT,
)

Events = list[tuple[str, Mapping[str, Any]]]


@cache
def sets() -> tuple[TrainingSet, TrainingSet]:
    """Some weeks of a simulated market whose news means the reverse, and the days after them."""
    market = simulate(MarketSettings(seed=36, coins=2, stocks=1, days=50, reversal=date(2023, 1, 1)))
    observed = build_observations(market.bars, market.news, window=21, start=datetime(2023, 1, 8, tzinfo=UTC))
    variants = build_experiences(
        observed,
        market.bars,
        instruments=market.instruments,
        calendars=market.calendars,
        costs={s: DEFAULT_COSTS[entry.asset_class] for s, entry in market.instruments.items()},
        sizing=PositionSizing(risk_aversion=25.0, cap=0.3, shortable=frozenset(market.instruments)),
    )
    whole = TrainingSet.select(variants, cutoff=CUTOFF, embargo=EMBARGO)
    split = datetime(2023, 1, 30, tzinfo=UTC)
    early = tuple(item for item in whole.items if item.observation.as_of < split)
    late = tuple(item for item in whole.items if item.observation.as_of >= split)
    return replace(whole, items=early), replace(whole, items=late)


def train_once(
    folder: Path,
    recipe: GrpoConfig = QUICK,
    start: StudentSettings | None = None,
    events: Events | None = None,
) -> TrainedAdapter:
    training, held_out = sets()
    kept: Events = [] if events is None else events
    job = TrainingJob(
        start=start or StudentSettings(),
        training=training,
        held_out=held_out,
        folder=folder,
        on_event=lambda payload: kept.append((encode(payload, CUTOFF).kind, encode_fields(payload))),
        on_progress=lambda *_: None,
    )
    return train_grpo(job, recipe=recipe)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedAdapter, Events]:
    events: Events = []
    return train_once(tmp_path_factory.mktemp("first") / "adapter", events=events), events


@pytest.mark.slow
def test_a_round_writes_an_adapter_that_the_student_loads(first: tuple[TrainedAdapter, Events]) -> None:
    trained, _ = first
    assert sorted(path.name for path in trained.folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "closecall.json",
    ]
    student = load_student(StudentSettings(adapter=trained.folder))
    assert student.released is not None
    prompt = student.prompt(sets()[1].items[0].observation)
    assert student.answer([prompt], lambda *_: None)[0].startswith('{"direction"')


@pytest.mark.slow
def test_the_adapter_says_its_prompt_and_the_last_day_of_its_data(
    first: tuple[TrainedAdapter, Events],
) -> None:
    trained, _ = first
    stated = json.loads((trained.folder / "closecall.json").read_text())
    assert stated == {"prompt": "compact", "released": "2023-02-10"}
    base = json.loads((trained.folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert base == "tiny"


@pytest.mark.slow
def test_the_same_call_gives_the_same_adapter_to_the_bit(
    first: tuple[TrainedAdapter, Events], tmp_path: Path
) -> None:
    again = train_once(tmp_path / "adapter")
    assert again.fingerprint == first[0].fingerprint
    mine, theirs = weights(first[0].folder), weights(again.folder)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.slow
def test_another_seed_gives_another_adapter_and_nothing_is_written_to_the_screen(
    first: tuple[TrainedAdapter, Events], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        other = train_once(tmp_path / "adapter", replace(QUICK, seed=2))
    assert other.fingerprint != first[0].fingerprint
    assert capfd.readouterr().out == ""


@pytest.mark.slow
def test_every_step_and_look_is_told_as_json(first: tuple[TrainedAdapter, Events]) -> None:
    _, events = first
    json.dumps([payload for _, payload in events], allow_nan=False)
    steps = [payload for kind, payload in events if kind == "training_step"]
    assert [payload["step"] for payload in steps] == [1, 2]
    wanted = {"reward", "brier", "close", "pnl", "entropy", "kl", "accuracy", "dead_groups", "invalid"}
    assert wanted <= steps[0].keys()
    assert {"total", "generation", "reward", "update", "reference"} <= steps[0]["seconds"].keys()
    assert [payload["step"] for kind, payload in events if kind == "training_look"] == [0, 2]
    assert events[-1][0] == "training_done"


@pytest.mark.slow
def test_a_round_goes_on_from_the_adapter_before_and_keeps_its_shape(
    first: tuple[TrainedAdapter, Events], tmp_path: Path
) -> None:
    events: Events = []
    start = StudentSettings(adapter=first[0].folder)
    trained = train_once(tmp_path / "adapter", replace(QUICK, rank=2), start, events)
    before, after = weights(first[0].folder), weights(trained.folder)
    assert before.keys() == after.keys()
    moved = max(float((after[name] - before[name]).abs().max()) for name in before)
    assert 0 < moved <= 3 * QUICK.steps * QUICK.learning_rate
    steps = [payload for kind, payload in events if kind == "training_step"]
    assert abs(steps[0]["kl"]) < 1e-6 < steps[1]["kl"]


def test_shared_prompts_learn_what_trl_alone_learns(tmp_path: Path) -> None:
    from training.grpo.train import create_trainer
    from training.lora import LoraShape, add_adapter

    variants = []
    for share in (True, False):
        torch.manual_seed(0)
        student = load_student(StudentSettings())
        model = add_adapter(student, StudentSettings(), LoraShape(rank=4, alpha=8))
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.02)
        recipe = replace(QUICK, share_prompt_prefix=share)
        trainer = create_trainer(student, model, sets()[0], recipe, tmp_path / str(share))
        assert trainer.share is share
        prompts = [[5, 9, 14, 30]] * 4 + [[7, 8]] * 4
        answers = torch.randint(5, 500, (8, 6), generator=torch.Generator().manual_seed(2))
        ids = torch.cat([torch.tensor([[0] * (4 - len(p)) + p for p in prompts]), answers], 1)
        mask = torch.tensor([[0] * (4 - len(p)) + [1] * (len(p) + 6) for p in prompts])
        stated, entropy, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, mask, 6, compute_entropy=True
        )
        stated.sum().backward()
        assert entropy is not None
        variants.append((stated, entropy, [p.grad for p in model.parameters() if p.grad is not None]))
    for mine, theirs in zip(variants[0][:2], variants[1][:2], strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)
    assert len(variants[0][2]) == len(variants[1][2]) > 0
    for mine, theirs in zip(variants[0][2], variants[1][2], strict=True):
        assert torch.allclose(mine, theirs, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_a_training_that_breaks_the_student_is_rolled_back_to_its_start(tmp_path: Path) -> None:
    events: Events = []
    limits = replace(LENIENT, one_class=0.1, grace=0)
    recipe = replace(QUICK, steps=6, eval_every=1, learning_rate=1e-2, limits=limits)
    trained = train_once(tmp_path / "adapter", recipe, events=events)
    assert not trained.passed_guards
    assert trained.reason is not None and "one class" in trained.reason
    violations = [(payload["guard"], payload["done"]) for kind, payload in events if kind == "training_guard"]
    assert ("one class", "stopped") in violations and ("one class", "rolled back to the start") in violations
    assert sum(kind == "training_step" for kind, _ in events) < recipe.steps
    grown = [weight for name, weight in weights(trained.folder).items() if "lora_B" in name]
    assert grown and all(float(weight.abs().max()) == 0 for weight in grown)


@pytest.mark.slow
def test_a_student_that_is_still_unsound_at_the_end_is_kept_but_not_clean(tmp_path: Path) -> None:
    events: Events = []
    trained = train_once(
        tmp_path / "adapter", replace(QUICK, limits=replace(LENIENT, kl=1e-9)), events=events
    )
    assert not trained.passed_guards and trained.reason is not None
    assert ("KL", "kept, not clean") in [
        (payload["guard"], payload["done"]) for kind, payload in events if kind == "training_guard"
    ]
    assert any(
        float(weight.abs().max()) > 0 for name, weight in weights(trained.folder).items() if "lora_B" in name
    )


@pytest.mark.slow
def test_a_training_that_goes_wrong_late_keeps_the_last_sound_weights(tmp_path: Path) -> None:
    events: Events = []
    sound = train_once(tmp_path / "short", replace(QUICK, eval_every=1), events=events)
    looks = [payload["kl"] for kind, payload in events if kind == "training_look"]
    limits = replace(LENIENT, kl=looks[2] * 1.01)
    recipe = replace(QUICK, steps=5, eval_every=1, learning_rate=3e-3, limits=limits)
    trained = train_once(tmp_path / "long", recipe)
    assert trained.passed_guards and trained.reason is not None and "KL" in trained.reason
    mine, theirs = weights(sound.folder), weights(trained.folder)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.slow
def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise StudentError("the disk is full")

    monkeypatch.setattr("training.trained_adapter.write_adapter", fail)
    with pytest.raises(StudentError, match="the disk is full"):
        train_once(tmp_path / "adapter", replace(QUICK, steps=1))
    assert list(tmp_path.iterdir()) == []


def test_parts_divide_a_step_and_stay_within_the_budget() -> None:
    assert choose_batch_size(prompts=64, tokens=200, budget=4096) == 16
    assert choose_batch_size(prompts=64, tokens=9999, budget=4096) == 1
    assert choose_batch_size(prompts=6, tokens=10, budget=4096) == 6
    assert sort_by_length([2, 0, 1], [30, 10, 20]) == [1, 2, 0]


def read_answers(text: str) -> list[str]:
    return [text] * len(sets()[1].items)


def test_vitals_measure_what_was_said_against_base_rate_and_still_close() -> None:
    items = sets()[1].items
    flat = parse_answers(read_answers('{"direction": "up", "confidence": 0.50, "close": 100.00}'), items)
    sure = parse_answers(read_answers('{"direction": "up", "confidence": 1.00, "close": 130.00}'), items)
    still, wild = compute_metrics(flat, flat, items, step=0), compute_metrics(sure, flat, items, step=1)
    assert still.brier_over_start == (0.0, 0.0)
    assert still.close_over_still == pytest.approx((0.0, 0.0))
    assert still.one_class == 1.0 and still.confidence_spread == 0.0
    assert wild.brier > still.brier == pytest.approx(0.25, abs=0.01)
    assert wild.brier_over_start[0] > 0 and wild.close_over_still[0] > 1
    assert wild.close_error > still.close_error


def test_vitals_of_a_student_that_says_nothing_readable_are_no_numbers() -> None:
    items = sets()[1].items
    none = parse_answers(read_answers("up, I think"), items)
    state = compute_metrics(none, none, items, step=0)
    assert state.abstentions == 1.0
    assert math.isnan(state.brier) and math.isnan(state.one_class)


def test_the_direction_part_tells_right_from_wrong_and_knows_no_confidence() -> None:
    from training.rewards import direction_score

    training = sets()[0]
    item = next(entry for entry in training.items if not entry.outcome.tie)
    rose = item.outcome.next_close > item.outcome.last_close

    def said(way: str, confidence: float) -> str:
        return format_answer(Direction(way), confidence, 100.0)

    right, wrong = ("up", "down") if rose else ("down", "up")
    for confidence in (0.5, 0.75, 1.0):
        assert direction_score(said(right, confidence), item) == 1.0
        assert direction_score(said(wrong, confidence), item) == 0.0
    assert direction_score("up", item) == 0.0


@pytest.mark.slow
def test_step_time_sets_both_trainers_side_by_side() -> None:
    from training.benches.grpo import measure_step_time

    recipe = replace(QUICK, steps=3, prompts_per_step=2)
    measured = measure_step_time(StudentSettings(), *sets(), recipe, lambda *_: None)
    assert measured["completions"] == 8
    assert 0 < measured["ratio"] < math.inf
    for arm in ("stock", "shared"):
        seconds = measured[arm]["seconds"]
        assert seconds["total"] > 0 and seconds["update"] > 0 and seconds["generation"] > 0
        assert measured[arm]["held_out"]["brier"] is not None


@pytest.mark.slow
def test_a_trainer_learns_beside_the_other_what_it_learns_alone(tmp_path) -> None:
    """The other one gathers the gradients of several parts before a step; this one needs one part a step."""
    from training.benches.grpo import _BenchTrainer, measure_step_time

    recipe = replace(QUICK, steps=4, prompts_per_step=4, learning_rate=0.02, max_tokens_per_batch=700)
    training, held_out = sets()
    turn = Semaphore(1)
    alone = _BenchTrainer(StudentSettings(), training, recipe, tmp_path, turn, turn)
    with quiet_deprecations():
        alone.train(lambda *_: None, "alone")
    assert alone._trainer.args.gradient_accumulation_steps == 1
    measured = measure_step_time(StudentSettings(), training, held_out, recipe, lambda *_: None)
    learned = [{**entry, "seconds": None} for entry in (alone.figures(held_out), measured["shared"])]
    assert learned[0] == learned[1]


def test_at_least_one_answer_of_a_group_is_left_to_the_student() -> None:
    with pytest.raises(UsageError, match="forced_prefixes 8 of 8"):
        GrpoConfig(forced_prefixes=8)


def test_tokens_that_answers_were_begun_with_are_left_out_of_the_kl() -> None:
    from training.grpo.trainer import SharedPromptTrainer

    trainer = SharedPromptTrainer.__new__(SharedPromptTrainer)
    trainer.prefixes, trainer.num_generations = [[1, 2], [3]], 4
    trainer._scored = {"ref_per_token_logps": torch.zeros(8, 3)}
    stated = torch.arange(1.0, 25.0).view(8, 3)
    trainer._mask_forced_prefixes(stated)
    kept = torch.zeros(8, 3)
    for row, begun in ((2, 2), (3, 1), (6, 2), (7, 1)):
        kept[row, :begun] = stated[row, :begun]
    assert torch.equal(trainer._scored["ref_per_token_logps"], kept)


def test_recipes_are_stored_under_the_names_of_the_first_version() -> None:
    stored = GrpoConfig(num_generations=6, eval_every=3).stored()
    assert (stored["completions"], stored["look_every"]) == (6, 3)
    assert {"tokens_at_once", "share", "explore", "hold"} < stored.keys()
    assert SftConfig(eval_every=5).stored()["look_every"] == 5
