"""What a person wants of a session when starting it, as one process hands it to the next. Starts nothing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from engine.errors import UsageError
from strategies.config import BacktestConfig

_SLOWEST, _FASTEST = 1.0, 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One start of a session.

    `speed` is how many times faster than time itself a replay goes, None as fast as it can; it and `replay`
    say nothing where there is a session already that is none. `tied` names the source of single symbols.
    `webhook` is the address that is told of changes; it stays within these processes.
    """

    data_dir: Path
    name: str
    config: BacktestConfig
    replay: bool
    speed: float | None = None
    tied: Mapping[str, str] = field(default_factory=dict)
    webhook: str | None = None

    def text(self) -> str:
        """One line of JSON."""
        return json.dumps(
            {
                "data_dir": str(self.data_dir),
                "name": self.name,
                "config": self.config.model_dump(mode="json"),
                "replay": self.replay,
                "speed": self.speed,
                "tied": dict(self.tied),
                "webhook": self.webhook,
            }
        )

    @classmethod
    def of(cls, text: str) -> Self:
        """What `text` wrote."""
        said: dict[str, Any] = json.loads(text)
        return cls(
            **{
                **said,
                "data_dir": Path(said["data_dir"]),
                "config": BacktestConfig.model_validate(said["config"]),
            }
        )


def speed_of(word: str) -> float | None:
    """`max` or how many times faster than time itself. Raises UsageError for anything else."""
    if word == "max":
        return None
    try:
        speed = float(word)
    except ValueError:
        speed = 0.0
    if not _SLOWEST <= speed <= _FASTEST:
        raise UsageError(f"--speed {word[:20]}: give max, or a number from 1 up (86400 is a day a second)")
    return speed
