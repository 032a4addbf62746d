import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.instruments import guess_instrument
from feeds.news.entities import OTHER, find_subjects
from feeds.symbols import NameTable
from tests.support.places import SHARED_DATA

DATA = SHARED_DATA
SYMBOLS = ("BTCUSDT", "ETHUSDT", "LINKUSDT", "SOLUSDT", "AAPL", "META", "TSLA", "COST", "F", "600519")

NAMES = NameTable.for_instruments(
    [guess_instrument(symbol) for symbol in SYMBOLS], {"AAPL": ["cupertino giant"]}
)


def match_concerned(title: str, text: str = "") -> frozenset[str] | None:
    return NAMES.match_symbols(find_subjects(title, text, NAMES))


@pytest.mark.parametrize(
    ("title", "symbols"),
    [
        ("BTC rallies past old high", {"BTCUSDT"}),
        ("Bitcoin's rally stalls", {"BTCUSDT"}),
        ("Bitcoin-based funds lose money", {"BTCUSDT"}),
        ("BTC/USDT breaks out", {"BTCUSDT"}),
        ("Bitcoin and Ether lead gains", {"BTCUSDT", "ETHUSDT"}),
        ("LINK jumps as crypto gains", {"LINKUSDT"}),
        ("Why $LINK is up", {"LINKUSDT"}),
        ("$F to build a new plant", {"F"}),
        ("Carmaker (NYSE: F) recalls trucks", {"F"}),
        ("Tesla (NASDAQ: TSLA) falls", {"TSLA"}),
        ("Apple's iPhone sales slip", {"AAPL"}),
        ("The Cupertino giant reports", {"AAPL"}),
        ("COST beats on earnings and revenue", {"COST"}),
        ("比特币和以太坊大涨", {"BTCUSDT", "ETHUSDT"}),
        ("苹果公司发布新手机", {"AAPL"}),
        ("贵州茅台（600519）股价创新高", {"600519"}),
        ("sh600519涨停", {"600519"}),
        ("600519.SH 涨停", {"600519"}),
    ],
)
def test_a_name_that_is_traded_is_found(title, symbols):
    assert match_concerned(title) == symbols


@pytest.mark.parametrize(
    "title",
    [
        "Bitcoin Cash jumps",
        "Ethereum Classic forks",
        "比特币现金大涨",
        "Apple pie recipes for autumn",
        "apple shares its recipe",
        "Watch the link near you",
        "The cost of living",
        "Solar wind, sol by sol",
        "Meta-analysis of 40 drugs",
        "苹果丰收了",
        "中国银行业面临压力",
        "The year 600519 in fiction",
        "A local bakery opens",
        "",
    ],
)
def test_what_only_looks_like_a_name_is_not_taken_for_one(title):
    assert not match_concerned(title)


@pytest.mark.parametrize(
    ("title", "symbol"),
    [
        ("Yield curve inverts as Fed holds rates", "CRVUSDT"),
        ("Yield Curve inverts as crypto traders watch the Fed", "CRVUSDT"),
        ("Chinese spy balloon rattles markets", "SPY"),
        ("CHINESE SPY balloon rattles stock markets", "SPY"),
        ("Not an iota of doubt: the Fed will cut rates this month", "IOTAUSDT"),
        ("Stocks, bonds, etc. fall as the economy cools", "ETCUSDT"),
        ("BOE buys 20 billion of gilts as markets fall", "000725"),
        ("People's Bank of China cuts rates, markets rise", "601988"),
        ("ETH Zurich models the economy", "ETHUSDT"),
        ("The Oracle of Omaha on shares and the economy", "ORCL"),
        ("Optimism Returns to Crypto Markets", "OPUSDT"),
        ("Ripple Effects in crypto as the Fed cuts rates", "XRPUSDT"),
        ("Visa rules weigh on shares and the economy", "V"),
        ("A few microns thick: markets for films", "MU"),
    ],
)
def test_a_word_of_the_language_is_no_coin_and_no_fund(title, symbol):
    names = NameTable.for_instruments([guess_instrument(symbol), guess_instrument("BTCUSDT")])
    assert names.match_symbols(find_subjects(title, "", names)) == frozenset()


@pytest.mark.parametrize(
    ("title", "symbol"),
    [
        ("Curve token jumps as DeFi recovers", "CRVUSDT"),
        ("SPY sees record inflows as stocks rise", "SPY"),
        ("IOTA coin rallies", "IOTAUSDT"),
        ("ETC forks again, crypto miners say", "ETCUSDT"),
        ("BOE Technology sees profits rise", "000725"),
        ("Bank of China raises its dividend", "601988"),
        ("ETH climbs past 3,000 dollars", "ETHUSDT"),
    ],
)
def test_such_a_word_is_a_name_where_the_text_is_about_it(title, symbol):
    names = NameTable.for_instruments([guess_instrument(symbol)])
    assert names.match_symbols(find_subjects(title, "", names)) == {symbol}


def test_a_text_without_any_name_concerns_nothing_and_a_topic_the_whole_market():
    assert find_subjects("A local bakery opens", "", NAMES) == (OTHER,)
    assert match_concerned("A local bakery opens") is None
    assert match_concerned("Fed holds rates") == frozenset()
    assert match_concerned("央行下调利率") == frozenset()


def test_the_title_decides_and_the_text_only_where_the_title_names_nothing():
    assert match_concerned("Bitcoin rises", "Tesla fell as well") == {"BTCUSDT"}
    assert match_concerned("Shares rise", "Tesla said on Monday that sales grew") == {"TSLA"}
    assert match_concerned("A bakery opens", "x" * 600 + " Tesla") is None


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared news data is not on this machine")
def test_most_headlines_filed_under_bitcoin_name_it_and_few_of_the_others_do():
    path = DATA / "news_crypto_googlenews_2023" / "googlenews_by_coin.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["symbols"] in ("BTC", "ETH")][::10]
    filed = {"BTC": "BTCUSDT", "ETH": "ETHUSDT"}
    named = [filed[row["symbols"]] in (match_concerned(row["title"], row["text"]) or ()) for row in rows]
    assert len(rows) > 200
    assert sum(named) / len(named) > 0.8


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=120), st.text(max_size=300))
def test_any_text_has_subjects_that_the_table_takes(title, text):
    subjects = find_subjects(title, text, NAMES)
    assert subjects == (OTHER,) or all(NAMES.contains(subject) for subject in subjects)
    assert ";" not in "".join(subjects)
