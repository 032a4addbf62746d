"""Map the words of news sources to instruments: tickers, names and nicknames in English and Chinese.

It resolves what a source wrote into its symbols column and does not search titles. The built-in table covers
well-known coins and stocks; a user adds words for the rest.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.instruments import AssetClass, Instrument

# A group for each coin or company: its ticker first, then its other names.
_COINS = """
BTC, XBT, bitcoin, 比特币 | ETH, ether, ethereum, 以太坊, 以太币 | BNB, binance coin, 币安币
SOL, solana, 索拉纳 | XRP, ripple, 瑞波币 | ADA, cardano, 艾达币 | DOGE, dogecoin, 狗狗币
DOT, polkadot, 波卡 | LTC, litecoin, 莱特币 | BCH, bitcoin cash, bitcoin-cash, 比特币现金 | LINK, chainlink
AVAX, avalanche, 雪崩 | TRX, tron, 波场 | XLM, stellar, stellar lumens, 恒星币
ETC, ethereum classic, ethereum-classic, 以太经典 | EOS, 柚子币 | MATIC, POL, polygon | UNI, uniswap
ATOM, cosmos | XMR, monero, 门罗币 | NEAR, near protocol | APT, aptos | ARB, arbitrum | OP, optimism
FIL, filecoin, 文件币 | ICP, internet computer | HBAR, hedera | VET, vechain, 唯链 | ALGO, algorand | AAVE
MKR, maker, makerdao | SHIB, shiba inu, 柴犬币 | PEPE, pepecoin | SUI | TON, toncoin | SAND, the sandbox
MANA, decentraland | AXS, axie infinity | FTM, fantom | XTZ, tezos | DASH, 达世币 | ZEC, zcash, 大零币
NEO, 小蚁 | QNT, quant | GRT, the graph | CRV, curve | INJ, injective | IOTA, MIOTA, 埃欧塔
USDT, tether, 泰达币 | USDC, usd coin | LUNA, LUNC, terra | FTT, ftx token | CRO, cronos | XEM, nem
STX, stacks
"""

_STOCKS = """
AAPL, apple, apple inc, 苹果 | MSFT, microsoft, 微软 | GOOG, GOOGL, google, alphabet, 谷歌
AMZN, amazon, 亚马逊 | META, FB, facebook, meta platforms, 脸书 | NVDA, nvidia, 英伟达 | TSLA, tesla, 特斯拉
AMD, advanced micro devices, 超威半导体 | INTC, intel, 英特尔 | TSM, tsmc, taiwan semiconductor, 台积电
MU, micron, micron technology, 美光 | AVGO, broadcom, 博通 | QCOM, qualcomm, 高通 | ORCL, oracle, 甲骨文
CRM, salesforce | ADBE, adobe | CSCO, cisco, 思科 | IBM | NFLX, netflix, 奈飞 | COIN, coinbase
HOOD, robinhood | MSTR, microstrategy | PYPL, paypal | V, visa | MA, mastercard
JPM, jpmorgan, jpmorgan chase, 摩根大通 | BAC, bank of america, 美国银行 | C, citigroup, citi, 花旗
WFC, wells fargo, 富国银行 | MS, morgan stanley | GS, goldman sachs, 高盛
BRK.B, BRK.A, berkshire hathaway, 伯克希尔 | WMT, walmart, 沃尔玛 | HD, home depot | COST, costco
PG, procter & gamble, 宝洁 | KO, coca-cola, 可口可乐 | PEP, pepsico | MCD, mcdonald's, 麦当劳
SBUX, starbucks, 星巴克 | NKE, nike, 耐克 | DIS, disney, walt disney, 迪士尼 | CMCSA, comcast | T, AT&T
VZ, verizon | JNJ, johnson & johnson, 强生 | PFE, pfizer, 辉瑞 | ABBV, abbvie | AZN, astrazeneca, 阿斯利康
LLY, eli lilly, 礼来 | MRK, merck, 默沙东 | UNH, unitedhealth | ISRG, intuitive surgical
XOM, exxon mobil, 埃克森美孚 | CVX, chevron, 雪佛龙 | BA, boeing, 波音 | GE, general electric, 通用电气
F, ford | GM, general motors, 通用汽车 | BABA, alibaba, 阿里巴巴 | PDD, pinduoduo, 拼多多 | JD, jd.com, 京东
BIDU, baidu, 百度 | SPY, S&P 500, 标普500 | QQQ, nasdaq 100, 纳斯达克100
"""

_A_SHARES = """
600519, kweichow moutai, 贵州茅台, 茅台 | 000858, wuliangye, 五粮液 | 000333, midea, 美的集团
000651, gree, 格力电器 | 600036, china merchants bank, 招商银行 | 601318, ping an, 中国平安
600000, 浦发银行 | 601398, icbc, 工商银行 | 601988, bank of china, 中国银行 | 601288, 农业银行
601939, 建设银行 | 601166, 兴业银行 | 600030, citic securities, 中信证券 | 601628, china life, 中国人寿
600276, 恒瑞医药 | 600585, conch cement, 海螺水泥 | 600887, yili, 伊利股份 | 002415, hikvision, 海康威视
000725, boe, 京东方A, 京东方 | 002594, byd, 比亚迪 | 300750, catl, 宁德时代
601012, longi, 隆基绿能, 隆基股份 | 600900, 长江电力 | 601138, 工业富联 | 601888, 中国中免, 中国国旅
000002, vanke, 万科A | 002714, 牧原股份 | 603986, gigadevice, 兆易创新 | 600104, saic motor, 上汽集团
601857, petrochina, 中国石油 | 600028, sinopec, 中国石化 | 601899, 紫金矿业
"""

_COIN_TOPICS = """
altcoin altcoins blockchain crypto cryptocurrency cryptocurrencies cryptos defi metaverse
nft nfts stablecoin stablecoins web3 山寨币 区块链 加密货币 数字货币 虚拟货币 稳定币 元宇宙
"""

_MARKET_TOPICS = (
    "business economy finance fed inflation macro market markets rates 市场 大盘 宏观 经济 央行 利率 通胀"
)

_DOLLARS = ["USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD"]
_QUOTES = [*_DOLLARS, "EUR", "GBP", "JPY", "KRW", "TRY", "BTC", "ETH", "BNB"]
_PAIR = re.compile(rf"([A-Z0-9]{{1,15}})[-/_]({'|'.join(_QUOTES)})(?::[A-Z0-9]+)?")
_JOINED = re.compile(rf"([A-Z0-9]{{2,15}}?)({'|'.join(_QUOTES)})")
_A_SHARE = re.compile(r"(?:S[HZ])?([0-9]{6})(?:\.(?:SH|SS|SZ))?")


def _normalize_word(word: str) -> str:
    """Return the form in which words are compared: one width, one case, without the sign of a cashtag."""
    return " ".join(unicodedata.normalize("NFKC", word).casefold().lstrip("$#").split())


def _parse_groups(table: str) -> dict[str, tuple[str, ...]]:
    groups = [
        tuple(word.strip() for word in group.split(","))
        for line in table.split("\n")
        for group in line.split("|")
    ]
    return {_normalize_word(word): group for group in groups for word in group if word}


_KNOWN = {
    AssetClass.COIN: _parse_groups(_COINS),
    AssetClass.STOCK: _parse_groups(_STOCKS),
    AssetClass.A_SHARE: _parse_groups(_A_SHARES),
    AssetClass.FX: {},
}

# Each topic, and whether it is about coins alone.
_TOPICS = dict.fromkeys(_COIN_TOPICS.split(), True) | dict.fromkeys(_MARKET_TOPICS.split(), False)


def parse_pair(symbol: str) -> tuple[str, str] | None:
    """Split a coin's symbol, such as BTCUSDT or BTC/USDT, into base and quote; None for any other symbol.

    Without a separator the quote must be a dollar, or the base a coin of the built-in table.
    """
    upper = symbol.upper()
    if pair := _PAIR.fullmatch(upper):
        return pair[1], pair[2]
    pair = _JOINED.fullmatch(upper)
    if pair and (pair[2] in _DOLLARS or _normalize_word(pair[1]) in _KNOWN[AssetClass.COIN]):
        return pair[1], pair[2]
    return None


def a_share_code(symbol: str) -> str | None:
    """Return the six digits of an A-share such as sh600519 or 600519.SS; None for any other symbol."""
    match = _A_SHARE.fullmatch(symbol.upper())
    return match[1] if match else None


def known_names(symbol: str, asset_class: AssetClass) -> tuple[str, ...]:
    """Return the built-in names of an instrument, its own ticker first; the ticker alone if it is unknown."""
    base = _base_symbol(symbol, asset_class)
    others = _KNOWN[asset_class].get(_normalize_word(base), ())
    return (base, *(word for word in others if _normalize_word(word) != _normalize_word(base)))


def _base_symbol(symbol: str, asset_class: AssetClass) -> str:
    match asset_class:
        case AssetClass.COIN:
            pair = parse_pair(symbol)
            return pair[0] if pair else symbol
        case AssetClass.A_SHARE:
            return a_share_code(symbol) or symbol
        case AssetClass.STOCK | AssetClass.FX:
            return symbol


def _list_spellings(instrument: Instrument) -> set[str]:
    """Return the normalized words for an instrument, before the user adds any."""
    words = {instrument.symbol, *instrument.names, *known_names(instrument.symbol, instrument.asset_class)}
    if instrument.asset_class is AssetClass.A_SHARE:
        code = _base_symbol(instrument.symbol, instrument.asset_class)
        words |= {f"sh{code}", f"sz{code}", f"{code}.SH", f"{code}.SS", f"{code}.SZ"}
    words |= {
        word.replace(".", mark) for word in words for mark in "-/" if re.fullmatch(r"[A-Z]+\.[A-Z]", word)
    }
    return {_normalize_word(word) for word in words}


@dataclass(frozen=True, slots=True, kw_only=True)
class NameTable:
    """Which traded symbols a word stands for.

    Attributes:
        symbols: The traded symbols of every known word; empty for the names of what is not traded.
        coins: The traded coins.
        only_coins: Whether nothing but coins is traded.
    """

    symbols: Mapping[str, frozenset[str]]
    coins: frozenset[str]
    only_coins: bool

    @classmethod
    def for_instruments(
        cls, instruments: Iterable[Instrument], extra: Mapping[str, Sequence[str]] | None = None
    ) -> "NameTable":
        """Build the table of the traded instruments.

        `extra` adds words to a symbol, a base such as BTC, or a name.
        """
        traded = tuple(instruments)
        symbols: dict[str, frozenset[str]] = {
            word: frozenset() for known in _KNOWN.values() for word in known
        }
        for instrument in traded:
            for word in _list_spellings(instrument):
                symbols[word] = symbols.get(word, frozenset()) | {instrument.symbol}
        for name, words in (extra or {}).items():
            for word in map(_normalize_word, words):
                symbols[word] = symbols.get(word, frozenset()) | symbols.get(
                    _normalize_word(name), frozenset()
                )
        coins = frozenset(item.symbol for item in traded if item.asset_class is AssetClass.COIN)
        only_coins = len(coins) == len({item.symbol for item in traded})
        return cls(symbols=symbols, coins=coins, only_coins=only_coins)

    def contains(self, word: str) -> bool:
        """Return whether `word` is a name or a topic, traded or not."""
        return _normalize_word(word) in self.symbols or _normalize_word(word) in _TOPICS

    def resolve(self, word: str) -> frozenset[str]:
        """Return the traded symbols that `word` stands for; none for a topic or an unknown name."""
        return self.symbols.get(_normalize_word(word), frozenset())

    def match_symbols(self, words: Iterable[str]) -> frozenset[str] | None:
        """Return the traded symbols that an item with these subjects concerns.

        An empty set means the whole market: no subject at all, or only topics of which one is general, such
        as "economy". Topics such as "defi" concern the traded coins, which are the whole market where only
        coins are traded. None means that the item concerns nothing that is traded.
        """
        subjects = [_normalize_word(word) for word in words]
        symbols = frozenset[str]().union(*(self.resolve(word) for word in subjects))
        if symbols or not subjects:
            return symbols
        topics = [_TOPICS.get(word) for word in subjects]
        if None in topics:
            return None
        if False in topics:
            return frozenset()
        if not self.coins:
            return None
        return frozenset() if self.only_coins else self.coins
