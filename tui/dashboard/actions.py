"""The actions of the dashboard: each is described, confirmed and then done through one function.

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
from engine.journal.events import encode
from engine.trading.risk import Command, CommandKind
from strategies.monitor.catalog import JournalType
from strategies.monitor.descriptions import describe
from strategies.monitor.follower import JournalFollower
from strategies.monitor.journal_reader import EventRow
from strategies.monitor.views import CallView, JournalView
from training.reward_report import Rewards, compute_rewards, get_reward
from tui.dashboard.view_state import Search, ViewState

_READONLY = "this dashboard was started with --readonly: it shows actions and does none; start it without"

_EFFECTS = {
    "resume": "Trading resumes; limits that were tripped are reset.",
    "reduce": "It takes no new risk: positions may only become smaller.",
    "halt": "It gives no order until it is resumed; waiting orders are cancelled; positions stay.",
    "flatten": "It is halted, and every position is ordered closed at its symbol's next open.",
}


def author() -> str:
    """Who acts: the user of this system, at the dashboard."""
    try:
        return f"{getpass.getuser()[:60]} (dashboard)"
    except (OSError, KeyError):
        return "dashboard"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResult:
    """What an action came to. `event` is the number of the command in the journal `key`, to be answered.

    `after` waits for the end of what was started, and says how it ended.
    """

    message: str
    key: str = ""
    event: int | None = None
    after: Callable[[], str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """An action that can be confirmed: its name, what it will do, and how it is done.

    `refused` says why it cannot be, and is empty where it can. `perform` is given a person's reason, which is
    kept where `find_trials`.
    """

    name: str
    description: str
    refusal: str = ""
    on_record: bool = True
    perform: Callable[[str], ActionResult] = lambda _reason: ActionResult(message="")


def plan_action(name: str, state: ViewState, clock: Callable[[], datetime]) -> Action:
    """The action of that name upon what is chosen."""
    action = _build_action(name, state, clock)
    if state.readonly:
        return Action(name=name, description=action.description, refusal=_READONLY)
    return action


def _build_action(name: str, state: ViewState, clock: Callable[[], datetime]) -> Action:
    if name in _EFFECTS:
        return _command(name, state, clock)
    if name in ("promote", "rollback"):
        return _registry(name, state, clock)
    return _process(name, state)


def _command(name: str, state: ViewState, clock: Callable[[], datetime]) -> Action:
    journal = state.journal
    if journal is None or journal.place.type is not JournalType.SESSION:
        what = "nothing" if journal is None else f"{journal.place.type} {journal.place.name}"
        refusal = f"{name} is for paper sessions, and {what} is chosen; choose a session in 1 Overview"
        return Action(name=name, description=_EFFECTS[name], refusal=refusal)
    if journal.state == "finished":
        return Action(
            name=name,
            description=_EFFECTS[name],
            refusal=f"session {journal.place.name} has finished; it obeys no command",
        )
    idle = "" if journal.held else " No process has it open now: it will obey when it is started."
    held = ", ".join(f"{p.symbol} {p.size:+,.6g}" for p in journal.positions[:6] if p.size) or "nothing"
    will = f"{name} goes into the journal of session {journal.place.name}. {_EFFECTS[name]}"
    will += f" It holds {held}.{idle}"
    return Action(
        name=name,
        description=will,
        perform=lambda why: send_command(journal.place.path, journal.place.key, name, why, clock()),
    )


def send_command(path: Path, key: str, name: str, why: str, at: datetime) -> ActionResult:
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
        number = journal.append([encode(command, at)], at)[0]
    return ActionResult(
        message=f"{name} is event {number}; waiting for the session's answer", key=key, event=number
    )


def _registry(name: str, state: ViewState, clock: Callable[[], datetime]) -> Action:
    registry, home = state.snapshot.registry, Path(state.snapshot.data_dir)
    champions = dict(registry.champions) if registry else {}
    if name == "rollback":
        will = "The champion stands down, and the one before it, or the bare base model, speaks from now on."
        if not champions:
            return Action(
                name=name,
                description=will,
                refusal="no student has a champion; there is nothing to roll back",
            )
        now = ", ".join(f"{adapter} of {student}" for student, adapter in champions.items())
        return Action(
            name=name,
            description=f"{will} Champion now: {now}.",
            perform=lambda why: roll_back(home, why, clock()),
        )
    will = "The chosen adapter becomes the champion and speaks from now on; running sessions adopt it."
    if registry is None or not registry.adapters:
        return Action(
            name=name, description=will, refusal="no adapter is on record; train one with: closecall retrain"
        )
    adapter = registry.adapters[state.cursor("adapters", len(registry.adapters))]
    if adapter.status == "champion":
        return Action(name=name, description=will, refusal=f"{adapter.name} is the champion already")
    before = champions.get(adapter.student, "the bare base model")
    will = f"{adapter.name} becomes the champion of {adapter.student} in place of {before}; "
    will += f"running sessions adopt it. It is a {adapter.status}; "
    will += f"the last word on it: {adapter.verdict or 'none'}."
    will += f" A guard failed in its training: {adapter.guard}." if adapter.guard else ""
    return Action(name=name, description=will, perform=lambda why: promote(home, adapter.name, why, clock()))


def promote(data_dir: Path, adapter: str, why: str, at: datetime) -> ActionResult:
    """Make an adapter champion. Raises ClosecallError where the registry refuses."""
    from llm.registry.registry import Registry

    with Registry.open(data_dir, lock_timeout=5.0) as registry:
        change = registry.promote(adapter, at=at, by=author(), reason=why or "promoted by hand")
    return ActionResult(
        message=f"{change.name} is the champion of {change.student} (event {change.seq} of the registry)"
    )


def roll_back(data_dir: Path, why: str, at: datetime) -> ActionResult:
    """Go back to the champion before. Raises ClosecallError where there is none."""
    from llm.registry.registry import Registry

    with Registry.open(data_dir, lock_timeout=5.0) as registry:
        change = registry.rollback(at=at, by=author(), reason=why or "rolled back by hand")
    speaks = change.champion or "the bare base model"
    return ActionResult(
        message=f"{speaks} speaks for {change.student} again (event {change.seq} of the registry)"
    )


_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "backtest": ("backtest",),
    "replay": ("paper", "start", "--replay"),
    "retrain": ("retrain",),
}

_TRAINABLE_TYPES = (JournalType.RUN, JournalType.SESSION, JournalType.TRAINING)
"""Whose outcomes a round can learn from."""


def _process(name: str, state: ViewState) -> Action:
    words, journal = list(_COMMANDS[name]), state.journal
    will = {
        "backtest": "A backtest of the shipped student on a simulated market begins; no network, no money.",
        "replay": "A paper session over simulated days begins, in simulated time; no network, no money.",
        "retrain": "One round: due challengers meet the gate, then one is trained and entered.",
    }[name]
    if name == "retrain" and journal is not None and journal.place.type in _TRAINABLE_TYPES:
        words += ["--from", journal.place.name]
        if journal.place.type is JournalType.SESSION and journal.own_time:
            will += " The replay itself adopts nothing from it: it has a registry of its own."
    line = "closecall " + " ".join(words)
    where = f"It runs as a process of its own: {line} --data-dir {state.snapshot.data_dir}"
    words += ["--data-dir", state.snapshot.data_dir]
    return Action(
        name=name,
        description=f"{will} {where}",
        on_record=False,
        perform=lambda _why: start_command(words, line),
    )


def start_command(words: list[str], line: str) -> ActionResult:
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

    return ActionResult(message=f"{line} runs as process {process.pid}", after=after)


def execute(action: Action, why: str) -> ActionResult:
    """Do it, and say what went wrong if something did."""
    if action.refusal:
        return ActionResult(message=f"{action.name}: {action.refusal}")
    try:
        return action.perform(why)
    except (ClosecallError, OSError, ValueError) as error:
        return ActionResult(message=f"{action.name} failed: {error}")


_MAX_FOUND = 300


class BackgroundTasks:
    """Runs errands; `later` brings a function and its values to the screen's loop from any thread."""

    def __init__(self, reader: JournalFollower, later: Callable[..., None]) -> None:
        self._reader = reader
        self._later = later
        self._searching = threading.Event()
        self._computing_rewards = threading.Lock()
        self._rewards: tuple[str, int, Rewards] = ("", 0, {})

    def fetch_event(self, key: str, seq: int, answer: Callable[[EventRow | None], None]) -> None:
        """Fetch one event whole."""
        self._reader.fetch(key, seq, lambda row: self._later(answer, row))

    def search(self, key: str, text: str, kind: str, answer: Callable[[Search], None]) -> None:
        """Search a whole journal; `answer` gets the results so far, several times."""
        self.stop_search()

        def on_found(rows: list[EventRow], reached: int, ended: bool) -> None:  # noqa: FBT001  # of `Reader.search`
            lines = tuple(describe(row) for row in rows)
            self._later(answer, Search(text=text, kind=kind, rows=lines, reached=reached, ended=ended))

        self._searching = self._reader.search(key, kind, text, _MAX_FOUND, on_found)

    def stop_search(self) -> None:
        """Look no further."""
        self._searching.set()

    def compute_reward(
        self, journal: JournalView, call: CallView, answer: Callable[[int, dict[str, object]], None]
    ) -> None:
        """Compute the reward of a forecast; the rewards of one run are computed once."""

        def work() -> None:
            with self._computing_rewards:
                if self._rewards[:2] != (journal.place.key, journal.newest):
                    self._rewards = journal.place.key, journal.newest, compute_rewards(journal)
                reward = get_reward(self._rewards[2], call)
            self._later(answer, call.seq, reward)

        _run_in_thread(work)

    def execute(self, planned: Action, why: str, answer: Callable[[str, ActionResult], None]) -> None:
        """Execute a confirmed action; of a process that was started, report its end too."""

        def work() -> None:
            done = execute(planned, why)
            self._later(answer, planned.name, done)
            if done.after is not None:
                self._later(answer, planned.name, ActionResult(message=done.after()))

        _run_in_thread(work)


def _run_in_thread(work: Callable[[], None]) -> None:
    """In a thread that does not keep the program alive."""
    threading.Thread(target=work, daemon=True).start()
