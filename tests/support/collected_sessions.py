"""A session on a collector whose sources fail, whose clock jumps and whose process dies at a question."""

from datetime import date, timedelta

import numpy as np

from engine.trading.risk import RiskLimits
from feeds.live.collector import Collector
from llm.answer_cache import AnswerCache
from llm.student import LocalStudentClient
from strategies.config_file import load_config
from strategies.market_data import MarketData
from strategies.paper.clock import SystemClock
from strategies.paper.files import create_session, open_session
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
from tests.support.paper_sessions import NAME, First

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


class Trial:
    """One such session in a folder."""

    def __init__(self, folder, seed):
        rng = np.random.default_rng(seed)
        self.folder = folder
        self.kills = periods(SINCE, UNTIL, timedelta(days=5), 30, rng)
        wrong = periods(SINCE, UNTIL, timedelta(days=8), 40, rng)
        hour = timedelta(hours=1)
        self.world = World(now=SINCE, wrong=[(*period, hour * (-1) ** n) for n, period in enumerate(wrong)])
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
            away = next((period for period in self.kills if period[0] > self.world.now), None)
            self.world.kill_at = away[0] if away else None
            try:
                self.resume()
            except Killed:
                killed += 1
                self.world.now = max(self.world.now, away[1])
        return killed

    def resume(self):
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
