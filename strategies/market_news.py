"""The news of a run from archives, with notes on how it was read."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from engine.instruments import Instrument
from engine.model import Bar, NewsItem
from feeds.files.news import read_news
from feeds.files.news_forms import describe_news_file
from feeds.symbols import NameTable
from strategies.config import BacktestConfig
from strategies.console import pluralize
from strategies.market import find_span


def read_archive(
    config: BacktestConfig, instruments: Mapping[str, Instrument], bars: Mapping[str, Sequence[Bar]]
) -> tuple[Sequence[NewsItem], list[str]]:
    """Return the items of the news files that a configuration names, and notes. Raises DataError."""
    if not config.news:
        return (), []
    latency = timedelta(seconds=config.news_latency_seconds)
    names = NameTable.for_instruments(instruments.values(), config.aliases)
    archive = read_news(
        config.news, names, latency, date_order=config.columns.date_order or "", span=find_span(config, bars)
    )
    notes = [
        "News comes from an archive: without a time of first sight it counts as known "
        f"{config.news_latency_seconds:g} s after publication, "
        "or after the day where only the day is known."
    ]
    notes += [
        f"{path.name}: {times} stands for a day in {pluralize(count, 'news item')}, which count as known "
        "once 24 hours have passed and the day has ended."
        for path, (times, count) in archive.day_stamps.items()
    ]
    if archive.skipped_not_traded:
        subjects = ", ".join(f"{subject} ({count})" for subject, count in archive.unmatched)
        notes.append(
            f"{pluralize(archive.skipped_not_traded, 'news item')} of these days skipped: on symbols that "
            "are not traded. "
            f"Most frequent: {subjects}; other names of a traded symbol go into [aliases]."
        )
    notes += filter(None, [describe_news_file(path) for path in config.news if path.is_file()])
    if archive.skipped_empty:
        notes.append(
            f"{pluralize(archive.skipped_empty, 'news item')} of these days skipped: neither title nor text."
        )
    return archive.items, notes
