"""What `paper status` and the dashboard show of a session between two closes."""

import pytest

from engine.journal.journal import Journal
from strategies.console import utc_now
from strategies.monitor import status
from strategies.monitor.follower import JournalFollower
from strategies.paper.files import session_folder
from strategies.runs import JOURNAL
from tests.support.paper_sessions import NAME, STOCK, copy_rows, full_script, in_memory, read_rows, replay


@pytest.fixture(scope="module")
def live_like():
    """A folder with a session whose inputs were journaled one by one, as live ones are."""
    for folder in in_memory():
        replay(folder, full_script(), ahead=1)
        yield folder


def cut_after(rows, seq, folder):
    """A folder with a session whose journal ends with that event."""
    home = session_folder(folder, NAME)
    home.mkdir(parents=True)
    with Journal.open(home / JOURNAL, NAME, create=True) as journal:
        copy_rows(rows[:seq], journal, lambda _row, _payload: None)


@pytest.mark.parametrize("recent", [3000, 60])
def test_status_and_dashboard_show_what_was_filled_since_the_last_close(
    live_like, tmp_path, monkeypatch, recent
):
    monkeypatch.setattr(status, "RECENT", recent)
    rows = read_rows(live_like)
    fill = next(row for row in rows if row.kind == "fill" and row.payload["symbol"] == STOCK)
    cut_after(rows, fill.seq, tmp_path)
    shown = status.read_status(tmp_path, NAME, utc_now())
    held = {}
    for row in rows[: fill.seq]:
        if row.kind == "fill":
            held[row.payload["symbol"]] = held.get(row.payload["symbol"], 0.0) + row.payload["size"]
    assert {each["symbol"]: each["size"] for each in shown["positions"]} == pytest.approx(
        {symbol: size for symbol, size in held.items() if abs(size) > 1e-9}
    )
    next_mark = next(row for row in rows[fill.seq :] if row.kind == "mark")
    assert shown["cash"] == pytest.approx(next_mark.payload["cash"])
    (view,) = JournalFollower(tmp_path, utc_now).read_all().journals
    assert [(each.symbol, each.size, each.price) for each in view.positions if each.size] == [
        (each["symbol"], each["size"], each["price"]) for each in shown["positions"]
    ]
    assert (view.money.value, view.money.cash) == (shown["equity"], shown["cash"])
    assert {each.symbol: each.waiting for each in view.positions if each.waiting} == shown["orders"]
