"""The header of a GGUF file: what model it holds, its tokenizer's size and chat template. Reads no weights.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Every length is checked against the
size of the file before it is believed, because the libraries that read the weights do not.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from engine.errors import StudentError

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_ALIGNMENT = 32
_FLOAT32 = 0
_KEPT_TEXT = 1_000_000
_MOST_HEADER = 256_000_000
"""Bytes of header that are read at most; the largest vocabularies take some 20 million."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHeader:
    """What the header of a GGUF file states.

    Attributes:
        architecture: The family of the model, in GGUF's words.
        values: Its other numbers and texts; of a list, the number of its elements.
        tensors: Of each tensor, by name, its place in the file, its number of elements and its type.
    """

    architecture: str
    values: Mapping[str, Any]
    tensors: Mapping[str, tuple[int, int, int]]

    def number(self, name: str) -> int | None:
        """Return a whole number that the header states for the architecture; None where it does not."""
        value = self.values.get(f"{self.architecture}.{name}")
        return value if isinstance(value, int) else None

    @property
    def vocabulary_size(self) -> int | None:
        """Return how many tokens the tokenizer has."""
        value = self.values.get("tokenizer.ggml.tokens")
        return value if isinstance(value, int) else None


def read_gguf_header(path: Path) -> GgufHeader:
    """Return the header of a GGUF file.

    Raises:
        StudentError: For a file that is damaged, cut off or of another format.
    """
    try:
        with path.open("rb") as file:
            return _Reader(file, path.stat().st_size).header()
    except (OSError, ValueError, struct.error) as error:
        raise StudentError(f"{path}: damaged or no GGUF file ({error}); fetch it again") from error


def read_floats(path: Path, header: GgufHeader, name: str) -> tuple[float, ...]:
    """Return a small tensor of a GGUF file that is stored in float32.

    Raises:
        StudentError: For one that is not, or is cut off.
    """
    place, elements, kind = header.tensors[name]
    try:
        if kind != _FLOAT32 or elements > _KEPT_TEXT:
            raise ValueError(f"{name} is not a small tensor of float32")
        with path.open("rb") as file:
            file.seek(place)
            return struct.unpack(f"<{elements}f", file.read(4 * elements))
    except (OSError, ValueError, struct.error) as error:
        raise StudentError(f"{path}: damaged ({error}); fetch it again") from error


class _Reader:
    """Reads forward through a header. Raises ValueError or struct.error for what cannot be one."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._left = min(size, _MOST_HEADER)

    def header(self) -> GgufHeader:
        if self._take(4) != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        version, tensors, entries = self._unpack("IQQ")
        if version not in (2, 3):
            raise ValueError(f"version {version}")
        values = {}
        for _ in range(self._plausible(entries, 13)):
            key = self._text()
            values[key] = self._value(*self._unpack("I"))
        found = dict(self._tensor() for _ in range(self._plausible(tensors, 24)))
        step = values.get("general.alignment")
        step = step if isinstance(step, int) and step > 0 else _ALIGNMENT
        start = -(-self._file.tell() // step) * step
        placed = {name: (start + place, size, kind) for name, (place, size, kind) in found.items()}
        if max((place for place, _, _ in placed.values()), default=0) >= self._size:
            raise ValueError("it ends within its weights")
        architecture = values.get("general.architecture")
        if not isinstance(architecture, str):
            raise ValueError("it names no architecture")
        return GgufHeader(architecture=architecture, values=values, tensors=placed)

    def _tensor(self) -> tuple[str, tuple[int, int, int]]:
        """Return the name of a tensor, its place among the weights, its number of elements and its type."""
        name = self._text()
        (dimensions,) = self._unpack("I")
        elements = prod(self._unpack(f"{self._plausible(dimensions, 8)}Q"))
        kind, place = self._unpack("IQ")
        return name, (place, elements, kind)

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            return self._unpack(_scalar(kind))[0]
        element, count = self._unpack("IQ")
        if element == _STRING:
            for _ in range(self._plausible(count, 8)):
                self._skip(*self._unpack("Q"))
        else:
            self._skip(count * struct.calcsize(_scalar(element)))
        return count

    def _text(self) -> str:
        (length,) = self._unpack("Q")
        if length > _KEPT_TEXT:
            raise ValueError(f"a text of {length:,} bytes")
        return self._take(length).decode()

    def _unpack(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{form}", self._take(struct.calcsize(f"<{form}")))

    def _take(self, count: int) -> bytes:
        data = self._file.read(self._spend(count))
        if len(data) != count:
            raise ValueError("it ends within its header")
        return data

    def _skip(self, count: int) -> None:
        self._file.seek(self._spend(count), 1)

    def _spend(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("it ends within its header")
        return count

    def _plausible(self, count: int, least: int) -> int:
        """Return a number of things, each of which takes at least `least` bytes."""
        if count * least > self._left:
            raise ValueError("it ends within its header")
        return count


def _scalar(kind: int) -> str:
    if kind not in _SCALARS:
        raise ValueError(f"a value of type {kind}")
    return _SCALARS[kind]
