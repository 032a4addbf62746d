"""`closecall models`: list the registry's adapters, and promote or roll back by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import UsageError
from engine.journal.canonical import format_utc
from strategies.console import utc_now
from tui.cli.options import AsJson, DataDir, print_json
from tui.cli.paths import data_dir, working_dir

if TYPE_CHECKING:
    from pathlib import Path

    from llm.registry.adapters import Adapter
    from llm.registry.events import Change
    from llm.registry.registry import History, Registry

models_app = typer.Typer(
    help="Registered adapters: champions, challengers and their history.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="An adapter's name (closecall models list).")]
OfStudent = Annotated[str | None, typer.Option("--student", help="The base model.")]
Reason = Annotated[str, typer.Option(help="Why; shown in the adapter's history.")]


@models_app.command("list")
def list_models(student: OfStudent = None, data: DataDir = None, as_json: AsJson = False) -> None:
    """List the registered adapters, oldest first, with the champion of each base model."""
    from llm.registry.adapters import student_key
    from llm.registry.registry import registry_exists

    folder = data_dir(data)
    known: list[Adapter] = []
    if registry_exists(folder):
        with _open_registry(folder) as registry:
            known = registry.adapters()
    if student is not None:
        known = [adapter for adapter in known if adapter.student == student_key(student)]
    if as_json:
        print_json({"adapters": [_to_jsonable(adapter) for adapter in known]})
    else:
        _print_list(known, folder)


@models_app.command()
def show(name: Name, data: DataDir = None, as_json: AsJson = False) -> None:
    """Show an adapter with its history and the gate's verdicts."""
    with _open_existing(data) as registry:
        history = registry.get(name)
    if as_json:
        changes = [_to_jsonable(change) for change in history.changes]
        print_json({**_to_jsonable(history.adapter), "changes": changes, "children": list(history.children)})
    else:
        _print_history(history)


@models_app.command()
def promote(
    name: Name,
    reason: Reason = "promoted by hand",
    student: OfStudent = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make an adapter the champion of its base model, without the gate."""
    with _open_existing(data) as registry:
        change = registry.promote(name, at=utc_now(), by="user", reason=reason, student=student)
    _print_change(change, before=change.payload["before"], as_json=as_json)


@models_app.command()
def rollback(
    reason: Reason = "rolled back by hand",
    student: OfStudent = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Restore the previous champion, or the base model; each further call restores the one before."""
    with _open_existing(data) as registry:
        change = registry.rollback(at=utc_now(), by="user", reason=reason, student=student)
    _print_change(change, before=change.name, as_json=as_json)


def _open_registry(folder: "Path") -> "Registry":
    from llm.registry.registry import Registry

    return Registry.open(folder)


def _open_existing(data: "Path | None") -> "Registry":
    from llm.registry.registry import registry_exists

    folder = working_dir(data)
    if not registry_exists(folder):
        raise UsageError(f"there is no adapter on record in {folder}; make one with: closecall train grpo")
    return _open_registry(folder)


def _to_jsonable(value: Any) -> dict[str, Any]:
    """Return a value of the registry as JSON types, with times as in the journal."""
    import json

    from engine.journal.canonical import canonical_json

    fields = asdict(value)
    if "folder" in fields:
        fields["folder"] = str(fields["folder"])
    plain: dict[str, Any] = json.loads(canonical_json(fields))
    return plain


def _print_list(known: "Sequence[Adapter]", folder: "Path") -> None:
    from strategies.result_table import create_console
    from tui.cli.tables import create_list
    from tui.formatting import number_formatter

    console = create_console()
    if not known:
        console.print(f"No adapters in {folder}. Make one: closecall train grpo", soft_wrap=True)
        return
    columns = ("adapter", "state", "student", "parent", "data until", "Brier")
    table = create_list(*columns, wrapped="student", right=("Brier",))
    for adapter in known:
        brier = adapter.scores.get("brier")
        # The word says who is champion; bold only helps to find it.
        table.add_row(
            adapter.name,
            adapter.status,
            adapter.student,
            adapter.origin,
            format_utc(adapter.cutoff)[:10],
            number_formatter(4)(brier if isinstance(brier, int | float) else None),
            style="bold" if adapter.status == "champion" else "",
        )
    console.print(table)


def _print_history(history: "History") -> None:
    from strategies.result_table import create_console
    from tui.cli.tables import print_pairs

    adapter = history.adapter
    print_pairs(
        {
            "adapter": adapter.name,
            "state": adapter.status.value,
            "student": adapter.student,
            "parent": adapter.origin,
            "children": ", ".join(history.children) or "none",
            "data until": format_utc(adapter.cutoff),
            "entered": format_utc(adapter.created_at),
            "fingerprint": adapter.fingerprint,
            "folder": adapter.folder,
            **{f"recipe {name}": value for name, value in _inline_values(adapter.recipe).items()},
            **{f"score {name}": value for name, value in _inline_values(adapter.scores).items()},
        }
    )
    console = create_console()
    console.print()
    for change in history.changes:
        console.print(_describe_change(change), soft_wrap=True)
        for reason in change.payload.get("scores", {}).get("reasons", ()):
            console.print(f"    gate: {reason}", soft_wrap=True)


def _inline_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that fit a line; lists and mappings are for --json."""
    return {
        name: value
        for name, value in values.items()
        if not isinstance(value, Mapping | Sequence) or isinstance(value, str)
    }


def _describe_change(change: "Change") -> str:
    payload = change.payload
    what = change.kind.replace("_", " ")
    by = f" by {payload['by']}" if "by" in payload else ""
    why = f": {payload['reason']}" if payload.get("reason") else ""
    return f"{format_utc(change.at)}  {what}{by}{why}"


def _print_change(change: "Change", *, before: str | None, as_json: bool) -> None:
    from strategies.result_table import create_console

    if as_json:
        print_json({**_to_jsonable(change), "before": before})
        return
    after = change.champion or "the bare base model"
    create_console().print(
        f"{change.student}: {after} answers from now on; before, {before or 'the bare base model'} did.",
        soft_wrap=True,
    )
