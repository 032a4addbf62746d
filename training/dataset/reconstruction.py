"""Build training experiences from a run's recorded history: each call with its starting position.

A decision that cannot be rebuilt exactly is left out, and one that contradicts the engine's own step is
refused.
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
from engine.trading.fees import FeeVolume
from strategies.sizing import PositionSizing
from training.dataset.counterfactual import simulate_step
from training.dataset.experience import Decision, Experience, Key, build_decisions
from training.dataset.run_history import RunHistory, SplitEpoch

AGREEMENT = 1e-9
"""Largest difference between the net return of a call and that of the engine's step, as a fraction."""

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
    """Build the experiences of the calls whose steps have ended, by instant and symbol.

    Left out are calls made on bars from before the history, those before a gap (see
    `training.dataset.experience.build_decisions`), and those with a split or a dividend of their symbol
    between the call and the end of its step.

    Args:
        history: The run's slices and records.
        calls: Its predictions by symbol and instant.
        instruments: By symbol, as `costs`.
        calendars: By code.
        costs: Trading costs by symbol.
        sizing: How a forecast becomes a position.
        rates: Exchange rates to the base currency; None where every symbol is quoted in it.
        window: How many closed bars the student saw.
        agreement: Largest difference of the net return from that of the engine's step.

    Raises:
        JournalError: For a call whose net return differs from the engine's by more than `agreement`.
    """
    experiences = []
    volume = FeeVolume(costs)
    for fill in history.fills:
        volume.add(fill.symbol, fill.at, abs(fill.size) * fill.price * fill.rate)
    for epoch in history.split_epochs():
        seen = list(_build_observations(epoch, history.news, calls, window))
        for decision in build_decisions(seen, epoch.bars, instruments, calendars):
            symbol, as_of = decision.observation.symbol, decision.observation.as_of
            if (symbol, as_of) not in history.positions:
                continue  # its close arrived late, when it could no longer be traded
            outcome = _with_traded_opens(decision, history)
            if history.paid_dividend(symbol, as_of, outcome.open_known_at or outcome.known_at):
                continue
            context = decision.trade_context(
                instruments[symbol],
                costs[symbol],
                sizing,
                rates,
                equity=history.values[as_of],
                position=history.positions[symbol, as_of],
                # Where no step began at that open, no position moved the portfolio there.
                fill_equity=history.traded_opens.get(decision.fill_at, history.values[as_of]),
            )
            experience = Experience(
                observation=decision.observation,
                outcome=outcome,
                trade_context=replace(context, traded=volume.before(symbol, decision.fill_at)),
                base_rate=decision.base_rate,
                call=calls[symbol, as_of],
            )
            if (recorded := find_engine_return(experience, history)) is not None:
                _require_agreement(experience, calls[symbol, as_of], recorded, agreement)
            experiences.append(experience)
    return sorted(experiences, key=lambda item: (item.observation.as_of, item.observation.symbol))


def find_engine_return(experience: Experience, history: RunHistory) -> float | None:
    """Return the net return of the engine's step after a call; 0 where nothing was held.

    None where the step did not follow the call: its order was refused, or the margin limit or a person
    traded.
    """
    symbol, as_of = experience.key
    opening = symbol, experience.trade_context.fill_at
    if (symbol, as_of) in history.refused or opening in history.forced:
        return None
    return history.steps[opening].net_return if opening in history.steps else 0.0


def _require_agreement(
    experience: Experience, call: Prediction, engine_return: float, agreement: float
) -> None:
    simulated = simulate_step(call, experience.outcome, experience.trade_context).net_return
    if not math.isclose(simulated, engine_return, rel_tol=0, abs_tol=agreement):
        symbol, as_of = experience.key
        raise JournalError(
            f"{symbol} at {as_of:%Y-%m-%d %H:%M}: the call has a net return of {simulated:.12g} and the run "
            f"recorded {engine_return:.12g}; the run is of another version: run it again"
        )


def _build_observations(
    epoch: SplitEpoch, news: Sequence[NewsItem], calls: Mapping[Key, Prediction], window: int
) -> Iterator[Observation]:
    """Yield what was seen at each call, where the history has all of it."""
    num_bars: dict[str, int] = {}
    had_earlier_bars: dict[str, bool] = {}
    for seen in build_observations(epoch.bars, news, window=window, start=_EARLIEST, minimum=1):
        symbol = seen.symbol
        num_bars[symbol] = num_bars.get(symbol, 0) + 1
        if (symbol, seen.as_of) not in calls or seen.as_of <= epoch.since.get(symbol, _EARLIEST):
            continue
        # A student needs the minimum of bars: one that called on fewer had bars from before the history.
        early = had_earlier_bars.setdefault(symbol, num_bars[symbol] < MIN_BARS)
        if not early or num_bars[symbol] >= window:
            yield seen


def _with_traded_opens(decision: Decision, history: RunHistory) -> Outcome:
    """Return the outcome at the traded opens: live, the first prices seen, not the official ones."""
    outcome = decision.outcome
    fill = history.official_opens.get((outcome.symbol, decision.fill_at), outcome.fill_open)
    exit_open = outcome.exit_open
    if outcome.open_known_at is not None:
        exit_open = history.official_opens.get((outcome.symbol, outcome.open_known_at), exit_open)
    return replace(outcome, fill_open=fill, exit_open=exit_open)
