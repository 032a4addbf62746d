"""The panel of looks at unseen days: what the student answered there as it was trained, and its guards."""

from collections.abc import Sequence

from rich.text import Text

from tui.dash import told
from tui.dash.drawing import Cell, hinted, paragraph, row
from tui.dash.retrain import trained
from tui.dash.sight import Panel, Sight
from tui.dash.views import LookView
from tui.dash.written import NONE, percent

_COLUMNS = (("right", "accuracy"), ("Brier", "brier"), ("KL", "kl"), ("invalid", "invalid"))


def _draw(sight: Sight, width: int, height: int) -> Sequence[Text]:
    one = trained(sight)
    if one is None:
        return hinted("No training is on record.", "T begins one.", width, height)
    looks = one.training.looks
    if not looks:
        return hinted("No look at unseen days yet.", "One follows every few steps.", width, height)
    names: list[Cell] = [("arm, fold", 10, "bold"), ("step", -4, "bold")]
    heading = row([*names, *((name, -7, "bold") for name, _ in _COLUMNS)], width)
    found = [heading]
    for look in reversed(looks):
        if len(found) < height:
            found += _look(sight, look, width)
    return found[:height]


def _look(sight: Sight, look: LookView, width: int) -> list[Text]:
    """A line of figures, then one for each guard that spoke."""
    who = f"{look.arm} {look.fold}" if look.fold else look.arm or "a round"
    cells: list[Cell] = [(who, 10, ""), (look.step, -4, "")]
    for _, name in _COLUMNS:
        value = told.number(look.figures, name)
        share = name in ("accuracy", "invalid")
        said = NONE if value is None else percent(value) if share else f"{value:.4f}"
        cells.append((said, -7, ""))
    spoken = [paragraph(f"! {said}", width, 2, sight.palette.warn) for said in look.guards]
    return [row(cells, width), *(line for lines in spoken for line in lines)]


UNSEEN = Panel(
    name="unseen",
    title="Unseen days and guards",
    draw=_draw,
    help="Newest first: greedy answers on days that were held out of the training, as the share of right "
    "directions, the Brier score and the KL divergence from the student before; ! is a guard that spoke.",
)
