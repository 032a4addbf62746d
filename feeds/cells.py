"""What the text of one cell says: a moment, a number. Knows no column and no file, and raises nothing."""

import re
from datetime import datetime

_CLOCK = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
_STAMP = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(?:[T ]{_CLOCK}(?:Z|[+-][0-9]{{2}}:[0-9]{{2}})?)?")


def stamp_of(text: str) -> datetime | None:
    """A date or a time as it is written, naive where no zone stands beside it; None if it is neither.

    A date alone is its midnight. Written as YYYY-MM-DD, or YYYY-MM-DDTHH:MM with what may follow.
    """
    if not _STAMP.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def number_of(text: str) -> float | None:
    """A number, which may be infinite or not a number ("nan"); None for anything else."""
    try:
        return float(text)
    except ValueError:
        return None
