"""Replace price levels in a masked headline: the level of a price names the day as surely as a date does.

"ASSET tops $30,000" becomes "ASSET tops 101.7% of its close". Amounts far from the price of the asset, and
those in millions, are no price levels and stay. The level of another asset, whose price is not known here,
becomes "a price level" where a word such as "above" stands before it.
"""

import re

_LEAST, _MOST = 0.25, 4.0
"""An amount is taken for a price of the asset where it is within these multiples of its close."""

_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_SIGN = r"(?:(?:US|HK|A|C)?\$|[€£¥]|(?:USD[TC]?|EUR|GBP|CNY|RMB|HKD)\s)"
_UNIT = r"\s?(?:(?:USD[TC]?|dollars?|euros?|yuan)\b|美元|港元|欧元|日元|元)"
_NOT_A_PRICE = (
    r"(?![\d.,]*\d|\s?(?:[kmbt]n?\b|[mb]ln\b|thousand|million|billion|trillion|[万亿千百%％x倍]|-[A-Za-z])"
    r"|\s?(?:/|a |an |per )(?:bbl|barrel|ounce|oz|ton))"
)
_BEFORE = (
    r"(?:above|below|over|under|past|near|at|to|toward|towards|around|through|crosse[sd]|tops?|topped|hits?"
    r"|reach(?:es|ed)?|breaks?|broke|surpass(?:es|ed)?|touch(?:es|ed)?|tests?|retakes?|reclaims?|holds?|loses?"
    r"|support|resistance|level|price(?: of)?)\s|[至达破到]"
)
_PRICE = re.compile(
    rf"(?P<before>{_BEFORE})?(?<![A-Za-z0-9.,$€£¥])(?P<sign>{_SIGN})?\s?(?P<number>{_NUMBER})(?P<thousands>\s?[kK]\b)?"
    rf"{_NOT_A_PRICE}(?P<unit>{_UNIT})?",
    re.IGNORECASE,
)
_ASSET = re.compile(r"ASSET(-\d+)?")


def mask_prices(text: str, close: float) -> str:
    """Return a masked headline without the level of prices.

    Args:
        text: The headline, in which ASSET stands for the observed asset and ASSET-2 and so on for others.
        close: The last close of the observed asset, in its quote currency.
    """
    return _PRICE.sub(lambda match: _mask(match, close), text) if _ASSET.search(text) else text


def _mask(match: re.Match[str], close: float) -> str:
    before = match["before"] or ""
    has_currency = bool(match["sign"] or match["unit"])
    # Without a currency a number is a price only after such a word and in thousands, as in "below 30k".
    if not has_currency and not (before and (match["thousands"] or "," in match["number"])):
        return match[0]
    # The price is that of the asset that was named last, or else of the first that is.
    assets = _ASSET.findall(match.string[: match.start()])[-1:] or _ASSET.findall(match.string)
    if assets[0]:
        return f"{before}a price level" if before and has_currency else match[0]
    value = float(match["number"].replace(",", "")) * (1000 if match["thousands"] else 1)
    if not _LEAST <= value / close <= _MOST:
        return match[0]
    share = f"{value / close:.1%}"
    return f"{before}收盘价的{share}" if "元" in (match["unit"] or "") else f"{before}{share} of its close"
