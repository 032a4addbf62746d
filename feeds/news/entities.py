"""What a free text is about: the names in it, in English and Chinese.

Knows words and their neighbours, by the table of `feeds.symbols`; it judges nothing. Many tickers and names
are ordinary words as well ("near", "link", "visa", 苹果): those count where they are written as a ticker, or
where other words say that the text is about coins or companies.
"""

import re
import unicodedata
from collections.abc import Iterator

from feeds.symbols import NameTable

OTHER = "other"
"""The subject of a text that names nothing the table knows: it concerns nothing that is traded."""

_LEAD_LENGTH = 500

_WORDS_OF_A_NAME = 4

_LONGEST_CHINESE = 8

_TOKEN = re.compile(r"\$?[A-Za-z0-9&]+(?:[.\-/'’&][A-Za-z0-9]+)*")

_CHINESE = re.compile(r"[\u3400-\u9fff]")

_A_SHARE = re.compile(
    r"\b(?:s[hz][036][0-9]{5}|[036][0-9]{5}\.(?:sh|ss|sz))\b|[(（]([036][0-9]{5})[)）]", re.I
)

_IN_BRACKETS = re.compile(r"[(（](?:[A-Z][A-Za-z]{2,9}\s*[:：]\s*)?(\$?[A-Z][A-Z.]{0,5})[)）]")


def _split_words(listed: str) -> frozenset[str]:
    return frozenset(word.strip() for word in listed.split(","))


# Tickers that are no name: they count in capitals only, and beside words about coins or companies.
_COIN_TICKERS = _split_words(
    "link, near, sand, mana, atom, dash, op, uni, ton, arb, apt, fil, vet, algo, sol, dot, ada, icp, inj, "
    "neo, axs, mkr, crv, grt, luna, pol"
)

_COMPANY_TICKERS = _split_words(
    "cost, coin, hood, dis, hd, ms, ba, ma, mu, ge, gm, ko, pep, wfc, bac, pg, mcd, boe, all, low, now"
)

# Names that are words of the language too: they count with a capital, and beside such words.
_COMMON_COINS = _split_words(
    "stellar, maker, cosmos, avalanche, polygon, tron, terra, quant, ripple, tether, ether, optimism, "
    "stacks, sui, pepe, the graph, the sandbox, internet computer, 雪崩, 波卡"
)

_COMMON_COMPANIES = _split_words(
    "apple, visa, meta, ford, oracle, target, intel, gap, gree, midea, yili, longi, citi, alphabet, "
    "amazon, 苹果"
)

_COMPANY_AFTER = re.compile(r"(?:'s|’s)?,?\s+(?:inc|corp|co|ltd|plc|shares?|stock)\b", re.I)

_ABOUT_COINS = re.compile(
    r"\b(?:crypto\w*|tokens?|coins?|altcoins?|blockchains?|defi|web3|nfts?|bitcoin|ethereum|btc|eth|stablecoins?|"
    r"staking|mainnet|on-chain|wallets?|binance|coinbase|usdt)\b|币|链|代币",
    re.I,
)

_ABOUT_COMPANIES = re.compile(
    r"\b(?:shares?|stocks?|inc|corp|plc|earnings|revenues?|quarter(?:ly)?|profits?|nasdaq|nyse|analysts?|ceo|cfo|"
    r"investors?|dividends?|guidance|sales|company|companies|wall street|market cap|iphone|antitrust|lawsuit|"
    r"acquisition|billion|million|s&p|dow)\b|股|公司|财报|营收|市值|亿|美元|手机|发布|季度",
    re.I,
)

_BANKING = "业"


def find_subjects(title: str, text: str, names: NameTable) -> tuple[str, ...]:
    """The names and topics that an item is about, as `NameTable.concerned` takes them; in their order.

    Those in the title, or, where it has none, those in the first 500 characters of the text. The longest
    name wins: "Bitcoin Cash" is not bitcoin, and 比特币现金 is not 比特币. A text that names nothing is about
    `OTHER`.
    """
    around = unicodedata.normalize("NFKC", f"{title}\n{text[:_LEAD_LENGTH]}")
    for part in (title, text[:_LEAD_LENGTH]):
        part = unicodedata.normalize("NFKC", part)
        found = dict.fromkeys((*_written_as_tickers(part, names), *_find_names(part, around, names)))
        if found:
            return tuple(found)
    return (OTHER,)


def _written_as_tickers(part: str, names: NameTable) -> Iterator[str]:
    for found in (*_A_SHARE.finditer(part), *_IN_BRACKETS.finditer(part)):
        word = (found[1] or found[0]).lstrip("$")
        if names.contains(word):
            yield word.casefold()


def _find_names(part: str, around: str, names: NameTable) -> Iterator[str]:
    yield from _named_in_chinese(part, around, names)
    tokens = list(_TOKEN.finditer(part))
    shouting = sum(token[0].isupper() for token in tokens) > len(tokens) / 2 and len(tokens) > 3
    at = 0
    while at < len(tokens):
        length = next(
            (size for size in _sizes(tokens, at) if _is_known_name(part, tokens, at, size, names)),
            0,
        )
        if length:
            written = part[tokens[at].start() : tokens[at + length - 1].end()]
            word = _strip_name(written, names)
            if _is_meant(written, word, part[tokens[at + length - 1].end() :], around, shouting=shouting):
                yield word
        at += length or 1


def _sizes(tokens: list[re.Match[str]], at: int) -> range:
    return range(min(_WORDS_OF_A_NAME, len(tokens) - at), 0, -1)


def _is_known_name(part: str, tokens: list[re.Match[str]], at: int, size: int, names: NameTable) -> bool:
    """Whether `size` tokens from `at` on, with single spaces between, are one known name."""
    gaps = (
        part[one.end() : two.start()]
        for one, two in zip(tokens[at : at + size], tokens[at + 1 : at + size], strict=False)
    )
    if any(gap != " " for gap in gaps):
        return False
    return names.contains(_strip_name(part[tokens[at].start() : tokens[at + size - 1].end()], names))


def _strip_name(written: str, names: NameTable) -> str:
    """A name as the table has it: without a possessive, and the first half of a pair or compound it lacks."""
    word = re.sub(r"['’]s$", "", written).casefold()
    if not names.contains(word) and " " not in word:
        word = re.split(r"[-/]", word)[0]
    return word.lstrip("$")


def _is_meant(written: str, word: str, after: str, around: str, *, shouting: bool) -> bool:
    """Whether a known word means what the table says, by how it is written and by what stands around it."""
    if written.startswith("$"):
        return True
    if word in _COMMON_COINS or word in _COMMON_COMPANIES:
        return written[0].isupper() and (_is_beside(word, around) or bool(_COMPANY_AFTER.match(after)))
    if word in _COIN_TICKERS or word in _COMPANY_TICKERS or len(word) <= 2:
        return len(word) > 1 and written.isupper() and not shouting and _is_beside(word, around)
    return not word.isdigit()


def _is_beside(word: str, around: str) -> bool:
    of_coins = word in _COIN_TICKERS or word in _COMMON_COINS
    return bool((_ABOUT_COINS if of_coins else _ABOUT_COMPANIES).search(around))


def _named_in_chinese(part: str, around: str, names: NameTable) -> Iterator[str]:
    at = 0
    while at < len(part):
        if not _CHINESE.match(part[at]):
            at += 1
            continue
        length = next(
            (size for size in range(_LONGEST_CHINESE, 1, -1) if names.contains(part[at : at + size])), 0
        )
        word, after = part[at : at + length].strip(), part[at + length : at + length + 1]
        common = word in _COMMON_COINS or word in _COMMON_COMPANIES
        banking = word.endswith("银行") and after == _BANKING
        if length and not banking and (not common or _is_beside(word, around)):
            yield word.casefold()
        at += length or 1
