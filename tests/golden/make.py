"""Make the golden files: data on disk as one version of closecall wrote it, for later versions to read.

Run it from the root of a checkout whose `closecall` command is installed beside the interpreter. It takes
a few minutes and needs ../shared/data:

    python -m tests.golden.make

`v1` is what version 0.1.0 wrote and is never written by a later version: a new format gets a new folder. In
it, `files` has made-up bars, news and rates with the configurations, and `data` is a data folder. All
commands run inside the golden folder, so that every path in the data is relative. `expected.json` says what
the commands answered when the data were made.

The product is driven through its command line. The exception is `promote_in_the_past`, the only function that
imports it.
"""

import contextlib
import json
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.golden.commands import DATA, HERE, VERSION, answer, closecall, kinds, running, wait_for
from tests.golden.shown import expected

FIRST, LAST = date(2024, 1, 2), date(2024, 4, 3)
CLOSED = {
    "XNYS": ["2024-01-15", "2024-02-19", "2024-03-29"],
    "XSHG": [f"2024-02-{day:02}" for day in (9, 12, 13, 14, 15, 16)],
}
SYMBOLS = {"AUX-USD": (240.0, None), "BRNT": (52.0, "XNYS"), "600901": (11.0, "XSHG")}
HEADLINES = {
    "AUX-USD": ("Aux network upgrade goes live", "Aux falls as exchange halts withdrawals"),
    "BRNT": ("Brent & Sons raises its outlook", "Brent & Sons misses estimates, shares slide"),
    "600901": ("江汉股份 净利润大幅增长", "江汉股份 收到监管问询函"),
    "": ("Central bank leaves rates unchanged", "Markets drop on inflation fears"),
}
WALKFORWARD = ("--config", "files/walkforward.toml", "--method", "grpo", "--no-compare", "--steps", "1")
WINDOWS = ("--train-days", "30", "--test-days", "15")
LEFT_OUT = ("lock", "session.lock", "supervisor.lock", "session.log", "background.log", "turn.sqlite")


def days(calendar: str | None) -> list[date]:
    """The sessions of the made-up files: all days of a coin, else the open days of a calendar."""
    every = [FIRST + timedelta(days=number) for number in range((LAST - FIRST).days + 1)]
    if calendar is None:
        return every
    return [day for day in every if day.weekday() < 5 and str(day) not in CLOSED[calendar]]


def write_files(folder: Path) -> None:
    """Write the bars, news, rates and configurations."""
    draw = random.Random(20240102)
    bars = folder / "bars"
    bars.mkdir(parents=True)
    for symbol, (price, calendar) in SYMBOLS.items():
        lines = ["date,open,high,low,close,volume"]
        for day in days(calendar):
            opened = price * (1 + draw.gauss(0, 0.004))
            price = opened * (1 + max(-0.05, min(0.05, draw.gauss(0.0005, 0.015))))
            high, low = max(opened, price) * 1.004, min(opened, price) * 0.996
            prices = ",".join(f"{one:.2f}" for one in (opened, high, low, price))
            lines.append(f"{day},{prices},{draw.randrange(10, 900) * 100}")
        write(bars / f"{symbol}.csv", lines)
    write(folder / "news" / "headlines.csv", news_lines(draw))
    rates = [f"{day},{0.139 + 0.0001 * (number % 5)}" for number, day in enumerate(days(None))]
    write(folder / "CNYUSD.csv", ["date,close", "2023-12-29,0.14", *rates])
    for name, text in CONFIGURATIONS.items():
        write(folder / name, [text.strip()])


def news_lines(draw: random.Random) -> list[str]:
    """A header and headlines of every precision, with and without a zone and a symbol."""
    lines = ["published_at,precision,source,symbols,title,text"]
    for day in days(None)[1:-1]:
        symbol = draw.choice(sorted(HEADLINES))
        title = draw.choice(HEADLINES[symbol])
        hour = draw.randrange(0, 24)
        at = {
            "second": f"{day}T{hour:02}:15:30Z",
            "minute": f"{day}T{hour:02}:15:00",
            "hour": f"{day}T{hour:02}:00:00+08:00",
            "day": f"{day}T00:00:00Z",
        }
        precision = draw.choice(sorted(at))
        lines.append(f'{at[precision]},{precision},wire,{symbol},"{title}","{title} ({day})."')
    return lines


def write(path: Path, lines: Sequence[str]) -> None:
    """Write lines as UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


FILES = """
bars = ["bars"]
news = ["news"]
rates_files = ["CNYUSD.csv"]
base = "USD"
start = 2024-02-01
"""
SCRIPT = """
[[paper.script]]
at = {year}-{month}-06T03:00:00Z
do = "pause"
text = "lunch"

[[paper.script]]
at = {year}-{month}-08T03:00:00Z
do = "resume"

[[paper.script]]
at = {year}-{month}-09T01:00:00Z
do = "quote"
symbol = "{coin}"
value = {price}

[[paper.script]]
at = {year}-{month}-10T01:00:00Z
do = "reduce"

[[paper.script]]
at = {year}-{month}-12T01:00:00Z
do = "resume"

[[paper.script]]
at = {year}-{month}-13T00:00:00Z
do = "split"
symbol = "{stock}"
value = 2.0

[[paper.script]]
at = {year}-{month}-15T00:00:00Z
do = "dividend"
symbol = "{stock}"
value = 0.25

[[paper.script]]
at = {year}-{month}-16T02:00:00Z
do = "gap"
symbol = "{coin}"

[[paper.script]]
at = {year}-{month}-17T08:00:00Z
do = "halt"
text = "what if I am away?"

[[paper.script]]
at = {year}-{month}-18T08:00:00Z
do = "resume"

[[paper.script]]
at = {year}-{month}-22T12:00:00Z
do = "flatten"

[[paper.script]]
at = {year}-{month}-24T12:00:00Z
do = "resume"
"""
RISK = """
[risk]
symbol_exposure = 0.5
daily_loss = 0.08
"""
TAUGHT = """
seed = 12
[market]
coins = 3
stocks = 1
days = 66
[paper]
retrain = "monthly"
method = "grpo"
train_days = 40
test_days = 20
steps = 1
"""
CONFIGURATIONS = {
    "simulated.toml": "seed = 11\nallow_short = true\n[market]\ncoins = 2\nstocks = 1\ndays = 60\n",
    "files.toml": FILES,
    "session.toml": FILES
    + RISK
    + SCRIPT.format(year=2024, month="02", coin="AUX-USD", stock="BRNT", price=245.0),
    "taught.toml": TAUGHT + SCRIPT.format(year=2023, month="01", coin="ELV", stock="FARW", price=80.0),
    "walkforward.toml": "seed = 31\n[market]\ncoins = 3\nstocks = 0\ndays = 66\nreversal = 2023-01-02\n",
    "lessons.toml": "seed = 31\n[market]\ncoins = 3\nstocks = 0\ndays = 60\nreversal = 2023-01-02\n",
    "more-lessons.toml": "seed = 31\n[market]\ncoins = 3\nstocks = 0\ndays = 90\nreversal = 2023-01-02\n",
    "champion.toml": "seed = 13\nchampion = true\n[market]\ncoins = 2\nstocks = 0\ndays = 40\n",
    "fetched.toml": 'store = ["ccxt:binance"]\n',
    "store.toml": 'store = ["file"]\nsymbols = ["AUX-USD", "BRNT"]\nstart = 2024-02-15\n',
}
"""The configurations in `files`."""


def make_data(root: Path) -> None:
    """Write a whole golden folder; `root` must be empty."""
    write_files(root / "files")
    make_models(root)
    make_runs(root)
    make_walkforwards(root)
    make_sessions(root)
    make_store(root)
    make_collection(root)
    leave_out(root / DATA)
    settle(root / DATA)


def make_models(root: Path) -> None:
    """Fill the registry: two adapters, a gate over the first, the second promoted by hand."""
    said: dict[str, Any] = {}
    for name in ("lessons", "more-lessons"):
        answer("backtest", "--config", f"files/{name}.toml", "--data-dir", DATA, cwd=root)
        said = answer(
            *("retrain", "--method", "grpo", "--steps", "1", "--train-days", "30", "--test-days", "20"),
            *("--data-dir", DATA),
            cwd=root,
        )
        time.sleep(1.1)  # runs are named after the second
    if not said["gated"]:
        raise RuntimeError("no gate was held")
    promote = ("models", "promote", said["trained"]["adapter"], "--reason", "to be read later")
    answer(*promote, "--data-dir", DATA, cwd=root)


def make_runs(root: Path) -> None:
    """Make a simulated run, one on files with rates, and one in which the champion answers."""
    for name in ("simulated", "files", "champion"):
        answer("backtest", "--config", f"files/{name}.toml", "--data-dir", DATA, cwd=root)


def make_walkforwards(root: Path) -> None:
    """Make a walk-forward, and another one that was killed after its first fold was trained."""
    words = ("walkforward", *WALKFORWARD, *WINDOWS, "--data-dir", DATA)
    made = answer(*words, cwd=root)
    with running(*words, cwd=root) as process:

        def trained() -> bool:
            others = (root / DATA / "runs").glob("*/journal.sqlite")
            begun = [kinds(one) for one in others if one.parent.name != made["run"]]
            return any("fold_trained" in one and "run_finished" not in one for one in begun)

        wait_for(trained, process)
        process.kill()
    promoted = answer("runs", made["run"], "--data-dir", DATA, cwd=root)
    if promoted["state"] != "finished":
        raise RuntimeError("the walk-forward did not finish")


def make_sessions(root: Path) -> None:
    """Make a session over files, the same one stopped midway, and one that retrains and adopts an adapter."""
    words = ("paper", "start", "--replay", "--data-dir", DATA, "--config")
    closecall(*words, "files/session.toml", "--name", "whole", cwd=root)
    stopped(root, "halved", (*words, "files/session.toml"), lambda seen: seen.get("progress", 0) >= 60)
    stopped(root, "taught", (*words, "files/taught.toml"), lambda seen: "retrained" in seen)
    promote_in_the_past(root, "taught", datetime(2023, 2, 14, tzinfo=UTC))
    closecall("paper", "start", "--name", "taught", "--data-dir", DATA, cwd=root)
    if "adopted" not in kinds(root / DATA / "sessions" / "taught" / "journal.sqlite"):
        raise RuntimeError("the session adopted no adapter")


def stopped(root: Path, name: str, words: Sequence[object], when: Callable[[dict[str, int]], bool]) -> None:
    """Begin a session and stop it once the kinds of its journal are so."""
    journal = root / DATA / "sessions" / name / "journal.sqlite"
    with running(*words, "--name", name, "--speed", "432000", cwd=root) as process:
        wait_for(lambda: when(kinds(journal)), process)
        closecall("paper", "stop", name, "--data-dir", DATA, cwd=root)
        process.wait(timeout=60)
    if "session_finished" in kinds(journal):
        raise RuntimeError(f"session {name} was not stopped in time")


def promote_in_the_past(root: Path, session: str, at: datetime) -> None:
    """Promote the one adapter in a replay's own registry at a simulated instant, which no command can."""
    from llm.registry.registry import Registry

    with Registry.open(root / DATA / "sessions" / session / "learning") as registry:
        (adapter,) = registry.adapters()
        registry.promote(adapter.name, at=at, by="user", reason="to be adopted")


def make_store(root: Path) -> None:
    """Import the made-up bars, and fetch bars and news from servers on loopback."""
    words = ("fetch", "bars", "--source", "file", "--bars", "files/bars", "--adjustment", "split")
    closecall(*words, "--data-dir", DATA, cwd=root)
    with loopback() as (exchange, feed):
        url = ("--url", f"ccxt:binance={exchange}")
        words = ("fetch", "bars", "--source", "ccxt:binance=BTC/USDT,ETH/USDT", "--since", str(since()))
        closecall(*words, *url, "--data-dir", DATA, cwd=root)
        closecall("fetch", "news", "--feed", feed, "--articles", "0", "--data-dir", DATA, cwd=root)


def make_collection(root: Path) -> None:
    """Collect from servers on loopback until there is a slice, a price and a news item."""
    with loopback() as (exchange, feed):
        words = ("collect", "--source", "ccxt:binance=BTC/USDT,ETH/USDT", "--feed", feed)
        with running(*words, "--url", f"ccxt:binance={exchange}", "--data-dir", DATA, cwd=root) as process:
            journal = root / DATA / "collections" / "live" / "journal.sqlite"
            wait_for(lambda: {"slice", "quote", "news"} <= kinds(journal).keys(), process)


def since() -> date:
    """The first day that the exchange on loopback has."""
    return datetime.now(UTC).date() - timedelta(days=40)


@contextlib.contextmanager
def loopback() -> Iterator[tuple[str, str]]:
    """An exchange and a news feed on loopback: their addresses. Needs the wire samples of ../shared/data."""
    from tests.support.servers.bars_on_disk import daily
    from tests.support.servers.binance import BinanceServer
    from tests.support.servers.news import news_site, page

    now = datetime.now(UTC)
    rows = {name: daily(40, now.date()) for name in ("BTCUSDT", "ETHUSDT")}
    items = "".join(
        f"<item><title>{title}</title><guid>{number}</guid><description>{title}.</description>"
        f"<pubDate>{now - timedelta(hours=number + 1):%a, %d %b %Y %H:%M:%S GMT}</pubDate></item>"
        for number, title in enumerate(("Bitcoin rises after ruling", "Ethereum upgrade is delayed"))
    )
    feed = f'<rss version="2.0"><channel><title>Wire</title>{items}</channel></rss>'
    with (
        BinanceServer(rows, int(now.timestamp() * 1000)) as exchange,
        news_site({"/rss": page(feed)}) as site,
    ):
        yield exchange.url, site.url("/rss")


def leave_out(data: Path) -> None:
    """Remove locks, logs and half-written things."""
    for path in sorted(data.rglob("*")):
        if path.name in LEFT_OUT:
            path.unlink()


def settle(data: Path) -> None:
    """Put everything in the write-ahead logs into the databases, and make these as small as they can be."""
    for path in sorted(data.rglob("*.sqlite")):
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for ending in ("-wal", "-shm"):
            Path(f"{path}{ending}").unlink(missing_ok=True)


def write_data() -> None:
    """Make the golden folder anew, under a neutral path, and put it in place."""
    root = Path(tempfile.gettempdir()) / "closecall-golden"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    make_data(root)
    (root / "expected.json").write_text(
        json.dumps(expected(root), indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
    )
    shutil.rmtree(HERE / VERSION, ignore_errors=True)
    shutil.copytree(root, HERE / VERSION)
    shutil.rmtree(root)


if __name__ == "__main__":
    write_data()
