"""Small bar and news files as a user would have them, and the command run in this process."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

BAR_HEADER = "date,open,high,low,close,volume"
NEWS_HEADER = "published_at,source,symbols,title,text"


def bar_lines(days: int, first: date = date(2024, 1, 1)) -> list[str]:
    """A header and one sound bar a day, with a price that moves."""
    lines = [BAR_HEADER]
    for n in range(days):
        close = 100 + (n * 7919) % 13
        lines.append(f"{first + timedelta(days=n)},{close},{close + 1},{close - 1},{close},5")
    return lines


def write_lines(path: Path, lines: Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_bars(folder: Path, *symbols: str, days: int = 12) -> list[Path]:
    """One file for each symbol."""
    return [write_lines(folder / f"{symbol}.csv", bar_lines(days)) for symbol in symbols]


def write_news(folder: Path, *rows: str) -> Path:
    return write_lines(folder / "news.csv", [NEWS_HEADER, *rows])
