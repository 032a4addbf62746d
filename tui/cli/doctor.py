"""What is installed, which device and student are used, where data lives, and what is wrong with it.

Reads metadata and files only: it imports no library that it reports on, so that it answers at once.
"""

import json
import os
import sys
from collections.abc import Mapping
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any

from tui.cli.paths import existing_parent

_PACKAGES = (
    "closecall",
    "torch",
    "transformers",
    "peft",
    "trl",
    "bitsandbytes",
    "xgrammar",
    "backtrader",
    "pandas",
    "ccxt",
    "exchange_calendars",
    "feedparser",
    "newspaper3k",
    "apscheduler",
    "textual",
)

_LEAST_FREE_MIB = 200


def examine(data_dir: Path) -> dict[str, Any]:
    """The findings as JSON types; `problems` is a list of sentences, each with its remedy."""
    packages = {name: _package_version(name) for name in _PACKAGES}
    student = _check_tiny_student()
    device, device_note = _detect_device(packages["torch"])
    return {
        "python": sys.version.split()[0],
        "packages": packages,
        "device": device,
        "device_note": device_note,
        "student": student,
        "data_dir": str(data_dir),
        "runs": sum(1 for _ in data_dir.glob("runs/*/journal.sqlite")),
        "problems": [*_package_problems(packages), *_student_problems(student), *_folder_problems(data_dir)],
    }


def print_examination(findings: Mapping[str, Any]) -> None:
    """The findings as lines of text."""
    lines = [f"python     {findings['python']}"]
    lines += [f"  {name:20}{version or 'MISSING'}" for name, version in findings["packages"].items()]
    lines.append(f"device     {findings['device']} ({findings['device_note']})")
    lines.append(
        f"student    tiny: {findings['student']['state']}, {findings['student']['bytes'] / 1e6:.1f} MB"
    )
    lines.append(f"data       {findings['data_dir']} ({findings['runs']} runs)")
    lines += [f"problem    {problem}" for problem in findings["problems"]] or ["all well"]
    sys.stdout.write("\n".join(lines) + "\n")


def _package_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _detect_device(torch_version: str | None) -> tuple[str, str]:
    driver = Path("/proc/driver/nvidia/version").exists() or bool(os.environ.get("CUDA_PATH"))
    if not driver:
        return "cpu", "no NVIDIA driver found"
    if torch_version is None or "+cpu" in torch_version:
        return "cpu", "an NVIDIA driver is here, but this torch is built for the CPU; install torch with CUDA"
    return "cuda", "NVIDIA driver found"


def _check_tiny_student() -> dict[str, Any]:
    folder = Path(str(files("llm").joinpath("tiny")))
    weights = folder / "model.safetensors"
    complete = weights.is_file() and (folder / "tokenizer.json").is_file()
    settings = folder / "closecall.json"
    stated = json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
    return {
        "state": "ready" if complete else "missing",
        "folder": str(folder),
        "bytes": weights.stat().st_size if weights.is_file() else 0,
        "released": stated.get("released"),
    }


def _package_problems(packages: Mapping[str, str | None]) -> list[str]:
    clash = foreign_llm()
    missing = [name for name, version in packages.items() if version is None]
    problems = [clash] if clash else []
    if missing:
        problems.append(f"not installed: {', '.join(missing)}; run pip install --upgrade closecall")
    return problems


def _student_problems(student: Mapping[str, Any]) -> list[str]:
    if student["state"] == "ready":
        return []
    return [f"the tiny student is not in {student['folder']}; make it with closecall train pretrain"]


def _folder_problems(data_dir: Path) -> list[str]:
    """Whether the folder, or the nearest one above it that exists, can be written and has room."""
    place = existing_parent(data_dir)
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return [f"{place} cannot be written; choose another folder with --data-dir or CLOSECALL_DATA_DIR"]
    status = os.statvfs(place)
    free = status.f_bavail * status.f_frsize // 2**20
    if free < _LEAST_FREE_MIB:
        return [f"{place} has only {free} MiB free; make room or choose another folder with --data-dir"]
    return []


def foreign_llm() -> str | None:
    """A sentence if PyPI's package `llm` is installed here, whose folder is named like one of ours."""
    try:
        metadata.distribution("llm")
    except metadata.PackageNotFoundError:
        return None
    return (
        "closecall cannot share an environment with the PyPI package 'llm', which has a folder of the same "
        "name; install closecall in an environment of its own: python3 -m venv closecall-env && "
        "closecall-env/bin/pip install closecall"
    )
