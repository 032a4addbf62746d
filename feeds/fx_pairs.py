"""Currency pairs and metals, which trade from Monday to Friday: EURUSD, EUR/USD, EURUSD=X, XAUUSD."""

import re

from engine.instruments import WEEKDAYS, AssetClass, Instrument

_CURRENCIES = (
    "USD EUR GBP JPY CHF AUD CAD NZD CNY CNH HKD SGD KRW TWD INR THB IDR MYR PHP SEK NOK DKK ISK PLN CZK HUF"
    " RON TRY RUB ILS ZAR SAR AED MXN BRL ARS CLP COP PEN XAU XAG XPT XPD"
)
_CODE = "|".join(_CURRENCIES.split())
_PAIR = re.compile(
    rf"(?:(?:C|FX|FX_IDC|FOREXCOM|OANDA)[:_])?({_CODE})[-/_. ]?({_CODE})(?:=X)?"
    r"(?:[-_ ,.]+(?:1D|D1|1DAY|DAILY|DAY|1440M?|D))?(?:_[0-9A-F]{5})?"
)


def guess_fx_pair(symbol: str) -> Instrument | None:
    """Return a currency pair quoted in its second currency; None for a symbol that is no such pair.

    Days are from midnight to midnight in UTC, Monday to Friday.
    """
    pair = _PAIR.fullmatch(symbol.upper())
    if pair is None or pair[1] == pair[2]:
        return None
    return Instrument(
        symbol=symbol,
        names=(f"{pair[1]}{pair[2]}", f"{pair[1]}/{pair[2]}"),
        asset_class=AssetClass.FX,
        calendar=WEEKDAYS,
        currency=pair[2],
        shortable=True,
    )
