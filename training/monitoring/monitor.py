"""Monitor a student in training: evaluate held-out prompts, report events, keep the last good weights.

It serves every training method: the trainer reports each step and learns whether to continue.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from engine.journal.events.training import TrainingEvent, TrainingGuard, TrainingLook
from llm.student import TrainableStudent
from training.dataset.experience import TrainingSet
from training.monitoring.evaluation import (
    ParsedAnswers,
    compute_answer_accuracy,
    compute_metrics,
    parse_answers,
)
from training.monitoring.guards import EvalMetrics, GuardLimits, GuardViolation, find_alarms, find_violations

OnEvent = Callable[[TrainingEvent], None]
"""Called with each training event."""

SAMPLED_METRICS = ("invalid", "dead_groups", "kl", "reward")
"""The metrics of sampled answers that guards check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOutcome:
    """How a training ended.

    Attributes:
        metrics: Of the weights that were kept.
        passed_guards: Whether those passed all guards.
        reason: What stopped the training or rolled it back; None if nothing did.
        accuracy: Share of right directions on the held-out prompts; None where not known.
    """

    metrics: EvalMetrics
    passed_guards: bool
    reason: str | None
    accuracy: float | None


@dataclass(slots=True)
class TrainingMonitor:
    """Evaluate the student before the first step and after every `every` steps.

    Attributes:
        weights: The tensors in training, by name; they are copied after each good evaluation.
    """

    student: TrainableStudent
    held_out: TrainingSet
    weights: Mapping[str, Any]
    limits: GuardLimits
    every: int
    on_event: OnEvent
    history: list[EvalMetrics] = field(default_factory=list)
    _prompts: list[str] = field(default_factory=list)
    _start: ParsedAnswers = field(default_factory=dict)
    _sampled: dict[str, list[float]] = field(default_factory=dict)
    _last_sound: tuple[EvalMetrics, dict[str, Any], float | None] | None = None
    _first: dict[str, Any] = field(default_factory=dict)
    _alarm: str | None = None
    _accuracy: float | None = None

    @classmethod
    def of_model(
        cls,
        student: TrainableStudent,
        model: Any,
        held_out: TrainingSet,
        limits: GuardLimits,
        every: int,
        on_event: OnEvent,
    ) -> Self:
        """Create the monitor of a model's trainable weights.

        Args:
            student: Answers with the model.
            model: The model in training.
            held_out: The experiences that the guards evaluate.
            limits: The limits of the guards.
            every: How many steps lie between two evaluations.
            on_event: Gets every evaluation and violation.
        """
        weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        return cls(
            student=student, held_out=held_out, weights=weights, limits=limits, every=every, on_event=on_event
        )

    def begin(self) -> None:
        """Evaluate the student before the first step."""
        self._prompts = [self.student.prompt(item.observation) for item in self.held_out.items]
        self._first = self._copy()
        started = time.perf_counter()
        self._start = self._parse_answers()
        self._evaluate(0, self._start, started)

    def step(self, number: int, figures: Mapping[str, float], *, last: bool) -> bool:
        """Record a step's sampled metrics and evaluate the student when due.

        Args:
            number: The step, from 1.
            figures: The step's metrics by name.
            last: Whether this is the last step, which is always evaluated.

        Returns:
            Whether the training may continue.
        """
        for name in SAMPLED_METRICS:
            if (value := figures.get(name)) is not None:
                self._sampled.setdefault(name, []).append(value)
        if not last and number % self.every:
            return True
        started = time.perf_counter()
        self._evaluate(number, self._parse_answers(), started)
        alarms = find_alarms(self.history, self.limits)
        if alarms:
            self._alarm = _describe_violations(alarms)
            self._report_violations(alarms, "stopped")
        return not alarms

    def finish(self) -> TrainingOutcome:
        """Keep the weights of the last step if they pass, else restore the last that passed.

        Where none passed, a training that was stopped is restored to its start; one that ran to its end may
        have been recovering, and keeps its last weights.
        """
        final = self.history[-1]
        violations = find_violations(final, self.limits)
        if not violations and self._alarm is None:
            return TrainingOutcome(metrics=final, passed_guards=True, reason=None, accuracy=self._accuracy)
        reason = self._alarm or _describe_violations(violations)
        if self._last_sound is not None and self._last_sound[0].step > 0:
            metrics, weights, accuracy_then = self._last_sound
            self._restore(weights)
            self._report_violations(violations, f"rolled back to step {metrics.step}")
            return TrainingOutcome(metrics=metrics, passed_guards=True, reason=reason, accuracy=accuracy_then)
        if self._alarm is None:
            self._report_violations(violations, "kept, not clean")
            return TrainingOutcome(metrics=final, passed_guards=False, reason=reason, accuracy=self._accuracy)
        self._restore(self._first)
        self._report_violations(violations, "rolled back to the start")
        return TrainingOutcome(metrics=self.history[0], passed_guards=False, reason=reason, accuracy=None)

    def _parse_answers(self) -> ParsedAnswers:
        answers = self.student.answer(self._prompts, lambda *_: None)
        return parse_answers(answers, self.held_out.items)

    def _evaluate(self, number: int, answers: ParsedAnswers, started: float) -> None:
        sampled = {name: math.fsum(values) / len(values) for name, values in self._sampled.items()}
        self._sampled.clear()
        metrics = compute_metrics(answers, self._start, self.held_out.items, step=number, sampled=sampled)
        self._accuracy = compute_answer_accuracy(answers, self.held_out.items)
        self.history.append(metrics)
        violations = find_violations(metrics, self.limits)
        if not violations:
            self._last_sound = (metrics, self._copy(), self._accuracy)
        seconds = time.perf_counter() - started
        figures = {**metrics.as_json(), "accuracy": self._accuracy, "seconds": seconds}
        del figures["step"]
        self.on_event(TrainingLook(step=number, figures=figures))
        self._report_violations(violations, "watched")

    def _report_violations(self, violations: Sequence[GuardViolation], done: str) -> None:
        for violation in violations:
            value = violation.value if math.isfinite(violation.value) else None
            step, limit = self.history[-1].step, violation.limit
            self.on_event(
                TrainingGuard(step=step, guard=violation.guard, value=value, limit=limit, done=done)
            )

    def _copy(self) -> dict[str, Any]:
        return {name: weight.detach().clone() for name, weight in self.weights.items()}

    def _restore(self, copied: Mapping[str, Any]) -> None:
        for name, weight in self.weights.items():
            weight.data.copy_(copied[name])


def _describe_violations(violations: Sequence[GuardViolation]) -> str:
    return "; ".join(
        f"{violation.guard} {violation.value:.4g} beyond {violation.limit:.4g}" for violation in violations
    )
