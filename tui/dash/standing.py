"""Whether a run or session goes on, waits, or has ended, and what it is about. Knows no figure of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tui.dash import told
from tui.dash.journal_file import Seen
from tui.dash.places import Sort

_ENDS = {
    "run_finished": "finished",
    "run_interrupted": "interrupted",
    "run_failed": "failed",
    "session_finished": "finished",
    "session_stopped": "stopped",
}


class Standing:
    """Where a journal's own process stands, as far as its events tell."""

    def __init__(self, sort: Sort) -> None:
        self._sort = sort
        self.state = "begun"
        self.title = self.student = self.currency = self.reason = ""
        self.simulated = self.own_time = False
        self.symbols: tuple[str, ...] = ()
        self.started_at: datetime | None = None
        self.ended_at: datetime | None = None
        self.last_at: datetime | None = None
        self.reached: datetime | None = None
        self.waiting_for = ""
        self.waiting_until: datetime | None = None
        self.result: Mapping[str, Any] = {}

    def take(self, row: Seen) -> None:
        """The next event, of any kind."""
        if self.last_at is None or row.recorded_at > self.last_at:
            self.last_at = row.recorded_at
        if row.kind in ("slice", "mark", "quote"):
            self.reached = max(self.reached or row.as_of, row.as_of)
        if row.kind in _ENDS:
            self._ended(row)
        elif row.kind == "run_started":
            self._run(row)
        elif row.kind == "session_started":
            self._session(row)
        elif row.kind == "session_resumed":
            # One that has finished and is opened again does nothing more.
            self.state = self.state if self.state == "finished" else "begun"
        elif row.kind == "waiting":
            self.waiting_for = told.text(row.payload, "for")
            self.waiting_until = told.moment(row.payload, "until")
        elif row.kind == "walkforward_started":
            self.title = f"walk-forward, {told.text(told.mapping(row.payload, 'settings'), 'method', 12)}"
        elif row.kind == "adopted":
            self.student = told.text(row.payload, "name", 60) or told.text(row.payload, "fingerprint", 12)

    def _ended(self, row: Seen) -> None:
        self.state, self.ended_at = _ENDS[row.kind], row.recorded_at
        self.reason = told.text(row.payload, "reason")
        self.waiting_for, self.waiting_until = "", None
        if row.kind == "run_finished":
            self.result = row.payload
            self.simulated = bool(row.payload.get("simulated"))
            self.currency = told.text(row.payload, "currency", 8)
            self.symbols = tuple(str(one)[:20] for one in told.items(row.payload, "symbols"))

    def _run(self, row: Seen) -> None:
        said = row.payload
        self.started_at = row.recorded_at
        self.student = told.text(said, "student", 60)
        self.simulated = not (said.get("bars") or said.get("store"))
        self.symbols = tuple(str(one)[:20] for one in told.items(said, "symbols"))
        self.title = "backtest"
        self.own_time = True

    def _session(self, row: Seen) -> None:
        said = row.payload
        about = told.mapping(said, "about")
        self.own_time = bool(said.get("simulated"))
        self.started_at = row.recorded_at
        self.student = told.text(said, "student", 60)
        # A replay's time is simulated, and so is its market unless it names real bars.
        self.simulated = str(about.get("replay", "")).startswith("simulated")
        self.title = f"replay of {told.text(about, 'replay', 60)}" if "replay" in about else "paper session"
        self.symbols = tuple(str(one)[:20] for one in told.mapping(said, "instruments"))
        quotes = {
            told.text(one, "quote_currency", 8)
            for one in told.mapping(said, "instruments").values()
            if isinstance(one, dict)
        }
        self.currency = told.text(said, "base", 8) or (quotes.pop() if len(quotes) == 1 else "")
