"""Where the `closecall` command begins: checks what it runs in and turns errors into exit codes."""

import logging
import os
import sys
import traceback
import warnings
from importlib import metadata

BUG, USAGE, DATA, INTERRUPTED = 1, 2, 3, 130


def main() -> None:
    """Run the command line and end the process with a documented exit code."""
    if not sys.warnoptions:
        # Libraries warn programmers; a user is told what goes wrong by one line of ours.
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
    sys.exit(_delivered(run(sys.argv[1:])))


def run(arguments: list[str]) -> int:
    """The command line as a function: 0 done, 2 usage, 3 bad data, 4 a check failed, 130 interrupted.

    Whatever goes wrong is one line on stderr; 1 is a fault of closecall itself.
    """
    clash = foreign_llm()
    if clash is not None:
        return _stop(clash, USAGE)
    from engine.errors import ClosecallError

    try:
        from tui.arguments import invoke

        return invoke(arguments)
    except ClosecallError as error:
        return _stop(str(error), error.exit_code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _stop(f"{place}{error.strerror or error}; check the path, its rights and the disk", DATA)
    except Exception as error:
        return _stop(_report(error), BUG)


def foreign_llm() -> str | None:
    """A sentence if PyPI's package `llm` is installed here, whose folder is named like one of ours."""
    try:
        metadata.distribution("llm")
    except metadata.PackageNotFoundError:
        return None
    return (
        "closecall cannot share an environment with the PyPI package 'llm', which has a folder of the same "
        "name; install closecall in an environment of its own: python3 -m venv closecall-env && "
        "closecall-env/bin/pip install closecall"
    )


def _delivered(code: int) -> int:
    """The exit code once stdout is written. A reader that has gone, as in `| head`, is no failure."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the exit would flush again
        if not isinstance(error, BrokenPipeError):
            return _stop(f"stdout: {error.strerror}; send it elsewhere", DATA)
    return code


def _report(error: Exception) -> str:
    """What the authors need to know of a fault that no code expected."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in frames[-3:][::-1])
    return f"a fault in closecall, please report it: {type(error).__name__}: {str(error)[:300]} ({where})"


def _stop(message: str, code: int) -> int:
    sys.stderr.write(f"closecall: {' '.join(message.split())}\n")
    return code
