"""The panel of the registry: adapters on record, and which of them speaks."""

from collections.abc import Sequence

from rich.text import Text

from tui.dash.drawing import hinted, row, say, window
from tui.dash.places import Sort
from tui.dash.sight import Panel, Sight
from tui.dash.written import day


def _registry(sight: Sight, width: int, height: int) -> Sequence[Text]:
    registry = sight.scene.registry
    if registry is None or not registry.adapters:
        said = "No adapter is on record: the student answers without one."
        return hinted(said, "closecall retrain enters one; closecall models list shows them", width, height)
    found = registry.adapters
    trouble = next((j.trouble for j in sight.scene.journals if j.place.sort is Sort.REGISTRY), "")
    rows = window(sight, "adapters", len(found), height - 2, lambda p, on: _adapter(sight, p, width, on))
    champions = (
        ", ".join(f"{name} for {student}" for student, name in registry.champions)
        or "none, the base model speaks"
    )
    head = f"registry {trouble}" if trouble else f"champion: {champions}"
    return [say(head, width), row([(name, wide, "bold") for name, wide in _columns(width)], width), *rows]


def _columns(width: int) -> list[tuple[str, int]]:
    columns = [("adapter", 18), ("status", 12)]
    if width >= 80:
        columns += [("student", 14)]
    columns += [("data to", 10)]
    return [*columns, ("last word", max(0, width - 2 - sum(wide + 1 for _, wide in columns)))]


def _adapter(sight: Sight, place: int, width: int, chosen: bool) -> Text:  # noqa: FBT001  # drawn rows
    registry = sight.scene.registry
    one = registry.adapters[place] if registry else None
    if one is None:
        return say("", width)
    mark = {"champion": "★ ", "challenger": "○ ", "rejected": "✗ "}.get(one.status, "  ")
    values = {
        "adapter": (one.name, ""),
        "status": (mark + one.status, "bold" if one.status == "champion" else ""),
        "student": (one.student, ""),
        "data to": (day(one.cutoff), "dim"),
        "last word": (one.verdict, "dim"),
    }
    cells = [(values[name][0], wide, values[name][1]) for name, wide in _columns(width)]
    return row(cells, width, chosen=chosen, style=sight.palette.chosen)


REGISTRY = Panel(
    name="adapters",
    title="Registry",
    draw=_registry,
    heading=2,
    rows=lambda s: len(s.scene.registry.adapters) if s.scene.registry else 0,
    help="Adapters on record, newest first: ★ the champion, ○ challengers. M promotes, B rolls back.",
)
