"""The flag by which the registry's champion answers, in whatever adapter it stands today."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import UsageError

if TYPE_CHECKING:
    from strategies.config import BacktestConfig

UseChampion = Annotated[
    bool, typer.Option("--champion", help="Let the adapter answer that the registry has as champion.")
]


def with_champion(config: "BacktestConfig", data_dir: Path) -> "BacktestConfig":
    """The configuration with its champion's folder as adapter, where one is wanted; says on stderr which.

    Where nobody was promoted the student answers as it came. Raises UsageError where an adapter is named as
    well, StudentError for a champion whose files are no longer those on record.
    """
    if not config.champion:
        return config
    if config.adapter is not None:
        raise UsageError(f"--champion and --adapter {config.adapter}: only one of them can answer; name one")
    from llm.registry import Registry, champion_settings, registry_exists
    from llm.transformers_student import StudentSettings

    wanted = StudentSettings(student=config.student)
    if registry_exists(data_dir):
        with Registry.open(data_dir) as registry:
            wanted = champion_settings(registry, wanted)
    if wanted.adapter is None:
        sys.stderr.write(f"no champion of {config.student} is on record; it answers as it came\n")
    else:
        sys.stderr.write(f"the champion of {config.student} answers: {wanted.adapter.name}\n")
    return config.model_copy(update={"adapter": wanted.adapter})
