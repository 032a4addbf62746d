"""Where the `closecall` command begins: checks what it runs in and turns errors into exit codes."""

import sys
from importlib import metadata

USAGE, INTERRUPTED = 2, 130


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
        return INTERRUPTED


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


def _stop(message: str, code: int) -> int:
    sys.stderr.write(f"closecall: {' '.join(message.split())}\n")
    return code
