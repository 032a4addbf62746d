"""Nothing that dies half-way, and nobody who comes at the same time, leaves the registry in disorder."""

import os
import random
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.errors import UsageError
from llm.model_files import adapter_folder, fingerprint
from llm.registry.adapters import Status
from llm.registry.registry import Registry
from tests.support.adapters_on_disk import adapter_on_disk, change_for_ever, enter, enter_many, promote


@pytest.fixture
def registry(tmp_path):
    with Registry.open(tmp_path / "data") as opened:
        yield opened


class Crash(BaseException):
    pass


def crash(*_args, **_stated):
    raise Crash


@pytest.mark.parametrize("place", ["copy_atomically", "check_files", "RegistryStore.append", "Path.rmdir"])
def test_a_crash_while_entering_leaves_no_half_adapter_and_entering_again_works(place, tmp_path, monkeypatch):
    folder = adapter_on_disk(tmp_path / "made")
    with Registry.open(tmp_path / "data") as registry:
        with monkeypatch.context() as patched:
            patched.setattr(f"llm.registry.store.{place}", crash)
            with pytest.raises(Crash):
                enter(registry, folder)
        listed = [item.name for item in registry.adapters()]
        assert len(listed) == (place == "Path.rmdir")  # by then it is on record
    with Registry.open(tmp_path / "data") as registry:
        assert [item.name for item in registry.adapters()] == listed
        assert [path.name for path in (tmp_path / "data/models/adapters").iterdir()] == listed
        assert list((tmp_path / "data/models/entering").iterdir()) == []
        assert adapter_folder(enter(registry, folder).folder)


def test_what_stands_beside_the_adapters_on_record_is_left_alone(registry, tmp_path):
    own = tmp_path / "data/models/adapters/mine"
    adapter_on_disk(own)
    with Registry.open(tmp_path / "data") as again:
        assert again.adapters() == []
    assert own.is_dir()


def sound_state(data: Path) -> int:
    """Check all that must hold after a kill; how many events are on record."""
    with Registry.open(data) as registry:
        changes = registry.changes()
        names = [item.name for item in registry.adapters()]
        for item in registry.adapters():
            assert fingerprint([adapter_folder(item.folder)]) == item.fingerprint
        champion = registry.champion("tiny")
        turns = [item for item in changes if item.kind in ("adapter_promoted", "champion_rolled_back")]
        assert (champion and champion.name) == (turns[-1].champion if turns else None)
        assert champion is None or champion.status is Status.CHAMPION
        assert sum(item.status is Status.CHAMPION for item in registry.adapters()) == (champion is not None)
    assert sorted(path.name for path in (data / "models/adapters").iterdir()) == sorted(names)
    assert list((data / "models/entering").iterdir()) == []
    return len(changes)


@contextmanager
def changing(data, scratch, first):
    """A fork of this process that changes a registry until it is killed, at the end of the block."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 1)
        sys.stdout = os.fdopen(1, "w")
        try:
            change_for_ever(data, scratch, first)
        finally:
            os._exit(70)
    os.close(writer)
    try:
        assert os.read(reader, 6) == b"ready\n"
        yield
        assert os.waitpid(child, os.WNOHANG) == (0, 0)  # it was still at work
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_the_champion_before_or_after_and_no_half_adapter(tmp_path):
    chance = random.Random(4)
    data, before = tmp_path / "data", 0
    for kill in range(20):
        with changing(data, tmp_path / f"made-{kill}", 1000 * (kill + 1)):
            time.sleep(chance.uniform(0.0, 0.12))
        events = sound_state(data)
        assert events >= before
        before = events
    assert before >= 40


@pytest.mark.slow
def test_processes_that_change_one_registry_at_once_lose_nothing(tmp_path):
    data = tmp_path / "data"
    left, right = (changing(data, tmp_path / f"adapters-{item}", 1000 * item + 1) for item in range(2))
    with left, right:
        time.sleep(1.0)
    assert sound_state(data) >= 4


def test_one_adapter_is_promoted_once_however_many_ask_at_once(tmp_path):
    with Registry.open(tmp_path / "data") as registry:
        (name,) = enter_many(registry, tmp_path, [1])
    gate = threading.Barrier(6)

    def ask(_):
        with Registry.open(tmp_path / "data") as mine:
            gate.wait()
            try:
                promote(mine, name)
            except UsageError as error:
                return str(error)
            return ""

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(ask, range(6)))
    assert outcomes.count("") == 1
    assert [outcome for outcome in outcomes if outcome and "already; nothing to do" not in outcome] == []
    with Registry.open(tmp_path / "data") as registry:
        assert [item.kind for item in registry.changes()] == ["adapter_entered", "adapter_promoted"]
