"""List the tables in files and folders."""

import re
import stat
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from engine.errors import DataError
from feeds.files.raw import SUFFIXES, suffix_of
from feeds.files.tables import UnknownTableError, file_mode, read_columns, require_columns

_BAR_WORDS = ("open", "high", "low", "close")
_NUMBER = re.compile(r"[,;\t|]\s*\d+(?:[.,]\d+)?(?=[,;\t|]|\s*$)")
_START_BYTES = 4_096


def find_tables(
    paths: Sequence[Path],
    needed: Sequence[str],
    kind: str,
    require: Callable[[Path], None] | None = None,
) -> list[Path]:
    """Return the tables of one kind among `paths`.

    A file named in `paths` must be such a table. In a folder, other tables, other kinds of file and hidden
    files are skipped; a table that cannot be read is refused there as well. Only first lines are read.

    Args:
        paths: Files, or folders of files.
        needed: The columns that a table must have.
        kind: What the tables are called in errors, such as "bar".
        require: Raises UnknownTableError for a file of another kind; None to ask for the columns `needed`.

    Raises:
        DataError: For a path that is missing or no such table, and a folder without any.
    """
    require = require or (lambda path: require_columns(path, read_columns(path), needed))
    tables: list[Path] = []
    for path in paths:
        if not stat.S_ISDIR(file_mode(path)):
            require(path)
            tables.append(path)
            continue
        within = []
        for file in list_tables(path):
            with suppress(UnknownTableError):
                require(file)
                within.append(file)
        if not within:
            raise DataError(
                f"{path}: no {kind} file in this folder; put a .csv or .parquet file there "
                f"with the columns {', '.join(needed)}"
            )
        tables += within
    return tables


def list_tables(folder: Path) -> list[Path]:
    """Return the tables in a folder by their suffix, sorted, without hidden ones. Raises DataError.

    Files that end in .txt, .json or .zip are often no tables; only those that begin like bars are listed.
    """
    try:
        files = sorted(folder.iterdir())
        return [
            file for file in files if not file.name.startswith(".") and file.is_file() and _is_table(file)
        ]
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}; check the folder") from None


def _is_table(file: Path) -> bool:
    suffix = suffix_of(file)
    if file.suffix.lower() == ".zip":
        return zipfile.is_zipfile(file) and _packs_table(file)
    if suffix not in SUFFIXES:
        return False
    if suffix not in (".txt", ".json", ".ndjson") or file.suffix.lower() == ".gz":
        return True
    with file.open("rb") as content:
        start = content.read(_START_BYTES).decode("utf-8", "replace").lower().lstrip("\ufeff \n")
    if suffix == ".txt":
        line = start.partition("\n")[0]
        return all(word in line for word in _BAR_WORDS) or len(_NUMBER.findall(line)) >= len(_BAR_WORDS)
    words = all(f'"{word}"' in start for word in _BAR_WORDS) or all(
        f'"{word[0]}"' in start for word in _BAR_WORDS
    )
    return start.startswith("[[") or (start.startswith(("[", "{")) and words)


def _packs_table(file: Path) -> bool:
    with zipfile.ZipFile(file) as packed:
        return len(packed.namelist()) == 1 and Path(packed.namelist()[0]).suffix.lower() in SUFFIXES
