"""Cut and alter frames and series of pandas whose rows have a time, as `worlds` does with bars and news."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from engine.model import Bar
from strategies.lookahead.worlds import Alteration, World, turn_price

_TIME_COLUMNS = ("date", "datetime", "time", "timestamp", "published_at", "day", "as_of")
_SYMBOL_COLUMNS = ("symbol", "ticker")
_COMPARED = 60
"""Rows whose values are compared with the bars."""


def change_frame(frame: Any, world: World) -> Any:
    """Return a frame or series as it is in a world; one whose rows have no time is returned as it is."""
    stamps = _find_stamps(frame)
    if stamps is None or world.alteration is Alteration.REAL:
        return frame
    is_news = isinstance(frame, pd.DataFrame) and "title" in map(str, frame.columns)
    if world.alteration is Alteration.SCRAMBLED:
        return frame.iloc[:0] if is_news else _change_values(frame, lambda s: _scramble(s, stamps, world))
    if is_news:
        known = np.array([at > world.at for at in _known_news(frame, stamps, world)])
        later = dict.fromkeys(frame.columns, known)
    else:
        later = _find_later(frame, stamps, world)
    if world.alteration is Alteration.TURNED:
        return _change_values(frame, lambda series: _turn(series, later[series.name]))
    if isinstance(frame, pd.Series):
        return frame[~later[frame.name]]
    rows = ~np.logical_and.reduce(list(later.values()))
    cut = frame[rows].copy()
    for name, mask in later.items():
        if mask[rows].any():  # a day of which this symbol's close is not known yet, and another one's is
            cut.loc[mask[rows], name] = np.nan
    return cut


def _find_stamps(frame: Any) -> "pd.DatetimeIndex | None":
    """Return the time of each row in UTC; None where the rows have none."""
    index = frame.index
    candidates = [index.get_level_values(n) for n in range(index.nlevels)]
    if isinstance(frame, pd.DataFrame):
        candidates += [frame[name] for name in frame.columns if str(name).lower() in _TIME_COLUMNS]
    for values in candidates:
        if isinstance(values, pd.PeriodIndex):
            return values.to_timestamp().tz_localize(UTC)
        is_dated = pd.api.types.is_datetime64_any_dtype(values.dtype)
        is_text = isinstance(values, pd.Series) and not pd.api.types.is_numeric_dtype(values.dtype)
        if is_dated or is_text or (len(values) and isinstance(values[0], date)):
            stamps = pd.DatetimeIndex(pd.to_datetime(values, utc=True, errors="coerce", format="mixed"))
            if not stamps.isna().any():
                return stamps
    return None


def _known_news(frame: Any, stamps: pd.DatetimeIndex, world: World) -> list[datetime]:
    """Return when each row of news is known: as the same item of the market, else at its time."""
    available = {item.title: item.available_at for item in world.market.news}
    return [
        max(at.to_pydatetime(), available.get(title, at.to_pydatetime()))
        for title, at in zip(frame["title"], stamps, strict=True)
    ]


def _find_later(frame: Any, stamps: pd.DatetimeIndex, world: World) -> dict[Any, Any]:
    """Return by column, or the name of a series, which rows are known after the close of a world only."""
    times = [stamp.to_pydatetime().replace(tzinfo=UTC) for stamp in stamps]
    bars = world.market.bars
    table = frame.to_frame() if isinstance(frame, pd.Series) else frame
    by_close, owner = _match_values(table, times, world)
    key = next((name for name in table.columns if str(name).lower() in _SYMBOL_COLUMNS), None)
    closes = {symbol: _closes_by_day(series) for symbol, series in bars.items()}
    first: dict[datetime, datetime] = {}
    for known in closes.values():
        for day, at in known.items():
            first[day] = min(at, first.get(day, at))

    def is_later(time: datetime, symbol: str | None) -> bool:
        if by_close:
            return time > world.at
        days = closes.get(symbol or "", first)
        return days.get(time, time + timedelta(days=1) if time == _midnight(time) else time) > world.at

    masks = {}
    for name in table.columns:
        symbol = str(name) if str(name) in bars else owner
        owners = table[key].astype(str) if key is not None else [symbol] * len(times)
        masks[name] = np.array([is_later(*row) for row in zip(times, owners, strict=True)], dtype=bool)
    return masks if isinstance(frame, pd.DataFrame) else {frame.name: next(iter(masks.values()))}


def _closes_by_day(series: Sequence[Bar]) -> dict[datetime, datetime]:
    """Return when a day's bar closes, by its open and by the midnight of its day."""
    return {key: bar.closes_at for bar in series for key in (_midnight(bar.opens_at), bar.opens_at)}


def _match_values(table: "pd.DataFrame", times: Sequence[datetime], world: World) -> tuple[bool, str | None]:
    """Return whether rows are dated by the close of their bar, and whose bars they are, by their values.

    Where no value is that of a bar, they are dated by closes if the last one has the last close's time.
    """
    opened: Counter[str] = Counter()
    closed: Counter[str] = Counter()
    numbers = table.select_dtypes("number").to_numpy()
    places = np.unique(np.linspace(0, len(times) - 1, min(_COMPARED, len(times))).astype(int))
    rows = [(times[place], set(numbers[place].tolist())) for place in places]
    for symbol, series in world.market.bars.items():
        by_open = {key: bar.close for bar in series for key in (_midnight(bar.opens_at), bar.opens_at)}
        by_close = {bar.closes_at: bar.close for bar in series}
        opened[symbol] += sum(by_open.get(time) in values for time, values in rows)
        closed[symbol] += sum(by_close.get(time) in values for time, values in rows)
    if not (opened.total() or closed.total()):
        last = max(series[-1].closes_at for series in world.market.bars.values())
        return bool(times) and times[-1] >= last, None
    is_closed = closed.total() > opened.total()
    return is_closed, (closed if is_closed else opened).most_common(1)[0][0]


def _midnight(moment: datetime) -> datetime:
    return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)


def _change_values(frame: Any, change: Any) -> Any:
    if isinstance(frame, pd.Series):
        return change(frame)
    key = next((name for name in frame.columns if str(name).lower() in _SYMBOL_COLUMNS), None)
    untouched = {key, *(name for name in frame.columns if str(name).lower() in _TIME_COLUMNS)}
    changed = frame.copy()
    for name in frame.columns:
        if name not in untouched:
            changed[name] = change(frame[name])
    names = {str(name).lower(): name for name in frame.columns}
    if {"high", "low"} <= names.keys():
        high, low = changed[names["high"]], changed[names["low"]]
        changed[names["high"]], changed[names["low"]] = np.maximum(high, low), np.minimum(high, low)
    return changed


def _turn(series: "pd.Series[Any]", later: Any) -> "pd.Series[Any]":
    changed = series.copy()
    values = series[later]
    if values.empty:
        return changed
    if pd.api.types.is_bool_dtype(series.dtype):
        changed[later] = ~values
    elif not pd.api.types.is_numeric_dtype(series.dtype):
        changed[later] = values.to_numpy()[::-1]
    elif _are_prices(series):
        known = series[~later].dropna()
        anchor = float(known.iloc[-1] if len(known) else values.dropna().iloc[0])
        changed = changed.astype(float)
        turned = [turn_price(float(value), anchor) if value == value else value for value in values]
        changed[later] = np.array(turned)
    else:
        changed = changed.astype(float)
        changed[later] = 1.0 - 3.0 * values.astype(float)
    return changed


def _scramble(series: "pd.Series[Any]", stamps: pd.DatetimeIndex, world: World) -> "pd.Series[Any]":
    sides = np.array([world.coin(str(series.name), stamp) for stamp in stamps])
    if not pd.api.types.is_numeric_dtype(series.dtype) or pd.api.types.is_bool_dtype(series.dtype):
        return series
    if not _are_prices(series):
        return series.mul(sides)
    prices = series.dropna()
    logs = np.log(prices.to_numpy(dtype=float))
    moves = np.diff(logs, prepend=logs[:1]) * sides[series.notna().to_numpy()]
    changed = series.astype(float)
    changed[prices.index] = np.exp(logs[0] + np.cumsum(moves))
    return changed


def _are_prices(series: "pd.Series[Any]") -> bool:
    values = series.to_numpy(dtype=float)
    values = values[~np.isnan(values)]
    return bool(len(values)) and bool(np.isfinite(values).all() and (values > 0).all())
