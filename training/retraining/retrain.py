"""One round of training on the outcomes of a run or session: gate what is due, train, enter, report.

Knows no walk-forward and no clock: history goes on where the registry left it. A schedule runs it, or a
session that has drifted.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from engine.journal.canonical import to_jsonable
from engine.journal.events import encode
from engine.journal.events.codec import encode_fields
from engine.journal.events.training import Entered, Gated
from engine.journal.journal import Journal
from engine.outcomes import Scored
from llm.answer_cache import AnswerCache
from llm.backends import load_student
from llm.forecaster import forecast
from llm.registry.adapters import Adapter, Status, base_fingerprint, student_key
from llm.registry.events import GATE
from llm.registry.registry import Registry
from llm.student import Student, StudentSettings
from strategies.config import BacktestConfig, student_settings
from strategies.results import Result
from training.dataset.experience import Experience
from training.grpo.train import OnProgress
from training.promotion.evidence import net_returns
from training.promotion.rule import GateRule, GateVerdict, alpha_spent, evaluate_challenger
from training.retraining.drift import detect_drift
from training.retraining.source import last_fold, open_training_journal, read_source
from training.walkforward.arms import Trainer
from training.walkforward.config import Method, WalkForwardConfig
from training.walkforward.methods import create_trainers, select_config
from training.walkforward.record import lock_process


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """What one round works on. `until` is the last close whose outcome is on record."""

    config: BacktestConfig
    settings: WalkForwardConfig
    experiences: Sequence[Experience]
    until: datetime
    at: datetime
    registry: Registry
    ledger: AnswerCache
    journal: Journal
    load: Callable[[StudentSettings], Student]
    on_progress: OnProgress

    @property
    def student(self) -> str:
        return student_key(self.config.student)

    def student_settings(self, adapter: Adapter | None) -> StudentSettings:
        """The student with an adapter of the registry, or as the run had it."""
        return student_settings(self.config, adapter.folder if adapter else None)

    def append(self, payload: object) -> None:
        """Put an event into the journal of the training."""
        self.journal.append([encode(payload, self.until)], self.at)


def retrain(
    settings: WalkForwardConfig,
    *,
    data_dir: Path,
    at: datetime,
    run: str | None = None,
    recorded_in: Path | None = None,
    if_drift: bool = False,
    on_progress: OnProgress = lambda _stage, _done, _total: None,
    load: Callable[[StudentSettings], Student] = load_student,
    trainers: Mapping[Method, Trainer] | None = None,
) -> dict[str, Any]:
    """Do one round and say what was done, as JSON types.

    `run` is a run or a paper session of `recorded_in` (None: of `data_dir`, where the registry is), the
    newest run where None is named. Challengers whose shadow window has passed are gated first, so that
    training goes on from the champion that this leaves. With `if_drift` nothing is trained unless the
    run's Brier score has turned worse. Raises UsageError while another round is at work in `data_dir`.
    """
    source = read_source(recorded_in or data_dir, run, at)
    name, lived = source.run, source.experiences
    if settings.method is Method.NONE:
        raise UsageError("--method none trains nothing; choose grpo or sft")
    with (
        lock_process(data_dir / "models" / "retraining"),
        Registry.open(data_dir) as registry,
        AnswerCache(data_dir / "ledger.sqlite") as ledger,
        open_training_journal(data_dir, name) as journal,
    ):
        work = _Round(
            config=source.config,
            settings=settings,
            experiences=lived,
            until=source.until,
            at=at,
            registry=registry,
            ledger=ledger,
            journal=journal,
            load=load,
            on_progress=on_progress,
        )
        drift = detect_drift((one.call, one.outcome) for one in lived if one.call is not None)
        gated = [_gate_challenger(work, one) for one in _due_challengers(work)]
        entered = None
        if drift.found or not if_drift:
            entered = _train(work, data_dir, (trainers or create_trainers(settings))[settings.method])
        champion = registry.champion(work.student)
    report = {
        "run": name,
        "until": work.until,
        "drift": asdict(drift),
        "gated": gated,
        "trained": entered,
        "champion": champion and champion.name,
    }
    said: dict[str, Any] = to_jsonable(report)
    return said


def _due_challengers(work: _Round) -> list[Adapter]:
    """The challengers whose shadow window lies within what is known, oldest first."""
    waiting = [
        one
        for one in work.registry.adapters()
        if one.status is Status.CHALLENGER and one.student == work.student
    ]
    return [one for one in waiting if _shadow_start(work, one) + work.settings.test <= work.until]


def _shadow_start(work: _Round, challenger: Adapter) -> datetime:
    """From where neither side's data can reach into the window."""
    champion = work.registry.champion(work.student)
    return max(challenger.cutoff, champion.cutoff) if champion else challenger.cutoff


def _gate_challenger(work: _Round, challenger: Adapter) -> dict[str, Any]:
    begin = _shadow_start(work, challenger)
    if begin + work.settings.test > work.until:  # a promotion a moment ago moved the window
        return {"adapter": challenger.name, "promoted": False, "reasons": ["its shadow window starts anew"]}
    verdict = _verdict(work, challenger, begin)
    said = verdict.as_json() | {"shadow_from": begin, "shadow_until": begin + work.settings.test}
    scores = to_jsonable(said)
    reason = "; ".join(verdict.reasons)
    if verdict.promoted:
        work.registry.promote(
            challenger.name, at=work.at, by=GATE, reason=reason, scores=scores, student=work.student
        )
    else:
        work.registry.reject(challenger.name, at=work.at, by=GATE, reason=reason, scores=scores)
    rest = {key: value for key, value in scores.items() if key != "promoted"}
    work.append(Gated(adapter=challenger.name, promoted=scores["promoted"], verdict=rest))
    return {"adapter": challenger.name, **scores}


def _verdict(work: _Round, challenger: Adapter, begin: datetime) -> GateVerdict:
    window = [one for one in work.experiences if begin < one.observation.as_of <= begin + work.settings.test]
    champion = work.registry.champion(work.student)
    sides = [
        _score_window(work, work.student_settings(adapter), window, f"{role} forecasting")
        for role, adapter in (("champion", champion), ("challenger", challenger))
    ]
    level = alpha_spent(work.registry.gate_results(work.student) + 1)
    clean = bool(challenger.scores.get("clean", False))
    ours, theirs = ([call for call, _ in side] for side in sides)
    earned = net_returns(ours, theirs, window)
    return evaluate_challenger(
        sides[0], sides[1], GateRule(level=level), passed_guards=clean, net_returns=earned
    )


def _score_window(
    work: _Round, wanted: StudentSettings, window: Sequence[Experience], stage: str
) -> list[Scored]:
    made = forecast(
        [one.observation for one in window],
        work.load(wanted),
        work.ledger,
        lambda done, total: work.on_progress(stage, done, total),
    )
    return [(call, one.outcome) for call, one in zip(made.calls, window, strict=True)]


def _train(work: _Round, data_dir: Path, trainer: Trainer) -> dict[str, Any]:
    """Train to the last known close, and enter the challenger."""
    settings, parent = work.settings, work.registry.champion(work.student)
    fold, data = last_fold(work.experiences, work.until, settings)
    with tempfile.TemporaryDirectory(dir=data_dir / "models") as scratch:
        made = trainer(
            work.student_settings(parent),
            data.training,
            data.held_out,
            Path(scratch) / "adapter",
            work.append,
            work.on_progress,
        )
        brier = made.figures.get("held_out", {}).get("brier")
        scores = to_jsonable(
            {**made.figures, "brier": brier, "clean": made.passed_guards, "reason": made.reason}
        )
        registered = work.registry.register(
            made.folder,
            parent=parent.name if parent else None,
            student=work.config.student,
            cutoff=fold.cutoff,
            recipe=to_jsonable({"method": settings.method, **select_config(settings).stored()}),
            fingerprint=made.fingerprint,
            scores=scores,
            at=max(work.at, fold.cutoff),
            base=base_fingerprint(work.config.student),
        )
    event = Entered(
        adapter=registered.name,
        parent=registered.parent,
        trained_on=len(data.training.items),
        cutoff=fold.cutoff,
        gate_at=fold.gate_at,
        scores={"held_out": len(data.held_out.items), **scores},
    )
    work.append(event)
    return encode_fields(event)


def register_champion(
    run: Result, config: BacktestConfig, settings: WalkForwardConfig, data_dir: Path, at: datetime
) -> str | None:
    """Enter the adapter that was promoted last and return its name; None where none was."""
    arm = settings.method.value
    promoted = [fold for fold in run.result["folds"] if _gate_scores(fold, arm).get("promoted")]
    if not promoted:
        return None
    fold = promoted[-1]
    gate = _gate_scores(fold, arm)
    with Registry.open(data_dir) as registry:
        entered = registry.register(
            run.folder / "adapters" / f"{arm}-{fold['number']:02}",
            parent=None,
            student=config.student,
            cutoff=datetime.fromisoformat(fold["cutoff"]),
            recipe=to_jsonable({"method": arm, "run": run.name, **select_config(settings).stored()}),
            fingerprint=gate["challenger"],
            scores=to_jsonable(gate),
            at=at,
            base=base_fingerprint(config.student),
        )
    return entered.name


def _gate_scores(fold: Mapping[str, Any], arm: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = fold["arms"].get(arm, {})
    return found
