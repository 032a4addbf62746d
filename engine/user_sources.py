"""The source files that code of the user's own consists of: its classes and the modules they import.

What is installed beside closecall, and closecall itself, is left out. Imports are read from the source, those
inside functions too; what is imported by a name that is made at run time is not seen.
"""

import ast
import inspect
import sys
import sysconfig
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

_CLOSECALL = Path(__file__).resolve().parents[1]
_OWN_PARTS = ("engine", "feeds", "llm", "strategies", "training", "tui", "closecall.py")
_INSTALLED = {
    *(Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "platstdlib", "purelib", "platlib")),
    *(_CLOSECALL / part for part in _OWN_PARTS),
}


def find_source_files(user_class: type) -> list[Path] | None:
    """Return the files that decide what a class of the user's does, sorted; None where one cannot be read.

    That is so for a class that was typed into an interactive session or a notebook.
    """
    waiting: list[Path] = []
    for each in user_class.__mro__:
        if each.__module__.partition(".")[0] in sys.stdlib_module_names:
            continue
        try:
            source = inspect.getsourcefile(each)
        except (OSError, TypeError):  # a class of a module that has no file
            return None
        if source is None or not Path(source).is_file():
            return None
        waiting.append(Path(source).resolve())
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found and not _is_installed(path):
            found.add(path)
            waiting += _find_imports(path)
    return sorted(found)


def _is_installed(path: Path) -> bool:
    return bool({"site-packages", "dist-packages"} & set(path.parts)) or not _INSTALLED.isdisjoint(
        (path, *path.parents)
    )


def _find_imports(path: Path) -> Iterator[Path]:
    """Yield the files of the modules that a file imports, as far as they are no installed ones."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # it was changed since it was run: what it imported then is not known any more
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _find_module(alias.name, None)
        elif isinstance(node, ast.ImportFrom):
            start = path.parents[node.level - 1] if node.level else None
            module = node.module or ""
            yield from _find_module(module, start)
            for alias in node.names:
                yield from _find_module(f"{module}.{alias.name}".strip("."), start)


def _find_module(name: str, start: Path | None) -> Iterator[Path]:
    """Yield the files of a module and of the packages that it is in, without importing any.

    Args:
        name: Its name, dotted.
        start: The folder that a relative name starts from; None: the import path.
    """
    places = [str(start)] if start else None
    for part in name.split("."):
        spec = PathFinder.find_spec(part, places) if part else None
        if spec is None:
            return
        if spec.origin and spec.origin.endswith(".py"):
            yield Path(spec.origin).resolve()
        places = list(spec.submodule_search_locations or ())
        if not places:
            return
