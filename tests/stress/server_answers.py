"""Compare a model's answers through a server with its answers in this process: prints JSON.

The prompts are the same chat messages. `equal` counts equal forecasts, `flipped` other directions, `parsed`
answers that can be read. Without --url, `transformers serve` is started on the model's folder.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engine.model import Forecast, Observation
from engine.timeline import build_observations
from feeds.simulated.market import MarketSettings, simulate
from llm.answers import parse_answer
from llm.backends import load_student, load_trainable_student
from llm.chat import render
from llm.model_files import model_folder
from llm.student import StudentSettings
from tests.support.own_processes import started


def main() -> None:
    """Measure what the flags ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--student", default="tiny", help="the model in this process")
    parser.add_argument("--url", help="the address of a running server")
    parser.add_argument("--model", help="the name that the server has for the model")
    parser.add_argument("--prompt", default="compact")
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--batch", type=int, default=4)
    flags = parser.parse_args()
    folder = str(model_folder(flags.student))
    if flags.url:
        figures = compare(flags, flags.url, flags.model)
    else:
        with serve_with_transformers(folder) as url:
            figures = compare(flags, url, folder)
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


def compare(flags: argparse.Namespace, url: str, model: str | None) -> dict[str, Any]:
    """Return how the answers of a server agree with those of the model in this process."""
    shared = {"prompt": flags.prompt, "batch": flags.batch}
    remote = load_student(StudentSettings(student=url, model=model, **shared))
    local = load_trainable_student(StudentSettings(student=flags.student, **shared))
    seen = observe(flags.prompts, remote.window)
    messages = [remote.prompt(observation) for observation in seen]
    served, served_s = _time(remote.answer, messages)
    rendered = [render(local.tokenizer, json.loads(text)) for text in messages]
    own, own_s = _time(local.answer, rendered)
    pairs = [_read_pair(*texts, observation) for *texts, observation in zip(served, own, seen, strict=True)]
    both = [(a, b) for a, b in pairs if isinstance(a, Forecast) and isinstance(b, Forecast)]
    return {
        "prompts": len(seen),
        "parsed": {
            "server": sum(isinstance(a, Forecast) for a, _ in pairs),
            "here": sum(isinstance(b, Forecast) for _, b in pairs),
        },
        "both": len(both),
        "equal": sum(
            (a.direction, a.confidence, a.close) == (b.direction, b.confidence, b.close) for a, b in both
        ),
        "flipped": sum(a.direction is not b.direction for a, b in both),
        "with_probability": sum('"probability_up"' in text for text in served),
        "seconds": {"server": round(served_s, 1), "here": round(own_s, 1)},
        "notes": remote.notes,
        "differ": [
            {"server": a.text, "here": b.text}
            for a, b in both
            if a.close != b.close or a.confidence != b.confidence
        ][:5],
        "unread": [a.text for a, _ in pairs if not isinstance(a, Forecast)][:3],
    }


def observe(count: int, window: int) -> Sequence[Observation]:
    """Return observations of a simulated market."""
    market = simulate(MarketSettings(seed=11, coins=1, stocks=1, days=count + window))
    start = datetime.min.replace(tzinfo=UTC)
    return build_observations(market.bars, market.news, window=window, start=start)[-count:]


@contextmanager
def serve_with_transformers(folder: str) -> Iterator[str]:
    """Run `transformers serve` on a model's folder, and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", folder, "--device", "cpu"]
    with (
        TemporaryDirectory() as home,
        (Path(home) / "log").open("w") as log,
        started(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, "HF_HOME": home, "HF_HUB_OFFLINE": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        _wait_until_healthy(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}/v1"


def _wait_until_healthy(address: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 300
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise SystemExit(f"transformers serve does not start (exit code {process.poll()})")


def _time(answer: Any, prompts: Sequence[str]) -> tuple[list[str], float]:
    begun = time.perf_counter()
    return answer(prompts, lambda *_counts: None), time.perf_counter() - begun


def _read_pair(served: str, own: str, observation: Observation) -> tuple[Any, Any]:
    bare = json.loads(served) if served.startswith("{") and served.endswith("}") else None
    if isinstance(bare, dict) and bare.pop("probability_up", None) is not None:
        served = served[: served.index(', "probability_up"')] + "}"
    return parse_answer(served, observation), parse_answer(own, observation)


if __name__ == "__main__":
    main()
