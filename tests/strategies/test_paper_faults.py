import sqlite3
import sys
from datetime import timedelta

import pytest

from engine.errors import UsageError
from engine.journal.events.inputs import encode_slice
from engine.journal.journal import Event
from engine.timeline import build_slices
from engine.trading.risk import RiskLimits
from llm.answer_cache import AnswerCache
from llm.student import LocalStudentClient, StudentInterrupted, StudentTimeout, StudentUnavailable
from strategies.paper.clock import SystemClock
from strategies.paper.files import create_session, open_session, session_folder
from strategies.paper.forecasting import ARRIVED_LATE, INTERRUPTED, TIMED_OUT, UNAVAILABLE
from strategies.paper.replay import ReplaySource
from strategies.paper.session import SessionDeps
from strategies.run_spec import build_run_spec
from strategies.runs import JOURNAL
from tests.support.own_processes import started
from tests.support.paper_sessions import (
    COINS,
    CONFIG,
    FACTS,
    NAME,
    First,
    check_replay,
    command_at,
    day,
    open_journal,
    read_digests,
    read_rows,
    replay,
    run_in_child,
)


class Clock:
    """A machine's clock that only sleeping moves, and that can be set; calls `woken` after each sleep."""

    def __init__(self, woken=lambda: None):
        self.at = FACTS.start
        self.woken = woken

    def __call__(self):
        return self.at

    def sleep(self, seconds):
        # The session looks up five times a second; these tests have no time for that.
        self.at += timedelta(seconds=seconds if seconds != 0.2 else 1800)
        self.woken()


class Timely(LocalStudentClient):
    """A student in time, but for what `trouble` raises at its instants."""

    def __init__(self, trouble):
        super().__init__(First())
        self.trouble = trouble

    def answers(self, prompts, seconds, interrupted):
        self.trouble(prompts, interrupted)
        return super().answers(prompts, seconds, interrupted)


def live(
    folder, *, student=None, clock=None, source=None, limits=None, lock_timeout=0.05, days=24, stop=None
):
    """A session by a clock that is not simulated, on facts that come when their time has come."""
    clock = clock or Clock()
    settings = build_run_spec(CONFIG, FACTS, First(), limits or RiskLimits())
    path = session_folder(folder, NAME) / JOURNAL
    if not path.exists():
        create_session(folder, NAME, settings, [], at=FACTS.start, about={})
    end = day(days)
    with AnswerCache(folder / "ledger.sqlite") as ledger:

        def parts(journal):
            return SessionDeps(
                source=source(journal) if source else ReplaySource(journal, FACTS, (), 1),
                time=SystemClock(clock, clock.sleep),
                answers=ledger,
                load_student=lambda _adopted: student or LocalStudentClient(First()),
                stop=stop or (lambda: clock.at > end),
            )

        with open_session(folder, NAME, parts, lock_timeout=lock_timeout) as session:
            session.run()
    return session


def forecasts(folder):
    return [row.payload for row in read_rows(folder, "forecast")]


def faults(folder):
    return [(row.payload["part"], row.payload["state"]) for row in read_rows(folder, "fault")]


def during(prompts, first, last):
    """Whether the prompts are of closes between two days of the session."""
    at = prompts[0].split("\n")[-1].split()[-1]
    return day(first).isoformat() <= at <= day(last).isoformat()


@pytest.mark.slow
def test_a_session_by_a_real_clock_trades_as_its_replay(tmp_path):
    live(tmp_path / "live", days=26)
    replay(tmp_path / "replay")
    names = ("forecasts", "fills")
    one, other = read_digests(tmp_path / "live"), read_digests(tmp_path / "replay")
    assert [one[name] for name in names] == [other[name] for name in names]
    assert check_replay(tmp_path / "live").equal
    waits = {row.payload["for"] for row in read_rows(tmp_path / "live", "waiting")}
    assert {"the next input", f"the student's calls on {', '.join(COINS)}"} <= waits


@pytest.mark.parametrize(
    ("error", "reason"), [(StudentTimeout, TIMED_OUT), (StudentUnavailable, UNAVAILABLE)]
)
def test_a_student_that_hangs_or_dies_takes_no_new_position_and_comes_back(tmp_path, error, reason):
    def trouble(prompts, _):
        if during(prompts, 9, 14):
            raise error("no answer")

    session = live(tmp_path, student=Timely(trouble), limits=RiskLimits(abstention_window=8))
    reasons = [one["abstention"] for one in forecasts(tmp_path)]
    assert reasons.count(reason) >= 10
    assert reasons[-1] is None
    assert faults(tmp_path) == [("student", "down"), ("student", "up")]
    states = [row.payload["now"] for row in read_rows(tmp_path, "risk")]
    assert states == ["reducing", "active"]
    decided = [row.payload["decided_at"] for row in read_rows(tmp_path, "order")]
    assert not [at for at in decided if day(9).isoformat()[:19] <= at[:19] <= day(14).isoformat()[:19]]
    assert session.faults.down == {}


@pytest.mark.slow
def test_halt_works_while_the_student_hangs(tmp_path):
    def trouble(prompts, interrupted):
        if during(prompts, 12, 12) and not interrupted():
            with open_journal(tmp_path) as journal:
                journal.append([command_at("halt", day(12, minutes=1))], day(12, minutes=1))
            assert interrupted()
            raise StudentInterrupted("a command came")

    live(tmp_path, student=Timely(trouble), days=15)
    stopped = [one for one in forecasts(tmp_path) if one["abstention"] == INTERRUPTED]
    assert {one["as_of"] for one in stopped} == {"2023-01-13T00:00:00Z"}
    (halted,) = read_rows(tmp_path, "risk")
    assert (halted.payload["now"], halted.payload["author"]) == ("halted", "ann")
    fills = [row.payload["at"] for row in read_rows(tmp_path, "fill")]
    assert max(fills) < "2023-01-13"
    assert check_replay(tmp_path).equal


class Killed(Exception):
    """Stands for the death of the process."""


@pytest.mark.slow
@pytest.mark.parametrize(("minutes", "halted", "reason"), [(2, True, INTERRUPTED), (31, False, ARRIVED_LATE)])
def test_a_close_found_undecided_is_abstained_where_a_halt_or_its_time_came(
    tmp_path, minutes, halted, reason
):
    def dies(prompts, _):
        if during(prompts, 12, 12):
            raise Killed

    with pytest.raises(Killed):
        live(tmp_path, student=Timely(dies))
    if halted:
        with open_journal(tmp_path) as journal:
            journal.append([command_at("halt", day(12, minutes=1))], day(12, minutes=1))
    clock = Clock()
    clock.at = day(12, minutes=minutes)
    live(tmp_path, clock=clock, days=13)
    abstained = [call["as_of"] for call in forecasts(tmp_path) if call["abstention"] == reason]
    assert abstained == ["2023-01-13T00:00:00Z"] * 2


@pytest.mark.slow
def test_a_locked_journal_is_waited_for_and_named(tmp_path):
    start = build_run_spec(CONFIG, FACTS, First(), RiskLimits())
    create_session(tmp_path, NAME, start, [], at=FACTS.start, about={})
    other = sqlite3.connect(session_folder(tmp_path, NAME) / JOURNAL, isolation_level=None, timeout=5)
    waits = 0

    def woken():
        nonlocal waits
        if clock.at >= day(10) and waits == 0:
            other.execute("BEGIN IMMEDIATE")
            waits = 1
        elif 0 < waits < 5:
            waits += 1
            clock.at -= timedelta(seconds=1795)
            if waits == 5:
                other.execute("ROLLBACK")

    clock = Clock(woken)
    live(tmp_path, clock=clock, days=26)
    other.close()
    replay(tmp_path / "replay")
    assert waits == 5
    assert ("journal", "down") in faults(tmp_path)
    assert ("journal", "up") in faults(tmp_path)
    assert read_digests(tmp_path)["fills"] == read_digests(tmp_path / "replay")["fills"]


@pytest.mark.slow
def test_a_full_disk_is_waited_for_and_named(tmp_path):
    limited = []

    def source(journal):
        limited.append(journal)
        return ReplaySource(journal, FACTS, (), 1)

    def pages(limit):
        connection = limited[0]._store._connection
        connection.exec_driver_sql(f"PRAGMA max_page_count = {limit}")
        connection.rollback()

    waits = 0

    def woken():
        nonlocal waits
        if clock.at >= day(10) and waits < 3:
            waits += 1
            pages(1 if waits < 3 else 1_000_000)  # no page more than there are

    clock = Clock(woken)
    live(tmp_path, clock=clock, source=source, days=26)
    replay(tmp_path / "replay")
    assert [row.payload["reason"] for row in read_rows(tmp_path, "fault") if "full" in row.payload["reason"]]
    assert read_digests(tmp_path)["fills"] == read_digests(tmp_path / "replay")["fills"]


@pytest.mark.slow
@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_jumps_is_named_and_nothing_is_filled_wrongly(tmp_path, hours):
    jumped = []

    def woken():
        if clock.at >= day(10) and not jumped:
            jumped.append(1)
            clock.at += timedelta(hours=hours)

    clock = Clock(woken)
    live(tmp_path, clock=clock, days=26)
    said = [row.payload["reason"] for row in read_rows(tmp_path, "fault") if row.payload["part"] == "clock"]
    assert len(said) == 1
    assert ("ahead" if hours > 0 else "back") in said[0]
    fills = [row.payload for row in read_rows(tmp_path, "fill")]
    assert all(fill["at"] >= fill["decided_at"] for fill in fills)
    assert check_replay(tmp_path).equal


class Late:
    """A source whose slices of some days come late, their opens without a price that anybody saw."""

    def __init__(self, journal, first, last, observed):
        self.journal, self.first, self.last, self.observed = journal, first, last, observed
        self.slices = list(build_slices(FACTS.traded_bars, FACTS.news))

    def step(self, now):
        if not self.slices:
            return None
        if self.slices[0].as_of > now:
            return self.slices[0].as_of
        slice_ = self.slices.pop(0)
        late = day(self.first) < slice_.as_of < day(self.last)
        seen = {symbol: [bar.open, now] if self.observed else None for symbol, bar in slice_.bars.items()}
        payload = encode_slice(slice_) | {"late": late, "observed": seen}
        self.journal.append([Event(kind="slice", as_of=slice_.as_of, payload=payload)], now)
        return now


@pytest.mark.slow
def test_late_slices_are_not_decided_on_and_their_opens_fill_only_at_prices_that_were_seen(tmp_path):
    for observed in (False, True):
        folder = tmp_path / str(observed)
        live(folder, source=lambda journal, seen=observed: Late(journal, 10.5, 12.7, seen), days=26)
        late = [one["as_of"] for one in forecasts(folder) if one["abstention"] == ARRIVED_LATE]
        assert {at[:10] for at in late} == {"2023-01-11", "2023-01-12", "2023-01-13"}
        missed = [row.payload for row in read_rows(folder, "order") if "too late" in row.payload["reason"]]
        assert bool(missed) is not observed or not missed
        assert check_replay(folder).equal


def test_two_processes_never_run_one_session(tmp_path):
    replay(tmp_path)

    def parts(_journal):
        raise AssertionError("the lock comes first")

    code = f"""
import sys; sys.path[:0] = {sys.path!r}
from pathlib import Path
from strategies.paper.lock import SessionLock
with SessionLock(Path({str(session_folder(tmp_path, NAME) / "session.lock")!r})):
    print("held", flush=True); sys.stdin.read()
"""
    with started([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(UsageError, match=f"runs already, in process {holder.pid}"),
            open_session(tmp_path, NAME, parts),
        ):
            pass
        holder.kill()
    assert run_in_child(lambda: replay(tmp_path)) == 0


def test_a_session_that_does_not_exist_or_exists_already_is_refused(tmp_path):
    replay(tmp_path)
    settings = build_run_spec(CONFIG, FACTS, First(), RiskLimits())
    with pytest.raises(UsageError, match="already"):
        create_session(tmp_path, NAME, settings, [], at=FACTS.start, about={})
    with (
        pytest.raises(UsageError, match="did you mean trial"),
        open_session(tmp_path, "trail", lambda _: None),
    ):
        pass
    with pytest.raises(UsageError, match="letters"):
        session_folder(tmp_path, "../escape")


def test_another_student_than_the_one_on_record_is_not_asked(tmp_path):
    stranger = First()
    stranger.fingerprint = "someone else"
    live(tmp_path, student=LocalStudentClient(stranger), days=12)
    assert {one["abstention"] for one in forecasts(tmp_path)} == {UNAVAILABLE}
    assert stranger.asked == []
