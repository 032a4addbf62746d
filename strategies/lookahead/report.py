"""What a check for lookahead found."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from engine.journal.canonical import to_jsonable


class LeakKind(StrEnum):
    """How knowledge of later data shows.

    Attributes:
        PROMPT: A prompt changes where only later data differ.
        FORECAST: An answer to an unchanged prompt changes where only later data differ.
        ORDER: A wanted weight or an order changes where only later data differ.
        FILL: A fill changes where only later data differ.
        COMPANY: An answer depends on the prompts that are asked beside it.
        RUN: The recorded run is not what its data and its student give.
        OUTSIDE: Decisions follow the next real prices in a market that has other ones.
        ADAPTER: The adapter's training data reach into the days of the run.
        NEWS_CLOCK: A news item counts as known before the period of its stated time has ended.
        MIDNIGHT: Times that stand for a day are taken for exact ones.
    """

    PROMPT = "prompt"
    FORECAST = "forecast"
    ORDER = "order"
    FILL = "fill"
    COMPANY = "company"
    RUN = "run"
    OUTSIDE = "outside_data"
    ADAPTER = "adapter"
    NEWS_CLOCK = "news_clock"
    MIDNIGHT = "midnight_stamps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """One finding.

    Attributes:
        kind: How it shows.
        at: The close at which it shows, in UTC; of news and adapters the time that is too late.
        symbol: The symbol, empty where it concerns all.
        what: What differs, in a sentence.
    """

    kind: LeakKind
    at: datetime
    symbol: str
    what: str


@dataclass(frozen=True, slots=True, weakref_slot=True, kw_only=True)
class LookaheadReport:
    """Whether a student or a strategy knows what it cannot know. It is true where nothing was found.

    Attributes:
        subject: The student, the strategy or the run.
        leaks: The findings by time and symbol, one for each kind, close and symbol.
        points: The closes at which later data were cut and altered, in UTC.
        reruns: How often the days up to such a close were run again.
        asked: How many prompts were asked again, past the answer cache.
        notes: What could not be checked, in sentences.
        seconds: The time that the check took.
        run_seconds: The time that the run itself took, where one was named.
        seed: What draws the closes and the altered data.
    """

    subject: str
    leaks: tuple[Leak, ...]
    points: tuple[datetime, ...]
    reruns: int
    asked: int
    notes: tuple[str, ...]
    seconds: float
    run_seconds: float | None
    seed: int

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.leaks

    def __bool__(self) -> bool:
        return self.ok

    def as_json(self) -> Mapping[str, Any]:
        """Return the report as JSON types, as `--json` prints it and `lookahead.json` holds it."""
        values: Mapping[str, Any] = to_jsonable({"ok": self.ok, **asdict(self)})
        return values
