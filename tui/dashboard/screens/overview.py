"""Screen 1, Overview: every session, run and collection in a line, and what is on record beside them."""

from collections.abc import Sequence

from rich.text import Text

from strategies.monitor.catalog import Sort
from strategies.monitor.views import JournalView
from tui.dashboard.drawing import Cell, hinted, row, say, window
from tui.dashboard.view_state import Panel, Sight
from tui.dashboard.wording import is_good, state_of, waiting
from tui.formatting import amount, percent, short, signed_percent

SHOWN = (Sort.SESSION, Sort.RUN, Sort.COLLECTION)


def listed(sight: Sight) -> list[JournalView]:
    """The journals that are listed, those with the filter's text in their name, state or student."""
    wanted = sight.wanted.lower()
    found = [one for one in sight.scene.journals if one.place.sort in SHOWN]
    return [
        one for one in found if wanted in f"{one.place.key} {state_of(one)} {one.student} {one.title}".lower()
    ]


def _draw(sight: Sight, width: int, height: int) -> Sequence[Text]:
    found = listed(sight)
    if not found:
        if sight.wanted:
            return hinted(f"Nothing here has {sight.wanted!r} in it.", "esc shows all.", width, height)
        return hinted(
            sight.scene.problem or f"No session and no run in {sight.scene.data_dir}.",
            "b starts a backtest on a simulated market, s a replayed paper session; or: closecall backtest",
            width,
            height,
        )
    heading = row([(name, wide, "bold") for name, wide in _columns(width)], width)
    rows = window(
        sight, "journals", len(found), height - 1, lambda place, on: _row(sight, found[place], width, on)
    )
    return [heading, *rows]


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


def _row(sight: Sight, one: JournalView, width: int, chosen: bool) -> Text:  # noqa: FBT001  # drawn rows
    look, score, money = sight.palette, one.score, one.money
    good = is_good(one)
    mark = {Sort.SESSION: "S ", Sort.RUN: "R ", Sort.COLLECTION: "C "}[one.place.sort]
    name = mark + one.place.name + (" ~" if one.simulated else "")
    bounds = f"{percent(score.low, 0)[:-1]}–{percent(score.high, 0)}" if score.low is not None else "-"
    values: dict[str, tuple[object, str]] = {
        "name": (name, "bold" if one.place.key == sight.chosen else ""),
        "state": (
            ("" if good else "! " if good is False else "") + state_of(one),
            "" if good is None else look.way(good),
        ),
        "equity": (amount(money.value), ""),
        "today": (amount(money.today, signed=True), look.way(money.today)),
        "return": (signed_percent(money.gained), look.way(money.gained)),
        "accuracy": (percent(score.accuracy), ""),
        "95%": (bounds, ""),
        "n": (score.n, ""),
        "abst.": (score.abstentions, look.warn if score.abstentions else ""),
        "student": (one.student, ""),
        "last event": (short(one.reached if one.own_time else one.last_at, sight.zone), "dim"),
        "waiting for": (waiting(one, sight.now), look.warn if good is False else "dim"),
    }
    cells: list[Cell] = [(values[name][0], wide, values[name][1]) for name, wide in _columns(width)]
    return row(cells, width, chosen=chosen, style=look.chosen)


def _chosen(sight: Sight, width: int, height: int) -> Sequence[Text]:
    one = sight.journal
    if one is None:
        return hinted("Nothing is chosen.", "↑ ↓ choose, enter opens.", width, height)
    kinds = ", ".join(f"{name} {number:,}" for name, number in sorted(one.kinds.items(), key=lambda p: -p[1]))
    found = [
        say(f"{one.place.name}  {one.title}  {', '.join(one.symbols[:12])}", width, "bold"),
        say(waiting(one, sight.now) or f"{state_of(one)} {one.reason}", width),
        say(f"{one.newest:,} events: {kinds}", width, "dim"),
    ]
    if one.notice:
        found.append(say(one.notice, width, sight.palette.warn))
    if one.commands:
        last = one.commands[-1]
        answer = last.answer or "no answer yet"
        found.append(say(f"last command: {last.command} by {last.author} → {answer}", width))
    return found[:height]


JOURNALS = Panel(
    name="journals",
    title="Sessions and runs",
    help="Each session (S), run (R) and collection (C) in a line; ~ is SIMULATED. Enter opens it. "
    "Today is the change of equity in the last UTC day; accuracy is close to close, its 95% interval takes "
    "days as clusters. ! marks what needs a person.",
    draw=_draw,
    heading=1,
    rows=lambda sight: len(listed(sight)),
)

CHOSEN = Panel(
    name="chosen",
    title="Chosen",
    help="What the chosen journal is about, what it waits for, and what it holds.",
    draw=_chosen,
)
