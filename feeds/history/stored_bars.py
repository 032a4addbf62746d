"""The bars of one symbol as the store keeps them, and the Parquet file that holds them.

A file has one row per candle; source, gaps and spans are JSON in its metadata. Names, locks and atomic
replacement of files are in `store`.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from engine.calendars import Calendar
from engine.errors import DataError, toml_table
from engine.instruments import Instrument
from engine.journal.canonical import canonical_json, format_utc
from engine.model import Bar, require_utc, widen_range
from feeds.files.tables import quote_value
from feeds.history.candles import EPOCH, OHLCV, Adjustment, Candle, Gap, ohlcv, timeframe_step

VERSION = 1
_KEY = b"closecall"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A requested window from `since` (included) to `until` (excluded), with its provenance."""

    since: datetime
    until: datetime
    provenance: str
    fetched_at: datetime

    def __post_init__(self) -> None:
        for name in ("since", "until", "fetched_at"):
            require_utc(getattr(self, name), name)
        if self.until <= self.since:
            raise ValueError(f"a span ends at {self.until}, not after its start at {self.since}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBars:
    """All that the store holds of one symbol: candles, gaps and spans in time order.

    The spans join into one window without a hole; each candle that was due in it is either among the candles
    or in a gap. Raises ValueError otherwise.
    """

    source: str
    symbol: str
    timeframe: str
    adjustment: Adjustment
    candles: tuple[Candle, ...]
    gaps: tuple[Gap, ...]
    spans: tuple[Span, ...]

    def __post_init__(self) -> None:
        if not self.spans or any(left.until != right.since for left, right in pairwise(self.spans)):
            raise ValueError("the spans do not join")
        starts = [candle.starts_at for candle in self.candles]
        if any(left >= right for left, right in pairwise(starts)):
            raise ValueError("the candles do not ascend")
        times = starts + [gap.first for gap in self.gaps] + [gap.last for gap in self.gaps]
        if times and not (self.since <= min(times) and max(times) < self.until):
            raise ValueError("a candle or gap lies outside the spans")

    @property
    def since(self) -> datetime:
        """The start of the requested window, included."""
        return self.spans[0].since

    @property
    def until(self) -> datetime:
        """The end of the requested window, excluded."""
        return self.spans[-1].until

    @property
    def provenance(self) -> str:
        """Exchange, library and version of the newest download."""
        return max(self.spans, key=lambda span: span.fetched_at).provenance

    @property
    def fetched_at(self) -> datetime:
        """The instant of the newest download, in UTC."""
        return max(span.fetched_at for span in self.spans)

    def bars(self, instrument: Instrument, calendar: Calendar) -> tuple[Bar, ...]:
        """Return the candles as bars of `instrument`; a day's bar has the hours of its session in `calendar`.

        Raises DataError for a day on which the calendar has no session.
        """
        step = timeframe_step(self.timeframe)
        return tuple(self._bar(candle, instrument, calendar, step) for candle in self.candles)

    def _bar(self, candle: Candle, instrument: Instrument, calendar: Calendar, step: timedelta) -> Bar:
        opens_at, closes_at = candle.starts_at, candle.starts_at + step
        if self.timeframe == "1d":
            session = calendar.session(candle.starts_at.date())
            if session is None:
                raise DataError(
                    f"{self.source} {self.symbol}: a candle on {candle.starts_at.date()}, when "
                    f"{instrument.calendar} was closed; "
                    f"set `calendar` under {toml_table('instruments', self.symbol)}"
                )
            opens_at, closes_at = session
        high, low = widen_range(*candle.prices)
        return Bar(
            symbol=instrument.symbol,
            timeframe=self.timeframe,
            opens_at=opens_at,
            closes_at=closes_at,
            **{**ohlcv(candle), "high": high, "low": low},
        )


def write_table(path: Path, stored: StoredBars) -> None:
    """Write `stored` to `path` and wait until it is on the disk. Raises OSError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    starts = [(candle.starts_at - EPOCH) // timedelta(milliseconds=1) for candle in stored.candles]
    columns = {"starts_at": pa.array(starts, pa.int64()).cast(pa.timestamp("ms", tz="UTC"))}
    for name in OHLCV:
        columns[name] = pa.array([getattr(candle, name) for candle in stored.candles], pa.float64())
    table = pa.table(columns).replace_schema_metadata(
        {_KEY: canonical_json(_encode_metadata(stored)).encode()}
    )
    with path.open("wb") as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)
        file.flush()
        os.fsync(file.fileno())


def read_table(path: Path) -> StoredBars:
    """Read a file written by `write_table`. Raises DataError for one that is damaged, foreign or newer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            facts = json.loads((file.schema_arrow.metadata or {})[_KEY])
            if facts["version"] != VERSION:
                raise DataError(f"{path}: has version {facts['version']}; upgrade closecall to read it")
            table = file.read(columns=["starts_at", *OHLCV])
        starts = table.column("starts_at").cast(pa.int64()).to_pylist()
        cells = zip(starts, *(table.column(name).to_pylist() for name in OHLCV), strict=True)
        candles = tuple(
            Candle(starts_at=EPOCH + timedelta(milliseconds=start), **dict(zip(OHLCV, values, strict=True)))
            for start, *values in cells
        )
        return _decode_table(facts, candles)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not a readable file of bars ({quote_value(str(error))}); remove it and fetch again"
        ) from None


def _encode_metadata(stored: StoredBars) -> Mapping[str, Any]:
    return {
        "version": VERSION,
        "source": stored.source,
        "symbol": stored.symbol,
        "timeframe": stored.timeframe,
        "adjustment": stored.adjustment,
        "gaps": [
            [format_utc(gap.first), format_utc(gap.last), gap.candles, gap.reason] for gap in stored.gaps
        ],
        "spans": [
            [format_utc(span.since), format_utc(span.until), span.provenance, format_utc(span.fetched_at)]
            for span in stored.spans
        ],
    }


def _decode_table(facts: Mapping[str, Any], candles: tuple[Candle, ...]) -> StoredBars:
    symbol = str(facts["symbol"])
    return StoredBars(
        source=str(facts["source"]),
        symbol=symbol,
        timeframe=str(facts["timeframe"]),
        adjustment=Adjustment(facts["adjustment"]),
        candles=candles,
        gaps=tuple(
            Gap(
                symbol=symbol,
                first=_parse_instant(first),
                last=_parse_instant(last),
                candles=int(count),
                reason=str(why),
            )
            for first, last, count, why in facts["gaps"]
        ),
        spans=tuple(
            Span(
                since=_parse_instant(since),
                until=_parse_instant(until),
                provenance=str(who),
                fetched_at=_parse_instant(when),
            )
            for since, until, who, when in facts["spans"]
        ),
    )


def _parse_instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
