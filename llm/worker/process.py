"""Run the student in a process of its own: questions on stdin, answers on stdout, one JSON object a line.

A student that hangs or dies does not affect the session.
"""

import json
import logging
import os
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import IO, Any

from engine.errors import ClosecallError
from engine.journal.canonical import canonical_json
from engine.parent_process import die_with_parent
from llm.backends import load_student
from llm.student import Student, StudentSettings
from llm.worker.messages import decode_observation, decode_settings

_MAX_LOADED = 2
Load = Callable[[StudentSettings], Student]


def serve(questions: IO[str], answers: IO[str], load: Load = load_student) -> None:
    """Answer until the questions end. Each answer carries its question's number."""
    students = _Students(load)
    for line in questions:
        question = json.loads(line)
        try:
            reply = {"answer": _answer(students, question)}
        except ClosecallError as error:
            reply = {"error": str(error)}
        except Exception as error:  # a session must survive whatever a model's libraries raise
            reply = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
        answers.write(canonical_json({"number": question["number"], **reply}) + "\n")
        answers.flush()


class _Students:
    """The loaded students, latest first: a session may check one adapter while it uses another."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._loaded: OrderedDict[StudentSettings, Student] = OrderedDict()

    def get(self, wanted: StudentSettings) -> Student:
        if wanted not in self._loaded:
            self._loaded[wanted] = self._load(wanted)
            for note in self._loaded[wanted].notes:
                sys.stderr.write(note + "\n")
            while len(self._loaded) > _MAX_LOADED:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(wanted)
        return self._loaded[wanted]


def _answer(students: _Students, question: Mapping[str, Any]) -> object:
    student = students.get(decode_settings(question["student"]))
    match question["ask"]:
        case "describe":
            return {
                "name": student.name,
                "fingerprint": student.fingerprint,
                "window": student.window,
                "released": student.released,
                "notes": student.notes,
            }
        case "prompts":
            return [student.prompt(decode_observation(observation)) for observation in question["observed"]]
        case "answers":
            return student.answer(question["prompts"], lambda *_: None)
    raise ValueError(f"nobody asks {question['ask']!r}")


def main() -> None:
    """Serve on this process's own stdin and stdout, until the session that started it is gone."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    die_with_parent()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not stand among answers
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
