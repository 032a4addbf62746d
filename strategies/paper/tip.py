"""How far a journal had come, noted outside of it: events that are cut from its end show against that.

The chain of a journal shows whatever was altered within it, but a journal without its last events is a whole
one. Knows no session. The note follows each commit, so that a journal is never behind it by a crash.
"""

import json
import os
from contextlib import suppress
from pathlib import Path

from engine.errors import JournalError
from engine.journal import Journal

TIP = "journal.tip"
_WIDTH = 240


class Tip:
    """The note beside a journal. One that cannot be read or written counts as none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, journal: Journal) -> None:
        """Note the journal's newest event: in one short write, which a killed process has done or not."""
        seq, chain = journal.tip
        said = json.dumps({"session": journal.session, "seq": seq, "chain": chain}).ljust(_WIDTH)
        with suppress(OSError):  # the disk may be full; the last note stays true
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.write(file, said.encode())
            finally:
                os.close(file)

    def missing(self, journal: Journal) -> int:
        """How many events were noted and are gone from the journal's end, 0 if none are known to be.

        Raises JournalError where the event that was noted is now another one.
        """
        try:
            said = json.loads(self._path.read_text(encoding="utf-8"))
            session, seq, chain = said["session"], int(said["seq"]), str(said["chain"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        if session != journal.session or seq <= 0:
            return 0
        if seq > journal.last_seq:
            return seq - journal.last_seq
        row = next(journal.read(seq - 1), None)
        if row is None or row.chain != chain:
            raise JournalError(
                f"event {seq} of session {session} is not the one that {self._path} notes; restore the "
                "journal from a copy, or remove that file if you have put the journal there yourself"
            )
        return 0
