"""Code of the user's own: a class loaded from the file that the user names, and errors that it raises."""

import hashlib
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Self

from engine.errors import ClosecallError, UsageError, suggest

_PACKAGES = Path(__file__).parents[1]
_NOT_THE_USERS = ("<frozen ", *(f"{_PACKAGES / name}{os.sep}" for name in ("engine", "strategies", "llm")))


def load_object(place: str) -> Any:
    """Run the file that a user names and return a new object of the class in it.

    Args:
        place: FILE.py:CLASS; a relative path starts at the working folder.

    Raises:
        UsageError: For a place not written so, a missing file or class, and an error in the file.
    """
    file, _, name = place.rpartition(":")
    path = Path(file).expanduser()
    if path.suffix != ".py" or not name.isidentifier():
        raise UsageError(f"{place}: not a class in a file; write it as FILE.py:CLASS")
    if not path.is_file():
        raise UsageError(f"{path}: no such file; check the path")
    # The name differs by path, so that two files of one name do not replace each other.
    module_name = f"closecall_user_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: not a Python file; check the path")
    module = sys.modules[module_name] = module_from_spec(spec)
    with report_errors(str(path)):
        spec.loader.exec_module(module)
    loaded = getattr(module, name, None)
    if not isinstance(loaded, type):
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        raise UsageError(f"{path}: no class {name}; {suggest(name, classes, 'define it in the file')}")
    with report_errors(place):
        return loaded()


@contextmanager
def report_errors(place: str, error_type: type[ClosecallError] = UsageError) -> Iterator[None]:
    """Turn an error of a user's code into one line with its place in the file; the original is its cause.

    Args:
        place: What was running, for the beginning of the line.
        error_type: The error that is raised.
    """
    try:
        yield
    except ClosecallError:
        raise
    except Exception as error:  # a user's code may raise anything
        fault = f"{type(error).__name__}: {error}{_format_place(error)}"
        raise error_type(f"{place}: {fault}; correct the code") from error


def _format_place(error: Exception) -> str:
    """Return the last line of the user's code that the error passed; empty where it passed none."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(_NOT_THE_USERS) and "site-packages" not in frame.filename:
            return f" ({frame.filename}:{frame.lineno})"
    return ""


@dataclass(frozen=True, slots=True)
class CreationArguments:
    """What an object was created with; a copy of the object shares them."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def __deepcopy__(self, _memo: object) -> "CreationArguments":
        return self


class Recreatable:
    """Keeps the arguments it was created with, so that a check can create it again from other data."""

    _created_with: CreationArguments

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Create the object and keep the arguments."""
        created = super().__new__(cls)
        # A subclass may be a frozen dataclass.
        object.__setattr__(created, "_created_with", CreationArguments(args, kwargs))
        return created
