"""What a backtest's forecasts rest on: it asks again without news, with other news, from prices, masked."""

import json
from datetime import timedelta

import numpy as np
import pytest

import closecall as cc
from engine.outcomes import OutcomeFinder
from engine.timeline import build_observations
from strategies.ablation_table import list_ablations
from strategies.alterations import shift_dates, swap_news, take_other_news
from strategies.result_table import render_html
from tests.support.observations import make_observation
from tests.support.students import RuleStudent
from tui.cli.main import run

WORDS = ("no_news", "shuffled_news", "other_news", "prices_only")


def test_the_tiny_students_forecasts_rest_on_the_news_of_the_simulated_market(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    words = ["backtest", "--days", "40", "--seed", "12", "--ablate", "--data-dir", str(tmp_path)]
    assert run([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["ablations_basis"] == "news"
    assert list(result["ablations"]) == [*WORDS, "masked"]
    without, masked = result["ablations"]["no_news"], result["ablations"]["masked"]
    assert without["accuracy"] == pytest.approx(
        result["scores"]["student"]["accuracy"] + without["difference"]
    )
    assert without["difference_low"] < without["difference"] < without["difference_high"] < 0
    assert without["flip_rate"] > 0.1
    assert without["n"] == result["scores"]["student"]["n"]
    assert without["changed"] == result["forecasts_with_news"]
    assert abs(masked["difference"]) < -without["difference"]
    assert run(["runs", result["run"], "--data-dir", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    (heading,) = [line for line in shown.splitlines() if line.startswith("changed")]
    assert len(heading) <= 80 and "news of other days" in shown
    reread = json.loads(json.dumps(result, sort_keys=True))
    assert list_ablations(reread) == list_ablations(result)
    assert "Ablations: the forecasts rest on news: " in " ".join(shown.split())
    assert "names masked" in render_html(result)
    assert run([*words, "--json"]) == 0  # from the cache
    assert json.loads(capsys.readouterr().out)["asked"] == 0


def test_a_run_with_masked_prompts_is_also_asked_with_names(tmp_path):
    data = cc.MarketData.simulated(seed=12, coins=1, stocks=1, days=20)
    result = cc.backtest(data, mask=True, ablate=True, folder=tmp_path).result
    assert list(result["ablations"]) == [*WORDS, "unmasked"]
    assert 0 < result["ablations"]["unmasked"]["changed"] <= result["forecasts_with_news"]
    # Nothing but the mask is changed: a run that shows the names asks the same.
    shown = cc.backtest(data, folder=tmp_path).result
    assert shown["asked"] == 0
    assert shown["scores"]["student"]["brier"] == result["ablations"]["unmasked"]["brier"]


class Planted(RuleStudent):
    """A student whose prompt is a function of what it may see."""

    def __init__(self, name, write, rule):
        super().__init__(rule)
        self.fingerprint, self.prompt = name, write


def ablate(market, tmp_path, *planted):
    return cc.backtest(market, student=Planted(*planted), ablate=True, folder=tmp_path).result


def test_a_student_that_knows_days_rests_on_memory_and_one_that_guesses_on_nothing(tmp_path):
    market = cc.MarketData.simulated(seed=12, coins=2, stocks=1, days=40)
    finder = OutcomeFinder(market.bars)
    known = {
        f"{seen.symbol} {seen.as_of}": outcome.close_return > 0
        for seen in build_observations(market.bars, market.news, window=2, start=market.start)
        if (outcome := finder.find(seen)) is not None
    }

    def write(observation):
        return f"{observation.symbol} {observation.as_of}"

    def answer(rise):
        return cc.format_answer("up", 0.8, 101) if rise else cc.format_answer("down", 0.8, 99)

    memory = ablate(market, tmp_path, "memory", write, lambda prompt: answer(known.get(prompt, True)))
    assert memory["ablations_basis"] == "memory"
    assert memory["ablations"]["no_news"]["flip_rate"] == memory["ablations"]["no_news"]["changed"] == 0
    assert memory["ablations"]["masked"]["difference"] < -0.3
    guess = ablate(market, tmp_path, "guess", write, lambda _: answer(rise=True))
    assert guess["ablations_basis"] == "nothing"


def test_news_is_shuffled_within_a_symbol_and_other_news_is_of_another():
    market = cc.MarketData.simulated(seed=12, coins=2, stocks=1, days=40)
    seen = build_observations(market.bars, market.news, window=6, start=market.start)
    for changed, is_own in (
        (swap_news(seen, np.random.default_rng(7)), True),
        (take_other_news(seen, np.random.default_rng(7)), False),
    ):
        moved = [
            (before, after)
            for before, after in zip(seen, changed, strict=True)
            if any(item.symbols for item in before.news)
        ]
        assert len(moved) > 30
        assert all(before.bars == after.bars and before.as_of == after.as_of for before, after in moved)
        for before, after in moved:
            about = {symbol for item in after.news for symbol in item.symbols}
            assert (before.symbol in about) == (is_own and bool(about))
        assert sum(before.news != after.news for before, after in moved) == len(moved)
    alone = [each for each in seen if each.symbol == seen[0].symbol]
    assert take_other_news(alone, np.random.default_rng(7)) is None


def test_shifted_days_take_the_dates_in_headlines_with_them():
    seen = make_observation(headlines=["Fork on January 28, 2024", "Price at 2024 dollars"])
    shifted = shift_dates(seen, timedelta(days=-3640))
    assert [item.headline for item in shifted.news] == ["Fork 2 days ago", "Price at 2024 dollars"]
    assert shifted.news[1].published_at == seen.news[1].published_at - timedelta(days=3640)


def test_commands_that_do_not_ablate_refuse_to(tmp_path, capsys):
    (config := tmp_path / "c.toml").write_text("ablate = true")
    for command in (["paper", "start", "--replay"], ["walkforward"]):
        assert run([*command, "--config", str(config), "--data-dir", str(tmp_path / "data")]) == 2
        assert "--ablate: ablations are made by a backtest" in capsys.readouterr().err
    assert run(["forecast", "BTC", "--ablate"]) == 2
    assert "--ablate is no option of closecall forecast" in capsys.readouterr().err
