"""A forecast and what came of it in a word and a sign, so that colour never says it alone."""

from tui.dash.call_views import CallView


def arrow(direction: str | None) -> str:
    """▲ up, ▼ down."""
    return {"up": "▲ up", "down": "▼ dn"}.get(direction or "", "·")


def verdict(call: CallView) -> str:
    """Hit, miss, tie or still open."""
    if call.direction is None:
        return ""
    if call.hit is None:
        return "= tie" if call.tie else "… open"
    return "✓ hit" if call.hit else "✗ miss"
