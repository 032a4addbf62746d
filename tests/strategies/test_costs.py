"""Costs by class and symbol, what the table says of them, currency pairs, and runs recounted by pandas."""

import pytest

import closecall as cc
from engine.errors import UsageError
from engine.instruments import DEFAULT_COSTS, AssetClass
from feeds.instruments import guess_instrument
from strategies.conclusions import describe_account
from strategies.config_file import load_config
from strategies.instrument_settings import build_costs, build_instruments
from tests.support.places import ROOT
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
    assert (pair.asset_class, pair.calendar, pair.days_per_year) == (AssetClass.FX, "24/5", 260)
    assert pair.currency == symbol.upper().removesuffix("=X")[-3:]


@pytest.mark.parametrize("symbol", ["BTCUSD", "USDTUSD", "USDCUSDT", "EURC", "AAPL", "BTC-EUR", "USDUSD"])
def test_a_coin_or_share_is_no_pair_of_currencies(symbol):
    assert guess_instrument(symbol).asset_class is not AssetClass.FX


class Swing(cc.Strategy):
    """Buys every fourth day and sells two days later."""

    days = 0

    def on_close(self, slice):
        self.days += 1
        for symbol in slice.bars:
            if self.days % 2 == 0:
                self.order_target_percent(symbol, 0.6 if self.days % 4 == 0 else 0.0)


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
