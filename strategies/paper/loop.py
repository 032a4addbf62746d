"""Runs the engine for sessions and for the replay check, so that both do the same."""

from collections.abc import Callable, Iterable

from engine.journal.events.outputs import SessionOutput
from engine.trading.inputs import EngineInput
from engine.trading.records import EngineResult
from engine.trading.risk import RiskEngine
from engine.trading.runner import run
from strategies.paper.state import SessionState
from strategies.paper.strategy import PaperStrategy, SessionContext
from strategies.run_spec import RunSpec


def create_context(
    settings: RunSpec, state: SessionState, emit: Callable[[SessionOutput], None]
) -> SessionContext:
    """Return the context of a new session; `emit` is called with every output."""
    return SessionContext(
        risk=RiskEngine(settings.limits),
        instruments=settings.instruments,
        calendars=state.calendars,
        emit=emit,
    )


def run_engine(
    items: Iterable[EngineInput], settings: RunSpec, state: SessionState, context: SessionContext
) -> EngineResult:
    """Run backtrader over the items until they end; records are passed to the context and not kept."""
    return run(
        items,
        strategy=PaperStrategy,
        settings={"context": context, "sizing": settings.sizing},
        instruments=settings.instruments,
        costs=settings.costs,
        calendars=state.calendars,
        cash=settings.cash,
        rates=state.rates,
        delistings=settings.delistings,
        resize_orders=settings.resize_orders,
        risk=context.risk,
        keep=False,
        on_record=context.emit,
    )
