import os
import sys
from pathlib import Path

import pytest

from llm.model_files import fingerprint
from llm.student import StudentSettings
from llm.transformers_student import load_student
from tests.support.own_processes import ran
from tests.support.places import ROOT
from training.lora import LoraShape, add_adapter, write_adapter


@pytest.mark.parametrize(
    ("depth", "count", "blocks"),
    [
        ((0.25, 0.5), 4, [1]),
        ((0.25, 0.5), 28, [7, 8, 9, 10, 11, 12, 13]),
        ((0.0, 1.0), 3, [0, 1, 2]),
        ((0.25, 0.5), 1, [0]),
        ((0.9, 1.0), 2, [1]),
    ],
)
def test_an_adapter_sits_on_the_blocks_of_its_depth(
    depth: tuple[float, float], count: int, blocks: list[int]
) -> None:
    assert LoraShape(depth=depth).blocks(count) == blocks


def write_fresh_adapter(folder: Path) -> str:
    """Write an adapter of the seed 1 for the tiny student; its fingerprint."""
    import torch

    torch.manual_seed(1)
    model = add_adapter(load_student(StudentSettings()), StudentSettings(), LoraShape(rank=2))
    write_adapter(model, folder, "tiny", {})
    return fingerprint([folder])


@pytest.mark.slow
def test_an_adapter_has_the_same_fingerprint_in_every_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.llm.test_adapters import write_fresh_adapter\n"
        "print(write_fresh_adapter(Path(sys.argv[1])))"
    )
    done = ran(
        [sys.executable, "-c", code, tmp_path / "other"],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == write_fresh_adapter(tmp_path / "here")
