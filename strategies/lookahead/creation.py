"""Create a student or strategy of the user's again, from data that are cut or altered.

What it was created with is changed where it is market data: `MarketData`, bars, news, and frames and series
of pandas whose rows have a time. All else is passed as it was.
"""

import copy
from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any

from engine.model import Bar, NewsItem
from engine.user_code import CreationArguments
from strategies.lookahead.worlds import World
from strategies.market_data import MarketData


def recreate(creator: Any, world: World) -> Any:
    """Return a new object like the one given, from data as they are in a world.

    Args:
        creator: An object, or a class or function of the market data that returns one.
        world: What is done to the data.
    """
    if is_factory(creator):
        return creator(*([world.apply(world.market)] if _takes_argument(creator) else []))
    created_with = getattr(creator, "_created_with", None)
    if isinstance(created_with, CreationArguments):
        created = _create(type(creator), created_with, world)
        if vars(created).keys() == vars(creator).keys():
            return created
    # It has attributes that were set later: with these it is copied.
    data = {name: value for name, value in getattr(creator, "__dict__", {}).items() if is_data(value)}
    copied = copy.deepcopy(creator, {id(value): value for value in data.values()})
    for name, value in data.items():
        object.__setattr__(copied, name, change_data(value, world))
    return copied


def _create(kind: type, created_with: CreationArguments, world: World) -> Any:
    args = [change_data(value, world) for value in created_with.args]
    kwargs = {name: change_data(value, world) for name, value in created_with.kwargs.items()}
    return kind(*args, **kwargs)


def is_factory(creator: Any) -> bool:
    """Return whether it is a class, or a function of the market data, and no object yet."""
    is_object = hasattr(creator, "answer") or hasattr(creator, "on_close")
    return isinstance(creator, type) or (callable(creator) and not is_object)


def change_data(value: Any, world: World) -> Any:
    """Return a value as it is in a world: the same where it holds no market data."""
    match value:
        case MarketData():
            return world.apply(value)
        case Mapping():
            return {key: change_data(each, world) for key, each in value.items()}
        case [Bar(), *_]:
            return type(value)(world.change_bars(value))
        case [NewsItem(), *_]:
            return type(value)(world.change_news(value))
        case list() | tuple() if is_data(value):
            return type(value)(change_data(each, world) for each in value)
    if isinstance(getattr(value, "_created_with", None), CreationArguments):
        return recreate(value, world)
    if _is_frame(value):
        from strategies.lookahead.frames import change_frame

        return change_frame(value, world)
    return value


def is_data(value: Any) -> bool:
    """Return whether a value holds market data."""
    if isinstance(value, Mapping):
        return any(map(is_data, value.values()))
    if isinstance(value, list | tuple):
        return bool(value) and is_data(value[0])
    created_with = getattr(value, "_created_with", None)
    if isinstance(created_with, CreationArguments):
        return _holds_data(created_with)
    return isinstance(value, MarketData | Bar | NewsItem) or _is_frame(value)


def _takes_argument(creator: Callable[..., Any]) -> bool:
    positional = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    parameters = signature(creator).parameters.values()
    return any(each.default is Parameter.empty and each.kind in positional for each in parameters)


def _holds_data(created_with: CreationArguments) -> bool:
    return any(map(is_data, (*created_with.args, *created_with.kwargs.values())))


def _is_frame(value: Any) -> bool:
    """Return whether it is a frame or series of pandas, without importing pandas."""
    return type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "iloc")
