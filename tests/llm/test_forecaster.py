from datetime import UTC, datetime

import pytest

from engine.model import Abstention, Forecast
from engine.timeline import build_observations
from feeds.simulated.market import MarketSettings, simulate
from llm.answer_cache import AnswerCache
from llm.forecaster import forecast
from tests.support.students import DOWN, UP, RuleStudent

START = datetime.min.replace(tzinfo=UTC)


def silent(*_progress):
    pass


@pytest.fixture(scope="module")
def seen():
    market = simulate(MarketSettings(seed=1, coins=1, stocks=1, days=60))
    return build_observations(market.bars, market.news, window=21, start=START)


def test_every_observation_gets_its_own_call_in_order(tmp_path, seen):
    with AnswerCache(tmp_path / "l.sqlite") as ledger:
        forecasts = forecast(seen, RuleStudent(), ledger, silent)
    assert [(c.symbol, c.as_of) for c in forecasts.calls] == [(o.symbol, o.as_of) for o in seen]
    assert all(isinstance(call, Forecast) for call in forecasts.calls)
    assert forecasts.num_generated == len(seen)


def test_a_full_ledger_answers_without_the_student(tmp_path, seen):
    with AnswerCache(tmp_path / "l.sqlite") as ledger:
        first = forecast(seen, RuleStudent(), ledger, silent)
        second_student = RuleStudent()
        second = forecast(seen, second_student, ledger, silent)
    assert second_student.asked == []
    assert (second.num_generated, second.calls) == (0, first.calls)


def test_equal_prompts_are_asked_once(tmp_path, seen):
    student = RuleStudent()
    with AnswerCache(tmp_path / "l.sqlite") as ledger:
        forecasts = forecast([*seen[:5], *seen[:5]], student, ledger, silent)
    assert len(student.asked) == 5
    assert forecasts.calls[:5] == forecasts.calls[5:]


def test_answers_are_kept_when_the_student_dies_halfway(tmp_path, seen):
    class Dying(RuleStudent):
        def answer(self, prompts, on_progress):
            if len(self.asked) >= len(seen) // 2:
                raise KeyboardInterrupt
            return super().answer(prompts, on_progress)

    dying, rest = Dying(), RuleStudent()
    with AnswerCache(tmp_path / "l.sqlite") as ledger:
        with pytest.raises(KeyboardInterrupt):
            forecast(seen, dying, ledger, silent)
        forecast(seen, rest, ledger, silent)
    assert 0 < len(dying.asked) < len(seen)
    assert sorted(dying.asked + rest.asked) == sorted(dict.fromkeys(dying.asked + rest.asked))
    assert len(dying.asked) + len(rest.asked) == len(seen)


class LaterPrompts(RuleStudent):
    """Looks in all prompts that it was ever given for the next day of its own, and answers from there."""

    def __init__(self, known):
        super().__init__()
        self._known = known

    def prompt(self, observation):
        text = super().prompt(observation)
        self._known.append(text)
        return text

    def answer(self, prompts, on_progress):
        self._known += prompts
        self.asked += prompts
        return [self._look_ahead(*prompt.split()[-2:]) for prompt in prompts]

    def _look_ahead(self, symbol, day):
        later = (p for p in self._known if p.split()[-2] == symbol and p.split()[-1] > day)
        return next(map(self._rule, later), "no later prompt")


def test_a_student_that_looks_for_later_prompts_finds_none(tmp_path, seen):
    with AnswerCache(tmp_path / "l.sqlite") as ledger:
        calls = forecast(seen[::-1], LaterPrompts([]), ledger, silent).calls
    assert {call.text for call in calls} == {"no later prompt"}


def test_symbols_of_one_close_are_asked_in_an_order_that_differs(tmp_path):
    market = simulate(MarketSettings(seed=1, coins=5, stocks=0, days=40))
    many = build_observations(market.bars, market.news, window=21, start=START)
    student = RuleStudent()
    with AnswerCache(tmp_path / "l.sqlite") as ledger:
        forecasts = forecast(many, student, ledger, silent)
    assert [(c.symbol, c.as_of) for c in forecasts.calls] == [(o.symbol, o.as_of) for o in many]
    asked = [prompt.split()[-2:] for prompt in student.asked]
    assert [day for _, day in asked] == sorted(day for _, day in asked)
    orders = {tuple(symbol for symbol, day in asked if day == each) for _, each in asked}
    assert len(orders) > 2


def test_output_that_cannot_be_read_is_an_abstention(tmp_path, seen):
    with AnswerCache(tmp_path / "l.sqlite") as ledger:
        forecasts = forecast(
            seen, RuleStudent(lambda prompt: UP if "BTC" in prompt else "moon!"), ledger, silent
        )
    assert all(isinstance(call, Abstention) and call.text == "moon!" for call in forecasts.calls)


def test_progress_counts_what_is_asked(tmp_path, seen):
    steps = []
    with AnswerCache(tmp_path / "l.sqlite") as ledger:
        forecast(seen, RuleStudent(lambda _: DOWN), ledger, lambda done, total: steps.append((done, total)))
    assert steps[-1] == (len(seen), len(seen))
