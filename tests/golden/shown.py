"""What the commands answer about a folder of golden files: what every later version must answer too."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.golden.commands import DATA, answer, kinds


def expected(root: Path) -> dict[str, Any]:
    """What the commands say of a copy of the data: everything that a later version must say as well."""
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for part, see in SEEN.items():
            copy = Path(scratch) / part
            shutil.copytree(root, copy)
            found[part] = see(copy)
    return found


def runs_of(root: Path) -> dict[str, Any]:
    """The runs on record: the state of each, and what a finished one came to."""
    kept = ("digests", "scores", "verdict")
    runs = answer("runs", "--data-dir", DATA, cwd=root)["runs"]
    return {
        one["run"]: {"state": one["state"], **{key: one["result"][key] for key in kept if one["result"]}}
        for one in runs
    }


def sessions_of(root: Path) -> dict[str, Any]:
    """Where each session stands, with its scores."""
    kept = ("state", "cause", "author", "runs", "cash", "equity", "positions", "student", "events", "reached")
    found = {}
    for one in answer("paper", "list", "--data-dir", DATA, cwd=root)["sessions"]:
        said = answer("paper", "status", one["session"], "--data-dir", DATA, cwd=root)
        scores = said["result"]["scores"] if said["result"] else {}
        scores = {name: _first_metrics(metrics) for name, metrics in scores.items()} or None
        found[one["session"]] = {key: said[key] for key in kept} | {"scores": scores}
    return found


FIRST_METRICS = (
    *("n", "n_open", "days", "ties", "abstentions", "pending", "accuracy", "accuracy_low", "accuracy_high"),
    *("accuracy_open", "brier", "close_mae_bps", "total_return", "sharpe", "max_drawdown", "trades"),
    *("rejected", "expired", "costs_paid"),
)
"""The metrics of version 0.1.0, whose sessions are scored by this version itself."""


def _first_metrics(scores: dict[str, Any]) -> dict[str, Any]:
    return {name: scores[name] for name in FIRST_METRICS if name in scores}


def models_of(root: Path) -> list[Any]:
    """The adapters on record, each with the kinds of what happened to it."""
    kept = ("name", "parent", "status", "student", "base", "fingerprint", "cutoff", "recipe", "scores")
    found = []
    for one in answer("models", "list", "--data-dir", DATA, cwd=root)["adapters"]:
        said = answer("models", "show", one["name"], "--data-dir", DATA, cwd=root)
        found.append(
            {key: said[key] for key in kept} | {"changes": [each["kind"] for each in said["changes"]]}
        )
    return found


def parity_of(root: Path) -> dict[str, Any]:
    """Whether each finished run and each session comes out the same again, and its digests."""
    runs = [name for name, one in runs_of(root).items() if one["state"] == "finished"]
    names = runs + sorted(path.name for path in (root / DATA / "sessions").iterdir())
    found = {}
    for name in names:
        said = answer("check", "parity", name, "--data-dir", DATA, cwd=root, codes=(0, 4))
        found[name] = {key: said[key] for key in ("equal", "chain", "difference", "digests")}
    return found


def store_of(root: Path) -> dict[str, Any]:
    """What backtests on the stores come to, and what the check of the stores finds."""
    found: dict[str, Any] = {}
    for name in ("store", "fetched"):
        said = answer("backtest", "--config", f"files/{name}.toml", "--data-dir", DATA, cwd=root)
        found[name] = {key: said[key] for key in ("symbols", "bars", "news", "digests")}
    found["harmful"] = answer("check", "data", "--store", "--data-dir", DATA, cwd=root, codes=(0, 4))[
        "harmful"
    ]
    return found


def journals_of(root: Path) -> dict[str, Any]:
    """How many events of each kind every journal has."""
    data = root / DATA
    paths = [path for path in sorted(data.rglob("*.sqlite")) if path.name != "ledger.sqlite"]
    return {path.relative_to(data).as_posix(): kinds(path) for path in paths}


SEEN: dict[str, Callable[[Path], Any]] = {
    "runs": runs_of,
    "sessions": sessions_of,
    "models": models_of,
    "parity": parity_of,
    "store": store_of,
    "journals": journals_of,
}
"""The parts of expected.json, and what each is made by."""
