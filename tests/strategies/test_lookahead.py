"""Planted leaks are found, each by its kind, and honest students and strategies are cleared."""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import closecall as cc
from engine.errors import DataError
from engine.model import Direction, NewsItem, Precision
from engine.timeline import build_observations
from examples.own_strategy import ConfidentOnly, Trend
from examples.own_student import Momentum
from llm.answers import format_answer
from strategies.backtest import baseline_predictions
from strategies.config import BacktestConfig
from strategies.lookahead.api import check as check_files
from strategies.lookahead.api import check_lookahead
from strategies.lookahead.report import LeakKind
from strategies.lookahead.worlds import Alteration, World, turn_predictions

DAYS = 60


@pytest.fixture(scope="module")
def market():
    return cc.MarketData.simulated(seed=12, days=DAYS, coins=2, stocks=1)


def check(market, folder=None, **who):
    return check_lookahead(market, seed=3, points=4, folder=folder, **who)


def kinds(report):
    return {leak.kind for leak in report.leaks}


def closes_of(market):
    """The closes of every symbol in columns, by the day that they are of."""
    return pd.DataFrame(
        {
            symbol: pd.Series({pd.Timestamp(bar.opens_at.date()): bar.close for bar in series})
            for symbol, series in market.bars.items()
        }
    ).sort_index()


class Follow(cc.Strategy):
    """Holds a symbol while a table made of a frame of closes says so on the day that has just closed."""

    def __init__(self, frame):
        self.signal = self.find_signal(frame)

    def on_close(self, slice):
        for symbol, bar in slice.bars.items():
            holds = bool(self.signal[symbol].get(pd.Timestamp(bar.opens_at.date()), False))
            self.order_target_percent(symbol, 0.2 if holds else 0.0)


class TomorrowsClose(Follow):
    def find_signal(self, frame):
        return frame.shift(-1) > frame


class CentredWindow(Follow):
    def find_signal(self, frame):
        return frame < frame.rolling(5, center=True, min_periods=1).mean()


class TrailingWindow(Follow):
    def find_signal(self, frame):
        return frame < frame.rolling(5, min_periods=1).mean()


class ReadsMarketData(cc.Strategy):
    def __init__(self, data, *, ahead):
        self.data, self.ahead = data, ahead

    def on_close(self, slice):
        until = slice.as_of + self.ahead
        for symbol, bar in slice.bars.items():
            known = [each.close for each in self.data.bars[symbol] if each.closes_at <= until]
            self.order_target_percent(symbol, 0.2 if known[-1] >= bar.close else 0.0)


class LaterForecasts(cc.Strategy):
    """Finds tomorrow's close as the last close of tomorrow's forecast."""

    def on_close(self, slice):
        for symbol, bar in slice.bars.items():
            later = [c for c in self._run._predictions._calls if c.symbol == symbol and c.as_of > slice.as_of]
            rises = bool(later) and later[0].last_close > bar.close
            self.order_target_percent(symbol, 0.2 if rises else 0.0)


def day_news(market, title, at_hour=0, **times):
    """One item a day for the first symbol, whose time says the day alone."""
    symbol = min(market.bars)
    moves = zip(market.bars[symbol], market.bars[symbol][1:], strict=False)
    for number, (before, day) in enumerate(moves):
        published = day.opens_at.replace(hour=at_hour, minute=0)
        values = {
            "published_at": published,
            "available_at": published + timedelta(minutes=1),
            "precision": Precision.SECOND,
            "zone_known": True,
            "first_seen_at": None,
        }
        yield NewsItem(
            id=f"day {number}",
            source="archive",
            title=title(before, day),
            text="",
            symbols=frozenset({symbol}),
            **values | times,
        )


def rise_or_fall(before, day):
    return "it rose" if day.close > before.close else "it fell"


class NewsByPublication(cc.Strategy):
    """Trades what was published by now, though it was available later."""

    def __init__(self, data):
        self.news = list(data.news)

    def on_close(self, slice):
        symbol = min(slice.bars)
        seen = [n for n in self.news if n.published_at <= slice.as_of and n.id.startswith("day")]
        self.order_target_percent(symbol, 0.5 if seen and seen[-1].title == "it rose" else 0.0)


@pytest.mark.parametrize(
    "create",
    [
        lambda market: TomorrowsClose(closes_of(market)),
        lambda market: CentredWindow(closes_of(market)),
        lambda market: ReadsMarketData(market, ahead=timedelta(days=1)),
        lambda _market: lambda data: TomorrowsClose(closes_of(data)),
    ],
    ids=["shift(-1)", "centred window", "tomorrow's close", "factory"],
)
def test_a_strategy_that_sees_later_prices_is_found(market, create):
    report = check(market, strategy=create(market))
    assert LeakKind.ORDER in kinds(report)
    assert not report
    assert {leak.at for leak in report.leaks} <= {bar.closes_at for bar in market.traded_bars}


def test_a_signal_of_later_prices_that_was_found_beforehand_is_found(market):
    class Signal(Follow):
        def find_signal(self, frame):
            return frame

    closes = closes_of(market)
    assert kinds(check(market, strategy=Signal(closes.shift(-1) > closes))) == {LeakKind.OUTSIDE}
    assert check(market, strategy=Signal(closes > closes.shift(1)))


def test_a_strategy_that_carries_later_prices_where_nothing_can_alter_them_is_found(market):
    tomorrow = closes_of(market).pct_change().shift(-1)

    class Hidden(cc.Strategy):
        def on_close(self, slice):
            for symbol, bar in slice.bars.items():
                rises = tomorrow[symbol].get(pd.Timestamp(bar.opens_at.date()), 0) > 0
                self.order_target_percent(symbol, 0.2 if rises else 0.0)

    assert LeakKind.OUTSIDE in kinds(check(market, strategy=Hidden()))


PEEKING_FILE = """
import closecall as cc
import pandas as pd

{data}
FRAME = {frame}

class Peek(cc.Strategy):
    def on_close(self, slice):
        for symbol, bar in slice.bars.items():
            later = [row for day, row in FRAME[symbol].items() if day > bar.opens_at.date()]
            self.order_target_percent(symbol, 0.2 if later and later[0] > bar.close else 0.0)
"""
SIMULATED = (
    "DATA = cc.MarketData.simulated(seed=12, days=60, coins=2, stocks=1)",
    "{name: {b.opens_at.date(): b.close for b in bars} for name, bars in DATA.bars.items()}",
)
READ = (
    "TABLE = pd.read_csv({file!r})",
    "{name: dict(zip(pd.to_datetime(TABLE.date).dt.date, TABLE[name])) for name in TABLE.columns[1:]}",
)


@pytest.mark.parametrize("source", [SIMULATED, READ], ids=["simulated", "read from a file"])
def test_a_file_that_reads_later_prices_by_itself_is_found(market, tmp_path, source):
    closes_of(market).rename_axis("date").to_csv(tmp_path / "closes.csv")
    data, frame = source
    text = PEEKING_FILE.format(data=data.format(file=str(tmp_path / "closes.csv")), frame=frame)
    (tmp_path / "peek.py").write_text(text)
    config = BacktestConfig(seed=12, market={"days": DAYS, "coins": 2, "stocks": 1})
    strategy = f"{tmp_path / 'peek.py'}:Peek"
    report = check_files(config, data_dir=tmp_path, strategy=strategy, points=4, seed=3)
    assert LeakKind.ORDER in kinds(report)
    assert pd.read_csv(tmp_path / "closes.csv").shape[0] == DAYS  # nothing stays altered


def test_later_prices_in_a_variable_around_a_strategy_are_found(market):
    closes = {symbol: list(series) for symbol, series in market.bars.items()}

    def find_next(symbol, as_of):
        return next((bar.close for bar in closes[symbol] if bar.opens_at >= as_of), 0.0)

    class Peek(cc.Strategy):
        def on_close(self, slice):
            for symbol, bar in slice.bars.items():
                rises = find_next(symbol, slice.as_of) > bar.close
                self.order_target_percent(symbol, 0.2 if rises else 0.0)

    assert LeakKind.ORDER in kinds(check(market, strategy=Peek()))
    assert closes == {symbol: list(series) for symbol, series in market.bars.items()}


def test_a_strategy_that_reads_later_forecasts_is_found(market, tmp_path):
    report = check(market, tmp_path, student=Momentum(), strategy=LaterForecasts())
    assert kinds(report) == {LeakKind.ORDER}


def test_news_used_by_its_publication_is_found(market):
    late = {"available_at": datetime(2024, 6, 1, tzinfo=UTC)}
    news = list(day_news(market, rise_or_fall, **late))
    known = [replace(each, available_at=each.published_at + timedelta(days=1)) for each in news]
    data = replace(market, news=known)
    assert LeakKind.ORDER in kinds(check(data, strategy=NewsByPublication(data)))


@pytest.mark.parametrize(
    ("hour", "times", "kind"),
    [
        (0, {}, LeakKind.MIDNIGHT),
        (7, {}, LeakKind.MIDNIGHT),
        (0, {"precision": Precision.DAY}, LeakKind.NEWS_CLOCK),
        (11, {"precision": Precision.HOUR}, LeakKind.NEWS_CLOCK),
        (11, {"zone_known": False}, LeakKind.NEWS_CLOCK),
    ],
)
def test_news_that_counts_as_known_too_early_is_found(market, hour, times, kind):
    news = sorted(day_news(market, rise_or_fall, hour, **times), key=lambda each: each.available_at)
    assert kinds(check(replace(market, news=news), student=Momentum())) == {kind}


class Fitted(Momentum):
    """Momentum whose returns are measured by a scale that was found beforehand."""

    def __init__(self, scale):
        self.scale = scale
        self.fingerprint = f"fitted {scale}"

    def prompt(self, observation):
        return f"{1 + (float(super().prompt(observation)) - 1) * self.scale:.6f}"


class ScaledByEverything(Fitted):
    def __init__(self, frame):
        super().__init__(float(0.01 / frame.pct_change().std().mean()))


class CalibratedOnTheTest(Momentum):
    """States how often momentum was right on all days, those to come included."""

    def __init__(self, data):
        closes = closes_of(data)
        past, next_ = closes.pct_change(5), closes.pct_change().shift(-1)
        self.confidence = float(np.clip(((past > 0) == (next_ > 0)).mean().mean(), 0.5, 1))
        self.fingerprint = f"calibrated {self.confidence}"

    def answer(self, prompts, on_progress):
        sides = ["up" if float(prompt) >= 1 else "down" for prompt in prompts]
        return [format_answer(side, self.confidence, 100.2 if side == "up" else 99.8) for side in sides]


def test_a_scaler_that_was_fitted_on_everything_is_found(market):
    assert LeakKind.PROMPT in kinds(check(market, student=ScaledByEverything(closes_of(market))))
    first = closes_of(market).iloc[:20]
    assert check(market, student=Fitted(float(0.01 / first.pct_change().std().mean())))


def test_a_calibration_that_was_fitted_on_the_test_is_found(market):
    assert LeakKind.FORECAST in kinds(check(market, student=CalibratedOnTheTest(market)))


def test_a_calibration_of_our_own_that_was_fitted_on_the_test_is_found(market, monkeypatch, tmp_path):
    honest = {"student": Momentum(), "calibrate": "temperature"}
    assert check(market, tmp_path, **honest)

    def see_all(scored, method):
        hits = [o.next_close > o.last_close for _, o in scored if o is not None]
        calls = [replace(c, confidence=max(0.5, sum(hits) / len(hits))) for c, _ in scored]
        return SimpleNamespace(calls=calls)

    monkeypatch.setattr("strategies.lookahead.base_run.calibrate", see_all)
    assert LeakKind.ORDER in kinds(check(market, tmp_path, **honest))


def test_an_adapter_that_was_trained_past_the_start_is_found(market, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()

    def find(**stated):
        (adapter / "closecall.json").write_text(json.dumps(stated))
        report = check(market, tmp_path, student=Momentum(), adapter=adapter)
        return kinds(report), report.notes

    first = market.start.date()
    assert find(released=str(first + timedelta(days=20))) == ({LeakKind.ADAPTER}, ())
    assert find(released=str(first)) == (set(), ())
    leaks, (note,) = find()
    assert not leaks
    assert "until when its training data reach is not known" in note


def up_if(rises):
    return format_answer("up" if rises else "down", 0.9, 101 if rises else 99)


class NextPrompt(Momentum):
    """Takes the next prompt of the list for tomorrow's."""

    def prompt(self, observation):
        return f"{observation.symbol} {observation.as_of:%Y%m%d%H} {observation.last_close:.6f}"

    def answer(self, prompts, on_progress):
        closes = [float(prompt.split()[-1]) for prompt in prompts]
        return [up_if(later > now) for now, later in zip(closes, [*closes[1:], 0], strict=True)]


class SearchesPrompts(NextPrompt):
    """Looks among the prompts that it was ever given for the next one of the symbol."""

    seen: list

    def __init__(self):
        self.seen, self.fingerprint = [], "searches"

    def remember(self, prompts):
        return prompts

    def answer(self, prompts, on_progress):
        known = sorted({*self.remember(prompts), *prompts})
        rises = []
        for prompt in prompts:
            symbol, _, close = prompt.split()
            later = [each for each in known if each.startswith(f"{symbol} ") and each > prompt]
            rises.append(bool(later) and float(later[0].split()[-1]) > float(close))
        return [up_if(each) for each in rises]


class RemembersPrompts(SearchesPrompts):
    def prompt(self, observation):
        self.seen.append(super().prompt(observation))
        return self.seen[-1]

    def remember(self, prompts):
        return self.seen


@pytest.mark.parametrize("student", [NextPrompt, SearchesPrompts, RemembersPrompts])
def test_a_student_that_reads_later_prompts_is_found_and_gains_nothing(market, student, tmp_path):
    report = check(market, tmp_path, student=student())
    assert kinds(report) & {LeakKind.FORECAST, LeakKind.COMPANY}
    result = cc.backtest(market, student=student())
    assert result.scores.student.accuracy < 0.7


def test_a_student_that_carries_the_outcomes_is_found(market, tmp_path):
    closes = closes_of(market)
    rises = (closes.shift(-1) > closes).to_dict()

    class Carries(cc.Student):
        fingerprint = "carries"

        def prompt(self, observation):
            return f"{observation.symbol} {observation.bars[-1].opens_at:%Y-%m-%d}"

        def answer(self, prompts, on_progress):
            keys = [prompt.split() for prompt in prompts]
            return [up_if(rises[symbol][pd.Timestamp(day)]) for symbol, day in keys]

    assert kinds(check(market, tmp_path, student=Carries())) == {LeakKind.OUTSIDE}


def test_a_student_that_compares_its_price_with_the_next_one_in_a_file_is_found(tmp_path):
    market = cc.MarketData.simulated(seed=12, days=120, coins=1, stocks=0)
    later = closes_of(market).shift(-1).to_dict()

    class Compares(cc.Student):
        fingerprint = "compares"

        def prompt(self, observation):
            bar = observation.bars[-1]
            return f"{observation.symbol} {bar.opens_at:%Y-%m-%d} {bar.close!r}"

        def answer(self, prompts, on_progress):
            keys = [prompt.split() for prompt in prompts]
            return [up_if(later[symbol][pd.Timestamp(day)] > float(close)) for symbol, day, close in keys]

    assert kinds(check(market, tmp_path, student=Compares())) == {LeakKind.OUTSIDE}


class Counts(Momentum):
    """States a confidence that grows with everything it was asked before."""

    def __init__(self):
        self.asked, self.fingerprint = 0, "counts"

    def answer(self, prompts, on_progress):
        self.asked += len(prompts)
        return [format_answer("up", min(0.99, 0.5 + self.asked / 400), 101) for _ in prompts]


def test_answers_that_depend_on_what_was_asked_before_are_found(market, tmp_path):
    report = check(market, tmp_path, student=Counts())
    assert kinds(report) == {LeakKind.RUN}
    assert "asked alone, it is" in report.leaks[0].what


class Coin(Momentum):
    """Answers each time as a coin falls."""

    def answer(self, prompts, on_progress):
        return [format_answer("up", 0.5 + random.random() / 2, 101) for _ in prompts]


class CoinTrader(cc.Strategy):
    def on_close(self, slice):
        for symbol in slice.bars:
            self.order_target_percent(symbol, random.random() / 5)


class BuyOnce(cc.Strategy):
    def on_close(self, slice):
        for symbol in slice.bars:
            if not self.position(symbol):
                self.order_target_percent(symbol, 0.2)


@pytest.mark.parametrize(
    "who",
    [
        {"student": Momentum()},
        {"student": Momentum(), "strategy": ConfidentOnly()},
        {"strategy": Trend()},
        {"strategy": BuyOnce},
        {"strategy": lambda data: TrailingWindow(closes_of(data))},
        {"student": Momentum(), "calibrate": "isotonic", "allow_short": True},
        {"student": Coin()},
        {"strategy": CoinTrader()},
    ],
    ids=lambda who: " ".join(map(str, who)),
)
def test_the_honest_are_cleared(market, who, tmp_path):
    report = check(market, tmp_path, **who)
    assert report.leaks == ()
    assert report
    assert len(report.points) == 4
    doubts = isinstance(who.get("student"), Coin) or isinstance(who.get("strategy"), CoinTrader)
    assert bool(report.notes) == doubts


def test_honest_frames_and_data_are_cleared(market):
    assert check(market, strategy=TrailingWindow(closes_of(market)))
    assert check(market, strategy=ReadsMarketData(market, ahead=timedelta(0)))
    dated_by_close = closes_of(market)
    dated_by_close.index += pd.Timedelta(days=1)

    class ByClose(TrailingWindow):
        def on_close(self, slice):
            for symbol, bar in slice.bars.items():
                day = pd.Timestamp(bar.opens_at.date() + timedelta(days=1))
                self.order_target_percent(symbol, 0.2 if self.signal[symbol].get(day, False) else 0.0)

    coins = cc.MarketData.simulated(seed=12, days=DAYS, coins=2, stocks=0)
    frame = closes_of(coins)
    frame.index += pd.Timedelta(days=1)
    assert check(coins, strategy=ByClose(frame))


def test_no_baseline_changes_with_later_data(market):
    config = BacktestConfig()

    def predict(data, until):
        seen = build_observations(data.bars, data.news, window=21, start=data.start)
        callers = baseline_predictions(config, replace(data, oracle={}), seen, seen)
        return {
            name: [(c.symbol, c.as_of, c.direction, c.confidence, c.close) for c in calls if c.as_of <= until]
            for name, calls in callers.items()
        }

    at = market.traded_bars[90].closes_at
    real = predict(market, at)
    for alteration in (Alteration.CUT, Alteration.TURNED):
        world = World(alteration=alteration, at=at, seed=1, market=market)
        assert predict(world.apply(market), at) == real
    assert all(len(calls) > 50 for calls in real.values())


def test_a_forecast_of_the_last_close_stays_one_in_a_turned_market(market):
    """Its close is a price like 97.55, whose product and quotient with others are rounded."""
    turned = World(alteration=Alteration.SCRAMBLED, seed=3, market=market).apply(market)
    calls = [
        cc.Forecast(
            symbol=symbol, as_of=bar.closes_at, direction=side, confidence=0.6, close=price, last_close=price
        )
        for symbol, bars in market.bars.items()
        for bar in bars
        for side, price in ((Direction.UP, bar.close), (Direction.DOWN, bar.close))
    ]
    assert all(call.close == call.last_close for call in turn_predictions(calls, turned))


def test_too_few_closes_are_refused():
    few = cc.MarketData.simulated(days=10, coins=1, stocks=0)
    with pytest.raises(DataError, match="choose more days or fewer points"):
        check_lookahead(few, strategy=Trend())
