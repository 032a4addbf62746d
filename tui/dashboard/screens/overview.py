"""Screen 1, Overview: every session, run and collection in a line, and what is on record beside them."""

from collections.abc import Iterable, Sequence

from rich.text import Text

from strategies.monitor.catalog import JournalType
from strategies.monitor.views import JournalView
from tui.dashboard.drawing import Cell, draw_table, empty_state, text_line
from tui.dashboard.screens.health import NUMBERS
from tui.dashboard.screens.session import CALLS, EQUITY
from tui.dashboard.view_state import Panel, ScreenPlan, ViewState, grid_css
from tui.dashboard.wording import is_good, state_label, waiting_label
from tui.formatting import format_amount, format_percent, format_short_datetime, format_signed_percent

SHOWN = (JournalType.SESSION, JournalType.RUN, JournalType.COLLECTION)


def list_journals(state: ViewState) -> list[JournalView]:
    """The journals that are listed, those with the filter's text in their name, state or student."""
    wanted = state.filter_text.lower()
    journals = [journal for journal in state.snapshot.journals if journal.place.type in SHOWN]
    return [
        journal
        for journal in journals
        if wanted in f"{journal.place.key} {state_label(journal)} {journal.student} {journal.title}".lower()
    ]


def _draw(state: ViewState, width: int, height: int) -> Sequence[Text]:
    journals = list_journals(state)
    if not journals:
        if state.filter_text:
            return empty_state(f"Nothing here has {state.filter_text!r} in it.", "esc shows all.", width)
        return empty_state(
            state.snapshot.problem or f"No session and no run in {state.snapshot.data_dir}.",
            "b starts a backtest on a simulated market, s a replayed paper session; or: closecall backtest",
            width,
        )
    columns = _columns(width)

    def cells(journal: JournalView) -> Iterable[Cell]:
        values = _journal_cells(state, journal)
        return ((values[name][0], wide, values[name][1]) for name, wide in columns)

    return draw_table(state, "journals", journals, cells, (width, height), columns=columns)


def _columns(width: int) -> list[tuple[str, int]]:
    columns = [("name", 19), ("state", 12), ("equity", -9), ("today", -9)]
    if width >= 110:
        columns += [("return", -8)]
    columns += [("accuracy", -8), ("95%", 7)]
    if width >= 110:
        columns += [("n", -6)]
    columns += [("abst.", -5)]
    if width >= 160:
        columns += [("student", 16), ("last event", 11)]
    left = width - 1 - sum(abs(wide) + 1 for _, wide in columns)
    return [*columns, ("waiting for", left - 1)] if left > 14 else columns


def _journal_cells(state: ViewState, journal: JournalView) -> dict[str, tuple[object, str]]:
    """What a row may show of a journal, by column: text and style."""
    look, score, money = state.palette, journal.score, journal.money
    good = is_good(journal)
    mark = {JournalType.SESSION: "S ", JournalType.RUN: "R ", JournalType.COLLECTION: "C "}[
        journal.place.type
    ]
    name = mark + journal.place.name + (" ~" if journal.simulated else "")
    bounds = (
        f"{format_percent(score.low, 0)[:-1]}–{format_percent(score.high, 0)}"
        if score.low is not None
        else "-"
    )
    return {
        "name": (name, "bold" if journal.place.key == state.selected else ""),
        "state": (
            ("" if good else "! " if good is False else "") + state_label(journal),
            "" if good is None else look.trend_style(good),
        ),
        "equity": (format_amount(money.value), ""),
        "today": (format_amount(money.today, signed=True), look.trend_style(money.today)),
        "return": (format_signed_percent(money.total_return), look.trend_style(money.total_return)),
        "accuracy": (format_percent(score.accuracy), ""),
        "95%": (bounds, ""),
        "n": (score.n, ""),
        "abst.": (score.abstentions, look.warn if score.abstentions else ""),
        "student": (journal.student, ""),
        "last event": (
            format_short_datetime(journal.reached if journal.own_time else journal.last_at, state.zone),
            "dim",
        ),
        "waiting for": (waiting_label(journal, state.now), look.warn if good is False else "dim"),
    }


def _draw_chosen(state: ViewState, width: int, _height: int) -> Sequence[Text]:
    journal = state.journal
    if journal is None:
        return empty_state("Nothing is chosen.", "↑ ↓ choose, enter opens.", width)
    kinds = ", ".join(
        f"{name} {number:,}" for name, number in sorted(journal.kinds.items(), key=lambda p: -p[1])
    )
    lines = [
        text_line(f"{journal.place.name}  {journal.title}  {', '.join(journal.symbols[:12])}", width, "bold"),
        text_line(waiting_label(journal, state.now) or f"{state_label(journal)} {journal.reason}", width),
        text_line(f"{journal.newest:,} events: {kinds}", width, "dim"),
    ]
    if journal.notice:
        lines.append(text_line(journal.notice, width, state.palette.warn))
    if journal.commands:
        last = journal.commands[-1]
        answer = last.answer or "no answer yet"
        lines.append(text_line(f"last command: {last.command} by {last.author} → {answer}", width))
    return lines


JOURNALS = Panel(
    name="journals",
    title="Sessions and runs",
    help="Each session (S), run (R) and collection (C) in a line; ~ is SIMULATED. Enter opens it. "
    "Today is the change of equity in the last UTC day; accuracy is close to close, its 95% interval takes "
    "days as clusters. ! marks what needs a person.",
    draw=_draw,
    heading=1,
    rows=lambda state: len(list_journals(state)),
)

CHOSEN = Panel(
    name="chosen",
    title="Chosen",
    help="What the chosen journal is about, what it waits for, and what it holds.",
    draw=_draw_chosen,
)

SCREEN = ScreenPlan(
    name="overview",
    title="Overview",
    help="Sessions and runs.",
    panels=(JOURNALS, EQUITY, CALLS, CHOSEN, NUMBERS),
    css=grid_css("small", 1, "1fr 7", journals=1, chosen=1)
    + grid_css("middle", 1, "5fr 4fr 7", journals=1, equity=1, chosen=1)
    + grid_css("large", 5, "4fr 5fr 8", journals=5, equity=3, calls=2, chosen=3, numbers=2),
)
