"""Command-line options made from the configuration: one for each key that a command includes."""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import typer
from annotated_types import Ge, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from strategies.config import BacktestConfig, Flag

Command = Callable[..., None]
FLAGS = "flags"
"""The parameter of a command that receives the values given, as keys of the configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Option:
    """The option of one key: how it is written, its type on the command line, and its help."""

    path: tuple[str, ...]
    flag: str
    type: Any
    metavar: str | None
    help: str | None
    commas: bool

    @property
    def name(self) -> str:
        return "_".join(self.path)

    @property
    def _two_ways(self) -> bool:
        """Whether it is a switch that can be turned on and off, such as --mask/--no-mask."""
        return "/" in self.flag

    def parameter(self) -> inspect.Parameter:
        switch = self.type is bool and not self._two_ways
        option = typer.Option(self.flag, metavar=self.metavar, help=self.help)
        return inspect.Parameter(
            self.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if switch else None,
            annotation=Annotated[self.type if switch else self.type | None, option],
        )

    def add_value(self, flags: dict[str, Any], value: Any) -> None:
        """Put a value that was given among the keys of its table."""
        if value is None or value == [] or (value is False and not self._two_ways):
            return
        if self.commas:
            value = [part for word in value for part in word.split(",") if part]
        *tables, key = self.path
        for table in tables:
            flags = flags.setdefault(table, {})
        switch = self.type is bool and not self._two_ways
        flags[key] = not self.flag.startswith("--no-") if switch else value


def config_options(
    *keys: str,
    without: Collection[str] = (),
    flags: Mapping[str, str] | None = None,
    texts: Mapping[str, str] | None = None,
) -> Callable[[Command], Command]:
    """Give a command an option for each key of the configuration that it includes.

    The command has a parameter `flags` in the place of the options. It receives the values that were given,
    as `strategies.config.load_config` takes them: those of a table are a mapping under its name.

    Args:
        keys: Keys of `BacktestConfig`; those of a table with its name, such as "market.days". "*" and
            "market.*" stand for all keys that have a description, so that a new one is an option by itself.
        without: Keys that are left out of these.
        flags: What an option is called in this command, by key, if not as everywhere.
        texts: The help of an option in this command, by key, if not as everywhere.
    """
    options = [
        _create_option(key, (flags or {}).get(key), (texts or {}).get(key))
        for pattern in keys
        for key in _expand(pattern)
        if key not in without
    ]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(**given: Any) -> None:
            values: dict[str, Any] = {}
            for option in options:
                option.add_value(values, given.pop(option.name))
            command(**{FLAGS: values}, **given)

        signature = inspect.signature(command)
        parameters: list[inspect.Parameter] = []
        for name, parameter in signature.parameters.items():
            if name == FLAGS:
                parameters += (option.parameter() for option in options)
            else:
                parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        # typer reads both.
        # typer reads the signature that a function states.
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def list_flags() -> list[str]:
    """Return the options that take several values."""
    options = (_create_option(key, None, None) for key in BacktestConfig.model_fields)
    return [option.flag for option in options if get_origin(option.type) is list]


def _expand(pattern: str) -> list[str]:
    if not pattern.endswith("*"):
        return [pattern]
    table = pattern.removesuffix("*")
    fields = _find_table(tuple(table.split(".")[:-1])).model_fields
    return [f"{table}{key}" for key, field in fields.items() if field.description]


def _create_option(key: str, flag: str | None, text: str | None) -> _Option:
    path = tuple(key.split("."))
    field = _find_table(path[:-1]).model_fields[path[-1]]
    stated = next((extra for extra in field.metadata if isinstance(extra, Flag)), Flag())
    kind, metavar = _command_line_type(field.annotation)
    return _Option(
        path=path,
        flag=flag or stated.name or "--" + path[-1].replace("_", "-"),
        type=kind,
        metavar=metavar,
        help=_describe(field, text),
        commas=stated.commas,
    )


def _describe(field: FieldInfo, text: str | None) -> str:
    """Return the help of an option: its text, then what it may be and its default."""
    sentence = (text or field.description or "").removesuffix(".")
    kinds = get_args(field.annotation)
    choices = next(filter(None, map(_list_choices, (field.annotation, *kinds))), ())
    if choices:
        sentence += f": {', '.join(choices[:-1])} or {choices[-1]}"
    limits = [*field.metadata, *(limit for kind in kinds for limit in getattr(kind, "__metadata__", ()))]
    bounds = [limit for known in limits for limit in getattr(known, "metadata", [known])]
    least = [str(limit.ge) for limit in bounds if isinstance(limit, Ge)]
    most = [str(limit.le) for limit in bounds if isinstance(limit, Le)]
    notes = [f"{least[0]} to {most[0]}"] if least and most else []
    if not isinstance(field.default, bool) and field.default and "default" not in sentence.lower():
        default = field.default
        notes.append(f"default {default:g}" if isinstance(default, float) else f"default {default}")
    return sentence + (f" ({'; '.join(notes)})" if notes else "") + "."


def _list_choices(annotation: Any) -> tuple[str, ...]:
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return tuple(annotation)
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _find_table(path: tuple[str, ...]) -> type[BaseModel]:
    model: type[BaseModel] = BacktestConfig
    for table in path:
        model = cast(type[BaseModel], model.model_fields[table].annotation)
    return model


def _command_line_type(annotation: Any) -> tuple[Any, str | None]:
    """Return what typer is to parse and its metavar; the configuration checks and converts the rest."""
    kinds = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _command_line_type(kinds[0])
    if get_origin(annotation) in (Union, UnionType):
        return _command_line_type(next(kind for kind in kinds if kind is not NoneType))
    if get_origin(annotation) is tuple:
        kind, metavar = _command_line_type(kinds[0])
        # The type is a value here, for typer.
        return list[kind], metavar  # type: ignore[valid-type]
    if annotation is date:
        return str, "DATE"
    return (annotation if annotation in (bool, int, float, Path) else str), None
