"""Ablations of a backtest: the same days without news, with other news, with prices alone, and (un)masked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from engine.journal.canonical import to_jsonable
from engine.metrics.accuracy import compute_accuracy, is_hit
from engine.model import Forecast, Observation, Prediction
from engine.outcomes import OutcomeFinder, Scored
from llm.answer_cache import AnswerCache
from llm.forecaster import Forecasts, forecast
from llm.masking import Names
from llm.student import MaskableStudent, Student
from strategies.alterations import (
    Basis,
    interval_by_day,
    keep_prices,
    largest,
    mask_names,
    mean,
    remove_news,
    swap_news,
    take_other_news,
)
from strategies.config import BacktestConfig
from strategies.console import Progress
from strategies.market_data import MarketData
from strategies.students import list_names


class Ablation(StrEnum):
    """What is changed of the days of a run before its student is asked about them again.

    Attributes:
        NO_NEWS: There is no news; names, dates, prices and volume are as they were.
        SHUFFLED_NEWS: A day with news has that of another day of its symbol, drawn at random.
        OTHER_NEWS: News about the symbol is replaced by that about another, of the same day if it can be.
        PRICES_ONLY: There is no news, every bar has the same volume, and names and dates are masked.
        MASKED: Names and dates are masked.
        UNMASKED: Names and dates are shown, in a run whose prompts are masked.
    """

    NO_NEWS = "no_news"
    SHUFFLED_NEWS = "shuffled_news"
    OTHER_NEWS = "other_news"
    PRICES_ONLY = "prices_only"
    MASKED = "masked"
    UNMASKED = "unmasked"


_OF_NEWS = (Ablation.NO_NEWS, Ablation.SHUFFLED_NEWS, Ablation.OTHER_NEWS)


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationScores:
    """What a change made of the forecasts, on the decisions that have a forecast with and without it.

    Attributes:
        changed: Decisions whose prompt is another one.
        n: Forecasts that were a hit or a miss close to close.
        accuracy: The fraction of hits of the changed forecasts.
        accuracy_low: The lower bound of its 95% interval with days as clusters.
        accuracy_high: The upper bound.
        brier: Their Brier score.
        close_mae_bps: The mean error of their close, in basis points.
        flip_rate: The fraction of forecasts whose direction is another one.
        difference: Their accuracy less that of the forecasts as they were.
        difference_low: The lower bound of its 95% interval with days as clusters.
        difference_high: The upper bound.
    """

    changed: int
    n: int
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    brier: float | None
    close_mae_bps: float | None
    flip_rate: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None


def run_ablations(
    as_run: Forecasts,
    observed: Sequence[Observation],
    student: Student,
    *,
    config: BacktestConfig,
    market: MarketData,
    cache: AnswerCache,
    on_progress: Progress,
) -> dict[str, Any]:
    """Ask a student about its days again, changed in each way, and compare its forecasts.

    Args:
        as_run: The forecasts of the run.
        observed: What they were made of.
        student: The student.
        config: The configuration of the run, which has decided on the mask.
        market: The market data, for the outcomes and the names.
        cache: The answers that are known.
        on_progress: Called with a stage, the answers made and those to be made.

    Returns:
        `ablations`, the scores by ablation, and `ablations_basis`, the word for what the forecasts rest on.
    """
    outcomes = [outcome for _, outcome in OutcomeFinder(market.bars).match(as_run.calls)]
    scores = {}
    names = list_names(market.instruments, config.aliases)
    for ablation, ask in _list_questions(
        observed, student, None if config.mask else names, config.seed
    ).items():
        who, what = ask()
        if what is None:
            continue
        changed = forecast(
            what, who, cache, _report_as(f"ablation {show_name(ablation)}", on_progress), config.task
        )
        scores[ablation] = _compare(as_run, changed, outcomes)
    accuracy_low = compute_accuracy(zip(as_run.calls, outcomes, strict=True)).accuracy_low
    basis = decide_basis(accuracy_low, scores)
    encoded = {ablation.value: to_jsonable(asdict(each)) for ablation, each in scores.items()}
    return {"ablations": encoded, "ablations_basis": basis.value}


_Question = Callable[[], tuple[Student, Sequence[Observation] | None]]


def _list_questions(
    observed: Sequence[Observation], student: Student, names: Names | None, seed: int
) -> dict[Ablation, _Question]:
    """Return what is asked of whom in each ablation, made when it is called: altered days take memory.

    `names` are those that masked prompts replace; None says that the prompts of the run are masked.
    """
    rng = np.random.default_rng(seed)
    questions: dict[Ablation, _Question] = {
        Ablation.NO_NEWS: lambda: (student, remove_news(observed)),
        Ablation.SHUFFLED_NEWS: lambda: (student, swap_news(observed, rng)),
        Ablation.OTHER_NEWS: lambda: (student, take_other_news(observed, rng)),
    }
    if names is None:
        questions[Ablation.PRICES_ONLY] = lambda: (student, keep_prices(observed))
        if isinstance(student, MaskableStudent):
            show_names = student.with_mask
            questions[Ablation.UNMASKED] = lambda: (show_names(None), observed)
    else:
        # Masked last, so that a twin has the weights that the questions before have read.
        questions[Ablation.PRICES_ONLY] = lambda: mask_names(student, keep_prices(observed), names)
        questions[Ablation.MASKED] = lambda: mask_names(student, observed, names)
    return questions


def _report_as(stage: str, on_progress: Progress) -> Callable[..., None]:
    def report(done: int, total: int, _tokens_per_second: float = 0.0) -> None:
        on_progress(stage, done, total)

    return report


def _compare(as_run: Forecasts, changed: Forecasts, outcomes: Sequence[Any]) -> AblationScores:
    pairs: list[tuple[Forecast, Forecast, Any]] = []
    for call, other, outcome in zip(as_run.calls, changed.calls, outcomes, strict=True):
        if isinstance(call, Forecast) and isinstance(other, Forecast):
            # A masked observation has another symbol and another time.
            pairs.append((call, replace(other, symbol=call.symbol, as_of=call.as_of), outcome))
    scored: list[Scored] = [(other, outcome) for _, other, outcome in pairs]
    accuracy = compute_accuracy(scored)
    differences: list[tuple[Prediction, float]] = []
    for call, other, outcome in pairs:
        was, now = is_hit(call, outcome), is_hit(other, outcome)
        if was is not None and now is not None:
            differences.append((call, float(now) - float(was)))
    low, high = interval_by_day(differences, low=-1.0) or (None, None)
    return AblationScores(
        changed=sum(a != b for a, b in zip(as_run.prompts, changed.prompts, strict=True)),
        n=accuracy.n,
        accuracy=accuracy.accuracy,
        accuracy_low=accuracy.accuracy_low,
        accuracy_high=accuracy.accuracy_high,
        brier=accuracy.brier,
        close_mae_bps=accuracy.close_mae_bps,
        flip_rate=mean([float(call.direction is not other.direction) for call, other, _ in pairs]),
        difference=mean([value for _, value in differences]),
        difference_low=low,
        difference_high=high,
    )


def decide_basis(accuracy_low: float | None, scores: Mapping[Ablation, AblationScores]) -> Basis:
    """Return what the forecasts rest on: where their accuracy surely goes, or what surely keeps it.

    Memory is measured by what masking costs, news by the most that a change of news costs, and prices by how
    far the forecasts from prices alone are above a coin. Each counts only where its 95% interval is beside
    zero, and nothing counts where the forecasts of the run are not surely better than a coin.

    Args:
        accuracy_low: The lower bound of the accuracy of the run's forecasts.
        scores: The scores by ablation.
    """
    if accuracy_low is None or accuracy_low <= 0.5:
        return Basis.NOTHING
    prices = scores.get(Ablation.PRICES_ONLY)
    kept = prices.accuracy - 0.5 if prices and prices.accuracy and (prices.accuracy_low or 0) > 0.5 else 0.0
    return largest(
        {
            Basis.MEMORY: _sure_cost(scores.get(Ablation.MASKED)),
            Basis.NEWS: max(_sure_cost(scores.get(each)) for each in _OF_NEWS),
            Basis.PRICES: kept,
        }
    )


def _sure_cost(scores: AblationScores | None) -> float:
    if scores is None or scores.difference is None or scores.difference_high is None:
        return 0.0
    return -scores.difference if scores.difference_high < 0 else 0.0


def show_name(ablation: str) -> str:
    """Return the name of an ablation as tables have it."""
    return ablation.replace("_", " ")
