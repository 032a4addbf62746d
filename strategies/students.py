"""Which student a run asks and how. Whether prompts are masked is decided once, from the days forecast."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from engine.errors import UsageError
from engine.instruments import Instrument
from feeds.instruments import known_names
from feeds.known_names import KNOWN
from feeds.symbols import NameTable
from llm.backends import masks_by_default
from llm.student import Student, StudentSettings, Task
from strategies.config import BacktestConfig, Names, student_settings
from strategies.market_data import MarketData


def settle_mask(
    config: BacktestConfig, market: MarketData, load: Callable[[StudentSettings], Student]
) -> tuple[BacktestConfig, MarketData]:
    """Return the configuration with `mask` decided, and the market data with a note that says so.

    Where the configuration leaves it open, prompts are masked for every student whose release is unknown or
    later than the first day: it may have read of the days that it forecasts. Nobody has read of a simulated
    market, and a model may state in its closecall.json that it has read nothing.

    Args:
        config: The configuration of the run.
        market: Its market data.
        load: Loads a student; its weights are not needed.
    """
    if config.task is Task.SAME_DAY:
        market = replace(market, notes=(*market.notes, SAME_DAY_NOTE))
    unmasked = student_settings(config.model_copy(update={"mask": None}))
    if market.is_simulated or not masks_by_default(unmasked):
        return config, market
    released = load(unmasked).released
    if released is not None and released <= market.start.date():
        return config, market
    why = f"released {released}" if released else "its release is not known"
    masked = config.mask is not False
    note = (
        f"The student may have read of these days ({why}): names and dates in its prompts are "
        f"{'replaced (--no-mask shows them)' if masked else 'shown, because of --no-mask'}."
    )
    return config.model_copy(update={"mask": masked}), replace(market, notes=(*market.notes, note))


def settle_student(
    config: BacktestConfig, market: MarketData, load: Callable[[StudentSettings], Student]
) -> tuple[BacktestConfig, MarketData, Student]:
    """Return what `settle_mask` returns for the same arguments, and the student that answers accordingly."""
    config, market = settle_mask(config, market, load)
    return config, market, load(recorded_settings(config, market.instruments))


def list_names(instruments: Mapping[str, Instrument], aliases: Mapping[str, Sequence[str]]) -> Names:
    """Return the names of the traded symbols, then those of all other instruments that the feeds know."""
    table = NameTable.for_instruments(instruments.values(), aliases)
    names = {
        symbol: dict.fromkeys((*known_names(symbol, item.asset_class), *item.names))
        for symbol, item in instruments.items()
    }
    for name, more in aliases.items():
        for symbol in table.resolve(name) & names.keys():
            names[symbol] |= dict.fromkeys((name, *more))
    groups = dict.fromkeys(group for known in KNOWN.values() for group in known.values())
    untraded = [(group[0], group) for group in groups if not table.resolve(group[0])]
    return (*((symbol, tuple(words)) for symbol, words in names.items()), *untraded)


def recorded_settings(
    config: BacktestConfig, instruments: Mapping[str, Instrument], adapter: Path | None = None
) -> StudentSettings:
    """Return the settings of the student of a recorded run, whose configuration has decided on the mask.

    Args:
        config: The configuration in the run's journal.
        instruments: The instruments of the run.
        adapter: An adapter in place of the configuration's.
    """
    return student_settings(config, adapter, list_names(instruments, config.aliases) if config.mask else ())


SAME_DAY_NOTE = (
    "Task same-day: each forecast is of a day's close, from that day's own open, high, low, volume and news. "
    "It could not have been made in time, so it is scored and nothing is traded: no order of anyone, and "
    "every return is zero."
)


def names_student(config: BacktestConfig) -> bool:
    """Return whether a configuration names a student, rather than leaving it at the default."""
    return bool(config.model_fields_set & {"student", "adapter"})


def require_student(config: BacktestConfig, student: Student | None) -> None:
    """Raise UsageError where ablations are asked for and a strategy trades without forecasts."""
    if config.ablate and student is None and not names_student(config):
        raise UsageError("--ablate: this strategy trades without forecasts; add --student, or leave it out")


def refuse_backtest_keys(config: BacktestConfig, command: str) -> None:
    """Raise UsageError where a command that neither calibrates nor ablates is asked to."""
    if config.ablate:
        raise UsageError(f"--ablate: ablations are made by a backtest, and this is {command}; leave it out")
    if config.calibrate is not None:
        raise UsageError(f"--calibrate {config.calibrate}: {command} trades stated confidences; leave it out")


def require_next_close(config: BacktestConfig, command: str) -> None:
    """Raise UsageError for a task whose forecasts cannot be traded."""
    if config.task is not Task.NEXT:
        raise UsageError(
            f"--task {config.task}: it is scored and never traded, so {command} has no use for it; "
            "run: closecall backtest --task same-day"
        )
