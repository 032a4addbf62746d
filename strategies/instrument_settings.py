"""Build the instruments of a run, with costs and calendars, from its symbols and its configuration."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import date
from functools import reduce
from typing import Any

from pydantic import BaseModel

from engine.calendars import Calendar, load_calendar
from engine.errors import UsageError, quote_key, toml_table
from engine.instruments import DEFAULT_COSTS, AssetClass, Costs, Instrument, is_round_the_clock
from feeds.instruments import guess_instrument, known_names, parse_pair
from feeds.symbols import NameTable
from strategies.config import BacktestConfig, InstrumentTable


def build_instruments(
    symbols: Iterable[str], config: BacktestConfig, days: Mapping[str, Iterable[date]] | None = None
) -> dict[str, Instrument]:
    """Return the instruments of symbols: guessed, with what the configuration states of them.

    Args:
        symbols: The symbols.
        config: The configuration.
        days: The first days with bars by symbol, as far as they are known.

    Raises:
        UsageError: For a statement that cannot be.
    """
    return {
        symbol: _instrument(
            guess_instrument(symbol, (days or {}).get(symbol, ())), config.instruments.get(symbol)
        )
        for symbol in symbols
    }


_SHOWN_SYMBOLS = 4
_SHARED_CALENDAR = "XSHG"


def describe_assumptions(config: BacktestConfig, instruments: Mapping[str, Instrument]) -> list[str]:
    """Return a note on the markets and currencies that were taken from symbols, which files cannot state."""
    groups: dict[str, list[str]] = {}
    for symbol, instrument in instruments.items():
        stated = config.instruments.get(symbol, InstrumentTable())
        if stated.currency is None or (stated.calendar is None and stated.asset_class is None):
            calendar = instrument.calendar
            shared = ", which Shenzhen shares" if calendar == _SHARED_CALENDAR else ""
            market = f"{instrument.asset_class}, calendar {calendar}{shared}, {instrument.currency}"
            groups.setdefault(market, []).append(symbol)
    if not groups:
        return []
    parts = [f"{_shorten(symbols)}: {market}" for market, symbols in groups.items()]
    return [f"Assumed from the symbols, unless [instruments] says otherwise: {'; '.join(parts)}."]


def _shorten(symbols: Sequence[str]) -> str:
    more = len(symbols) - _SHOWN_SYMBOLS
    return ", ".join(symbols[:_SHOWN_SYMBOLS]) + (f" and {more} more" if more > 0 else "")


def find_unused_names(
    config: BacktestConfig, instruments: Mapping[str, Instrument], known: Collection[str]
) -> list[str]:
    """Return a note on each name under [instruments] and [aliases] that matches nothing.

    Args:
        config: The configuration.
        instruments: The traded instruments by symbol.
        known: All symbols that could be traded.

    Raises:
        UsageError: For a name that is close to a traded symbol, which would be left without what it states.
    """
    names = NameTable.for_instruments(instruments.values())
    unused = [("instruments", name) for name in config.instruments if name not in known]
    unused += [("aliases", name) for name in config.aliases if not names.contains(name) and name not in known]
    notes = []
    for table, name in unused:
        entry = toml_table(table, name) if table == "instruments" else f"{quote_key(name)} in [{table}]"
        near = sorted(names.resolve(name))
        if not names.contains(name):
            near = [s for s in instruments if s not in getattr(config, table) and _is_close(name, s)]
        if near:
            raise UsageError(f"{entry} matches no symbol; did you mean {quote_key(near[0])}?")
        notes.append(f"{entry} matches no symbol of this run and has no effect.")
    return notes


_MIN_LIKENESS = 0.75


def _is_close(name: str, symbol: str) -> bool:
    """Whether a name may be a symbol that was misspelt or cut short. Numbers are close to no other number."""
    one, other = (re.sub(r"\W|_", "", word).casefold() for word in (name, symbol))
    if one == other or (min(len(one), len(other)) > 2 and (one.startswith(other) or other.startswith(one))):
        return True
    if one.isdigit() or other.isdigit():
        return False
    if (pair := parse_pair(name)) and (traded := parse_pair(symbol)):
        one, other = pair[0], traded[0]
    return difflib.SequenceMatcher(a=one, b=other).ratio() >= _MIN_LIKENESS


_EXAMPLES = {
    AssetClass.COIN: "BTC-USD",
    AssetClass.STOCK: "AAPL",
    AssetClass.A_SHARE: "600519",
    AssetClass.FX: "EURUSD",
}


def _instrument(guess: Instrument, table: InstrumentTable | None) -> Instrument:
    if table is None:
        return guess
    symbol, asset_class = guess.symbol, table.asset_class
    if asset_class is None and is_round_the_clock(table.calendar or ""):
        asset_class = AssetClass.COIN  # no share trades round the clock
    if asset_class is not None and asset_class is not guess.asset_class:
        names = known_names(symbol, asset_class)
        guess = replace(guess_instrument(_EXAMPLES[asset_class]), symbol=symbol, names=names)
    stated = _stated(table, Instrument)
    try:
        return replace(guess, **{**stated, "names": guess.names + table.names})
    except ValueError as error:
        raise UsageError(f"{toml_table('instruments', symbol)}: {error}") from error


def load_calendars(
    instruments: Mapping[str, Instrument], spans: Mapping[str, tuple[date, date]]
) -> dict[str, Calendar]:
    """Return the calendars of the instruments by code, each over the days of all its symbols' spans."""
    codes: dict[str, list[tuple[date, date]]] = {}
    for symbol, instrument in instruments.items():
        codes.setdefault(instrument.calendar, []).append(spans[symbol])
    return {
        code: load_calendar(code, min(first for first, _ in some), max(last for _, last in some))
        for code, some in codes.items()
    }


def build_costs(config: BacktestConfig, instruments: Mapping[str, Instrument]) -> dict[str, Costs]:
    """Return each symbol's costs: the defaults of its class, and over them what run, class and symbol state.

    Raises UsageError for a statement that cannot be.
    """
    costs = {}
    for symbol, instrument in instruments.items():
        tables = (config, config.costs.get(instrument.asset_class), config.instruments.get(symbol))
        stated = [_stated(table, Costs) for table in tables if table is not None]
        try:
            costs[symbol] = reduce(
                lambda known, values: replace(known, **values), stated, _default(instrument)
            )
        except ValueError as error:
            raise UsageError(f"costs of {symbol}: {error}") from error
    return costs


def _default(instrument: Instrument) -> Costs:
    return DEFAULT_COSTS[instrument.asset_class]


def _stated(table: BaseModel, kind: type[Costs | Instrument]) -> dict[str, Any]:
    """Return what a table states of the fields of `kind`."""
    names = (item.name for item in fields(kind))
    return {name: value for name in names if (value := getattr(table, name, None)) is not None}
