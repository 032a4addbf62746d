"""When known models were released and until when their training data reach, from `known_models.toml`."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from llm.model_files import model_metadata, named_base


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A row of the table.

    Attributes:
        name: Its id on the hub.
        released: The day its weights were published: no later event can be in its training data.
        knowledge_until: The last day of its training data, where its makers state it.
        source: The address of the page that states this.
    """

    name: str
    released: date
    knowledge_until: date | None
    source: str


def known_model(name: str, path: Path | None = None) -> KnownModel | None:
    """Return what is known of a student, by its name or by the model that its files say they are a copy of.

    Args:
        name: What the user wrote: an id on the hub, or a path.
        path: The model's folder, or its GGUF file; None for a model on a server.
    """
    table = _table()
    copied = (str(model_metadata(path).get("base", "")), named_base(path)) if path else ()
    for hub_id in (name, *copied):
        if found := table.get(hub_id.casefold()):
            return found
    return None


@cache
def _table() -> Mapping[str, KnownModel]:
    text = files("llm").joinpath("known_models.toml").read_text(encoding="utf-8")
    return {
        name.casefold(): _row(name, row) for row in tomllib.loads(text)["models"] for name in row["names"]
    }


def _row(name: str, row: Mapping[str, Any]) -> KnownModel:
    return KnownModel(
        name=name,
        released=row["released"],
        knowledge_until=row.get("knowledge_until"),
        source=row["source"],
    )
