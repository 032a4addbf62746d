from datetime import date, timedelta

import numpy as np
import pytest

from engine.trading.risk import RiskLimits
from feeds.live.collector import Collector
from llm.answer_cache import AnswerCache
from llm.student import LocalStudentClient
from strategies.config import load_config
from strategies.market_data import MarketData
from strategies.paper.clock import SystemClock
from strategies.paper.files import create_session, open_session
from strategies.paper.forecasting import ARRIVED_LATE
from strategies.paper.session import SessionDeps
from strategies.run_spec import build_run_spec
from tests.support.collector_rehearsal import (
    Killed,
    RehearsedNews,
    RehearsedSource,
    World,
    draw_faults,
    periods,
)
from tests.support.collector_trial import _TRIAL_LIMITS, simulated_market
from tests.support.paper_sessions import NAME, First, check_replay, in_memory, read_rows

MARKET = simulated_market(date(2023, 2, 1), date(2023, 2, 22), seed=3)

SINCE = min(series[0].opens_at for series in MARKET.bars.values())

UNTIL = max(series[-1].closes_at for series in MARKET.bars.values())

FACTS = MarketData(
    instruments=MARKET.instruments,
    calendars=MARKET.calendars,
    bars=MARKET.bars,
    news=(),
    start=SINCE,
    source="trial",
    is_simulated=True,
)


@pytest.fixture
def tmp_path():
    yield from in_memory()


class Trial:
    """A session on a collector whose sources fail, whose clock jumps and whose process dies at a question."""

    def __init__(self, folder, seed):
        rng = np.random.default_rng(seed)
        self.folder = folder
        self.kills = periods(SINCE, UNTIL, timedelta(days=5), 30, rng)
        wrong = periods(SINCE, UNTIL, timedelta(days=8), 40, rng)
        hour = timedelta(hours=1)
        self.world = World(now=SINCE, wrong=[(*one, hour * (-1) ** n) for n, one in enumerate(wrong)])
        coins = {s: MARKET.bars[s] for s in MARKET.bars if MARKET.instruments[s].calendar == "24/7"}
        shares = {s: MARKET.bars[s] for s in MARKET.bars.keys() - coins.keys()}
        self.sources = {}
        for name, bars in (("coins", coins), ("shares", shares)):
            source = RehearsedSource(name, self.world, bars, draw_faults(bars, rng), rng)
            self.sources |= dict.fromkeys(bars, source)
        self.news = RehearsedNews(self.world, MARKET.news, [])

    def sleep(self, seconds):
        self.world.now += timedelta(seconds=max(seconds, 0.001))

    def run(self):
        settings = build_run_spec(load_config(None, {}), FACTS, First(), RiskLimits())
        create_session(self.folder, NAME, settings, [], at=SINCE, about={})
        killed = 0
        while self.world.now < UNTIL:
            away = next((one for one in self.kills if one[0] > self.world.now), None)
            self.world.kill_at = away[0] if away else None
            try:
                self.go_on()
            except Killed:
                killed += 1
                self.world.now = max(self.world.now, away[1])
        return killed

    def go_on(self):
        with AnswerCache(self.folder / "ledger.sqlite") as ledger:

            def parts(journal):
                collector = Collector(
                    journal=journal,
                    instruments=MARKET.instruments,
                    calendars=MARKET.calendars,
                    sources=self.sources,
                    news=[self.news],
                    since=SINCE,
                    limits=_TRIAL_LIMITS,
                    clock=self.world.own,
                )
                return SessionDeps(
                    source=collector,
                    time=SystemClock(self.world.own, self.sleep, poll_interval=1e9),
                    answers=ledger,
                    load_student=lambda _adopted: LocalStudentClient(First()),
                    stop=lambda: self.world.now >= UNTIL,
                )

            with open_session(self.folder, NAME, parts) as session:
                session.run()


def test_weeks_on_failing_sources_and_a_jumping_clock_end_without_a_wrong_fill(tmp_path):
    trial = Trial(tmp_path, seed=11)
    killed = trial.run()
    kinds = {row.kind for row in read_rows(tmp_path)}
    assert killed >= 3
    assert {"gap", "source", "clock", "quote", "valuation", "fault", "session_resumed"} <= kinds
    assert check_replay(tmp_path).equal
    days = {(symbol, bar.opens_at.date()): bar for symbol, series in MARKET.bars.items() for bar in series}
    fills = read_rows(tmp_path, "fill")
    assert len(fills) > 15
    for row in fills:
        fill = row.payload
        assert fill["at"] >= fill["decided_at"]
        bar = days[fill["symbol"], row.as_of.date()]
        assert bar.low * 0.99 <= fill["open"] <= bar.high * 1.01
    calls = [row.payload for row in read_rows(tmp_path, "forecast")]
    assert any(one["abstention"] == ARRIVED_LATE for one in calls)
    assert sum(one["abstention"] is None for one in calls) > len(calls) / 2
