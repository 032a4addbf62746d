"""The page on the architecture names what is there, and what it names stays small."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

PACKAGES = ("engine", "feeds", "llm", "strategies", "training", "tui")


def test_the_six_modules_from_file_to_fill_stay_below_250_lines():
    section = PAGE.split("## From file to fill")[1].split("\n## ")[0]
    modules = re.findall(r"^\d\. `([\w/]+\.py)`", section, flags=re.MULTILINE)
    assert len(modules) == 6
    for module in modules:
        lines = (ROOT / module).read_text(encoding="utf-8").count("\n")
        assert lines < 250, f"{module} has {lines} lines"


def test_every_module_the_page_names_is_there_and_every_module_has_its_line():
    named = set(re.findall(r"`((?:" + "|".join(PACKAGES) + r")/[\w/]+\.py)`", PAGE))
    present = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py" and package != "tui"
    }
    assert named == present


def test_no_module_imports_pickle_or_runs_text():
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            source = path.read_text(encoding="utf-8")
            assert not re.search(r"^\s*(import|from) (pickle|marshal|shelve|dill)\b", source, re.MULTILINE)
            assert not re.search(r"(?<![.\w])(eval|exec)\(", source), path
            assert "trust_remote_code=True" not in source
