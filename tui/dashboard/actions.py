"""What a person may do from the dashboard: said beforehand, done through one door each, answered.

A session's commands go into its journal, the champion is changed by the registry, and training, backtests and
replays are commands of their own in a process that outlives the dashboard. Nothing else is ever written.
"""

import getpass
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from engine.errors import ClosecallError
from engine.journal.events import command_event
from engine.trading.risk import Command, CommandKind
from strategies.monitor.catalog import Sort
from strategies.monitor.descriptions import journal_line
from strategies.monitor.follower import Reader
from strategies.monitor.journal_reader import Seen
from strategies.monitor.views import CallView, JournalView
from training.reward_report import Rewards, reckon, reward_in
from tui.dashboard.view_state import Search, Sight

_READONLY = "this dashboard was started with --readonly: it shows actions and does none; start it without"

_EFFECTS = {
    "pause": "It gives no order until it is resumed; orders that wait are withdrawn; what is held stays.",
    "resume": "It trades again, and has forgiven whatever limit had stopped it.",
    "reduce": "It takes no new risk: positions may only become smaller.",
    "halt": "It gives no order at all until a person resumes it; orders that wait are withdrawn.",
    "flatten": "It is halted, and every position is ordered closed at its symbol's next open.",
}


def author() -> str:
    """Who acts: the user of this system, at the dashboard."""
    try:
        return f"{getpass.getuser()[:60]} (dashboard)"
    except (OSError, KeyError):
        return "dashboard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What an action came to. `event` is the number of the command in the journal `key`, to be answered.

    `after` waits for the end of what was started, and says how it ended.
    """

    said: str
    key: str = ""
    event: int | None = None
    after: Callable[[], str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """An action that can be confirmed: its name, what it will do, and how it is done.

    `refused` says why it cannot be, and is empty where it can. `do` is given a person's reason, which is
    kept where `on_record`.
    """

    name: str
    will: str
    refused: str = ""
    on_record: bool = True
    do: Callable[[str], Done] = lambda _reason: Done(said="")


def deed(name: str, sight: Sight, clock: Callable[[], datetime]) -> Deed:
    """The action of that name upon what is chosen."""
    made = _made(name, sight, clock)
    if sight.readonly:
        return Deed(name=name, will=made.will, refused=_READONLY)
    return made


def _made(name: str, sight: Sight, clock: Callable[[], datetime]) -> Deed:
    if name in _EFFECTS:
        return _command(name, sight, clock)
    if name in ("promote", "rollback"):
        return _registry(name, sight, clock)
    return _process(name, sight)


def _command(name: str, sight: Sight, clock: Callable[[], datetime]) -> Deed:
    one = sight.journal
    if one is None or one.place.sort is not Sort.SESSION:
        what = "nothing" if one is None else f"{one.place.sort} {one.place.name}"
        said = f"{name} is for paper sessions, and {what} is chosen; choose a session in 1 Overview"
        return Deed(name=name, will=_EFFECTS[name], refused=said)
    if one.state == "finished":
        return Deed(
            name=name,
            will=_EFFECTS[name],
            refused=f"session {one.place.name} has finished; it obeys no command",
        )
    idle = "" if one.held else " No process has it open now: it will obey when it goes on."
    held = ", ".join(f"{p.symbol} {p.size:+,.6g}" for p in one.positions[:6] if p.size) or "nothing"
    will = (
        f"{name} goes into the journal of session {one.place.name}. {_EFFECTS[name]} It holds {held}.{idle}"
    )
    return Deed(name=name, will=will, do=lambda why: tell(one.place.path, one.place.key, name, why, clock()))


def tell(path: Path, key: str, name: str, why: str, at: datetime) -> Done:
    """Journal one command for the session at `path`. Raises ClosecallError if that cannot be done."""
    from engine.journal.journal import Journal
    from strategies.monitor.journal_reader import JournalFile

    file = JournalFile(path)
    try:
        file.newest()
        session = file.session
    finally:
        file.close()
    command = Command(at=at, kind=CommandKind(name), author=author(), text=why[:400])
    with Journal.open(path, session, lock_timeout=2.0) as journal:
        number = journal.append([command_event(command)], at)[0]
    return Done(said=f"{name} is event {number}; waiting for the session's answer", key=key, event=number)


def _registry(name: str, sight: Sight, clock: Callable[[], datetime]) -> Deed:
    registry, home = sight.scene.registry, Path(sight.scene.data_dir)
    champions = dict(registry.champions) if registry else {}
    if name == "rollback":
        will = "The champion stands down, and the one before it, or the bare base model, speaks from now on."
        if not champions:
            return Deed(
                name=name, will=will, refused="no student has a champion; there is nothing to roll back"
            )
        now = ", ".join(f"{adapter} of {student}" for student, adapter in champions.items())
        return Deed(
            name=name, will=f"{will} Champion now: {now}.", do=lambda why: roll_back(home, why, clock())
        )
    will = "The chosen adapter becomes the champion and speaks from now on; running sessions adopt it."
    if registry is None or not registry.adapters:
        return Deed(name=name, will=will, refused="no adapter is on record; closecall retrain enters one")
    one = registry.adapters[sight.cursor("adapters", len(registry.adapters))]
    if one.status == "champion":
        return Deed(name=name, will=will, refused=f"{one.name} is the champion already")
    before = champions.get(one.student, "the bare base model")
    will = (
        f"{one.name} becomes the champion of {one.student} in place of {before}; running sessions adopt it. "
    )
    will += f"It is a {one.status}; the last word on it: {one.verdict or 'none'}."
    will += f" A guard spoke in its training: {one.guard}." if one.guard else ""
    return Deed(name=name, will=will, do=lambda why: promote(home, one.name, why, clock()))


def promote(data_dir: Path, adapter: str, why: str, at: datetime) -> Done:
    """Make an adapter champion. Raises ClosecallError where the registry refuses."""
    from llm.registry.registry import Registry

    with Registry.open(data_dir, lock_timeout=5.0) as registry:
        change = registry.promote(adapter, at=at, by=author(), reason=why or "promoted by hand")
    return Done(
        said=f"{change.name} is the champion of {change.student} (event {change.seq} of the registry)"
    )


def roll_back(data_dir: Path, why: str, at: datetime) -> Done:
    """Go back to the champion before. Raises ClosecallError where there is none."""
    from llm.registry.registry import Registry

    with Registry.open(data_dir, lock_timeout=5.0) as registry:
        change = registry.rollback(at=at, by=author(), reason=why or "rolled back by hand")
    speaks = change.champion or "the bare base model"
    return Done(said=f"{speaks} speaks for {change.student} again (event {change.seq} of the registry)")


_STARTS: Mapping[str, tuple[str, ...]] = {
    "backtest": ("backtest",),
    "replay": ("paper", "start", "--replay"),
    "retrain": ("retrain",),
}

_LIVED = (Sort.RUN, Sort.SESSION, Sort.TRAINING)
"""Whose outcomes a round can learn from."""


def _process(name: str, sight: Sight) -> Deed:
    words, one = list(_STARTS[name]), sight.journal
    will = {
        "backtest": "A backtest of the shipped student on a simulated market begins; no network, no money.",
        "replay": "A paper session over simulated days begins, in simulated time; no network, no money.",
        "retrain": "One round: due challengers meet the gate, then one is trained and entered.",
    }[name]
    if name == "retrain" and one is not None and one.place.sort in _LIVED:
        words += ["--from", one.place.name]
        if one.place.sort is Sort.SESSION and one.own_time:
            will += " The replay itself adopts nothing from it: it has a registry of its own."
    line = "closecall " + " ".join(words)
    where = f"It runs as a process of its own: {line} --data-dir {sight.scene.data_dir}"
    words += ["--data-dir", sight.scene.data_dir]
    return Deed(name=name, will=f"{will} {where}", on_record=False, do=lambda _why: start(words, line))


def start(words: list[str], line: str) -> Done:
    """Start a command that outlives the dashboard. `after` waits for its end and says how it ended."""
    errors = tempfile.TemporaryFile()  # noqa: SIM115  # `after` closes it
    process = subprocess.Popen(  # noqa: S603  # our own command, its words from a fixed table
        [sys.executable, "-c", "from tui.cli.main import main; main()", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,  # no pipe: it would break when the dashboard ends
        start_new_session=True,
    )

    def after() -> str:
        code = process.wait()
        with errors:
            errors.seek(0)
            last = errors.read()[-2000:].decode(errors="replace").strip().splitlines()[-1:]
        return f"{line} has ended" if code == 0 else f"{line} ended with code {code}: {''.join(last)[:300]}"

    return Done(said=f"{line} runs as process {process.pid}", after=after)


def carried_out(deed_: Deed, why: str) -> Done:
    """Do it, and say what went wrong if something did."""
    if deed_.refused:
        return Done(said=f"{deed_.name}: {deed_.refused}")
    try:
        return deed_.do(why)
    except (ClosecallError, OSError, ValueError) as error:
        return Done(said=f"{deed_.name} failed: {error}")


_MOST_FOUND = 300


class Errands:
    """Runs errands; `later` brings a function and its values to the screen's loop from any thread."""

    def __init__(self, reader: Reader, later: Callable[..., None]) -> None:
        self._reader = reader
        self._later = later
        self._searching = threading.Event()
        self._reckoning = threading.Lock()
        self._rewards: tuple[str, int, Rewards] = ("", 0, {})

    def event(self, key: str, seq: int, answer: Callable[[Seen | None], None]) -> None:
        """Fetch one event whole."""
        self._reader.fetch(key, seq, lambda row: self._later(answer, row))

    def search(self, key: str, text: str, kind: str, answer: Callable[[Search], None]) -> None:
        """Look through a whole journal; what was found so far is told again and again."""
        self.stop_search()

        def found(rows: list[Seen], reached: int, ended: bool) -> None:  # noqa: FBT001  # of `Reader.search`
            lines = tuple(journal_line(row) for row in rows)
            self._later(answer, Search(text=text, kind=kind, rows=lines, reached=reached, ended=ended))

        self._searching = self._reader.search(key, kind, text, _MOST_FOUND, found)

    def stop_search(self) -> None:
        """Look no further."""
        self._searching.set()

    def reward(
        self, journal: JournalView, call: CallView, answer: Callable[[int, dict[str, object]], None]
    ) -> None:
        """Reckon what a call was worth; the rewards of one run are reckoned once."""

        def work() -> None:
            with self._reckoning:
                if self._rewards[:2] != (journal.place.key, journal.newest):
                    self._rewards = journal.place.key, journal.newest, reckon(journal)
                found = reward_in(self._rewards[2], call)
            self._later(answer, call.seq, found)

        _in_thread(work)

    def carry_out(self, planned: Deed, why: str, answer: Callable[[str, Done], None]) -> None:
        """Do what was confirmed; for what goes on by itself, tell its end too."""

        def work() -> None:
            done = carried_out(planned, why)
            self._later(answer, planned.name, done)
            if done.after is not None:
                self._later(answer, planned.name, Done(said=done.after()))

        _in_thread(work)


def _in_thread(work: Callable[[], None]) -> None:
    """In a thread that does not keep the program alive."""
    threading.Thread(target=work, daemon=True).start()
