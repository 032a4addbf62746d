"""A sequence of records that keeps a column for each of their fields, in a third of the memory of objects."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Generic, TypeAlias, TypeVar, overload

R = TypeVar("R")
_Column: TypeAlias = "array[Any] | list[Any]"
_CODES: dict[Any, str] = {float: "d", int: "q"}
_BATCH = 1024


class RecordTable(Sequence[R], Generic[R]):
    """Records of one dataclass with slots, read like a tuple of them.

    A column of numbers takes eight bytes a record; any other holds references. A record is made again each
    time it is read, equal to the one that was added, without its checks.
    """

    __slots__ = ("_added", "_defaults", "_filed", "_kind", "_names", "_setters", "_values")

    def __init__(self, kind: type[R]) -> None:
        self._kind = kind
        found = fields(kind)  # type: ignore[arg-type]  # any dataclass will do
        self._name_columns([field.name for field in found])
        self._filed: list[_Column] = [
            array(_CODES[field.type]) if field.type in _CODES else [] for field in found
        ]
        self._added: list[tuple[Any, ...]] = []

    @classmethod
    def from_columns(cls, kind: type[R], **columns: _Column) -> "RecordTable[R]":
        """Return a table of columns of one length, by the names of the fields; others have their defaults."""
        table = cls(kind)
        table._name_columns(list(columns))
        table._filed = list(columns.values())
        return table

    def _name_columns(self, names: list[str]) -> None:
        self._names, self._values = names, attrgetter(*names)
        self._setters = [getattr(self._kind, name).__set__ for name in names]
        # Every kind of record is a dataclass, which its type cannot say.
        others = [field for field in fields(self._kind) if field.name not in names]  # type: ignore[arg-type]
        self._defaults = [(getattr(self._kind, field.name).__set__, field.default) for field in others]

    def append(self, record: R) -> None:
        """Add a record at the end."""
        self._added.append(self._values(record))
        if len(self._added) >= _BATCH:
            self._file()

    def _file(self) -> None:
        """Move the records added last into the columns; many at a time take a fraction of the time."""
        added, self._added = self._added, []
        for place, values in enumerate(zip(*added, strict=True)):
            column = self._filed[place]
            if isinstance(column, array) and any(
                _CODES.get(type(value)) != column.typecode for value in values
            ):
                # An int among floats, say, is to be read as it was written.
                column = self._filed[place] = list(column)
            column.extend(values)

    @property
    def _columns(self) -> list[_Column]:
        if self._added:
            self._file()
        return self._filed

    def column(self, name: str) -> Sequence[Any]:
        """Return the values of a field, in the order of the records."""
        return self._columns[self._names.index(name)]

    def sort(self, name: str) -> None:
        """Sort by a field; records with equal values stay in order."""
        key = self._columns[self._names.index(name)]
        order = sorted(range(len(key)), key=key.__getitem__)
        self._filed = [_pick(column, order) for column in self._filed]

    def _record(self, values: Sequence[Any]) -> R:
        record = object.__new__(self._kind)
        for set_field, value in zip(self._setters, values, strict=True):
            set_field(record, value)
        for set_field, value in self._defaults:
            set_field(record, value)
        return record

    def __len__(self) -> int:
        return len(self._columns[0])

    @overload
    def __getitem__(self, place: int) -> R: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[R, ...]: ...

    def __getitem__(self, place: int | slice) -> R | tuple[R, ...]:
        """Return a record, or a tuple of those in a range."""
        cells = [column[place] for column in self._columns]
        return (
            tuple(map(self._record, zip(*cells, strict=True)))
            if isinstance(place, slice)
            else self._record(cells)
        )

    def __iter__(self) -> Iterator[R]:
        return map(self._record, zip(*self._columns, strict=True))

    def __eq__(self, other: object) -> bool:
        """Whether the other is a sequence of equal records: a tuple, a list or a table."""
        if not isinstance(other, tuple | list | RecordTable):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as a list's, whose records may be added to

    def __repr__(self) -> str:
        return repr(tuple(self))


def _pick(column: _Column, order: Sequence[int]) -> _Column:
    picked = map(column.__getitem__, order)
    return array(column.typecode, picked) if isinstance(column, array) else list(picked)
