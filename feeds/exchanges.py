"""Stock exchanges by the suffix that data vendors put behind a ticker, as in SAP.DE.

The suffixes are Yahoo's; those of JoinQuant, Tushare and Alpha Vantage for Shanghai and Shenzhen are added.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """An exchange as a suffix names it.

    Attributes:
        suffix: The suffix without its dot.
        calendar: Its code in exchange_calendars.
        zone: Its time zone in the IANA database.
        currency: The currency that most of its shares are quoted in. GBX, ILA and ZAC are hundredths of a
            pound, a shekel and a rand, in which prices in London, Tel Aviv and Johannesburg are stated.
        lot: The smallest number of shares that is traded.
    """

    suffix: str
    calendar: str
    zone: str
    currency: str
    lot: float = 1.0


# Suffixes, calendar, zone, currency, and the lot where it is not one share.
_TABLE = """
SS SH XSHG SHG SHH   XSHG  Asia/Shanghai      CNY  100
SZ XSHE SHE SHZ      XSHG  Asia/Shanghai      CNY  100
BJ                   XSHG  Asia/Shanghai      CNY  100
HK XHKG              XHKG  Asia/Hong_Kong     HKD
T TYO XTKS           XTKS  Asia/Tokyo         JPY  100
KS KQ KRX XKRX       XKRX  Asia/Seoul         KRW
TW TWO               XTAI  Asia/Taipei        TWD
SI                   XSES  Asia/Singapore     SGD
KL                   XKLS  Asia/Kuala_Lumpur  MYR
BK                   XBKK  Asia/Bangkok       THB
JK                   XIDX  Asia/Jakarta       IDR
PS                   XPHS  Asia/Manila        PHP
NS BO NSE BSE        XBOM  Asia/Kolkata       INR
AX ASX               XASX  Australia/Sydney   AUD
NZ                   XNZE  Pacific/Auckland   NZD
SR                   XSAU  Asia/Riyadh        SAR
TA                   XTAE  Asia/Jerusalem     ILA
JO                   XJSE  Africa/Johannesburg ZAC
DE ETR XETR          XETR  Europe/Berlin      EUR
F BE DU HM MU SG     XFRA  Europe/Berlin      EUR
L LON LSE XLON       XLON  Europe/London      GBX
PA EPA XPAR          XPAR  Europe/Paris       EUR
AS AMS XAMS          XAMS  Europe/Amsterdam   EUR
BR                   XBRU  Europe/Brussels    EUR
LS                   XLIS  Europe/Lisbon      EUR
MI BIT               XMIL  Europe/Rome        EUR
MC BME               XMAD  Europe/Madrid      EUR
SW XSWX              XSWX  Europe/Zurich      CHF
VI                   XWBO  Europe/Vienna      EUR
ST                   XSTO  Europe/Stockholm   SEK
OL                   XOSL  Europe/Oslo        NOK
CO                   XCSE  Europe/Copenhagen  DKK
HE                   XHEL  Europe/Helsinki    EUR
IC                   XICE  Atlantic/Reykjavik ISK
IR                   XDUB  Europe/Dublin      EUR
AT                   ASEX  Europe/Athens      EUR
WA                   XWAR  Europe/Warsaw      PLN
PR                   XPRA  Europe/Prague      CZK
BD                   XBUD  Europe/Budapest    HUF
IS                   XIST  Europe/Istanbul    TRY
ME                   XMOS  Europe/Moscow      RUB
TO TSX V NE CN       XTSE  America/Toronto    CAD
SA                   BVMF  America/Sao_Paulo  BRL
MX                   XMEX  America/Mexico_City MXN
BA                   XBUE  America/Argentina/Buenos_Aires ARS
SN                   XSGO  America/Santiago   CLP
LM                   XLIM  America/Lima       PEN
CL                   XBOG  America/Bogota     COP
US                   XNYS  America/New_York   USD
"""

_TICKER = re.compile(r"([A-Z0-9][A-Z0-9&-]{0,14})\.([A-Z]{1,4})")

# A class of shares in New York may have this letter too; in Tokyo a number stands before it.
_AFTER_NUMBERS_ONLY = frozenset({"T"})


def _parse_table(table: str) -> dict[str, Exchange]:
    exchanges: dict[str, Exchange] = {}
    for cells in map(str.split, table.strip().splitlines()):
        lot = float(cells.pop()) if cells[-1].isdigit() else 1.0
        *suffixes, calendar, zone, currency = cells
        exchanges |= {
            suffix: Exchange(suffix=suffix, calendar=calendar, zone=zone, currency=currency, lot=lot)
            for suffix in suffixes
        }
    return exchanges


EXCHANGES = _parse_table(_TABLE)
"""The exchanges by suffix."""


def split_suffix(symbol: str) -> tuple[str, Exchange] | None:
    """Split a symbol such as 7203.T into ticker and exchange; None where no known suffix ends it."""
    match = _TICKER.fullmatch(symbol.upper())
    exchange = EXCHANGES.get(match[2]) if match else None
    if match is None or exchange is None:
        return None
    if exchange.suffix in _AFTER_NUMBERS_ONLY and not match[1][0].isdigit():
        return None
    return match[1], exchange
