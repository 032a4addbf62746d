"""Mask an observation: names become ASSET, PERSON-1, PRODUCT-1, and dates and price levels relative ones.

A model whose training data cover the days of a test may remember what came of a headline. What is masked here
is what it would remember it by. The names of symbols are passed in, people and products that headlines often
name are in `llm.known_figures`, and others are found by the title before their name. The same name gets the
same mask in all headlines of an observation. Masking what is masked changes nothing.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import lru_cache

from engine.model import NewsItem, Observation
from llm.known_figures import EVERYDAY, PEOPLE, PRODUCTS, TICKERS_AS_NAMES, parse_groups
from llm.masked_dates import mask_dates
from llm.masked_prices import mask_prices
from llm.sanitizing import normalize_line

ASSET = "ASSET"
Names = tuple[tuple[str, tuple[str, ...]], ...]
"""The names of each symbol, as `StudentSettings.names` has them."""

_WIDTH = 120  # what is masked of a headline is enough for this many columns
_LAST_DAY = date(2001, 1, 7)
_SMALL_TICKERS = frozenset({"btc", "xbt", "eth", "xrp", "bnb", "ltc", "doge", "usdt", "usdc"})
_LEGAL_FORM = (
    r"(?:,? (?:Inc|Corp|Corporation|Co|Company|Ltd|Limited|PLC|plc|Holdings|Group|S\.A|AG|SE|N\.V)\b\.?)"
)
_MARK = r"(?:(?:NASDAQ|Nasdaq|NYSE|AMEX|LSE|HKEX|CRYPTO|SSE|SZSE): ?|[$#])?"
_PAIR = r"(?:[/-]?(?:USDT|USDC|BUSD|USD|EUR|PERP))?"
_CODE = re.compile(
    r"(?<![\dA-Za-z.])(?:[sS][hHzZ]|[bB][jJ])?(?P<code>\d{6})(?:\.(?:SH|SS|SZ|BJ|XSHG|XSHE))?"
    r"(?![\dA-Za-z万亿元股张]|\.\d)"
)
_SIX_DIGITS = re.compile(r"\d{6}")
_CASH_TAG = re.compile(r"(?<![A-Za-z0-9$])\$([A-Z]{1,6})(?![A-Za-z0-9])")
_LISTING = re.compile(
    r" ?\((?:NASDAQ|Nasdaq|NYSE|AMEX|LSE|TSX|OTC|HKEX|SSE|SZSE)[A-Za-z]{0,8} ?: ?[A-Z0-9.]{1,8}\)"
)
_COMPANY = re.compile(
    r"(?<![A-Za-z0-9-])((?!ASSET\b|The\b|A\b)[A-Z][A-Za-z&]{1,20}(?: (?!ASSET\b)[A-Z][A-Za-z&]{0,20}){0,3}?)"
    r"(?:,? (?:Inc|Corp|Corporation|Ltd|PLC|plc|LLC|Holdings)\b\.?)"
)
_TITLE = (
    r"(?:CEO|CFO|COO|CTO|Chairman|Chairwoman|Chair|President|Founder|[Cc]o-[Ff]ounder|founder|Secretary|Senator"
    r"|Governor|Minister|Judge|Analyst|analyst|Economist|economist|Strategist|strategist|Sen\.|Rep\.|Gov\.)"
)
_GIVEN = r"[A-Z][a-z]{1,14}(?:-[A-Z][a-z]{1,14})?"
_TITLED = re.compile(
    rf"\b{_TITLE} ({_GIVEN}(?: [A-Z]\.)? {_GIVEN})\b|\b({_GIVEN} {_GIVEN}), (?:the )?{_TITLE}\b"
)
# In a headline whose words all begin with a capital, "CEO Says He" names nobody.
_NO_GIVEN = re.compile(
    r"(?:And|To|Of|On|In|At|For|Will|Is|Has|Was|Who|The|Pay|Change|Exit|Sale|Search|Transition|Interview|Stock"
    r"|Price|Target|Rating|Day|Call|Upgrade|Downgrade|Says|Sees|Steps|Sells|Buys|Warns|Tells|Calls|Joins|Quits"
    r"|Wants|Thinks|Believes|Predicts|Expects|Resigns|Reveals|Confirms|Explains|Talks|Takes|Gets|Makes|Plans)\b"
)
_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢"
    "姜崔钟谭陆汪范金石廖贾夏韦傅方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严武戴莫孔向汤"
)
_CHINESE_TITLED = re.compile(
    r"(?:董事长|总裁|总经理|董事会秘书|董秘|首席执行官|首席经济学家|创始人|实际控制人|实控人|监事|财务总监|分析师)"
    rf"(?:兼\w{{2,4}})?([{_SURNAMES}][\u4e00-\u9fff]{{1,2}}?)"
    r"(?=[说称指表在于认透、,。:( ]|先生|女士|辞|回|$)"
)


@lru_cache(maxsize=4)
def mask_observation(observation: Observation, names: Names) -> Observation:
    """Return the observation with its symbol, and the names and dates in its news, masked.

    Args:
        observation: What is masked. Its bars and times stay as they are.
        names: The names that each symbol goes by. The observed one becomes ASSET, others ASSET-2 and so on,
            in the order in which they appear.
    """
    masks = _Masks(observation.symbol, names)
    today = (observation.as_of - timedelta(microseconds=1)).date()
    texts = [normalize_line(item.headline, _WIDTH) for item in observation.news]
    masked = masks.apply(texts)
    news = tuple(
        replace(item, title=mask_dates(mask_prices(text, observation.last_close), today), text="")
        for item, text in zip(observation.news, masked, strict=True)
    )
    return replace(observation, symbol=ASSET, news=news)


def mask_text(text: str, symbol: str, today: date, names: Names) -> str:
    """Return one headline about a symbol with its names and dates masked.

    Args:
        text: The headline.
        symbol: The symbol that becomes ASSET.
        today: The day to which dates are made relative.
        names: As for `mask_observation`.
    """
    (masked,) = _Masks(symbol, names).apply([normalize_line(text, _WIDTH)])
    return mask_dates(masked, today)


def hide_dates(observation: Observation) -> Observation:
    """Return the observation moved by whole weeks into the first week of 2001."""
    weeks = (observation.as_of.date() - _LAST_DAY).days // 7
    return shift_observation(observation, timedelta(weeks=-weeks))


def shift_observation(observation: Observation, by: timedelta) -> Observation:
    """Return the observation with all its times moved."""

    def moved(at: datetime) -> datetime:
        return at + by

    bars = tuple(
        replace(bar, opens_at=moved(bar.opens_at), closes_at=moved(bar.closes_at)) for bar in observation.bars
    )
    return replace(
        observation,
        as_of=moved(observation.as_of),
        bars=bars,
        news=tuple(_shift_item(item, by) for item in observation.news),
    )


def _shift_item(item: NewsItem, by: timedelta) -> NewsItem:
    seen = item.first_seen_at + by if item.first_seen_at else None
    return replace(
        item,
        published_at=item.published_at + by,
        first_seen_at=seen,
        available_at=item.available_at + by,
    )


class _Masks:
    """The masks of one observation, numbered in the order in which the names appear."""

    def __init__(self, symbol: str, names: Names) -> None:
        self._symbol = symbol
        self._names = names
        self._numbers: dict[tuple[str, str], str] = {}

    def apply(self, texts: Sequence[str]) -> list[str]:
        """Return the texts with all names masked."""
        pattern, owners = _compile_names(self._names)
        titled = _compile_people(texts)
        return [self._mask(text, pattern, owners, titled) for text in texts]

    def _mask(
        self,
        text: str,
        pattern: re.Pattern[str],
        owners: dict[str, tuple[str, str]],
        titled: re.Pattern[str] | None,
    ) -> str:
        text = _LISTING.sub("", text)
        text = _CODE.sub(lambda match: self._number_code(match, owners), text)
        text = pattern.sub(lambda match: self._number(*owners[_fold(match["name"])]), text)
        text = _CASH_TAG.sub(lambda match: self._number(ASSET, match[1]), text)
        if titled:
            text = titled.sub(lambda match: self._number("PERSON", _surname(match[0])), text)
        return _COMPANY.sub(lambda match: self._number("COMPANY", match[1]), text)

    def _number_code(self, match: re.Match[str], owners: dict[str, tuple[str, str]]) -> str:
        # Six digits that no symbol has are a number, unless they bear the mark of an exchange.
        code = match["code"]
        if owner := owners.get(code):
            return self._number(*owner)
        return match[0] if match[0] == code else self._number(ASSET, code)

    def _number(self, kind: str, name: str) -> str:
        if kind == ASSET and name == self._symbol:
            return ASSET
        known = sum(1 for other, _ in self._numbers if other == kind)
        return self._numbers.setdefault((kind, name), f"{kind}-{known + (2 if kind == ASSET else 1)}")


@lru_cache(maxsize=8)
def _compile_names(names: Names) -> tuple[re.Pattern[str], dict[str, tuple[str, str]]]:
    """Return a pattern of the table's names and of known people and products, and what each stands for."""
    owners: dict[str, tuple[str, str]] = {}
    for symbol, others in names:
        for name in (symbol, *others):
            owners.setdefault(_fold(name), (ASSET, symbol))
    for kind, groups in (("PERSON", parse_groups(PEOPLE)), ("PRODUCT", parse_groups(PRODUCTS))):
        for group in groups:
            for name in group:
                owners.setdefault(_fold(name), (kind, group[0]))
    written = {name for symbol, others in names for name in (symbol, *others)}
    written |= {name for text in (PEOPLE, PRODUCTS) for group in parse_groups(text) for name in group}
    branches: dict[str, list[str]] = {}
    for name in sorted(filter(None, map(str.strip, written)), key=lambda name: (-len(name), name)):
        for spelling in () if _SIX_DIGITS.fullmatch(name) else _list_spellings(name):
            branches.setdefault(spelling[0], []).append(re.escape(spelling[1:]))
    # Grouped by their first letter, so that most places of a text are left after one comparison.
    name = "|".join(f"{re.escape(first)}(?:{'|'.join(rest)})" for first, rest in sorted(branches.items()))
    pattern = rf"(?<![A-Za-z0-9]){_MARK}(?P<name>{name}){_PAIR}{_LEGAL_FORM}?(?=(?:s|ers?)?(?![A-Za-z0-9]))"
    return re.compile(pattern), owners


def _list_spellings(name: str) -> Iterable[str]:
    """Return how a name is written: a ticker in capitals, a name with and without them."""
    if len(name) == 1:
        return ()
    small = name.lower()
    spellings = {name, name.upper(), *_capitalize(name)} - {small}
    is_name = (len(name) > 5 or not name.isupper()) and small not in EVERYDAY
    return sorted(spellings | {small} if is_name or small in _SMALL_TICKERS else spellings)


def _capitalize(name: str) -> tuple[str, ...]:
    return (name.capitalize(), name.title()) if not name.isupper() or name in TICKERS_AS_NAMES else ()


def _fold(name: str) -> str:
    return name.strip().casefold()


def _compile_people(texts: Sequence[str]) -> re.Pattern[str] | None:
    """Return a pattern of the people that the texts name with a title: whole names, and surnames alone."""
    people: set[str] = set()
    for text in texts:
        for match in _TITLED.finditer(text):
            name = match[1] or match[2]
            if not _NO_GIVEN.match(name) and not _NO_GIVEN.match(name.split()[-1]):
                people |= {name, _surname(name)}
        people |= {match[1] for match in _CHINESE_TITLED.finditer(text)}
    if not people:
        return None
    longest_first = sorted(people, key=lambda name: (-len(name), name))
    return re.compile("|".join(rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z])" for name in longest_first))


def _surname(name: str) -> str:
    return name.split()[-1]
