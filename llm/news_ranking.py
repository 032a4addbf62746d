"""The order of news: about the symbol, about the market, promotion; new before old, and each text once."""

import re
from dataclasses import dataclass
from functools import lru_cache

from engine.model import NewsItem
from llm.sanitizing import normalize_line

_PROMOTION = re.compile(
    r"\b(?:sponsored|advertorial|paid post|partner content|press release|promo(?:tion(?:al)?)? code|coupon"
    r"|giveaway|referral|sign[- ]up bonus|welcome bonus|free (?:spins|trial|webinar|signals)|presale|pre-sale"
    r"|casino bonus|join (?:us|our|now)|don'?t miss(?: out)?|click here|subscribe|limited[- ]time|buy now"
    r"|guaranteed (?:profits?|returns?)|get rich|\d{2,4}x (?:gains?|returns?|potential)"
    r"|(?:best|top) \d{0,2} ?(?:\w+ ){0,2}to buy)\b"
    r"|广告|推广|赞助内容|限时|优惠码|扫码|加群|入群|领取|开户(?:福利|礼|送)|免费(?:诊股|领)|牛股推荐|点击(?:查看|进入)",
    re.IGNORECASE,
)
_WORDS = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """One line of news.

    Attributes:
        text: The normalized headline, not yet cut.
        is_own: Whether the item names the symbol, rather than being about the whole market.
    """

    text: str
    is_own: bool


@lru_cache(maxsize=2)  # a prompt is written again for each number of headlines until it fits
def rank_headlines(news: tuple[NewsItem, ...], width: int) -> tuple[Headline, ...]:
    """Return the headlines of an observation, the most relevant first.

    What names the symbol comes before what concerns the whole market, new before old, and promotion last.
    Items of the same words are one, and items without words are left out.

    Args:
        news: The items.
        width: How many columns will be shown of each.
    """
    newest_first = sorted(
        news, key=lambda item: (item.available_at, item.published_at, item.id), reverse=True
    )
    seen = [
        (Headline(text=normalize_line(item.headline, width), is_own=bool(item.symbols)))
        for item in newest_first
    ]
    ranked = sorted(seen, key=lambda headline: (is_promotion(headline.text), not headline.is_own))
    by_words: dict[tuple[str, ...], Headline] = {}
    for headline in ranked:
        if words := tuple(sorted(_WORDS.findall(headline.text.casefold()))):
            by_words.setdefault(words, headline)
    return tuple(by_words.values())


def is_promotion(text: str) -> bool:
    """Return whether a headline sells something rather than reporting it, by the words of such texts."""
    return _PROMOTION.search(text) is not None
