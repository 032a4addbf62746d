"""The engine as a session and the check of parity run it: one call, so that both do the same."""

from collections.abc import Callable, Iterable

from engine.journal.events import SessionOutput
from engine.trading.inputs import EngineInput
from engine.trading.records import EngineResult
from engine.trading.risk import RiskEngine
from engine.trading.runner import run
from strategies.paper.state import SessionState
from strategies.paper.strategy import PaperStrategy, SessionContext
from strategies.run_spec import RunSpec


def create_context(
    settings: RunSpec, world: SessionState, emit: Callable[[SessionOutput], None]
) -> SessionContext:
    """The board of a session that begins; `state` is told everything that is done."""
    return SessionContext(
        risk=RiskEngine(settings.limits),
        instruments=settings.instruments,
        calendars=world.calendars,
        emit=emit,
    )


def run_engine(
    items: Iterable[EngineInput], settings: RunSpec, world: SessionState, board: SessionContext
) -> EngineResult:
    """Run backtrader over the items until they end; records go to the board and are not kept."""
    return run(
        items,
        strategy=PaperStrategy,
        settings={"context": board, "sizing": settings.sizing},
        instruments=settings.instruments,
        costs=settings.costs,
        calendars=world.calendars,
        cash=settings.cash,
        rates=world.rates,
        risk=board.risk,
        keep=False,
        on_record=board.emit,
    )
