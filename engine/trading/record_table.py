"""A sequence of records that keeps a column for each of their fields, in a third of the memory of objects."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Generic, TypeVar, overload

R = TypeVar("R")


class RecordTable(Sequence[R], Generic[R]):
    """Records of one dataclass, read like a tuple of them.

    A column of floats takes eight bytes a record; any other holds references. A record is made again each
    time it is read, equal to the one that was added.
    """

    __slots__ = ("_columns", "_kind", "_names", "_values")

    def __init__(self, kind: type[R]) -> None:
        self._kind = kind
        found = fields(kind)  # type: ignore[arg-type]  # any dataclass will do
        self._names = [field.name for field in found]
        self._values = attrgetter(*self._names)
        self._columns: list[array[float] | list[Any]] = [
            array("d") if field.type is float else [] for field in found
        ]

    def append(self, record: R) -> None:
        """Add a record at the end."""
        for column, value in zip(self._columns, self._values(record), strict=True):
            if isinstance(column, list) or type(value) is float:
                column.append(value)
            else:
                self._widen(column).append(value)

    def sort(self, name: str) -> None:
        """Sort by a field; records with equal values stay in order."""
        key = self._columns[self._names.index(name)]
        order = sorted(range(len(key)), key=key.__getitem__)
        for column in self._columns:
            column[:] = _picked(column, order)

    def _widen(self, narrow: "array[float]") -> list[Any]:
        """Replace a column of floats, so that it takes values of other types, such as an int, as they are."""
        wide: list[Any] = list(narrow)
        self._columns = [wide if column is narrow else column for column in self._columns]
        return wide

    def _record(self, values: Sequence[Any]) -> R:
        return self._kind(**dict(zip(self._names, values, strict=True)))

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


def _picked(column: "array[float] | list[Any]", order: Sequence[int]) -> Any:
    picked = map(column.__getitem__, order)
    return array("d", picked) if isinstance(column, array) else list(picked)
