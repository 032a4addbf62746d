"""A journal's state in a few words, and what to do about it."""

from datetime import datetime, timedelta

from strategies.monitor.catalog import JournalType
from strategies.monitor.views import CallView, JournalView, PositionView
from tui.dashboard.view_state import ViewState
from tui.formatting import format_datetime, format_duration

STALE = timedelta(hours=6)
"""From this age on a price is stale, where a session's limits do not say otherwise."""


def state_label(journal: JournalView) -> str:
    """One word or two: what it does."""
    if journal.trouble:
        return "unreadable"
    if journal.place.type is JournalType.SESSION and journal.state == "running":
        return journal.risk.state or "running"
    return journal.state


def is_good(journal: JournalView) -> bool | None:
    """Whether that is well (True), a trouble (False), or neither."""
    state = state_label(journal)
    if state in ("unreadable", "failed", "no process", "halted", "unfinished"):
        return False
    return True if state in ("active", "running", "finished") else None


def waiting_label(journal: JournalView, now: datetime) -> str:
    """What it waits for, and for how long; or what it does, or why it ended."""
    if journal.trouble:
        since = f" for {format_duration(now - journal.trouble_at)}" if journal.trouble_at else ""
        return f"journal {journal.trouble}{since}; trying again"
    if journal.counted < journal.newest:
        return f"counting the past: {journal.counted / journal.newest:.0%} of {journal.newest:,} events"
    if journal.state in ("running", "unfinished") and journal.training.now:
        return journal.training.now
    if journal.state == "running" and journal.waiting_for:
        until = journal.waiting_until
        left = (
            f", {format_duration(until - now)} left"
            if until and until > now
            else ", overdue"
            if until
            else ""
        )
        return journal.waiting_for + left
    return suggest_remedy(journal)


def suggest_remedy(journal: JournalView) -> str:
    """Return why nothing happens, and the command that helps."""
    name = journal.place.name
    if journal.state in ("no process", "stopped") and journal.place.type is JournalType.SESSION:
        why = journal.reason if journal.state == "stopped" and journal.reason else "no process has it open"
        return f"{why}; go on with: closecall paper start --name {name}"
    if journal.state == "unfinished":
        again = "closecall walkforward" if "walk-forward" in journal.title else "closecall backtest"
        return f"killed, or never ended; start again with: {again}"
    if journal.state == "failed":
        return f"failed: {journal.reason}"
    if journal.reason:
        return journal.reason
    if journal.done is not None:
        return f"{'trading' if journal.calls else 'forecasting'}, {journal.done:.0%} of its closes"
    if journal.state != "running":
        return ""
    if journal.risk.state == "halted":
        return "no orders until a person resumes it: R"
    if journal.place.type is JournalType.RUN:
        return "forecasting"
    return f"reached {format_datetime(journal.reached)} UTC" if journal.reached else ""


def is_stale(state: ViewState, journal: JournalView, position: PositionView) -> bool:
    """Whether a position's price is older than the limits of its session allow."""
    age = state.age(journal, position.price_at)
    limit = journal.risk.limits.get("stale_after")
    most = timedelta(seconds=limit) if isinstance(limit, int | float) else STALE
    # Daily bars: only a session knows its calendars, and its risk state says when a price is overdue.
    return age is not None and age > max(most, timedelta(hours=24))


def arrow(direction: str | None) -> str:
    """▲ up, ▼ down."""
    return {"up": "▲ up", "down": "▼ dn"}.get(direction or "", "·")


def verdict_label(call: CallView) -> str:
    """Hit, miss, tie or still open."""
    if call.direction is None:
        return ""
    if call.hit is None:
        return "= tie" if call.tie else "… open"
    return "✓ hit" if call.hit else "✗ miss"
