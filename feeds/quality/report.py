"""What a check of data read and found."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from feeds.quality.findings import Finding, pluralize


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """What was read from one file, or one stored symbol, and what was found there.

    Attributes:
        findings: The findings on it.
        symbol: What its bars are of; empty for news.
        bars: How many rows of bars it has.
        news: How many dated news items it has.
        days: The first and the last day of these; None where there are none.
    """

    findings: Sequence[Finding]
    symbol: str = ""
    bars: int = 0
    news: int = 0
    days: tuple[date, date] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """The reports on all files of a check."""

    files: Sequence[FileReport]

    @property
    def findings(self) -> list[Finding]:
        """All findings, by file."""
        return [finding for file in self.files for finding in file.findings]

    @property
    def bars(self) -> int:
        """How many bars were read."""
        return sum(file.bars for file in self.files)

    @property
    def symbols(self) -> int:
        """Of how many symbols bars were read."""
        return len({file.symbol for file in self.files if file.bars})

    @property
    def news(self) -> int:
        """How many dated news items were read."""
        return sum(file.news for file in self.files)

    @property
    def days(self) -> tuple[date, date] | None:
        """The first and the last day of all bars and news; None where there are none."""
        days = [day for file in self.files if file.days for day in file.days]
        return (min(days), max(days)) if days else None

    def describe(self) -> str:
        """Return what was read, on one line."""
        days = ", {} to {}".format(*self.days) if self.days else ""
        return (
            f"{pluralize(len(self.files), 'file')} read: {pluralize(self.bars, 'bar')} of "
            f"{pluralize(self.symbols, 'symbol')}, {pluralize(self.news, 'news item')}{days}"
        )
