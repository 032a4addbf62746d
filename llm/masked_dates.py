"""Replace absolute dates in a headline by relative ones, in English and Chinese.

"March 5, 2024" becomes "3 days ago", "2024年3月5日" becomes "3天前". What is far away loses its distance,
since that would give the date away. Prices stay: a number of four digits is a year only where nothing before
or after it makes it an amount.
"""

import re
from calendar import month_name
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial

_NUMBER_OF_MONTH = {name.lower(): number for number, name in enumerate(month_name) if name}
_NUMBER_OF_MONTH |= {name[:3]: number for name, number in _NUMBER_OF_MONTH.items()} | {"sept": 9}
# "may" and "march" in small letters are verbs.
_MONTH_NAMES = "|".join(
    f"(?i:{name})" if name not in ("may", "march", "mar") else f"{name.title()}|{name.upper()}"
    for name in sorted(_NUMBER_OF_MONTH, key=len, reverse=True)
)
_MONTH = rf"(?:{_MONTH_NAMES})\b(?: ?\.)?"
_YEAR = r"(?:19[5-9]\d|20[0-4]\d)"
_DAY = r"(?:[12]\d|3[01]|0?[1-9])(?:st|nd|rd|th)?(?!\d)"
_IN = r"(?:\b(?:[Oo]n|[Ii]n|[Dd]uring) )?"  # "on March 5" becomes "3 days ago"
_CLOCK = r"(?:[T ]\d{2}:\d{2}(?::\d{2})?(?:\.\d{1,6})?(?:Z|[+-]\d{2}:?\d{2})?)?"
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4}
_CHINESE_DIGITS = {character: value for value, character in enumerate("〇一二三四五六七八九")} | {"零": 0}
_MOST_DAYS, _MOST_MONTHS, _MOST_QUARTERS, _MOST_YEARS = 45, 12, 4, 5
_AMOUNT_BEFORE = re.compile(
    r"(?:above|below|near|tops?|topped|hits?|hit|reach(?:es|ed)?|breaks?|broke|level|support|resistance"
    r"|price(?: of)?|targets?(?: of)?|index|[$€£¥]|约|达|至|涨至|跌至|报|价|突破)\s?$",
    re.IGNORECASE,
)
_AMOUNT_AFTER = re.compile(
    r"\s?(?:[%x×点元万亿股家人名辆吨只个倍手张台套项米部次户盎桶美港日欧]|percent|points?\b|pts\b|shares?\b"
    r"|dollars?\b|yuan\b|yen\b|euros?\b|usd[tc]?\b|btc\b|eth\b|coins?\b|tokens?\b|stores?\b|jobs\b"
    r"|people\b|employees\b|workers\b|cars\b|vehicles\b|units\b|tons?\b|tonnes\b|barrels?\b|ounces?\b"
    r"|an ounce\b|(?:b|m|tr)illion\b|thousand\b|bn\b|mn\b|[kmb]\b)",
    re.IGNORECASE,
)
_OF_A_YEAR = re.compile(r"\s(?:[Ll]ow|[Hh]igh|[Pp]eak|[Rr]ecord)")


def mask_dates(text: str, today: date) -> str:
    """Return the text with its dates, months, quarters and years relative to `today`."""
    for needed, patterns in _PATTERNS:
        if needed.search(text):
            for pattern, name in patterns:
                text = pattern.sub(partial(_apply, name=name, today=today), text)
    return text


def _apply(match: re.Match[str], name: "_Name", today: date) -> str:
    return name(match, today)


def _relate_day(year: int, month: int, day: int, today: date) -> int | None:
    """Return the days from today; None for a date that does not exist."""
    try:
        return (date(year, month, day) - today).days
    except ValueError:
        return None


def _nearest_year(month: int, day: int, today: date) -> int:
    """Return the year that puts a day of the calendar nearest to today."""
    middle = today - timedelta(days=183)
    return middle.year if (month, day) >= (middle.month, middle.day) else middle.year + 1


def _name_days(year: int, month: int, day: int, today: date, *, chinese: bool = False) -> str:
    days = _relate_day(year, month, day, today)
    if days is None or abs(days) > _MOST_DAYS:
        return _name_months(year, month, today, chinese=chinese)
    if chinese:
        near = {-1: "昨天", 0: "今天", 1: "明天"}
        return near.get(days) or (f"{-days}天前" if days < 0 else f"{days}天后")
    near = {-1: "yesterday", 0: "today", 1: "tomorrow"}
    return near.get(days) or (f"{-days} days ago" if days < 0 else f"in {days} days")


def _name_months(year: int, month: int, today: date, *, chinese: bool = False) -> str:
    months = (year - today.year) * 12 + month - today.month
    if abs(months) > _MOST_MONTHS:
        return _name_years(year, today, chinese=chinese)
    return _name(months, "个月", "month", "本月", chinese=chinese)


def _name_quarters(year: int, quarter: int, today: date, *, chinese: bool = False) -> str:
    quarters = (year - today.year) * 4 + quarter - (today.month + 2) // 3
    if abs(quarters) > _MOST_QUARTERS:
        return _name_years(year, today, chinese=chinese)
    return _name(quarters, "个季度", "quarter", "本季度", chinese=chinese)


def _name_years(year: int, today: date, *, chinese: bool = False) -> str:
    years = year - today.year
    if abs(years) > _MOST_YEARS:
        far = ("多年前", "多年后") if chinese else ("years ago", "years from now")
        return far[years > 0]
    if chinese and abs(years) <= 1:
        return ("今年", "明年", "去年")[years]
    return _name(years, "年", "year", "今年", chinese=chinese)


def _name(distance: int, unit: str, word: str, this: str, *, chinese: bool) -> str:
    if chinese:
        near = {0: this, -1: f"上{unit}", 1: f"下{unit}"}
        return near.get(distance) or (f"{-distance}{unit}前" if distance < 0 else f"{distance}{unit}后")
    near = {0: f"this {word}", -1: f"last {word}", 1: f"next {word}"}
    return near.get(distance) or (f"{-distance} {word}s ago" if distance < 0 else f"in {distance} {word}s")


def _full_year(text: str) -> int:
    return int(text) if len(text) == 4 else 2000 + int(text)


def _number(text: str) -> int:
    """Return a number in digits, with an ordinal's ending or not, or in Chinese numerals up to 99."""
    digits = text.rstrip("stndrh")
    if digits.isascii() and digits.isdigit():
        return int(digits)
    if "十" not in text:
        return int("".join(str(_CHINESE_DIGITS[character]) for character in text) or 0)
    tens, _, ones = text.partition("十")
    return _CHINESE_DIGITS.get(tens, 1) * 10 + _CHINESE_DIGITS.get(ones, 0)


def _month_number(text: str) -> int:
    return _NUMBER_OF_MONTH[text.rstrip(" .").lower()]


def _year_month_day(match: re.Match[str], today: date) -> str:
    return _name_days(_full_year(match[1]), int(match[2]), int(match[3]), today)


def _slashed(match: re.Match[str], today: date) -> str:
    return _two_numbers(int(match[1]), int(match[2]), _full_year(match[3]), today) or match[0]


def _dotted(match: re.Match[str], today: date) -> str:
    return _two_numbers(int(match[2]), int(match[1]), int(match[3]), today) or match[0]


def _two_numbers(month: int, day: int, year: int, today: date) -> str:
    """Return the name of a date whose month and day may be the other way round."""
    if month > 12:
        month, day = day, month
    return _name_days(year, month, day, today) if 1 <= month <= 12 else ""


def _month_first(match: re.Match[str], today: date) -> str:
    return _day_of_month(match[1], match[2], match[3], today)


def _day_first(match: re.Match[str], today: date) -> str:
    return _day_of_month(match[2], match[1], match[3], today)


def _day_of_month(month: str, day: str, year: str | None, today: date) -> str:
    numbers = _month_number(month), _number(day)
    return _name_days(int(year) if year else _nearest_year(*numbers, today), *numbers, today)


def _month_year(match: re.Match[str], today: date) -> str:
    return _name_months(_full_year(match[2]), _month_number(match[1]), today)


def _quarter(match: re.Match[str], today: date) -> str:
    word = match["quarter"].lower()
    quarter = next((number for name, number in _ORDINALS.items() if name in word), 0) or int(word.strip("q"))
    if year := match["before"] or match["year"] or match["short"] or match["short2"]:
        return _name_quarters(_full_year(year), quarter, today)
    return _name(_quarters_since(quarter, today), "", "quarter", "", chinese=False)


def _quarters_since(quarter: int, today: date) -> int:
    """Return the distance of a quarter without a year: it is this one or one of the three before."""
    return -(((today.month + 2) // 3 - quarter) % 4)


def _half(match: re.Match[str], today: date) -> str:
    half = "first" if "1" in (match[1], match[2]) else "second"
    return f"{half} half of {_name_years(_full_year(match[3] or match[4]), today)}"


def _years(match: re.Match[str], today: date) -> str:
    first = int(match[1])
    last = int(match[2]) if len(match[2]) == 4 else first // 100 * 100 + int(match[2])
    if not first < last <= first + 30 or _is_amount(match):
        return match[0]
    chinese = match[0].endswith("年")
    years = (_name_years(year, today, chinese=chinese) for year in (first, last))
    return ("至" if chinese else " to ").join(years)


def _decade(match: re.Match[str], today: date) -> str:
    decades = int(match[1]) // 10 - today.year // 10
    return {0: "this decade", -1: "last decade", 1: "next decade"}.get(decades) or (
        "decades ago" if decades < 0 else "decades from now"
    )


def _fiscal_year(match: re.Match[str], today: date) -> str:
    return _name_years(_full_year(match[1] or match[2]), today)


def _year(match: re.Match[str], today: date) -> str:
    return match[0] if _is_amount(match) else _name_years(int(match[1]), today)


def _is_amount(match: re.Match[str]) -> bool:
    before, after = match.string[max(0, match.start() - 16) : match.start()], match.string[match.end() :][:12]
    if _OF_A_YEAR.match(after):
        return False
    is_at = before.endswith((" at ", " At ")) and not re.match(r"\s[A-Z]", after)
    return is_at or bool(_AMOUNT_BEFORE.search(before) or _AMOUNT_AFTER.match(after))


def _month_alone(match: re.Match[str], today: date) -> str:
    month = _month_number(match[2])
    name = _name_months(_nearest_year(month, 15, today), month, today)
    return name if match[1] == "in" else f"{match[1]} {name}"


def _chinese_day(match: re.Match[str], today: date) -> str:
    month, day = _number(match[2]), _number(match[3])
    if not 1 <= month <= 12:
        return match[0]
    year = _full_year(str(_number(match[1]))) if match[1] else _nearest_year(month, day, today)
    return _name_days(year, month, day, today, chinese=True)


def _chinese_month(match: re.Match[str], today: date) -> str:
    month = _number(match[2])
    if not 1 <= month <= 12:
        return match[0]
    year = _full_year(str(_number(match[1]))) if match[1] else _nearest_year(month, 15, today)
    return _name_months(year, month, today, chinese=True)


def _chinese_quarter(match: re.Match[str], today: date) -> str:
    quarter = _number(match[2])
    if match[1]:
        return _name_quarters(_full_year(str(_number(match[1]))), quarter, today, chinese=True)
    return _name(_quarters_since(quarter, today), "个季度", "", "本季度", chinese=True)


def _chinese_year(match: re.Match[str], today: date) -> str:
    return _name_years(_full_year(str(_number(match[1]))), today, chinese=True)


def _day_alone(match: re.Match[str], today: date) -> str:
    """Replace a day without a month by the nearest one that is not after tomorrow, or else leave it."""
    day = int(match[1])
    for days in range(-1, 28):
        if (today - timedelta(days=days)).day == day:
            found = today - timedelta(days=days)
            return _name_days(found.year, found.month, found.day, today, chinese=True)
    return match[0]


_NUMERAL = "[〇零一二三四五六七八九]"
_HAN_YEAR = rf"(?<!\d){_YEAR}|(?<!\d)\d\d|[一二]{_NUMERAL}{{3}}"
_HAN_MONTH = r"(?<!\d)(\d{1,2}|[一二三四五六七八九十]{1,2})月"
_HAN_DAY = r"(\d{1,2}|[一二三四五六七八九十]{1,3})[日号]"
_MONTH_NUMBER, _DAY_NUMBER = "(0?[1-9]|1[0-2])", r"(0?[1-9]|[12]\d|3[01])"
_NOT_IN_NUMBER = r"(?<![A-Za-z0-9.,$€£¥:/])(?<!\d-)"
_Name = Callable[[re.Match[str], date], str]
_CHINESE: tuple[tuple[str, _Name], ...] = (
    (rf"(?:({_HAN_YEAR})年)?{_HAN_MONTH}{_HAN_DAY}", _chinese_day),
    (rf"({_HAN_YEAR})年{_HAN_MONTH}份?", _chinese_month),
    (r"()(?<![\d个近前每后])(\d{1,2})月份?(?![\d日号内来以])", _chinese_month),
    (rf"(?:({_HAN_YEAR})年)?(?<![前近每个])第?([一二三四1-4])季度", _chinese_quarter),
    (rf"(?<!\d)({_YEAR})年?\s?[-—–~至到]\s?({_YEAR})年", _years),
    (rf"((?<!\d){_YEAR}|[一二]{_NUMERAL}{{3}})年度?", _chinese_year),
    (r"(?<!\d)(\d\d)年(?=年?报|上半年|下半年|中报|一季|三季|[初末底])", _chinese_year),
    (r"(?<![\d月近前后续过第每达])(\d{1,2})日(?=[晚上下午早讯公盘收,，、)）。在起披发获])", _day_alone),
)
_NUMBERS: tuple[tuple[str, _Name], ...] = (
    (rf"{_IN}(?<!\d)({_YEAR})[-/.]{_MONTH_NUMBER}[-/.]{_DAY_NUMBER}{_CLOCK}(?!\d)", _year_month_day),
    (rf"{_IN}(?<!\d)({_YEAR})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?!\d)", _year_month_day),
    (rf"{_IN}(?<![\d/$])(\d{{1,2}})/(\d{{1,2}})/({_YEAR}|\d\d)(?![\d/])", _slashed),
    (rf"{_IN}(?<![\d.$])(\d{{1,2}})\.(\d{{1,2}})\.({_YEAR})(?!\d)", _dotted),
)
_MONTH_WORDS: tuple[tuple[str, _Name], ...] = (
    (
        rf"{_IN}\b({_MONTH})\s?({_DAY})(?:\s?[-–]\s?\d{{1,2}}\b)?(?:,?\s({_YEAR})\b)?"
        r"(?![.,]\d|\s?%| (?:day|month|quarter|year)s?\b)",
        _month_first,
    ),
    (
        rf"{_IN}(?:\b[Tt]he )?(?<![\d.,$-])({_DAY})(?: of)?[ -]({_MONTH})(?:[,-]?\s?({_YEAR})\b)?",
        _day_first,
    ),
    (rf"{_IN}\b({_MONTH})(?:,?(?: of)? |[-/])?({_YEAR})\b", _month_year),
    (rf"{_IN}\b({_MONTH})(?: ?['’]|-)(\d\d)\b", _month_year),
    (
        rf"\b(in|since|by|until|from|for|through|before|after|late|early) ({_MONTH})(?!\s?\d)",
        _month_alone,
    ),
)
_YEARS: tuple[tuple[str, _Name], ...] = (
    (
        rf"{_IN}(?:(?<!\d)(?P<before>{_YEAR})[ -]?|\b)"
        r"(?P<quarter>[Qq][1-4]|[1-4][Qq]|(?i:first|second|third|fourth)[- ][Qq]uarter)"
        rf"(?:(?: of)?[ -]?(?:FY ?)?(?P<year>{_YEAR})| ?(?:FY ?|['’])(?P<short>\d\d)|(?P<short2>\d\d))?"
        r"(?![A-Za-z0-9])",
        _quarter,
    ),
    (
        rf"{_IN}\b(?:H([12])|([12])H)(?:(?: of)? ?(?:FY ?)?({_YEAR})|(?:FY|['’])?(\d\d))(?!\d)",
        _half,
    ),
    (rf"{_IN}\bFY ?['’]?({_YEAR}|\d\d)E?\b|(?<!\d)({_YEAR})E\b", _fiscal_year),
    (rf"{_IN}{_NOT_IN_NUMBER}({_YEAR})\s?[-–/]\s?({_YEAR}|\d\d)(?![\d%])", _years),
    (r"(?<!\d)((?:19|20)\d0)s\b", _decade),
    (rf"{_IN}{_NOT_IN_NUMBER}({_YEAR})(?![A-Za-z0-9]|[.,:]\d)", _year),
)
# The forms of each group are looked for only in a text that has what all of them need.
_PATTERNS = tuple(
    (re.compile(needed), tuple((re.compile(pattern), name) for pattern, name in table))
    for needed, table in (
        ("[年月日号季]", _CHINESE),
        (r"\d[-/.]?\d", _NUMBERS),
        (rf"\b(?:{_MONTH_NAMES})", _MONTH_WORDS),
        (r"\d|[Qq]uarter", _YEARS),
    )
)
