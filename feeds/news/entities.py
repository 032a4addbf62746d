"""Find the instruments a text mentions, in English and Chinese, by the names in `feeds.symbols`.

Many tickers and names are ordinary words as well ("near", "link", "visa", 苹果): those count where they are
written as a ticker, or where other words show that the text is about coins or companies.
"""

import re
import unicodedata
from collections.abc import Iterator

from feeds.symbols import NameTable

OTHER = "other"
"""The subject of a text without a known name: it concerns nothing that is traded."""

_SEARCHED_LENGTH = 500
_MAX_NAME_WORDS = 4
_MAX_CHINESE_LENGTH = 8
_TOKEN = re.compile(r"\$?[A-Za-z0-9&]+(?:[.\-/'’&][A-Za-z0-9]+)*")
_CHINESE = re.compile(r"[\u3400-\u9fff]")

_A_SHARE = re.compile(
    r"\b(?:s[hz][036][0-9]{5}|[036][0-9]{5}\.(?:sh|ss|sz))\b|[(（]([036][0-9]{5})[)）]", re.I
)

_IN_BRACKETS = re.compile(r"[(（](?:[A-Z][A-Za-z]{2,9}\s*[:：]\s*)?(\$?[A-Z][A-Z.]{0,5})[)）]")


def _split_words(listed: str) -> frozenset[str]:
    return frozenset(word.strip() for word in listed.split(","))


# Tickers that are also words: they count in capitals only, and beside words about coins or companies.
_COIN_TICKERS = _split_words(
    "link, near, sand, mana, atom, dash, op, uni, ton, arb, apt, fil, vet, algo, sol, dot, ada, icp, inj, "
    "neo, axs, mkr, crv, grt, luna, pol, cro, stx, nem, xdg"
)

_COMPANY_TICKERS = _split_words(
    "cost, coin, hood, dis, hd, ms, ba, ma, mu, ge, gm, ko, pep, wfc, bac, pg, mcd, all, low, now"
)

# Tickers that count in capitals, whatever stands beside them; in a title in capitals only two of them do not.
_CAPITAL_TICKERS = _split_words("spy, baba, crm, etc, eos, ftt, xem, ftm, qnt")
_CAPITAL_WORDS = _split_words("spy, etc")

# Names that are also words: they count with a capital only, and beside such words.
_COMMON_COINS = _split_words(
    "stellar, maker, cosmos, avalanche, polygon, tron, terra, quant, ripple, tether, ether, optimism, "
    "stacks, sui, pepe, the graph, the sandbox, internet computer, curve, iota, 雪崩, 波卡"
)

_COMMON_COMPANIES = _split_words(
    "apple, visa, meta, ford, oracle, target, intel, gap, gree, midea, yili, longi, citi, alphabet, "
    "amazon, chevron, micron, adobe, ping an, 苹果"
)

# Words before or after a name that give it another meaning: the yield curve, China's central bank.
_OTHER_BEFORE = {
    "curve": re.compile(r"\b(?:yield|learning|bell|forward|phillips|ahead of the|behind the)\s+$", re.I),
    "bank of china": re.compile(r"\bpeople['’]?s\s+$", re.I),
    "ford": re.compile(r"\b(?:harrison|gerald|henry|tom|betty)\s+$", re.I),
    "visa": re.compile(r"\b(?:h-1b|student|work|travel|tourist|golden|schengen|entry)\s+$", re.I),
}
_OTHER_AFTER = {
    "alphabet": re.compile(r"\s+soup\b", re.I),
    "amazon": re.compile(r"\s+(?:rain ?forest|river|basin)\b", re.I),
    "apple": re.compile(r"\s+(?:pies?|orchards?|growers?|harvests?|cider)\b", re.I),
    "citi": re.compile(r"\s+(?:field|bikes?)\b", re.I),
    "optimism": re.compile(
        r"\s+(?:about|around|as|builds|fades|for|grows|in|on|over|persists|returns|rises|that|wanes)\b", re.I
    ),
    "oracle": re.compile(r"\s+of\b", re.I),
    "quant": re.compile(r"\s+(?:firms?|funds?|hedge|shops?|strateg\w+|traders?|trading)\b", re.I),
    "ripple": re.compile(r"\s+effects?\b", re.I),
    "stacks": re.compile(r"\s+(?:of|up)\b", re.I),
    "terra": re.compile(r"\s+(?:firma|incognita)\b", re.I),
    "visa": re.compile(
        r"[- ](?:applica\w+|bans?|curbs?|fees?|free|holders?|polic\w+|program\w*|requirements?|restrictions?|"
        r"rules?|waivers?)\b",
        re.I,
    ),
    "eth": re.compile(r"\s+(?:zurich|zürich|lausanne)\b", re.I),
    "jd": re.compile(r"\s+vance\b", re.I),
    "spy": re.compile(r"\s+(?:balloons?|chiefs?|agenc\w+|cases?|rings?|planes?)\b", re.I),
}

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

_BANKING_SUFFIX = "业"


def find_subjects(title: str, text: str, names: NameTable) -> tuple[str, ...]:
    """Return the names and topics that an item mentions, in their order, for `NameTable.match_symbols`.

    The longest name wins: "Bitcoin Cash" is not bitcoin, and 比特币现金 is not 比特币.

    Args:
        title: The title, whose names are returned if it has any.
        text: The text, whose first 500 characters are searched otherwise.
        names: The names that are known.

    Returns:
        The subjects, or `OTHER` alone where none is found.
    """
    context = unicodedata.normalize("NFKC", f"{title}\n{text[:_SEARCHED_LENGTH]}")
    for part in (title, text[:_SEARCHED_LENGTH]):
        part = unicodedata.normalize("NFKC", part)
        subjects = dict.fromkeys((*_find_tickers(part, names), *_find_names(part, context, names)))
        if subjects:
            return tuple(subjects)
    return (OTHER,)


def _find_tickers(part: str, names: NameTable) -> Iterator[str]:
    for match in (*_A_SHARE.finditer(part), *_IN_BRACKETS.finditer(part)):
        word = (match[1] or match[0]).lstrip("$")
        if names.contains(word):
            yield word.casefold()


def _find_names(part: str, context: str, names: NameTable) -> Iterator[str]:
    yield from _find_chinese_names(part, context, names)
    tokens = list(_TOKEN.finditer(part))
    shouting = sum(token[0].isupper() for token in tokens) > len(tokens) / 2 and len(tokens) > 3
    at = 0
    while at < len(tokens):
        length = next(
            (size for size in _name_sizes(tokens, at) if _is_known_name(part, tokens, at, size, names)),
            0,
        )
        if length:
            start, end = tokens[at].start(), tokens[at + length - 1].end()
            word = _strip_name(part[start:end], names)
            other = _means_other(word, part[:start], part[end:])
            if not other and _is_meant(part[start:end], word, part[end:], context, shouting=shouting):
                yield word
        at += length or 1


def _name_sizes(tokens: list[re.Match[str]], at: int) -> range:
    return range(min(_MAX_NAME_WORDS, len(tokens) - at), 0, -1)


def _is_known_name(part: str, tokens: list[re.Match[str]], at: int, size: int, names: NameTable) -> bool:
    """Return whether `size` tokens from `at` on, with single spaces between them, are one known name."""
    gaps = (
        part[left.end() : right.start()]
        for left, right in zip(tokens[at : at + size], tokens[at + 1 : at + size], strict=False)
    )
    if any(gap != " " for gap in gaps):
        return False
    return names.contains(_strip_name(part[tokens[at].start() : tokens[at + size - 1].end()], names))


def _strip_name(written: str, names: NameTable) -> str:
    """Return a name without its possessive and, where the table lacks a pair or compound, its first half."""
    word = re.sub(r"['’]s$", "", written).casefold()
    if not names.contains(word) and " " not in word:
        word = re.split(r"[-/]", word)[0]
    return word.lstrip("$")


def _is_meant(written: str, word: str, after: str, context: str, *, shouting: bool) -> bool:
    """Return whether a known word means the instrument, by its spelling and the words around it."""
    if written.startswith("$"):
        return True
    if word in _COMMON_COINS or word in _COMMON_COMPANIES:
        return written[0].isupper() and (_is_beside(word, context) or bool(_COMPANY_AFTER.match(after)))
    if word in _CAPITAL_TICKERS:
        return written[: len(word)].isupper() and not (shouting and word in _CAPITAL_WORDS)
    if word in _COIN_TICKERS or word in _COMPANY_TICKERS or len(word) <= 2:
        return len(word) > 1 and written.isupper() and not shouting and _is_beside(word, context)
    return not word.isdigit()


def _means_other(word: str, before: str, after: str) -> bool:
    """Return whether the words around a name give it another meaning."""
    other_before, other_after = _OTHER_BEFORE.get(word), _OTHER_AFTER.get(word)
    return bool((other_before and other_before.search(before)) or (other_after and other_after.match(after)))


def _is_beside(word: str, context: str) -> bool:
    of_coins = word in _COIN_TICKERS or word in _COMMON_COINS
    return bool((_ABOUT_COINS if of_coins else _ABOUT_COMPANIES).search(context))


def _find_chinese_names(part: str, context: str, names: NameTable) -> Iterator[str]:
    at = 0
    while at < len(part):
        if not _CHINESE.match(part[at]):
            at += 1
            continue
        length = next(
            (size for size in range(_MAX_CHINESE_LENGTH, 1, -1) if names.contains(part[at : at + size])), 0
        )
        word, after = part[at : at + length].strip(), part[at + length : at + length + 1]
        common = word in _COMMON_COINS or word in _COMMON_COMPANIES
        banking = word.endswith("银行") and after == _BANKING_SUFFIX
        if length and not banking and (not common or _is_beside(word, context)):
            yield word.casefold()
        at += length or 1
