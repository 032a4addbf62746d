"""What files, their names and the configuration say of the market: read, or refused with what to do."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

import closecall as cc
from engine.calendars import load_calendar
from strategies.config import BacktestConfig
from strategies.config_file import load_config
from strategies.instrument_settings import build_instruments, find_unused_names
from strategies.market import history_start
from tests.support.places import SHARED_CASES, needs_shared_cases
from tests.support.tables_on_disk import BAR_HEADER, bar_lines, write_bars, write_lines, write_news
from tui.cli.main import run


def write_dated(path, offset, days=40):
    """A bar file whose days have an offset from UTC beside them."""
    header, *rows = bar_lines(days)
    return write_lines(path, [header, *(f"{row[:10]} 00:00:00{offset}{row[10:]}" for row in rows)])


@pytest.mark.parametrize(
    ("offset", "opens_at"),
    [("+08:00", "2023-12-31T16"), ("-05:00", "2024-01-01T05"), ("Z", "2024-01-01T00"), ("", "2024-01-01T00")],
)
def test_a_coins_day_begins_at_the_midnight_that_its_file_states(tmp_path, offset, opens_at):
    data = cc.MarketData.from_files(write_dated(tmp_path / "BTCUSDT.csv", offset))
    assert data.bars["BTCUSDT"][0].opens_at == datetime.fromisoformat(f"{opens_at}:00:00Z")
    assert any("begin at midnight of" in note for note in data.notes) == (offset in ("+08:00", "-05:00"))


def test_a_coins_days_that_begin_at_several_hours_are_refused(tmp_path):
    header, *rows = bar_lines(40)
    dated = [f"{row[:10]} 00:00:00{'-05:00' if n < 20 else '-04:00'}{row[10:]}" for n, row in enumerate(rows)]
    path = write_lines(tmp_path / "BTCUSDT.csv", [header, *dated])
    with pytest.raises(cc.DataError, match=r"line 22: .* another offset .* the same hour"):
        cc.MarketData.from_files(path)


@pytest.mark.parametrize(
    ("bar", "range_"),
    [
        ("100,100.99,99,101,5", (101.0, 99.0)),  # a cent, as UNH had it
        ("2500,2520,2501,2510,5", (2520.0, 2500.0)),  # a yen
        ("0.5,0.51,0.5004,0.505,5", (0.51, 0.5)),
        ("100,100.8,99,101,5", None),
        ("0.5,0.51,0.506,0.505,5", None),
    ],
)
def test_an_open_or_close_just_outside_its_range_widens_it_and_is_counted(tmp_path, bar, range_):
    rows = [f"2024-01-{n:02},{bar}{n}" for n in range(1, 13)]
    path = write_lines(tmp_path / "AAA-USD.csv", [BAR_HEADER, *rows])
    if range_ is None:
        with pytest.raises(cc.DataError, match=r"line 2: .* is outside low"):
            cc.MarketData.from_files(path)
        return
    data = cc.MarketData.from_files(path)
    assert {(bar.high, bar.low) for bar in data.bars["AAA-USD"]} == {range_}
    assert data.notes[-1].startswith(
        "AAA-USD: 12 bars from 2024-01-01 with an open or close outside low and high"
    )


TRADED = ("BTCUSDT", "AAPL", "600519", "BRK.B")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("btcusdt", "BTCUSDT"),
        ("BTC", "BTCUSDT"),
        ("bitcoin", "BTCUSDT"),
        ("BTCUSD", "BTCUSDT"),
        ("BTC/USDT", "BTCUSDT"),
        ("APPL", "AAPL"),
        ("600519.SH", "600519"),
        ("BRK-B", '"BRK.B"'),
    ],
)
def test_a_table_for_nearly_a_traded_symbol_is_refused(name, meant):
    instruments = build_instruments(TRADED, BacktestConfig())
    config = BacktestConfig(instruments={name: {"lot": 1.0}})
    with pytest.raises(cc.UsageError, match=rf"matches no symbol; did you mean {meant}\?"):
        find_unused_names(config, instruments, TRADED)


@pytest.mark.parametrize(
    "settings",
    [
        {"instruments": {"ETHUSDT": {"lot": 1.0}}},
        {"instruments": {"BTTUSDT": {"lot": 1.0}}},
        {"instruments": {"AAPLX": {"lot": 1.0}, "AAPL": {"lot": 1.0}}},
        {"instruments": {"600518": {"lot": 1.0}}},
        {"aliases": {"Lithium Mining": ["LMI"]}},
    ],
)
def test_a_name_that_matches_nothing_is_noted(settings):
    instruments = build_instruments(TRADED, BacktestConfig())
    (note,) = find_unused_names(BacktestConfig(**settings), instruments, TRADED)
    assert note.endswith("matches no symbol of this run and has no effect.")


def test_names_that_match_are_not_noted(tmp_path):
    write_bars(tmp_path, *TRADED[:1], "ETHUSDT", days=30)
    data = cc.MarketData.from_files(
        tmp_path,
        symbols=["BTCUSDT"],
        instruments={"BTCUSDT": {"lot": 0.1}, "ETHUSDT": {"lot": 0.1}},
        aliases={"BTC": ["digital gold"], "bitcoin": ["orange coin"], "ETHUSDT": ["vitalik"]},
    )
    assert len(data.notes) == 1
    assert data.notes[0].startswith("Assumed from the symbols")


def test_a_symbol_in_small_letters_is_asked_back(tmp_path):
    write_bars(tmp_path, "BTCUSDT", "ETHUSDT")
    with pytest.raises(cc.UsageError, match=r"no bars of symbol btcusdt; did you mean BTCUSDT\?"):
        cc.MarketData.from_files(tmp_path, symbols=["btcusdt"])


def test_coins_in_two_dollars_run_with_the_constant_that_the_error_asks_for(tmp_path, capsys):
    write_bars(tmp_path / "bars", "XRPUSDT", "DOGE-USD", days=30)
    words = ["backtest", "--bars", str(tmp_path / "bars"), "--data-dir", str(tmp_path / "data"), "--json"]
    assert run(words) == 3
    assert "(--rates USDT=RATE)" in capsys.readouterr().err
    assert run([*words, "--rates", "USDT=1"]) == 0
    assert json.loads(capsys.readouterr().out)["currency"] == "USD"
    with pytest.raises(cc.DataError, match=r'\(rates={"USDT": RATE}\)'):
        cc.MarketData.from_files(tmp_path / "bars")
    assert cc.MarketData.from_files(tmp_path / "bars", rates={"USDT": 1.0}).currency == "USD"


@pytest.mark.parametrize("symbol", ["7203.T", "BRK.B", "^GSPC", "EURUSD=X"])
def test_a_remedy_that_names_a_table_can_be_written_as_it_is(tmp_path, symbol):
    header, *rows = bar_lines(40)
    path = write_lines(tmp_path / f"{symbol}.csv", [header, *rows])
    with pytest.raises(cc.DataError, match=r"under \[") as caught:
        cc.MarketData.from_files(path)
    table = re.search(r"under (\[.*\])", str(caught.value))[1]
    config = write_lines(tmp_path / "a.toml", [table, 'asset_class = "coin"', 'calendar = "24/7"'])
    assert symbol in load_config(config, {}).instruments
    write_lines(config, [f"[instruments.{symbol}]", 'calendar = "24/7"'])
    if "." in symbol:
        with pytest.raises(cc.UsageError, match=rf'write \[instruments."{symbol}"\], with quotes'):
            load_config(config, {})


def test_a_result_is_not_replaced_unless_asked_and_a_folder_is_tried_before_any_work(tmp_path):
    data = cc.MarketData.simulated(seed=8, coins=1, stocks=0, days=40)
    folder = tmp_path / "runs"
    cc.backtest(data, out=tmp_path / "out", folder=folder)
    before = (tmp_path / "out" / "result.json").read_bytes()
    with pytest.raises(cc.UsageError, match=r"out: result\.json is there already; .* overwrite=True$"):
        cc.backtest(data, out=tmp_path / "out", folder=folder)
    assert (tmp_path / "out" / "result.json").read_bytes() == before
    cc.backtest(data, out=tmp_path / "out", folder=folder, overwrite=True)
    assert (tmp_path / "out" / "result.json").read_bytes() != before
    trials = (folder / "trials.jsonl").read_text()
    (tmp_path / "busy" / "fills.csv").mkdir(parents=True)
    for out in (tmp_path / "busy", tmp_path / "out" / "result.json" / "x", Path("/proc/x")):
        with pytest.raises(cc.UsageError, match=r"out= "):
            cc.backtest(data, out=out, folder=folder, overwrite=True)
    assert (folder / "trials.jsonl").read_text() == trials


def test_what_a_symbol_was_taken_for_is_said_unless_it_is_stated(tmp_path):
    for symbol, code in {"AAPL": "XNYS", "SAP.DE": "XETR", "7203.T": "XTKS", "VOD.L": "XLON"}.items():
        sessions = load_calendar(code, date(2024, 1, 1), date(2024, 3, 1))
        rows = [line for line in bar_lines(60)[1:] if sessions.session(date.fromisoformat(line[:10]))]
        write_lines(tmp_path / f"{symbol}.csv", [BAR_HEADER, *rows])
    write_bars(tmp_path, "BTCUSDT", days=60)
    stated = {"AAPL": {"calendar": "XNYS", "currency": "USD"}}
    rates = {"EUR": 1.1, "JPY": 0.007, "GBX": 0.0127, "USDT": 1.0}
    data = cc.MarketData.from_files(tmp_path, instruments=stated, rates=rates)
    note = next(note for note in data.notes if note.startswith("Assumed"))
    for taken in (
        "7203.T: stock, calendar XTKS, JPY",
        "SAP.DE: stock, calendar XETR, EUR",
        "VOD.L: stock, calendar XLON, GBX",
        "BTCUSDT: coin, calendar 24/7, USDT",
    ):
        assert taken in note
    assert "AAPL" not in note
    assert data.bars["SAP.DE"][-1].opens_at.hour == 8


UNKNOWN = {
    "tickers.csv": (
        "name,sector",
        "bars lack the column .*; found 'name', 'sector'; name the columns",
    ),
    "ETHUSDT.csv": ("unix,close_price", "lack the column .*; found 'unix', 'close_price'; name the columns"),
    "SOLUSDT.xlsx": ("PK", r"a spreadsheet, which is not read; open it, .* the type CSV UTF-8 \(.csv\)"),
}


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("role", ["bars", "news"])
def test_a_folders_file_of_another_kind_is_named_and_left_out_only_if_asked(tmp_path, name, role):
    header, complaint = UNKNOWN[name]
    folder = tmp_path / role
    paths = {"bars": tmp_path / "bars", "news": tmp_path / "news"}
    write_bars(paths["bars"], "BTCUSDT", days=20)
    write_news(paths["news"], "2024-01-02T10:00:00Z,Wire,BTC,title,text")
    write_lines(folder / "README.txt", ["Open, high and closed questions about where it came from"])
    assert not any("Left out" in note for note in cc.MarketData.from_files(**paths).notes)
    write_lines(folder / name, [header])
    with pytest.raises(cc.DataError, match=rf"{name}: .*{complaint}.* with skip_unknown_files=True$"):
        cc.MarketData.from_files(**paths)
    data = cc.MarketData.from_files(**paths, skip_unknown_files=True)
    assert len(data.news) == 1
    assert f"Left out because of --skip-unknown-files: {folder / name}: " in data.notes[0]


def test_a_list_of_dividends_is_left_out_with_a_note(tmp_path):
    write_bars(tmp_path, "AAA-USD", days=20)
    path = write_lines(tmp_path / "AAA_dividend.csv", ["exDate,dividCash"])
    note = cc.MarketData.from_files(tmp_path).notes[0]
    assert note == f"{path}: a list of dividends or splits, which are not read from files."


def test_check_data_names_a_folders_files_of_another_kind(tmp_path, capsys):
    write_bars(tmp_path, "BTCUSDT", days=20)
    write_lines(tmp_path / "ETHUSDT.csv", ["unix,close_price"])
    assert run(["check", "data", str(tmp_path)]) == 4
    assert "neither bars nor news" in " ".join(capsys.readouterr().out.split())
    assert run(["check", "data", str(tmp_path), "--skip-unknown-files"]) == 0


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("yfinanse", "did you mean yfinance"),
        ("ccxt:binnance", 'did you mean "ccxt:binance"'),
        ("x", "choose"),
    ],
)
def test_an_address_of_no_source_is_refused(name, hint):
    with pytest.raises(cc.UsageError, match=rf'sources\."{name}"\]: .*{hint}'):
        load_config(None, {"store": ["ccxt:binance"], "sources": {name: {"url": "http://127.0.0.1:1"}}})


@needs_shared_cases
def test_no_bar_of_hong_kongs_days_is_known_before_its_day_has_ended():
    folder = SHARED_CASES / "01-day-zone-ignored"
    data = cc.MarketData.from_files(folder / "hk" / "BTCUSDT.csv", news=folder / "news.csv")
    assert data.bars["BTCUSDT"][0].opens_at == datetime(2023, 1, 1, 16, tzinfo=UTC)
    assert data.bars["BTCUSDT"][0].closes_at == datetime(2023, 1, 2, 16, tzinfo=UTC)


@pytest.mark.parametrize(("published", "is_noted"), [("2021-05-03", True), ("2024-01-05", False)])
def test_news_of_other_days_alone_is_said_to_be_of_other_days(tmp_path, published, is_noted):
    bars = write_bars(tmp_path, "BTCUSDT")
    news = write_news(tmp_path, f"{published}T10:00:00Z,wire,BTC,A headline,A text")
    data = cc.MarketData.from_files(*bars, news=news)
    noted = [note for note in data.notes if note.startswith("No news in these days")]
    assert len(data.news) == (not is_noted)
    assert bool(noted) == is_noted
    if is_noted:
        assert "the 1 item" in noted[0]
        assert "from 2021-05-03 to 2021-05-03" in noted[0]


OWN_STUDENT = """
import closecall as cc

class Patient(cc.Student):
    window = 100

    def answer(self, prompts, on_progress):
        return [cc.format_answer("up", 0.6, 101) for _ in prompts]
"""


@pytest.mark.parametrize(
    ("prompt", "days"),
    [(None, 70), ("full", 70), ("append", 140), ("unknown", 70), ("mine", 140), ("own", 154), ("stated", 9)],
)
def test_bars_are_read_from_as_far_back_as_the_prompt_looks(tmp_path, prompt, days):
    # Neither the student nor its weights are there: only its closecall.json is read, where it has one.
    student = tmp_path / "student"
    if prompt == "mine":
        student.mkdir()
        (student / "closecall.json").write_text('{"prompt": "append"}')
        prompt = None
    if prompt == "own":
        (tmp_path / "own.py").write_text(OWN_STUDENT)
        student, prompt = f"{tmp_path / 'own.py'}:Patient", None
    config = BacktestConfig(
        student=str(student),
        prompt=prompt,
        start=date(2024, 6, 1),
        warm_up_days=days if prompt == "stated" else None,
    )
    assert history_start(config) == date(2024, 6, 1) - timedelta(days=days)


def test_a_library_student_is_warned_of_data_that_begin_too_late_for_its_window(tmp_path):
    names = {}
    exec(compile(OWN_STUDENT, "own.py", "exec"), names)
    patient = names["Patient"]()
    patient.fingerprint = "patient"
    (bars,) = write_bars(tmp_path, "BTC-USD", days=300)
    for more, is_noted in ({}, True), ({"warm_up_days": 154}, False):
        data = cc.MarketData.from_files(bars, start="2024-06-01", **more)
        notes = cc.backtest(data, student=patient).result["notes"]
        assert any("make the data with warm_up_days=154" in note.lower() for note in notes) == is_noted
