"""The price chart of the screens Session and Forecast: candles, forecast closes, fills and days with news."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from rich.text import Text

from strategies.monitor.views import CallView, JournalView
from tui.dashboard.chart import Day, draw_chart
from tui.dashboard.drawing import empty_state
from tui.dashboard.view_state import Panel, ViewState


def list_chart_symbols(state: ViewState) -> list[str]:
    """Return the symbols of the selected journal that have bars."""
    journal = state.journal
    return sorted(journal.candles) if journal is not None else []


def chart_subject(state: ViewState) -> tuple[str, CallView | None]:
    """Return the symbol of the chart, and the forecast that is opened or chosen, if it is on that symbol.

    On the Session screen the chart follows the chosen forecast until a symbol is chosen in the chart itself.
    """
    symbols = list_chart_symbols(state)
    if state.screen == "forecast":
        call = state.opened_forecast()
        return (call.symbol if call else "", call)
    if symbols and "price" in state.cursors:
        return symbols[state.cursor("price", len(symbols))], None
    calls = state.list_forecasts()
    call = calls[state.cursor("calls", len(calls))] if calls else None
    return (call.symbol, call) if call else ("".join(symbols[:1]), None)


def build_days(journal: JournalView, symbol: str, chosen: CallView | None) -> list[Day]:
    """Return the kept days of a symbol, and one without a candle where a forecast is open.

    A forecast stands at the day whose close it calls, its price restated by the close it was made at, so that
    a split between the two moves neither. A fill at an open belongs to the day that opens; news to the first
    close at which it could be read.
    """
    candles = journal.candles.get(symbol, ())
    closes = [candle.at for candle in candles]
    days = [Day(candle=candle) for candle in candles] + [Day()]

    for call in journal.calls:
        place = bisect_left(closes, call.as_of)
        if call.symbol != symbol or call.close is None or not call.last_close:
            continue
        if place == len(closes) or closes[place] != call.as_of:
            continue
        day = days[place + 1]
        day.called = candles[place].close * call.close / call.last_close
        day.mark = "✓" if call.hit else "=" if call.tie else "○" if call.hit is None else "✗"
        day.chosen = chosen is not None and call.seq == chosen.seq
    if len(closes) > 1:
        begin = closes[0] - (closes[1] - closes[0])  # about when the first day that is kept opened
        for fill in journal.fills:
            if fill.symbol == symbol and fill.at >= begin:
                days[bisect_right(closes, fill.at)].fills.add(fill.kind)
        for item in journal.news:
            if item.at > begin and (not item.symbols or symbol in item.symbols):
                days[bisect_left(closes, item.at)].news += 1
    last = days[-1]
    return days if last.called is not None or last.fills or last.news else days[:-1]


def _draw(state: ViewState, width: int, height: int) -> Sequence[Text]:
    journal = state.journal
    symbol, chosen = chart_subject(state)
    if journal is None or not journal.candles.get(symbol):
        return empty_state(
            f"No bar of {symbol} is kept here." if symbol else "No bar is journaled yet.",
            "The chart starts with the first close of the symbol.",
            width,
        )
    return draw_chart(symbol, build_days(journal, symbol, chosen), state, width, height)


PRICE = Panel(
    name="price",
    title="Price and forecasts",
    draw=_draw,
    scrolls=True,
    rows=lambda state: 0 if state.screen == "forecast" else len(list_chart_symbols(state)),
    help="Candles (thin where the close is above the open, solid where it is below). Beside each stands the "
    "close called for it: ✓ the direction was right, ✗ wrong, = a tie, ○ not known yet. Below: ▲ bought, "
    "▼ sold, ◆ both, • news (a digit: how many). The chart shows the symbol of the chosen forecast; with the "
    "focus on it, ↑ ↓ choose another symbol and z enlarges it.",
)
