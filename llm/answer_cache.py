"""Cache raw answers under the digest of everything that decides them: weights, adapter, prompt, decoding.

A run whose answers are all cached does not load the model. Each answer is sealed with a key in a file of its
own beside the cache, so that one edited later is refused.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from engine.errors import JournalError

if TYPE_CHECKING:
    import sqlalchemy as sa

_BATCH_SIZE = 500


class Seal(StrEnum):
    """What an answer's seal says.

    Attributes:
        VERIFIED: It is the answer that was stored.
        UNVERIFIED: It has none, as in files of earlier versions, or one of another key.
        ALTERED: It was edited since it was stored.
    """

    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    ALTERED = "altered"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """A raw answer, and what its seal says."""

    answer: str
    seal: Seal


def answer_digest(fingerprint: str, prompt: str) -> str:
    """Return the SHA-256, in hex, of a student's fingerprint and a prompt."""
    return hashlib.sha256(f"{fingerprint}\n{prompt}".encode()).hexdigest()


class AnswerCache:
    """Raw answers by digest in one SQLite file. Rows are only ever added; the first answer stays."""

    def __init__(self, path: Path) -> None:
        import sqlalchemy as sa

        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._key_path = path.with_suffix(".key")
        self._key = _read_key(self._key_path)
        self._engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.pool.NullPool)
        self._answers = sa.Table(
            "answers",
            sa.MetaData(),
            sa.Column("digest", sa.String(64), primary_key=True),
            sa.Column("fingerprint", sa.String(64), nullable=False),
            sa.Column("prompt", sa.Text, nullable=False),
            sa.Column("answer", sa.Text, nullable=False),
            sa.Column("seal", sa.String(80)),
        )
        try:
            self._answers.metadata.create_all(self._engine)
            self._has_seals = _has_seals(self._engine)
        except sa.exc.DatabaseError as error:
            raise self._cache_error(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.dispose()

    def get_many(self, digests: Sequence[str]) -> dict[str, str]:
        """Return the stored answers by digest, without those digests that have none.

        Raises:
            JournalError: For an answer that was edited since it was stored.
        """
        with self.open_reader() as get_many:
            return get_many(digests)

    @contextmanager
    def open_reader(self) -> Iterator[Callable[[Sequence[str]], dict[str, str]]]:
        """Return `get_many` over one connection, for many small queries."""
        with self._open_inspector() as inspect_many:

            def get_many(digests: Sequence[str]) -> dict[str, str]:
                found = inspect_many(digests)
                self._require_unaltered(found.values())
                return {digest: stored.answer for digest, stored in found.items()}

            yield get_many

    def count_unverified(self, digests: Sequence[str]) -> int:
        """Return how many stored answers cannot be verified, without a seal of this file's key."""
        found = self.inspect_many(digests).values()
        return sum(stored.seal is Seal.UNVERIFIED for stored in found)

    def inspect_many(self, digests: Sequence[str]) -> dict[str, StoredAnswer]:
        """Return the stored answers and what their seals say, by digest."""
        with self._open_inspector() as inspect_many:
            return inspect_many(digests)

    @contextmanager
    def _open_inspector(self) -> Iterator[Callable[[Sequence[str]], dict[str, StoredAnswer]]]:
        import sqlalchemy as sa

        columns = self._answers.c
        try:
            with self._engine.connect() as connection:

                def inspect_many(digests: Sequence[str]) -> dict[str, StoredAnswer]:
                    seal = columns.seal if self._has_seals else sa.null().label("seal")
                    query = sa.select(columns.digest, columns.answer, seal)
                    answers: dict[str, StoredAnswer] = {}
                    for first in range(0, len(digests), _BATCH_SIZE):
                        some = digests[first : first + _BATCH_SIZE]
                        for row in connection.execute(query.where(columns.digest.in_(some))):
                            state = self._check(row.digest, row.answer, row.seal)
                            answers[row.digest] = StoredAnswer(answer=row.answer, seal=state)
                    return answers

                yield inspect_many
        except sa.exc.DatabaseError as error:
            raise self._cache_error(error) from error

    def _require_unaltered(self, answers: Collection[StoredAnswer]) -> None:
        altered = sum(stored.seal is Seal.ALTERED for stored in answers)
        if altered:
            raise JournalError(
                f"{self._path}: {altered:,} of {len(answers):,} answers were edited since they were stored; "
                "restore the file from a copy, or move it away and run again"
            )

    def put_many(self, fingerprint: str, answers: Iterable[Mapping[str, str]]) -> None:
        """Add rows of digest, prompt and answer in one transaction.

        Stored digests keep their rows; one whose answer is the same gets a seal.
        """
        import sqlalchemy as sa
        from sqlalchemy.dialects.sqlite import insert

        if self._key is None:
            self._key = _create_key(self._key_path)
        key = self._key
        rows = [
            {**row, "fingerprint": fingerprint, "seal": _seal(key, row["digest"], row["answer"])}
            for row in answers
        ]
        if not rows:
            return
        added = insert(self._answers)
        same = self._answers.c.answer == added.excluded.answer
        added = added.on_conflict_do_update(set_={"seal": added.excluded.seal}, where=same)
        try:
            self._require_seals()
            with self._engine.begin() as connection:
                connection.execute(added, rows)
        except sa.exc.DatabaseError as error:
            raise self._cache_error(error) from error

    def _check(self, digest: str, answer: str, seal: str | None) -> Seal:
        """Return what a seal says; one of another key proves nothing."""
        if seal is None or self._key is None or seal.partition(":")[0] != _key_name(self._key):
            return Seal.UNVERIFIED
        same = hmac.compare_digest(seal, _seal(self._key, digest, answer))
        return Seal.VERIFIED if same else Seal.ALTERED

    def _require_seals(self) -> None:
        """Give a file of an earlier version the column of seals."""
        import sqlalchemy as sa

        if self._has_seals:
            return
        # Another process may add it at the same time.
        with suppress(sa.exc.OperationalError), self._engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE answers ADD COLUMN seal VARCHAR(80)"))
        self._has_seals = _has_seals(self._engine)

    def _cache_error(self, error: Exception) -> JournalError:
        reason = str(getattr(error, "orig", error))
        return JournalError(
            f"{self._path}: the ledger cannot be used ({reason}); move the file away and run again"
        )


def _has_seals(engine: "sa.Engine") -> bool:
    import sqlalchemy as sa

    columns: Sequence[Mapping[str, Any]] = sa.inspect(engine).get_columns("answers")
    return any(column["name"] == "seal" for column in columns)


@cache
def _key_name(key: bytes) -> str:
    """Return what tells keys apart and does not reveal them."""
    return hashlib.sha256(key).hexdigest()[:12]


def _seal(key: bytes, digest: str, answer: str) -> str:
    """Return an HMAC-SHA256 over an answer and its digest, which covers fingerprint and prompt."""
    code = hmac.digest(key, f"{digest}\n{answer}".encode(), "sha256")
    return f"{_key_name(key)}:{code.hex()}"


def _read_key(path: Path) -> bytes | None:
    """Return the key; None where there is none yet."""
    try:
        return bytes.fromhex(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise JournalError(
            f"{path}: not a key of answers ({error}); restore it, or remove it: its answers then count as "
            "unverified"
        ) from error


def _create_key(path: Path) -> bytes:
    """Return the key of a new file, or the one that another process wrote meanwhile."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.touch(mode=0o600, exist_ok=False)
        part.write_text(secrets.token_hex(32), encoding="ascii")
        with suppress(FileExistsError):
            os.link(part, path)
    except OSError as error:
        raise JournalError(
            f"{path}: cannot be written ({error.strerror}); make room and write access"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    key = _read_key(path)
    if key is None:
        raise JournalError(f"{path}: removed while it was written; run again")
    return key
