from datetime import UTC, datetime

import pytest

from engine.instruments import AssetClass, Instrument
from feeds import known_names as words
from feeds.instruments import guess_instrument, known_names, parse_pair
from feeds.symbols import NameTable


def table(*symbols: str, extra: dict[str, list[str]] | None = None) -> NameTable:
    return NameTable.for_instruments([guess_instrument(symbol) for symbol in symbols], extra)


@pytest.mark.parametrize("word", ["bitcoin", " Bitcoin ", "xbt", "$BTC", "比特币", "ＢＴＣ", "BTCUSDT"])
def test_a_coin_goes_by_many_names(word):
    assert table("BTCUSDT", "ETHUSDT").resolve(word) == {"BTCUSDT"}


def test_two_pairs_of_one_coin_share_its_names():
    assert table("BTCUSDT", "BTC-USD").resolve("bitcoin") == {"BTCUSDT", "BTC-USD"}


@pytest.mark.parametrize("word", ["600519", "sh600519", "600519.SS", "贵州茅台", "Kweichow Moutai"])
def test_an_a_share_goes_by_its_code_and_its_names(word):
    assert table("600519").resolve(word) == {"600519"}


@pytest.mark.parametrize("word", ["BRK.B", "brk-b", "BRK/B", "Berkshire Hathaway"])
def test_a_class_of_shares_goes_by_its_common_spellings(word):
    assert table("BRK.B").resolve(word) == {"BRK.B"}


def test_a_company_keeps_its_former_ticker():
    assert table("META").resolve("FB") == {"META"}
    assert table("FB").resolve("META") == {"FB"}


@pytest.mark.parametrize(
    ("symbol", "word"),
    [
        ("BTCUSDT", "BTC-USD"),
        ("BTCUSDT", "BTC/USDT"),
        ("BTCUSDT", "BTCUSD"),
        ("BTCUSDT", "CRYPTO:BTC"),
        ("BTCUSDT", "BINANCE:BTCUSDT"),
        ("BTCUSDT", "BTC.X"),
        ("BTCUSDT", "BTC-PERP"),
        ("XBTUSD", "Bitcoin"),
        ("UNI7083-USD", "uniswap"),
        ("UNI7083-USD", "UNI"),
        ("BRK-B", "BRK.B"),
        ("BRK-B", "Berkshire Hathaway"),
        ("AAPL", "NASDAQ:AAPL"),
        ("AAPL", "AAPL.O"),
        ("600519", "600519.XSHG"),
        ("600519", "SSE:600519"),
    ],
)
def test_a_subject_is_known_in_the_spellings_of_vendors(symbol, word):
    assert table(symbol).match_symbols([word]) == {symbol}


@pytest.mark.parametrize("word", ["LINK-USD", "CRYPTO:LINK", "FOREX:LINK", "LINK.DE"])
def test_a_spelling_of_a_coin_is_not_a_share_of_that_ticker(word):
    assert table("LINK").match_symbols([word]) is None


def test_luna_and_lunc_are_one_coin_until_may_2022_and_two_since():
    before, after = datetime(2022, 5, 27, tzinfo=UTC), datetime(2022, 5, 28, tzinfo=UTC)
    names = table("LUNAUSDT", "LUNCUSDT")
    for word in ("LUNA", "LUNC", "terra", "LUNC-USD", "Terra Classic"):
        assert names.match_symbols([word], before) == {"LUNAUSDT", "LUNCUSDT"}
    assert names.match_symbols(["LUNC"], after) == names.match_symbols(["terra classic"]) == {"LUNCUSDT"}
    assert names.match_symbols(["LUNA"], after) == names.match_symbols(["terra"]) == {"LUNAUSDT"}
    assert table("LUNAUSDT").match_symbols(["LUNC"], after) is None


def test_an_untraded_name_is_known_and_stands_for_nothing():
    names = table("BTCUSDT")
    assert names.contains("Bitcoin Cash")
    assert names.resolve("Bitcoin Cash") == frozenset()
    assert not names.contains("no such thing")


def test_a_user_adds_names_to_a_base_a_symbol_or_a_name():
    names = table(
        "BTCUSDT", "AAPL", extra={"BTC": ["digital gold"], "AAPL": ["cupertino"], "bitcoin": ["sats"]}
    )
    assert names.resolve("Digital Gold") == names.resolve("sats") == {"BTCUSDT"}
    assert names.resolve("cupertino") == {"AAPL"}


def test_names_given_for_an_instrument_count():
    mine = Instrument(
        symbol="ACME", names=("roadrunner",), asset_class=AssetClass.STOCK, calendar="XNYS", currency="USD"
    )
    assert NameTable.for_instruments([mine]).resolve("Roadrunner") == {"ACME"}


def test_an_item_without_subjects_concerns_the_whole_market():
    assert table("AAPL").match_symbols([]) == frozenset()


def test_an_item_about_something_untraded_concerns_nothing():
    assert table("BTCUSDT").match_symbols(["ethereum"]) is None
    assert table("BTCUSDT").match_symbols(["never heard of"]) is None


def test_a_traded_subject_outweighs_untraded_ones_and_topics():
    assert table("BTCUSDT").match_symbols(["ethereum", "nft", "bitcoin"]) == {"BTCUSDT"}


def test_a_coin_topic_concerns_the_whole_market_where_only_coins_are_traded():
    assert table("BTCUSDT", "ETHUSDT").match_symbols(["DeFi"]) == frozenset()


def test_a_coin_topic_concerns_the_coins_where_stocks_are_traded_too():
    assert table("BTCUSDT", "AAPL").match_symbols(["nft", "altcoin"]) == {"BTCUSDT"}


def test_a_coin_topic_concerns_nothing_where_no_coin_is_traded():
    assert table("AAPL").match_symbols(["blockchain"]) is None


def test_a_topic_beside_an_untraded_name_concerns_nothing():
    assert table("BTCUSDT").match_symbols(["defi", "ethereum"]) is None


def test_a_general_topic_concerns_the_whole_market_whatever_is_traded():
    assert table("AAPL").match_symbols(["economy"]) == frozenset()
    assert table("BTCUSDT", "AAPL").match_symbols(["market", "crypto"]) == frozenset()


def test_no_word_of_the_built_in_table_stands_for_two_things():
    for text in (words.COINS, words.STOCKS, words.A_SHARES):
        every = [
            words.normalize_word(word)
            for word in text.replace("\n", "|").replace("|", ",").split(",")
            if word.strip()
        ]
        assert len(every) == len(set(every)), [word for word in every if every.count(word) > 1]


def test_no_topic_is_a_name():
    names = table()
    assert not [topic for topic in words.TOPICS if topic in names.symbols]


@pytest.mark.parametrize(
    ("symbol", "pair"),
    [
        ("BTCUSDT", ("BTC", "USDT")),
        ("btcusdt", ("BTC", "USDT")),
        ("BTC-USD", ("BTC", "USD")),
        ("BTC/USDT", ("BTC", "USDT")),
        ("BTC/USDT:USDT", ("BTC", "USDT")),
        ("TUSDUSDT", ("TUSD", "USDT")),
        ("1INCHUSDC", ("1INCH", "USDC")),
        ("ETHBTC", ("ETH", "BTC")),
        ("SOLEUR", ("SOL", "EUR")),
        ("GBTC", None),
        ("BRK-B", None),
        ("AAPL", None),
        ("600519", None),
    ],
)
def test_a_pair_is_distinguished_from_a_ticker(symbol, pair):
    assert parse_pair(symbol) == pair


def test_known_names_begin_with_the_ticker_in_use():
    assert known_names("FB", AssetClass.STOCK)[:2] == ("FB", "META")
    assert known_names("ZZZUSDT", AssetClass.COIN) == ("ZZZ",)
