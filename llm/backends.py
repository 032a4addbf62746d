"""The kinds of students: one row of `BACKENDS` and one module for each. Loads no model until asked."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from engine.errors import ClosecallError, StudentError, UsageError
from llm.model_files import TINY, model_metadata
from llm.prompts import DEFAULT_WINDOW, find_template
from llm.student import DecodingMode, Student, StudentSettings, TrainableStudent


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One kind of student.

    Attributes:
        help: What a user writes to name a student of this kind, for --help.
        module: The module whose `load_student` makes one from its settings; imported at the first use.
        pattern: A regular expression of its students' names; empty takes those that no other kind takes.
        remote: Whether its students' models are on a server, where they have names.
        trainable: Whether its students are `llm.student.TrainableStudent`.
        remedy: What to do instead of training one.
        reads: Whether its students may have read of the world, so that their prompts are masked.
        templated: Whether its prompts are written by a template, which says how many bars they look at.
    """

    help: str
    module: str
    pattern: str = ""
    remote: bool = False
    trainable: bool = False
    remedy: str = "name a local model"
    reads: bool = True
    templated: bool = True


BACKENDS = (
    Backend(
        help="http://HOST:PORT/v1, an OpenAI-compatible server, with --model NAME",
        module="llm.server_student",
        pattern=r"(?i:https?)://.+",
        remote=True,
        remedy="train the local model, then load the adapter into the server and name it with --adapter-name",
    ),
    Backend(
        help="'tiny' (shipped), a model folder, a GGUF file, or an id on the Hugging Face hub",
        module="llm.transformers_student",
        trainable=True,
    ),
    Backend(
        help="FILE.py:CLASS, a closecall.Student of your own, whose file is run",
        module="llm.own_student",
        pattern=r".+\.py:\w+",
        reads=False,
        templated=False,
    ),
)


def load_student(wanted: StudentSettings) -> Student:
    """Return a student whose files are checked; its weights are loaded when it is first asked.

    Raises StudentError with a remedy, also later, if the weights turn out to be unusable.
    """
    backend = _backend(wanted)
    if not backend.remote and (wanted.model or wanted.adapter_name):
        raise UsageError(
            f"student {wanted.student}: --model and --adapter-name are names on a server; name the server "
            "with --student http://HOST:PORT/v1, or leave them out"
        )
    load: Callable[[StudentSettings], Student] = import_module(backend.module).load_student
    return load(wanted)


def require_trainable(wanted: StudentSettings) -> None:
    """Raise StudentError for a student of a kind that has no model to train."""
    backend = _backend(wanted)
    if not backend.trainable:
        # An address may hold a password, which is only found when such a student is loaded.
        name = "on a server" if backend.remote else wanted.student
        raise StudentError(f"student {name}: it has no weights here to train; {backend.remedy}")


def load_trainable_student(wanted: StudentSettings) -> TrainableStudent:
    """Return a student with a model that can be trained. Raises StudentError for one of another kind."""
    require_trainable(wanted)
    return cast(TrainableStudent, load_student(wanted))


def repeats_answers(wanted: StudentSettings) -> bool:
    """Return whether a student gives the same answer to a prompt each time, here.

    A server may not, and on a GPU a choice between two tokens that differ in their last bits may flip.
    """
    backend = _backend(wanted)
    if backend.remote:
        return False
    if not backend.trainable:
        return True
    from llm.loading import select_device

    return select_device(wanted.device) == "cpu"


def masks_by_default(wanted: StudentSettings) -> bool:
    """Return whether a student may have read of the days that it forecasts.

    Not the tiny student, nor a model whose closecall.json has "mask": false, nor a student of the user's own.
    """
    # The shipped model's closecall.json cannot say it: that file is part of the fingerprint of its answers.
    if not _backend(wanted).reads or wanted.student == TINY:
        return False
    folder = Path(wanted.student).expanduser()
    return not folder.is_dir() or model_metadata(folder).get("mask") is not False


def find_window(wanted: StudentSettings) -> int:
    """Return how many closed bars a student looks at; no model is loaded, a user's file is run."""
    folder = Path(wanted.student).expanduser()
    try:
        if not _backend(wanted).templated:
            return load_student(wanted).window
        stated = model_metadata(folder).get("prompt") if folder.is_dir() else None
        return find_template(wanted.prompt or str(stated or "full"), wanted.task).window
    except ClosecallError:
        return DEFAULT_WINDOW  # refused, with the student's name, when the student is loaded


def find_void_settings(wanted: StudentSettings) -> dict[str, str]:
    """Return the settings that have no effect on a student, each with why and what to do instead."""
    backend, plain = _backend(wanted), StudentSettings()
    void = {}
    if wanted.mode is not DecodingMode.THINK:
        void["think_tokens"] = "only --mode think reasons; set it"
    if wanted.mode is DecodingMode.READOUT and wanted.samples > 1:
        void["samples"] = "--mode readout reads the whole distribution and draws nothing; choose another mode"
    if wanted.allow_remote and not backend.remote:
        void["allow_remote"] = "only a student on a server can be elsewhere; name its address with --student"
    if not backend.templated:
        stated = [key for key in _TEMPLATED_ONLY if getattr(wanted, key) != getattr(plain, key)]
        own = f"student {wanted.student} writes its prompts and answers itself; set it there"
        void |= dict.fromkeys(stated, own)
    return void


_TEMPLATED_ONLY = ("prompt", "mode", "samples", "device", "dtype", "quantization", "mask")


def describe_students() -> str:
    """Return what names a student, for --help."""
    return "; ".join(backend.help for backend in BACKENDS) + "."


def _backend(wanted: StudentSettings) -> Backend:
    """Return the kind that takes a student's name; patterns go first."""
    ordered = sorted(BACKENDS, key=lambda backend: not backend.pattern)
    return next(
        backend for backend in ordered if not backend.pattern or re.fullmatch(backend.pattern, wanted.student)
    )
