"""Candles on disk: one Parquet file for each source, timeframe and symbol.

Knows files: their names, that they appear whole or not at all, and who may write. It asks no source and
repairs nothing.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any
from urllib.parse import unquote

from engine.calendars import Calendar
from engine.errors import DataError
from engine.instruments import Instrument
from engine.journal.canonical import canonical_json, format_utc
from engine.model import Bar, require_utc
from feeds.files.tables import quote_value
from feeds.history.candles import EPOCH, Adjustment, Candle, Gap, timeframe_step

VERSION = 1

_KEY = b"closecall"

_COLUMNS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A window, from `since` (included) to `until` (excluded), that was asked for: of whom, and when."""

    since: datetime
    until: datetime
    provenance: str
    fetched_at: datetime

    def __post_init__(self) -> None:
        for name in ("since", "until", "fetched_at"):
            require_utc(getattr(self, name), name)
        if self.until <= self.since:
            raise ValueError(f"a span ends at {self.until}, before it starts at {self.since}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBars:
    """All that the store holds of one symbol: candles, gaps and spans in time order.

    The spans join into one window without a hole; each candle that was due in it is either among the
    candles or in a gap. Raises ValueError where that cannot be so.
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
        """The start of the window that was asked for."""
        return self.spans[0].since

    @property
    def until(self) -> datetime:
        """The end of the window that was asked for; not part of it."""
        return self.spans[-1].until

    @property
    def provenance(self) -> str:
        """Exchange, library and version of the newest fetch."""
        return max(self.spans, key=lambda span: span.fetched_at).provenance

    @property
    def fetched_at(self) -> datetime:
        """When the newest fetch was, in UTC."""
        return max(span.fetched_at for span in self.spans)

    def bars(self, instrument: Instrument, calendar: Calendar) -> tuple[Bar, ...]:
        """The candles as bars of `instrument`; a day's bar has the hours of its session in `calendar`.

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
                    f"{instrument.calendar} was closed; set `calendar` under [instruments.{self.symbol}]"
                )
            opens_at, closes_at = session
        return Bar(
            symbol=instrument.symbol,
            timeframe=self.timeframe,
            opens_at=opens_at,
            closes_at=closes_at,
            open=candle.open,
            high=candle.high,
            low=candle.low,
            close=candle.close,
            volume=candle.volume,
        )


def write_table(path: Path, stored: StoredBars) -> None:
    """Write `stored` to `path` and wait until it is on the disk. Raises OSError."""
    import os

    import pyarrow as pa
    import pyarrow.parquet as pq

    starts = [(candle.starts_at - EPOCH) // timedelta(milliseconds=1) for candle in stored.candles]
    columns = {"starts_at": pa.array(starts, pa.int64()).cast(pa.timestamp("ms", tz="UTC"))}
    for name in _COLUMNS:
        columns[name] = pa.array([getattr(candle, name) for candle in stored.candles], pa.float64())
    table = pa.table(columns).replace_schema_metadata(
        {_KEY: canonical_json(_encode_metadata(stored)).encode()}
    )
    with path.open("wb") as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)
        file.flush()
        os.fsync(file.fileno())


def read_table(path: Path) -> StoredBars:
    """Read a file of `write_table`. Raises DataError for one that is damaged, foreign or newer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            facts = json.loads((file.schema_arrow.metadata or {})[_KEY])
            if facts["version"] != VERSION:
                raise DataError(f"{path}: has version {facts['version']}; upgrade closecall to read it")
            table = file.read(columns=["starts_at", *_COLUMNS])
        starts = table.column("starts_at").cast(pa.int64()).to_pylist()
        cells = zip(starts, *(table.column(name).to_pylist() for name in _COLUMNS), strict=True)
        candles = tuple(
            Candle(
                starts_at=EPOCH + timedelta(milliseconds=start),
                open=open_,
                high=high,
                low=low,
                close=close,
                volume=volume,
            )
            for start, open_, high, low, close, volume in cells
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


_SUFFIX = ".parquet"

_MAX_NAME_LENGTH = 180

_PLAIN = ascii_uppercase + digits + "-_"


class BarStore:
    """The files under `root`. A reader needs no lock: it sees the file of before a write or of after it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, source: str, symbol: str, timeframe: str) -> Path:
        """The file of one symbol; names are escaped, so that none can leave the folder."""
        return self._folder(source, timeframe) / (_escape_name(symbol) + _SUFFIX)

    def sources(self) -> list[str]:
        """The sources of which something is stored, sorted."""
        if not self.root.is_dir():
            return []
        return sorted(unquote(folder.name) for folder in self.root.iterdir() if folder.is_dir())

    def symbols(self, source: str, timeframe: str = "1d") -> list[str]:
        """The symbols that are stored, sorted."""
        folder = self._folder(source, timeframe)
        return sorted(unquote(file.stem) for file in folder.glob("*" + _SUFFIX) if file.name[0] != ".")

    def find(self, source: str, symbol: str, timeframe: str) -> StoredBars | None:
        """What is stored, or None if nothing is. Raises DataError for a damaged file."""
        path = self.path(source, symbol, timeframe)
        if not path.is_file():
            return None
        stored = read_table(path)
        if (stored.source, stored.symbol, stored.timeframe) != (source, symbol, timeframe):
            raise DataError(
                f"{path}: holds {quote_value(stored.symbol)}, not {quote_value(symbol)}; remove it"
            )
        return stored

    def read(self, source: str, symbol: str, timeframe: str = "1d") -> StoredBars:
        """What is stored. Raises DataError for a damaged file, and if nothing is there."""
        found = self.find(source, symbol, timeframe)
        if found is None:
            raise DataError(f"{self.root}: no {timeframe} bars of {symbol} from {source}; fetch them first")
        return found

    def write(self, stored: StoredBars) -> None:
        """Replace the symbol's file by one that is whole on disk before it takes the name.

        Call it inside `writing`. Raises DataError where the folder cannot be written.
        """
        path = self.path(stored.source, stored.symbol, stored.timeframe)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_table(temporary, stored)
            temporary.replace(path)
            _sync_folder(path.parent)
        except OSError as error:
            raise DataError(f"{path}: {error.strerror or error}; make room or give write access") from None
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def writing(self, source: str) -> Iterator[None]:
        """Hold the right to write `source`; temporary files of fetches that died are removed first.

        The operating system frees it when a process ends, however it ends. Raises DataError where
        another process holds it.
        """
        import fcntl

        folder = self._folder(source)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder, os.O_RDONLY)
        except OSError as error:
            raise DataError(f"{folder}: {error.strerror}; choose a folder that can be written") from None
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataError(f"{folder}: another fetch is writing here; wait for it to end") from None
            for stale in folder.rglob(".*.tmp"):
                stale.unlink()
            yield
        finally:
            os.close(handle)

    def _folder(self, source: str, timeframe: str = "") -> Path:
        folder = self.root / _escape_name(source, _PLAIN + ascii_lowercase)
        return folder / _escape_name(timeframe, _PLAIN + ascii_lowercase) if timeframe else folder


def _sync_folder(folder: Path) -> None:
    """Wait until the folder's entries are on the disk, or a power cut could undo a rename."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _escape_name(text: str, plain: str = _PLAIN) -> str:
    """`text` as a file name that no two texts share, whatever the file system makes of small letters."""
    name = "".join(
        mark if mark in plain or (mark == "." and 0 < at < len(text) - 1) else _percent_encode(mark)
        for at, mark in enumerate(text)
    )
    if not name or len(name) > _MAX_NAME_LENGTH:
        raise DataError(f"{quote_value(text)} cannot name a file; give a symbol of 1 to 60 letters")
    return name


def _percent_encode(mark: str) -> str:
    return "".join(f"%{byte:02X}" for byte in mark.encode("utf-8", "surrogatepass"))
