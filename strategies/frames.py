"""Write pandas frames to files, so that they pass through the same reader and checks as files."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from engine.errors import ClosecallError, DataError
from feeds.files.layouts import COLUMNS as BAR_COLUMNS
from feeds.files.news_forms import COLUMNS as NEWS_COLUMNS
from feeds.files.news_forms import OPTIONAL_COLUMNS

if TYPE_CHECKING:
    from pandas import DataFrame


@contextmanager
def write_frames(
    bars: Mapping[str, "DataFrame"], news: "DataFrame | None"
) -> Iterator[dict[str, list[Path]]]:
    """Write frames to a temporary folder and return the files of bars and of news.

    Raises:
        DataError: For frames without what bars and news need. An error in the block is raised again with the
            symbol in place of the file, which the user has not seen.
    """
    if not bars:
        raise DataError("bars: no frame; give a mapping from symbols to frames")
    with TemporaryDirectory(prefix="closecall-") as name:
        folder = Path(name)
        paths = {"bars": [_write_bars(folder, symbol, frame) for symbol, frame in bars.items()]}
        if news is not None:
            paths["news"] = [_write(folder / "news.parquet", "news", news, NEWS_COLUMNS, OPTIONAL_COLUMNS)]
        try:
            yield paths
        except ClosecallError as error:
            text = str(error).replace(f"{folder}/", "").replace(".parquet", "")
            raise type(error)(text) from None


def _write_bars(folder: Path, symbol: str, frame: "DataFrame") -> Path:
    if not isinstance(symbol, str) or not symbol or "/" in symbol or "\0" in symbol or symbol.startswith("."):
        raise DataError(f"symbol {symbol!r}: not a name for bars; write it like BTCUSDT, BTC-USD or AAPL")
    columns = _columns(symbol, frame)
    if "date" not in columns:
        index = frame.index
        if index.name is not None and str(index.name).strip().lower() != "date" and index.dtype.kind != "M":
            raise DataError(f"{symbol}: no date; give it as a column or as the index")
        frame = frame.assign(date=index)
    path = folder / f"{symbol}.parquet"
    return _write(path, symbol, frame, BAR_COLUMNS)


def _columns(place: str, frame: Any) -> dict[str, Any]:
    """Return the columns of a frame by their names in small letters."""
    if not hasattr(frame, "columns") or getattr(frame.columns, "nlevels", 1) > 1:
        raise DataError(f"{place}: not a frame with one level of columns; give a pandas.DataFrame")
    return {str(name).strip().lower(): name for name in frame.columns}


def _write(
    path: Path, place: str, frame: "DataFrame", needed: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = _columns(place, frame)
    if missing := [name for name in needed if name not in columns]:
        known = ", ".join(map(str, frame.columns)) or "none"
        raise DataError(f"{place}: no column {', '.join(missing)}; found {known}; rename or add it")
    wanted = [name for name in (*needed, *optional) if name in columns]
    cells = {name: [_format_cell(value) for value in frame[columns[name]].tolist()] for name in wanted}
    pq.write_table(pa.table({name: pa.array(texts, pa.string()) for name, texts in cells.items()}), path)
    return path


def _format_cell(value: Any) -> str:
    """Return a cell as the text that a file has; empty for a missing value."""
    if isinstance(value, list | tuple | set | frozenset):
        return ";".join(sorted(map(str, value)))
    if value is None or value != value:
        return ""
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)
