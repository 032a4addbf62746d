"""The student's process: asked in time, killed, stopped, and asked too much."""

import os
import signal
import sys
import threading
import time
from io import StringIO
from pathlib import Path

import pytest

from engine.timeline import build_observations
from llm.answer_cache import AnswerCache
from llm.student import StudentInterrupted, StudentSettings, StudentTimeout, StudentUnavailable
from llm.transformers_student import load_student
from llm.worker.host import STUDENT_COMMAND, RemoteStudent, StudentHost
from llm.worker.messages import decode_observation, decode_settings, encode_observation, encode_settings
from llm.worker.process import serve
from strategies.config_file import load_config
from strategies.market_data import load_market_data
from strategies.paper_runtime.prefetch import PrefetchingStudent
from tests.support.paper_process import command
from tests.support.students import RuleStudent

FACTS = load_market_data(load_config(None, {"market": {"coins": 2, "stocks": 0, "days": 60}}), Path("unused"))
SEEN = build_observations(FACTS.bars, FACTS.news, window=21, start=FACTS.start)
NEVER = lambda: False  # noqa: E731  # a constant that is called


@pytest.fixture
def deaths():
    return []


@pytest.fixture
def host(deaths):
    with StudentHost(on_death=deaths.append, command=command("student")) as made:
        yield made


@pytest.fixture
def student(host):
    return RemoteStudent(host, StudentSettings(), 30)


def test_what_crosses_the_pipe_comes_back_as_it_was():
    import json

    from engine.journal.canonical import canonical_json

    for observation in SEEN:
        assert decode_observation(json.loads(canonical_json(encode_observation(observation)))) == observation
    wanted = StudentSettings(adapter=Path("somewhere"), prompt="compact", batch=8)
    assert decode_settings(json.loads(canonical_json(encode_settings(wanted)))) == wanted


def test_a_student_far_away_says_what_it_says_at_home(student):
    home = RuleStudent()
    assert (student.name, student.fingerprint, student.window) == (home.name, home.fingerprint, home.window)
    prompts = student.prompts(SEEN, 30)
    assert prompts == [home.prompt(observation) for observation in SEEN]
    assert student.answers(prompts, 30, NEVER) == home.answer(prompts, lambda *_: None)


def test_one_that_dies_is_started_again_and_asked_again(student, host, deaths):
    prompts = student.prompts(SEEN, 30)
    os.kill(host.pid, signal.SIGKILL)
    assert len(student.answers(prompts, 30, NEVER)) == len(prompts)
    assert deaths == ["the student's process died of signal 9; it is started again"]


def test_one_that_hangs_is_late_and_the_next_question_finds_another(student, host):
    first = student.prompts(SEEN[:1], 30)
    hung = host.pid
    os.kill(hung, signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(StudentTimeout, match=r"within 0\.5 s"):
        student.answers(["a" * 200_000], 0.5, NEVER)  # more than a pipe holds
    assert time.monotonic() - begun < 3
    assert student.prompts(SEEN[:1], 30) == first
    assert host.pid != hung


def test_a_person_interrupts_one_that_hangs(student, host):
    student.prompts(SEEN[:1], 30)
    os.kill(host.pid, signal.SIGSTOP)
    replies = threading.Event()
    threading.Timer(0.3, replies.set).start()
    begun = time.monotonic()
    with pytest.raises(StudentInterrupted):
        student.answers(["anything"], 60, replies.is_set)
    assert time.monotonic() - begun < 3


def test_one_that_always_dies_is_given_up_for_now(deaths):
    with StudentHost(
        on_death=deaths.append, command=(sys.executable, "-c", "import sys; sys.exit(7)")
    ) as host:
        host._deaths = -6  # without the pauses between the starts
        with pytest.raises(StudentUnavailable, match="died 6 times"):
            host.ask({"ask": "describe"}, 30)
    assert len(deaths) == 6
    assert "exit code 7" in deaths[0]


def test_what_a_student_refuses_is_told_and_its_process_goes_on():
    def load(_wanted):
        raise RuntimeError("no such weights")

    questions = StringIO()
    questions.write('{"ask": "describe", "number": 4, "student": {"student": "x", "adapter": null, ')
    questions.write('"quantization": "none", "prompt": null, "batch": 4}}\n')
    questions.seek(0)
    replies = StringIO()
    serve(questions, replies, load)
    assert replies.getvalue() == '{"error":"RuntimeError: no such weights","number":4}\n'


def test_asked_ahead_it_says_the_same_in_fewer_questions(tmp_path):
    class Counted(RuleStudent):
        def prompts(self, observed, seconds, interrupted=NEVER):
            return [self.prompt(observation) for observation in observed]

        def answers(self, prompts, seconds, interrupted):
            rounds.append(len(prompts))
            return self.answer(prompts, lambda *_: None)

    rounds = []
    with AnswerCache(tmp_path / "ledger.sqlite") as ledger:
        ahead = PrefetchingStudent(Counted(), SEEN, ledger)
        for number in range(0, len(SEEN), 2):
            some = SEEN[number : number + 2]
            prompts = ahead.prompts(some, 30)
            assert prompts == [RuleStudent().prompt(observation) for observation in some]
            assert ahead.answers(prompts, 30, NEVER) == RuleStudent().answer(prompts, lambda *_: None)
        assert len(rounds) <= 3
        asked = len(rounds)
        again = PrefetchingStudent(Counted(), SEEN, ledger)
        assert len(again.answers(again.prompts(SEEN[:2], 30), 30, NEVER)) == 2
        assert len(rounds) == asked
        unforeseen = [build_observations(FACTS.bars, [], window=5, start=FACTS.start)[0]]
        assert again.prompts(unforeseen, 30) == [RuleStudent().prompt(unforeseen[0])]


@pytest.mark.slow
def test_the_shipped_student_says_in_its_process_what_it_says_here():
    here = load_student(StudentSettings(batch=4))
    with StudentHost(command=STUDENT_COMMAND) as host:
        there = RemoteStudent(host, StudentSettings(batch=4), 120)
        prompts = there.prompts(SEEN[:3], 120)
        assert prompts == [here.prompt(observation) for observation in SEEN[:3]]
        assert there.fingerprint == here.fingerprint
        assert there.answers(prompts, 120, NEVER) == here.answer(prompts, lambda *_: None)
