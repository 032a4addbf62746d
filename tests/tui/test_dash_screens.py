"""Screens say what is missing and how to get it, and show any text of strangers as text, within its cells."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from strategies.monitor.journal_reader import EventRow
from strategies.monitor.projection import JournalProjection
from strategies.monitor.views import Snapshot
from tests.support.dash_scenes import NOW, SIZES, load_snapshot, make_view_state, shared_folder
from tests.tui.test_dash_projection import KINDS, NAMES, PLACE, START, VALUES, make_event
from tests.tui.test_dash_text import HOSTILE, harmless
from tui.dashboard.app import DashApp
from tui.dashboard.drawing import draw_panel
from tui.dashboard.header import draw_header, draw_notice, draw_tabs
from tui.dashboard.screens import SCREENS, get_screen_plan
from tui.dashboard.screenshots import screen_text
from tui.dashboard.themes import PALETTES
from tui.dashboard.view_state import Search, ViewState

NAMES_OF_SCREENS = [plan.name for plan in SCREENS]
ODD_SIZES = (*SIZES, (24, 3), (40, 12), (41, 1), (60, 25), (133, 47), (300, 90))


@pytest.fixture(scope="module")
def folder():
    return shared_folder()


def check(state, width, height):
    """Draw everything of a screen at a size, each panel within a border of that size; the text of it."""
    drawn = [draw_header(state, width), draw_tabs(state, SCREENS, width), draw_notice(state, width)]
    assert {line.cell_len for line in drawn} == {width}
    for panel in get_screen_plan(state.screen).panels:
        for focused in (False, True):
            body = draw_panel(panel, state, width - 2, height, focused=focused)
            assert len(body) <= height
            assert all(line.cell_len == cell_len(line.plain) == width - 2 for line in body)
        drawn += body
    return "\n".join(line.plain for line in drawn)


def empty(**rest):
    return ViewState(snapshot=Snapshot(at=NOW, data_dir="/nowhere", problem=""), **rest)


@pytest.mark.parametrize("screen", NAMES_OF_SCREENS)
def test_an_empty_dashboard_names_the_command_that_mends_it(screen):
    said = check(empty(screen=screen), 120, 40)
    assert "closecall " in said.replace("closecall  PAPER", "")


def test_the_palettes_differ_in_colour_only(folder):
    state = make_view_state(folder, "trial", screen="session")
    drawn = {name: check(replace(state, palette=palette), 120, 40) for name, palette in PALETTES.items()}
    assert len(set(drawn.values())) == 1
    assert PALETTES["western"].up == PALETTES["east-asian"].down


def test_prices_that_are_old_are_marked_with_their_age(folder):
    sight = make_view_state(folder, "trial", screen="session")
    held = sight.journal.positions[0]
    old = replace(held, price_at=sight.journal.reached - timedelta(days=3))
    journals = tuple(
        replace(one, positions=(old,)) if one.place.key == sight.selected else one
        for one in sight.snapshot.journals
    )
    assert "!3 d" in check(replace(sight, snapshot=replace(sight.snapshot, journals=journals)), 120, 40)


def test_a_journal_that_cannot_be_read_is_named_below_and_keeps_its_last_state(folder):
    sight = make_view_state(folder, "trial", screen="session")
    journals = tuple(
        replace(one, trouble="is locked by another program", trouble_at=NOW)
        for one in sight.snapshot.journals
    )
    said = check(replace(sight, snapshot=replace(sight.snapshot, journals=journals)), 120, 40)
    assert "journal is locked by another program; what is shown is from before" in said
    assert "✓ hit" in said


TEXTS = st.sampled_from(HOSTILE) | st.text(st.characters(), max_size=30)

EVENTS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(NAMES), VALUES | TEXTS, max_size=6)),
    max_size=10,
)


def untrusted_events(text):
    """Events of the kinds that show a text of their own, with that text in each of them."""
    yield "command", {"command": text, "author": text, "text": text}
    yield "command", {"author": f"a{text[:200]}", "text": text[:200]}
    yield "risk", {"cause": text, "author": text, "input": 61}
    yield "order", {"symbol": text, "status": text, "reason": text, "number": text}
    yield "order", {"symbol": text, "reason": text}
    yield "fill", {"symbol": text, "size": 1.0, "price": 1.0, "cost": 1.0}
    yield "source", {"source": text, "state": text, "reason": text}
    yield "fault", {"part": text, "state": text, "reason": text}
    yield "gap", {"symbol": text, "lacks": text, "reason": text}
    yield "waiting", {"for": text}
    yield "walkforward_started", {"settings": {text: text, "method": text}, "folds": [{text: text}]}
    yield "training_step", {"arm": text, "reward": 1.0, "seconds": {text: 1.0, "total": 1.0}}
    yield "training_look", {"arm": text, "fold": 1, "step": 1, "accuracy": 0.5}
    yield "training_guard", {"arm": text, "guard": text, "done": text, "value": 1.0, "limit": 1.0}
    yield "fold_gated", {"arm": text, "fold": 1, "reasons": [text], "measures": {text: [text, text]}}
    yield "forecast", {"symbol": text, "direction": None, "abstention": text, "last_close": 1.0}
    yield "news", {"title": text, "source": text, "symbols": [text], "id": text}
    yield "adopted", {"name": text}
    yield "session_started", {"student": text, "about": {"replay": text}}


def hostile_scene(events, title):
    board = JournalProjection(PLACE)
    for number, (kind, payload) in enumerate(events, start=1):
        board.fold(make_event(number, kind, payload, number), listed=True)
    for number in range(3):
        said = {
            "symbol": title,
            "direction": "up",
            "confidence": 0.6,
            "close": 2.0,
            "last_close": 1.0 + number,
        }
        board.fold(make_event(50 + number, "forecast", said, 50 + number), listed=True)
    said = {"id": "1", "title": title, "source": title, "symbols": [title], "available_at": START.isoformat()}
    board.fold(make_event(90, "news", said, 90), listed=True)
    for number, (kind, payload) in enumerate(untrusted_events(title), start=60):
        board.fold(make_event(number, kind, payload, number), listed=True)
    board.fold(make_event(91, "mark", {"value": 1.0, "cash": 1.0}, 91), listed=True)
    board.fold(make_event(92, "mark", {"value": 2.0, "cash": 1.0}, 92), listed=True)
    return Snapshot(at=NOW, data_dir=title, journals=(board.view(newest=92, counted=92),), problem=title)


@pytest.mark.slow
@given(events=EVENTS, title=TEXTS, screen=st.sampled_from(NAMES_OF_SCREENS), size=st.sampled_from(ODD_SIZES))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_hostile_text_alters_no_line_of_any_screen(events, title, screen, size):
    event = EventRow(
        seq=52,
        as_of=START,
        recorded_at=START,
        kind=title,
        chain="c",
        payload={"prompt": title, "output": title, title: title},
    )
    sight = ViewState(
        snapshot=hostile_scene(events, title),
        selected=PLACE.key,
        screen=screen,
        event=event,
        filter_text="",
        notice=title,
        search=Search(text=title) if len(title) % 2 else Search(),
    )
    assert harmless(check(sight, *size).replace("\n", ""))


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_hostile_text_moves_no_border_of_any_screen(size):
    scenes = [(text, hostile_scene([], text)) for text in HOSTILE]
    states = [
        ViewState(snapshot=scene, selected=PLACE.key, screen=screen, notice=text)
        for screen in NAMES_OF_SCREENS
        for text, scene in scenes
    ]

    async def look():
        app = DashApp(Path("/nowhere/at/all"), lambda: NOW)
        async with app.run_test(size=size) as pilot:
            app.reader.stop()
            for state in states:
                app.set_view(state)
                app.set_view(state)  # choosing another journal clears the notice of the first
                await pilot.pause()
                lines = screen_text(app.screen).splitlines()
                assert (len(lines), {cell_len(line) for line in lines}) == (size[1], {size[0]})
                assert harmless("".join(lines))
                assert app.base.plan.name == state.screen
                cells = [_cells(line) for line in lines]
                for view in app.base.query("PanelView"):
                    box = view.region
                    if view.display:
                        for x, top, bottom in ((box.x, "╭", "╰"), (box.right - 1, "╮", "╯")):
                            column = "".join(cells[y][x] for y in range(box.y, box.bottom))
                            assert column == top + "│" * (box.height - 2) + bottom

    asyncio.run(look())


@pytest.mark.parametrize("screen", NAMES_OF_SCREENS)
@pytest.mark.parametrize("text", ["x" * 1_000_000, "\x1b[2J\n\u202e" * 150_000], ids=["a line", "escapes"])
def test_a_megabyte_in_every_field_fills_its_cells_and_no_more_time(screen, text):
    import time

    event = EventRow(
        seq=52,
        as_of=START,
        recorded_at=START,
        kind=text,
        chain=text,
        payload={"prompt": text, "output": text},
    )
    scene = hostile_scene([], text)
    sight = ViewState(
        snapshot=scene, selected=PLACE.key, screen=screen, event=event, filter_text="", notice=text, call=52
    )
    began = time.process_time()
    for size in SIZES:
        assert harmless(check(sight, *size).replace("\n", ""))
    assert time.process_time() - began < 3.0


def _cells(line):
    """One entry for each cell; the second cell of a wide letter is empty."""
    found = []
    for letter in line:
        found += [letter, *[""] * (cell_len(letter) - 1)] if cell_len(letter) else []
    return found


@pytest.mark.slow
def test_a_scene_is_drawn_within_a_fraction_of_its_half_second(folder):
    import time

    sight = replace(make_view_state(folder, "trial", screen="session"), snapshot=load_snapshot(folder))
    check(sight, 200, 60)
    began = time.process_time()
    for _ in range(10):
        check(sight, 200, 60)
    assert (time.process_time() - began) / 10 < 0.1
