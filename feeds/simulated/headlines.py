"""Draw varied headlines for the simulated market, each with a known strength."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator

WITHHELD_EVERY = 5
"""Every fifth template of each list is withheld from pretraining."""


class HeadlineSet(StrEnum):
    """The set of templates that a market draws from."""

    ALL = "all"
    FAMILIAR = "familiar"
    WITHHELD = "withheld"


STRENGTHS: Mapping[str, float] = {
    "strong_up": 1.1,
    "mild_up": 0.55,
    "neutral": 0.0,
    "mild_down": -0.55,
    "strong_down": -1.1,
}
"""The shift of the next return's mean, in units of its standard deviation."""

_ASSET_ODDS = {"strong_up": 0.18, "mild_up": 0.22, "neutral": 0.2, "mild_down": 0.22, "strong_down": 0.18}
_MARKET_ODDS = {"strong_up": 0.12, "mild_up": 0.13, "neutral": 0.5, "mild_down": 0.13, "strong_down": 0.12}


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """A filled template and the strength with which it moves the next return, in standard deviations."""

    title: str
    strength: float


@cache
def _load_templates() -> Mapping[str, Mapping[str, Sequence[str]]]:
    loaded: dict[str, dict[str, list[str]]] = tomllib.loads(
        files("feeds").joinpath("headlines.toml").read_text(encoding="utf-8")
    )
    return loaded


def list_words(kind: str) -> Sequence[str]:
    """Return the fictional names of one kind: "coins" and "stocks" as "Name:TICKER", "peers", "places"."""
    return _load_templates()["words"][kind]


def list_templates(topic: str, strength: str, headlines: HeadlineSet) -> tuple[str, ...]:
    """Return the templates of one topic and strength that belong to a set.

    Args:
        topic: "asset" or "market".
        strength: A key of `STRENGTHS`.
        headlines: The set.
    """
    numbered = enumerate(_load_templates()[topic][strength])
    if headlines is HeadlineSet.ALL:
        return tuple(text for _, text in numbered)
    withheld = headlines is HeadlineSet.WITHHELD
    return tuple(text for i, text in numbered if (i % WITHHELD_EVERY == WITHHELD_EVERY - 1) == withheld)


def draw_headline(topic: str, name: str, headlines: HeadlineSet, rng: "Generator") -> Headline:
    """Draw one random headline.

    Args:
        topic: "asset" or "market".
        name: The name of the asset; not used for the market.
        headlines: The set of templates.
        rng: The source of randomness.
    """
    odds = _ASSET_ODDS if topic == "asset" else _MARKET_ODDS
    strength = str(rng.choice(list(odds), p=list(odds.values())))
    choices = list_templates(topic, strength, headlines)
    template = choices[int(rng.integers(len(choices)))]
    return Headline(title=_fill_template(template, name, rng), strength=STRENGTHS[strength])


def _fill_template(template: str, name: str, rng: "Generator") -> str:
    def word(match: re.Match[str]) -> str:
        slot = match.group(1)
        if slot == "name":
            return name
        if slot == "n":
            return str(int(rng.integers(2, 40)))
        pool = list_words("peers" if slot == "peer" else "places")
        return pool[int(rng.integers(len(pool)))]

    return re.sub(r"\{(\w+)\}", word, template)
