"""The panel of news, each item beside the forecast that it led to."""

from collections.abc import Iterable, Sequence

from rich.text import Text

from strategies.monitor.views import CallView, JournalView, NewsView
from tui.dashboard.drawing import Cell, draw_table, empty_state
from tui.dashboard.sanitize import truncate
from tui.dashboard.view_state import Panel, ViewState
from tui.dashboard.wording import arrow, verdict_label
from tui.formatting import format_percent, format_short_datetime


def list_news(state: ViewState) -> list[NewsView]:
    """The chosen journal's news, newest first."""
    journal = state.journal
    return [] if journal is None else sorted(journal.news, key=lambda item: item.at, reverse=True)


def first_prediction_after(journal: JournalView, item: NewsView) -> CallView | None:
    """The first call after an item on a symbol that it concerns."""
    for call in journal.calls:
        if call.as_of >= item.at and (not item.symbols or call.symbol in item.symbols):
            return call
    return None


def news_read_for(journal: JournalView, call: CallView) -> list[NewsView]:
    """The items that were new to the student when it made a call, oldest first."""
    before = max(
        (c.as_of for c in journal.calls if c.symbol == call.symbol and c.as_of < call.as_of), default=None
    )
    return [
        item
        for item in journal.news
        if item.at <= call.as_of
        and (before is None or item.at > before)
        and (not item.symbols or call.symbol in item.symbols)
    ]


def _format_prediction(call: CallView, *, whole: bool) -> str:
    if whole:
        return (
            f"→ {call.symbol} {arrow(call.direction)} {format_percent(call.confidence, 0)} "
            f"{verdict_label(call)}"
        )
    mark = "" if call.hit is None else "✓" if call.hit else "✗"
    return f"{truncate(call.symbol, 6)} {arrow(call.direction)[0]}{format_percent(call.confidence, 0)}{mark}"


def _news(state: ViewState, width: int, height: int) -> Sequence[Text]:
    journal, items = state.journal, list_news(state)
    if journal is None or not items:
        return empty_state(
            "No news yet.", "News rides on slices; give --news FILE, or feeds to a session.", width
        )

    wide = width >= 70
    at, after = (11, 29) if wide else (5, 12)

    def cells(item: NewsView) -> Iterable[Cell]:
        call = first_prediction_after(journal, item)
        to = "" if call is None else _format_prediction(call, whole=wide)
        rose = None if call is None or call.direction is None else call.direction == "up"
        return (
            (format_short_datetime(item.at, state.zone)[:at], at, "dim"),
            (item.title, width - at - after - 3, ""),
            (to, after, state.palette.trend_style(rose)),
        )

    return draw_table(state, "news", items, cells, (width, height))


NEWS = Panel(
    name="news",
    title="News → forecast",
    draw=_news,
    rows=lambda s: len(list_news(s)),
    help="What the student could read, newest first, and the next forecast on a symbol that it concerns.",
)
