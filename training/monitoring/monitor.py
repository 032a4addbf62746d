"""Looking after a student in training: events, looks at held-out prompts, the last good weights.

Knows no method of training: it is told of each step and answers whether to go on.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.journal.events.training import TrainingEvent, TrainingGuard, TrainingLook
from llm.student import TrainableStudent
from training.dataset.experience import TrainingSet
from training.monitoring.evaluation import ParsedAnswers, accuracy, compute_metrics, parse_answers
from training.monitoring.guards import EvalMetrics, GuardLimits, GuardViolation, find_alarms, find_violations

OnEvent = Callable[[TrainingEvent], None]
"""Called with a kind of event and its payload, as JSON types."""

SAMPLED_METRICS = ("invalid", "dead_groups", "kl", "reward")
"""The figures of sampled answers that guards look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOutcome:
    """How a training ended: the state whose weights were kept, and what stopped or rolled it back."""

    metrics: EvalMetrics
    passed_guards: bool
    reason: str | None
    accuracy: float | None


@dataclass(slots=True)
class TrainingMonitor:
    """Judges the student at its start and then at every `every` steps; `weights` are those in training."""

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

    def begin(self) -> None:
        """Look at the student before the first step."""
        self._prompts = [self.student.prompt(item.observation) for item in self.held_out.items]
        self._first = self._copy()
        clock = time.perf_counter()
        self._start = self._parse_answers()
        self._evaluate(0, self._start, clock)

    def step(self, number: int, figures: Mapping[str, float], *, last: bool) -> bool:
        """Take note of a step's sampled figures; whether the training may go on."""
        for name in SAMPLED_METRICS:
            if (value := figures.get(name)) is not None:
                self._sampled.setdefault(name, []).append(value)
        if not last and number % self.every:
            return True
        clock = time.perf_counter()
        self._evaluate(number, self._parse_answers(), clock)
        found = find_alarms(self.history, self.limits)
        if found:
            self._alarm = _describe_violations(found)
            self._report_violations(found, "stopped")
        return not found

    def finish(self) -> TrainingOutcome:
        """Keep the weights of the last step if they are sound, else go back to the last that were.

        Where none were, a training that was stopped goes back to its start; one that ran to its end may have
        been on the mend, and keeps what it has.
        """
        final = self.history[-1]
        found = find_violations(final, self.limits)
        if not found and self._alarm is None:
            return TrainingOutcome(metrics=final, passed_guards=True, reason=None, accuracy=self._accuracy)
        reason = self._alarm or _describe_violations(found)
        if self._last_sound is not None and self._last_sound[0].step > 0:
            state, weights, right = self._last_sound
            self._restore(weights)
            self._report_violations(found, f"rolled back to step {state.step}")
            return TrainingOutcome(metrics=state, passed_guards=True, reason=reason, accuracy=right)
        if self._alarm is None:
            self._report_violations(found, "kept, not clean")
            return TrainingOutcome(metrics=final, passed_guards=False, reason=reason, accuracy=self._accuracy)
        self._restore(self._first)
        self._report_violations(found, "rolled back to the start")
        return TrainingOutcome(metrics=self.history[0], passed_guards=False, reason=reason, accuracy=None)

    def _parse_answers(self) -> ParsedAnswers:
        answers = self.student.answer(self._prompts, lambda _done, _total: None)
        return parse_answers(answers, self.held_out.items)

    def _evaluate(self, number: int, judged: ParsedAnswers, clock: float) -> None:
        sampled = {name: math.fsum(values) / len(values) for name, values in self._sampled.items()}
        self._sampled.clear()
        state = compute_metrics(judged, self._start, self.held_out.items, step=number, sampled=sampled)
        self._accuracy = accuracy(judged, self.held_out.items)
        self.history.append(state)
        found = find_violations(state, self.limits)
        if not found:
            self._last_sound = (state, self._copy(), self._accuracy)
        seconds = time.perf_counter() - clock
        figures = {**state.as_json(), "accuracy": self._accuracy, "seconds": seconds}
        del figures["step"]
        self.on_event(TrainingLook(step=number, figures=figures))
        self._report_violations(found, "watched")

    def _report_violations(self, found: Sequence[GuardViolation], done: str) -> None:
        for breach in found:
            value = breach.value if math.isfinite(breach.value) else None
            step, limit = self.history[-1].step, breach.limit
            self.on_event(TrainingGuard(step=step, guard=breach.guard, value=value, limit=limit, done=done))

    def _copy(self) -> dict[str, Any]:
        return {name: weight.detach().clone() for name, weight in self.weights.items()}

    def _restore(self, copied: Mapping[str, Any]) -> None:
        for name, weight in self.weights.items():
            weight.data.copy_(copied[name])


def _describe_violations(found: Sequence[GuardViolation]) -> str:
    return "; ".join(f"{one.guard} {one.value:.4g} beyond {one.limit:.4g}" for one in found)
