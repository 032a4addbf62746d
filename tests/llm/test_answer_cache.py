import pytest

from engine.errors import JournalError
from llm.answer_cache import AnswerCache, answer_digest


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
