"""The built-in names of coins and stocks, in English and Chinese, and the topics that concern markets.

A user adds names for the rest.
"""

import unicodedata
from datetime import date

from engine.instruments import AssetClass

# A group for each coin or company: its ticker first, then its other names.
COINS = """
BTC, XBT, bitcoin, 比特币 | ETH, ether, ethereum, 以太坊, 以太币 | BNB, binance coin, 币安币
SOL, solana, 索拉纳 | XRP, ripple, 瑞波币 | ADA, cardano, 艾达币 | DOGE, dogecoin, 狗狗币, XDG
DOT, polkadot, 波卡 | LTC, litecoin, 莱特币 | BCH, bitcoin cash, bitcoin-cash, 比特币现金 | LINK, chainlink
AVAX, avalanche, 雪崩 | TRX, tron, 波场 | XLM, stellar, stellar lumens, 恒星币
ETC, ethereum classic, ethereum-classic, 以太经典 | EOS, 柚子币 | MATIC, POL, polygon | UNI, uniswap
ATOM, cosmos | XMR, monero, 门罗币 | NEAR, near protocol | APT, aptos | ARB, arbitrum | OP, optimism
FIL, filecoin, 文件币 | ICP, internet computer | HBAR, hedera | VET, vechain, 唯链 | ALGO, algorand | AAVE
MKR, maker, makerdao | SHIB, shiba inu, 柴犬币 | PEPE, pepecoin | SUI | TON, toncoin | SAND, the sandbox
MANA, decentraland | AXS, axie infinity | FTM, fantom | XTZ, tezos | DASH, 达世币 | ZEC, zcash, 大零币
NEO, 小蚁 | QNT, quant | GRT, the graph | CRV, curve | INJ, injective | IOTA, MIOTA, 埃欧塔
USDT, tether, 泰达币 | USDC, usd coin | LUNA, LUNA2, terra | LUNC, terra classic, luna classic
FTT, ftx token | CRO, cronos | XEM, nem | STX, stacks
"""

STOCKS = """
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

A_SHARES = """
600519, kweichow moutai, 贵州茅台, 茅台 | 000858, wuliangye, 五粮液 | 000333, midea, 美的集团
000651, gree, 格力电器 | 600036, china merchants bank, 招商银行 | 601318, ping an, 中国平安
600000, 浦发银行 | 601398, icbc, 工商银行 | 601988, bank of china, 中国银行 | 601288, 农业银行
601939, 建设银行 | 601166, 兴业银行 | 600030, citic securities, 中信证券 | 601628, china life, 中国人寿
600276, 恒瑞医药 | 600585, conch cement, 海螺水泥 | 600887, yili, 伊利股份 | 002415, hikvision, 海康威视
000725, boe technology, 京东方A, 京东方 | 002594, byd, 比亚迪 | 300750, catl, 宁德时代
601012, longi, 隆基绿能, 隆基股份 | 600900, 长江电力 | 601138, 工业富联 | 601888, 中国中免, 中国国旅
000002, vanke, 万科A | 002714, 牧原股份 | 603986, gigadevice, 兆易创新 | 600104, saic motor, 上汽集团
601857, petrochina, 中国石油 | 600028, sinopec, 中国石化 | 601899, 紫金矿业
"""

# Coins without other names here, by which pairs without a separator are taken apart.
_MORE_COINS = """
1INCH ACH AERGO AGIX AGLD AKT ALICE ALPHA ALT AMP ANKR ANT APE API3 AR ARK ARKM ARPA ASTR ATA AUCTION AUDIO
AXL BADGER BAKE BAL BAND BAT BEAM BEL BICO BIGTIME BLUR BNT BOBA BOME BONK BSV BTG BTT BUSD C98 CAKE CELO
CELR CFX CHR CHZ CKB COMP COTI CTSI CTXC CVC CVX DAI DCR DENT DEXE DGB DIA DODO DUSK DYDX DYM EDU EGLD ELF
ENA ENJ ENS ETHFI ETHW FDUSD FET FIDA FLM FLOKI FLOW FLUX FORTH FUN FXS GAL GALA GAS GLM GLMR GMT GMX GNO
GTC HFT HIGH HIVE HNT HOOK HOT HYPE ICX ID IDEX ILV IMX IOST IOTX JASMY JOE JST JTO JUP KAS KAVA KDA KEY
KLAY KNC KSM LDO LEO LINA LIT LOOM LPT LQTY LRC LSK MAGIC MANTA MASK MAV MBOX MDT MEME METIS MINA MLN MOVR
MTL NEXO NKN NMR NTRN OCEAN OG OGN OKB OMG OMNI ONDO ONE ONG ONT ORDI OSMO OXT PAXG PENDLE PEOPLE PERP PHA
PIXEL PORTAL POWR PYR PYTH PYUSD QI QTUM RARE RAY RDNT REEF REN RENDER REP REQ RIF RLC RNDR RONIN ROSE RPL
RSR RUNE RVN SATS SC SCRT SEI SFP SKL SKY SLP SNT SNX SPELL SSV STEEM STG STORJ STRAX STRK SUPER SUSHI SXP
SYN SYS TAO THETA TIA TLM TRB TRU TRUMP TURBO TUSD TWT UMA USDE UST USTC VTHO W WAN WAVES WAXP WBTC WIF WLD
WOO XAI XEC XNO XVG XVS YFI YGG ZEN ZIL ZK ZRO ZRX
"""

# Tickers of coins under which a share is listed in New York as well.
_ALSO_SHARES = """
APT ARB ATOM AXS CRO CRV DASH EOS FIL FTM GRT ICP INJ LINK LTC MANA MKR NEAR NEO OP QNT SAND SOL STX SUI TON
UNI VET XEM
"""

# Names that moved from one coin to another: by a coin's ticker, the words that named it too before a day.
# On 2022-05-28 (genesis 06:00 UTC) the chain Terra with LUNA was renamed Terra Classic with LUNC, and a new
# chain took the old names. Before that day both spellings mean the one coin that there was. Sources:
# https://help.waltio.com/en/articles/7235912-token-name-change and
# https://github.com/cosmostation/chainlist/blob/master/chain/terra-classic/param_2.json
FORMER_NAMES = {
    "LUNA": (("LUNC", "terra classic", "luna classic"), date(2022, 5, 28)),
    "LUNC": (("LUNA", "terra"), date(2022, 5, 28)),
}

_COIN_TOPICS = """
altcoin altcoins blockchain crypto cryptocurrency cryptocurrencies cryptos defi metaverse
nft nfts stablecoin stablecoins web3 山寨币 区块链 加密货币 数字货币 虚拟货币 稳定币 元宇宙
"""

_MARKET_TOPICS = (
    "business economy finance fed inflation macro market markets rates 市场 大盘 宏观 经济 央行 利率 通胀"
)


def normalize_word(word: str) -> str:
    """Return the form in which words are compared: one width, one case, without the sign of a cashtag."""
    return " ".join(unicodedata.normalize("NFKC", word).casefold().lstrip("$#").split())


def _parse_groups(table: str) -> dict[str, tuple[str, ...]]:
    groups = [
        tuple(word.strip() for word in group.split(","))
        for line in table.split("\n")
        for group in line.split("|")
    ]
    return {normalize_word(word): group for group in groups for word in group if word}


KNOWN = {
    AssetClass.COIN: _parse_groups(COINS),
    AssetClass.STOCK: _parse_groups(STOCKS),
    AssetClass.A_SHARE: _parse_groups(A_SHARES),
    AssetClass.FX: {},
}
"""The names of each known instrument, its ticker first, by each of its names, normalized."""

COIN_TICKERS = {ticker.casefold() for ticker in _MORE_COINS.split()} | KNOWN[AssetClass.COIN].keys()
"""The tickers, and for some the names, by which a word is taken for a coin beside a quote currency."""

ALSO_SHARES = {ticker.casefold() for ticker in _ALSO_SHARES.split()}
"""Those that are no evidence of a coin by themselves."""

TOPICS = dict.fromkeys(_COIN_TOPICS.split(), True) | dict.fromkeys(_MARKET_TOPICS.split(), False)
"""Each topic, and whether it is about coins alone."""
