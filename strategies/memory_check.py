"""Whether a student forecasts a day or remembers it: the same days asked again with something changed.

What a change costs in accuracy shows what the answers rest on. Prediction consistency and confidence
invariance are after Li et al. 2025, "Profit Mirage" (arXiv 2510.07920): how often the direction stays, and
how little the stated probability moves.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path

import numpy as np

from engine.errors import DataError
from engine.metrics.accuracy import decision_day, is_hit
from engine.model import Forecast, Observation, Prediction
from engine.outcomes import Outcome, OutcomeFinder
from engine.timeline import build_observations
from llm.answer_cache import AnswerCache
from llm.forecaster import forecast
from llm.student import Student, StudentSettings
from strategies.alterations import (
    Basis,
    interval_by_day,
    largest,
    mean,
    remove_news,
    shift_dates,
    swap_news,
    turn_prices,
)
from strategies.config import BacktestConfig, student_settings
from strategies.market_data import MarketData, load_market_data
from strategies.students import list_names, require_next_close

_SHIFT = timedelta(days=-10 * 364)
"""Ten years of whole weeks back, so that the day of the week stays."""

_FEWEST = 20


class Change(StrEnum):
    """What is changed of a day before it is asked again."""

    MASKED = "masked"
    DATES_SHIFTED = "dates_shifted"
    NEWS_REMOVED = "news_removed"
    NEWS_SHUFFLED = "news_shuffled"
    NEWS_TURNED = "news_turned"
    PRICES_TURNED = "prices_turned"


_NEWS_CHANGES = (Change.NEWS_REMOVED, Change.NEWS_SHUFFLED, Change.NEWS_TURNED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one change did to the answers of a period; one of news, to those about days with news.

    Attributes:
        n: The decisions that both answered.
        flip_rate: The share of answers whose direction changed.
        prediction_consistency: The share whose direction stayed.
        confidence_invariance: 1 less the mean change of the stated probability of a rise.
        accuracy: The accuracy of the changed answers.
        cost: What the change took from the accuracy, on the decisions that both answered.
        cost_low: The lower bound of its 95% interval with days as clusters.
        cost_high: The upper bound.
    """

    n: int
    flip_rate: float | None
    prediction_consistency: float | None
    confidence_invariance: float | None
    accuracy: float | None
    cost: float | None
    cost_low: float | None
    cost_high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodEffects:
    """The effects on the days before the cut-off of a student's knowledge, or after it.

    `accuracy` with its 95% interval is that of the answers to the days as they were.
    """

    decisions: int
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    effects: Mapping[Change, Effect]
    basis: Basis


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryReport:
    """What the answers of a student rest on, before and after the cut-off of its knowledge.

    Without a known cut-off all days count as before it. `basis` is that of the days before, if there are any.
    """

    student: str
    cutoff: date | None
    before: PeriodEffects | None
    after: PeriodEffects | None
    basis: Basis


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decision:
    observation: Observation
    outcome: Outcome


def check_memory(
    config: BacktestConfig,
    *,
    data_dir: Path,
    load: Callable[[StudentSettings], Student],
    sample: int = 200,
    on_progress: Callable[[str, int, int], None] = lambda _stage, _done, _total: None,
    data: MarketData | None = None,
) -> MemoryReport:
    """Ask a student about days as they were, and about the same days changed in each way.

    Args:
        config: The data, and which student is asked how. Its `mask` does not matter.
        data_dir: The data folder, with the cache of answers.
        load: Loads the student.
        sample: The most decisions, evenly spread.
        on_progress: Called with a change, the answers made and those to be made.
        data: The market data; None loads what the configuration names.

    Raises:
        DataError: For fewer than 20 decisions with a known outcome.
        StudentError: For a student that cannot be used.
    """
    require_next_close(config, "this check")
    market = data or load_market_data(config, data_dir)
    plain = load(student_settings(config.model_copy(update={"mask": False})))
    names = list_names(market.instruments, config.aliases)
    masked = load(student_settings(config.model_copy(update={"mask": True}), names=names))
    decisions = _sample_decisions(market, plain.window, sample)
    seen = [decision.observation for decision in decisions]
    returns = [decision.outcome.close_return for decision in decisions]
    rng = np.random.default_rng(config.seed)
    asked: dict[Change, tuple[Student, Sequence[Observation]]] = {
        Change.MASKED: (masked, seen),
        Change.DATES_SHIFTED: (plain, [shift_dates(each, _SHIFT) for each in seen]),
        Change.NEWS_REMOVED: (plain, remove_news(seen)),
        Change.NEWS_SHUFFLED: (plain, swap_news(seen, rng)),
        Change.NEWS_TURNED: (plain, swap_news(seen, rng, returns)),
        Change.PRICES_TURNED: (plain, [turn_prices(each) for each in seen]),
    }
    with AnswerCache(data_dir / "ledger.sqlite") as cache:

        def ask(what: str, student: Student, observed: Sequence[Observation]) -> Sequence[Prediction]:
            def report(done: int, total: int, _tokens_per_second: float = 0.0) -> None:
                on_progress(what, done, total)

            return forecast(observed, student, cache, report).calls

        as_they_were = ask("as it was", plain, seen)
        changed = {change: ask(change.replace("_", " "), *who) for change, who in asked.items()}
    cutoff = None if market.is_simulated else _first_unknown_day(plain)
    early = [cutoff is None or decision_day(call) < cutoff for call in as_they_were]
    periods = [
        _measure_period(
            [place for place, is_early in enumerate(early) if is_early is wanted],
            decisions,
            as_they_were,
            changed,
        )
        for wanted in (True, False)
    ]
    before, after = periods
    newest = before or after
    return MemoryReport(
        student=plain.name,
        cutoff=cutoff,
        before=before,
        after=after,
        basis=newest.basis if newest else Basis.NOTHING,
    )


def _first_unknown_day(student: Student) -> date | None:
    """Return the day after the end of its training data where its makers state that, else its release."""
    until: date | None = getattr(student, "knowledge_until", None)
    return until + timedelta(days=1) if until else student.released


def _sample_decisions(market: MarketData, window: int, most: int) -> list[_Decision]:
    observed = build_observations(market.bars, market.news, window=window, start=market.start)
    finder = OutcomeFinder(market.bars, market.symbol_calendars)
    known = [
        _Decision(observation=each, outcome=outcome)
        for each in observed
        if (outcome := finder.find(each)) is not None and not outcome.tie
    ]
    if len(known) < _FEWEST:
        raise DataError(
            f"{len(known)} closes with a known outcome, and this check needs {_FEWEST}; choose more days or "
            "symbols"
        )
    places = np.unique(np.linspace(0, len(known) - 1, min(most, len(known))).round().astype(int))
    return [known[place] for place in places]


def _measure_period(
    places: Sequence[int],
    decisions: Sequence[_Decision],
    as_they_were: Sequence[Prediction],
    changed: Mapping[Change, Sequence[Prediction]],
) -> PeriodEffects | None:
    if not places:
        return None
    outcomes = [decisions[place].outcome for place in places]
    calls = [as_they_were[place] for place in places]
    with_news = [place for place in places if decisions[place].observation.news]
    effects = {
        change: _measure_effect(
            [
                (as_they_were[place], others[place], decisions[place].outcome)
                for place in (with_news if change in _NEWS_CHANGES else places)
            ]
        )
        for change, others in changed.items()
    }
    scored = [(call, is_hit(call, outcome)) for call, outcome in zip(calls, outcomes, strict=True)]
    hits = [(call, float(hit)) for call, hit in scored if hit is not None]
    low, high = interval_by_day(hits, low=0.0) or (None, None)
    accuracy = mean([hit for _, hit in hits])
    return PeriodEffects(
        decisions=len(places),
        accuracy=accuracy,
        accuracy_low=low,
        accuracy_high=high,
        effects=effects,
        basis=_decide_basis(low, effects),
    )


def _measure_effect(asked: Sequence[tuple[Prediction, Prediction, Outcome]]) -> Effect:
    """Return what a change did: of each decision the answer as it was, the other one, and the outcome."""
    pairs = [
        (call, other, outcome)
        for call, other, outcome in asked
        if isinstance(call, Forecast) and isinstance(other, Forecast)
    ]
    flips = mean([float(call.direction is not other.direction) for call, other, _ in pairs])
    moved = mean([abs(call.probability_up - other.probability_up) for call, other, _ in pairs])
    costs = [
        (call, float(is_hit(call, outcome) or False) - float(is_hit(other, outcome) or False))
        for call, other, outcome in pairs
    ]
    low, high = interval_by_day(costs, low=-1.0) or (None, None)
    return Effect(
        n=len(pairs),
        flip_rate=flips,
        prediction_consistency=None if flips is None else 1 - flips,
        confidence_invariance=None if moved is None else 1 - moved,
        accuracy=mean([float(is_hit(other, outcome) or False) for _, other, outcome in pairs]),
        cost=mean([cost for _, cost in costs]),
        cost_low=low,
        cost_high=high,
    )


def _decide_basis(accuracy_low: float | None, effects: Mapping[Change, Effect]) -> Basis:
    """Return what moves the accuracy most, among the changes that surely cost some.

    Without names and dates, a memory of the days is a coin: its measure is what masking costs. Who follows
    news or prices is wrong once they are turned round: the measure is how far below a coin that gets. A
    student that any change confuses, as one that knows its prompts by heart, becomes a coin by all of them,
    and so rests on memory. Where the answers are not surely better than a coin, nothing that helps is behind
    them.
    """
    if accuracy_low is None or accuracy_low <= 0.5:
        return Basis.NOTHING
    measures = {
        Basis.MEMORY: max(_sure_cost(effects[each]) for each in (Change.MASKED, Change.DATES_SHIFTED)),
        Basis.NEWS: _sure_reversal(effects[Change.NEWS_TURNED]),
        Basis.PRICES: _sure_reversal(effects[Change.PRICES_TURNED]),
    }
    if not any(measures.values()):
        measures[Basis.NEWS] = max(_sure_cost(effects[each]) for each in _NEWS_CHANGES)
        measures[Basis.PRICES] = _sure_cost(effects[Change.PRICES_TURNED])
    return largest(measures)


def _sure_cost(effect: Effect) -> float:
    return effect.cost if effect.cost and effect.cost_low and effect.cost_low > 0 else 0.0


def _sure_reversal(effect: Effect) -> float:
    return max(0.0, 0.5 - effect.accuracy) if _sure_cost(effect) and effect.accuracy is not None else 0.0
