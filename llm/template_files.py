"""Read and check template files: those of `llm/templates`, and a user's own."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from engine.errors import StudentError, UsageError
from llm.indicators import INDICATORS
from llm.text_templates import PLACEHOLDERS, TextTemplate

_FOLDER = Path(__file__).parent / "templates"
_MAX_BYTES = 100_000
# The least and the most of each limit, and its value where a file has none.
_LIMITS: Mapping[str, tuple[float, float, float]] = {
    "max_tokens": (64, 1_000_000, 2048),
    "headlines": (0, 100, 12),
    "headline_width": (10, 1000, 84),
    "price_step": (0.00001, 0.1, 0.001),
    "closes": (1, 1000, 30),
    "bars": (1, 1000, 5),
    "history": (1, 1000, 30),
    "anchor_days": (0, 3650, 60),
}
_TEXTS = ("system", "user")
TASKS = ("next", "same-day")
_KEYS = (*_LIMITS, *TASKS, "indicators", "description", "extends")


def list_templates() -> list[str]:
    """Return the names of the templates that come as text."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def is_template_file(name: str) -> bool:
    """Return whether a template is asked for by its file rather than by its name."""
    return name.endswith(".toml") or "/" in name or "\\" in name


def load_template(name: str, task: str = "next") -> TextTemplate:
    """Return the template of a name or a file for a task.

    Raises:
        UsageError: For a file that is not there.
        StudentError: With the file, the value and the remedy, for one that cannot be used.
    """
    path = Path(name).expanduser() if is_template_file(name) else _FOLDER / f"{name}.toml"
    content = _read(path)
    if unknown := [key for key in content if key not in _KEYS]:
        raise StudentError(f"{path}: unknown key {unknown[0]!r:.60}; a template has {', '.join(_KEYS)}")
    limits = {
        key: _check_limit(path, key, content.get(key, default)) for key, (*_, default) in _LIMITS.items()
    }
    texts = _check_texts(path, task, content.get(task))
    indicators = _check_indicators(path, content.get("indicators", []))
    identity = json.dumps([task, texts, limits, indicators], sort_keys=True, ensure_ascii=False)
    whole: dict[str, Any] = {
        key: value if key == "price_step" else int(value) for key, value in limits.items()
    }
    return TextTemplate(
        name=path.stem,
        task=task,
        system=texts["system"],
        user=texts["user"],
        **whole,
        indicators=indicators,
        digest=hashlib.sha256(identity.encode()).hexdigest(),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise StudentError(f"{path}: more than {_MAX_BYTES:,} bytes; a template is a short text")
        tables = tomllib.loads(content.decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(
            f"{path}: cannot read the template: {error.strerror or error}; check the path"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudentError(f"{path}: no TOML in UTF-8: {error}; copy a file of {_FOLDER}") from error
    base = tables.get("extends")
    if base is None:
        return tables
    if base not in list_templates() or path == _FOLDER / f"{base}.toml":
        raise StudentError(f"{path}: extends {base!r:.60}; choose one of {', '.join(list_templates())}")
    inherited = _read(_FOLDER / f"{base}.toml")
    for task in TASKS:
        if isinstance(own := tables.get(task), dict):
            tables[task] = {**inherited.get(task, {}), **own}
    return {**inherited, **tables}


def _check_limit(path: Path, key: str, value: object) -> float:
    least, most, _ = _LIMITS[key]
    whole = key != "price_step"
    if (
        isinstance(value, bool)
        or not isinstance(value, int if whole else int | float)
        or not least <= value <= most
    ):
        number = "a whole number" if whole else "a number"
        raise StudentError(f"{path}: {key} is {value!r:.60}; give {number} from {least:g} to {most:g}")
    return float(value)


def _check_indicators(path: Path, names: object) -> tuple[str, ...]:
    if not isinstance(names, list) or any(not isinstance(name, str) for name in names):
        raise StudentError(f"{path}: indicators is {names!r:.60}; give a list of names")
    if unknown := [name for name in names if name not in INDICATORS]:
        raise StudentError(
            f"{path}: unknown indicator {unknown[0]!r:.60}; choose from {', '.join(INDICATORS)}"
        )
    return tuple(names)


def _check_texts(path: Path, task: str, table: object) -> dict[str, str]:
    if table is None:
        raise StudentError(f"{path}: no table [{task}]; write the texts system and user for that task")
    if not isinstance(table, dict) or sorted(table) != sorted(_TEXTS):
        raise StudentError(f"{path}: [{task}] must have the two texts system and user, and nothing else")
    for key in _TEXTS:
        if not isinstance(table[key], str):
            raise StudentError(f"{path}: [{task}] {key} is {table[key]!r:.60}; give a text")
        text = Template(table[key])
        if not text.is_valid():
            raise StudentError(f"{path}: [{task}] {key} has a $ without a name; write $$ for a dollar sign")
        if unknown := [name for name in text.get_identifiers() if name not in PLACEHOLDERS]:
            raise StudentError(
                f"{path}: [{task}] {key} has the unknown placeholder ${unknown[0]:.40}; choose from "
                + ", ".join(f"${name}" for name in PLACEHOLDERS)
            )
    if not table["user"].strip():
        raise StudentError(f"{path}: [{task}] user is empty; write what the model is shown")
    return {key: table[key] for key in _TEXTS}
