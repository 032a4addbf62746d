from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.masked_dates import mask_dates
from llm.masking import hide_dates, mask_observation, mask_text
from llm.prompts import find_template
from tests.support.observations import make_observation

TODAY = date(2024, 3, 8)
NAMES = (
    ("BTCUSDT", ("BTC", "bitcoin", "比特币")),
    ("ETHUSDT", ("ETH", "ether", "ethereum", "以太坊")),
    ("AAPL", ("apple", "apple inc", "苹果")),
    ("META", ("facebook",)),
    ("TSLA", ("tesla", "特斯拉")),
    ("600519", ("贵州茅台", "茅台")),
)


@pytest.mark.parametrize(
    ("written", "masked"),
    [
        ("fell on March 5, 2024 after", "fell 3 days ago after"),
        ("Mar. 5th rally", "3 days ago rally"),
        ("5 March 2024: inflows", "3 days ago: inflows"),
        ("The 5th of March was hot", "3 days ago was hot"),
        ("On 2024-03-05 the coin", "3 days ago the coin"),
        ("2024-03-05T12:30:00Z close, 2024/3/7, 20240308", "3 days ago close, yesterday, today"),
        ("03/05/2024 and 13/02/2024 and 5.3.2024", "3 days ago and 24 days ago and 3 days ago"),
        ("Jan '24, Dec-23, January 2024", "2 months ago, 3 months ago, 2 months ago"),
        ("to begin Oct . 17", "to begin 5 months ago"),
        ("rises since November", "rises since 4 months ago"),
        ("Q4 2023 miss; 4Q23; Q4'23; 2023Q4", "last quarter miss; last quarter; last quarter; last quarter"),
        ("Q4 results; first quarter of 2024", "last quarter results; this quarter"),
        ("H1 2024, 1H24", "first half of this year, first half of this year"),
        ("FY25 guidance, 2025E EPS", "next year guidance, next year EPS"),
        ("2022-2024 plan, 2023-24 season", "2 years ago to this year plan, last year to this year season"),
        ("in 2024, the 2008 crisis, the 1970s", "this year, the years ago crisis, the decades ago"),
        ("fees hit 2023 low by end-2024", "fees hit last year low by end-this year"),
        ("at 2024 Paris games, since 2023", "at this year Paris games, since last year"),
        ("2024年3月5日晚间公告,2023年净利润", "3天前晚间公告,去年净利润"),
        ("3月5日讯;24年3月7日;二〇二四年三月八日", "3天前讯;昨天;今天"),
        ("2024年2月;12月销量;2023年第四季度;一季度", "上个月;3个月前销量;上个季度;本季度"),
        ("2024年前三季度;2023年年报;23年报;2022-2024年", "今年前三季度;去年年报;去年报;2年前至今年"),
        ("6日晚间公告", "2天前晚间公告"),
    ],
)
def test_dates_in_their_many_forms_become_relative(written, masked):
    assert mask_dates(written, TODAY) == masked
    assert mask_dates(masked, TODAY) == masked


@pytest.mark.parametrize(
    "text",
    [
        "gold tops 2024, silver near 2050, S&P at 2024, 2024 points, $2024, 2,024, 2024.5, 1999 dollars",
        "2024 BTC, 2000 jobs cut, up 2024%, may fall 5%, march on, 12:30 ET, v2.0.24, iPhone 15, S&P 500",
        "股价报2024元,涨至2024点,10年期国债,5年来,近5日,5日均线,连续5日,3个月,前三季度,1999万元",
        "the 14th ATM, 100 days, 7 of 10, 24/7 outside",
    ],
)
def test_amounts_and_durations_are_no_dates(text):
    assert mask_dates(text, TODAY) == text


@pytest.mark.parametrize(
    ("symbol", "written", "masked"),
    [
        (
            "BTCUSDT",
            "Bitcoin's rally: BTC/USDT and $BTC up, bitcoin too",
            "ASSET's rally: ASSET and ASSET up, ASSET too",
        ),
        (
            "BTCUSDT",
            "Ether and ETH fall, $DOGE and Tesla Inc. too",
            "ASSET-2 and ASSET-2 fall, ASSET-4 and ASSET-3 too",
        ),
        ("BTCUSDT", "Вitcoin in disguise, Bit\u200bcoin, ＢＴＣ", "ASSET in disguise, ASSET, ASSET"),
        (
            "AAPL",
            "Apple pie is no apple; Tim Cook shows an iPhone",
            "ASSET pie is no apple; PERSON-1 shows an PRODUCT-1",
        ),
        ("META", "Meta and Facebook (NASDAQ: META)", "ASSET and ASSET"),
        ("TSLA", "CEO Elon Musk speaks; Musk adds", "CEO PERSON-1 speaks; PERSON-1 adds"),
        ("TSLA", "analyst Tom Leeson agrees; Leeson says", "analyst PERSON-1 agrees; PERSON-1 says"),
        (
            "TSLA",
            "Tesla CEO Says He Will Sell to Acme Widgets Corp.",
            "ASSET CEO Says He Will Sell to COMPANY-1",
        ),
        ("600519", "贵州茅台(sh600519)公告,董事长丁雄军表示", "ASSET(ASSET)公告,董事长PERSON-1表示"),
        (
            "600519",
            "600519.SH涨,五粮液(000858.SZ)跌,净利600519万元",
            "ASSET涨,五粮液(ASSET-2)跌,净利600519万元",
        ),
        ("BTCUSDT", "比特币涨至69000美元,马斯克称特斯拉接受", "ASSET涨至69000美元,PERSON-1称ASSET-2接受"),
    ],
)
def test_names_in_english_and_chinese_become_masks(symbol, written, masked):
    assert mask_text(written, symbol, TODAY, NAMES) == masked
    assert mask_text(masked, symbol, TODAY, NAMES) == masked


@pytest.mark.parametrize(
    ("written", "masked"),
    [
        (
            "Bitcoin tops $30,000 for the first time since June",
            "ASSET tops 101.7% of its close for the first time",
        ),
        (
            "Bitcoin slips below 30k, back above US$28,000",
            "ASSET slips below 101.7% of its close, back above 94.9%",
        ),
        ("BTC is at 29,500.5 USDT, up 4.9%", "ASSET is at 100.0% of its close, up 4.9%"),
        ("比特币报29500美元", "ASSET报收盘价的100.0%"),
        (
            "Ether tops $1,900 while Bitcoin holds 29,500",
            "ASSET-2 tops a price level while ASSET holds 100.0% of",
        ),
        (
            "Bitcoin fund takes $1.9 billion, a $25 fee, 30,000 coins",
            "ASSET fund takes $1.9 billion, a $25 fee, 30,000",
        ),
        ("Oil falls below $30,000 a ton; 12,000 jobs", "Oil falls below $30,000 a ton; 12,000 jobs"),
        (
            "Bitcoin miner owes $30,000 mln, 30,000-coin trove",
            "ASSET miner owes $30,000 mln, 30,000-coin trove",
        ),
    ],
)
def test_price_levels_become_relative_and_ordinary_amounts_stay(written, masked):
    seen = make_observation([29_500.0] * 30, [written], symbol="BTCUSDT")
    (item,) = mask_observation(seen, NAMES).news
    assert item.headline.startswith(masked)
    assert mask_observation(replace(seen, news=(item,)), NAMES).news == (item,)


WORDS = """
Bitcoin BTC ether Tesla's Musk CEO Elon Tom Leeson Inc. Corp $69,000 2024 March 5, Q3 2024-03-05 Apple said on
特斯拉 2024年3月5日 sh600519 董事长 丁雄军 ASSET PERSON-1 (NASDAQ: TSLA) , $DOGE in 24 3月 year
"""
words = st.sampled_from(WORDS.split())


@settings(max_examples=100, deadline=None)
@given(st.lists(words, max_size=12))
def test_masking_a_masked_text_changes_nothing(parts):
    masked = mask_text(" ".join(parts), "BTCUSDT", TODAY, NAMES)
    assert mask_text(masked, "BTCUSDT", TODAY, NAMES) == masked


@pytest.fixture(scope="module")
def seen():
    titles = ["Ether follows", "Bitcoin and Ether, says analyst Ann Smith", "Smith sold in April 2024"]
    return make_observation([100.0 + n for n in range(100)], titles, symbol="BTCUSDT")


def test_a_name_has_the_same_mask_in_all_headlines_of_a_day(seen):
    masked = mask_observation(seen, NAMES)
    assert masked.symbol == "ASSET"
    assert [news.headline for news in masked.news] == [
        "ASSET-2 follows",
        "ASSET and ASSET-2, says analyst PERSON-1",
        "PERSON-1 sold this month",
    ]
    assert masked.bars == seen.bars


@pytest.mark.parametrize("name", ["full", "append", "full-v1", "compact"])
def test_no_masked_prompt_has_a_name_a_date_or_a_year(seen, name):
    template = find_template(name, names=NAMES)
    text = "\n".join(message["content"] for message in template.messages(seen, 3))
    for secret in ("BTC", "itcoin", "Ether", "Smith", "2024", "April"):
        assert secret not in text
    bare = "\n".join(message["content"] for message in find_template(name).messages(seen, 3))
    assert "Ether" in bare
    assert template.key != find_template(name).key


def test_hidden_dates_keep_the_day_of_the_week_and_the_distances(seen):
    hidden = hide_dates(seen)
    assert hidden.as_of.year == 2001
    assert (seen.as_of - hidden.as_of) % timedelta(weeks=1) == timedelta()
    assert {a.closes_at - b.closes_at for a, b in zip(seen.bars, hidden.bars, strict=True)} == {
        seen.as_of - hidden.as_of
    }
