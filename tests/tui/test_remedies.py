"""What a message proposes works as it is written, and looks into the folder that was given."""

import ast
import json
import re
import shlex

import pytest
import typer

from tests.support.places import ROOT, SHARED_DATA
from tests.support.tables_on_disk import BAR_HEADER, write_bars, write_lines
from tui.cli.main import run
from tui.cli.remedies import find_command

CASES = SHARED_DATA.parent / "cases"
PACKAGES = ("engine", "feeds", "llm", "strategies", "training", "tui")
PROPOSED = re.compile(r"\bclosecall ([a-z](?:[^;,()\n]|,(?! ))*)")


def proposals_in(text):
    """The commands that a text proposes, as words: each up to the end of its clause."""
    for match in PROPOSED.finditer(text):
        words = shlex.split(match[1].rstrip(". "))
        if find_command(words)[1]:
            yield words


def messages():
    """Every text in the product's code that is no docstring, as (place, text); values are the word x."""
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inner = {
            id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
        }
        inner |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if id(node) in inner:
                continue
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "x" for part in node.values]
                yield f"{path.name}:{node.lineno}", "".join(parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{path.name}:{node.lineno}", node.value


def test_every_command_that_a_message_proposes_can_be_typed_as_it_is_written():
    proposals = [(place, words) for place, text in messages() for words in proposals_in(text)]
    refused = {}
    for place, words in proposals:
        command, named = find_command(words)
        if words[named:] != ["--help"]:
            try:
                command.make_context("closecall", words[named:]).close()
            except typer.TyperException as error:
                refused[place] = error.format_message()
    assert refused == {}
    assert len(proposals) > 25


@pytest.fixture
def said(tmp_path, capsys):
    """Run a command line on a data folder with a space in its name: its code and what it printed."""

    def call(*words):
        code = run([*map(str, words), "--data-dir", str(tmp_path / "my data")])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return call


@pytest.mark.parametrize(
    ("fault", "remedy"),
    [
        (["runs", "nowhere"], "runs"),
        (["paper", "status", "nowhere"], "paper list"),
        (["dash", "nowhere"], "dash --once"),
        (["retrain", "--from", "nowhere"], "runs"),
        (["check", "parity", "nowhere"], "runs"),
        (["backtest", "--slipage", "3"], "backtest --help"),
        (["runs", "export"], "runs export --help"),
        (["fetch", "bars", "--symbols"], "fetch bars --help"),
        (["paper", "start", "--nam", "x"], "paper start --help"),
        (["check", "data", "--store"], "fetch bars --help"),
    ],
    ids=" ".join,
)
def test_the_remedy_of_a_fault_runs_and_looks_into_the_folder_that_was_given(said, capsys, fault, remedy):
    code, text = said(*fault)
    assert code in (2, 3)
    (proposed,) = proposals_in(text)
    kept = [word for word in proposed if word != "--data-dir" and "my data" not in word]
    assert " ".join(kept) == remedy
    assert ("--data-dir" in proposed) == ("--help" not in proposed)
    assert run(proposed) == 0
    assert capsys.readouterr().out


def test_a_remedy_reads_the_configuration_that_was_given(said, tmp_path, capsys):
    lines = write_bars(tmp_path, "AAA-USD")[0].read_text().splitlines()
    path = write_lines(
        tmp_path / "AAA-USD.csv", ["when" + lines[0].removeprefix("date"), *lines[1:5], *lines[6:]]
    )
    config = write_lines(tmp_path / "my columns.toml", ["[columns]", 'date = "when"'])
    code, text = said("backtest", "--bars", path, "--config", config)
    (proposed,) = proposals_in(text)
    assert code == 3
    assert run(proposed) == 4
    assert "gap" in capsys.readouterr().out


def test_of_two_data_folders_a_remedy_names_the_one_that_was_read(said, tmp_path):
    code, text = said("runs", "nowhere", "--data-dir", tmp_path / "first")
    (proposed,) = proposals_in(text)
    assert code == 2
    assert proposed == ["runs", "--data-dir", str(tmp_path / "my data")]


def test_json_is_not_touched(said):
    assert said("runs", "--json") == (0, '{\n  "runs": []\n}\n')


@pytest.mark.slow
def test_an_empty_folder_leads_to_a_replay_that_can_be_verified(said, tmp_path, capsys):
    small = write_lines(tmp_path / "small.toml", ["[market]", "coins = 1", "stocks = 1", "days = 24"])
    _, text = said("paper", "list")
    for number in range(2):
        (proposed, *_) = proposals_in(text)
        assert proposed[:2] == ["paper", "start" if number == 0 else "status"], proposed
        assert run([*proposed, *(["--config", str(small)] if number == 0 else [])]) == 0
        text = "".join(capsys.readouterr())
    _, text = said("paper", "status", "replay")
    (proposed,) = proposals_in(text)
    assert run(proposed) == 0
    assert "outputs identical" in capsys.readouterr().out


@pytest.mark.slow
def test_bad_data_is_listed_and_accepted_by_the_remedies_of_its_refusal(said, tmp_path, capsys):
    (path,) = write_bars(tmp_path, "AAA-USD")
    lines = path.read_text().splitlines()
    write_lines(path, lines[:5] + lines[6:])
    code, text = said("backtest", "--bars", path)
    assert code == 3
    (proposed,) = proposals_in(text)
    assert run(proposed) == 4
    assert "gap" in capsys.readouterr().out
    assert "--allow-bad-data" in text
    assert said("backtest", "--bars", path, "--allow-bad-data")[0] == 0


@pytest.mark.parametrize("symbol", ["BRK.B", "BTC/USDT", "^GSPC", "EURUSD=X", "7203.T", "贵州茅台", "AAPL"])
@pytest.mark.parametrize("table", ["instruments", "sources"])
def test_a_table_of_any_name_is_proposed_as_toml_reads_it(tmp_path, symbol, table):
    import tomllib

    from engine.errors import UsageError, toml_table
    from strategies.config_file import load_config

    assert tomllib.loads(toml_table(table, symbol)) == {table: {symbol: {}}}
    path = write_lines(tmp_path / "closecall.toml", [f"[{table}.{symbol}]", "zzz = 1"])
    with pytest.raises(UsageError) as refused:
        load_config(path, {})
    assert symbol == "AAPL" or f"write {toml_table(table, symbol)}, with quotes" in str(refused.value)


@pytest.mark.slow
@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not on this machine")
def test_the_table_that_a_closed_day_asks_for_is_read_as_it_is_written(said, tmp_path):
    bars = CASES / "16-remedy-needs-quotes" / "7203.T.csv"
    code, text = said("backtest", "--bars", bars, "--symbols", "7203.T")
    if code != 0:  # the calendar is known from the name where the suffix is
        heading = re.search(r"under (\[.*?\])", text)[1]
        config = write_lines(tmp_path / "closecall.toml", [heading, 'calendar = "XTKS"', 'currency = "JPY"'])
        code, text = said("backtest", "--bars", bars, "--config", config)
    assert code == 0, text


AMBIGUOUS_BARS = [f"0{n}/02/2024,1{n},1{n},1{n},1{n},5" for n in range(1, 7)]


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ([BAR_HEADER, *AMBIGUOUS_BARS], "--date-order"),
        (["Date,Article_title,Stock_symbol", "03/04/2024,A title,AAPL"], "--date-order"),
        (
            [
                BAR_HEADER.replace(",", ";"),
                *(f"2024-01-0{n};1,20{n};1,30{n};1,10{n};1,25{n};5" for n in range(1, 9)),
            ],
            "--decimal",
        ),
        (
            [
                f"symbol,{BAR_HEADER}",
                *(f"{s},2024-01-0{n},1,1,1,1,5" for n in range(1, 9) for s in ("A", "B")),
            ],
            "convert",
        ),
        ([BAR_HEADER, *(f"2024-01-01T{n:02}:00:00,1,1,1,1,5" for n in range(24))], "resample"),
    ],
    ids=("dates of bars", "dates of news", "decimals", "symbols", "hours"),
)
def test_a_file_in_a_folder_with_a_space_is_converted_by_the_command_of_its_refusal(
    tmp_path, lines, named, capsys, monkeypatch
):
    (tmp_path / "my files").mkdir()
    path = write_lines(tmp_path / "my files" / "BTC-USD, 1D.csv", lines)
    assert run(["check", "data", str(path), "--json"]) == 4
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    match = re.search(
        r"closecall (data (?:convert|resample) (?:--\S+ \S+ |--date-order 'day first' )?'[^']*')",
        finding["sentence"],
    )
    words = shlex.split(match[1])
    assert named in words
    monkeypatch.chdir(tmp_path)
    assert run(words) == 0
