"""Splits and dividends that a person or a source states while a session runs."""

import json
import math
import shutil
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from engine.corporate_actions import ActionKind, Split, split_bar
from engine.errors import UsageError
from engine.journal.events import encode
from feeds.live.polling import run_sequential
from llm.answer_cache import AnswerCache
from strategies.console import utc_now
from strategies.market_data import MarketData
from strategies.monitor.follower import JournalFollower
from strategies.monitor.status import read_status
from strategies.paper.clock import SimulatedClock
from strategies.paper.files import open_session
from strategies.paper.replay import ReplaySource, with_splits
from strategies.paper.session import SessionDeps
from strategies.paper_runtime.action_watch import ActionWatch
from strategies.paper_runtime.control import announce_action, parse_ratio
from tests.support.paper_sessions import (
    COINS,
    FACTS,
    NAME,
    STOCK,
    check_replay,
    day,
    load,
    open_journal,
    read_digests,
    read_rows,
    replay,
    session_opens,
)
from tui.cli.main import run

EX = session_opens(STOCK)[9]
SPLIT = Split(at=EX, symbol=STOCK, ratio=10.0)
AS_TRADED: MarketData = with_splits(FACTS, [SPLIT])
"""The market as an exchange states it: prices of the stock are a tenth from the ex-date on."""


def replay_until(folder, instant):
    """Replay until the input of an instant is journaled, one input at a time."""

    with ExitStack() as stack:
        journals = []

        def reached():
            if not journals:
                journals.append(stack.enter_context(open_journal(folder)))
            newest = journals[0].read(max(0, journals[0].last_seq - 50), ("slice",))
            return any(row.as_of >= instant for row in newest)

        replay(folder, facts=AS_TRADED, ahead=1, stop=reached)


def announce(folder, value=10.0, *, on=EX, action=ActionKind.SPLIT, symbol=STOCK, clock=utc_now):
    on = on.date() if isinstance(on, datetime) else on
    return announce_action(folder, NAME, action, symbol, value, on, clock=clock)


def positions(folder):
    return {each["symbol"]: each["size"] for each in read_status(folder, NAME, utc_now())["positions"]}


@pytest.fixture(scope="module")
def scripted(tmp_path_factory):
    """A session whose script states the split."""
    folder = tmp_path_factory.mktemp("scripted")
    replay(folder, [encode(SPLIT, SPLIT.at)], facts=AS_TRADED, ahead=1)
    return folder


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A session that has reached its fifth day."""
    folder = tmp_path_factory.mktemp("begun")
    replay_until(folder, day(5))
    return folder


@pytest.fixture
def fifth_day(begun, tmp_path):
    """A copy of that session, which a test may continue."""
    return Path(shutil.copytree(begun, tmp_path, dirs_exist_ok=True))


@pytest.mark.slow
@pytest.mark.parametrize("known_on", [3, 8])
def test_a_split_announced_ahead_leads_to_what_a_script_leads_to(tmp_path, scripted, known_on):
    replay_until(tmp_path, session_opens(STOCK)[known_on])
    done = announce(tmp_path)
    assert (done["effective_at"], done["late"]) == (EX, False)
    assert [each["value"] for each in read_status(tmp_path, NAME, utc_now())["announced"]] == [10.0]
    replay(tmp_path, facts=AS_TRADED, ahead=1)
    assert read_digests(tmp_path)["fills"] == read_digests(scripted)["fills"]
    assert read_digests(tmp_path)["equity"] == read_digests(scripted)["equity"]
    assert check_replay(tmp_path).equal
    assert read_status(tmp_path, NAME, utc_now())["announced"] == []
    (row,) = read_rows(tmp_path, "split")
    assert (row.as_of, row.payload["ratio"]) == (EX, 10.0)


@pytest.mark.slow
@pytest.mark.parametrize("hours", [0, 8, 60])
def test_a_split_announced_late_restates_what_was_held_before_it(tmp_path, scripted, hours):
    replay_until(tmp_path, EX + timedelta(hours=hours))
    before = positions(tmp_path)
    assert before[STOCK] > 0
    bought = sum(
        row.payload["size"]
        for row in read_rows(tmp_path, "fill")
        if row.payload["symbol"] == STOCK and row.as_of >= EX
    )
    announce(tmp_path)
    rows = len(read_rows(tmp_path, "split"))
    replay(tmp_path, facts=AS_TRADED, ahead=1, stop=lambda: len(read_rows(tmp_path, "split")) > rows)
    replay(tmp_path, facts=AS_TRADED, ahead=1, stop=lambda: True)
    assert positions(tmp_path)[STOCK] == pytest.approx((before[STOCK] - bought) * 10.0 + bought)
    replay(tmp_path, facts=AS_TRADED, ahead=1)
    assert check_replay(tmp_path).equal
    (view,) = JournalFollower(tmp_path, utc_now).read_all().journals
    assert {each.symbol: each.size for each in view.positions if each.size} == positions(tmp_path)


def test_what_the_student_sees_after_a_late_split_is_in_one_unit(tmp_path, scripted):
    replay_until(tmp_path, EX + timedelta(hours=8))
    announce(tmp_path)
    replay(tmp_path, facts=AS_TRADED, ahead=1)
    closes = [
        [row.payload["prompt"] for row in read_rows(folder, "forecast") if row.payload["symbol"] == STOCK]
        for folder in (tmp_path, scripted)
    ]
    assert closes[0][-3:] == closes[1][-3:]


class Exchange:
    """States the split once its day has come, unless it fails; the instants at which it was asked."""

    name = "exchange"

    def __init__(self, fails_until=FACTS.start):
        self.fails_until, self.now, self.asked = fails_until, FACTS.start, []

    def corporate_actions(self, symbol, since):
        self.asked.append(self.now)
        if self.now < self.fails_until:
            raise OSError("no answer")
        assert since >= FACTS.start
        return [SPLIT] if self.now >= EX else []


class Watched(ActionWatch):
    """A watch whose source knows what time it is."""

    def step(self, now):
        self._sources[STOCK].now = now
        return super().step(now)


def watch(folder, exchange):
    """Replay to the end with that source of splits."""
    replay(folder, facts=AS_TRADED, ahead=1, stop=lambda: True)
    calendars = {STOCK: FACTS.calendars[FACTS.instruments[STOCK].calendar]}
    with AnswerCache(folder / "ledger.sqlite") as cache:

        def parts(journal):
            source = Watched(
                ReplaySource(journal, AS_TRADED, (), 1),
                journal,
                sources={STOCK: exchange},
                calendars=calendars,
                since=FACTS.start,
                executor=run_sequential,
            )
            return SessionDeps(
                source=source, time=SimulatedClock(FACTS.start), answers=cache, load_student=load
            )

        with open_session(folder, NAME, parts) as paper:
            paper.run()


@pytest.mark.slow
def test_a_split_that_its_source_states_takes_effect_before_the_open(tmp_path, scripted):
    exchange = Exchange()
    watch(tmp_path, exchange)
    (announced,) = read_rows(tmp_path, "action_announced")
    assert (announced.payload["author"], announced.payload["value"]) == ("exchange", 10.0)
    assert read_digests(tmp_path)["fills"] == read_digests(scripted)["fills"]
    assert check_replay(tmp_path).equal
    sessions = [bar for bar in FACTS.bars[STOCK] if bar.opens_at > FACTS.start]
    assert exchange.asked == sorted(at for bar in sessions for at in (bar.opens_at, bar.closes_at))


@pytest.mark.slow
def test_a_source_that_fails_is_asked_again_and_its_split_is_applied_late(tmp_path):
    watch(tmp_path, Exchange(fails_until=EX + timedelta(hours=1)))
    (row,) = read_rows(tmp_path, "split")
    assert row.as_of == EX
    assert check_replay(tmp_path).equal


def test_a_source_does_not_overrule_what_a_person_took_back(fifth_day):
    announce(fifth_day, 1.0)
    watch(fifth_day, Exchange())
    assert len(read_rows(fifth_day, "action_announced")) == 1
    assert read_rows(fifth_day, "split") == []


def test_a_dividend_is_paid_on_what_was_held_before_its_day(tmp_path):
    replay_until(tmp_path, session_opens(STOCK)[8])
    held = positions(tmp_path)[STOCK]
    cash = read_status(tmp_path, NAME, utc_now())["cash"]
    announce(tmp_path, 0.5, on=session_opens(STOCK)[8], action=ActionKind.DIVIDEND)
    replay(tmp_path, facts=AS_TRADED, ahead=1, stop=lambda: bool(read_rows(tmp_path, "dividend")))
    bought = sum(
        row.payload["size"]
        for row in read_rows(tmp_path, "fill")
        if row.payload["symbol"] == STOCK and row.as_of >= session_opens(STOCK)[8]
    )
    assert read_status(tmp_path, NAME, utc_now())["cash"] == pytest.approx(cash + 0.5 * (held - bought))


def test_the_newest_announcement_of_a_day_counts_and_one_to_one_takes_it_back(fifth_day):
    announce(fifth_day, 4.0)
    announce(fifth_day, 1.0)
    announce(fifth_day, 0.5, on=session_opens(STOCK)[7], action=ActionKind.DIVIDEND)
    announce(fifth_day, 0.25, on=session_opens(STOCK)[7], action=ActionKind.DIVIDEND)
    replay(fifth_day, facts=FACTS, ahead=1)
    assert read_rows(fifth_day, "split") == []
    assert [row.payload["amount"] for row in read_rows(fifth_day, "dividend")] == [0.25]


def test_a_day_is_the_one_that_runs_or_comes_next_unless_it_is_named(fifth_day):
    reached = read_rows(fifth_day, "progress")[-1].as_of
    coming = next(bar for bar in FACTS.bars[STOCK] if bar.closes_at > reached)
    assert announce(fifth_day, on=None)["effective_at"] == coming.opens_at
    assert announce(fifth_day, symbol=COINS[0], on=date(2023, 1, 20))["effective_at"] == datetime(
        2023, 1, 20, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"symbol": STOCK[:-1]}, f"does not trade .*did you mean {STOCK}"),
        ({"on": date(2023, 1, 14)}, "no session on that day; the next is 2023-01-17"),
        ({"on": date(2022, 12, 1)}, "before session trial began"),
        ({"on": date(9999, 1, 1)}, "does not have that day"),
        ({"action": ActionKind.DIVIDEND, "value": math.inf}, "dividend inf is not an amount above zero"),
    ],
)
def test_what_cannot_take_effect_is_refused_in_one_line(fifth_day, change, message):
    with pytest.raises(UsageError, match=message) as refused:
        announce(fifth_day, **change)
    assert "\n" not in str(refused.value)
    assert read_rows(fifth_day, "action_announced") == []


def test_what_took_effect_is_not_announced_again_and_a_session_that_ended_takes_nothing(fifth_day, session):
    announce(fifth_day)
    replay_until(fifth_day, EX + timedelta(hours=8))
    with pytest.raises(UsageError, match="has taken effect in session trial already"):
        announce(fifth_day, 20.0)
    with pytest.raises(UsageError, match="has finished"):
        announce(session)
    with open_journal(session) as journal:
        assert not list(journal.read(kinds=("action_announced",)))


@pytest.mark.parametrize(
    ("text", "ratio"),
    [("10:1", 10), ("1:8", 0.125), ("3/2", 1.5), ("5-for-4", 1.25), ("2 for 1", 2), ("4", 4)],
)
def test_a_ratio_is_new_units_for_old_ones(text, ratio):
    assert parse_ratio(text) == ratio


@pytest.mark.parametrize("text", ["", "0:1", "1:0", "-2:1", "two", "1e9", "nan", "5000:1", "2:1:1"])
def test_another_ratio_is_refused(text):
    with pytest.raises(UsageError, match="10:1 for ten new shares"):
        parse_ratio(text)


def test_the_commands_state_what_is_journaled_and_when_it_takes_effect(fifth_day, capsys):
    folder = ["--data-dir", str(fifth_day)]
    assert run(["paper", "split", NAME, STOCK, "10:1", "--on", f"{EX:%Y-%m-%d}", *folder]) == 0
    assert capsys.readouterr().out == (
        f"session trial: {STOCK}, split, 10 for 1, is journaled for the open of {EX:%Y-%m-%d %H:%M} UTC; "
        "the session is not running and does so when it is started\n"
    )
    assert run(["paper", "dividend", NAME, STOCK, "0.25", "--json", *folder]) == 0
    stated = json.loads(capsys.readouterr().out)
    assert (stated["action"], stated["value"], stated["late"]) == ("dividend", 0.25, False)
    assert run(["paper", "status", NAME, *folder]) == 0
    shown = capsys.readouterr().out
    assert f"{STOCK}, split, 10 for 1, at the open of {EX:%Y-%m-%d %H:%M} UTC" in shown
    assert f"{STOCK}, dividend of 0.25, at the open of" in shown
    assert run(["paper", "split", NAME, STOCK, "1:1", "--on", f"{EX:%Y-%m-%d}", *folder]) == 0
    assert "taken back" in capsys.readouterr().out
    for words in (
        ["split", NAME, STOCK, "0:1"],
        ["dividend", NAME, STOCK, "nan"],
        ["dividend", NAME, STOCK, "-1"],
    ):
        assert run(["paper", *words, *folder]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert len(read_rows(fifth_day, "action_announced")) == 3


def test_a_bar_in_new_units_is_what_an_exchange_states():
    plain = next(bar for bar in FACTS.bars[STOCK] if bar.opens_at == EX)
    assert next(bar for bar in AS_TRADED.bars[STOCK] if bar.opens_at == EX) == split_bar(plain, 10.0)
