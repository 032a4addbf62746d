"""What a student's answers rest on: rules that are known, and two real models that were trained for it."""

import random
import shutil
from dataclasses import replace
from datetime import timedelta

import pytest

from engine.errors import DataError
from engine.outcomes import OutcomeFinder
from engine.timeline import build_observations
from llm.answers import format_answer
from llm.chat import render
from llm.masking import shift_observation
from llm.model_files import model_folder
from llm.student import StudentSettings
from llm.transformers_student import load_student
from strategies.alterations import Basis, turn_prices
from strategies.config import BacktestConfig
from strategies.market_data import MarketData
from strategies.memory_check import Change, check_memory
from tests.support.students import RuleStudent

DAYS = 40


@pytest.fixture(scope="module")
def market():
    return MarketData.simulated(seed=12, days=DAYS, coins=2, stocks=1)


@pytest.fixture(scope="module")
def answers(market):
    """The right answer to every close of the market, by symbol and day."""
    finder = OutcomeFinder(market.bars)
    seen = build_observations(market.bars, market.news, window=2, start=market.start)
    outcomes = {(each.symbol, each.as_of.date()): finder.find(each) for each in seen}
    return {
        key: format_answer("up", 0.8, 101) if outcome.close_return > 0 else format_answer("down", 0.8, 99)
        for key, outcome in outcomes.items()
        if outcome is not None
    }


class Planted(RuleStudent):
    """A student whose prompt is a function of what it may see, and its answer one of the prompt."""

    def __init__(self, prompt, rule, wanted, released=None):
        super().__init__(rule, released)
        self.fingerprint = f"planted {wanted.mask}"
        self._wanted, self._write = wanted, prompt

    def prompt(self, observation):
        return self._write(observation, self._wanted.mask)


def examine(market, tmp_path, prompt, rule, released=None, **more):
    return check_memory(
        BacktestConfig(),
        data_dir=tmp_path,
        load=lambda wanted: Planted(prompt, rule, wanted, released),
        data=market,
        **more,
    )


def name_and_day(observation, masked):
    return "someone" if masked else f"{observation.symbol} {observation.as_of.date()}"


def test_a_student_that_knows_the_days_by_name_and_date_rests_on_memory(market, answers, tmp_path):
    known = {f"{symbol} {day}": answer for (symbol, day), answer in answers.items()}
    report = examine(
        market, tmp_path, name_and_day, lambda prompt: known.get(prompt, format_answer("up", 0.5, 100))
    )
    assert report.basis is Basis.MEMORY
    effects = report.before.effects
    assert report.before.accuracy == 1
    for change in (Change.MASKED, Change.DATES_SHIFTED):
        assert effects[change].flip_rate == pytest.approx(effects[change].cost)
        assert 0.3 < effects[change].cost < 0.7
        assert effects[change].confidence_invariance == pytest.approx(0.7)  # 0.8 or 0.2 becomes 0.5
    for change in set(Change) - {Change.MASKED, Change.DATES_SHIFTED}:
        assert (effects[change].flip_rate, effects[change].prediction_consistency) == (0, 1)


def test_a_student_that_follows_past_prices_rests_on_prices_and_one_that_guesses_on_nothing(tmp_path):
    rising = MarketData.simulated(seed=12, days=DAYS, coins=2, stocks=0)
    trend = {
        symbol: [replace_prices(bar, 100 + n * (1 if n % 40 < 20 else -1)) for n, bar in enumerate(series)]
        for symbol, series in rising.bars.items()
    }
    market = replace(rising, bars=trend, news=[], oracle={})

    def last_move(observation, _masked):
        before, last = observation.bars[-2:]
        return "up" if last.close > before.close else "down"

    def follow(prompt):
        return format_answer(prompt, 0.6, 101 if prompt == "up" else 99)

    assert examine(market, tmp_path, last_move, follow).basis is Basis.PRICES
    coin = examine(market, tmp_path / "coin", name_and_day, lambda _: format_answer("up", 0.5, 100))
    assert coin.basis is Basis.NOTHING


def replace_prices(bar, price):
    return replace(bar, open=price, high=price + 1, low=price - 1, close=price)


def test_days_before_and_after_the_cut_off_are_apart(market, answers, tmp_path):
    recorded = replace(market, is_simulated=False)
    middle = market.start.date() + timedelta(days=DAYS // 2)
    known = {f"{symbol} {day}": answer for (symbol, day), answer in answers.items() if day <= middle}
    report = examine(
        recorded,
        tmp_path,
        name_and_day,
        lambda prompt: known.get(prompt, format_answer("up", 0.5, 100)),
        released=middle,
        sample=60,
    )
    assert (report.cutoff, report.basis) == (middle, Basis.MEMORY)
    assert (report.before.accuracy, report.after.basis) == (1, Basis.NOTHING)
    assert report.before.decisions + report.after.decisions == 60


def test_too_few_days_are_refused(tmp_path):
    few = MarketData.simulated(days=12, coins=1, stocks=0)
    with pytest.raises(DataError, match="choose more days"):
        examine(few, tmp_path, name_and_day, lambda _: format_answer("up", 0.5, 100))


def test_prices_turned_round_have_the_opposite_returns_and_the_same_last_close(market):
    seen = build_observations(market.bars, market.news, window=9, start=market.start)[-1]
    turned = turn_prices(seen)
    assert turned.last_close == pytest.approx(seen.last_close)
    ratios = [(a.close / b.close) * (c.close / d.close) for a, b, c, d in pairs(seen.bars, turned.bars)]
    assert ratios == pytest.approx([1.0] * 8)
    assert turn_prices(turned).bars[0].high == pytest.approx(seen.bars[0].high)
    earlier = shift_observation(seen, timedelta(days=-70))
    assert (seen.as_of - earlier.as_of, len(earlier.news)) == (timedelta(days=70), len(seen.news))


def pairs(bars, others):
    return zip(bars[1:], bars, others[1:], others, strict=False)


def fine_tune(folder, draw, steps):
    """The tiny student trained to begin its answers to drawn prompts with their directions, as a folder."""
    import torch

    shutil.copytree(model_folder("tiny"), folder)
    student = load_student(StudentSettings())
    model, tokenizer = student.model, student.tokenizer
    torch.manual_seed(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(steps):
        texts, rises = zip(*draw(), strict=True)
        begun = [chat(student, text) + '{"direction": "' for text in texts]
        rows = tokenizer(begun, return_tensors="pt", add_special_tokens=False, padding=True)
        words = torch.tensor([tokenizer.encode("up" if rise else "down")[0] for rise in rises])
        with torch.enable_grad():
            output = model(input_ids=rows.input_ids, attention_mask=rows.attention_mask, logits_to_keep=1)
            loss = torch.nn.functional.cross_entropy(output.logits[:, -1], words)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.05:
            break
    model.save_pretrained(folder)
    return folder


def chat(student, text):
    return render(student.tokenizer, [{"role": "user", "content": text}])


def day_line(observation):
    return f"{observation.symbol} {observation.as_of:%m %d %Y}"


def news_lines(observation):
    return "\n".join(item.headline[:60] for item in observation.news[-2:])


class Trained:
    """A model of a folder, asked by prompts with name and date, which a mask hides, and news."""

    window, released, notes, name = 21, None, (), "planted"

    def __init__(self, folder, wanted):
        self._inner = load_student(StudentSettings(student=str(folder), prompt="compact"))
        self._masked = wanted.mask
        self.fingerprint = self._inner.fingerprint
        self.answer = self._inner.answer

    def prompt(self, observation):
        line = "ASSET" if self._masked else day_line(observation)
        return chat(self._inner, f"{news_lines(observation)}\n{line}")


@pytest.mark.slow
@pytest.mark.parametrize("planted", [Basis.MEMORY, Basis.NEWS])
def test_a_model_trained_on_the_answers_of_days_is_found_and_one_trained_on_their_news_is_not(
    tmp_path, planted
):
    market = MarketData.simulated(seed=12, days=30, coins=1, stocks=0)
    finder = OutcomeFinder(market.bars)
    seen = build_observations(market.bars, market.news, window=21, start=market.start)
    rises = [(each, finder.find(each).close_return > 0) for each in seen if finder.find(each) is not None]
    random_ = random.Random(3)

    def draw():
        for each, rise in rises:
            other, _ = random_.choice(rises)
            day, news = (each, other) if planted is Basis.MEMORY else (other, each)
            yield f"{news_lines(news)}\n{day_line(day)}", rise

    folder = fine_tune(tmp_path / "model", draw, steps=120)
    report = check_memory(
        BacktestConfig(), data_dir=tmp_path, load=lambda wanted: Trained(folder, wanted), data=market
    )
    assert report.basis is planted, report
