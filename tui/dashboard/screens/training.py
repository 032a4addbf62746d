"""Screen 4, Retrain: folds and verdicts, reward and its parts, guards, champion and challengers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.text import Text

from strategies.monitor import fields
from strategies.monitor.catalog import JournalType
from strategies.monitor.views import AdapterView, EvaluationView, FoldView, JournalView
from tui.dashboard.drawing import (
    Cell,
    draw_bar,
    draw_sparkline,
    draw_table,
    empty_state,
    key_values,
    paragraph,
    row,
    text_line,
)
from tui.dashboard.themes import Palette
from tui.dashboard.view_state import Panel, ScreenPlan, ViewState, grid_css
from tui.formatting import NONE, format_date, format_duration, format_percent, format_short_datetime

_NONE = "No training is on record."
_MAKE = "T does one round; or: closecall retrain; or, through all of history: closecall walkforward"

_MORE_FIGURES = (
    "entropy",
    "kl",
    "accuracy",
    "loss",
    "reward_std",
    "dead_groups",
    "invalid",
    "clipped",
    "gradient",
    "up",
)


def select_training(state: ViewState) -> JournalView | None:
    """The training that is looked at: the chosen journal's own, its rounds, or else the newest there is."""
    chosen = state.journal
    if chosen is not None and (chosen.training.steps or chosen.training.folds or chosen.training.planned):
        return chosen
    trainings = [
        journal for journal in state.snapshot.journals if journal.training.steps or journal.training.folds
    ]
    own = [journal for journal in trainings if chosen is not None and journal.place.name == chosen.place.name]
    newest = (
        max(trainings, key=lambda journal: journal.training.at or journal.place.name, default=None)
        if trainings
        else None
    )
    return own[0] if own else newest


def _draw_progress(state: ViewState, width: int, _height: int) -> Sequence[Text]:
    journal = select_training(state)
    if journal is None:
        return empty_state(_NONE, _MAKE, width)
    training = journal.training
    ended = (
        f"finished {format_short_datetime(journal.ended_at, state.zone)}"
        if journal.state == "finished"
        else ""
    )
    # All events of a round bear the instant at which it began.
    timed = training.at if journal.place.type is not JournalType.TRAINING else None
    age = f", {format_duration(state.now - timed)} ago" if timed and not ended else ""
    done, planned = count_gated(journal)
    about = " ".join(filter(None, (journal.place.name, journal.title)))
    lines = paragraph(f"{about}: {ended or training.now + age}", width, 3, "bold")
    if planned:
        lines += key_values([("gated", f"{draw_bar(done / planned, 12)} {done} of {planned}", "")], width, 12)
    for text, style in (
        (_last_step_seconds(training.steps), ""),
        (_describe_settings(training.settings), "dim"),
    ):
        lines += paragraph(text, width, 4, style) if text else []
    return lines


def count_gated(journal: JournalView) -> tuple[int, int]:
    """How many folds, over all arms, the gate has met, and of how many."""
    folds = journal.training.folds
    return sum(fold.gated is not None for fold in folds), max(journal.training.planned, len(folds))


def _last_step_seconds(steps: Sequence[Mapping[str, Any]]) -> str:
    """The seconds of the last step that states them, and of its parts."""
    timed = [seconds for step in steps if (seconds := fields.get_mapping(step, "seconds"))]
    seconds = timed[-1] if timed else {}
    total = fields.get_number(seconds, "total")
    parts = [(name, fields.get_number(seconds, name)) for name in seconds if name != "total"]
    text = ", ".join(f"{name} {value:.1f}" for name, value in parts if value is not None and value >= 0.05)
    return "" if total is None else f"a step takes {total:.2f} s" + (f": {text}" if text else "")


def _describe_settings(settings: Mapping[str, Any]) -> str:
    """What was set, in a few words; the recipe's own is not named."""
    plain = {name: value for name, value in settings.items() if isinstance(value, str | int | float)}
    return ", ".join(f"{name} {value}".replace("_", " ") for name, value in plain.items())


def _figures(state: ViewState, width: int, _height: int) -> Sequence[Text]:
    journal = select_training(state)
    if journal is None or not journal.training.steps:
        return empty_state("No training step is journaled yet.", "They show here as they are done.", width)
    from training.rewards import PARTS  # here, since it brings pydantic, which the plain text needs not

    steps = journal.training.steps
    lines = []
    for name in ("reward", *PARTS, *_MORE_FIGURES):
        values = [value for step in steps if (value := fields.get_number(step, name)) is not None]
        if values:
            cells = [(name.replace("_", " "), 12, "dim"), (f"{values[-1]:.4g}", -9, "bold")]
            lines.append(
                row([*cells, (draw_sparkline(values, width - 25), width - 25, state.palette.curve)], width)
            )
    return lines or [text_line("the steps state no figure", width)]


def list_folds(state: ViewState) -> list[FoldView]:
    """The folds that are looked at, newest first."""
    journal = select_training(state)
    return list(reversed(journal.training.folds)) if journal else []


def _folds(state: ViewState, width: int, height: int) -> Sequence[Text]:
    folds = list_folds(state)
    if not folds:
        return empty_state("No fold is on record.", _MAKE, width)
    first = 18 if width >= 100 else 12  # an adapter's name is longer than a fold's
    widths = (first, -10, -7, 7, 14, -8, -7, max(0, width - 61 - first))
    names = ("fold", "trained on", "took", "guards", "gate", "Brier", "p", "why")
    columns = list(zip(names, widths, strict=True))

    def cells(fold: FoldView) -> Iterable[Cell]:
        texts, styles = zip(*_fold_texts(fold, state.palette), strict=True)
        return zip(texts, widths, styles, strict=True)

    return draw_table(state, "folds", folds, cells, (width, height), columns=columns)


def _fold_texts(fold: FoldView, look: Palette) -> list[tuple[str, str]]:
    """What the columns show of a fold, each with its style."""
    trained_, gated = fold.trained or {}, fold.gated
    seconds, clean = fields.get_number(trained_, "seconds"), trained_.get("clean")
    verdict = "in shadow" if gated is None else "✓ promoted" if gated.get("promoted") else "✗ not promoted"
    reasons = "; ".join(str(reason) for reason in fields.get_list(gated or {}, "reasons")[:5])
    brier, p = (fields.get_number(gated or {}, name) for name in ("brier_difference", "p_value"))
    return [
        (f"{fold.arm} {fold.number}" if fold.number else fold.arm, ""),
        (fields.get_text(trained_, "trained_on", 10) or NONE, ""),
        (NONE if seconds is None else f"{seconds:,.0f} s", ""),
        (NONE if clean is None else "passed" if clean else "failed", "" if clean else look.warn),
        (verdict, look.trend_style(bool(gated.get("promoted"))) if gated else "dim"),
        (NONE if brier is None else f"{brier:+.4f}", ""),
        (NONE if p is None else f"{p:.4f}", ""),
        (reasons or fields.get_text(trained_, "reason"), "dim"),
    ]


def _draw_reasons(state: ViewState, width: int, _height: int) -> Sequence[Text]:
    folds = list_folds(state)
    if not folds:
        return ()
    gated = folds[state.cursor("folds", len(folds))].gated
    if gated is None:
        return [text_line("The challenger shadows the champion; the gate has not met yet.", width)]
    lines = [
        line
        for reason in fields.get_list(gated, "reasons")[:9]
        for line in paragraph(f"- {reason}", width, 3)
    ]
    for name, both in fields.get_mapping(gated, "measures").items():
        if isinstance(both, list) and len(both) == 2:
            lines.append(
                text_line(
                    f"{str(name)[:20]:20} champion {both[0]!s:.8}  challenger {both[1]!s:.8}", width, "dim"
                )
            )
    return lines


DOING = Panel(
    name="doing",
    title="Training now",
    draw=_draw_progress,
    help="What the training does now, and how long a step takes by its parts.",
)

FIGURES = Panel(
    name="figures",
    title="Reward and its parts",
    draw=_figures,
    help="Each step's figures, the newest at the right: reward and its parts, entropy, KL to before.",
)

FOLDS = Panel(
    name="folds",
    title="Folds",
    draw=_folds,
    heading=1,
    rows=lambda s: len(list_folds(s)),
    help="Each fold: how much it was trained on, whether the guards passed, and the gate's verdict.",
)

WHY = Panel(
    name="why",
    title="The gate's reasons",
    draw=_draw_reasons,
    help="Why the challenger of the chosen fold was promoted or not.",
)


def _registry(state: ViewState, width: int, height: int) -> Sequence[Text]:
    registry = state.snapshot.registry
    if registry is None or not registry.adapters:
        text = "No adapter is on record: the student answers without one."
        return empty_state(text, "T trains one; or: closecall retrain", width)
    adapters = registry.adapters
    trouble = next((j.trouble for j in state.snapshot.journals if j.place.type is JournalType.REGISTRY), "")
    champions = (
        ", ".join(f"{name} for {student}" for student, name in registry.champions)
        or "none, the base model speaks"
    )
    head = f"registry {trouble}" if trouble else f"champion: {champions}"
    columns = [("adapter", 18), ("status", 12), *([("student", 14)] if width >= 80 else []), ("data to", 10)]
    columns.append(("last word", max(0, width - 2 - sum(wide + 1 for _, wide in columns))))

    def cells(adapter: AdapterView) -> Iterable[Cell]:
        mark = {"champion": "★ ", "challenger": "○ ", "rejected": "✗ "}.get(adapter.status, "  ")
        values = {
            "adapter": (adapter.name, ""),
            "status": (mark + adapter.status, "bold" if adapter.status == "champion" else ""),
            "student": (adapter.student, ""),
            "data to": (format_date(adapter.cutoff), "dim"),
            "last word": (adapter.verdict, "dim"),
        }
        return ((values[name][0], wide, values[name][1]) for name, wide in columns)

    table = draw_table(state, "adapters", adapters, cells, (width, height - 1), columns=columns)
    return [text_line(head, width), *table]


REGISTRY = Panel(
    name="adapters",
    title="Registry",
    draw=_registry,
    heading=2,
    rows=lambda s: len(s.snapshot.registry.adapters) if s.snapshot.registry else 0,
    help="Adapters on record, newest first: ★ the champion, ○ challengers. M promotes, B rolls back.",
)


_COLUMNS = (("right", "accuracy"), ("Brier", "brier"), ("KL", "kl"), ("invalid", "invalid"))


def _evaluations(state: ViewState, width: int, height: int) -> Sequence[Text]:
    journal = select_training(state)
    if journal is None:
        return empty_state("No training is on record.", "T begins one.", width)
    looks = journal.training.looks
    if not looks:
        return empty_state("No look at unseen days yet.", "One follows every few steps.", width)
    names: list[Cell] = [("arm, fold", 10, "bold"), ("step", -4, "bold")]
    heading = row([*names, *((name, -7, "bold") for name, _ in _COLUMNS)], width)
    lines = [heading]
    for look in reversed(looks):
        if len(lines) < height:
            lines += _draw_evaluation(state, look, width)
    return lines


def _draw_evaluation(state: ViewState, look: EvaluationView, width: int) -> list[Text]:
    """A line of figures, then one for each guard that failed."""
    who = f"{look.arm} {look.fold}" if look.fold else look.arm or "a round"
    cells: list[Cell] = [(who, 10, ""), (look.step, -4, "")]
    for _, name in _COLUMNS:
        value = fields.get_number(look.figures, name)
        share = name in ("accuracy", "invalid")
        text = NONE if value is None else format_percent(value) if share else f"{value:.4f}"
        cells.append((text, -7, ""))
    spoken = [paragraph(f"! {text}", width, 2, state.palette.warn) for text in look.guards]
    return [row(cells, width), *(line for lines in spoken for line in lines)]


VALIDATION = Panel(
    name="unseen",
    title="Unseen days and guards",
    draw=_evaluations,
    help="Newest first: greedy answers on days that were held out of the training, as the share of right "
    "directions, the Brier score and the KL divergence from the student before; ! is a guard that failed.",
)

SCREEN = ScreenPlan(
    name="retrain",
    title="Retrain",
    help="Folds, gate, registry.",
    panels=(DOING, FIGURES, FOLDS, WHY, REGISTRY, VALIDATION),
    css=grid_css("small", 2, "1fr 1fr", doing=1, figures=1, folds=2)
    + grid_css("middle", 20, "11 1fr 1fr", doing=10, figures=10, folds=20, adapters=11, unseen=9)
    + grid_css("large", 20, "18 1fr 1fr", doing=10, figures=10, folds=13, why=7, adapters=12, unseen=8),
)
