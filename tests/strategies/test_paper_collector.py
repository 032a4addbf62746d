from datetime import datetime

from engine.journal.canonical import format_utc
from strategies.paper.forecasting import ARRIVED_LATE
from tests.support.collected_sessions import MARKET
from tests.support.paper_sessions import check_replay, open_journal, read_rows
from training.dataset.loaders import load_session_experiences


def test_weeks_on_failing_sources_and_a_jumping_clock_end_without_a_wrong_fill(collected):
    folder, killed = collected
    kinds = {row.kind for row in read_rows(folder)}
    assert killed >= 3
    assert {"gap", "source", "clock", "quote", "valuation", "fault", "session_resumed"} <= kinds
    assert check_replay(folder).equal
    days = {(symbol, bar.opens_at.date()): bar for symbol, series in MARKET.bars.items() for bar in series}
    fills = read_rows(folder, "fill")
    assert len(fills) > 15
    for row in fills:
        fill = row.payload
        assert fill["at"] >= fill["decided_at"]
        bar = days[fill["symbol"], row.as_of.date()]
        assert bar.low * 0.99 <= fill["open"] <= bar.high * 1.01
    calls = [row.payload for row in read_rows(folder, "forecast")]
    assert any(one["abstention"] == ARRIVED_LATE for one in calls)
    assert sum(one["abstention"] is None for one in calls) > len(calls) / 2


def test_a_close_whose_slice_has_a_later_instant_is_not_learned_from(collected):
    with open_journal(collected[0]) as journal:
        experiences = load_session_experiences(journal)
        late = {
            (symbol, row.payload["sessions"][symbol][1])
            for row in journal.read(kinds=("slice",))
            if row.payload["phase"] == "close"
            for symbol, (_, closed) in row.payload["sessions"].items()
            if row.as_of > datetime.fromisoformat(closed)
        }
    learned = {(each.call.symbol, format_utc(each.call.as_of)) for each in experiences}
    assert late
    assert len(learned) > len(late)
    assert not learned & late
