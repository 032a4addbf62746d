from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import DataError, UsageError
from feeds.history.candles import EPOCH, Adjustment, Candle, EvenGrid, Grid
from feeds.history.client import RetryPolicy, Row, SourceError, TemporaryError, parse_retry_after
from feeds.history.download import FetchReport, fetch_bars
from feeds.history.reconcile import is_outlier, reconcile
from feeds.history.store import BarStore

DAY = timedelta(days=1)
DAY_MS = 86_400_000
FIRST = date(2024, 1, 1)
START = datetime(2024, 1, 1, tzinfo=UTC)
NOON = START + 20 * DAY + timedelta(hours=12)


def row(day: int, close: float = 100.0, **changes: object) -> Row:
    cells = {"start": ms(day), "open": 100.0, "high": 130.0, "low": 70.0, "close": close, "volume": 5.0}
    return tuple((cells | changes).values())


def ms(day: int) -> int:
    return (START - EPOCH) // timedelta(milliseconds=1) + day * DAY_MS


@dataclass
class Source:
    """A source whose days 0 to 20 are all there (the last has not ended), less what the test changes.

    `answers` are given first, one for each request; an exception among them is raised.
    """

    days: dict[int, Row] = field(default_factory=lambda: {day: row(day) for day in range(21)})
    answers: list[Sequence[Row] | Exception] = field(default_factory=list)
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)
    name: str = "stub"
    provenance: str = "a stub"
    timeframe: str = "1d"
    adjustment: Adjustment = Adjustment.RAW
    page: int = 100
    repairs_silently: bool = False
    now: datetime = NOON

    def require(self, symbols: Sequence[str]) -> None:
        """Nothing."""

    def server_time(self) -> datetime:
        return self.now

    def grid(self, symbol: str, since: datetime, until: datetime) -> Grid:
        return EvenGrid(step=DAY)

    def candles(self, symbol: str, since: datetime, until: datetime) -> Sequence[Row]:
        self.asked.append((since, until))
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        return [each for day, each in sorted(self.days.items()) if since <= START + day * DAY < until]

    def spans(self) -> list[tuple[int, int]]:
        """What was asked for, in days since the first."""
        return [((since - START) // DAY, (until - START) // DAY) for since, until in self.asked]


def fetch(source: Source, root: Path, since: date = FIRST, until: date | None = None, **more) -> FetchReport:
    settings_ = {"sleep": lambda seconds: None, "on_progress": lambda *_: None} | more
    return fetch_bars(source, BarStore(root), ["X"], since, until, clock=lambda: NOON, **settings_)


def closes(root: Path) -> list[float]:
    return [candle.close for candle in BarStore(root).read("stub", "X").candles]


def gaps(root: Path) -> list[str]:
    return [str(gap) for gap in BarStore(root).read("stub", "X").gaps]


def test_the_candle_of_the_running_day_is_not_stored_until_the_sources_clock_has_closed_it(tmp_path):
    source = Source()
    fetch(source, tmp_path)
    assert len(closes(tmp_path)) == 20
    source.now = START + 21 * DAY
    fetch(source, tmp_path)
    assert len(closes(tmp_path)) == 21


def test_a_second_fetch_asks_only_for_what_is_missing_at_both_ends(tmp_path):
    source = Source()
    fetch(source, tmp_path, since=date(2024, 1, 6), until=date(2024, 1, 10))
    fetch(source, tmp_path, until=date(2024, 1, 15))
    assert source.spans() == [(5, 10), (0, 5), (10, 15)]
    fetch(source, tmp_path, since=date(2024, 1, 3), until=date(2024, 1, 9))
    assert source.spans() == [(5, 10), (0, 5), (10, 15)]


def test_a_fetch_that_starts_after_what_is_stored_leaves_no_hole(tmp_path):
    source = Source()
    fetch(source, tmp_path, until=date(2024, 1, 5))
    fetch(source, tmp_path, since=date(2024, 1, 10), until=date(2024, 1, 12))
    assert len(closes(tmp_path)) == 12


def test_a_candle_that_stays_away_becomes_a_named_gap_and_is_not_asked_for_again_unasked(tmp_path):
    source = Source()
    del source.days[7], source.days[8]
    fetch(source, tmp_path)
    assert gaps(tmp_path) == [
        "X 2024-01-08 to 2024-01-09: 2 missing; the source has no candle (asked 5 times)"
    ]
    asked = len(source.asked)
    fetch(source, tmp_path)
    assert len(source.asked) == asked


def test_a_gap_is_filled_when_it_is_asked_for_again_and_the_source_has_it_by_then(tmp_path):
    source = Source()
    missing = source.days.pop(7)
    fetch(source, tmp_path)
    source.days[7], source.asked = missing, []
    fetch(source, tmp_path, retry_gaps=True)
    assert source.spans() == [(7, 8)]
    assert (len(closes(tmp_path)), gaps(tmp_path)) == (20, [])


def test_a_gap_at_the_very_end_is_asked_for_again_because_the_source_may_be_late(tmp_path):
    source = Source()
    late = source.days.pop(19)
    fetch(source, tmp_path)
    assert gaps(tmp_path) == ["X 2024-01-20: 1 missing; the source has no candle (asked 5 times)"]
    source.days[19], source.asked = late, []
    fetch(source, tmp_path)
    assert (source.spans(), gaps(tmp_path)) == ([(19, 20)], [])


def test_a_source_that_begins_later_leaves_one_named_gap_without_asking_page_by_page(tmp_path):
    source = Source(page=3)
    answer = [row(day) for day in range(15, 18)]
    source.days, source.answers = {day: row(day) for day in range(15, 21)}, [answer] * 5
    fetch(source, tmp_path)
    assert gaps(tmp_path) == [
        "X 2024-01-01 to 2024-01-15: 15 missing; the source has no candle (asked 5 times)"
    ]
    assert source.spans()[5:] == [(15, 18), (18, 20)]


def test_a_symbol_without_any_candle_is_refused_and_nothing_is_stored(tmp_path):
    with pytest.raises(SourceError, match="no candle from 2024-01-01 on; check the symbol and the dates"):
        fetch(Source(days={}), tmp_path)
    assert BarStore(tmp_path).symbols("stub") == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row(7, low=0.0), "low 0.0 is not a price above zero"),
        (row(7, close=float("nan")), "close nan is not a price above zero"),
        (row(7, volume=-1.0), "volume -1.0 is not a number of zero or more"),
        (row(7, high=90.0), "open 100.0 or close 100.0 is outside low 70.0 to high 90.0"),
        (row(7, open=None), "open is not a number"),
        (row(7, close="100"), "close is not a number"),
        (row(7, volume=True), "volume is not a number"),
        (row(7)[:4], "a row has 4 cells, not 6"),
        (row(7, high=1001.0), "a price near 100 is more than 10 times off its neighbours"),
        (row(7, low=9.9), "a price near 100 is more than 10 times off its neighbours"),
    ],
)
def test_a_candle_that_stays_wrong_is_refused_into_a_named_gap(tmp_path, bad, reason):
    source = Source()
    source.days[7] = bad
    fetch(source, tmp_path)
    assert gaps(tmp_path) == [f"X 2024-01-08: 1 missing; {reason} (asked 5 times)"]
    assert len(closes(tmp_path)) == 19


@pytest.mark.parametrize(
    "first",
    [
        [row(day) for day in range(20) if day != 7],
        [row(day, 9999.0 if day == 7 else 100.0, high=9999.0 if day == 7 else 130.0) for day in range(20)],
        [row(day) for day in (*range(10), 9, *range(10, 20))],
        [row(day) for day in (*range(10), 5, *range(11, 20), 10)],
        [*(row(day) for day in range(10)), row(9, 101.0), *(row(day) for day in range(10, 20))],
        [row(9, 101.0)] + [row(day) for day in range(20)],
        [],
        TemporaryError("no answer"),
    ],
    ids=["missing", "absurd", "repeated", "reordered", "two versions", "two versions apart", "empty", "none"],
)
def test_an_answer_in_doubt_is_settled_by_asking_again(tmp_path, first):
    source = Source(answers=[first])
    fetch(source, tmp_path)
    assert (closes(tmp_path), gaps(tmp_path)) == ([100.0] * 20, [])


def test_repeated_rows_that_agree_need_no_second_answer(tmp_path):
    source = Source(answers=[[row(day) for day in sorted([*range(20), 3, 19])]])
    fetch(source, tmp_path)
    assert (len(source.asked), len(closes(tmp_path))) == (1, 20)


def test_answers_that_contradict_each_other_are_settled_by_the_majority(tmp_path):
    wrong = [row(day, 101.0 if day == 9 else 100.0) for day in range(20) if day != 7]
    source = Source(answers=[wrong])
    fetch(source, tmp_path)
    assert closes(tmp_path) == [100.0] * 20
    assert len(source.asked) == 3


def test_answers_that_never_agree_leave_a_named_gap(tmp_path):
    answers = [
        [row(day, 100.0 + number if day == 9 else 100.0) for day in range(20, 0, -1)] for number in range(5)
    ]
    fetch(Source(answers=answers), tmp_path, since=date(2024, 1, 2))
    assert gaps(tmp_path) == ["X 2024-01-10: 1 missing; the source's answers differ (asked 5 times)"]


def test_a_library_that_hides_repeated_rows_is_believed_only_where_two_answers_agree(tmp_path):
    wrong = [row(day, 101.0 if day == 9 else 100.0) for day in range(20)]
    source = Source(answers=[wrong], repairs_silently=True)
    fetch(source, tmp_path)
    assert (closes(tmp_path), len(source.asked)) == ([100.0] * 20, 3)


def test_rows_at_times_that_no_candle_has_are_counted_and_not_stored(tmp_path):
    source = Source(answers=[[row(5, start=ms(5) + 1), row(6, start="6"), *(row(day) for day in range(20))]])
    report = fetch(source, tmp_path)
    assert (report.symbols[0].strays, len(closes(tmp_path))) == (2, 20)


def test_what_came_before_a_source_gave_up_is_stored_and_not_asked_for_again(tmp_path):
    source = Source(page=5)
    source.answers = [[row(day) for day in range(5)], *[TemporaryError("HTTP 503")] * 8]
    with pytest.raises(
        SourceError, match=r"stub X: no answer in 8 tries \(HTTP 503\); what was downloaded is"
    ):
        fetch(source, tmp_path)
    assert len(closes(tmp_path)) == 5
    source.asked = []
    fetch(source, tmp_path)
    assert source.spans() == [(5, 10), (10, 15), (15, 20)]


def test_pauses_double_up_to_a_minute_and_follow_what_the_source_demands():
    waits: list[float] = []
    faults = [TemporaryError("no"), TemporaryError("no", 17.0), *[TemporaryError("no")] * 5]

    def call() -> str:
        if faults:
            raise faults.pop(0)
        return "answer"

    retry_policy = RetryPolicy(waits.append)
    retry_policy.call(lambda: "a first answer", "here")
    assert retry_policy.call(call, "here") == "answer"
    assert waits == [1.0, 17.0, 4.0, 8.0, 16.0, 32.0, 60.0]


def test_a_ban_of_hours_is_reported_rather_than_waited_for():
    def call() -> str:
        raise TemporaryError("HTTP 418", 7200.0)

    with pytest.raises(SourceError, match="HTTP 418, and it demands a pause of 7200 s"):
        RetryPolicy(lambda seconds: pytest.fail("it waited")).call(call, "here")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("17", 17.0),
        (" 0 ", 0.0),
        ("Mon, 01 Jan 2024 00:01:30 GMT", 90.0),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_against_the_answers_own_date(header, seconds):
    assert parse_retry_after(header, "Mon, 01 Jan 2024 00:00:00 GMT") == seconds


def test_another_adjustment_is_refused_with_the_remedy(tmp_path):
    fetch(Source(), tmp_path)
    split = Source(adjustment=Adjustment.SPLIT)
    with pytest.raises(
        DataError, match="never mixed; fetch with --adjustment raw, or replace it with --refresh"
    ):
        fetch(split, tmp_path)
    fetch(split, tmp_path, refresh=True)
    assert BarStore(tmp_path).read("stub", "X").adjustment is Adjustment.SPLIT


def test_adjusted_prices_that_the_source_has_restated_since_are_refused_until_a_refresh(tmp_path):
    source = Source(adjustment=Adjustment.SPLIT)
    fetch(source, tmp_path, until=date(2024, 1, 10))
    source.days = {day: row(day, 50.0, open=50.0, high=65.0, low=35.0) for day in range(21)}
    with pytest.raises(DataError, match="closed at 100 in the store and at 50 now, restated"):
        fetch(source, tmp_path)
    assert closes(tmp_path) == [100.0] * 10
    fetch(source, tmp_path, refresh=True)
    assert closes(tmp_path) == [50.0] * 20


def test_a_refresh_that_fails_leaves_what_was_stored(tmp_path):
    fetch(Source(), tmp_path)
    broken = Source(page=5, answers=[[row(day, 99.0) for day in range(5)], *[TemporaryError("HTTP 503")] * 8])
    with pytest.raises(SourceError, match="no answer"):
        fetch(broken, tmp_path, refresh=True)
    assert closes(tmp_path) == [100.0] * 20


def test_progress_counts_the_candles_that_are_settled(tmp_path):
    seen: list[tuple[str, int, int]] = []
    fetch(Source(page=8), tmp_path, on_progress=lambda *each: seen.append(each))
    assert seen == [("X", 0, 20), ("X", 8, 20), ("X", 16, 20), ("X", 20, 20)]


def test_a_window_that_ends_before_it_starts_or_has_not_begun_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--until 2023-12-31 is before --since 2024-01-01"):
        fetch(Source(), tmp_path, until=date(2023, 12, 31))
    with pytest.raises(UsageError, match="give an earlier day"):
        fetch(Source(), tmp_path, since=date(2030, 1, 1))


def test_each_part_of_the_store_says_who_said_it_and_when(tmp_path):
    source = Source()
    fetch(source, tmp_path, until=date(2024, 1, 5))
    source.provenance = "a later stub"
    fetch(source, tmp_path, until=date(2024, 1, 9))
    spans = BarStore(tmp_path).read("stub", "X").spans
    assert [(span.until.day, span.provenance) for span in spans] == [(6, "a stub"), (10, "a later stub")]


def test_a_crash_of_a_price_that_its_neighbours_share_is_believed():
    prices = [80.0, 30.0, 1.0, 0.0001, 0.00012]
    crash = [
        Candle(starts_at=START + day * DAY, open=price, high=price, low=price, close=price, volume=1.0)
        for day, price in enumerate(prices)
    ]
    assert [is_outlier(each, crash[:at], crash[at + 1 :]) for at, each in enumerate(crash)] == [False] * 5


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(st.data())
def test_whatever_a_source_answers_each_start_is_settled_as_said_twice_or_missing(data):
    truth = {day: row(day, 100.0 + day) for day in range(6)}
    starts = [START + day * DAY for day in truth]
    junk = st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=3), st.booleans())
    wrong = st.builds(lambda day, close: row(day, close), st.integers(-2, 8), st.floats(71.0, 129.0))
    rows = st.lists(
        st.one_of(st.sampled_from(list(truth.values())), wrong, st.tuples(junk), st.tuples(*[junk] * 6)),
        max_size=14,
    )
    answers: list[list[Row]] = []

    def ask(since: datetime, until: datetime) -> list[Row]:
        answers.append(data.draw(rows))
        return answers[-1]

    settled = reconcile(ask, starts, START + 6 * DAY, [])
    assert {candle.starts_at for candle in settled.candles} | set(settled.missing) == set(starts)
    assert len(settled.candles) + len(settled.missing) == len(starts)
    for candle in settled.candles:
        stamp = (candle.starts_at - EPOCH) // timedelta(milliseconds=1)
        assert any(
            (stamp, *candle.prices, candle.volume) == tuple(each) for answer in answers for each in answer
        )
