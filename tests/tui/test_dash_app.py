"""The dashboard driven by keys and mouse, as a person does it, without a terminal."""

import asyncio
import time
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.support.dash_scenes import NOW, load_snapshot, shared_folder, stopped_session, tree, until
from tests.support.paper_sessions import NAME, full_script, open_journal, replay
from tui.dashboard.app import DashApp
from tui.dashboard.dialogs import Confirm, Help
from tui.dashboard.keys import KEYS, keys_markdown
from tui.dashboard.screen import Lines
from tui.dashboard.screens import SCREENS
from tui.dashboard.screenshots import screen_text as text_of


@pytest.fixture(scope="module")
def folder():
    return shared_folder()


@pytest.fixture
def waiting(tmp_path):
    return stopped_session(tmp_path)


def drive(folder, scenario, size=(120, 40), **rest):
    """Run a story against the dashboard of a folder; what it returns."""

    async def play():
        app = DashApp(folder, lambda: NOW, **rest)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.settled)
            return await scenario(app, pilot)

    return asyncio.run(play())


def screen_text(app):
    return text_of(app.screen_stack[0])


def test_each_digit_opens_its_screen_and_esc_leads_back(folder):
    async def story(app, pilot):
        for number, plan in enumerate(SCREENS, start=1):
            await pilot.press(str(number))
            assert app.view_state.screen == plan.name
            assert f" {number} {plan.title} " in screen_text(app)
        await pilot.press("escape")
        assert app.view_state.screen == "overview"

    drive(folder, story)


def test_a_run_is_chosen_opened_and_one_of_its_forecasts_read(folder):
    async def story(app, pilot):
        await pilot.press("G", "enter")
        assert app.view_state.selected.startswith("run/")
        assert "Verdicts at 5%" in screen_text(app)
        await pilot.press("2", "tab", "tab", "tab")
        assert app.view_state.focus == "calls"
        await pilot.press("j", "j", "enter")
        await until(pilot, lambda: app.view_state.event is not None)
        call = app.view_state.journal.calls[-3]
        assert app.view_state.screen == "forecast"
        assert app.view_state.event.payload["prompt"].splitlines()[0] in screen_text(app)
        assert call.symbol in screen_text(app)
        await pilot.press("N")
        assert app.view_state.opened_forecast().seq == app.view_state.journal.calls[-4].seq
        await pilot.press("escape")
        assert app.view_state.screen == "session"

    drive(folder, story)


def test_a_filter_keeps_the_rows_with_its_text_and_esc_clears_it(folder):
    async def story(app, pilot):
        await pilot.press("slash", *"trial", "enter")
        await pilot.pause()
        assert "S trial" in screen_text(app) and "R 2030" not in screen_text(app)
        await pilot.press("escape")
        assert "R 2030" in screen_text(app)

    drive(folder, story)


def test_the_whole_journal_is_searched_by_text_and_by_kind(folder):
    async def story(app, pilot):
        await pilot.press("6", "slash", *"lunch", "enter")
        await until(pilot, lambda: app.view_state.search.ended and app.view_state.search.rows)
        assert {row.kind for row in app.view_state.search.rows} >= {"command", "risk"}
        await pilot.press("escape", "tab")
        assert app.view_state.focus == "kinds"
        await pilot.press("enter")
        await until(pilot, lambda: app.view_state.search.ended and app.view_state.search.rows)
        assert {row.kind for row in app.view_state.search.rows} == {app.view_state.search.kind}

    drive(folder, story, name=NAME)


def test_help_is_about_the_panel_with_the_focus_and_names_every_key(folder):
    async def story(app, pilot):
        await pilot.press("2", "tab", "question_mark")
        await pilot.pause()
        assert isinstance(app.screen, Help)
        words = " ".join(str(one.render()) for one in app.screen.query("Static"))
        assert "mean price of all" in words
        assert all(key.name in words for key in KEYS)
        await pilot.press("escape")
        assert not isinstance(app.screen, Help)

    drive(folder, story)


def test_halt_is_asked_journaled_once_and_its_answer_shown(waiting):
    with open_journal(waiting) as journal:
        last = journal.last_seq

    async def story(app, pilot):
        await pilot.press("H")
        await pilot.pause()
        assert isinstance(app.screen, Confirm)
        assert app.screen.styles.background.a < 1, "what it is about stays in sight"
        await pilot.press(*"hot", "enter")
        assert app.screen.query_one(Input).value == "hot"
        await pilot.press("enter")
        await until(pilot, lambda: "waiting for the session's answer" in screen_text(app))
        await asyncio.to_thread(replay, waiting, full_script())
        await until(pilot, lambda: "was obeyed" in screen_text(app))
        assert "→ halted" in screen_text(app).splitlines()[-1]

    drive(waiting, story, name=NAME)
    with open_journal(waiting) as journal:
        commands = [row for row in journal.read(last, ("command",)) if "replay" not in row.payload]
    assert [row.payload["command"] for row in commands] == ["halt"]


@pytest.mark.parametrize(
    ("key", "answer", "reasons"), [("F", ["escape"], 1), ("F", ["tab", "enter"], 1), ("b", ["enter"], 0)]
)
def test_an_action_that_is_not_confirmed_does_nothing(waiting, key, answer, reasons):
    before = tree(waiting)

    async def story(app, pilot):
        await pilot.press(key)
        await pilot.pause()
        assert isinstance(app.screen, Confirm) and len(app.screen.query(Input)) == reasons
        await pilot.press(*answer)
        await pilot.pause(0.3)
        assert not isinstance(app.screen, Confirm)

    drive(waiting, story, name=NAME)
    assert tree(waiting) == before


def test_readonly_shows_each_action_and_why_it_does_none(waiting):
    before = tree(waiting)

    async def story(app, pilot):
        assert "READ-ONLY" in screen_text(app)
        for pressed in (letter for key in KEYS if key.asks for letter in key.keys.split(",")):
            await pilot.press(pressed)
            await pilot.pause()
            words = " ".join(str(one.render()) for one in app.screen.query("Static"))
            assert "--readonly" in words
            await pilot.press("enter")

    drive(waiting, story, name=NAME, readonly=True)
    assert tree(waiting) == before


def test_looking_around_for_a_while_changes_no_file(folder):
    before = tree(folder)

    async def story(app, pilot):
        for number in "1234567":
            await pilot.press(number, "j", "tab", "enter", "k", "u", "c", "z", "z", "escape")
        await pilot.pause(0.6)

    drive(folder, story)
    assert tree(folder) == before


def test_every_action_is_in_the_palette_and_every_key_is_documented():
    app = DashApp(Path("nowhere"), lambda: NOW)
    titles = {command.title for command in app.get_system_commands(None)}
    table = keys_markdown()
    for key in KEYS:
        assert any(key.name in title for title in titles) or "command_palette" in key.action
        assert key.name in table and key.help in table
        name = key.action.partition("(")[0]
        assert hasattr(app, f"action_{name}"), name


def test_a_smaller_or_larger_terminal_is_filled_again(folder):
    async def story(app, pilot):
        for width, height in ((200, 60), (80, 24), (50, 10), (120, 40)):
            await pilot.resize_terminal(width, height)
            await pilot.pause(0.2)
            lines = screen_text(app).splitlines()
            assert (len(lines), len(lines[0])) == (height, width)

    drive(folder, story)


def test_a_click_chooses_a_row_and_a_second_one_opens_it(folder):
    async def story(app, pilot):
        await pilot.click(offset=(10, 5))
        assert app.view_state.selected.startswith("run/")
        await pilot.click(offset=(10, 5))
        assert app.view_state.screen == "backtest"
        await pilot.click(offset=(15, 1))
        assert app.view_state.screen == "session"

    drive(folder, story)


def test_only_lines_that_changed_are_painted_again(folder):
    async def story(app, pilot):
        await pilot.pause(1.2)
        before = sum(lines.painted for lines in app.screen.query(Lines))
        await pilot.pause(1.2)
        assert (
            sum(lines.painted for lines in app.screen.query(Lines)) - before <= 6
        )  # the time does not move here, and next to nothing else does

    drive(folder, story)


def test_a_session_that_vanishes_leaves_its_last_state_on_the_screen(waiting):
    async def story(app, pilot):
        await pilot.press("6")
        before = screen_text(app).splitlines()[3:10]
        (waiting / "sessions" / NAME).rename(waiting / "elsewhere")
        await until(pilot, lambda: "moved or removed" in screen_text(app))
        assert screen_text(app).splitlines()[3:10] == before
        (waiting / "elsewhere").rename(waiting / "sessions" / NAME)
        await until(pilot, lambda: "can be read again" in screen_text(app))

    drive(waiting, story, name=NAME)


@pytest.mark.parametrize("sort", ["runs", "sessions"])
def test_the_reward_of_an_opened_forecast_is_that_of_the_training(folder, sort):
    from training.dataset.loaders import load_named_session_experiences, load_run_experiences
    from training.rewards import Weights, compute_call_reward

    name = next((folder / sort).iterdir()).name
    experiences = (load_run_experiences if sort == "runs" else load_named_session_experiences)(folder, name)
    lived = {one.key: one for one in experiences if one.call is not None}

    async def story(app, pilot):
        await pilot.press("3")
        while (opened := app.view_state.opened_forecast()) is None or (
            opened.symbol,
            opened.as_of,
        ) not in lived:
            await pilot.press("N")
        await until(pilot, lambda: app.view_state.reward is not None, 60)
        return app.view_state.opened_forecast(), app.view_state.reward, screen_text(app)

    call, reward, screen = drive(folder, story, name=name)
    one = lived[call.symbol, call.as_of]
    assert reward == dict(compute_call_reward(one.call, one, Weights()).as_json())
    assert f"{reward['total']:+z.5f}" in screen


def test_the_dashboard_ends_at_once_also_while_it_reads(folder):
    async def story(app, pilot):
        began = time.monotonic()
        await pilot.press("q")
        await until(pilot, lambda: not app._running, 5)
        assert time.monotonic() - began < 3

    drive(folder, story)
    assert load_snapshot(folder).journals
