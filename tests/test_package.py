"""What a user installs: one wheel with the six packages, the tiny student and the licence, and no more."""

import json
import os
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.support.own_processes import ran

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"engine", "strategies", "llm", "training", "feeds", "tui"}
MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json", "closecall.json", "README.md")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    ran(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
        seconds=120,
    )
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def sizes(wheel):
    """The size of each file in the wheel, unpacked."""
    with zipfile.ZipFile(wheel) as file:
        return {entry.filename: entry.file_size for entry in file.infolist()}


def read(wheel, ending):
    with zipfile.ZipFile(wheel) as file:
        (name,) = [name for name in file.namelist() if name.endswith(ending)]
        return file.read(name)


def test_it_holds_the_six_packages_and_the_public_module_and_nothing_beside_them(sizes):
    assert {name.split("/")[0] for name in sizes if ".dist-info/" not in name} == PACKAGES | {"closecall.py"}


def test_it_holds_every_module_of_the_tree_and_says_that_they_are_typed(sizes):
    for package in PACKAGES:
        assert f"{package}/py.typed" in sizes
        modules = {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py")}
        assert modules <= sizes.keys()


def test_it_holds_the_tiny_student_and_the_headlines(sizes):
    assert {f"llm/tiny/{name}" for name in MODEL_FILES} <= sizes.keys()
    assert "feeds/headlines.toml" in sizes


def test_it_holds_no_test_no_table_and_nothing_that_was_only_made_here(sizes):
    strange = (".csv", ".parquet", ".sqlite", ".pyc", ".ipynb", ".log", ".bin", ".pt", ".so")
    assert [name for name in sizes if name.endswith(strange) or "/test_" in name] == []


def test_it_is_small(wheel, sizes):
    assert sizes["llm/tiny/model.safetensors"] <= 5_000_000
    assert wheel.stat().st_size < 6_000_000


def test_it_states_its_licence_and_brings_the_text(wheel):
    metadata = message_from_bytes(read(wheel, ".dist-info/METADATA"))
    assert metadata["License-Expression"] == "GPL-3.0-or-later"
    assert b"GNU GENERAL PUBLIC LICENSE" in read(wheel, ".dist-info/licenses/LICENSE")


def test_it_installs_one_command(wheel):
    lines = read(wheel, ".dist-info/entry_points.txt").decode().split("\n")
    assert [line for line in lines if line] == ["[console_scripts]", "closecall = tui.cli.main:main"]


def test_unpacked_elsewhere_it_runs_with_its_own_student(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    done = ran(
        [sys.executable, "-c", "from tui.cli.main import main; main()", "doctor", "--json"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(tmp_path / "site"),
            "CLOSECALL_DATA_DIR": str(tmp_path / "data"),
        },
        capture_output=True,
        text=True,
        seconds=60,
        check=True,
    )
    student = json.loads(done.stdout)["student"]
    assert (student["folder"], student["state"]) == (str(tmp_path / "site" / "llm" / "tiny"), "ready")
