"""Students that a user writes: the base class, the checks on one, and loading it from a file."""

import hashlib
import inspect
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from engine.errors import StudentError
from engine.model import Observation
from engine.user_code import Recreatable, load_object, report_errors
from engine.user_sources import find_source_files
from llm.prompts import TEMPLATES
from llm.student import Student, StudentSettings

_TEMPLATE = TEMPLATES["compact"]
_NO_STATE = ("name", "fingerprint", "_created_with")


class BaseStudent(Recreatable, ABC):
    """A forecaster of your own: subclass it and write `answer`; change the rest where it does not fit.

    Each close is forecast once: equal prompts under an equal fingerprint are answered from the cache. The
    fingerprint covers the sources of your own modules, not packages that are installed beside closecall.

    Attributes:
        window: How many closed bars an observation has at most.
        released: The day from which nothing can be in its training data; None where it is not known.

    Example:
        >>> import closecall as cc
        >>> class Optimist(cc.Student):
        ...     def answer(self, prompts, on_progress):
        ...         return [cc.format_answer("up", confidence=0.55, close=100.5) for _ in prompts]
        >>> result = cc.simulate(student=Optimist(), days=60)
        >>> result.scores.student.accuracy == result.scores.buy_and_hold.accuracy
        True
    """

    window: int = _TEMPLATE.window
    released: date | None = None

    @cached_property
    def name(self) -> str:
        """Return the student's name in tables: by default the name of its class."""
        return type(self).__name__

    @cached_property
    def fingerprint(self) -> str:
        """Return what decides its answers besides the prompt: by default its source file and its attributes.

        Set it yourself where anything else decides, such as a model file. The sources that it imports are
        added to it (`bind_to_code`), so that answers of other code are never taken for its own.

        Raises:
            StudentError: Where the source cannot be read, as in an interactive session.
        """
        state = {key: _describe(value) for key, value in sorted(vars(self).items()) if key not in _NO_STATE}
        parts = (_read_source(type(self)), type(self).__qualname__, str(state))
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()

    def prompt(self, observation: Observation) -> str:
        """Return what `answer` sees of an observation: by default returns, the last bar and headlines."""
        (message,) = _TEMPLATE.messages(observation, min(_TEMPLATE.headlines, len(observation.news)))
        return message["content"]

    @abstractmethod
    def answer(self, prompts: Sequence[str], on_progress: Callable[[int, int], None]) -> list[str]:
        """Return one answer for each prompt, in order, as `format_answer` writes it.

        Args:
            prompts: Texts that `prompt` returned.
            on_progress: May be called with the number of prompts answered and of all.
        """


class CheckedStudent:
    """A student of the user's own, whose attributes and answers are checked.

    Raises:
        StudentError: For an attribute or an answer that does not fit, and for an error of its code.
    """

    def __init__(self, student: Any) -> None:
        self._student = student
        self._place = f"student {type(student).__name__}"
        for method in ("prompt", "answer"):
            if not callable(getattr(student, method, None)):
                raise StudentError(f"{self._place}: no method {method}; subclass closecall.Student")
        self.name: str = self._attribute("name", str)
        self.fingerprint: str = bind_to_code(student, self._attribute("fingerprint", str))
        self.window: int = self._attribute("window", int)
        self.released: date | None = self._attribute("released", date, None)
        self.notes: tuple[str, ...] = ()

    def prompt(self, observation: Observation) -> str:
        """Return the student's prompt."""
        with report_errors(f"{self._place}, prompt", StudentError):
            text = self._student.prompt(observation)
        if not isinstance(text, str):
            raise StudentError(f"{self._place}: prompt returned {type(text).__name__}; return a str")
        return text

    def answer(self, prompts: Sequence[str], on_progress: Callable[[int, int], None]) -> list[str]:
        """Return the student's answers."""
        with report_errors(f"{self._place}, answer", StudentError):
            answers = list(self._student.answer(prompts, on_progress))
        if len(answers) != len(prompts) or not all(isinstance(text, str) for text in answers):
            raise StudentError(
                f"{self._place}: answer returned {len(answers)} values for {len(prompts)} prompts; "
                "return a list with one str for each prompt"
            )
        return answers

    def _attribute(self, name: str, kind: type, *others: object) -> Any:
        with report_errors(f"{self._place}, {name}", StudentError):
            value = getattr(self._student, name)
        fits = isinstance(value, kind) or value in others
        if not fits or (isinstance(value, int) and value < 2) or value == "":
            wanted = " or ".join([kind.__name__, *map(str, others)])
            raise StudentError(f"{self._place}: {name} is {value!r}; set it to a valid {wanted}")
        return value


def load_student(wanted: StudentSettings) -> Student:
    """Return the student in the file that a user names as FILE.py:CLASS.

    Raises:
        UsageError: For a missing file or class, and an error in the file.
        StudentError: For an object that is no student, and where an adapter is given.
    """
    if wanted.adapter is not None:
        raise StudentError(f"student {wanted.student}: it takes no adapter; leave {wanted.adapter} out")
    return CheckedStudent(load_object(wanted.student))


def bind_to_code(student: object, stated: str) -> str:
    """Return a student's fingerprint together with the code that its answers come from.

    The code is its source file, those of its bases, and those of the user's own modules that they import.
    Where one cannot be read, as in a notebook, no two students have the same fingerprint, so that each run
    asks again. Installed packages do not count.

    Args:
        student: The student.
        stated: Its own fingerprint.
    """
    files = find_source_files(type(student))
    if files is None:
        return _join_digest(stated, secrets.token_hex(16))
    if isinstance(student, BaseStudent) and len(files) == 1 and stated == _default_fingerprint(student):
        return stated  # its one file is in it
    return _join_digest(stated, *(path.read_text(encoding="utf-8", errors="replace") for path in files))


def _default_fingerprint(student: BaseStudent) -> str:
    value: str = BaseStudent.__dict__["fingerprint"].func(student)
    return value


def _join_digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


_PLAIN = (str, int, float, bool, bytes, type(None))


def _describe(value: object) -> str:
    """Return the text of an attribute that changes whenever its value does.

    The `repr` of plain values; of others, which may leave out most of an array, a digest.
    """
    if type(value) in _PLAIN:
        return repr(value)
    if isinstance(value, list | tuple) and all(type(item) in _PLAIN for item in value):
        return repr(value)
    import joblib

    try:
        return str(joblib.hash(value))
    except Exception:  # what cannot be pickled has no digest, and answers for itself alone
        return secrets.token_hex(16)


def _read_source(student: type) -> str:
    try:
        file = inspect.getsourcefile(student)
        if file is not None and Path(file).is_file():
            return Path(file).read_text(encoding="utf-8")
        return inspect.getsource(student)
    except (OSError, TypeError) as error:
        raise StudentError(
            f"student {student.__name__}: its source cannot be read; set the attribute fingerprint to a text "
            "that changes whenever its answers do"
        ) from error
