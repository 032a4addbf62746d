"""What takes time, done by other threads; their answers come back to the screen's loop. Knows no screen."""

import threading
from collections.abc import Callable

from tui.dash.acting import Deed, Done, carried_out
from tui.dash.call_views import CallView
from tui.dash.journal_file import Seen
from tui.dash.lines import journal_line
from tui.dash.reading import Reader
from tui.dash.reckoning import Rewards, reckon, reward_in
from tui.dash.sight import Search
from tui.dash.views import JournalView

_MOST_FOUND = 300


class Errands:
    """Runs errands; `later` brings a function and its values to the screen's loop from any thread."""

    def __init__(self, reader: Reader, later: Callable[..., None]) -> None:
        self._reader = reader
        self._later = later
        self._searching = threading.Event()
        self._reckoning = threading.Lock()
        self._rewards: tuple[str, int, Rewards] = ("", 0, {})

    def event(self, key: str, seq: int, answer: Callable[[Seen | None], None]) -> None:
        """Fetch one event whole."""
        self._reader.fetch(key, seq, lambda row: self._later(answer, row))

    def search(self, key: str, text: str, kind: str, answer: Callable[[Search], None]) -> None:
        """Look through a whole journal; what was found so far is told again and again."""
        self.stop_search()

        def found(rows: list[Seen], reached: int, ended: bool) -> None:  # noqa: FBT001  # of `Reader.search`
            lines = tuple(journal_line(row) for row in rows)
            self._later(answer, Search(text=text, kind=kind, rows=lines, reached=reached, ended=ended))

        self._searching = self._reader.search(key, kind, text, _MOST_FOUND, found)

    def stop_search(self) -> None:
        """Look no further."""
        self._searching.set()

    def reward(
        self, journal: JournalView, call: CallView, answer: Callable[[int, dict[str, object]], None]
    ) -> None:
        """Reckon what a call was worth; the rewards of one run are reckoned once."""

        def work() -> None:
            with self._reckoning:
                if self._rewards[:2] != (journal.place.key, journal.newest):
                    self._rewards = journal.place.key, journal.newest, reckon(journal)
                found = reward_in(self._rewards[2], call)
            self._later(answer, call.seq, found)

        _in_thread(work)

    def carry_out(self, planned: Deed, why: str, answer: Callable[[str, Done], None]) -> None:
        """Do what was confirmed; for what goes on by itself, tell its end too."""

        def work() -> None:
            done = carried_out(planned, why)
            self._later(answer, planned.name, done)
            if done.after is not None:
                self._later(answer, planned.name, Done(said=done.after()))

        _in_thread(work)


def _in_thread(work: Callable[[], None]) -> None:
    """In a thread that does not keep the program alive."""
    threading.Thread(target=work, daemon=True).start()
