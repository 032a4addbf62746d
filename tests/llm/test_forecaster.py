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
            if self.asked:
                raise KeyboardInterrupt
            return super().answer(prompts, on_progress)

    many = list({o.as_of.isoformat() + o.symbol: o for o in _many()}.values())
    assert len(many) > 1024
    with AnswerCache(tmp_path / "l.sqlite") as ledger:
        with pytest.raises(KeyboardInterrupt):
            forecast(many, Dying(), ledger, silent)
        rest = RuleStudent()
        forecast(many, rest, ledger, silent)
    assert len(rest.asked) == len(many) - 1024


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


def _many():
    market = simulate(MarketSettings(seed=1, coins=4, stocks=0, days=300))
    return build_observations(market.bars, market.news, window=21, start=START)
