"""What a replay's configuration has happen beside the recorded days, and what comes of it."""

from datetime import UTC, datetime

import pytest

from engine.errors import UsageError
from engine.journal.events import encode
from engine.trading.risk import Command, CommandKind
from strategies.config_file import load_config
from strategies.console import utc_now
from strategies.paper.files import session_folder
from strategies.paper.replay import apply_script
from strategies.paper.results import score_session
from strategies.paper_runtime.launch import build_launch_spec
from strategies.runs import JOURNAL
from tests.support.paper_sessions import (
    CONFIG,
    FACTS,
    STOCK,
    check_replay,
    day,
    open_journal,
    read_rows,
    replay,
    session_opens,
)
from tests.support.tables_on_disk import write_lines
from training.dataset.loaders import load_session_experiences


def with_script(*entries):
    """The trial's configuration with a script."""
    return load_config(None, {**CONFIG.model_dump(include={"market"}), "paper": {"script": list(entries)}})


def entry(do, at, **rest):
    return {"do": do, "at": at.isoformat(), **rest}


SPLIT = entry("split", day(13), symbol=STOCK, value=3.0)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """A folder with a session over facts with a split and a dividend, by a script."""
    folder = tmp_path_factory.mktemp("split")
    config = with_script(SPLIT, entry("dividend", day(16), symbol=STOCK, value=0.25))
    facts, script = apply_script(config.paper.script, FACTS)
    replay(folder, script, facts=facts)
    return folder


def test_a_script_is_read_from_the_configuration_and_acts_at_its_instants(tmp_path):
    lines = [
        "[market]", "coins = 2", "stocks = 1", "days = 24",
        "[[paper.script]]", "at = 2023-01-08T03:00:00Z", 'do = "pause"', 'text = "lunch"',
        "[[paper.script]]", "at = 2023-01-09T04:00:00+01:00", 'do = "resume"',
    ]  # fmt: skip
    config = load_config(write_lines(tmp_path / "closecall.toml", lines), {})
    facts, script = apply_script(config.paper.script, FACTS)
    replay(tmp_path, script, facts=facts)
    changes = [(row.as_of, row.payload["now"], row.payload["author"]) for row in read_rows(tmp_path, "risk")]
    assert changes == [
        (datetime(2023, 1, 8, 3, tzinfo=UTC), "halted", "script"),
        (datetime(2023, 1, 9, 3, tzinfo=UTC), "active", "script"),
    ]


def test_a_split_of_a_script_comes_at_the_next_open_and_prices_are_in_its_units_from_there(split):
    (row,) = read_rows(split, "split")
    due = next(at for at in session_opens(STOCK) if at >= day(13))
    assert row.as_of == due
    closes = {}
    for one in read_rows(split, "slice"):
        if one.payload["phase"] == "close" and STOCK in one.payload["bars"]:
            closes[one.as_of] = one.payload["bars"][STOCK][3]
    for bar in FACTS.bars[STOCK]:
        if bar.closes_at in closes:
            assert closes[bar.closes_at] == pytest.approx(bar.close / (3.0 if bar.opens_at >= due else 1.0))
    assert check_replay(split).equal


def test_the_score_of_a_session_with_a_split_is_that_of_the_days_without_one(split, tmp_path):
    replay(tmp_path)
    scores = []
    for folder in (split, tmp_path):
        with open_journal(folder) as journal:
            scores.append(score_session(journal, folder, utc_now()))
    split_, plain = ({name: one["scores"][name] for name in ("student", "oracle")} for one in scores)
    for name in plain:
        for measure in ("accuracy", "close_mae_bps"):
            assert split_[name][measure] == pytest.approx(plain[name][measure]), (name, measure)


def test_each_day_is_learned_from_in_the_units_that_the_student_saw(split):
    (row,) = read_rows(split, "split")
    closes = {bar.closes_at: bar.close for bar in FACTS.bars[STOCK]}
    with open_journal(split) as journal:
        lived = [one for one in load_session_experiences(journal) if one.observation.symbol == STOCK]
    sides = {False: 0, True: 0}
    for one in lived:
        after = one.observation.as_of >= row.as_of
        sides[after] += 1
        unit = 3.0 if after else 1.0
        assert one.observation.last_close == pytest.approx(closes[one.observation.as_of] / unit)
        assert one.outcome.next_close == pytest.approx(closes[one.outcome.known_at] / unit)
    assert min(sides.values()) >= 2


def test_a_command_from_outside_acts_in_a_replay_at_the_instant_that_was_reached(tmp_path):
    steps = iter(range(30))
    replay(tmp_path, ahead=1, stop=lambda: next(steps, None) is None)
    at = datetime(2030, 1, 1, tzinfo=UTC)
    with open_journal(tmp_path) as journal:
        reached = max(row.as_of for row in journal.read(kinds=("slice",)))
        journal.append([encode(Command(at=at, kind=CommandKind.PAUSE, author="ann", text=""), at)], at)
    replay(tmp_path, ahead=1)
    (row,) = read_rows(tmp_path, "risk")
    assert row.as_of == reached
    assert row.payload["at"] == reached.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (entry("split", day(13), symbol="NONE", value=3.0), "NONE is not replayed"),
        (entry("split", day(300), symbol=STOCK, value=3.0), f"{STOCK} has no open from"),
        (entry("split", day(13), symbol=STOCK), "takes a value"),
        (entry("pause", day(13), symbol=STOCK), "takes no symbol"),
        (entry("dance", day(13)), "do"),
        ({"do": "pause", "at": "2023-01-08T03:00:00"}, "timezone"),
    ],
)
def test_a_script_that_makes_no_sense_is_refused_in_one_line(wrong, message):
    with pytest.raises(UsageError) as error:
        apply_script(with_script(wrong).paper.script, FACTS)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_live_session_takes_no_script(tmp_path):
    flags = {"store": ["ccxt:binance"], "symbols": ["BTC/USDT"], "paper": {"script": [entry("halt", day(3))]}}
    with pytest.raises(UsageError, match="add --replay, or take it out"):
        build_launch_spec(tmp_path, None, None, flags, replay=False, speed="max", symbol_overrides={})
    assert not (session_folder(tmp_path, "live") / JOURNAL).exists()
