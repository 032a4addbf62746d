"""The entry point of `closecall`: check the environment, run a command, turn errors into exit codes."""

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

from tui.cli.doctor import foreign_llm

BUG, USAGE, DATA, INTERRUPTED = 1, 2, 3, 130


def main() -> None:
    """Run the command line and end the process with a documented exit code."""
    if not sys.warnoptions:
        # Libraries warn programmers; a user is told what goes wrong by one line of ours.
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
    sys.exit(_flush_stdout(run(sys.argv[1:])))


def run(arguments: list[str]) -> int:
    """Run the command line: 0 done, 2 usage, 3 bad data, 4 a check failed, 130 interrupted.

    Every error is one line on stderr; 1 is a bug in closecall.
    """
    clash = foreign_llm()
    if clash is not None:
        return _exit_with(clash, USAGE)
    from engine.errors import ClosecallError
    from tui.cli.remedies import complete_remedies

    with complete_remedies(arguments):
        try:
            return invoke(arguments)
        except ClosecallError as error:
            return _exit_with(str(error), error.exit_code)
        except KeyboardInterrupt:
            return INTERRUPTED
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            remedy = "check the path, its rights and the disk"
            return _exit_with(f"{place}{error.strerror or error}; {remedy}", DATA)
        except Exception as error:  # a fault of closecall: one line and its exit code, no traceback
            return _exit_with(_bug_report(error), BUG)


def _flush_stdout(code: int) -> int:
    """Flush stdout and return the exit code. A reader that has gone, as in `| head`, is no failure."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the exit would flush again
        if not isinstance(error, BrokenPipeError):
            return _exit_with(f"stdout: {error.strerror}; send it elsewhere", DATA)
    return code


def _bug_report(error: Exception) -> str:
    """Return what a bug report needs."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in frames[-3:][::-1])
    return f"a fault in closecall, please report it: {type(error).__name__}: {str(error)[:300]} ({where})"


def _exit_with(message: str, code: int) -> int:
    sys.stderr.write(f"closecall: {' '.join(message.split())}\n")
    return code


# Options of earlier versions and what they are called now. They are read for ever.
_OLD_FLAGS = {"--allow-harmful": "--allow-bad-data", "--base": "--base-currency"}


def invoke(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code. Raises ClosecallError, also for a wrong word."""
    import typer

    from engine.errors import UsageError
    from tui.cli.app import app

    try:
        return app(args=expand_list_options(arguments), prog_name="closecall", standalone_mode=False) or 0
    except typer.TyperException as error:
        if fault := _explain_option(error, arguments) or error.format_message():
            raise UsageError(f"{fault.removesuffix('.')}; see: {_command_path(arguments)} --help") from error
        return UsageError.exit_code  # a command without arguments: its help was shown
    except SystemExit:
        return 0  # so typer and rich end when the reader of stdout has gone, as in `| head`


# Options of some commands that others lack for a reason.
_LACKED = {
    "--calibrate": "only a backtest trades calibrated confidences, and this command uses them as stated",
    "--ablate": "ablations are made by a backtest",
    "--task": "this command needs forecasts of the next close",
}


def _explain_option(error: Exception, arguments: Sequence[str]) -> str:
    """Return why a command lacks an option that others have; empty for any other fault."""
    option = getattr(error, "option_name", "")
    if option not in _LACKED or getattr(error, "possibilities", None) is None:
        return ""
    return f"{option} is no option of {_command_path(arguments)}: {_LACKED[option]}; leave it out"


def expand_list_options(arguments: Sequence[str]) -> list[str]:
    """Rewrite `--bars A B` as `--bars A --bars B`: list options take all the words up to the next flag.

    Raises UsageError for one without a word, which typer would give the next flag as its value.
    """
    from engine.errors import UsageError
    from tui.cli.config_options import list_flags

    lists = list_flags() if arguments[:1] != ["check"] else []  # its --store is a switch
    words: list[str] = []
    option = ""
    for word in map(_current_flag, arguments):
        if word.startswith("-"):
            if words and words[-1] == option:
                raise UsageError(f"{option} needs at least one value; see: {_command_path(arguments)} --help")
            name = word.partition("=")[0]
            option = name if name in lists else ""
        elif option and words[-1] != option:
            words.append(option)
        words.append(word)
    return words


def _command_path(arguments: Sequence[str]) -> str:
    """Return the command that is called, without its options."""
    from tui.cli.remedies import find_command

    _, named = find_command(arguments)
    return " ".join(["closecall", *arguments[:named]])


def _current_flag(word: str) -> str:
    """Return the present name of an option, with a line on stderr if an earlier name was used."""
    flag, equals, value = word.partition("=")
    if flag not in _OLD_FLAGS:
        return word
    sys.stderr.write(f"closecall: {flag} is now called {_OLD_FLAGS[flag]}; the old name still works\n")
    return f"{_OLD_FLAGS[flag]}{equals}{value}"


if __name__ == "__main__":
    main()
