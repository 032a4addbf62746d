"""Flags and the TOML file: what is accepted, what wins, and how a wrong word is answered."""

import json
from dataclasses import asdict
from datetime import date
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from engine.errors import UsageError
from llm.model_files import model_folder
from strategies.config import BacktestConfig, student_settings
from strategies.config_file import load_config
from strategies.paper_runtime.launch import build_launch_spec
from tests.support.tables_on_disk import write_bars, write_lines, write_news
from tui.cli.config_options import config_options
from tui.cli.main import run

EVERY_KEY = """
bars = ["tables/AAA-USD.csv", "tables/BBB.csv"]
news = ["tables/news.csv"]
symbols = ["AAA-USD", "BBB"]
start = 2024-01-02
warm_up_days = 90
end = "2024-01-10"
student = "models/mine"
champion = false
quantization = "none"
prompt = "compact"
batch = 8
mode = "think"
samples = 1
think_tokens = 64
device = "cpu"
dtype = "float32"
task = "next"
ablate = false
calibrate = "platt"
baselines = ["momentum"]
benchmark = "AAA-USD"
mask = false
allow_remote = false
cash = 5000
fee_bps = 1.5
slippage_bps = 2
latency_bps = 0
borrow_rate = 0.02
delisting_value = 0.5
allow_short = true
seed = 3
max_gross_exposure = 0.5
risk_aversion = 10
news_latency_seconds = 30
out = "written"
overwrite = true
feeds = ["https://example.org/rss"]
allow_bad_data = true
skip_unknown_files = true
base_currency = "USD"
rates = { JPY = 0.007 }
sources = { yfinance = { url = "https://mirror.example/yahoo/" } }
aliases = { BBB = ["Bees"] }
[market]
coins = 1
stocks = 0
days = 20
edge = false
reversal = 2023-06-01
headlines = "all"
[paper]
deadline_seconds = 60
late_seconds = 600
retrain = "on-drift"
method = "sft"
train_days = 90
test_days = 30
steps = 20
webhook = "https://hooks.example/secret"
[walkforward]
method = "sft"
train_days = 60
test_days = 30
step_days = 40
recency_half_life = 20
embargo_days = 2
steps = 50
compare = false
weights = { brier = 1, close = 0.03, pnl = 0 }
[risk]
symbol_exposure = 0.5
total_exposure = 1
daily_loss = 0.05
drawdown = 0.2
orders_per_day = 50
stale_hours = 3
abstention_rate = 0.4
abstention_window = 10
[costs.coin]
fee_bps = 99
least_fee = 0.5
[instruments.BBB]
fee_bps = 1.75
sale_tax_bps = 3
fee_tiers = [[100000, 1]]
asset_class = "coin"
calendar = "24/7"
currency = "USD"
lot = 0.5
shortable = false
names = ["Bee"]
"""


@pytest.fixture
def project(tmp_path):
    """A folder with a TOML file that states nearly every key, and all that it names."""
    write_bars(tmp_path / "project" / "tables", "AAA-USD", "BBB", "CCC-USD")
    row = "2024-01-04T10:00:00Z,wire,,Bees swarm,"
    write_news(tmp_path / "project" / "tables", row)
    (tmp_path / "project" / "models").mkdir()
    (tmp_path / "project" / "models" / "mine").symlink_to(model_folder("tiny"))
    return write_lines(tmp_path / "project" / "closecall.toml", [EVERY_KEY])


def expect_refusal(capsys, *arguments):
    """The one line of a command line that makes no sense."""
    assert run(list(map(str, arguments))) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return line


def test_a_file_with_every_key_runs_from_anywhere_and_flags_win_over_it(project, tmp_path, capsys):
    flags = [
        "--config",
        project,
        "--data-dir",
        tmp_path / "data",
        "--cash",
        7000,
        "--symbols",
        "BBB",
        "--json",
    ]
    assert run(list(map(str, ["backtest", *flags]))) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["symbols"], result["cash"]) == (["BBB"], 7000)
    assert (result["start"], result["end"], result["bars"]) == ("2024-01-02", "2024-01-10", 9)
    assert result["student"] == str(project.parent / "models" / "mine")
    costs = {"fee_bps": 1.75, "slippage_bps": 2, "latency_bps": 0, "borrow_rate": 0.02}
    costs |= {"least_fee": 0.5, "sale_tax_bps": 3, "fee_tiers": [[100000, 1]]}
    assert result["costs"] == {"BBB": costs}
    assert json.loads((project.parent / "written" / "result.json").read_text()) == result


def test_that_file_has_every_key_there_is(project):
    elsewhere = {"adapter", "store", "rates_files", "model", "adapter_name"}
    assert load_config(project, {}).model_fields_set == BacktestConfig.model_fields.keys() - elsewhere


def test_every_value_in_a_file_is_taken_and_its_paths_are_beside_it(project):
    read = load_config(project, {"market": {"days": 40}})
    here = project.parent
    assert read.bars == (here / "tables" / "AAA-USD.csv", here / "tables" / "BBB.csv")
    assert (read.news, read.out) == ((here / "tables" / "news.csv",), here / "written")
    assert (read.start, read.end, read.max_gross_exposure, read.batch) == (
        date(2024, 1, 2),
        date(2024, 1, 10),
        0.5,
        8,
    )
    assert (read.market.days, read.market.coins, read.market.edge) == (40, 1, False)
    assert read.instruments["BBB"].names == ("Bee",)
    assert read.sources["yfinance"].url == "https://mirror.example/yahoo"
    over = load_config(project, {"sources": {"yfinance": {"url": "http://127.0.0.1:8080"}}})
    assert over.sources["yfinance"].url == "http://127.0.0.1:8080"
    project.write_text('adapter = "my-adapter"\nstudent = "./gone"\n')
    assert load_config(project, {}).adapter == here / "my-adapter"
    assert load_config(project, {}).student == str(here / "gone")
    project.write_text('student = "Qwen/Qwen3-0.6B"\n')
    assert load_config(project, {}).student == "Qwen/Qwen3-0.6B"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("sed = 3", ["unknown key 'sed'", "did you mean 'seed'?"]),
        ("[columns]\ndat = 'x'", ["unknown key 'columns.dat'", "did you mean 'date'?"]),
        ("[costs.coin]\nfee = 1", ["unknown key 'costs.coin.fee'", "did you mean 'fee_bps'?"]),
        ("[market]\ncoin = 3", ["unknown key 'market.coin'", "did you mean 'coins'?"]),
        (
            "[instruments.X]\ncalender = 1",
            ["unknown key 'instruments.X.calender'", "did you mean 'calendar'?"],
        ),
        ("zzz = 3", ["unknown key 'zzz'", "known keys: bars, store, news"]),
        ("[sources.yfinance]\nurls = 1", ["unknown key 'sources.yfinance.urls'", "did you mean 'url'?"]),
        ("sources = 3", ["sources = 3 does not fit"]),
        ("[sources.yfinance]\nurl = 'file:///etc'", ["url = 'file:///etc' does not fit", "https://mirror"]),
        ("seed = 'x'", ["seed = 'x' does not fit", "integer"]),
        ("market = 3", ["market = 3 does not fit"]),
        ("bars = 'a.csv'", ["bars = 'a.csv' does not fit", "list"]),
        ("start = 20240101", ["start = 20240101 does not fit", "YYYY-MM-DD"]),
        ("end = 2024-01-01T05:00:00Z", ["does not fit", "YYYY-MM-DD"]),
        ("cash = nan", ["cash = nan does not fit"]),
        ("slippage_bps = 10000", ["slippage_bps = 10000 does not fit", "less than 5000"]),
        (f"prompt = {['x' * 500]}", ["prompt = ", "… does not fit"]),
        ("seed = \n", ["not valid TOML", "line 1"]),
        ("seed = 3\nseed = 4\n", ["not valid TOML", "line 2"]),
        ("\ud800", ["not valid TOML", "correct that line"]),
    ],
)
def test_a_file_that_makes_no_sense_is_answered_in_one_line(tmp_path, capsys, text, parts):
    path = tmp_path / "closecall.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    line = expect_refusal(capsys, "backtest", "--config", path, "--data-dir", tmp_path / "data")
    assert line.startswith(f"closecall: {path}: ")
    assert all(part in line for part in parts), line
    assert len(line) < 900
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--seed", "-1"], ["seed = -1", "greater than or equal to 0"]),
        (["--cash", "abc"], ["'--cash'", "number"]),
        (["--cash", "nan"], ["cash = nan"]),
        (["--cash", "0"], ["cash = 0.0", "greater than 0"]),
        (["--fee-bps", "-1"], ["fee_bps = -1.0"]),
        (["--start", "0001-01-01"], ["start = '0001-01-01'", "1900 to 2199"]),
        (["--start", "tomorrow"], ["start = 'tomorrow'", "YYYY-MM-DD"]),
        (["--quantization", "int4"], ["quantization = 'int4'", "'none', 'int8' or 'nf4'"]),
        (["--headlines", "none"], ["market.headlines = 'none'", "'familiar'"]),
        (["--days", "3"], ["market.days = 3", "10"]),
        (["--end", "2020-01-01"], ["--end 2020-01-01 is not after --start 2023-01-01"]),
        (["--end", "2150-01-01"], ["--end 2150-01-01 are too many", "20000"]),
        (["--news", "x"], ["--news needs --bars"]),
        (["--slipage-bps", "1"], ["--slipage-bps", "--slippage-bps"]),
        (["--think-tokens", "99"], ["--think-tokens: only --mode think", "leave --think-tokens out"]),
        (["--allow-remote"], ["--allow-remote: only a student on a server", "with --student"]),
        (["--mode", "readout", "--samples", "3"], ["--samples: --mode readout", "another mode"]),
        (["--student", "mine.py:Own", "--prompt", "full"], ["--prompt: student mine.py:Own writes"]),
        (["--bars"], ["--bars needs at least one value"]),
        (["--cash"], ["'--cash'", "number"]),
        (["stray"], ["unexpected extra argument", "stray"]),
        (["--config", "nowhere.toml"], ["nowhere.toml: cannot be read", "check --config"]),
        (["--config", "."], [".: cannot be read", "check --config"]),
    ],
)
def test_a_flag_that_makes_no_sense_is_answered_in_one_line(tmp_path, capsys, words, parts):
    line = expect_refusal(capsys, "backtest", *words, "--data-dir", tmp_path / "data")
    assert line.startswith("closecall: ")
    assert all(part in line for part in parts), line
    assert not (tmp_path / "data").exists()


def test_a_flag_may_leave_what_a_file_states_for_another_mode_without_effect(tmp_path):
    (path := tmp_path / "closecall.toml").write_text('mode = "think"\nthink_tokens = 99')
    assert load_config(path, {"mode": "json"}).think_tokens == 99
    path.write_text("think_tokens = 99")
    with pytest.raises(UsageError, match="--think-tokens: only --mode think"):
        load_config(path, {})


def test_a_session_keeps_paths_that_hold_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text('extends = "full"')
    flags = {"prompt": "mine.toml", "bars": (Path("bars"),)}
    spec = build_launch_spec(
        tmp_path, None, None, flags, replay=True, speed="max", symbol_overrides={}, environment={}
    )
    assert (spec.config.prompt, spec.config.bars) == (str(tmp_path / "mine.toml"), (tmp_path / "bars",))
    assert "prompt" not in load_config(None, {}).model_fields_set
    (file := tmp_path / "closecall.toml").write_text('prompt = "mine.toml"')
    monkeypatch.chdir("/")
    assert load_config(file, {}).prompt == str(tmp_path / "mine.toml")


@pytest.mark.parametrize("command", ["walkforward", "paper start", "forecast BTC"])
def test_a_command_says_why_it_does_not_calibrate(capsys, command):
    line = expect_refusal(capsys, *command.split(), "--calibrate", "platt")
    assert f"--calibrate is no option of closecall {command.removesuffix(' BTC')}: only a backtest" in line


def test_a_wrong_flag_is_not_blamed_on_the_file(project, capsys):
    line = expect_refusal(capsys, "backtest", "--config", project, "--seed", "-1")
    assert line.startswith("closecall: the command line: seed = -1 ")


def test_unknown_commands_are_named_and_no_command_shows_the_help(capsys):
    assert "No such command 'backtset'" in expect_refusal(capsys, "backtset")
    assert "--seeds '1,x': write whole numbers" in expect_refusal(capsys, "bench", "edge", "--seeds", "1,x")
    for words in ([], ["train"], ["bench"]):
        assert run(words) == 2
        assert "Usage: closecall" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--data-dir", "--out"])
def test_a_folder_that_is_a_file_is_refused_before_any_work(tmp_path, capsys, option):
    (tmp_path / "file").write_text("")
    flags = {"--data-dir": tmp_path / "data", "--out": tmp_path / "out", option: tmp_path / "file" / "x"}
    words = [word for pair in flags.items() for word in pair]
    line = expect_refusal(capsys, "backtest", *words)
    assert f"{option} {tmp_path / 'file' / 'x'}: {tmp_path / 'file'} is a file; name a folder" in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_table_that_is_no_table_is_not_hidden_by_a_flag(tmp_path):
    path = write_lines(tmp_path / "closecall.toml", ["market = 3"])
    with pytest.raises(UsageError, match="market = 3"):
        load_config(path, {"market": {"days": 40}})


def test_a_file_with_keys_of_an_earlier_version_is_read_with_a_line_for_each(tmp_path):
    path = tmp_path / "old.toml"
    path.write_text('gross = 0.5\nbase = "EUR"\n[names]\nBTC = ["xbt"]\n')
    lines: list[str] = []
    read = load_config(path, {}, lines.append)
    assert (read.max_gross_exposure, read.base_currency, read.aliases) == (0.5, "EUR", {"BTC": ("xbt",)})
    assert sorted(line.removeprefix(f"{path}: ") for line in lines) == [
        "base is now called base_currency; the old name still works",
        "gross is now called max_gross_exposure; the old name still works",
        "names is now called aliases; the old name still works",
    ]


def test_a_journaled_configuration_keeps_the_keys_of_the_first_version_and_is_read_back():
    config = load_config(None, {"max_gross_exposure": 0.5, "allow_bad_data": True})
    stored = config.stored()
    assert (stored["gross"], stored["allow_harmful"]) == (0.5, True)
    assert not stored.keys() & {"max_gross_exposure", "allow_bad_data"}
    assert BacktestConfig.model_validate(stored) == config


NEW_STUDENT_KEYS = {
    "mode": "readout",
    "samples": 3,
    "think_tokens": 64,
    "device": "cuda:1",
    "dtype": "bfloat16",
    "task": "same-day",
    "mask": False,
    "model": "qwen",
    "adapter_name": "mine",
    "allow_remote": True,
}


def test_keys_of_the_student_are_passed_on_and_journaled_only_where_they_are_not_the_default():
    stored = load_config(None, {}).stored()
    assert not stored.keys() & NEW_STUDENT_KEYS.keys()
    config = BacktestConfig.model_validate(NEW_STUDENT_KEYS)
    assert config.stored() == {**stored, **NEW_STUDENT_KEYS}
    assert BacktestConfig.model_validate(config.stored()) == config
    settings = asdict(student_settings(config))
    assert {key: settings[key] for key in NEW_STUDENT_KEYS} == NEW_STUDENT_KEYS


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--mode", "fast"], "mode = 'fast' does not fit"),
        (["--device", "tpu"], "device = 'tpu' does not fit"),
        (["--samples", "0"], "samples = 0 does not fit"),
        (["--dtype", "int4"], "dtype = 'int4' does not fit"),
    ],
)
def test_a_wrong_value_of_the_student_is_one_line(capsys, words, told):
    assert told in expect_refusal(capsys, "bench", "forecast", *words)


def test_prompts_can_be_masked_and_shown_by_a_flag():
    given = []

    @config_options("mask")
    def command(flags):
        given.append(flags)

    runner, program = CliRunner(), typer.Typer()
    program.command()(command)
    for words in ([], ["--mask"], ["--no-mask"]):
        assert runner.invoke(program, words).exit_code == 0
    assert given == [{}, {"mask": True}, {"mask": False}]


def test_an_old_and_a_new_name_of_one_key_are_refused_together(tmp_path):
    path = tmp_path / "both.toml"
    path.write_text("gross = 0.5\nmax_gross_exposure = 0.6\n")
    with pytest.raises(UsageError, match="gross is the former name of max_gross_exposure; remove gross"):
        load_config(path, {})


def test_a_flag_of_an_earlier_version_is_taken_and_its_new_name_is_said(capsys):
    assert run(["backtest", "--base=EUR", "--help"]) == 0
    assert "--base is now called --base-currency; the old name still works" in capsys.readouterr().err
