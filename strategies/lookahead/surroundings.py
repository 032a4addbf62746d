"""Put a user's code into a world: the data that it reads, and those in the variables that its functions name.

What pandas and `MarketData` read or simulate is cut or altered as it is read. For an object whose file is not
run again, variables around its class that hold market data are exchanged for the time of a block.
"""

import inspect
import sysconfig
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from strategies.lookahead.creation import change_data, is_data
from strategies.lookahead.worlds import Alteration, World
from strategies.market_data import MarketData

_PANDAS = (
    *("read_csv", "read_table", "read_parquet", "read_json", "read_feather", "read_excel", "read_pickle"),
)
_MARKET = ("from_files", "from_store", "simulated")
_PACKAGES = Path(__file__).parents[2]
_STANDARD = sysconfig.get_path("stdlib")
_OURS = tuple(f"{_PACKAGES / name}/" for name in ("engine", "feeds", "llm", "strategies", "training", "tui"))


@contextmanager
def alter_readers(world: World) -> Iterator[None]:
    """Let what is read within the block be as it is in a world."""
    if world.alteration is Alteration.REAL:
        yield
        return
    import pandas as pd

    with ExitStack() as stack:
        for name in _PANDAS:
            read = getattr(pd, name)
            stack.callback(setattr, pd, name, read)
            setattr(pd, name, _change_result(read, world))
        for name in _MARKET:
            method = vars(MarketData)[name]
            stack.callback(setattr, MarketData, name, method)
            setattr(MarketData, name, classmethod(_change_result(method.__func__, world)))
        yield


@contextmanager
def alter_variables(creator: Any, world: World) -> Iterator[None]:
    """Let market data in the variables that a user's functions name be as they are in a world.

    Args:
        creator: The user's object, class or function.
        world: What is done to the data.
    """
    with ExitStack() as stack:
        if world.alteration is not Alteration.REAL:
            for variables, name in _find_variables(creator):
                value = variables[name]
                stack.callback(variables.__setitem__, name, value)
                variables[name] = change_data(value, world)
        yield


class _Cell(dict[str, Any]):
    """The variable of an enclosing function, as a mapping from its name."""

    def __init__(self, cell: types.CellType) -> None:
        super().__init__()
        self._cell = cell

    def __getitem__(self, _name: str) -> Any:
        return self._cell.cell_contents

    def __setitem__(self, _name: str, value: Any) -> None:
        self._cell.cell_contents = value


def _find_variables(creator: Any) -> list[tuple[dict[str, Any], str]]:
    """Return the variables with market data that the functions of a creator, and what they use, name."""
    found: dict[tuple[int, str], tuple[dict[str, Any], str]] = {}
    waiting = [creator if isinstance(creator, type | types.FunctionType) else type(creator)]
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen or not _is_users(value):
            continue
        seen.add(id(value))
        for variables, name in _list_variables(value):
            if is_data(variables[name]):
                found[id(variables), name] = variables, name
            else:
                waiting.append(variables[name])
    return list(found.values())


def _list_variables(value: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the variables that a function names, those of a class's functions, or an object's attributes."""
    if isinstance(value, type):
        for kind in value.__mro__:
            for member in vars(kind).values():
                function = getattr(member, "fget" if isinstance(member, property) else "__func__", member)
                if isinstance(function, types.FunctionType) and _is_users(function):
                    yield from _list_variables(function)
    elif isinstance(value, types.FunctionType):
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            if _is_filled(cell):
                yield _Cell(cell), name
        for name in _list_names(value.__code__) & value.__globals__.keys():
            yield value.__globals__, name
    else:
        yield from ((vars(value), name) for name in vars(value))


def _is_users(value: Any) -> bool:
    """Return whether it is a function, a class or an object of the user's own code."""
    if isinstance(value, types.ModuleType):
        return False
    kind = value if isinstance(value, type | types.FunctionType) else type(value)
    if not isinstance(value, type | types.FunctionType) and not hasattr(value, "__dict__"):
        return False
    try:
        file = inspect.getfile(kind)
    except (TypeError, OSError):  # built in, or written in an interactive session
        return isinstance(value, types.FunctionType) or getattr(kind, "__module__", "") == "__main__"
    return not file.startswith((*_OURS, _STANDARD)) and "site-packages" not in file


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # not assigned yet
        return False


def _list_names(code: types.CodeType) -> set[str]:
    """Return the names that code and the functions within it use."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*map(_list_names, inner))


def _change_result(read: Callable[..., Any], world: World) -> Callable[..., Any]:
    @wraps(read)
    def read_changed(*args: Any, **kwargs: Any) -> Any:
        return change_data(read(*args, **kwargs), world)

    return read_changed
