"""The header of a GGUF file: what model it holds, its tokenizer's size and chat template. Reads no weights.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Every length is checked against the
size of the file before it is believed, because the libraries that read the weights do not.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from engine.errors import StudentError

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_KEPT_TEXT = 1_000_000
_MOST_HEADER = 256_000_000
"""Bytes of header that are read at most; the largest vocabularies take some 20 million."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHeader:
    """What the header of a GGUF file states.

    Attributes:
        architecture: The family of the model, in GGUF's words.
        values: Its other numbers and texts; of a list, the number of its elements.
        tensors: The names of its tensors.
    """

    architecture: str
    values: Mapping[str, Any]
    tensors: frozenset[str]

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
        offsets = dict(self._tensor() for _ in range(self._plausible(tensors, 24)))
        if self._file.tell() + max(offsets.values(), default=0) >= self._size:
            raise ValueError("it ends within its weights")
        architecture = values.get("general.architecture")
        if not isinstance(architecture, str):
            raise ValueError("it names no architecture")
        return GgufHeader(architecture=architecture, values=values, tensors=frozenset(offsets))

    def _tensor(self) -> tuple[str, int]:
        """Return the name of a tensor and where it begins among the weights."""
        name = self._text()
        (dimensions,) = self._unpack("I")
        self._skip(dimensions * 8 + 4)
        return name, self._unpack("Q")[0]

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
