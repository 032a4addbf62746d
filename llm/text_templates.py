"""Prompt templates as text: what a file in `llm/templates`, or one of the user's, asks a model and shows it.

A template is a TOML file of limits and of two texts for each task, in which `$name` stands for a block of
values (`PLACEHOLDERS`). Prices are whole steps from a reference close. A prompt follows from its observation
alone; no model and no tokenizer changes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from string import Template

from engine.model import Bar, Observation
from llm.indicators import INDICATOR_WINDOW, describe_indicators
from llm.masking import Names, mask_observation
from llm.news_ranking import Headline, rank_headlines
from llm.sanitizing import clean_line, cut_to_width

PLACEHOLDERS: Mapping[str, str] = {
    "symbol": "the symbol",
    "day": "weekday and date of the last bar",
    "weekday": "weekday of the last bar",
    "first_day": 'the date from which $history counts, after the word "since"',
    "price_step": "the step of prices, in percent",
    "closes": "the last closes, oldest first, as steps from the reference close",
    "bars": "a line for each of the last bars: high and low as steps from the reference close, volume",
    "history": "a line for each bar since the anchor: close as steps from the anchor's, high and low, volume",
    "today": "open, high, low and volume of the day whose close is asked for",
    "indicators": "the indicators that the template names, on one line",
    "headline_count": 'how many headlines are shown, and of how many, such as "3 of 12"',
    "headlines": "a line for each headline, * before one about the symbol, - before others",
}
"""The names that the texts of a template may use, and what stands for them."""

_MOST_STEPS = 9999
_VOLUME_BARS = 20
_MOST_VOLUME = 999


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTemplate:
    """A template from a file, for one task.

    Attributes:
        name: The word by which it is asked for.
        task: "next", or "same-day": the close of the observation's last bar is asked for and not shown.
        system: The text of the system message, the same for all prompts of a run.
        user: The text of the user message.
        max_tokens: The most tokens of a prompt.
        headlines: The most headlines.
        headline_width: The most columns of a headline.
        price_step: The step in which prices are written, as a fraction of the reference close.
        closes: How many closes `$closes` has.
        bars: How many bars `$bars` has.
        history: The fewest bars of `$history`, where there are as many.
        anchor_days: Calendar days from one anchor of `$history` to the next.
        indicators: Which indicators `$indicators` has, by words of `llm.indicators.INDICATORS`.
        digest: SHA-256 of all of the above.
        names: The names that a masked prompt replaces, by symbol; None leaves names and dates in prompts.
    """

    name: str
    task: str
    system: str
    user: str
    max_tokens: int
    headlines: int
    headline_width: int
    price_step: float
    closes: int
    bars: int
    history: int
    anchor_days: int
    indicators: tuple[str, ...]
    digest: str
    names: Names | None = None

    @property
    def key(self) -> str:
        """Return what stands for the template in a student's fingerprint."""
        return f"{self.name}:{self.digest}" + (":masked" if self.names is not None else "")

    @property
    def window(self) -> int:
        """Return how many closed bars the template looks at."""
        shown = self.history + self.anchor_days if "$history" in self.user else 0
        smoothed = INDICATOR_WINDOW if self.indicators else 0
        return max(shown, smoothed, self.closes, self.bars) + (self.task == "same-day")

    def messages(self, observation: Observation, headlines: int) -> list[dict[str, str]]:
        """Return a system and a user message with at most `headlines` of the most relevant headlines."""
        if self.names is not None:
            observation = mask_observation(observation, self.names)
        values = self._values(observation, headlines)
        return [
            {"role": "system", "content": _fill(self.system, values)},
            {"role": "user", "content": _fill(self.user, values)},
        ]

    def _values(self, observation: Observation, headlines: int) -> dict[str, str]:
        asked = observation.bars[-1]
        known = observation.bars[:-1] if self.task == "same-day" else observation.bars
        # The only bar of an observation for a same-day close has no close before: its open stands in.
        reference = known[-1].close if known else asked.open
        since = known[find_anchor(known, self.history, self.anchor_days) :]
        news = rank_headlines(observation.news, self.headline_width)
        shown = news[:headlines]
        day, is_masked = _trading_day(asked), self.names is not None
        return {
            "symbol": clean_line(observation.symbol, 20),
            "day": f"{day:%A}" if is_masked else f"{day:%A} {day.isoformat()}",
            "weekday": f"{day:%A}",
            "first_day": f" since {_trading_day(since[0]).isoformat()}" if since and not is_masked else "",
            "price_step": f"{self.price_step:.4%}".rstrip("0%").rstrip(".") + "%",
            "closes": " ".join(self._steps(bar.close, reference) for bar in known[-self.closes :]),
            "bars": "\n".join(self._bar_lines(known, reference)),
            "history": "\n".join(self._history_lines(since)),
            "indicators": describe_indicators(
                self.indicators,
                known[-INDICATOR_WINDOW:],
                lambda difference: self._steps(reference + difference, reference),
            ),
            "today": self._today(asked, known, reference),
            "headline_count": f"{len(shown)} of {len(news)}" if len(shown) < len(news) else f"{len(news)}",
            "headlines": "\n".join(self._headline_lines(shown)) or "- none",
        }

    def _steps(self, price: float, reference: float, base: float | None = None) -> str:
        """Return the difference from `reference` in steps of `base`, with its sign."""
        steps = (price - reference) / (base or reference) / self.price_step
        return f"{round(max(-_MOST_STEPS, min(_MOST_STEPS, steps))):+d}"

    def _bar_lines(self, bars: Sequence[Bar], reference: float) -> list[str]:
        mean = _mean([bar.volume for bar in bars[-self.closes :]])
        lines = []
        for bar in bars[-self.bars :]:
            high, low = self._steps(bar.high, reference), self._steps(bar.low, reference)
            lines.append(f"{high} {low} {_tenths(bar.volume, mean)}")
        return lines

    def _history_lines(self, bars: Sequence[Bar]) -> list[str]:
        lines = []
        for place, bar in enumerate(bars):
            first = bars[0].close
            # Volume is compared with what came before only, so that a line never changes.
            mean = _mean([earlier.volume for earlier in bars[max(0, place - _VOLUME_BARS) : place]])
            close = self._steps(bar.close, first)
            high, low = self._steps(bar.high, bar.close, first), self._steps(bar.low, bar.close, first)
            lines.append(f"{close} {high} {low} {_tenths(bar.volume, mean)}")
        return lines

    def _today(self, bar: Bar, before: Sequence[Bar], reference: float) -> str:
        if self.task != "same-day":
            return ""
        opening, high, low = (self._steps(price, reference) for price in (bar.open, bar.high, bar.low))
        volume = _tenths(bar.volume, _mean([earlier.volume for earlier in before[-_VOLUME_BARS:]]))
        return f"open {opening} high {high} low {low} volume {volume}"

    def _headline_lines(self, headlines: Sequence[Headline]) -> list[str]:
        return [
            f"{'*' if headline.is_own else '-'} {cut_to_width(headline.text, self.headline_width)}"
            for headline in headlines
        ]


def find_anchor(bars: Sequence[Bar], minimum: int, days: int) -> int:
    """Return the place of the bar that the append-only layout begins with.

    It is the first bar in a period of `days` calendar days; periods are counted from the first day of the
    calendar, so that any two windows that hold a period's beginning agree on it.

    Args:
        bars: The bars of the window, oldest first.
        minimum: The fewest bars from the anchor on; the last anchor that leaves as many is taken.
        days: The length of a period in calendar days.

    Returns:
        The place, 0 where the window holds no such beginning.
    """
    if not days:
        return 0
    periods = [_trading_day(bar).toordinal() // days for bar in bars]
    for place in range(len(bars) - minimum, 0, -1):
        if periods[place] != periods[place - 1]:
            return place
    return 0


def _fill(text: str, values: Mapping[str, str]) -> str:
    """Return the text with its values, without the lines whose values are empty."""
    lines = []
    for line in text.strip().split("\n"):
        filled = Template(line).substitute(values)
        if filled.strip() or not line.strip():
            lines.append(filled)
    return "\n".join(lines)


def _trading_day(bar: Bar) -> date:
    """Return the day that a bar belongs to; one that closes at midnight belongs to the day before."""
    return (bar.closes_at - timedelta(microseconds=1)).date()


def _tenths(volume: float, mean: float) -> str:
    return f"{min(_MOST_VOLUME, round(volume / mean * 10))}" if mean else "10"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
