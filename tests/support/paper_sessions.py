"""Small paper sessions in simulated time, with everything between slices that can happen."""

import json
import os
import signal
import sys
import tempfile
import time
import traceback
from datetime import timedelta
from pathlib import Path

from engine.corporate_actions import Dividend, Split
from engine.journal.canonical import canonical_json
from engine.journal.events import encode
from engine.journal.events.inputs import Gap, ModelAdopted, Quotes
from engine.journal.journal import Event, Journal
from engine.parent_process import die_with_parent
from engine.trading.risk import Command, CommandKind
from llm.answer_cache import AnswerCache
from llm.student import LocalStudentClient
from strategies.config import PaperTable
from strategies.config_file import load_config
from strategies.market_data import load_market_data
from strategies.paper.files import session_folder
from strategies.paper.outputs import load_outputs, session_digests
from strategies.paper.replay import replay_session
from strategies.paper_runtime.launch import LaunchSpec
from strategies.replay_check import check_session_replay
from strategies.runs import JOURNAL
from tests.support.students import DOWN, UP, RuleStudent

NAME = "trial"
CONFIG = load_config(None, {"market": {"coins": 2, "stocks": 1, "days": 24}})
FACTS = load_market_data(CONFIG, Path("unused"))
COINS = sorted(symbol for symbol, one in FACTS.instruments.items() if one.calendar == "24/7")
(STOCK,) = sorted(FACTS.instruments.keys() - set(COINS))
ADOPTION = ModelAdopted(fingerprint="rule-2", name="second", adapter="two")


def in_memory():
    """A folder in memory where there is one: processes are killed here, not the power."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


def day(number, **rest):
    """The start of a day of the session, counted from 0, and so many hours or minutes more."""
    return FACTS.start + timedelta(days=number, **rest)


def command_at(kind, at, text=""):
    """A command of a person's at a simulated instant."""
    return encode(Command(at=at, kind=CommandKind(kind), author="ann", text=text), at)


def quote_at(at, **prices):
    return encode(Quotes(quotes={symbol: (price, at) for symbol, price in prices.items()}), at)


def session_opens(symbol):
    """The opens of a symbol's sessions within the facts."""
    return [bar.opens_at for bar in FACTS.bars[symbol]]


def full_script():
    """Commands, last prices, gaps, a split, a dividend and an adoption over the days of the facts."""
    return [
        command_at("pause", day(7, hours=3), "lunch"),
        command_at("resume", day(8, hours=3)),
        command_at("reduce", day(9, minutes=1)),
        command_at("resume", day(10, hours=8)),
        quote_at(day(11, hours=5), **{COINS[0]: FACTS.bars[COINS[0]][10].close * 1.01}),
        encode(Gap(symbol=COINS[1], session=None, lacks="official", reason=""), day(12, hours=2)),
        encode(split := Split(at=session_opens(STOCK)[9], symbol=STOCK, ratio=3.0), split.at),
        encode(paid := Dividend(at=session_opens(STOCK)[11], symbol=STOCK, amount=0.25), paid.at),
        encode(ADOPTION, day(17, hours=1)),
        command_at("flatten", day(19, hours=12), "out"),
        command_at("resume", day(21, hours=12)),
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
    return LocalStudentClient(Second() if adopted else First())


def replay(folder, script=(), name=NAME, facts=FACTS, **rest):
    """A replay into a folder, with a ledger of its own."""
    with AnswerCache(folder / "ledger.sqlite") as ledger:
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


def plan_in(folder, retrain="weekly", **rest):
    """A start of a replay that retrains, with some settings of the configuration changed."""
    config = CONFIG.model_copy(update={"paper": PaperTable(retrain=retrain), **rest})
    return LaunchSpec(data_dir=folder, name=NAME, config=config, replay=True)


def open_journal(folder, name=NAME):
    return Journal.open(session_folder(folder, name) / JOURNAL, name)


def read_digests(folder, name=NAME):
    """The digests of what the journal says was done."""
    with open_journal(folder, name) as journal:
        return session_digests(load_outputs(journal))


def read_rows(folder, *kinds, name=NAME):
    with open_journal(folder, name) as journal:
        return list(journal.read(kinds=kinds or None))


def rewrite_journal(source, target, change):
    """A copy of a session whose rows went through `change`, with a chain that holds again."""
    folder = session_folder(target, NAME)
    folder.mkdir(parents=True)
    with Journal.open(folder / JOURNAL, NAME, create=True) as journal:
        copy_rows(read_rows(source), journal, change)
    return target


def copy_rows(rows, journal, change):
    """Append rows to a journal after `change` was called with each row and a copy of its payload."""
    for row in rows:
        payload = json.loads(canonical_json(row.payload))
        change(row, payload)
        journal.append([Event(kind=row.kind, as_of=row.as_of, payload=payload)], row.recorded_at)


def check_replay(folder, name=NAME):
    with open_journal(folder, name) as journal:
        return check_session_replay(journal)


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


def run_in_child(work):
    """Run `work` in a forked process; its exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        _work_alone(work)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_after(seconds, work):
    """Run `work` in a forked process and kill it with -9 after some seconds; whether it had finished."""
    child = os.fork()
    if child == 0:
        _work_alone(work)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), f"the session failed by itself with {status}"
    return status == 0


def die_at(count):
    """A function for boundaries that ends the process without any clean-up at the one numbered `count`."""
    seen = 0

    def at(_boundary):
        nonlocal seen
        seen += 1
        if seen == count:
            os._exit(9)

    return at
