"""Screen 3, Forecast: one decision opened, from its prompt to its reward."""

from collections.abc import Sequence

from rich.text import Text

from strategies.monitor import fields
from strategies.monitor.forecasts import bucket_index
from strategies.monitor.views import CallView
from tui.dashboard.drawing import draw_bar, empty_state, key_values, paragraph, row, text_line
from tui.dashboard.screens.news import news_read_for
from tui.dashboard.screens.price import PRICE
from tui.dashboard.screens.session import CHOOSE, NO_JOURNAL
from tui.dashboard.view_state import Panel, ScreenPlan, ViewState, grid_css
from tui.dashboard.wording import arrow, verdict_label
from tui.formatting import NONE, format_datetime, format_percent, format_price

_LEFT = "No forecast is opened."
_HOW = "enter on a forecast in 2 Session opens it; n and N go to the next and the one before."


def _decision(state: ViewState, width: int, _height: int) -> Sequence[Text]:
    call = state.opened_forecast()
    if call is None:
        return empty_state(
            NO_JOURNAL if state.journal is None else _LEFT, CHOOSE if state.journal is None else _HOW, width
        )
    way = state.palette.trend_style(call.direction == "up" if call.direction else None)
    values = [
        ("symbol", call.symbol, "bold"),
        ("decided at", format_datetime(call.as_of, state.zone), ""),
        ("direction", arrow(call.direction) if call.direction else f"abstained: {call.abstention}", way),
        ("confidence", format_percent(call.confidence, 0), ""),
        ("forecast close", format_price(call.close), ""),
        ("last close", format_price(call.last_close), ""),
        ("adapter", call.adapter or "none, the base model", ""),
        ("event", call.seq, "dim"),
    ]
    return key_values(values, width)


def _outcome(state: ViewState, width: int, _height: int) -> Sequence[Text]:
    call = state.opened_forecast()
    if call is None:
        return ()
    error = NONE if call.error_bps is None else f"{call.error_bps:,.1f} bp of the last close"
    rose = None if call.came is None or call.last_close is None else call.came - call.last_close
    values = [
        ("outcome", verdict_label(call) or NONE, "bold"),
        ("next close", format_price(call.came), state.palette.trend_style(rose)),
        ("known at", format_datetime(call.came_at, state.zone), ""),
        ("error", error, ""),
        ("Brier part", _brier(call), ""),
        *_reward(state),
    ]
    return key_values(values, width, 18)


def _brier(call: CallView) -> str:
    """1 - (p - y)², as the reward has it; a tie is a half."""
    if call.came is None or call.last_close is None or call.confidence is None or call.direction is None:
        return NONE
    rose = 0.5 if call.tie else float(call.came > call.last_close)
    up = call.confidence if call.direction == "up" else 1 - call.confidence
    return f"{1 - (up - rose) ** 2:.4f} of 1"


def _reward(state: ViewState) -> list[tuple[str, object, str]]:
    reward = state.reward
    if reward is None:
        return [("reward", "not before its step ends", "dim")]
    if "why" in reward:
        return [("reward", reward["why"], "dim")]
    return [
        (f"reward {name}".replace("_", " "), f"{value:+z.5f}", "bold" if name == "total" else "")
        for name in reward
        if (value := fields.get_number(dict(reward), name)) is not None
    ]


def _calibration(state: ViewState, width: int, _height: int) -> Sequence[Text]:
    journal, call = state.journal, state.opened_forecast()
    if journal is None or not journal.score.n:
        return empty_state("No outcome is known yet.", "It comes with the next close of the symbol.", width)
    chosen = bucket_index(call.confidence) if call is not None and call.direction else -1
    lines = [text_line("stated   right so far", width, "bold")]
    for place, bucket in enumerate(journal.score.buckets):
        if not bucket.n:
            continue
        share = bucket.hits / bucket.n
        cells = [
            (f"{bucket.low:.0%}–{bucket.high:.0%}", 8, ""),
            (format_percent(share, 0), -4, ""),
            (f"of {bucket.n:,}", 9, "dim"),
            (draw_bar(share, max(4, width - 28)), max(4, width - 28), state.palette.curve),
        ]
        lines.append(row(cells, width, chosen=place == chosen, style="bold"))
    return lines


def _text(state: ViewState, name: str, width: int, height: int) -> Sequence[Text]:
    call = state.opened_forecast()
    event = state.event
    if call is None:
        return empty_state(_LEFT, _HOW, width)
    if event is None or event.seq != call.seq:
        return [text_line("reading the event…", width, "dim")]
    text = fields.get_text(event.payload, name, 1_000_000)
    if not text:
        return [text_line("nothing: " + (call.abstention or "the journal has none"), width, "dim")]
    skipped = state.cursor(name, 10_000)
    return paragraph(text, width, height + skipped)[skipped:]


def _news(state: ViewState, width: int, _height: int) -> Sequence[Text]:
    journal, call = state.journal, state.opened_forecast()
    if journal is None or call is None:
        return ()
    items = news_read_for(journal, call)
    if not items:
        return empty_state(
            "No fresh news was there, or it is no longer kept here.", "The prompt has what was read.", width
        )
    return [
        text_line(f"{format_datetime(item.at, state.zone)}  {item.source}: {item.title}", width)
        for item in items
    ]


DECISION = Panel(
    name="decision",
    title="Decision",
    draw=_decision,
    help="The call as it was made. n opens the next one, N the one before.",
)

OUTCOME = Panel(
    name="outcome",
    title="Outcome and reward",
    draw=_outcome,
    help="What came of the call, and what it is worth in training: Brier, close and PnL part, weighted.",
)

SO_FAR = Panel(
    name="so_far",
    title="This confidence so far",
    draw=_calibration,
    help="How often calls of each stated confidence were right, over all calls of the journal with a known "
    "outcome. › marks the opened call's.",
)

PROMPT = Panel(
    name="prompt",
    title="Prompt",
    draw=lambda s, w, h: _text(s, "prompt", w, h),
    scrolls=True,
    rows=lambda _s: 10_000,
    help="What the student was asked, as it was sent. j and k scroll.",
)

OUTPUT = Panel(
    name="output",
    title="Output",
    draw=lambda s, w, h: _text(s, "output", w, h),
    scrolls=True,
    rows=lambda _s: 10_000,
    help="What the student answered, before it was read.",
)

READ = Panel(
    name="read",
    title="News it could read",
    draw=_news,
    help="What became available after the symbol's close before and up to this one.",
)

SCREEN = ScreenPlan(
    name="forecast",
    title="Forecast",
    help="One decision opened.",
    panels=(DECISION, OUTCOME, SO_FAR, PRICE, PROMPT, OUTPUT, READ),
    css=grid_css("small", 2, "10 5fr 4fr", decision=1, outcome=1, price=(1, 2), prompt=1, output=1)
    + grid_css(
        "middle", 20, "13 14fr 9fr", decision=6, outcome=8, so_far=6, price=12, prompt=8, output=8, read=12
    )
    + grid_css(
        "large", 30, "14 6fr 4fr", decision=10, outcome=10, so_far=10, price=18, prompt=12, output=12, read=18
    ),
)
