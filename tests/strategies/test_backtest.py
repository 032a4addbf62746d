import csv
import json
import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from engine.errors import UsageError
from engine.journal.canonical import row_digest
from engine.journal.journal import Journal
from strategies import backtest as front_door
from strategies.backtest import backtest
from strategies.conclusions import list_conclusions
from strategies.config_file import load_config
from strategies.market_data import load_market_data
from strategies.runs import JOURNAL, list_runs
from tests.support.places import SHARED_DATA
from tests.support.students import RuleStudent

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
REAL = SHARED_DATA
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the real data are not here")
SMALL = {"market": {"coins": 2, "stocks": 1, "days": 120}}

BITCOIN = {
    "bars": (REAL / "coins_binance_daily",),
    "news": (REAL / "news_crypto_headlines",),
    "symbols": ("BTCUSDT",),
    "start": date(2022, 1, 1),
    "end": date(2022, 6, 30),
}


def run(folder, student=None, **flags):
    return backtest(
        load_config(None, SMALL | flags), data_dir=folder, clock=lambda: NOW, student=student or RuleStudent()
    )


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return run(folder, out=folder / "out")


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_result_says_what_was_run_and_how_every_caller_scored(finished_run):
    result = finished_run.result
    assert result["simulated"] is True
    assert result["forecasts"] == result["bars"] - 3 * 5
    assert set(result["scores"]) == {"student", "buy_and_hold", "persistence", "majority", "random", "oracle"}
    for scores in result["scores"].values():
        assert 0 <= scores["accuracy_low"] <= scores["accuracy"] <= scores["accuracy_high"] <= 1
        assert scores["rejected"] == 0
    assert result["scores"]["oracle"]["accuracy"] > 0.6
    assert set(result["digests"]) == {"forecasts", "orders", "fills", "equity"}
    assert "SIMULATED" in " ".join(result["notes"])


@pytest.mark.slow
def test_the_oracle_captures_its_own_edge_and_a_contrarian_loses_it(tmp_path):
    market = load_market_data(load_config(None, SMALL), tmp_path)

    def knowing(sign):
        def answer(prompt):
            symbol, as_of = prompt.split("\n")[-1].split()
            q = market.oracle[symbol, datetime.fromisoformat(as_of)].probability_up
            up = (q > 0.5) == (sign > 0)
            direction, close = ("up", 100.5) if up else ("down", 99.5)
            return f'{{"direction": "{direction}", "confidence": 0.60, "close": {close:.2f}}}'

        return answer

    assert run(tmp_path / "a", RuleStudent(knowing(1))).result["edge_captured"] == pytest.approx(1)
    assert run(tmp_path / "b", RuleStudent(knowing(-1))).result["edge_captured"] == pytest.approx(-1)
    silent = run(tmp_path / "c", RuleStudent(lambda _: "?")).result
    assert (silent["edge_captured"], silent["forecasts"]) == (0, 0)
    assert silent["scores"]["student"]["trades"] == 0


def test_equal_runs_have_equal_digests_and_another_seed_has_others(tmp_path, finished_run):
    again = run(tmp_path / "again")
    assert again.result["digests"] == finished_run.result["digests"]
    other = run(tmp_path / "other", seed=8)
    assert not set(other.result["digests"].values()) & set(finished_run.result["digests"].values())


def test_a_run_on_a_full_ledger_asks_nothing_and_gives_the_same(tmp_path):
    first, student = run(tmp_path), RuleStudent()
    second = run(tmp_path, student)
    assert student.asked == []
    assert second.result["asked"] == 0
    assert second.result["digests"] == first.result["digests"]
    assert (first.result["trials"], second.result["trials"]) == (1, 2)
    assert second.result["distinct_trials"] == 1


def test_the_exported_tables_say_the_same_as_the_digests(finished_run):
    out = finished_run.folder.parents[1] / "out"
    assert json.loads((out / "result.json").read_text()) == finished_run.result
    fills = [
        (r["at"], r["symbol"], float(r["size"]), float(r["price"]), float(r["cost"]))
        for r in rows(out / "fills.csv")
    ]
    assert row_digest(fills) == finished_run.result["digests"]["fills"]
    equity = [(r["at"], float(r["value"]), float(r["cash"])) for r in rows(out / "equity.csv")]
    assert row_digest(equity) == finished_run.result["digests"]["equity"]
    assert len(rows(out / "forecasts.csv")) == finished_run.result["forecasts"]
    assert not list(out.glob(".*"))


def test_every_fill_is_at_its_symbol_s_open_after_its_decision_and_costs_what_was_stated(finished_run):
    costs = finished_run.result["costs"]
    for fill in finished_run.simulations["student"].engine.fills:
        assert fill.at >= fill.decided_at
        stated = costs[fill.symbol]
        slip = (stated["slippage_bps"] + stated["latency_bps"]) / 1e4
        price = fill.open * (1 + slip if fill.size > 0 else 1 - slip)
        assert fill.price == pytest.approx(price, rel=1e-12)
        fee = abs(fill.size) * price * stated["fee_bps"] / 1e4
        assert fill.cost == pytest.approx(abs(fill.size) * fill.open * slip + fee, rel=1e-9)


def test_the_journal_has_every_slice_and_what_came_of_it_and_its_chain_holds(finished_run):
    with Journal.open(finished_run.folder / JOURNAL, finished_run.name) as journal:
        journal.verify()
        kinds = [row.kind for row in journal.read()]
    engine = finished_run.simulations["student"].engine
    assert (kinds[0], kinds[-1]) == ("run_started", "run_finished")
    assert kinds.count("forecast") == finished_run.result["forecasts"]
    assert kinds.count("fill") == len(engine.fills)
    assert kinds.count("mark") == len(engine.marks)
    assert kinds.count("slice") > finished_run.result["bars"]


def test_an_interrupted_run_is_listed_as_interrupted(tmp_path):
    class Interrupted(RuleStudent):
        def answer(self, prompts, on_progress):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Interrupted())
    finished = run(tmp_path)
    assert [(one.run, one.state) for one in list_runs(tmp_path)] == [
        (finished.name, "finished"),
        ("20300102-030405", "interrupted"),
    ]


def test_bad_data_leaves_nothing_behind(tmp_path):
    (tmp_path / "BTC-USD.csv").write_text("date,open,high,low,close,volume\n2024-01-01,1,1,1,-1,1\n")
    from engine.errors import DataError

    with pytest.raises(DataError):
        run(tmp_path / "data", bars=(tmp_path / "BTC-USD.csv",))
    assert not (tmp_path / "data").exists()


def test_forecasts_from_before_the_release_are_counted_apart(tmp_path):
    flags = {"bars": _write_bars(tmp_path, 60)}
    result = run(tmp_path / "a", RuleStudent(released=date(2024, 2, 1)), **flags).result
    assert result["contaminated_n"] == 25
    assert (result["before_release"]["n"], result["after_release"]["n"]) == (25, result["forecasts"] - 25 - 1)
    assert "until its release, 2024-02-01" in "".join(list_conclusions(result))
    student = RuleStudent(released=date(2024, 2, 1))
    student.knowledge_until = date(2024, 1, 20)
    result = run(tmp_path / "c", student, **flags).result
    assert result["before_cutoff"]["n"] == 25 - 11
    assert result["after_cutoff"]["forecasts"] == result["forecasts"] - (25 - 11)
    lines = "".join(list_conclusions(result))
    assert "until its training data end, 2024-01-20" in lines
    assert run(tmp_path / "b", RuleStudent(), **flags).result["contaminated_n"] is None


def test_several_currencies_are_refused(tmp_path):
    _write_bars(tmp_path, 20)
    (tmp_path / "BTC-USD.csv").rename(tmp_path / "BTC-EUR.csv")
    _write_bars(tmp_path, 20)
    from engine.errors import DataError

    with pytest.raises(DataError, match="EUR, USD"):
        run(tmp_path / "data", bars=(tmp_path,))


def made_until(played, instant):
    """The student's calls and orders up to an instant and its fills before it, as they can be compared.

    A fill at the very instant needs the next bar's open, which is not known to a run that ends there.
    """
    student = played["student"]
    return (
        [call for call in student.calls if call.as_of <= instant],
        [
            (o.number, o.decided_at, o.due_at, o.symbol, o.size)
            for o in student.engine.orders
            if o.decided_at <= instant
        ],
        [f for f in student.engine.fills if f.at < instant],
    )


def alter_bars(facts, instant, rng):
    """The same facts, but everything that became known after `instant` at random."""

    def bar(one):
        if one.closes_at <= instant:
            return one
        opening = one.open if one.opens_at <= instant else one.open * rng.uniform(0.5, 2)
        close = one.close * rng.uniform(0.5, 2)
        return replace(
            one, open=opening, close=close, high=max(opening, close) * 1.1, low=min(opening, close) * 0.9
        )

    news = [
        item if item.available_at <= instant else replace(item, title=f"Altered {rng.random()}")
        for item in facts.news
    ]
    return replace(facts, bars={s: tuple(map(bar, series)) for s, series in facts.bars.items()}, news=news)


def remove_bars(facts, instant):
    """The same facts without anything that became known after `instant`."""
    bars = {s: tuple(b for b in series if b.closes_at <= instant) for s, series in facts.bars.items()}
    return replace(facts, bars=bars, news=[i for i in facts.news if i.available_at <= instant])


@pytest.mark.slow
@pytest.mark.parametrize("source", [pytest.param("simulated"), pytest.param("real", marks=needs_real)])
def test_what_comes_later_changes_no_earlier_forecast_order_or_fill(tmp_path, monkeypatch, source):
    flags = BITCOIN if source == "real" else {}
    facts = load_market_data(load_config(None, SMALL | flags), tmp_path)
    whole = run(tmp_path / "whole", **flags).simulations
    rng = random.Random(4)
    closes = sorted({bar.closes_at for bar in facts.traded_bars})[8:-2]
    for number, instant in enumerate(rng.sample(closes, 3)):
        for kind, change in (
            ("cut", remove_bars(facts, instant)),
            ("altered", alter_bars(facts, instant, rng)),
        ):
            monkeypatch.setattr(front_door, "load_market_data", lambda *_, change=change: change)
            other = run(tmp_path / f"{kind}-{number}", **flags).simulations
            assert made_until(other, instant) == made_until(whole, instant)


def _write_bars(folder, days):
    lines = ["date,open,high,low,close,volume"]
    for n in range(days):
        close = 100 + (n * 7919) % 13 / 4
        lines.append(f"{date(2024, 1, 1) + timedelta(days=n)},{close},{close + 1},{close - 1},{close},5")
    (folder / "BTC-USD.csv").write_text("\n".join(lines) + "\n")
    return (folder / "BTC-USD.csv",)


def test_a_share_that_cannot_be_sold_short_is_sold_when_shorting_is_allowed_elsewhere(tmp_path):
    flags = {
        "bars": _write_bars(tmp_path, 40),
        "allow_short": True,
        "instruments": {"BTC-USD": {"shortable": False}},
    }
    engine = run(tmp_path / "data", **flags).simulations["student"].engine
    assert not [order for order in engine.orders if order.status == "rejected"]
    held, least = 0.0, 0.0
    for fill in engine.fills:
        held += fill.size
        least = min(least, held)
    assert {fill.size > 0 for fill in engine.fills} == {True, False}
    assert least >= 0


def test_the_journal_tells_from_time_to_time_how_many_closes_are_forecast(tmp_path, finished_run):
    ticks = (NOW + timedelta(seconds=3 * number) for number in range(10_000))
    made = backtest(
        load_config(None, SMALL), data_dir=tmp_path, clock=lambda: next(ticks), student=RuleStudent()
    )
    with Journal.open(made.folder / JOURNAL, made.name) as journal:
        told = [row.payload for row in journal.read(kinds=("forecasting",))]
    assert told and told[-1] == {"done": made.result["forecasts"], "total": made.result["forecasts"]}
    assert made.result["digests"] == finished_run.result["digests"]


def test_a_benchmark_is_bought_once_and_held_and_need_not_be_traded(tmp_path, finished_run):
    (first, second, *_), traded = sorted(finished_run.bars), finished_run.simulations
    result = run(tmp_path, symbols=[first], benchmark=second)
    assert set(result.bars) == {first}
    assert result.result["benchmark"] == second
    held = result.simulations["benchmark"].engine
    (fill,) = held.fills
    bars, first_call = finished_run.bars[second], result.simulations["student"].calls[0].as_of
    decided_at = next(bar.closes_at for bar in bars if bar.closes_at >= first_call)
    bought = next(bar for bar in bars if bar.opens_at >= decided_at)
    assert (fill.symbol, fill.at, fill.open) == (second, bought.opens_at, bought.open)
    assert held.value / held.starting_cash - 1 == pytest.approx(
        0.95 * (bars[-1].close / fill.price - 1), abs=0.02
    )
    scores = result.result["scores"]["benchmark"]
    assert (scores["n"], scores["accuracy"], scores["trades"]) == (0, None, 1)
    assert (scores["alpha"], scores["beta"]) == (pytest.approx(0.0), pytest.approx(1.0))
    alone = run(tmp_path, symbols=[first])
    assert result.result["digests"] == alone.result["digests"]
    ours, before = (each.result["scores"]["student"] for each in (result, alone))
    assert {key for key in ours if ours[key] != before[key]} == {"alpha", "beta"}
    assert finished_run.result["benchmark"] is None
    assert "benchmark" not in traded


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"benchmark": "SPX"}, "no bars of symbol SPX; choose among .* .or name a file of its bars"),
        ({"baselines": ["base"]}, "--baselines base: the student has no adapter; name one with --adapter"),
    ],
)
def test_a_benchmark_or_baseline_that_cannot_be_is_refused_before_anything_is_written(tmp_path, flags, words):
    with pytest.raises(UsageError, match=words):
        run(tmp_path, **flags)
    assert not list(tmp_path.iterdir())
