"""Know the columns of bars by the names that exchanges, vendors and notebooks give them."""

import re

# The names of each column as they stand after `normalize_name`, the likeliest first.
_NAMES = """
date = open_time | open time | opentime | timeopen | time_period_start | candle_begin_time |
    date | datetime | day | trade_date | trade date | trading day | exchange date | dates | <date> |
    <dtyyyymmdd> | dtyyyymmdd | timestamp | time | gmt time | local time | utc | t | ts | unix |
    unix timestamp | unix_timestamp | epoch | startdate | data | datum | date/time |
    pricing date | window_start | fecha | 日期 | 交易日期 | 时间 | 交易时间 | 日付 | 일자 | 날짜
open = open | o | opening | open price | <open> | px_open | open_price | openprice | price_open |
    开盘 | 开盘价 | 今开 | 始値 | 시가 | otwarcie | eröffnung | eröffn. | erster | apertura |
    ouv | ouverture | abertura
high = high | h | <high> | high price | px_high | high_price | highprice | price_high | 最高 | 最高价 | 高値 |
    고가 | najwyzszy | najwyższy | hoch | tageshoch | máximo | maximo | haut | plus haut | máxima | max
low = low | l | <low> | low price | px_low | low_price | lowprice | price_low | 最低 | 最低价 | 安値 | 저가 |
    najnizszy | najniższy | tief | tagestief | mínimo | minimo | bas | plus bas | mínima | min
close = close | c | <close> | close/last | px_last | close price | close_price | closeprice | price_close |
    last | last price | latest | price | trade close | settle | 收盘 | 收盘价 | 终值 | 終値 | 종가 |
    现价 | zamkniecie | zamknięcie | schluss | schlusskurs | letzter | zuletzt |
    último | ultimo | cierre | clôture | dernier
volume = volume | v | vol | vol. | <vol> | px_volume | volumefrom | base_volume | base volume |
    volume traded | volume_traded | total trade quantity | trade volume | shares traded | no. of shares |
    no.of shares | number of shares | 成交量 | 出来高 | 売買高 | 거래량 | stücke | stuecke |
    wolumen | volumen | tick volume | tick_volume | tickvolume
tick_volume = <tickvol>
time = <time> | clock
symbol = symbol | ticker | <ticker> | tic | code | ts_code | 股票代码 | 证券代码 | 代码 | instrument | stock |
    pair | sid | permno | asset | security | coin | act_symbol | symbols | name
close_time = close_time | close time | closetime | time_period_end | timeclose
turnover = amount | turnover | 成交额 | 成交金额 | 거래대금 | 売買代金 |
    quote_asset_volume | quote asset volume | quote_volume | volumeto | quotevolume
vwap = vwap | vw | average | weighted_price | 均价
"""


def parse_names(table: str) -> dict[str, tuple[str, int]]:
    """Return the field of each name in a table of lines such as "date = date | day", and its rank from 0."""
    return {
        name.strip(): (field, rank)
        for field, names in re.findall(r"^(\w+) = ((?:.+\n)(?:    .+\n)*)", table, re.MULTILINE)
        for rank, name in enumerate(names.split("|"))
    }


_FIELDS = parse_names(_NAMES)
_QUOTE_UNITS = re.compile(r"(?:usdt?|usdc|busd|fdusd|tusd|eur|gbp|jpy|krw|try|currency|quote)")
_CELL_OF_PAIR = re.compile(r"\(\s*'([^']*)'\s*,\s*'([^']*)'\s*\)")
_JOINED = re.compile(
    r"(?!pre|adj|unadj|last|day)(.+?)[._ ](open|high|low|close|volume|adjusted)", re.IGNORECASE
)


def normalize_name(name: str) -> str:
    """Return a column's name in small letters, without quotes, vendors' numbers and footnotes."""
    text = " ".join(name.strip().strip("\"'").lower().split())
    text = re.sub(r"\*+$| close price adjusted for splits\.$", "", text)
    return re.sub(r"^\d+[ab]?\.\s*", "", text)


def identify_column(name: str) -> tuple[str, int, str] | None:
    """Return which column a name stands for, how likely (0 first), and the symbol within the name."""
    if pair := _CELL_OF_PAIR.fullmatch(name.strip()):
        for own, other in ((pair[1], pair[2]), (pair[2], pair[1])):
            if identified := identify_column(own):
                return identified[0], identified[1], other
        return None
    text = normalize_name(name)
    plain = re.sub(r"\s*\([^)]*\)$", "", text)
    if found := _FIELDS.get(text) or _FIELDS.get(plain):
        return *found, ""
    if unit := re.fullmatch(r"volume[ _]?\(?([a-z0-9]{2,10})\)?", text):
        return ("turnover" if _QUOTE_UNITS.fullmatch(unit[1]) else "volume"), 9, ""
    if (joined := _JOINED.fullmatch(name.strip())) and joined[2].lower() in _FIELDS:
        return *_FIELDS[joined[2].lower()], joined[1]
    return None
