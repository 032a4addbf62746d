"""What a command may load: the quick ones answer at once, and nothing below the screen knows it."""

import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.own_processes import ran

HEAVY = {"torch", "transformers", "peft", "trl", "datasets", "textual", "pandas", "scipy", "backtrader"}
SCREEN = {"textual", "rich", "typer"}
NETWORK = {"ccxt", "requests", "httpx", "aiohttp", "feedparser", "newspaper", "urllib3", "huggingface_hub"}


def list_loaded(code, *words):
    """The top-level modules that a fresh interpreter has loaded after `code`."""
    report = "import sys; open(sys.argv[1], 'w').write(' '.join(sys.modules))"
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "modules"
        ran(
            [sys.executable, "-c", f"{code}; {report}", listed, *words],
            capture_output=True,
            seconds=60,
            check=True,
        )
        return {name.partition(".")[0] for name in listed.read_text().split()}


def after_command(code, *words):
    """The modules loaded after a command line that ends with the exit code `code`."""
    return list_loaded(
        f"import sys; from tui.cli.main import run; assert run(sys.argv[2:]) == {code}", *words
    )


@pytest.mark.parametrize(
    "words", [["--help"], ["backtest", "--help"], ["runs"], ["doctor", "--json"]], ids=" ".join
)
def test_a_quick_command_loads_no_heavy_library(tmp_path, words):
    folder = [] if "--help" in words else ["--data-dir", tmp_path]
    assert after_command(0, *words, *folder) & (HEAVY | NETWORK) == set()


def test_a_wrong_flag_is_refused_before_anything_heavy_is_loaded():
    assert after_command(2, "backtest", "--seed", "-1") & (HEAVY | NETWORK) == set()


@pytest.mark.parametrize(
    "module",
    [
        "engine.trading.runner",
        "engine.journal.journal",
        "engine.metrics.verdicts",
        "engine.metrics.trials",
    ],
)
def test_the_engine_loads_no_model_no_screen_and_no_network(module):
    models = {"torch", "transformers", "peft", "trl"}
    assert list_loaded(f"import {module}") & (models | SCREEN | NETWORK) == set()


@pytest.mark.parametrize("module", ["feeds.files.bars", "feeds.files.news", "feeds.simulated.market"])
def test_the_feeds_load_no_model_and_no_screen(module):
    assert list_loaded(f"import {module}") & (HEAVY | SCREEN) == set()


@pytest.mark.parametrize("module", ["llm.transformers_student", "strategies.backtest", "strategies.runs"])
def test_students_and_the_front_door_load_no_model_before_they_need_one(module):
    assert (
        list_loaded(f"import {module}") & ({"torch", "transformers", "peft", "pandas"} | SCREEN | NETWORK)
        == set()
    )


def test_importing_the_public_module_loads_nothing_that_takes_time():
    heavy = HEAVY | SCREEN | NETWORK | {"numpy", "pyarrow", "pydantic", "sqlalchemy"}
    assert list_loaded("import closecall") & heavy == set()
    assert list_loaded("import closecall; closecall.MarketData") & (HEAVY | SCREEN | NETWORK) == set()
