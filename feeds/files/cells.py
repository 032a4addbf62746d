"""Read the dates and numbers of a file in the notation that the whole file shows.

One cell such as 1,234 or 03/04/2024 can be read in two ways; a column of them usually cannot. Where it still
can, the file is refused and the message names the setting that decides.
"""

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

from engine.errors import DataError
from feeds.files.tables import quote_value

_CURRENCIES = "$€£¥₹₩₽₿"
_BLANKS = re.compile(r"[\s\u00a0\u202f]")
_POINT = re.compile(
    r"[-+]?(?:\d{1,3}(?:,\d{2,3})*,\d{3}|\d{1,3}(?:['’ ]\d{3})+|\d+)?(?:\.\d*)?(?:[eE][-+]?\d+)?"
)
_COMMA = re.compile(r"[-+]?(?:\d{1,3}(?:[.'’ ]\d{3})+|\d+)?(?:,\d*)?")
_EITHER = re.compile(r"[-+]?\d{1,3}[.,]\d{3}")
_FACTORS = {"": 0, "K": 3, "M": 6, "B": 9, "T": 12, "万": 4, "亿": 8}
_SUFFIX = re.compile(r"(.*?)\s*([KMBT万亿])", re.IGNORECASE | re.DOTALL)
MISSING = frozenset({"", "-", "--", "n/a", "na", "nan", "null", "none", "#n/a"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberStyle:
    """How numbers are written: with a decimal point and thousands commas, or the other way round."""

    decimal: str

    def plain(self, text: str) -> str:
        """Return a number as digits with a decimal point, and any other text unchanged."""
        body, power = _strip_number(text)
        if not body or not (_POINT if self.decimal == "." else _COMMA).fullmatch(body):
            return text
        grouping = "[,'’ ]" if self.decimal == "." else "[.'’ ]"
        body = re.sub(grouping, "", body).replace(",", ".")
        if not power:
            return body
        return format(Decimal(body).scaleb(power), "f")


def infer_number_style(
    path: Path, cells: Iterable[tuple[str, str]], delimiter: str, decimal: str | None = None
) -> NumberStyle:
    """Return the notation that all numbers of a file share.

    Args:
        path: The file, for the remedy.
        cells: Where each cell stands, and its text.
        delimiter: What separates the cells of a row; a semicolon often goes with decimal commas.
        decimal: The decimal sign that the user names; None to infer it.

    Raises:
        DataError: Where the cells contradict each other, and where both notations fit with other values.
    """
    if decimal:
        return NumberStyle(decimal=decimal)
    only: dict[str, tuple[str, str]] = {}
    unclear: dict[str, tuple[str, str]] = {}
    for place, text in cells:
        body, _ = _strip_number(text)
        if "." not in body and "," not in body:
            continue
        point, comma = bool(_POINT.fullmatch(body)), bool(_COMMA.fullmatch(body))
        if _EITHER.fullmatch(body):
            sign = "," if "," in body else "."
            if not body.lstrip("+-").startswith("0"):
                unclear.setdefault(sign, (place, text))
                continue
            point, comma = sign == ".", sign == ","
        if point != comma:
            only.setdefault("." if point else ",", (place, text))
    if len(only) > 1:
        (place, text), (_, other) = only[","], only["."]
        raise DataError(
            f"{place}: {quote_value(text)} has a decimal comma and {quote_value(other)} a decimal point; "
            "write all numbers alike"
        )
    if only:
        return NumberStyle(decimal=next(iter(only)))
    if "," in unclear or ("." in unclear and delimiter == ";"):
        place, text = unclear.get(",") or unclear["."]
        raise DataError(
            f"{place}: {quote_value(text)} can be a number of thousands or of three decimals; set `decimal` "
            f'to "." or "," under [columns], or: closecall data convert --decimal . {shlex.quote(str(path))}'
        )
    return NumberStyle(decimal=".")


def _strip_number(text: str) -> tuple[str, int]:
    """Return a number without blanks, currency and K, M or B, and the power of ten that the letter means."""
    body = text.strip().strip(_CURRENCIES)
    power = 0
    if match := _SUFFIX.fullmatch(body):
        body, power = match[1], _FACTORS[match[2].upper()]
    body = body.strip().strip(_CURRENCIES)
    if body.startswith("-") and body[1:2] in _CURRENCIES:
        body = "-" + body[2:]
    return _BLANKS.sub(" ", body).strip(), power


_MONTH_NAMES = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_MONTHS = {"sept": 9} | {
    name[:length]: number for number, name in enumerate(_MONTH_NAMES, start=1) for length in (3, 9)
}
_CLOCK = re.compile(
    r"(?:[T ,]\s*(?P<hour>\d{1,2}):?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?P<fraction>[.,]\d+)?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?)?"
    r"\s*(?P<zone>Z|(?:UTC|GMT|EST|EDT)?(?:[+-]\d{2}(?::?\d{2})?)?)"
)
_DATES = {
    "year first": re.compile(r"(?P<y>\d{4})([-/.])(?P<m>\d{1,2})\2(?P<d>\d{1,2})"),
    "compact": re.compile(r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})"),
    "Chinese": re.compile(r"(?P<y>\d{4})年(?P<m>\d{1,2})月(?P<d>\d{1,2})日"),
    "day first": re.compile(r"(?P<d>\d{1,2})([-/.])(?P<m>\d{1,2})\2(?P<y>\d{4})"),
    "month first": re.compile(r"(?P<m>\d{1,2})([-/.])(?P<d>\d{1,2})\2(?P<y>\d{4})"),
    "named month": re.compile(
        r"(?:[A-Za-z]{3,9},?\s+)?(?P<d>\d{1,2})[-\s.](?P<b>[A-Za-z]{3,9})[-\s,.]+(?P<y>\d{4})"
    ),
    "named month first": re.compile(
        r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,?\s+)?(?P<b>[A-Za-z]{3,9})\.?[-\s]+(?P<d>\d{1,2})[-,\s]+(?P<y>\d{4})"
    ),
}
_ZONES = {"": None, "Z": UTC, "UTC": UTC, "GMT": UTC, "EST": timezone(timedelta(hours=-5))}
_ZONES["EDT"] = timezone(timedelta(hours=-4))
_EPOCH = re.compile(r"\d{9,19}(?:\.\d+)?|\d(?:\.\d+)?[eE]\+?\d{1,2}")
_UNITS = (("seconds", 0), ("milliseconds", 3), ("microseconds", 6), ("nanoseconds", 9))
_FIRST_EPOCH, _LAST_EPOCH = 100_000_000, 7_258_118_400  # 1973 and 2200
_SHORT_YEAR = re.compile(r"\d{1,2}[-/. ](?:\d{1,2}|[A-Za-z]{3})[-/. ]\d{2}(?!\d)")
_SERIAL = re.compile(r"[1-9]\d{4}(?:\.\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class DateStyle:
    """How the dates of a file are written.

    Attributes:
        name: For messages, such as "day first" or "seconds since 1970".
        parse: Returns the time in a text, naive where no zone stands beside it; None where it does not fit.
    """

    name: str
    parse: Callable[[str], datetime | None]


def infer_date_style(path: Path, cells: Sequence[tuple[str, str]], order: str | None = None) -> DateStyle:
    """Return the one notation that fits all dates of a file.

    Args:
        path: The file, for the remedy.
        cells: Where each cell stands, and its text; at least one.
        order: "day first" or "month first" where the user names it; None to infer it.

    Raises:
        DataError: Where no notation fits all, and where day first and month first both do.
    """
    styles = [_EPOCH_STYLE, *(_text_style(name) for name in _DATES)]
    if order:
        styles = [style for style in styles if style.name not in {"day first", "month first"} - {order}]
    fitting = styles
    for place, text in cells:
        still = [style for style in fitting if style.parse(text) is not None]
        if not still:
            raise _date_error(place, text, fitting if len(fitting) < len(styles) else [])
        fitting = still
    names = [style.name for style in fitting]
    if {"day first", "month first"} <= set(names) and any(
        fitting[names.index("day first")].parse(text) != fitting[names.index("month first")].parse(text)
        for _, text in cells
    ):
        place, text = cells[0]
        raise DataError(
            f"{place}: {quote_value(text)} can be day first or month first, and no day above 12 in the file "
            'decides; set `date_order` to "day first" or "month first" under [columns], or: '
            f"closecall data convert --date-order 'day first' {shlex.quote(str(path))}"
        )
    return fitting[0]


def _date_error(place: str, text: str, fitting: Sequence[DateStyle]) -> DataError:
    if _SHORT_YEAR.fullmatch(text):
        remedy = "has a year of two digits; write it with four"
    elif _SERIAL.fullmatch(text):
        remedy = "is a day number of a spreadsheet, not a date; save the file with dates as YYYY-MM-DD"
    elif fitting:
        remedy = (
            f"is not a date with the {' or '.join(style.name for style in fitting)} of the rows before it"
        )
        remedy += "; correct or remove the row"
    else:
        remedy = "is not a date; write it as YYYY-MM-DD"
    return DataError(f"{place}: date {quote_value(text)} {remedy}")


def _text_style(name: str) -> DateStyle:
    return DateStyle(name=name, parse=lambda text: _parse_date(_DATES[name], text))


def _parse_date(pattern: re.Pattern[str], text: str) -> datetime | None:
    if len(text) == len("20240102120000") and text.isdigit():
        text = f"{text[:8]}T{text[8:]}"
    day = pattern.match(text)
    clock = day and _CLOCK.fullmatch(text, day.end())
    if not day or not clock:
        return None
    fields = day.groupdict()
    month = _MONTHS.get(fields["b"].lower(), 0) if "b" in fields else int(fields["m"])
    hour, half = int(clock["hour"] or 0), (clock["half"] or "").lower()[:1]
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "p" else 0)
    fraction = (clock["fraction"] or ".0")[1:7].ljust(6, "0")
    try:
        zone = _parse_zone(clock["zone"])
        moment = datetime(
            int(fields["y"]),
            month,
            int(fields["d"]),
            hour,
            int(clock["minute"] or 0),
            int(clock["second"] or 0),
            int(fraction),
            zone,
        )
    except (ValueError, KeyError):
        return None
    return moment if 1800 <= moment.year < 2200 else None


def _parse_zone(text: str) -> timezone | None:
    match = re.fullmatch(r"(Z|[A-Z]{3}|)(?:([+-])(\d{2}):?(\d{2})?)?", text)
    if match is None or not match[2]:
        return _ZONES[text]
    if match[1] in ("EST", "EDT"):
        raise ValueError(text)
    ahead = timedelta(hours=int(match[3]), minutes=int(match[4] or 0))
    if ahead > timedelta(hours=14):
        raise ValueError(text)
    return timezone(ahead if match[2] == "+" else -ahead)


def _parse_epoch(text: str) -> datetime | None:
    """Return an instant counted since 1970, whose unit its size shows: the four units do not overlap."""
    if not _EPOCH.fullmatch(text):
        return None
    value = Decimal(text)
    for _, power in _UNITS:
        seconds = value.scaleb(-power)
        if _FIRST_EPOCH <= seconds < _LAST_EPOCH:
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
                microseconds=int(seconds.scaleb(6).to_integral_value())
            )
    return None


def epoch_unit(text: str) -> str:
    """Return the unit of a time since 1970."""
    value = Decimal(text)
    return next(name for name, power in _UNITS if value.scaleb(-power) < _LAST_EPOCH)


_EPOCH_STYLE = DateStyle(name="time since 1970", parse=_parse_epoch)


def to_float(text: str) -> float | None:
    """Return a number in plain notation; None for any other text."""
    try:
        return float(text)
    except ValueError:
        return None
