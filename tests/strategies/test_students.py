"""Whether prompts are masked, and the names by which they are."""

from datetime import date
from types import SimpleNamespace

import pytest

from engine.errors import UsageError
from strategies.config import BacktestConfig
from strategies.market_data import MarketData
from strategies.students import list_names, require_next_close, settle_mask, settle_student
from tests.support.tables_on_disk import write_bars


@pytest.fixture
def recorded(tmp_path):
    """Two symbols over some days of January 2024."""
    write_bars(tmp_path / "bars", "BTC-USD", "SOL-USD")
    return MarketData.from_files(tmp_path / "bars")


def settle(market, released, mask=None, student="some/model"):
    config = BacktestConfig(student=student, mask=mask)
    return settle_mask(config, market, lambda _: SimpleNamespace(released=released))


@pytest.mark.parametrize(
    ("released", "mask", "expected"),
    [
        (None, None, True),
        (date(2025, 4, 29), None, True),
        (date(2020, 1, 1), None, None),
        (None, False, False),
        (date(2020, 1, 1), True, True),
    ],
)
def test_prompts_are_masked_for_a_student_that_may_have_read_of_the_days(recorded, released, mask, expected):
    config, market = settle(recorded, released, mask)
    assert config.mask is expected
    notes = [note for note in market.notes if "may have read of these days" in note]
    assert bool(notes) == (released is None or released > recorded.start.date())
    assert all(("shown" in note.partition("prompts are ")[2]) == (mask is False) for note in notes)


def test_a_simulated_market_and_the_tiny_student_need_no_mask(recorded):
    assert settle(MarketData.simulated(days=30), None)[0].mask is None
    assert settle(recorded, None, student="tiny")[0].mask is None


def test_a_model_states_that_it_has_read_nothing(recorded, tmp_path):
    (tmp_path / "closecall.json").write_text('{"mask": false}')
    assert settle(recorded, None, student=str(tmp_path))[0].mask is None
    (tmp_path / "closecall.json").write_text("{}")
    assert settle(recorded, None, student=str(tmp_path))[0].mask is True


def test_the_student_that_answers_has_the_mask_and_the_names(recorded):
    asked = []
    config = BacktestConfig(student="some/model", aliases={"BTC": ("orange coin",)})
    settle_student(config, recorded, lambda wanted: asked.append(wanted) or SimpleNamespace(released=None))
    assert [(wanted.mask, bool(wanted.names)) for wanted in asked] == [(False, False), (True, True)]
    names = dict(asked[-1].names)
    assert {"BTC", "bitcoin", "比特币", "orange coin"} <= set(names["BTC-USD"])
    assert "索拉纳" in names["SOL-USD"]


def test_what_is_not_traded_has_its_names_too(recorded):
    names = dict(list_names(recorded.instruments, {}))
    assert "tesla" in names["TSLA"]
    assert "BTC" not in names
    assert len({symbol for symbol, _ in list_names(recorded.instruments, {})}) == len(names)


def test_a_task_that_cannot_be_traded_is_refused_with_the_command_that_takes_it():
    require_next_close(BacktestConfig(), "a session")
    with pytest.raises(UsageError, match=r"same-day: it is scored and never traded.*closecall backtest"):
        require_next_close(BacktestConfig(task="same-day"), "a session")
