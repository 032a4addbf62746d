import math
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from engine.errors import JournalError
from engine.journal.journal import Event, Journal
from strategies.backtest import backtest
from strategies.conclusions import describe_account
from strategies.paper.files import session_folder
from strategies.replay_check import check_run_replay
from strategies.runs import JOURNAL
from tests.support.paper_sessions import (
    CONFIG,
    FACTS,
    First,
    check_replay,
    full_script,
    in_memory,
    open_journal,
    read_digests,
    read_rows,
    replay,
    rewrite_journal,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def nth(rows, kind, number):
    return [row.seq for row in rows if row.kind == kind][number]


def test_a_session_without_commands_is_the_backtest_over_its_facts(tmp_path):
    run = backtest(CONFIG, data_dir=tmp_path, clock=lambda: NOW, student=First())
    replay(tmp_path)
    digests = read_digests(tmp_path)
    assert len(run.simulations["student"].engine.fills) > 8
    assert {name: digests[name] for name in run.result["digests"]} == run.result["digests"]


def test_a_session_comes_out_again_from_its_inputs(session):
    parity = check_replay(session)
    assert parity.equal
    assert (parity.difference, parity.chain, parity.undecided) == ("", "", 0)
    assert parity.digests["fills"] == parity.replayed["fills"]


@pytest.mark.parametrize(
    ("kind", "field", "digest"),
    [("fill", "price", "fills"), ("mark", "value", "equity"), ("order", "size", "effects"),
     ("forecast", "confidence", "forecasts"), ("step", "pnl", "effects")],
)  # fmt: skip
def test_one_altered_digit_shows_even_under_a_chain_that_holds(tmp_path, session, kind, field, digest):
    rows = read_rows(session)
    target = nth(rows, kind, 7)

    def alter(row, payload):
        if row.seq == target:
            payload[field] = math.nextafter(payload[field], 0)

    parity = check_replay(rewrite_journal(session, tmp_path, alter))
    assert not parity.equal
    assert parity.chain == ""
    assert parity.digests[digest] != parity.replayed[digest]
    assert field in parity.difference


def test_an_altered_journal_starts_no_session_and_parity_says_where_it_is(tmp_path, session):
    rewrite_journal(session, tmp_path, lambda _row, _payload: None)
    path = session_folder(tmp_path, "trial") / JOURNAL
    with sqlite3.connect(path) as database:
        seq, payload = database.execute(
            "SELECT seq, payload FROM journal_events WHERE kind = 'fill' ORDER BY seq LIMIT 1 OFFSET 3"
        ).fetchone()
        database.execute("DROP TRIGGER journal_no_update")
        altered = payload.replace('"cost":', '"cost":1')
        database.execute("UPDATE journal_events SET payload = ? WHERE seq = ?", (altered, seq))
    database.close()
    with pytest.raises(JournalError, match=f"event {seq}"):
        replay(tmp_path, full_script())
    parity = check_replay(tmp_path)
    assert not parity.equal
    assert f"event {seq}" in parity.chain
    assert "cost" in parity.difference


def test_a_session_whose_effects_do_not_come_out_again_stops_with_both_values(tmp_path, session):
    rows = read_rows(session)
    target = nth(rows, "fill", 3)

    def alter(row, payload):
        if row.seq == target:
            payload["price"] += 1.0

    rewrite_journal(session, tmp_path, alter)
    with pytest.raises(JournalError, match=r"led to fill .* and now leads to fill .*"):
        replay(tmp_path, full_script())


def test_an_altered_output_is_another_forecast(tmp_path, session):
    target = nth(read_rows(session), "forecast", 12)

    def alter(row, payload):
        if row.seq == target:
            payload["output"] = payload["output"].replace("0.60", "0.61").replace("0.70", "0.71")

    parity = check_replay(rewrite_journal(session, tmp_path, alter))
    assert parity.digests["forecasts"] != parity.replayed["forecasts"]


def test_parity_reads_no_effect_but_what_was_forecast(tmp_path, session):
    """Without any order, fill, mark or step in the journal the same ones are regenerated."""
    folder = session_folder(tmp_path, "trial")
    folder.mkdir(parents=True)
    forecasts = 0
    with Journal.open(folder / JOURNAL, "trial", create=True) as journal:
        moved = {}
        for row in read_rows(session):
            payload = dict(row.payload)
            if row.kind in ("order", "fill", "mark", "step", "risk", "valuation", "progress"):
                continue
            if row.kind == "forecast":
                payload["input"] = moved[payload["input"]]
                forecasts += 1
            (moved[row.seq],) = journal.append(
                [Event(kind=row.kind, as_of=row.as_of, payload=payload)], row.recorded_at
            )
    assert forecasts > 30
    parity, whole = check_replay(tmp_path), check_replay(session)
    assert parity.digests["fills"] != whole.digests["fills"]
    assert parity.replayed["forecasts"] == whole.replayed["forecasts"]
    last = max(row.payload["input"] for row in read_rows(tmp_path, "forecast"))
    assert last > 60
    assert parity.undecided < 12


def test_a_session_in_the_middle_compares_as_far_as_it_was_decided(tmp_path):
    steps = iter(range(90))
    replay(tmp_path, full_script(), ahead=1, stop=lambda: next(steps, None) is None)
    with open_journal(tmp_path) as journal:
        journal.append([Event(kind="gap", as_of=NOW, payload={"symbol": "X"})], NOW)
    parity = check_replay(tmp_path)
    assert parity.equal
    assert parity.undecided >= 1
    assert FACTS.start < NOW


@pytest.fixture(scope="module")
def run():
    config = CONFIG.model_copy(update={"delay_minutes": 30.0})
    for folder in in_memory():
        yield backtest(config, data_dir=folder, clock=lambda: NOW, student=First())


def test_fills_cost_the_stated_delay_of_the_range_of_the_day_before(run):
    fills = run.simulations["student"].engine.fills
    assert len(fills) > 8
    for fill in fills:
        costs = run.result["costs"][fill.symbol]
        before = max(
            (bar for bar in run.bars[fill.symbol] if bar.closes_at <= fill.at), key=lambda bar: bar.closes_at
        )
        share = timedelta(minutes=30) / (before.closes_at - before.opens_at)
        moved = (before.high - before.low) / before.close / 2 * math.sqrt(share)
        moved += (costs["slippage_bps"] + costs["latency_bps"]) / 10_000
        assert abs(fill.price / fill.open - 1) == pytest.approx(moved, rel=1e-9)
    assert "the deciding close: a delay of 30 min is charged for the time between." in " ".join(
        describe_account(run.result)
    )


def test_a_run_comes_out_again_from_its_inputs(run):
    with Journal.open(run.folder / JOURNAL, run.name) as journal:
        parity = check_run_replay(journal)
    assert parity.equal
    assert {name: parity.replayed[name] for name in run.result["digests"]} == run.result["digests"]


@pytest.mark.parametrize(
    ("kind", "field", "digest"),
    [("fill", "price", "fills"), ("mark", "value", "equity"), ("forecast", "confidence", "forecasts")],
)
def test_one_altered_digit_of_a_run_shows(tmp_path, run, kind, field, digest):
    with (
        Journal.open(run.folder / JOURNAL, run.name) as source,
        Journal.open(tmp_path / "copy.sqlite", run.name, create=True) as copy,
    ):
        rows = list(source.read())
        target = nth(rows, kind, 5)
        for row in rows:
            payload = dict(row.payload)
            if row.seq == target:
                payload[field] = math.nextafter(payload[field], 0)
            copy.append([Event(kind=row.kind, as_of=row.as_of, payload=payload)], row.recorded_at)
        parity = check_run_replay(copy)
    assert not parity.equal
    assert parity.digests[digest] != parity.replayed[digest]
