"""The engine as a session and the check of parity run it: one call, so that both do the same."""

from collections.abc import Callable, Iterable

from engine.journal.events import Statement
from engine.trading.inputs import Item
from engine.trading.records import EngineResult
from engine.trading.risk import RiskGuard
from engine.trading.runner import run
from strategies.paper.state import World
from strategies.paper.strategy import Board, PaperStrategy
from strategies.run_spec import SessionSettings


def new_board(settings: SessionSettings, world: World, state: Callable[[Statement], None]) -> Board:
    """The board of a session that begins; `state` is told everything that is done."""
    return Board(
        guard=RiskGuard(settings.limits),
        instruments=settings.instruments,
        calendars=world.calendars,
        state=state,
    )


def trade(items: Iterable[Item], settings: SessionSettings, world: World, board: Board) -> EngineResult:
    """Run backtrader over the items until they end; records go to the board and are not kept."""
    return run(
        items,
        strategy=PaperStrategy,
        settings={"board": board, "sizing": settings.sizing},
        instruments=settings.instruments,
        costs=settings.costs,
        calendars=world.calendars,
        cash=settings.cash,
        rates=world.rates,
        gate=board.guard,
        keep=False,
        on_record=board.state,
    )
