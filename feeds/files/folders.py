"""Find what a folder holds beside the tables that are read, so that nothing is left out in silence."""

import os
from collections.abc import Sequence
from pathlib import Path

from engine.errors import DataError
from feeds.files.kinds import identify_table
from feeds.files.layouts import NOTHING_STATED, ColumnSettings
from feeds.files.listing import list_tables
from feeds.files.raw import A_SPREADSHEET, SPREADSHEETS
from feeds.files.tables import UnknownTableError, read_columns

_UNREAD_SUFFIXES = (*SPREADSHEETS, ".h5", ".hdf5", ".pkl", ".dat")
NO_ACTIONS = "a list of dividends or splits, which are not read from files"
_ACTION_WORDS = ("divid", "split")
_BAR_WORDS = ("open", "high", "low", "close")


def find_unread_tables(folder: Path) -> list[tuple[Path, UnknownTableError]]:
    """Return the files of a folder that seem to hold tables in a form that is not read, with what to do."""
    return [
        (file, UnknownTableError(f"{file}: {_describe_unread(file)}"))
        for file in sorted(folder.iterdir())
        if _is_unread_table(file)
    ]


def _describe_unread(file: Path) -> str:
    is_sheet = file.suffix.lower() in SPREADSHEETS
    return A_SPREADSHEET if is_sheet else "a table in a form that is not read; save it as .csv or .parquet"


def lists_corporate_actions(table: Path) -> bool:
    """Return whether a table lists dividends or splits, which nobody would take for bars without a header."""
    words = " ".join(read_columns(table))
    return any(word in words for word in _ACTION_WORDS) and not any(word in words for word in _BAR_WORDS)


def require_known_tables(
    paths: Sequence[Path], *, skip: bool, columns: ColumnSettings = NOTHING_STATED
) -> list[str]:
    """Refuse folders with tables that are neither bars nor news, or return a note on each that is left out.

    Args:
        paths: Files, which are passed over, and folders.
        skip: Whether such tables are left out.
        columns: What the user states about columns.

    Raises:
        DataError: For such a table, unless it is left out.
    """
    folders = [path for path in paths if os.path.isdir(path)]  # noqa: PTH112  # False for what is no path
    unknown = [error for folder in folders for _, error in find_unread_tables(folder)]
    notes = []
    for table in (table for folder in folders for table in list_tables(folder)):
        try:
            identify_table(table, columns)
        except UnknownTableError as error:
            if lists_corporate_actions(table):
                notes.append(f"{table}: {NO_ACTIONS}.")
            else:
                unknown.append(error)
    if unknown and not skip:
        others = f" ({len(unknown)} such files)" if len(unknown) > 1 else ""
        raise DataError(f"{unknown[0]}, or leave such files out with --skip-unknown-files{others}")
    return notes + [f"Left out because of --skip-unknown-files: {error}." for error in unknown]


def _is_unread_table(file: Path) -> bool:
    return file.suffix.lower() in _UNREAD_SUFFIXES and not file.name.startswith(".") and file.is_file()
