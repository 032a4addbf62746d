"""The seven screens: which panels each has at which size, and the lines of a whole screen.

Pure: a sight and a size in, lines out; the app, `--once` and the pictures all draw through `render_screen`.
"""

from dataclasses import dataclass
from datetime import timedelta

from rich.text import Text

from tui.dashboard.drawing import fit_line, text_line
from tui.dashboard.frame import Band, Box, draw_boxes, layout_boxes
from tui.dashboard.sanitize import truncate
from tui.dashboard.screens import backtest, forecast, health, journal, news, overview, session, training
from tui.dashboard.view_state import Panel, ViewState
from tui.dashboard.wording import state_label
from tui.formatting import zone_name

Layout = tuple[Band, ...]

_FRESH = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenPlan:
    """A screen's name, and its bands on a small (80×24), a middle (120×40) and a large (200×60) terminal."""

    name: str
    title: str
    small: Layout
    middle: Layout
    large: Layout


def _band(height: float, *panels: Panel | tuple[Panel, float]) -> Band:
    pairs = tuple(one if isinstance(one, tuple) else (one, 0.5) for one in panels)
    return Band(height=height, panels=pairs)


_O, _S, _F, _R, _B, _J, _H = overview, session, forecast, training, backtest, journal, health

SCREENS = (
    ScreenPlan(
        name="overview",
        title="Overview",
        small=(_band(0.7, _O.JOURNALS), _band(7, _O.CHOSEN)),
        middle=(_band(0.5, _O.JOURNALS), _band(0.4, _S.EQUITY), _band(7, _O.CHOSEN)),
        large=(
            _band(0.4, _O.JOURNALS),
            _band(0.5, (_S.EQUITY, 0.6), (_S.CALLS, 0.4)),
            _band(8, (_O.CHOSEN, 0.6), (_H.NUMBERS, 0.4)),
        ),
    ),
    ScreenPlan(
        name="session",
        title="Session",
        small=(
            _band(0.34, _S.EQUITY),
            _band(0.33, _S.CALLS),
            _band(0.33, (_S.POSITIONS, 0.6), (_S.RISK, 0.4)),
        ),
        middle=(
            _band(0.36, (_S.EQUITY, 0.62), (_S.RISK, 0.38)),
            _band(0.36, (_S.CALLS, 0.55), (_S.TRADES, 0.45)),
            _band(0.28, (_S.POSITIONS, 0.55), (news.NEWS, 0.45)),
        ),
        large=(
            _band(0.4, (_S.EQUITY, 0.7), (_S.RISK, 0.3)),
            _band(0.34, (_S.CALLS, 0.38), (_S.POSITIONS, 0.62)),
            _band(0.26, (news.NEWS, 0.6), (_S.TRADES, 0.4)),
        ),
    ),
    ScreenPlan(
        name="forecast",
        title="Forecast",
        small=(_band(0.5, _F.DECISION, _F.OUTCOME), _band(0.5, _F.PROMPT, _F.OUTPUT)),
        middle=(
            _band(13, _F.DECISION, _F.OUTCOME),
            _band(0.5, (_F.PROMPT, 0.6), (_F.SO_FAR, 0.4)),
            _band(0.3, (_F.OUTPUT, 0.4), (_F.READ, 0.6)),
        ),
        large=(
            _band(14, (_F.DECISION, 0.33), (_F.OUTCOME, 0.33), (_F.SO_FAR, 0.34)),
            _band(0.6, (_F.PROMPT, 0.6), (_F.OUTPUT, 0.4)),
            _band(0.4, _F.READ),
        ),
    ),
    ScreenPlan(
        name="retrain",
        title="Retrain",
        small=(_band(0.5, _R.FOLDS), _band(0.5, _R.DOING, _R.FIGURES)),
        middle=(
            _band(11, _R.DOING, _R.FIGURES),
            _band(0.5, _R.FOLDS),
            _band(0.5, (_R.REGISTRY, 0.55), (_R.VALIDATION, 0.45)),
        ),
        large=(
            _band(18, (_R.DOING, 0.35), (_R.FIGURES, 0.35), (_R.VALIDATION, 0.3)),
            _band(0.5, (_R.FOLDS, 0.65), (_R.WHY, 0.35)),
            _band(0.5, _R.REGISTRY),
        ),
    ),
    ScreenPlan(
        name="backtest",
        title="Backtest",
        small=(_band(0.7, _B.SCORES), _band(0.3, _B.PROGRESS)),
        middle=(_band(10, _B.PROGRESS), _band(16, _B.SCORES), _band(0.9, _B.VERDICT)),
        large=(
            _band(16, (_B.SCORES, 0.55), (_B.PROGRESS, 0.45)),
            _band(0.6, _S.EQUITY),
            _band(0.4, _B.VERDICT),
        ),
    ),
    ScreenPlan(
        name="journal",
        title="Journal",
        small=(_band(0.7, _J.EVENTS), _band(0.3, _J.PAYLOAD)),
        middle=(_band(0.65, (_J.EVENTS, 0.9), (_J.KINDS, 30)), _band(0.35, _J.PAYLOAD)),
        large=(_band(0.9, (_J.EVENTS, 0.58), (_J.KINDS, 30), (_J.PAYLOAD, 0.42)),),
    ),
    ScreenPlan(
        name="health",
        title="Health",
        small=(_band(0.5, _H.NUMBERS), _band(0.5, _H.FEEDS)),
        middle=(_band(0.4, _H.NUMBERS, _H.FEEDS), _band(0.3, _H.GAPS), _band(0.3, _H.ERRORS)),
        large=(_band(0.5, (_H.NUMBERS, 0.4), (_H.FEEDS, 0.6)), _band(0.5, _H.GAPS, _H.ERRORS)),
    ),
)


def get_screen_plan(name: str) -> ScreenPlan:
    """The screen of that name."""
    return next(one for one in SCREENS if one.name == name)


def list_panels(name: str) -> list[Panel]:
    """Every panel of a screen, also those for which a small terminal has no room."""
    plan = get_screen_plan(name)
    found = {
        panel.name: panel for band in (*plan.small, *plan.middle, *plan.large) for panel, _ in band.panels
    }
    return list(found.values())


def layout(name: str, width: int, height: int, zoomed: str = "") -> list[Box]:
    """Where the panels of a screen stand, below the two lines at the top and above the one at the bottom.

    `zoomed` is the panel that has all the room for itself.
    """
    plan = get_screen_plan(name)
    alone = next((panel for panel in list_panels(name) if panel.name == zoomed), None)
    if alone is not None:
        return [Box(panel=alone, x=0, y=2, width=width, height=max(3, height - 3))]
    bands = (
        plan.large
        if width >= 160 and height >= 50
        else plan.middle
        if width >= 110 and height >= 32
        else plan.small
    )
    inner = max(3, height - 3)
    return [
        Box(panel=box.panel, x=box.x, y=box.y + 2, width=box.width, height=box.height)
        for box in layout_boxes(bands, width, inner)
    ]


def tab_at(x: int) -> str | None:
    """The screen whose name stands at a cell of the second line."""
    at = 0
    for number, plan in enumerate(SCREENS, start=1):
        at += len(f" {number} {plan.title} ")
        if x < at:
            return plan.name
    return None


def render_screen(sight: ViewState, width: int, height: int, hint: str = "") -> list[Text]:
    """Every line of the screen, each exactly `width` cells."""
    where = layout(sight.screen, width, height, sight.focus if sight.zoomed else "")
    body = draw_boxes(sight, [_shift_below_header(box) for box in where], width, max(3, height - 3))
    return [_draw_header(sight, width), _draw_tabs(sight, width), *body, _draw_footer(sight, width, hint)][
        :height
    ]


def _shift_below_header(box: Box) -> Box:
    return Box(panel=box.panel, x=box.x, y=box.y - 2, width=box.width, height=box.height)


def _draw_header(sight: ViewState, width: int) -> Text:
    """The badges, what is chosen, and the time."""
    one, look = sight.journal, sight.palette
    line = Text(no_wrap=True, end="")
    line.append(" closecall ", "bold")
    line.append(" PAPER ", look.paper)
    if one is not None and one.simulated:
        line.append(" SIMULATED ", look.simulated)
    if sight.readonly:
        line.append(" READ-ONLY ", "reverse")
    day = "%Y-%m-%d " if width >= 100 else ""
    time = f"{sight.now.astimezone(sight.zone):{day}%H:%M:%S} {zone_name(sight.zone, sight.now)} "
    if one is not None:
        room = max(0, width - line.cell_len - len(time) - 2)
        line.append("  " + truncate(f"{one.place.type} {one.place.name}: {state_label(one)}", room))
    line = fit_line(line, max(0, width - len(time)))
    line.append(time, "dim")
    return fit_line(line, width)


def _draw_tabs(sight: ViewState, width: int) -> Text:
    line = Text(no_wrap=True, end="")
    for number, plan in enumerate(SCREENS, start=1):
        line.append(f" {number} {plan.title} ", sight.palette.tab if plan.name == sight.screen else "")
    if sight.filter_text:
        line.append(f"  / {truncate(sight.filter_text, 30)}", sight.palette.warn)
    return fit_line(line, width)


def _draw_footer(sight: ViewState, width: int, hint: str) -> Text:
    """What went wrong, or just happened, or else which keys there are."""
    one = sight.journal
    if one is not None and one.trouble:
        return text_line(f"! journal {one.trouble}; what is shown is from before", width, sight.palette.warn)
    if sight.notice:
        return text_line(sight.notice, width, sight.palette.warn)
    if one is not None and one.notice_at is not None and sight.now - one.notice_at < _FRESH:
        return text_line(f"journal of {one.place.name}, {one.notice}", width, sight.palette.warn)
    return text_line(hint, width, "dim")
