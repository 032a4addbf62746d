"""The command as a stranger meets it: what it prints, where, and with which exit code."""

import errno
import fcntl
import json
import os
import pty
import re
import struct
import termios

import pytest

from tests.support.own_processes import CLOSECALL, ran, started
from tests.support.tables_on_disk import write_bars, write_lines, write_news
from tui.cli.main import run

SMALL = ["batch = 16", "[market]", "coins = 2", "stocks = 1", "days = 30"]

SCORES = {
    *("n", "accuracy", "accuracy_open", "accuracy_low", "accuracy_high", "brier", "close_mae_bps"),
    *("total_return", "sharpe", "max_drawdown", "trades", "rejected", "costs_paid"),
}

RESULT = {
    *("run", "simulated", "symbols", "start", "end", "bars", "news", "forecasts", "forecasts_with_news"),
    *("abstentions", "scores", "verdicts", "trials", "contaminated_n", "edge_captured", "digests", "seconds"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A data folder with one finished run, made by a real process in an empty home."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "home").mkdir()
    return folder


@pytest.fixture(scope="module")
def small(place):
    return write_lines(place / "small.toml", SMALL)


@pytest.fixture(scope="module")
def finished(place, small):
    flags = ["--config", small, "--data-dir", place / "data", "--out", place / "out", "--json"]
    return ran(
        [CLOSECALL, "backtest", *flags],
        cwd=place / "home",
        env={**os.environ, "HOME": str(place / "home"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        seconds=300,
    )


@pytest.fixture
def closecall(place, finished, capsys):
    """Run a command line in this process, on the data folder of the finished run: what it printed."""

    def call(*arguments, code=0):
        assert run([*map(str, arguments), "--data-dir", str(place / "data")]) == code
        return capsys.readouterr()

    return call


def test_json_is_one_object_on_stdout_with_all_keys_and_nothing_else(finished):
    assert finished.returncode == 0
    result = json.loads(finished.stdout)
    assert result.keys() >= RESULT
    callers = {"student", "buy_and_hold", "persistence", "majority", "random", "oracle"}
    assert result["scores"].keys() == callers
    assert all(scores.keys() >= SCORES for scores in result["scores"].values())
    assert result["digests"].keys() == {"forecasts", "orders", "fills", "equity"}
    assert (result["simulated"], len(result["symbols"]), result["trials"]) == (True, 3, 1)
    assert result["forecasts"] + result["abstentions"] == result["bars"] - 3 * 5


def test_stderr_has_only_progress(finished):
    stages = {line.split()[0] for line in finished.stderr.splitlines()}
    assert stages == {"forecasting", "trading"}


def test_nothing_is_written_outside_the_data_folder_and_out(place, finished):
    assert list((place / "home").iterdir()) == []
    assert {path.name for path in place.iterdir()} == {"home", "small.toml", "data", "out"}
    assert {path.name for path in (place / "data").iterdir()} == {
        *("runs", "ledger.sqlite", "ledger.key", "trials.jsonl")
    }
    assert json.loads((place / "out" / "result.json").read_text()) == json.loads(finished.stdout)


def test_the_table_of_a_run_fits_a_terminal_of_80_columns_and_says_simulated(place, finished):
    name = json.loads(finished.stdout)["run"]
    for command in (["runs", name], ["runs"], ["doctor"], ["--help"], ["backtest", "--help"]):
        extra = [] if "--help" in command else ["--data-dir", str(place / "data")]
        shown = in_a_terminal([*command, *extra], columns=80)
        assert max(map(len, shown)) <= 80, command
        assert ("SIMULATED" in shown[0].upper()) == (command == ["runs", name])


def read_from(screen):
    """What a terminal shows next; nothing once its last writer has closed it."""
    try:
        return os.read(screen, 4096)
    except OSError as error:
        assert error.errno == errno.EIO
        return b""


def in_a_terminal(arguments, columns):
    """The lines that the command shows in a terminal so wide, without paths, which are not broken."""
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    environment["TERM"] = "dumb"
    with started([CLOSECALL, *arguments], stdout=terminal, stderr=terminal, env=environment) as running:
        os.close(terminal)
        shown = b""
        while some := read_from(screen):
            shown += some
        os.close(screen)
        assert running.wait(timeout=60) in (0, 4)
    return [line for line in shown.decode().splitlines() if "/" not in line]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--symbols", "{0},{2}"], [0, 2]),
        (["--symbols", "{2}", "{0}"], [0, 2]),
        (["--symbols", "{1}", "--symbols", "{0},"], [0, 1]),
        (["--symbols={1}", "{2}", "--seed", "7"], [1, 2]),
    ],
)
def test_symbols_come_with_commas_with_spaces_and_repeated(closecall, finished, small, flags, expected):
    symbols = json.loads(finished.stdout)["symbols"]
    flags = [flag.format(*symbols) for flag in flags]
    result = json.loads(closecall("backtest", "--config", small, *flags, "--json").out)
    assert result["symbols"] == [symbols[i] for i in expected]
    assert result["asked"] == 0


def test_bars_take_several_words_and_news_on_what_is_not_traded_is_counted(closecall, tmp_path):
    one, two = write_bars(tmp_path, "BTC-USD", "ETH-USD")
    row = "2024-01-0{}T10:00:00Z,wire,{},Headline {},"
    subjects = ("BTC-USD", "DOGE-USD", "ETH-USD", "SOL-USD")
    news = write_news(tmp_path, *(row.format(n, s, n) for n, s in enumerate(subjects, start=3)))
    said = closecall("backtest", "--bars", one, two, "--news", news)
    assert said.out.startswith("Backtest  2024-01-01 to 2024-01-12  student tiny")
    assert "2 symbols: BTC-USD, ETH-USD" in said.out
    assert re.search(r"\n24 bars in [\d.,]+ s, 2 news items, 14 forecasts", said.out)
    assert "trading bars 120/120" in said.err
    assert "reading" not in said.err  # it took no time, and an error would stand alone
    assert (
        "2 news items of these days skipped: on symbols that are not traded. Most frequent: DOGE-USD (1), "
        "SOL-USD (1);" in (" ".join(said.out.split()))
    )
    assert "SIMULATED" not in said.out


def test_news_of_other_days_is_counted_neither_as_read_nor_as_skipped(closecall, tmp_path):
    (bars,) = write_bars(tmp_path, "BTC-USD")
    row = "2024-01-{:02}T10:00:00Z,wire,{},Headline {},"
    items = [(day, symbol) for day in (2, 5, 9) for symbol in ("BTC-USD", "DOGE-USD")]
    news = write_news(tmp_path, *(row.format(day, symbol, day) for day, symbol in items))
    shown = " ".join(
        closecall("backtest", "--bars", bars, "--news", news, "--start", "2024-01-07").out.split()
    )
    assert re.search(r"bars in [\d.]+ s, 1 news item, ", shown)
    assert (
        "1 news item of these days skipped: on symbols that are not traded. Most frequent: DOGE-USD (1)"
        in shown
    )
    assert "Few days: over 6 days luck alone moves an annual Sharpe ratio by ±15.3 (95%)" in shown


def test_runs_are_listed_newest_first_and_shown_again_by_name(closecall, finished):
    result = json.loads(finished.stdout)
    listed = json.loads(closecall("runs", "--json").out)["runs"]
    assert [one["run"] for one in listed] == sorted((one["run"] for one in listed), reverse=True)
    assert listed[-1]["result"] == result
    assert json.loads(closecall("runs", result["run"], "--json").out) == listed[-1]
    assert result["run"] in closecall("runs").out
    assert "SIMULATED market" in closecall("runs", result["run"]).out


def test_a_run_that_is_not_there_is_named_with_the_nearest_one(closecall, finished):
    name = json.loads(finished.stdout)["run"]
    said = closecall("runs", f"{name}x", code=2)
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    assert f"did you mean {name}?" in said.err
    assert "list them with: closecall runs --data-dir" in closecall("runs", "../../etc", code=2).err


def test_an_empty_data_folder_says_which_command_makes_a_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CLOSECALL_DATA_DIR", str(tmp_path / "none"))
    assert run(["runs"]) == 0
    assert capsys.readouterr().out == f"No runs in {tmp_path / 'none'}. Make one: closecall backtest\n"
    assert not (tmp_path / "none").exists()


def test_the_flag_for_the_data_folder_wins_over_the_environment(place, finished, capsys, monkeypatch):
    monkeypatch.setenv("CLOSECALL_DATA_DIR", "/nowhere")
    assert run(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data_dir"] == "/nowhere"
    assert run(["doctor", "--json", "--data-dir", str(place / "data")]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] >= 1


def test_doctor_finds_all_well_here_and_says_so(closecall):
    found = json.loads(closecall("doctor", "--json").out)
    assert found["problems"] == []
    assert found["student"]["state"] == "ready"
    assert None not in found["packages"].values()
    said = closecall("doctor").out
    assert said.endswith("all well\n")
    assert f"device     {found['device']}" in said


def test_doctor_names_a_data_folder_that_cannot_be_used(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(["doctor", "--data-dir", str(tmp_path / "file" / "data")]) == 4
    assert f"problem    {tmp_path / 'file'} cannot be written" in capsys.readouterr().out
