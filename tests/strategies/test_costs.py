"""Costs by class and symbol, what the table says of them, currency pairs, and runs recounted by pandas."""

import pandas as pd
import pytest

import closecall as cc
from engine.errors import UsageError
from engine.instruments import DEFAULT_COSTS, AssetClass
from feeds.instruments import guess_instrument
from strategies.conclusions import describe_account
from strategies.config_file import load_config
from strategies.instrument_settings import build_costs, build_instruments
from tests.support.places import ROOT, SHARED_DATA, needs_shared_data
from tui.cli.main import run as run_command

CASES = ROOT.parent / "shared" / "cases"
SHARE, PAIR = CASES / "19-fees-of-a-share", CASES / "20-forex"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="needs the cases of ../shared/cases")


def costs_of(symbols, **settings):
    config = load_config(None, settings)
    return build_costs(config, build_instruments(symbols, config))


def test_the_more_specific_statement_of_a_cost_wins():
    costs = costs_of(
        ["600000", "600519", "BTCUSDT"],
        fee_bps=7,
        slippage_bps=1,
        costs={"a-share": {"fee_bps": 4, "least_fee": 1}, "coin": {"fee_tiers": [[0, 9], [1e6, 8]]}},
        instruments={"600000": {"fee_bps": 30, "sale_tax_bps": 10}},
    )
    own, other, coin = costs["600000"], costs["600519"], costs["BTCUSDT"]
    assert (own.fee_bps, own.least_fee, own.sale_tax_bps, own.slippage_bps) == (30, 1, 10, 1)
    assert (other.fee_bps, other.least_fee) == (4, 1)
    assert (coin.fee_bps, coin.fee_tiers) == (7, ((0, 9), (1e6, 8)))
    assert coin.borrow_rate == DEFAULT_COSTS[AssetClass.COIN].borrow_rate


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"costs": {"coin": {"fee_tiers": [[5, 1], [1, 2]]}}}, "costs of BTCUSDT: fee_tiers do not ascend"),
        ({"costs": {"bond": {"fee_bps": 1}}}, "bond"),
        ({"costs": {"coin": {"fee": 1}}}, "fee"),
        ({"costs": {"coin": {"least_fee": -1}}}, "least_fee"),
    ],
)
def test_a_cost_that_cannot_be_is_refused_in_one_line(settings, message):
    with pytest.raises(UsageError, match=message) as error:
        costs_of(["BTCUSDT"], **settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("symbol", ["EURUSD", "EUR/USD", "eur_usd", "EURUSD=X", "USDJPY", "XAUUSD"])
def test_a_pair_of_currencies_trades_from_monday_to_friday(symbol):
    pair = guess_instrument(symbol)
    assert (pair.asset_class, pair.calendar) == (AssetClass.FX, "24/5")
    assert pair.currency == symbol.upper().removesuffix("=X")[-3:]


@pytest.mark.parametrize("symbol", ["BTCUSD", "USDTUSD", "USDCUSDT", "EURC", "AAPL", "BTC-EUR", "USDUSD"])
def test_a_coin_or_share_is_no_pair_of_currencies(symbol):
    assert guess_instrument(symbol).asset_class is not AssetClass.FX


class Swing(cc.Strategy):
    """Buys every fourth day and sells two days later."""

    days, weights = 0, (0.6,)

    def on_close(self, slice):
        self.days += 1
        for symbol in slice.bars:
            if self.days % 2 == 0:
                weight = self.weights[ord(symbol[0]) % len(self.weights)]
                self.order_target_percent(symbol, weight if self.days % 4 == 0 else 0.0)


class LongShort(Swing):
    """Buys some symbols and sells others short, for four days of every eight."""

    weights = (0.2, -0.15)


@needs_cases
def test_a_currency_pair_runs_from_its_file_as_it_is():
    data = cc.MarketData.from_files(PAIR / "EURUSD.csv")
    result = cc.backtest(data, strategy=Swing())
    assert {bar.opens_at.weekday() for bar in data.bars["EURUSD"]} == set(range(5))
    assert len(result.fills) > 10
    assert describe_account(result.result) == [
        "Account: 100,000 USD at the start; every fill is a market order.",
        "Costs of EURUSD: fee 0.2 bp, slippage 0.5 bp, latency 0.5 bp, borrowing 2.0% a year.",
    ]


@needs_cases
def test_the_table_states_cash_currency_and_costs_of_a_symbol_with_its_own(tmp_path, capsys):
    words = ["backtest", "--config", SHARE / "a.toml", "--bars", SHARE / "600000.csv", "--data-dir", tmp_path]
    assert run_command([str(word) for word in words]) == 0
    shown = capsys.readouterr().out
    assert "Account: 100,000 CNY at the start" in shown
    assert "Costs of 600000: fee 30 bp" in shown


def recount(result, data, commission_of):
    """Cash and value after each close, by pandas from the fills and the bars alone."""
    fills = result.fills.assign(at=pd.to_datetime(result.fills["at"]))
    closes = pd.DatetimeIndex(pd.to_datetime(result.equity["at"]))
    cash, held = result.result["cash"], 0.0
    for symbol, series in data.bars.items():
        bars = pd.DataFrame(
            [(bar.opens_at, bar.closes_at, bar.open, bar.close) for bar in series],
            columns=["opens_at", "closes_at", "open", "close"],
        )
        costs = result.result["costs"][symbol]
        own = fills[fills["symbol"] == symbol].merge(bars, left_on="at", right_on="opens_at")
        slip = (costs["slippage_bps"] + costs["latency_bps"]) / 10_000
        sign = own["size"].apply(lambda size: 1 if size > 0 else -1)
        assert own["price"].tolist() == (own["open"] * (1 + sign * slip)).tolist()
        commission = commission_of(own.assign(value=own["size"].abs() * own["price"]), costs)
        slippage = own["size"] * (own["price"] - own["open"])
        assert own["cost"].tolist() == pytest.approx((commission + slippage).tolist(), rel=1e-13)
        own["flow"] = -own["size"] * own["price"] - commission
        days = bars.set_index("closes_at").join(own.groupby("closes_at")[["flow", "size"]].sum())
        flow, position = days["flow"].fillna(0.0), days["size"].fillna(0.0).cumsum()
        cash = cash + (flow.cumsum() - charge_borrow(days, position, costs)).reindex(closes).fillna(0.0)
        held = held + (position * days["close"]).reindex(closes).fillna(0.0)
    return cash, cash + held


def charge_borrow(days, position, costs):
    """What a short has paid until each close, on its value at the open of its day."""
    a_day = -position.clip(upper=0.0) * days["open"] * costs["borrow_rate"] / 365
    opens = days["opens_at"]
    until_next = a_day * ((opens.shift(-1) - opens) / pd.Timedelta(days=1))
    until_close = a_day * ((days.index - opens) / pd.Timedelta(days=1))
    return until_next.cumsum().shift(fill_value=0.0) + until_close


def least_and_tax(fills, costs):
    fee = (fills["value"] * costs["fee_bps"] / 10_000).clip(lower=costs["least_fee"])
    return fee + (fills["size"] < 0) * fills["value"] * costs["sale_tax_bps"] / 10_000


def tiers(fills, costs):
    fees = []
    for fill in fills.itertuples():
        before = fills[(fills["at"] < fill.at) & (fills["at"] >= fill.at - pd.Timedelta(days=30))]
        reached = [bps for least, bps in costs["fee_tiers"] if least <= before["value"].sum()]
        fees.append(fill.value * (reached[-1] if reached else costs["fee_bps"]) / 10_000)
    return pd.Series(fees)


def simulated_coin():
    market = cc.MarketData.simulated(seed=11, coins=1, stocks=0, days=90)
    (bars,) = market.bars.values()
    rows = [(b.opens_at.date(), b.open, b.high, b.low, b.close, b.volume) for b in bars]
    frame = pd.DataFrame(rows, columns=["date", "open", "high", "low", "close", "volume"])
    return cc.MarketData.from_frames({"BTC-USD": frame})


def real_files(folder, *symbols, **days):
    return cc.MarketData.from_files([SHARED_DATA / folder / f"{symbol}.csv" for symbol in symbols], **days)


@pytest.mark.parametrize(
    ("load", "strategy", "settings", "commission_of"),
    [
        pytest.param(
            lambda: cc.MarketData.from_files(SHARE / "600000.csv"),
            Swing,
            {"cash": 20_000},
            least_and_tax,
            marks=needs_cases,
            id="an A-share at its default costs",
        ),
        pytest.param(
            lambda: cc.MarketData.from_files(PAIR / "EURUSD.csv"),
            Swing,
            {"costs": {"fx": {"least_fee": 2}}},
            least_and_tax,
            marks=needs_cases,
            id="a currency pair with a least fee",
        ),
        pytest.param(
            simulated_coin,
            Swing,
            {"costs": {"coin": {"fee_tiers": [[200_000, 8], [500_000, 6]]}}},
            tiers,
            id="a coin with fee tiers",
        ),
        pytest.param(
            lambda: real_files(
                "us_stocks_daily", "AAPL", "TSLA", "JNJ", start="2022-06-01", end="2022-08-31"
            ),
            LongShort,
            {"allow_short": True, "costs": {"stock": {"least_fee": 1}}},
            least_and_tax,
            marks=needs_shared_data,
            id="US stocks held and sold short",
        ),
        pytest.param(
            lambda: real_files(
                "coins_binance_daily", "BTCUSDT", "SOLUSDT", "AVAXUSDT", start="2020-08-01", end="2020-11-15"
            ),
            LongShort,
            {"allow_short": True},
            least_and_tax,
            marks=needs_shared_data,
            id="coins held and sold short, two of them listed late",
        ),
    ],
)
def test_a_run_recounted_by_pandas_has_the_same_cash_and_value_to_the_last_digit(
    load, strategy, settings, commission_of
):
    data = load()
    result = cc.backtest(data, strategy=strategy(), **settings)
    assert len(result.fills) > 10
    held = result.fills.groupby("symbol")["size"].cumsum()
    assert bool(held.min() < -1e-9) == (strategy is LongShort)
    cash, value = recount(result, data, commission_of)
    assert result.equity["cash"].tolist() == pytest.approx(cash.tolist(), rel=1e-12)
    assert result.equity["value"].tolist() == pytest.approx(value.tolist(), rel=1e-12)


@needs_cases
def test_a_hundred_shares_pay_five_yuan_and_a_sale_the_stamp_duty():
    data = cc.MarketData.from_files(SHARE / "600000.csv")
    result = cc.backtest(data, strategy=Swing(), cash=2_000, slippage_bps=0, latency_bps=0)
    fills = result.fills
    assert set(fills["size"]) == {100.0, -100.0}
    assert fills["cost"].tolist() == pytest.approx(
        [5 + (100 * fill.price * 0.0005 if fill.size < 0 else 0) for fill in fills.itertuples()]
    )
    assert describe_account(result.result)[1] == (
        "Costs of 600000: fee 3 bp, at least 5 a fill, tax 5 bp on sales, slippage 0 bp, latency 0 bp, "
        "borrowing 8.0% a year."
    )
