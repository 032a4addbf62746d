"""Retrain on the outcomes of a run or session: gate due challengers, train a new one, register it.

A schedule runs it, or a session that has drifted.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from engine.instruments import Instrument
from engine.journal.canonical import to_jsonable
from engine.journal.events import encode
from engine.journal.events.codec import encode_fields
from engine.journal.events.training import Entered, Gated
from engine.journal.journal import Journal
from engine.outcomes import Scored
from llm.answer_cache import AnswerCache
from llm.backends import load_student
from llm.forecaster import forecast
from llm.model_files import fingerprint
from llm.registry.adapters import Adapter, Status, base_fingerprint, student_key
from llm.registry.events import GATE
from llm.registry.registry import Registry
from llm.registry.training_end import describe_unknown_end, find_registered, training_end
from llm.student import Student, StudentSettings
from strategies.config import BacktestConfig
from strategies.results import Result
from strategies.students import recorded_settings
from training.dataset.experience import Experience
from training.promotion.evidence import compute_net_returns
from training.promotion.rule import GateRule, GateVerdict, alpha_spent, evaluate_challenger
from training.retraining.drift import detect_drift
from training.retraining.source import build_last_fold, open_training_journal, read_source
from training.trained_adapter import OnProgress, Trainer, TrainingJob
from training.walkforward.config import Method, WalkForwardConfig
from training.walkforward.methods import create_trainers, select_config
from training.walkforward.record import lock_process


@dataclass(frozen=True, slots=True, kw_only=True)
class _RetrainContext:
    """The data of one retraining. `until` is the last close whose outcome is known."""

    config: BacktestConfig
    instruments: Mapping[str, Instrument]
    settings: WalkForwardConfig
    experiences: Sequence[Experience]
    until: datetime
    at: datetime
    registry: Registry
    cache: AnswerCache
    journal: Journal
    load: Callable[[StudentSettings], Student]
    on_progress: OnProgress

    @property
    def student(self) -> str:
        return student_key(self.config.student)

    def student_settings(self, adapter: Adapter | None) -> StudentSettings:
        """Return the student's settings with an adapter of the registry, or as the run had them."""
        return recorded_settings(self.config, self.instruments, adapter.folder if adapter else None)

    def append(self, payload: object) -> None:
        """Append an event to the journal of the training."""
        self.journal.append([encode(payload, self.until)], self.at)

    def incumbent(self) -> "_Incumbent":
        """Return who answers now. Raises UsageError where its training data may reach to any day."""
        champion = self.registry.champion(self.student)
        if champion is not None:
            return _Incumbent(adapter=champion, until=training_end(champion.folder, champion))
        folder = self.config.adapter
        if folder is None:
            return _Incumbent()
        registered = find_registered(self.registry, folder)
        until = training_end(folder, registered)
        if until is None:
            raise UsageError(describe_unknown_end(folder))
        if until > self.at:
            raise UsageError(f"adapter {folder}: its training data reach to {until}, after now, {self.at}")
        if registered is not None and registered.student == self.student:
            return _Incumbent(adapter=registered, until=until)
        return _Incumbent(start=fingerprint([folder]), until=until)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Incumbent:
    """Who answers until a challenger is promoted: the champion, else the run's own adapter, else the base.

    `start` is the fingerprint of an adapter that the registry does not have; nothing known at or after
    `until` is in its training data.
    """

    adapter: Adapter | None = None
    start: str | None = None
    until: datetime | None = None


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
    """Gate the due challengers, then train and register a new one from the champion.

    Args:
        settings: The windows and the method of the training.
        data_dir: The data folder, with the registry.
        at: The current time.
        run: The run or paper session to learn from; None: the newest run.
        recorded_in: The data folder of that run; None: `data_dir`.
        if_drift: Train only if the run's Brier score has become worse.
        on_progress: Called with the current stage, the steps done and the steps in all.
        load: Loads the student.
        trainers: The trainer of each method; None: those of the settings.

    Returns:
        A report of what was gated and trained, as JSON types.

    Raises:
        UsageError: While another retraining is at work in `data_dir`.
    """
    source = read_source(recorded_in or data_dir, run, at)
    name, experiences = source.run, source.experiences
    if settings.method is Method.NONE:
        raise UsageError("--method none trains nothing; choose grpo or sft")
    with (
        lock_process(data_dir / "models" / "retraining"),
        Registry.open(data_dir) as registry,
        AnswerCache(data_dir / "ledger.sqlite") as cache,
        open_training_journal(data_dir, name) as journal,
    ):
        context = _RetrainContext(
            config=source.config,
            instruments=source.instruments,
            settings=settings,
            experiences=experiences,
            until=source.until,
            at=at,
            registry=registry,
            cache=cache,
            journal=journal,
            load=load,
            on_progress=on_progress,
        )
        context.incumbent()  # an adapter of unknown data is refused before anything is gated
        drift = detect_drift((item.call, item.outcome) for item in experiences if item.call is not None)
        gated = [_gate_challenger(context, challenger) for challenger in _due_challengers(context)]
        registered = None
        if drift.found or not if_drift:
            registered = _train(context, data_dir, (trainers or create_trainers(settings))[settings.method])
        champion = registry.champion(context.student)
    report = {
        "run": name,
        "until": context.until,
        "drift": asdict(drift),
        "gated": gated,
        "trained": registered,
        "champion": champion and champion.name,
    }
    result: dict[str, Any] = to_jsonable(report)
    return result


def _due_challengers(context: _RetrainContext) -> list[Adapter]:
    """Return the challengers whose shadow window has passed, oldest first."""
    return [
        adapter
        for adapter in context.registry.adapters()
        if adapter.status is Status.CHALLENGER
        and adapter.student == context.student
        and _shadow_start(context, adapter) + context.settings.test <= context.until
    ]


def _shadow_start(context: _RetrainContext, challenger: Adapter) -> datetime:
    """Return the start of the shadow window: neither side was trained on data after it."""
    own = training_end(challenger.folder, challenger) or challenger.cutoff
    return max(own, context.incumbent().until or own)


def _gate_challenger(context: _RetrainContext, challenger: Adapter) -> dict[str, Any]:
    begin = _shadow_start(context, challenger)
    if begin + context.settings.test > context.until:  # a promotion just before moved the window
        return {"adapter": challenger.name, "promoted": False, "reasons": ["its shadow window starts again"]}
    verdict = _verdict(context, challenger, begin)
    scores = to_jsonable(
        verdict.as_json() | {"shadow_from": begin, "shadow_until": begin + context.settings.test}
    )
    reason = "; ".join(verdict.reasons)
    if verdict.promoted:
        context.registry.promote(
            challenger.name, at=context.at, by=GATE, reason=reason, scores=scores, student=context.student
        )
    else:
        context.registry.reject(challenger.name, at=context.at, by=GATE, reason=reason, scores=scores)
    rest = {key: value for key, value in scores.items() if key != "promoted"}
    context.append(Gated(adapter=challenger.name, promoted=scores["promoted"], verdict=rest))
    return {"adapter": challenger.name, **scores}


def _verdict(context: _RetrainContext, challenger: Adapter, begin: datetime) -> GateVerdict:
    end = begin + context.settings.test
    window = [item for item in context.experiences if begin < item.observation.as_of <= end]
    champion = context.registry.champion(context.student)
    sides = [
        _score_window(context, context.student_settings(adapter), window, f"{role} forecasting")
        for role, adapter in (("champion", champion), ("challenger", challenger))
    ]
    level = alpha_spent(context.registry.gate_results(context.student) + 1)
    passed_guards = bool(challenger.scores.get("clean", False))
    ours, theirs = ([call for call, _ in side] for side in sides)
    returns = compute_net_returns(ours, theirs, window)
    return evaluate_challenger(
        sides[0], sides[1], GateRule(level=level), passed_guards=passed_guards, net_returns=returns
    )


def _score_window(
    context: _RetrainContext, settings: StudentSettings, window: Sequence[Experience], stage: str
) -> list[Scored]:
    forecasts = forecast(
        [item.observation for item in window],
        context.load(settings),
        context.cache,
        lambda done, total, *_: context.on_progress(stage, done, total),
    )
    return [(call, item.outcome) for call, item in zip(forecasts.calls, window, strict=True)]


def _train(context: _RetrainContext, data_dir: Path, trainer: Trainer) -> dict[str, Any]:
    """Train on data up to the last known close, and register the challenger."""
    settings, parent = context.settings, context.incumbent()
    fold, data = build_last_fold(context.experiences, context.until, settings)
    cutoff = max(fold.cutoff, parent.until or fold.cutoff)  # what its parent has learned, it knows too
    with tempfile.TemporaryDirectory(dir=data_dir / "models") as scratch:
        job = TrainingJob(
            start=context.student_settings(parent.adapter),
            training=data.training,
            held_out=data.held_out,
            folder=Path(scratch) / "adapter",
            on_event=context.append,
            on_progress=context.on_progress,
        )
        trained = trainer(job)
        brier = trained.figures.get("held_out", {}).get("brier")
        scores = to_jsonable(
            {**trained.figures, "brier": brier, "clean": trained.passed_guards, "reason": trained.reason}
        )
        registered = context.registry.register(
            trained.folder,
            parent=parent.adapter.name if parent.adapter else None,
            start=parent.start,
            student=context.config.student,
            cutoff=cutoff,
            recipe=to_jsonable({"method": settings.method, **select_config(settings).stored()}),
            fingerprint=trained.fingerprint,
            scores=scores,
            at=max(context.at, cutoff),
            base=base_fingerprint(context.config.student),
        )
    event = Entered(
        adapter=registered.name,
        parent=registered.parent,
        trained_on=len(data.training.items),
        cutoff=cutoff,
        gate_at=cutoff + settings.test,
        scores={"held_out": len(data.held_out.items), **scores},
    )
    context.append(event)
    return encode_fields(event)


def register_champion(
    run: Result, config: BacktestConfig, settings: WalkForwardConfig, data_dir: Path, at: datetime
) -> str | None:
    """Register the adapter that a walk-forward promoted last.

    Args:
        run: The walk-forward.
        config: The backtest that it ran on.
        settings: Its settings.
        data_dir: The data folder, with the registry.
        at: The current time.

    Returns:
        The name of the adapter; None if none was promoted.
    """
    arm = settings.method.value
    promoted = [fold for fold in run.result["folds"] if _gate_scores(fold, arm).get("promoted")]
    if not promoted:
        return None
    fold = promoted[-1]
    gate = _gate_scores(fold, arm)
    folder = run.folder / "adapters" / f"{arm}-{fold['number']:02}"
    cutoff = datetime.fromisoformat(fold["cutoff"])
    with Registry.open(data_dir) as registry:
        start = gate["champion"]
        mine = (item for item in registry.adapters() if item.student == student_key(config.student))
        parent = next((item for item in mine if item.fingerprint == start), None)
        registered = registry.register(
            folder,
            parent=parent.name if parent else None,
            start=None if parent else start,
            student=config.student,
            cutoff=max(cutoff, training_end(folder, parent) or cutoff),
            recipe=to_jsonable({"method": arm, "run": run.name, **select_config(settings).stored()}),
            fingerprint=gate["challenger"],
            scores=to_jsonable(gate),
            at=at,
            base=base_fingerprint(config.student),
        )
    return registered.name


def _gate_scores(fold: Mapping[str, Any], arm: str) -> Mapping[str, Any]:
    scores: Mapping[str, Any] = fold["arms"].get(arm, {})
    return scores
