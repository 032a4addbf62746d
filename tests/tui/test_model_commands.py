"""`closecall models` tells which adapters are on record and changes the champion, in one command each."""

import json

import pytest
import typer
from typer.testing import CliRunner

from engine.errors import UsageError
from llm.registry.registry import Registry
from strategies.config_file import load_config
from tests.support.adapters_on_disk import adapter_on_disk, enter, enter_many, instant_at
from tui.cli.main import invoke
from tui.cli.models import models_app
from tui.cli.options import with_champion

app = typer.Typer()


app.add_typer(models_app, name="models")


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def names(data, tmp_path):
    with Registry.open(data) as registry:
        return enter_many(registry, tmp_path, [1, 2])


def run(data, *words):
    done = CliRunner().invoke(app, ["models", *words, "--data-dir", str(data)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def as_json(data, *words):
    return json.loads(run(data, *words, "--json"))


def test_a_data_folder_without_adapters_says_so_and_stays_as_it_is(data):
    assert "No adapters in" in run(data, "list")
    assert as_json(data, "list") == {"adapters": []}
    with pytest.raises(UsageError, match="no adapter on record"):
        run(data, "promote", "x")
    assert not data.exists()


def test_the_list_names_each_adapter_with_its_state(data, names):
    run(data, "promote", names[1])
    table = run(data, "list")
    assert [line.split()[:2] for line in table.splitlines()[1:]] == [
        [names[0], "challenger"],
        [names[1], "champion"],
    ]
    listed = as_json(data, "list")["adapters"]
    assert [one["status"] for one in listed] == ["challenger", "champion"]
    assert listed[0]["cutoff"] == "2026-01-01T00:00:00Z"


def test_the_list_can_be_limited_to_one_base_model(data, names, tmp_path):
    with Registry.open(data) as registry:
        other = enter(registry, adapter_on_disk(tmp_path / "other", 9), student="Qwen/Qwen3-0.6B").name
    assert [one["name"] for one in as_json(data, "list", "--student", "Qwen/Qwen3-0.6B")["adapters"]] == [
        other
    ]


def test_promotion_and_rollback_say_who_answers_now_and_who_did(data, names):
    said = run(data, "promote", names[0])
    assert said == f"tiny: {names[0]} answers from now on; before, the bare base model did.\n"
    assert as_json(data, "promote", names[1])["before"] == names[0]
    back = as_json(data, "rollback", "--reason", "it trades too much")
    assert (back["champion"], back["before"]) == (names[0], names[1])
    assert back["payload"]["reason"] == "it trades too much"
    assert "the bare base model answers from now on" in run(data, "rollback")
    with pytest.raises(UsageError, match="nothing to roll back"):
        run(data, "rollback")


def test_a_wrong_name_gets_the_nearest_one(data, names):
    with pytest.raises(UsageError, match=f"did you mean {names[0]}"):
        run(data, "promote", names[0][:-1])
    with pytest.raises(UsageError, match="belongs to tiny"):
        run(data, "promote", names[0], "--student", "Qwen/Qwen3-0.6B")


def test_show_tells_the_history_and_what_the_gate_said(data, names):
    verdict = {"p_value": 0.3, "reasons": ["a Brier score better by +0.0010 has p = 0.3"]}
    with Registry.open(data) as registry:
        registry.reject(names[0], at=instant_at(20), reason="the gate refused it", scores=verdict)
    text = run(data, "show", names[0])
    assert "rejected" in text
    assert "2026-01-01T20:00:00Z  adapter rejected by gate: the gate refused it" in text
    assert "    gate: a Brier score better by +0.0010 has p = 0.3" in text
    shown = as_json(data, "show", names[0])
    assert [change["kind"] for change in shown["changes"]] == ["adapter_entered", "adapter_rejected"]
    assert shown["changes"][1]["payload"]["scores"] == verdict
    assert (shown["recipe"], shown["children"]) == ({"method": "grpo", "seed": 1}, [])


def test_the_champion_answers_in_whatever_adapter_it_stands_today(data, names, capsys):
    config = load_config(None, {"champion": True})
    assert with_champion(config, data).adapter is None
    assert "no champion registered for tiny; using the base model" in capsys.readouterr().err
    for name in names:
        run(data, "promote", name)
        found = with_champion(config, data)
        assert found.adapter == data / "models" / "adapters" / name
        assert f"using the champion of tiny: {name}" in capsys.readouterr().err
        assert "champion" not in found.model_dump()
    run(data, "rollback")
    assert with_champion(config, data).adapter.name == names[0]
    assert with_champion(load_config(None, {}), data).adapter is None


def test_an_adapter_and_the_champion_cannot_both_be_wanted(data):
    with pytest.raises(UsageError, match="--champion and --adapter mine"):
        invoke(["backtest", "--champion", "--adapter", "mine", "--data-dir", str(data)])


def test_a_wrong_key_of_a_walk_forward_is_answered_with_the_right_one(tmp_path):
    settings = tmp_path / "closecall.toml"
    for table, near in (("train_day = 3", "train_days"), ("weights = { brer = 1 }", "brier")):
        settings.write_text(f"[walkforward]\n{table}\n")
        with pytest.raises(UsageError, match=f"did you mean '{near}'"):
            invoke(["walkforward", "--config", str(settings), "--data-dir", str(tmp_path)])
