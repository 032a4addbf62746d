"""Where the `closecall` command begins: checks what it runs in, then hands over and turns errors into exits."""

import sys
from importlib import metadata

SUCCESS, USAGE, INTERRUPTED = 0, 2, 130


def main() -> None:
    """Run the command line and end the process with a documented exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The command line as a function: 0 done, 2 usage, 3 bad data, 4 a check failed, 130 interrupted."""
    clash = foreign_llm()
    if clash is not None:
        return _stop(clash, USAGE)
    from engine.errors import ClosecallError

    try:
        from tui.cli import invoke

        return invoke(arguments)
    except ClosecallError as error:
        return _stop(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _stop(
            "interrupted; what was forecast so far is kept, the same command goes on from there", INTERRUPTED
        )
    except BrokenPipeError:
        return _closed_pipe()


def foreign_llm() -> str | None:
    """A sentence if PyPI's package `llm` is installed here, whose folder is named like one of ours."""
    try:
        metadata.distribution("llm")
    except metadata.PackageNotFoundError:
        return None
    return (
        "closecall cannot share an environment with the PyPI package 'llm' (both have a folder of that name); "
        "install closecall in an environment of its own: python3 -m venv closecall-env && "
        "closecall-env/bin/pip install closecall"
    )


def _stop(message: str, code: int) -> int:
    sys.stderr.write(f"closecall: {' '.join(message.split())}\n")
    return code


def _closed_pipe() -> int:
    """The reader of our output has gone (`| head`): nothing is wrong and nothing more can be said."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return SUCCESS
