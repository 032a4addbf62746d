"""Map the words of news sources to instruments: tickers, names and nicknames in English and Chinese.

It resolves what a source wrote into its symbols column and does not search titles.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

from engine.instruments import AssetClass, Instrument
from feeds.instruments import a_share_code, base_symbol, known_names, parse_pair, strip_decorations
from feeds.known_names import FORMER_NAMES, KNOWN, TOPICS, normalize_word

_SHARE_CLASS = re.compile(r"([A-Z]+)[.\-/_ ]([A-Z])")


def _list_spellings(instrument: Instrument) -> set[str]:
    """Return the normalized words for an instrument, before the user adds any."""
    symbol, asset_class = instrument.symbol, instrument.asset_class
    words = {symbol, *instrument.names, *known_names(symbol, asset_class)}
    if asset_class is AssetClass.A_SHARE:
        code = base_symbol(symbol, asset_class)
        words |= {f"sh{code}", f"sz{code}", f"{code}.SH", f"{code}.SS", f"{code}.SZ"}
    words |= {
        f"{match[1]}{mark}{match[2]}"
        for word in words
        if (match := _SHARE_CLASS.fullmatch(word))
        for mark in ".-/_ "
    }
    return {normalize_word(word) for word in words}


@lru_cache(maxsize=65_536)
def _spell_plainly(word: str) -> tuple[str, AssetClass | None]:
    """Return the name in a spelling such as BTC/USDT, CRYPTO:BTC, NASDAQ:AAPL or 600519.XSHG, normalized.

    With it comes the class of instruments to which the spelling belongs, if it has one.
    """
    core = strip_decorations(word)
    if code := a_share_code(core):
        return code, AssetClass.A_SHARE
    if pair := parse_pair(core):
        return normalize_word(pair[0]), AssetClass.COIN
    if core != (ticker := base_symbol(core, AssetClass.STOCK)):
        return normalize_word(ticker), AssetClass.STOCK
    coin = word.upper().startswith("CRYPTO:") or word.upper().endswith((".X", "-PERP"))
    return normalize_word(core), AssetClass.COIN if coin else None


@dataclass(frozen=True, slots=True, kw_only=True)
class NameTable:
    """Which traded symbols a word stands for.

    Attributes:
        symbols: The traded symbols of every known word; empty for the names of what is not traded.
        former: The traded symbols that a word stood for as well before a day.
        classes: The traded symbols by class.
    """

    symbols: Mapping[str, frozenset[str]]
    former: Mapping[str, tuple[date, frozenset[str]]]
    classes: Mapping[AssetClass, frozenset[str]]

    @property
    def coins(self) -> frozenset[str]:
        """Return the traded coins."""
        return self.classes[AssetClass.COIN]

    @classmethod
    def for_instruments(
        cls, instruments: Iterable[Instrument], extra: Mapping[str, Sequence[str]] | None = None
    ) -> "NameTable":
        """Build the table of the traded instruments.

        `extra` adds words to a symbol, a base such as BTC, or a name.
        """
        traded = tuple(instruments)
        symbols: dict[str, frozenset[str]] = {word: frozenset() for known in KNOWN.values() for word in known}
        for instrument in traded:
            for word in _list_spellings(instrument):
                symbols[word] = symbols.get(word, frozenset()) | {instrument.symbol}
        for name, words in (extra or {}).items():
            for word in map(normalize_word, words):
                symbols[word] = symbols.get(word, frozenset()) | symbols.get(
                    normalize_word(name), frozenset()
                )
        former: dict[str, tuple[date, frozenset[str]]] = {}
        for ticker, (words, until) in FORMER_NAMES.items():
            coins = frozenset(
                item.symbol
                for item in traded
                if item.asset_class is AssetClass.COIN
                and base_symbol(item.symbol, item.asset_class) == ticker
            )
            former |= {normalize_word(word): (until, coins) for word in words}
        classes = {
            asset_class: frozenset(item.symbol for item in traded if item.asset_class is asset_class)
            for asset_class in AssetClass
        }
        return cls(symbols=symbols, former=former, classes=classes)

    def contains(self, word: str) -> bool:
        """Return whether `word` is a name or a topic, traded or not."""
        return normalize_word(word) in self.symbols or normalize_word(word) in TOPICS

    def resolve(self, word: str, at: datetime | None = None) -> frozenset[str]:
        """Return the traded symbols that `word` stands for; none for a topic or an unknown name.

        `at` is when it was written, by which names that moved to another coin are resolved; None is today.
        """
        name = normalize_word(word)
        if name not in self.symbols and name not in TOPICS:
            plain, asset_class = _spell_plainly(word)
            found = self._resolve_name(plain, at)
            return found & self.classes[asset_class] if asset_class else found
        return self._resolve_name(name, at)

    def _resolve_name(self, name: str, at: datetime | None) -> frozenset[str]:
        until, before = self.former.get(name, (date.min, frozenset()))
        now = self.symbols.get(name, frozenset())
        return now | before if at is not None and at.date() < until else now

    def match_symbols(self, words: Iterable[str], at: datetime | None = None) -> frozenset[str] | None:
        """Return the traded symbols that an item with these subjects, published at `at`, concerns.

        An empty set means the whole market: no subject at all, or only topics of which one is general, such
        as "economy". Topics such as "defi" concern the traded coins, which are the whole market where only
        coins are traded. None means that the item concerns nothing that is traded.
        """
        subjects = list(words)
        symbols = frozenset[str]().union(*(self.resolve(word, at) for word in subjects))
        if symbols or not subjects:
            return symbols
        topics = [TOPICS.get(normalize_word(word)) for word in subjects]
        if None in topics:
            return None
        if False in topics:
            return frozenset()
        if not self.coins:
            return None
        only_coins = not any(self.classes[other] for other in AssetClass if other is not AssetClass.COIN)
        return frozenset() if only_coins else self.coins
