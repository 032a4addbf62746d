"""What a run's story amounts to as experience: each call with the position that its step started from.

Knows no journal, no configuration and no reward. What it cannot rebuild exactly it leaves out, and what
contradicts the engine's own steps it refuses.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from engine.calendars import Calendar
from engine.errors import JournalError
from engine.fx import FxRates
from engine.instruments import Costs, Instrument
from engine.model import NewsItem, Observation, Prediction
from engine.outcomes import Outcome
from engine.timeline import MIN_BARS, build_observations
from strategies.sizing import PositionSizing, volatility
from training.dataset.counterfactual import simulate_step
from training.dataset.experience import Decision, Experience, Key, TradeContext, build_decisions
from training.dataset.run_history import RunHistory, SplitEpoch

AGREEMENT = 1e-9
"""How far the net return of a call may lie from that of the engine's step, as a fraction."""

_EARLIEST = datetime.min.replace(tzinfo=UTC)


def reconstruct_experiences(
    history: RunHistory,
    calls: Mapping[Key, Prediction],
    *,
    instruments: Mapping[str, Instrument],
    calendars: Mapping[str, Calendar],
    costs: Mapping[str, Costs],
    sizing: PositionSizing,
    rates: FxRates | None,
    window: int,
    agreement: float = AGREEMENT,
) -> list[Experience]:
    """The calls of a story whose steps have ended, by instant and symbol.

    `window` is how many closed bars the student saw. Left out are calls made on bars from before the story,
    those before a gap (see `training.dataset.experience.build_decisions`), and those with a split or a
    dividend of their symbol between the call and the end of its step. Raises JournalError where a call comes
    to another net return than the engine's step did, by more than `agreement`.
    """
    made = []
    for era in history.split_epochs():
        seen = list(_build_observations(era, history.news, calls, window))
        for decision in build_decisions(seen, era.bars, instruments, calendars):
            symbol, as_of = decision.observation.symbol, decision.observation.as_of
            outcome = _with_traded_opens(decision, history)
            if history.paid_dividend(symbol, as_of, outcome.open_known_at or outcome.known_at):
                continue
            experience = Experience(
                observation=decision.observation,
                outcome=outcome,
                trade_context=_build_trade_context(
                    decision, history, instruments[symbol], costs[symbol], sizing, rates
                ),
                base_rate=decision.base_rate,
                call=calls[symbol, as_of],
            )
            if (said := stated_return(experience, history)) is not None:
                _require_agreement(experience, calls[symbol, as_of], said, agreement)
            made.append(experience)
    return sorted(made, key=lambda one: (one.observation.as_of, one.observation.symbol))


def stated_return(experience: Experience, history: RunHistory) -> float | None:
    """The net return of the engine's step after a call; 0 where nothing was held, None where the step was
    not the call's own: its order was refused, or the margin limit or a person traded.
    """
    symbol, as_of = experience.key
    opening = symbol, experience.trade_context.fill_at
    if (symbol, as_of) in history.refused or opening in history.forced:
        return None
    return history.steps[opening].net_return if opening in history.steps else 0.0


def _require_agreement(
    experience: Experience, call: Prediction, engine_return: float, agreement: float
) -> None:
    came = simulate_step(call, experience.outcome, experience.trade_context).net_return
    if not math.isclose(came, engine_return, rel_tol=0, abs_tol=agreement):
        symbol, as_of = experience.key
        raise JournalError(
            f"{symbol} at {as_of:%Y-%m-%d %H:%M}: the call comes to a net return of {came:.12g} and the step "
            f"of the run to {engine_return:.12g}; the run is of another version, make it again"
        )


def _build_observations(
    era: SplitEpoch, news: Sequence[NewsItem], calls: Mapping[Key, Prediction], window: int
) -> Iterator[Observation]:
    """What was seen at each call, where the story has all of it."""
    counted: dict[str, int] = {}
    warmed: dict[str, bool] = {}
    for one in build_observations(era.bars, news, window=window, start=_EARLIEST, minimum=1):
        counted[one.symbol] = counted.get(one.symbol, 0) + 1
        if (one.symbol, one.as_of) not in calls or one.as_of <= era.since.get(one.symbol, _EARLIEST):
            continue
        # Nobody calls on fewer bars than the minimum: whoever did had bars from before the story.
        early = warmed.setdefault(one.symbol, counted[one.symbol] < MIN_BARS)
        if not early or counted[one.symbol] >= window:
            yield one


def _with_traded_opens(decision: Decision, history: RunHistory) -> Outcome:
    """The outcome at the opens that were traded at: live they are the first prices seen, not the official."""
    out = decision.outcome
    fill = history.official_opens.get((out.symbol, decision.fill_at), out.fill_open)
    end = out.exit_open
    if out.open_known_at is not None:
        end = history.official_opens.get((out.symbol, out.open_known_at), end)
    return replace(out, fill_open=fill, exit_open=end)


def _build_trade_context(
    decision: Decision,
    history: RunHistory,
    instrument: Instrument,
    costs: Costs,
    sizing: PositionSizing,
    rates: FxRates | None,
) -> TradeContext:
    seen, out = decision.observation, decision.outcome
    moments = (seen.as_of, decision.fill_at, out.open_known_at or out.known_at)
    now, at_fill, at_exit = (rates.rate(instrument.currency, at) if rates else 1.0 for at in moments)
    equity = history.values[seen.as_of]
    return TradeContext(
        instrument=instrument,
        costs=costs,
        sizing=sizing,
        volatility=volatility(seen.bars),
        equity=equity,
        position=history.positions[seen.symbol, seen.as_of],
        price=seen.last_close * now,
        fill_at=decision.fill_at,
        # Where no step began at that open, nothing that was held moved the portfolio there.
        fill_equity=history.traded_opens.get(decision.fill_at, equity),
        fill_rate=at_fill,
        exit_rate=at_exit,
    )
