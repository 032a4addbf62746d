"""The screens of the dashboard, one module for each."""

from importlib import import_module

from tui.dashboard.view_state import ScreenPlan

_MODULES = (  # in the order of their digits
    "overview",
    "session",
    "forecast",
    "training",
    "backtest",
    "journal",
    "health",
)

SCREENS: tuple[ScreenPlan, ...] = tuple(import_module(f"{__name__}.{module}").SCREEN for module in _MODULES)


def get_screen_plan(name: str) -> ScreenPlan:
    """Return the screen of that name."""
    return next(plan for plan in SCREENS if plan.name == name)
