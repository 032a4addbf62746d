"""The screens of the dashboard in the order of their digits, one module for each."""

from tui.dashboard.screens import backtest, forecast, health, journal, overview, session, training
from tui.dashboard.view_state import ScreenPlan

SCREENS: tuple[ScreenPlan, ...] = (
    overview.SCREEN,
    session.SCREEN,
    forecast.SCREEN,
    training.SCREEN,
    backtest.SCREEN,
    journal.SCREEN,
    health.SCREEN,
)


def get_screen_plan(name: str) -> ScreenPlan:
    """Return the screen of that name."""
    return next(plan for plan in SCREENS if plan.name == name)
