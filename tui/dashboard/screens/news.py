"""The panel of news, each item beside the forecast that it led to."""

from collections.abc import Sequence

from rich.text import Text

from strategies.monitor.views import CallView, JournalView, NewsView
from tui.dashboard.drawing import draw_window, empty_state, row
from tui.dashboard.sanitize import truncate
from tui.dashboard.view_state import Panel, ViewState
from tui.dashboard.wording import arrow, verdict_label
from tui.formatting import format_percent, format_short_datetime


def list_news(state: ViewState) -> list[NewsView]:
    """The chosen journal's news, newest first."""
    one = state.journal
    return [] if one is None else sorted(one.news, key=lambda item: item.at, reverse=True)


def first_prediction_after(one: JournalView, item: NewsView) -> CallView | None:
    """The first call after an item on a symbol that it concerns."""
    for call in one.calls:
        if call.as_of >= item.at and (not item.symbols or call.symbol in item.symbols):
            return call
    return None


def news_read_for(one: JournalView, call: CallView) -> list[NewsView]:
    """The items that were new to the student when it made a call, oldest first."""
    before = max(
        (c.as_of for c in one.calls if c.symbol == call.symbol and c.as_of < call.as_of), default=None
    )
    return [
        item
        for item in one.news
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
    one, found = state.journal, list_news(state)
    if one is None or not found:
        return empty_state(
            "No news yet.", "News rides on slices; give --news FILE, or feeds to a session.", width, height
        )

    def draw(place: int, chosen: bool) -> Text:  # noqa: FBT001  # drawn rows
        item = found[place]
        call = first_prediction_after(one, item)
        big = width >= 70
        to = "" if call is None else _format_prediction(call, whole=big)
        style = (
            ""
            if call is None
            else state.palette.trend_style(call.direction == "up" if call.direction else None)
        )
        after = 29 if big else 12
        at = (
            format_short_datetime(item.at, state.zone)
            if big
            else format_short_datetime(item.at, state.zone)[:5]
        )
        cells = [(at, len(at), "dim"), (item.title, width - len(at) - after - 3, ""), (to, after, style)]
        return row(cells, width, chosen=chosen, style=state.palette.chosen)

    return draw_window(state, "news", len(found), height, draw)


NEWS = Panel(
    name="news",
    title="News → forecast",
    draw=_news,
    rows=lambda s: len(list_news(s)),
    help="What the student could read, newest first, and the next forecast on a symbol that it concerns.",
)
