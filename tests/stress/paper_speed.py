"""How quick and how large a paper session is: prints JSON. The student answers by a rule, in no time.

`latency`: 20 symbols, each arriving in a slice of its own, on a clock that is not simulated and with every
commit on disk; from before a slice is journaled to after its fill is. `replay`: 50,000 slices of three
symbols, first traded and then walked again from the journal, as a restart and the check of parity do.
`memory`: the session's process over three simulated years at full speed, the student in its own.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

from engine.journal.events.inputs import encode_slice
from engine.journal.journal import Event, Journal
from engine.model import Slice
from engine.timeline import build_slices
from engine.trading.risk import RiskLimits
from feeds.simulated.market import MarketSettings, simulate
from llm.answer_cache import AnswerCache
from llm.student import LocalStudentClient
from strategies.config_file import load_config
from strategies.market import midnight
from strategies.market_data import MarketData, load_market_data
from strategies.paper.clock import SystemClock
from strategies.paper.files import create_session, open_session, runner_pid, session_folder
from strategies.paper.replay import replay_session
from strategies.paper.session import SessionDeps
from strategies.paper_runtime.launch import LaunchSpec
from strategies.replay_check import check_session_replay
from strategies.run_spec import build_run_spec
from strategies.runs import JOURNAL
from tests.support.paper_process import children, start_supervised
from tests.support.students import RuleStudent

NAME = "trial"
WIDE = RiskLimits(orders_per_day=10_000, drawdown=0.99, daily_loss=0.99, symbol_exposure=9, total_exposure=9)


class OneByOne:
    """Journals slices of one symbol each when they are due, and notes when it began to."""

    def __init__(self, journal, facts):
        self._journal = journal
        self._waiting = [
            part
            for slice_ in build_slices(facts.traded_bars, facts.news)
            for part in _split_by_symbol(slice_)
        ][::-1]
        self.begun = 0.0

    def step(self, now):
        if not self._waiting:
            return None
        if self._waiting[-1].as_of > now:
            return self._waiting[-1].as_of
        slice_ = self._waiting.pop()
        event = Event(kind="slice", as_of=slice_.as_of, payload=encode_slice(slice_))
        self.begun = time.perf_counter()
        self._journal.append([event], now)
        return now


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self, at):
        self.at = at

    def __call__(self):
        return self.at

    def sleep(self, seconds):
        self.at += timedelta(seconds=seconds)


def _split_by_symbol(slice_):
    if not slice_.bars:
        return [slice_]
    first, *rest = sorted(slice_.bars)
    parts = [
        Slice(as_of=slice_.as_of, phase=slice_.phase, bars={first: slice_.bars[first]}, news=slice_.news)
    ]
    return parts + [
        Slice(as_of=slice_.as_of, phase=slice_.phase, bars={symbol: slice_.bars[symbol]}, news=())
        for symbol in rest
    ]


def latency(folder, days):
    """Milliseconds from a slice to its fill, over the slices that filled something."""
    config = load_config(None, {"market": {"coins": 14, "stocks": 6, "days": days}})
    facts = load_market_data(config, folder)
    student = RuleStudent()
    settings = build_run_spec(config, facts, student, WIDE)
    create_session(folder, NAME, settings, [], at=facts.start, about={})
    clock, commits, opened = Clock(facts.start), [], {}
    with AnswerCache(folder / "ledger.sqlite") as ledger:

        def at(boundary):
            if boundary == "after the effects" and "source" in opened:
                commits.append((opened["journal"].last_seq, time.perf_counter() - opened["source"].begun))

        def parts(journal):
            opened.update(source=OneByOne(journal, facts), journal=journal)
            return SessionDeps(
                source=opened["source"],
                time=SystemClock(clock, clock.sleep, poll_interval=86_400.0),
                answers=ledger,
                load_student=lambda _adopted: LocalStudentClient(student),
                failpoint=at,
            )

        with open_session(folder, NAME, parts) as session:
            session.run()
    with Journal.open(session_folder(folder, NAME) / JOURNAL, NAME) as journal:
        filled = {row.seq for row in journal.read(kinds=("fill",))}
    spans, before = [], 0
    for last, seconds in commits:
        if any(seq in filled for seq in range(before + 1, last + 1)):
            spans.append(seconds * 1000)
        before = last
    spans.sort()
    return {
        "symbols": 20,
        "fills": len(spans),
        **{f"p{share}_ms": round(spans[len(spans) * share // 100], 2) for share in (50, 95, 99)},
        "most_ms": round(spans[-1], 2),
    }


def replay(folder, slices):
    """Seconds to trade that many slices of three coins, to walk them again, and to check their parity."""
    market = simulate(MarketSettings(coins=3, stocks=0, days=slices // 2 + 1, start=date(2023, 1, 1)))
    facts = MarketData(
        instruments=market.instruments,
        calendars=market.calendars,
        bars=market.bars,
        news=(),
        start=midnight(date(2023, 1, 1)),
        source="simulated:7",
        is_simulated=True,
    )
    config, figures = load_config(None, {}), {}
    for what in ("trading_seconds", "again_seconds"):
        started, cpu_started = time.perf_counter(), time.process_time()
        with AnswerCache(folder / "ledger.sqlite") as ledger:
            replay_session(folder, NAME, config, facts, student=RuleStudent(), ledger=ledger, limits=WIDE)
        figures[what] = round(time.perf_counter() - started, 1)
        figures[f"{what}_of_cpu"] = round(time.process_time() - cpu_started, 1)
    with Journal.open(session_folder(folder, NAME) / JOURNAL, NAME) as journal:
        figures["slices"] = sum(1 for _ in journal.read(kinds=("slice",)))
        started, cpu_started = time.perf_counter(), time.process_time()
        figures["equal"] = check_session_replay(journal).equal
        figures["parity_seconds"] = round(time.perf_counter() - started, 1)
        figures["parity_seconds_of_cpu"] = round(time.process_time() - cpu_started, 1)
    return figures


def memory(folder, days):
    """Megabytes of the session's process in the course of its days, and the most it ever had."""
    config = load_config(
        None, {"market": {"coins": 3, "stocks": 3, "days": days}, "risk": {"drawdown": 0.99}}
    )
    samples, peak = [], 0.0
    with start_supervised(LaunchSpec(data_dir=folder, name=NAME, config=config, replay=True)) as process:
        while process.poll() is None:
            runner = runner_pid(session_folder(folder, NAME))
            if runner in children(process.pid):
                now, process_peak = _megabytes(runner)
                peak = max(peak, process_peak)
                if now:
                    samples.append(now)
            time.sleep(0.25)
        process.communicate()
    quarters = (
        [samples[len(samples) * quarter // 4] for quarter in range(1, 4)] if len(samples) > 4 else samples
    )
    return {"days": days, "quarters_mb": quarters, "last_mb": samples[-1], "most_mb": peak}


def _megabytes(pid):
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    fields = dict(line.split(":", 1) for line in lines)
    return tuple(round(int(fields[name].split()[0]) / 1024, 1) for name in ("VmRSS", "VmHWM"))


def main():
    """Print all three, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=["latency", "replay", "memory", []], default=[])
    parser.add_argument("--slices", type=int, default=50_000)
    parser.add_argument("--days", type=int, default=1095, help="of the memory's session")
    parser.add_argument("--latency-days", type=int, default=90)
    arguments = parser.parse_args()
    selected = arguments.parts or ["latency", "replay", "memory"]
    report = {"load": os.getloadavg()[0]}
    for name, work in (
        ("latency", lambda path: latency(path, arguments.latency_days)),
        ("replay", lambda path: replay(path, arguments.slices)),
        ("memory", lambda path: memory(path, arguments.days)),
    ):
        if name in selected:
            with tempfile.TemporaryDirectory() as folder:
                report[name] = work(Path(folder))
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
