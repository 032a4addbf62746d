"""Small paper sessions in simulated time, with everything between slices that can happen."""

import os
import signal
import sys
import tempfile
import time
import traceback
from datetime import timedelta
from pathlib import Path

from students import DOWN, UP, RuleStudent

from engine.commands import Command, CommandKind, command_event
from engine.journal import Event, Journal
from engine.splits import Dividend, Split, corporate_event
from llm.ledger import Ledger
from strategies.config import load_config
from strategies.facts import gather
from strategies.paper.opening import session_folder
from strategies.paper.parity import check_parity, journaled, session_digests
from strategies.paper.replaying import replay_session
from strategies.paper.students import InProcess
from strategies.runs import JOURNAL
from tui.paper.lifeline import die_with_parent

NAME = "trial"
CONFIG = load_config(None, {"market": {"coins": 2, "stocks": 1, "days": 24}})
FACTS = gather(CONFIG, Path("unused"))
COINS = sorted(symbol for symbol, one in FACTS.instruments.items() if one.calendar == "24/7")
(STOCK,) = sorted(FACTS.instruments.keys() - set(COINS))


ADOPTION = {"fingerprint": "rule-2", "name": "second", "adapter": "two"}


def in_memory():
    """A folder in memory where there is one: processes are killed here, not the power."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


def day(number, **rest):
    """The start of a day of the session, counted from 0, and so many hours or minutes more."""
    return FACTS.start + timedelta(days=number, **rest)


def told(kind, at, text=""):
    """A command of a person's at a simulated instant."""
    return command_event(Command(at=at, kind=CommandKind(kind), author="ann", text=text))


def quoted(at, **prices):
    return Event(kind="quote", as_of=at, payload={"quotes": {s: [p, at] for s, p in prices.items()}})


def opens_of(symbol):
    """The opens of a symbol's sessions within the facts."""
    return [bar.opens_at for bar in FACTS.bars[symbol]]


def everything():
    """Commands, last prices, gaps, a split, a dividend and an adoption over the days of the facts."""
    return [
        told("pause", day(7, hours=3), "lunch"),
        told("resume", day(8, hours=3)),
        told("reduce", day(9, minutes=1)),
        told("resume", day(10, hours=8)),
        quoted(day(11, hours=5), **{COINS[0]: FACTS.bars[COINS[0]][10].close * 1.01}),
        Event(kind="gap", as_of=day(12, hours=2), payload={"symbol": COINS[1], "lacks": "official"}),
        corporate_event(Split(at=opens_of(STOCK)[9], symbol=STOCK, ratio=3.0)),
        corporate_event(Dividend(at=opens_of(STOCK)[11], symbol=STOCK, amount=0.25)),
        Event(kind="adopted", as_of=day(17, hours=1), payload=ADOPTION),
        told("flatten", day(19, hours=12), "out"),
        told("resume", day(21, hours=12)),
    ]


def last_move(prompt):
    """The last day's return, in percent, as a prompt shows it."""
    return float(prompt.split("\n")[0].split()[-1])


class First(RuleStudent):
    """Says up but after a bad day."""

    def __init__(self):
        super().__init__(lambda prompt: UP if last_move(prompt) > -2 else DOWN)


class Second(RuleStudent):
    """The student that is adopted: says down after a good day."""

    def __init__(self):
        super().__init__(lambda prompt: DOWN if last_move(prompt) > 1 else UP)
        self.fingerprint = "rule-2"


def load(adopted):
    return InProcess(Second() if adopted else First())


def replay(folder, script=(), name=NAME, facts=FACTS, **rest):
    """A replay into a folder, with a ledger of its own."""
    with Ledger(folder / "ledger.sqlite") as ledger:
        return replay_session(
            folder,
            name,
            CONFIG,
            facts,
            student=rest.pop("student", None) or First(),
            ledger=ledger,
            script=script,
            **{"load": load} | rest,
        )


def journal_of(folder, name=NAME):
    return Journal.open(session_folder(folder, name) / JOURNAL, name)


def digests_of(folder, name=NAME):
    """The digests of what the journal says was done."""
    with journal_of(folder, name) as journal:
        return session_digests(journaled(journal))


def rows_of(folder, *kinds, name=NAME):
    with journal_of(folder, name) as journal:
        return list(journal.read(kinds=kinds or None))


def parity_of(folder, name=NAME):
    with journal_of(folder, name) as journal:
        return check_parity(journal)


def _work_alone(work):
    """Be a forked process: do the work and end; what failed is shown with the test's output."""
    die_with_parent()
    try:
        work()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(70)
    os._exit(0)


def in_child(work):
    """Run `work` in a forked process; its exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        _work_alone(work)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_after(seconds, work):
    """Run `work` in a forked process and kill it with -9 after some seconds; whether it had finished."""
    child = os.fork()
    if child == 0:
        _work_alone(work)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), f"the session failed by itself with {status}"
    return status == 0


def dies_at(count):
    """A function for boundaries that ends the process without any clean-up at the one numbered `count`."""
    seen = 0

    def at(_boundary):
        nonlocal seen
        seen += 1
        if seen == count:
            os._exit(9)

    return at
