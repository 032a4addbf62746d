"""Documents the public door in the reference once there is one, and its parts until then."""

from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MARKER = "<!-- public door -->"
PARTS = ("engine.model", "engine.trading.strategy", "strategies.backtest", "strategies.config")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the marker by `::: closecall`, or by the modules of its parts while that file is missing."""
    if MARKER not in markdown:
        return markdown
    names = ("closecall",) if (ROOT / "closecall.py").is_file() else PARTS
    return markdown.replace(MARKER, "\n\n".join(f"::: {name}" for name in names))
