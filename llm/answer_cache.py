"""Cache raw answers under the digest of everything that decides them: weights, adapter, prompt, decoding.

A run whose answers are all cached does not load the model.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.errors import JournalError

_BATCH_SIZE = 500


def answer_digest(fingerprint: str, prompt: str) -> str:
    """Return the SHA-256, in hex, of a student's fingerprint and a prompt."""
    return hashlib.sha256(f"{fingerprint}\n{prompt}".encode()).hexdigest()


class AnswerCache:
    """Raw answers by digest in one SQLite file. Rows are only ever added; the first answer stays."""

    def __init__(self, path: Path) -> None:
        import sqlalchemy as sa

        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.pool.NullPool)
        self._answers = sa.Table(
            "answers",
            sa.MetaData(),
            sa.Column("digest", sa.String(64), primary_key=True),
            sa.Column("fingerprint", sa.String(64), nullable=False),
            sa.Column("prompt", sa.Text, nullable=False),
            sa.Column("answer", sa.Text, nullable=False),
        )
        try:
            self._answers.metadata.create_all(self._engine)
        except sa.exc.DatabaseError as error:
            raise self._cache_error(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.dispose()

    def get_many(self, digests: Sequence[str]) -> dict[str, str]:
        """Return the stored answers by digest, without those digests that have none."""
        with self.open_reader() as get_many:
            return get_many(digests)

    @contextmanager
    def open_reader(self) -> Iterator[Callable[[Sequence[str]], dict[str, str]]]:
        """Return `get_many` over one connection, for many small queries."""
        import sqlalchemy as sa

        columns = self._answers.c
        try:
            with self._engine.connect() as connection:

                def get_many(digests: Sequence[str]) -> dict[str, str]:
                    answers: dict[str, str] = {}
                    for first in range(0, len(digests), _BATCH_SIZE):
                        some = digests[first : first + _BATCH_SIZE]
                        query = sa.select(columns.digest, columns.answer).where(columns.digest.in_(some))
                        answers.update((row.digest, row.answer) for row in connection.execute(query))
                    return answers

                yield get_many
        except sa.exc.DatabaseError as error:
            raise self._cache_error(error) from error

    def put_many(self, fingerprint: str, answers: Iterable[Mapping[str, str]]) -> None:
        """Add rows of digest, prompt and answer in one transaction; stored digests keep their rows."""
        import sqlalchemy as sa
        from sqlalchemy.dialects.sqlite import insert

        rows = [{**row, "fingerprint": fingerprint} for row in answers]
        if not rows:
            return
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(self._answers).on_conflict_do_nothing(), rows)
        except sa.exc.DatabaseError as error:
            raise self._cache_error(error) from error

    def _cache_error(self, error: Exception) -> JournalError:
        reason = str(getattr(error, "orig", error))
        return JournalError(
            f"{self._path}: the ledger cannot be used ({reason}); move the file away and run again"
        )
