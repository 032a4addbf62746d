"""Screen 2, Session: equity, positions, forecasts and what came of them, orders, risk and news."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from rich.text import Text

from strategies.monitor import fields
from strategies.monitor.views import CallView, EventLine, JournalView, Point, PositionView
from tui.dashboard.drawing import (
    Cell,
    draw_curve,
    draw_table,
    empty_state,
    key_values,
    paragraph,
    row,
    text_line,
)
from tui.dashboard.screens.news import NEWS
from tui.dashboard.screens.price import PRICE
from tui.dashboard.themes import Palette
from tui.dashboard.view_state import Panel, ScreenPlan, ViewState, grid_css
from tui.dashboard.wording import arrow, is_stale, state_label, verdict_label, waiting_label
from tui.formatting import (
    NONE,
    format_amount,
    format_date,
    format_duration,
    format_percent,
    format_price,
    format_short_datetime,
    format_signed_percent,
)

NO_JOURNAL = "No session or run is chosen."
CHOOSE = "1 lists them; or: closecall dash NAME"
_SHARES = ("abstention_rate", "daily_loss", "drawdown", "symbol_exposure", "total_exposure")


def _equity(state: ViewState, width: int, height: int) -> Sequence[Text]:
    journal = state.journal
    if journal is None:
        return empty_state(NO_JOURNAL, CHOOSE, width)
    money = journal.money
    if len(money.equity) < 2 or height < 3:
        return empty_state("No value is journaled yet.", waiting_label(journal, state.now), width)
    prices = _share_span(money.mean_price, money.equity)
    series = [(prices, state.palette.other)] if prices else []
    drawn, low, high = draw_curve([*series, (money.equity, state.palette.curve)], width - 11, height - 2)
    moved = prices[-1].value / money.start - 1 if prices and money.start else None
    legend = [
        ("━ equity " + format_amount(money.value), state.palette.curve),
        (format_signed_percent(money.total_return), state.palette.trend_style(money.total_return)),
        (f"drawdown {format_percent(money.drawdown)}", ""),
        ("┄ mean " + format_signed_percent(moved), state.palette.other),
    ]
    while sum(len(text) + 1 for text, _ in legend) > width and len(legend) > 1:
        del legend[-1]  # what stays is whole
    lines = [row([(text, len(text), style) for text, style in legend], width)]
    for number, line in enumerate(drawn):
        edge = format_amount(high) if number == 0 else format_amount(low) if number == len(drawn) - 1 else ""
        lines.append(Text.assemble(f"{edge:>10} ", line, no_wrap=True, end=""))
    first, last = format_date(money.equity[0].at, state.zone), format_date(money.equity[-1].at, state.zone)
    lines.append(text_line(" " * 10 + first + last.rjust(max(0, width - 13 - len(first))), width, "dim"))
    return lines


def _share_span(prices: Sequence[Point], equity: Sequence[Point]) -> list[Point]:
    return [point for point in prices if equity[0].at <= point.at <= equity[-1].at]


def _positions(state: ViewState, width: int, height: int) -> Sequence[Text]:
    journal = state.journal
    if journal is None:
        return ()
    if not journal.positions:
        return empty_state("Nothing is held.", "A position opens after a forecast worth its cost.", width)
    widths = (10, -10, -10, -7, -10, -10, -10)
    columns = list(zip(("symbol", "size", "mark", "age", "value", "gain", "waiting"), widths, strict=True))

    def cells(held: PositionView) -> Iterable[Cell]:
        age, gain = state.age(journal, held.price_at), held.unrealized_pnl
        old = is_stale(state, journal, held)
        texts = (
            held.symbol,
            f"{held.size:+,.6g}",
            format_price(held.price),
            NONE if age is None else ("!" if old else "") + format_duration(age),
            format_amount(held.market_value),
            format_amount(gain, signed=True),
            f"{held.waiting:+,.4g}" if held.waiting else "",
        )
        warn, trend = state.palette.warn, state.palette.trend_style(gain)
        styles = ("", "", warn if old else "", warn if old else "dim", "", trend, "dim")
        return zip(texts, widths, styles, strict=True)

    return draw_table(state, "positions", journal.positions, cells, (width, height), columns=columns)


def _calls(state: ViewState, width: int, height: int) -> Sequence[Text]:
    journal, calls = state.journal, state.list_forecasts()
    if journal is None:
        return empty_state(NO_JOURNAL, CHOOSE, width)
    if not calls:
        return empty_state("No forecast yet.", waiting_label(journal, state.now), width)
    at = 11 if width >= 68 else 5
    columns = [("when", at), ("symbol", 8), ("call", 5), ("sure", -4)]
    columns += [("close", -9), ("came", -9), ("", 6), ("error", -8)]

    def cells(call: CallView) -> Iterable[Cell]:
        when: list[Cell] = [(format_short_datetime(call.as_of, state.zone)[:at], at, "dim")]
        return when + _prediction_cells(call, width - at - 13, state.palette)

    return draw_table(state, "calls", calls, cells, (width, height), columns=columns)


def _prediction_cells(call: CallView, rest: int, look: Palette) -> list[Cell]:
    """What was predicted and what came; `rest` is the room for an abstention's reason."""
    symbol = (call.symbol, 8, "")
    if call.direction is None:
        return [symbol, (f"abstained: {call.abstention or 'no reason stated'}", rest, look.warn)]
    rose = None if call.came is None or call.last_close is None else call.came - call.last_close
    moved = "" if rose is None else "▲" if rose > 0 else "▼"
    return [
        symbol,
        (arrow(call.direction), 5, look.trend_style(call.direction == "up")),
        (format_percent(call.confidence, 0), -4, ""),
        (format_price(call.close), -9, ""),
        (f"{moved}{format_price(call.came)}", -9, look.trend_style(rose)),
        (verdict_label(call), 6, "bold" if call.hit else ""),
        (NONE if call.error_bps is None else f"{call.error_bps:,.0f} bp", -8, "dim"),
    ]


def _risk(state: ViewState, width: int, _height: int) -> Sequence[Text]:
    journal = state.journal
    if journal is None:
        return ()
    risk, limits = journal.risk, journal.risk.limits
    if not limits:
        return empty_state("A backtest has no limits on risk.", "Those of a session show here.", width)
    since = f" since {format_short_datetime(risk.at, state.zone)}" if risk.at else ""
    by = f", by {risk.author}" if risk.author else ""
    style = "" if risk.state in ("active", "") else state.palette.warn
    lines = paragraph(f"{risk.state or 'active'}{since}{by}", width, 2, style)
    lines += paragraph(risk.cause, width, 2) if risk.cause else []
    lines += paragraph(waiting_label(journal, state.now) or state_label(journal), width, 2, "dim")
    values = [(name.replace("_", " "), _limit(name, value), "dim") for name, value in limits.items()]
    return [*lines, *key_values(values, width, 17)]


def _limit(name: str, value: object) -> str:
    """A limit in its unit: shares of equity or of calls, an age, or a count."""
    number = fields.as_finite(value)
    if number is None:
        return str(value)
    if name == "stale_after":
        return format_duration(timedelta(seconds=min(abs(number), 1e9)))
    return format_percent(number, 0) if name in _SHARES else f"{number:,g}"


EQUITY = Panel(
    name="equity",
    title="Equity and mean price",
    draw=_equity,
    help="The account's value after each close, and the mean price of all symbols, each in shares of its "
    "first close. What buying and holding them would have earned, with costs, is in the table of scores.",
)

POSITIONS = Panel(
    name="positions",
    title="Positions",
    draw=_positions,
    heading=1,
    rows=lambda s: len(s.journal.positions) if s.journal else 0,
    help="What is held: the newest known price and its age, its worth, what it gained since it was entered "
    "(before costs), and the order that waits. ! marks a stale price.",
)

CALLS = Panel(
    name="calls",
    title="Forecasts",
    draw=_calls,
    heading=1,
    rows=lambda s: len(s.list_forecasts()),
    help="The last calls: direction, confidence, close; then the close that came, hit or miss, and the error "
    "of the forecast close. Enter opens one.",
)

RISK = Panel(
    name="risk",
    title="Risk",
    draw=_risk,
    help="What the session may do, by whose word, and its limits as "
    "fractions of equity. active trades, reducing takes no new risk, halted gives no order.",
)


def _trades(state: ViewState, width: int, height: int) -> Sequence[Text]:
    journal = state.journal
    trades = [] if journal is None else list_trades(journal)
    if not trades:
        return empty_state("No order yet.", "An order follows a forecast at the next close.", width)

    at = 11 if width >= 62 else 5

    def cells(line: EventLine) -> Iterable[Cell]:
        return (
            (format_short_datetime(line.at, state.zone)[:at], at, "dim"),
            (line.symbol, 8, ""),
            (line.kind, 9, state.palette.trend_style(line.good)),
            (line.text, width - at - 22, ""),
        )

    return draw_table(state, "trades", trades, cells, (width, height))


def list_trades(journal: JournalView) -> list[EventLine]:
    """Orders and fills, newest first; a filled order shows as its fill."""
    lines = [line for line in journal.orders if line.kind != "filled"]
    return sorted([*lines, *journal.fills], key=lambda line: (line.at, line.seq), reverse=True)


TRADES = Panel(
    name="trades",
    title="Orders and fills",
    draw=_trades,
    rows=lambda s: len(list_trades(s.journal)) if s.journal else 0,
    help="Orders that wait, were rejected, withdrawn or expired, and why; fills with price and cost.",
)

SCREEN = ScreenPlan(
    name="session",
    title="Session",
    help="Equity, positions, forecasts.",
    panels=(PRICE, EQUITY, TRADES, CALLS, NEWS, POSITIONS, RISK),
    css=grid_css("small", 20, "8 1fr 6", price=11, equity=9, calls=20, positions=12, risk=8)
    # The two columns have borders of rows at other heights, hence the spans.
    + grid_css(
        "middle",
        20,
        "9fr 4fr 4fr 8fr 12",
        price=(11, 2),
        equity=9,
        trades=(9, 2),
        calls=(11, 2),
        news=9,
        positions=11,
        risk=9,
    )
    + grid_css(
        "large", 20, "21fr 20fr 15", price=11, equity=9, trades=6, calls=7, news=7, positions=13, risk=7
    ),
)
