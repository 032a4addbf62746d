"""Answers that somebody edited, in the ledger, the journal or both, do not pass as the student's."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from engine.errors import JournalError
from engine.journal.journal import Event, Journal
from strategies.answer_check import check_answers
from strategies.backtest import backtest
from strategies.runs import JOURNAL
from tests.support.paper_sessions import CONFIG, First, open_journal

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def edit(folder, statement):
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as database, database:
        database.execute(statement)


def turn(text):
    return text.replace('"up"', '"no"').replace('"down"', '"up"').replace('"no"', '"down"')


def check(folder, run, **more):
    with Journal.open(folder / "runs" / run.name / JOURNAL, run.name) as journal:
        return check_answers(journal, folder, load=lambda _: First(), **more)


@pytest.fixture
def run(tmp_path):
    return backtest(CONFIG, data_dir=tmp_path, clock=lambda: NOW, student=First())


def test_answers_that_nobody_edited_are_proved(tmp_path, run):
    report = check(tmp_path, run, ask=7)
    assert report.proved
    assert report.verified == report.answers == run.result["forecasts"]
    assert (report.asked, report.equal, report.repeats) == (7, 7, True)


def test_an_answer_edited_after_the_run_shows_and_is_not_used_again(tmp_path, run):
    edit(tmp_path, "UPDATE answers SET answer = 'x' || answer WHERE rowid = 3")
    report = check(tmp_path, run)
    assert (report.proved, report.num_different) == (False, 1)
    assert "the ledger has 'x{" in report.differences[0]
    with pytest.raises(JournalError, match=r"1 of .* answers were edited"):
        backtest(CONFIG, data_dir=tmp_path, clock=lambda: NOW, student=First())


def test_answers_forged_before_the_run_are_named_and_asking_again_finds_them(tmp_path, run):
    """Without their seals, as if of an earlier version: journal and ledger agree with each other."""
    flip = """UPDATE answers SET seal = NULL, answer = replace(replace(replace(
        answer, '"up"', '"no"'), '"down"', '"up"'), '"no"', '"down"')"""
    edit(tmp_path, flip)
    forged = backtest(CONFIG, data_dir=tmp_path, clock=lambda: NOW, student=First())
    assert forged.result["unverified_answers"] == forged.result["asked"] + run.result["asked"]
    assert any("cannot be verified" in line for line in forged.conclusions)
    report = check(tmp_path, forged)
    assert report.unverified == report.answers == run.result["forecasts"]
    report = check(tmp_path, forged, ask=5)
    assert (report.proved, report.asked, report.equal) == (False, 5, 0)


def test_a_journal_rewritten_under_a_chain_that_holds_differs_from_the_ledger(tmp_path, run):
    path = tmp_path / "runs" / run.name / JOURNAL
    with (
        Journal.open(path, run.name) as source,
        Journal.open(tmp_path / "copy.sqlite", run.name, create=True) as copy,
    ):
        for row in source.read():
            payload = dict(row.payload)
            if row.kind == "forecast":
                payload["output"] = turn(payload["output"])
            copy.append([Event(kind=row.kind, as_of=row.as_of, payload=payload)], row.recorded_at)
        report = check_answers(copy, tmp_path)
    assert report.num_different == report.answers > 0


def test_answers_asked_again_get_their_seals_and_another_student_is_not_asked(tmp_path, run):
    edit(tmp_path, "UPDATE answers SET seal = NULL")
    every = run.result["forecasts"]
    assert check(tmp_path, run, ask=every).unverified == every
    assert check(tmp_path, run).verified == every
    other = First()
    other.fingerprint = "another"
    with Journal.open(tmp_path / "runs" / run.name / JOURNAL, run.name) as journal:
        report = check_answers(journal, tmp_path, ask=5, load=lambda _: other)
    assert not report.proved
    assert "has the fingerprint another here" in report.not_asked


def test_the_answers_of_a_session_are_those_of_the_ledger(session):
    with open_journal(session) as journal:
        report = check_answers(journal, session)
    assert report.answers > 30
    assert report.verified + report.missing == report.answers
    assert report.proved
