"""The panel of news, each item beside the forecast that it led to."""

from collections.abc import Sequence

from rich.text import Text

from strategies.monitor.views import CallView, JournalView, NewsView
from tui.dashboard.drawing import hinted, row, window
from tui.dashboard.sanitize import shown
from tui.dashboard.view_state import Panel, Sight
from tui.dashboard.wording import arrow, verdict
from tui.formatting import percent, short


def news_of(sight: Sight) -> list[NewsView]:
    """The chosen journal's news, newest first."""
    one = sight.journal
    return [] if one is None else sorted(one.news, key=lambda item: item.at, reverse=True)


def led_to(one: JournalView, item: NewsView) -> CallView | None:
    """The first call after an item on a symbol that it concerns."""
    for call in one.calls:
        if call.as_of >= item.at and (not item.symbols or call.symbol in item.symbols):
            return call
    return None


def read_for(one: JournalView, call: CallView) -> list[NewsView]:
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


def _led(call: CallView, *, whole: bool) -> str:
    if whole:
        return f"→ {call.symbol} {arrow(call.direction)} {percent(call.confidence, 0)} {verdict(call)}"
    mark = "" if call.hit is None else "✓" if call.hit else "✗"
    return f"{shown(call.symbol, 6)} {arrow(call.direction)[0]}{percent(call.confidence, 0)}{mark}"


def _news(sight: Sight, width: int, height: int) -> Sequence[Text]:
    one, found = sight.journal, news_of(sight)
    if one is None or not found:
        return hinted(
            "No news yet.", "News rides on slices; give --news FILE, or feeds to a session.", width, height
        )

    def draw(place: int, chosen: bool) -> Text:  # noqa: FBT001  # drawn rows
        item = found[place]
        call = led_to(one, item)
        big = width >= 70
        to = "" if call is None else _led(call, whole=big)
        style = "" if call is None else sight.palette.way(call.direction == "up" if call.direction else None)
        after = 29 if big else 12
        at = short(item.at, sight.zone) if big else short(item.at, sight.zone)[:5]
        cells = [(at, len(at), "dim"), (item.title, width - len(at) - after - 3, ""), (to, after, style)]
        return row(cells, width, chosen=chosen, style=sight.palette.chosen)

    return window(sight, "news", len(found), height, draw)


NEWS = Panel(
    name="news",
    title="News → forecast",
    draw=_news,
    rows=lambda s: len(news_of(s)),
    help="What the student could read, newest first, and the next forecast on a symbol that it concerns.",
)
