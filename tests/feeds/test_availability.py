from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import Precision
from feeds.availability import available_at

ZERO = timedelta(0)
CHINA = timezone(timedelta(hours=8))
zones = st.integers(-48, 56).map(lambda quarters: timezone(timedelta(minutes=15 * quarters)))
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=zones)
precisions = st.sampled_from(Precision)
latencies = st.timedeltas(ZERO, timedelta(days=2))


def archived_at(moment, precision, *, zone_known=True, latency=ZERO):
    return available_at(moment, precision, zone_known=zone_known, first_seen_at=None, latency=latency)


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        (Precision.SECOND, datetime(2024, 5, 31, 13, 45, 10, tzinfo=UTC)),
        (Precision.MINUTE, datetime(2024, 5, 31, 13, 46, tzinfo=UTC)),
        (Precision.HOUR, datetime(2024, 5, 31, 14, tzinfo=UTC)),
        (Precision.DAY, datetime(2024, 6, 1, tzinfo=UTC)),
    ],
)
def test_an_archived_time_counts_from_the_end_of_its_precision(precision, expected):
    assert archived_at(datetime(2024, 5, 31, 13, 45, 10, tzinfo=UTC), precision) == expected


def test_the_latency_is_added_to_a_time_but_not_to_the_end_of_a_day():
    moment, latency = datetime(2024, 5, 31, tzinfo=UTC), timedelta(minutes=5)
    assert archived_at(moment, Precision.MINUTE, latency=latency) == datetime(2024, 5, 31, 0, 6, tzinfo=UTC)
    assert archived_at(moment, Precision.DAY, latency=latency) == datetime(2024, 6, 1, tzinfo=UTC)
    unknown = archived_at(moment, Precision.DAY, zone_known=False, latency=latency)
    assert unknown == datetime(2024, 6, 1, 12, tzinfo=UTC)


def test_a_day_ends_in_the_zone_of_its_source():
    late_morning = datetime(2024, 5, 31, 10, tzinfo=CHINA)
    assert archived_at(late_morning, Precision.DAY) == datetime(2024, 5, 31, 16, tzinfo=UTC)


def test_a_day_without_a_zone_ends_when_it_has_ended_everywhere():
    day = datetime(2024, 5, 31, tzinfo=UTC)
    assert archived_at(day, Precision.DAY, zone_known=False) == datetime(2024, 6, 1, 12, tzinfo=UTC)


def test_a_time_without_a_zone_counts_twelve_hours_later():
    moment = datetime(2024, 5, 31, 13, 45, 10, tzinfo=UTC)
    assert archived_at(moment, Precision.SECOND, zone_known=False) == moment + timedelta(hours=12)


def test_first_sight_after_publication_decides():
    published = datetime(2024, 5, 31, 13, tzinfo=UTC)
    seen = datetime(2024, 5, 31, 14, tzinfo=UTC)
    found = available_at(
        published, Precision.DAY, zone_known=False, first_seen_at=seen, latency=timedelta(minutes=5)
    )
    assert found == seen + timedelta(minutes=5)


def test_publication_after_first_sight_decides():
    published = datetime(2024, 5, 31, 13, tzinfo=UTC)
    seen = datetime(2024, 5, 31, 12, tzinfo=UTC)
    found = available_at(published, Precision.SECOND, zone_known=True, first_seen_at=seen, latency=ZERO)
    assert found == published


@given(moments, precisions, st.booleans(), st.none() | moments, latencies)
def test_nothing_is_available_before_it_was_published_and_seen(moment, precision, zone_known, seen, latency):
    found = available_at(moment, precision, zone_known=zone_known, first_seen_at=seen, latency=latency)
    assert found.tzinfo is UTC
    assert found >= (moment if precision is Precision.DAY and seen is None else moment + latency)
    assert seen is None or found >= seen + latency


@given(moments, precisions, st.booleans(), st.none() | moments, latencies, latencies)
def test_more_latency_never_makes_an_item_available_earlier(moment, precision, zone_known, seen, one, other):
    first, second = (
        available_at(moment, precision, zone_known=zone_known, first_seen_at=seen, latency=latency)
        for latency in sorted((one, other))
    )
    assert first <= second


@given(moments)
def test_a_coarser_precision_never_makes_an_item_available_earlier(moment):
    found = [archived_at(moment, precision) for precision in Precision]
    assert found == sorted(found)


@given(moments, precisions, zones)
def test_an_unknown_zone_is_never_better_than_any_zone_as_far_as_twelve_hours_behind(moment, precision, zone):
    wall = moment.replace(tzinfo=UTC)
    assert archived_at(wall, precision, zone_known=False) >= archived_at(wall.replace(tzinfo=zone), precision)


def test_a_time_without_any_zone_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="has no zone"):
        archived_at(datetime(2024, 5, 31), Precision.DAY)


def test_a_negative_latency_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="below zero"):
        archived_at(datetime(2024, 5, 31, tzinfo=UTC), Precision.DAY, latency=timedelta(seconds=-1))
