"""Experience rebuilt from the journal of a run is what the run saw, held and earned."""

import csv
import json
import random
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from engine.errors import JournalError, UsageError
from engine.journal.journal import Event, Journal
from engine.model import Abstention
from engine.timeline import build_observations
from strategies.backtest import backtest
from strategies.config_file import load_config
from strategies.market_data import load_market_data
from strategies.runs import JOURNAL
from tests.support.students import RuleStudent
from training.dataset.counterfactual import simulate_step
from training.dataset.experience import build_experiences
from training.dataset.loaders import load_run_experiences

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
SMALL = {"market": {"coins": 2, "stocks": 1, "days": 60}, "allow_short": True, "prompt": "compact"}


def drawn(prompt):
    """Any call, or now and then one that cannot be read."""
    dice = random.Random(prompt)
    if dice.random() < 0.1:
        return "?"
    up = dice.random() < 0.5
    close = 100 + dice.random() * (3 if up else -3)
    return json.dumps(
        {"direction": "up" if up else "down", "confidence": round(dice.uniform(0.5, 1), 2), "close": close}
    )


def run(folder, **flags):
    config = load_config(None, flags)
    return config, backtest(config, data_dir=folder, clock=lambda: NOW, student=RuleStudent(drawn))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    config, made = run(folder, **SMALL)
    return folder, config, made, load_run_experiences(folder, made.name)


def test_every_call_with_an_ended_step_comes_back_with_what_was_seen(finished):
    folder, config, made, lived = finished
    facts = load_market_data(config, folder)
    seen = {
        (one.symbol, one.as_of): one
        for one in build_observations(facts.bars, facts.news, window=21, start=facts.start)
    }
    assert len(lived) == len(seen) - 2 * len(facts.instruments)
    assert all(one.observation == seen[one.key] for one in lived)
    calls = {(call.symbol, call.as_of): call for call in made.simulations["student"].calls}
    assert all(one.call == calls[one.key] and one.call.text == calls[one.key].text for one in lived)
    assert any(isinstance(one.call, Abstention) for one in lived)


def test_each_call_comes_to_the_net_return_of_the_step_in_the_run(finished):
    _, _, made, lived = finished
    steps = {(step.symbol, step.started_at): step for step in made.simulations["student"].engine.steps}
    signs = set()
    for one in lived:
        taken = simulate_step(one.call, one.outcome, one.trade_context)
        step = steps.get((one.key[0], one.trade_context.fill_at))
        assert taken.net_return == pytest.approx(step.net_return if step else 0.0, rel=0, abs=1e-9)
        signs.add((taken.position > 0) - (taken.position < 0))
    assert signs == {-1, 0, 1}


def test_facts_and_journal_tell_the_same_apart_from_what_was_held(finished):
    folder, config, _, lived = finished
    facts = load_market_data(config, folder)
    observed = build_observations(facts.bars, facts.news, window=21, start=facts.start)
    told = build_experiences(
        observed,
        facts.bars,
        instruments=facts.instruments,
        calendars=facts.calendars,
        costs={one.key[0]: one.trade_context.costs for one in lived},
        sizing=lived[0].trade_context.sizing,
    )
    alike = [
        replace(
            one,
            call=None,
            trade_context=replace(one.trade_context, equity=100_000.0, fill_equity=100_000.0, position=0.0),
        )
        for one in lived
    ]
    assert alike == told


def write_bars(folder, days):
    dice = random.Random(1)
    path = folder / "BTC-USD.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["date", "open", "high", "low", "close", "volume"])
        price = 100.0
        for day in days:
            opening, price = price, price * dice.uniform(0.96, 1.04)
            low, high = sorted((opening, price))
            table.writerow([f"2024-{1 + day // 28:02}-{1 + day % 28:02}", opening, high, low, price, 10])
    return path


def test_decisions_that_saw_bars_from_before_the_run_are_left_out(tmp_path):
    days = [day for day in range(112) if (1 + day % 28) <= 28]
    path = write_bars(tmp_path, [day for day in days if day < 28 * 4])
    flags = {"bars": (path,), "prompt": "compact", "allow_bad_data": True}
    _, whole = run(tmp_path, **flags)
    _, late = run(tmp_path, start=datetime(2024, 2, 5, tzinfo=UTC).date(), **flags)
    all_lived = {one.key: one for one in load_run_experiences(tmp_path, whole.name)}
    lived = load_run_experiences(tmp_path, late.name)
    first_call = min(call.as_of for call in late.simulations["student"].calls)
    assert lived
    assert lived[0].key[1] > first_call
    assert all(one.observation == all_lived[one.key].observation for one in lived)
    assert all(len(one.observation.bars) == 21 for one in lived)


def test_a_run_that_was_killed_still_teaches_what_is_on_record(finished, tmp_path):
    folder, _, made, lived = finished
    cut = tmp_path / "runs" / made.name
    cut.mkdir(parents=True)
    with (
        Journal.open(folder / "runs" / made.name / JOURNAL, made.name) as whole,
        Journal.open(cut / JOURNAL, made.name, create=True) as part,
    ):
        rows = list(whole.read())
        events = [Event(kind=row.kind, as_of=row.as_of, payload=row.payload) for row in rows]
        part.append(events[: int(len(events) * 0.7)], NOW)
    remembered = load_run_experiences(tmp_path, made.name)
    assert 0 < len(remembered) < len(lived)
    assert remembered == lived[: len(remembered)]


def rewrite(folder, made, tmp_path, change):
    other = tmp_path / "runs" / made.name
    other.mkdir(parents=True)
    with (
        Journal.open(folder / "runs" / made.name / JOURNAL, made.name) as whole,
        Journal.open(other / JOURNAL, made.name, create=True) as part,
    ):
        rows = [(row.kind, row.as_of, dict(row.payload)) for row in whole.read()]
        part.append([Event(kind=k, as_of=at, payload=payload) for k, at, payload in change(rows)], NOW)


def test_steps_that_the_calls_do_not_come_to_are_refused_in_one_line(finished, tmp_path):
    folder, _, made, _ = finished

    def dearer(rows):
        for kind, _, payload in rows:
            if kind == "settings":
                payload["costs"] = {
                    symbol: costs | {"fee_bps": 99.0} for symbol, costs in payload["costs"].items()
                }
        return rows

    rewrite(folder, made, tmp_path, dearer)
    with pytest.raises(JournalError, match="has a net return of") as caught:
        load_run_experiences(tmp_path, made.name)
    assert "\n" not in str(caught.value)


def test_an_event_that_cannot_be_read_is_named(finished, tmp_path):
    folder, _, made, _ = finished

    def without_symbols(rows):
        return [(kind, at, {} if kind == "forecast" else payload) for kind, at, payload in rows]

    rewrite(folder, made, tmp_path, without_symbols)
    with pytest.raises(JournalError, match=r"event \d+ \(forecast\)"):
        load_run_experiences(tmp_path, made.name)


def test_a_journal_that_does_not_say_how_its_run_was_started_is_refused(finished, tmp_path):
    folder, _, made, _ = finished
    rewrite(folder, made, tmp_path, lambda rows: [row for row in rows if row[0] != "settings"])
    with pytest.raises(JournalError, match="does not state its instruments; run it again"):
        load_run_experiences(tmp_path, made.name)


def test_a_run_that_does_not_exist_is_refused_with_where_to_look(tmp_path):
    with pytest.raises(UsageError, match="there is no run 'none'"):
        load_run_experiences(tmp_path, "none")
