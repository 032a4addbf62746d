"""The tree of errors that closecall raises on purpose, each with what the program does about it."""


class ClosecallError(Exception):
    """A problem the user can mend. The command prints its one line on stderr and exits with `exit_code`."""

    exit_code = 3


class UsageError(ClosecallError):
    """A flag, key or combination that makes no sense. Nothing was started; exit code 2."""

    exit_code = 2


class DataError(ClosecallError):
    """A file of bars or news that cannot be trusted. Nothing is run or written; exit code 3."""


class StudentError(ClosecallError):
    """A model that is missing, damaged or unsafe. Nothing is run or written; exit code 3."""


INCOMPATIBLE = "it was written by an incompatible closecall version; open it with that version"
"""What an error says of a stored value that cannot be read."""


class JournalError(ClosecallError):
    """A journal that is damaged, locked or of another version. Nothing is appended to it; exit code 3."""


class CheckFailed(ClosecallError):
    """A check ran to its end and found a difference. The difference is printed; exit code 4."""

    exit_code = 4
