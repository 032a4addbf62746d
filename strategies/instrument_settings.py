"""Build the instruments of a run, with costs and calendars, from its symbols and its configuration."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from datetime import date
from functools import reduce
from typing import Any

from pydantic import BaseModel

from engine.calendars import Calendar, load_calendar
from engine.errors import UsageError
from engine.instruments import DEFAULT_COSTS, AssetClass, Costs, Instrument
from feeds.files.bars import guess_instrument
from strategies.config import BacktestConfig, InstrumentTable


def build_instruments(symbols: Iterable[str], config: BacktestConfig) -> dict[str, Instrument]:
    """Return what the symbols are: by their names, and by what the configuration states of them.

    Raises UsageError for a statement that cannot be.
    """
    return {symbol: _instrument(symbol, config.instruments.get(symbol)) for symbol in symbols}


_EXAMPLES = {
    AssetClass.COIN: "BTC-USD",
    AssetClass.STOCK: "AAPL",
    AssetClass.A_SHARE: "600519",
    AssetClass.FX: "EURUSD",
}


def _instrument(symbol: str, table: InstrumentTable | None) -> Instrument:
    guess = guess_instrument(symbol)
    if table is None:
        return guess
    if table.asset_class is not None and table.asset_class is not guess.asset_class:
        guess = replace(guess_instrument(_EXAMPLES[table.asset_class]), symbol=symbol, names=())
    stated = _stated(table, Instrument)
    try:
        return replace(guess, **{**stated, "names": guess.names + table.names})
    except ValueError as error:
        raise UsageError(f"[instruments.{symbol}]: {error}") from error


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
