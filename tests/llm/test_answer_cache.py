import sqlite3
from contextlib import closing

import pytest

from engine.errors import JournalError
from llm.answer_cache import AnswerCache, Seal, answer_digest


def test_an_answer_is_found_again_after_closing(tmp_path):
    with AnswerCache(tmp_path / "deep" / "ledger.sqlite") as ledger:
        ledger.put_many("f", [{"digest": "d1", "prompt": "p", "answer": "a"}])
    with AnswerCache(tmp_path / "deep" / "ledger.sqlite") as ledger:
        assert ledger.get_many(["d1", "d2"]) == {"d1": "a"}


def test_the_first_answer_stays(tmp_path):
    with AnswerCache(tmp_path / "ledger.sqlite") as ledger:
        ledger.put_many("f", [{"digest": "d", "prompt": "p", "answer": "first"}])
        ledger.put_many("f", [{"digest": "d", "prompt": "p", "answer": "second"}])
        assert ledger.get_many(["d"]) == {"d": "first"}


def edit(path, statement):
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE answers SET answer = 'down'",
        "UPDATE answers SET answer = (SELECT answer FROM answers WHERE digest = 'd2') WHERE digest = 'd1'",
        "UPDATE answers SET (answer, seal) = (SELECT answer, seal FROM answers WHERE digest = 'd2')",
    ],
    ids=["edited", "exchanged", "exchanged with its seal"],
)
def test_an_edited_answer_is_no_answer_of_the_student(tmp_path, attack):
    path = tmp_path / "ledger.sqlite"
    rows = [
        {"digest": "d1", "prompt": "p", "answer": "up"},
        {"digest": "d2", "prompt": "q", "answer": "flat"},
    ]
    with AnswerCache(path) as ledger:
        ledger.put_many("f", rows)
    edit(path, attack)
    with AnswerCache(path) as ledger:
        with pytest.raises(JournalError, match=r"ledger\.sqlite: 1 of 1 answers were edited"):
            ledger.get_many(["d1"])
        assert ledger.inspect_many(["d1"])["d1"].seal is Seal.ALTERED


def test_answers_without_a_seal_count_as_unverified_until_they_are_given_again(tmp_path):
    """Those of an earlier version, those that somebody added, and those whose key is gone."""
    path = tmp_path / "ledger.sqlite"
    columns = ", ".join(f"{name} TEXT NOT NULL" for name in ("fingerprint", "prompt", "answer"))
    edit(path, f"CREATE TABLE answers (digest TEXT PRIMARY KEY, {columns})")
    edit(path, "INSERT INTO answers VALUES ('d1', 'f', 'p', 'up'), ('d2', 'f', 'q', 'up')")
    with AnswerCache(path) as ledger:
        assert ledger.get_many(["d1", "d2"]) == {"d1": "up", "d2": "up"}
        assert ledger.count_unverified(["d1", "d2"]) == 2
        ledger.put_many("f", [{"digest": "d1", "prompt": "p", "answer": "up"}])
        ledger.put_many("f", [{"digest": "d2", "prompt": "q", "answer": "down"}])
        assert ledger.get_many(["d1", "d2"]) == {"d1": "up", "d2": "up"}
        assert ledger.count_unverified(["d1", "d2"]) == 1
    (tmp_path / "ledger.key").unlink()
    with AnswerCache(path) as ledger:
        assert ledger.count_unverified(["d1", "d2"]) == 2
    (tmp_path / "ledger.key").write_text("no key")
    with pytest.raises(JournalError, match=r"ledger\.key: not a key of answers .*remove it"):
        AnswerCache(path)


def test_thousands_of_digests_are_found_at_once(tmp_path):
    rows = [{"digest": str(n), "prompt": "p", "answer": str(n)} for n in range(3000)]
    with AnswerCache(tmp_path / "ledger.sqlite") as ledger:
        ledger.put_many("f", rows)
        assert len(ledger.get_many([str(n) for n in range(3100)])) == 3000


def test_another_model_or_prompt_has_another_digest():
    assert len({answer_digest(f, p) for f in ("m1", "m2") for p in ("p1", "p2")}) == 4


def test_a_file_that_is_no_ledger_is_refused_in_one_line(tmp_path):
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(JournalError, match=r"ledger\.sqlite: the ledger cannot be used .*move the file away"):
        AnswerCache(tmp_path / "ledger.sqlite")
