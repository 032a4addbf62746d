from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.news.dedup import DuplicateIndex, DuplicateReason, ItemFingerprint, normalize_link

AT = datetime(2024, 6, 1, 12, tzinfo=UTC)

TEXT = (
    "Shares of the company rose on Friday after it said that sales in the second quarter had grown faster "
    "than analysts expected, helped by demand for its newest phones in Europe and by a weaker dollar, while "
    "costs of memory stayed about the same as in the year before."
)

CHINESE = (
    "周五公司股价上涨，此前公司表示第二季度销售额增长速度快于分析师预期，"
    "欧洲市场对新款手机的需求以及美元走弱起到了推动作用。"
)


def seen(title: str = "", text: str = "", link: str = "", guid: str = "", feed: str = "f", hours: float = 0):
    published_at = AT + timedelta(hours=hours)
    return ItemFingerprint(feed=feed, guid=guid, link=link, title=title, text=text, published_at=published_at)


def why(first: ItemFingerprint, second: ItemFingerprint) -> DuplicateReason | None:
    repeats = DuplicateIndex()
    repeats.add(first)
    return repeats.find_reason(second)


@pytest.mark.parametrize(
    "other",
    [
        "http://a.example/x",
        "https://www.a.example/x/",
        "https://a.example/x?utm_source=rss&fbclid=1",
        "https://A.example/x#top",
    ],
)
def test_one_page_under_several_addresses_is_one_link(other):
    assert why(seen("One", link="https://a.example/x"), seen("Two", link=other)) is DuplicateReason.LINK


def test_other_pages_are_other_links():
    links = {normalize_link(f"https://a.example{end}") for end in ("/x", "/y", "/x?id=1", "/x?id=2", ":8/x")}
    assert len(links) == 5


def test_a_guid_counts_within_its_feed():
    first = seen("One", guid="17")
    assert why(first, seen("Two", guid="17")) is DuplicateReason.GUID
    assert why(first, seen("Two", guid="17", feed="g")) is None


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (
            "Bitcoin falls below $30,000 on Monday",
            "BITCOIN falls below $30,000 on Monday!",
            DuplicateReason.TITLE,
        ),
        (
            "Bitcoin falls below $30,000 on Monday",
            "Bitcoin falls below $30,000 on Monday - Reuters",
            DuplicateReason.TITLE,
        ),
        (
            "UPDATE 2-Fed keeps rates where they were",
            "Fed keeps rates where they were",
            DuplicateReason.TITLE,
        ),
        (
            "Apple starts selling new phone in Europe and Asia",
            "Apple starts selling its new phone in Europe and Asia soon",
            DuplicateReason.NEAR_TITLE,
        ),
        ("Bitcoin falls below $30,000 on Monday", "Bitcoin falls below $29,000 on Monday", None),
        ("Bitcoin rises 5% after court ruling today", "Bitcoin falls 5% after court ruling today", None),
        (
            "Tesla shares rise on strong second quarter sales",
            "Ford shares rise on strong second quarter sales",
            None,
        ),
        (
            "SEC approves the first spot bitcoin fund today",
            "SEC not approves the first spot bitcoin fund today",
            None,
        ),
        ("Markets wrap", "Markets wrap", None),
        ("比特币价格突破六万美元关口", "比特币价格突破六万美元关口！", DuplicateReason.TITLE),
        ("比特币价格今日突破六万美元关口", "比特币价格今日跌破六万美元关口", None),
        ("", "", None),
    ],
)
def test_a_title_is_repeated_where_nothing_in_it_turned(first, second, expected):
    assert why(seen(first), seen(second)) is expected


def test_a_title_may_come_back_after_three_days():
    title = "What to know before the market opens"
    assert why(seen(title), seen(title, hours=71)) is DuplicateReason.TITLE
    assert why(seen(title), seen(title, hours=73)) is None


def test_the_same_title_over_another_text_is_new():
    assert (
        why(
            seen("What to know before markets open", TEXT),
            seen("What to know before markets open", TEXT[::-1]),
        )
        is None
    )


def test_a_text_under_a_reworded_title_is_a_repost():
    first = seen("Company's shares rise after strong phone sales", TEXT)
    assert (
        why(first, seen("Shares rise as phone sales beat forecasts", f"LONDON (Wire) - {TEXT}"))
        is DuplicateReason.TEXT
    )
    assert (
        why(seen("公司股价周五上涨", CHINESE), seen("公司股价涨了", "快讯：" + CHINESE))
        is DuplicateReason.TEXT
    )


def test_a_sites_notice_under_unrelated_titles_is_no_repost():
    assert (
        why(seen("Company's shares rise after strong sales", TEXT), seen("Gold miners dig deeper", TEXT))
        is None
    )
    assert (
        why(seen("Acme Q1 earnings: key metrics", TEXT), seen("Zeta Q4 earnings: key metrics", TEXT)) is None
    )


def test_what_is_only_remembered_by_name_is_not_compared_by_title():
    repeats = DuplicateIndex()
    repeats.add(seen("Bitcoin falls below $30,000 today", link="https://a.example/x"), compare=False)
    assert repeats.find_reason(seen("Bitcoin falls below $30,000 today", link="https://a.example/y")) is None
    assert repeats.find_reason(seen("Other words", link="https://a.example/x")) is DuplicateReason.LINK


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=200), st.text(max_size=20)), max_size=8))
def test_whatever_has_a_link_is_new_once(rows):
    repeats = DuplicateIndex()
    for title, text, link in rows:
        one = seen(title, text, link=f"https://h.example/{link}")
        repeats.find_reason(one)
        repeats.add(one)
        assert repeats.find_reason(one) is DuplicateReason.LINK
