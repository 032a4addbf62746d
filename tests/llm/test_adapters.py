import os
import sys
from pathlib import Path

import pytest

from tests.support.own_processes import ran
from tests.support.places import ROOT
from training.lora import LoraShape


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


@pytest.mark.slow
def test_an_adapter_has_the_same_fingerprint_in_every_process(tmp_path: Path) -> None:
    script = (
        "import sys, torch\n"
        "from pathlib import Path\n"
        "from llm.model_files import fingerprint\n"
        "from llm.transformers_student import StudentSettings, load_student\n"
        "from training.lora import LoraShape, add_adapter, write_adapter\n"
        "torch.manual_seed(1)\n"
        "model = add_adapter(load_student(StudentSettings()), StudentSettings(), LoraShape(rank=2))\n"
        "write_adapter(model, Path(sys.argv[1]), 'tiny', {})\n"
        "print(fingerprint([Path(sys.argv[1])]))\n"
    )
    printed = [
        ran(
            [sys.executable, "-c", script, tmp_path / seed],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert printed[0] == printed[1] != ""
