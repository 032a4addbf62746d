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
    config, result = run(folder, **SMALL, delay_minutes=20)
    return folder, config, result, load_run_experiences(folder, result.name)


def test_every_call_with_an_ended_step_comes_back_with_what_was_seen(finished):
    folder, config, result, experiences = finished
    data = load_market_data(config, folder)
    seen = {
        (item.symbol, item.as_of): item
        for item in build_observations(data.bars, data.news, window=21, start=data.start)
    }
    assert len(experiences) == len(seen) - 2 * len(data.instruments)
    assert all(item.observation == seen[item.key] for item in experiences)
    calls = {(call.symbol, call.as_of): call for call in result.simulations["student"].calls}
    assert all(
        item.call == calls[item.key] and item.call.text == calls[item.key].text for item in experiences
    )
    assert any(isinstance(item.call, Abstention) for item in experiences)


def test_each_call_comes_to_the_net_return_of_the_step_in_the_run(finished):
    _, _, result, experiences = finished
    steps = {(step.symbol, step.started_at): step for step in result.simulations["student"].engine.steps}
    signs = set()
    for item in experiences:
        taken = simulate_step(item.call, item.outcome, item.trade_context)
        step = steps.get((item.key[0], item.trade_context.fill_at))
        assert taken.net_return == pytest.approx(step.net_return if step else 0.0, rel=0, abs=1e-9)
        signs.add((taken.position > 0) - (taken.position < 0))
    assert signs == {-1, 0, 1}


def test_facts_and_journal_tell_the_same_apart_from_what_was_held(finished):
    folder, config, _, experiences = finished
    data = load_market_data(config, folder)
    observed = build_observations(data.bars, data.news, window=21, start=data.start)
    rebuilt = build_experiences(
        observed,
        data.bars,
        instruments=data.instruments,
        calendars=data.calendars,
        costs={item.key[0]: item.trade_context.costs for item in experiences},
        sizing=experiences[0].trade_context.sizing,
    )
    alike = [
        replace(
            item,
            call=None,
            trade_context=replace(item.trade_context, equity=100_000.0, fill_equity=100_000.0, position=0.0),
        )
        for item in experiences
    ]
    assert alike == rebuilt


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
    all_experiences = {item.key: item for item in load_run_experiences(tmp_path, whole.name)}
    experiences = load_run_experiences(tmp_path, late.name)
    first_call = min(call.as_of for call in late.simulations["student"].calls)
    assert experiences
    assert experiences[0].key[1] > first_call
    assert all(item.observation == all_experiences[item.key].observation for item in experiences)
    assert all(len(item.observation.bars) == 21 for item in experiences)


def test_a_run_that_was_killed_still_teaches_what_is_on_record(finished, tmp_path):
    folder, _, result, experiences = finished
    cut = tmp_path / "runs" / result.name
    cut.mkdir(parents=True)
    with (
        Journal.open(folder / "runs" / result.name / JOURNAL, result.name) as whole,
        Journal.open(cut / JOURNAL, result.name, create=True) as part,
    ):
        rows = list(whole.read())
        events = [Event(kind=row.kind, as_of=row.as_of, payload=row.payload) for row in rows]
        part.append(events[: int(len(events) * 0.7)], NOW)
    remembered = load_run_experiences(tmp_path, result.name)
    assert 0 < len(remembered) < len(experiences)
    assert remembered == experiences[: len(remembered)]


def rewrite(folder, result, tmp_path, change):
    other = tmp_path / "runs" / result.name
    other.mkdir(parents=True)
    with (
        Journal.open(folder / "runs" / result.name / JOURNAL, result.name) as whole,
        Journal.open(other / JOURNAL, result.name, create=True) as part,
    ):
        rows = [(row.kind, row.as_of, dict(row.payload)) for row in whole.read()]
        part.append([Event(kind=k, as_of=at, payload=payload) for k, at, payload in change(rows)], NOW)


def test_steps_that_the_calls_do_not_come_to_are_refused_in_one_line(finished, tmp_path):
    folder, _, result, _ = finished

    def dearer(rows):
        for kind, _, payload in rows:
            if kind == "settings":
                payload["costs"] = {
                    symbol: costs | {"fee_bps": 99.0} for symbol, costs in payload["costs"].items()
                }
        return rows

    rewrite(folder, result, tmp_path, dearer)
    with pytest.raises(JournalError, match="has a net return of") as caught:
        load_run_experiences(tmp_path, result.name)
    assert "\n" not in str(caught.value)


def test_an_event_that_cannot_be_read_is_named(finished, tmp_path):
    folder, _, result, _ = finished

    def without_symbols(rows):
        return [(kind, at, {} if kind == "forecast" else payload) for kind, at, payload in rows]

    rewrite(folder, result, tmp_path, without_symbols)
    with pytest.raises(JournalError, match=r"event \d+ \(forecast\)"):
        load_run_experiences(tmp_path, result.name)


def test_a_journal_that_does_not_say_how_its_run_was_started_is_refused(finished, tmp_path):
    folder, _, result, _ = finished
    rewrite(folder, result, tmp_path, lambda rows: [row for row in rows if row[0] != "settings"])
    with pytest.raises(JournalError, match="does not state its instruments; run it again"):
        load_run_experiences(tmp_path, result.name)


def test_a_run_that_does_not_exist_is_refused_with_where_to_look(tmp_path):
    with pytest.raises(UsageError, match="there is no run 'none'"):
        load_run_experiences(tmp_path, "none")
