"""Adapters go on record whole, and one of them is champion."""

import shutil
import sqlite3

import pytest

from engine.errors import JournalError, StudentError, UsageError
from engine.journal.journal import Journal
from llm.model_files import adapter_folder, fingerprint
from llm.registry.adapters import Status, base_fingerprint, student_key
from llm.registry.registry import Registry, champion_settings, registry_exists
from llm.registry.store import JOURNAL, SESSION
from llm.student import StudentSettings
from llm.transformers_student import load_student
from tests.support.adapters_on_disk import (
    START,
    adapter_on_disk,
    add_scores,
    enter,
    enter_many,
    instant_at,
    promote,
)


@pytest.fixture
def registry(tmp_path):
    with Registry.open(tmp_path / "data") as opened:
        yield opened


def rollback(registry, hours=100, **more):
    return registry.rollback(at=instant_at(hours), by="user", reason="looks bad", **more)


def test_an_adapter_is_on_record_as_it_was_stated_with_its_files(registry, tmp_path):
    folder = adapter_on_disk(tmp_path / "made")
    adapter = enter(registry, folder, recipe={"steps": 80}, scores={"brier": 0.2})
    assert registry.adapters() == [adapter]
    assert adapter.status is Status.CHALLENGER
    assert (adapter.parent, adapter.student, adapter.cutoff, adapter.created_at) == (
        None,
        "tiny",
        START,
        instant_at(1),
    )
    assert (adapter.recipe, adapter.scores) == ({"steps": 80}, {"brier": 0.2})
    shutil.rmtree(folder)
    assert fingerprint([adapter_folder(adapter.folder)]) == adapter.fingerprint
    assert registry.champion("tiny") is None


def test_a_name_tells_the_day_and_another_registry_gives_the_same_adapter_the_same_name(registry, tmp_path):
    folder = adapter_on_disk(tmp_path / "made")
    name = enter(registry, folder).name
    assert name.startswith("2026-01-01-")
    assert len(name) == len("2026-11-22-a3f9c1")
    with Registry.open(tmp_path / "other") as other:
        assert enter(other, folder).name == name


def test_entering_the_same_adapter_again_gives_the_one_on_record(registry, tmp_path):
    folder = adapter_on_disk(tmp_path / "made")
    first, again, later = enter(registry, folder), enter(registry, folder), enter(registry, folder, hours=2)
    assert first == again
    assert [item.name for item in registry.adapters()] == [first.name, later.name]
    assert first.name != later.name


def test_names_that_begin_alike_are_told_apart_by_more_digits(registry, tmp_path, monkeypatch):
    monkeypatch.setattr("llm.registry.registry.row_digest", lambda rows: f"abcdef{rows[0][0]['fingerprint']}")
    names = enter_many(registry, tmp_path, [1, 2])
    assert names[0] == "2026-01-01-abcdef"
    assert names[1].startswith("2026-01-01-abcdef")
    assert len(names[1]) == len(names[0]) + 1


def test_only_what_the_fingerprint_covers_is_copied(registry, tmp_path):
    folder = adapter_on_disk(tmp_path / "made")
    (folder / "training_args.bin").write_bytes(b"pickled")
    (folder / "checkpoint-10").mkdir()
    kept = {path.name for path in enter(registry, folder).folder.iterdir()}
    assert kept == {"adapter_config.json", "adapter_model.safetensors"}


def test_what_is_no_plain_lora_adapter_is_refused(registry, tmp_path):
    prompt = adapter_on_disk(tmp_path / "prompt", config={"peft_type": "PROMPT_TUNING"})
    with pytest.raises(StudentError, match="not a plain LoRA adapter"):
        enter(registry, prompt)
    pickled = adapter_on_disk(tmp_path / "pickled")
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    with pytest.raises(StudentError, match="safetensors"):
        enter(registry, pickled)
    with pytest.raises(StudentError, match="fingerprint"):
        enter(registry, adapter_on_disk(tmp_path / "other"), fingerprint="0" * 64)
    assert registry.adapters() == []


def test_an_adapter_from_the_future_is_refused(registry, tmp_path):
    folder = adapter_on_disk(tmp_path / "made")
    with pytest.raises(UsageError, match="from the future"):
        enter(registry, folder, hours=1, cutoff=instant_at(2))
    parent = enter(registry, folder, hours=5, cutoff=instant_at(5)).name
    child = adapter_on_disk(tmp_path / "child", 2)
    with pytest.raises(UsageError, match="later than the stated cut-off"):
        enter(registry, child, hours=6, cutoff=instant_at(4), parent=parent)
    with pytest.raises(UsageError, match="after 2026-01-01 04"):
        promote(registry, parent, hours=4)


def test_a_parent_must_be_on_record_for_the_same_student(registry, tmp_path):
    parent = enter(registry, adapter_on_disk(tmp_path / "made")).name
    child = adapter_on_disk(tmp_path / "child", 2)
    with pytest.raises(UsageError, match="belongs to tiny"):
        enter(registry, child, student="Qwen/Qwen3-0.6B", parent=parent)
    with pytest.raises(UsageError, match=f"did you mean {parent}"):
        enter(registry, child, parent=parent[:-1] + "x")
    assert enter(registry, child, parent=parent).parent == parent
    assert registry.get(parent).children == (registry.adapters()[1].name,)


def test_promotions_and_rollbacks_move_the_champion_and_each_one_back(registry, tmp_path):
    first, second = enter_many(registry, tmp_path, [1, 2])
    promote(registry, first)
    promote(registry, second)
    assert registry.champion("tiny").name == second
    assert [item.status for item in registry.adapters()] == [Status.RETIRED, Status.CHAMPION]
    assert rollback(registry).champion == first
    assert [item.status for item in registry.adapters()] == [Status.CHAMPION, Status.RETIRED]
    assert rollback(registry).champion is None
    assert registry.champion("tiny") is None
    with pytest.raises(UsageError, match="no champion to roll back"):
        rollback(registry, student="tiny")


def test_a_promoted_predecessor_is_rolled_back_to_where_it_came_from(registry, tmp_path):
    first, second = enter_many(registry, tmp_path, [1, 2])
    for name in (first, second, first):
        promote(registry, name)
    assert [rollback(registry).champion for _ in range(3)] == [second, first, None]


def test_a_rollback_passes_over_an_adapter_that_is_damaged(registry, tmp_path):
    first, second, third = enter_many(registry, tmp_path, [1, 2, 3])
    for name in (first, second, third):
        promote(registry, name)
    shutil.rmtree(registry.adapters()[1].folder)
    change = rollback(registry)
    assert change.champion == first
    assert change.payload["passed_over"] == [second]


def test_promote_refuses_what_it_cannot_stand_for(registry, tmp_path):
    (name,) = enter_many(registry, tmp_path, [1])
    with pytest.raises(UsageError, match=f"did you mean {name}"):
        promote(registry, name[:-2])
    with pytest.raises(UsageError, match="belongs to tiny, not to Qwen"):
        promote(registry, name, student="Qwen/Qwen3-0.6B")
    promote(registry, name)
    with pytest.raises(UsageError, match="champion of tiny already"):
        promote(registry, name)


def test_promote_refuses_files_that_are_no_longer_those_on_record(registry, tmp_path):
    enter_many(registry, tmp_path, [1])
    (adapter,) = registry.adapters()
    shutil.copy(
        adapter_on_disk(tmp_path / "other", 9) / "adapter_model.safetensors",
        adapter.folder / "adapter_model.safetensors",
    )
    with pytest.raises(StudentError, match="fingerprint"):
        promote(registry, adapter.name)
    assert registry.champion("tiny") is None


def test_each_student_has_a_champion_of_its_own(registry, tmp_path):
    tiny = enter(registry, adapter_on_disk(tmp_path / "a")).name
    other = enter(registry, adapter_on_disk(tmp_path / "b", 2), student="Qwen/Qwen3-0.6B").name
    promote(registry, tiny, hours=50)
    promote(registry, other, hours=20)  # an earlier instant, but of another student
    assert registry.champion("tiny").name == tiny
    assert registry.champion("Qwen/Qwen3-0.6B").name == other
    with pytest.raises(UsageError, match="2 students have a champion; name one of"):
        rollback(registry)
    rollback(registry, student="tiny")
    assert registry.champion("tiny") is None
    assert registry.champion("Qwen/Qwen3-0.6B").name == other


def test_history_answers_who_was_champion_when(registry, tmp_path):
    first, second = enter_many(registry, tmp_path, [1, 2])
    promote(registry, first, hours=10)
    promote(registry, second, hours=20)
    rollback(registry, hours=30)
    asked = [registry.champion_at("tiny", instant_at(hours)) for hours in (9, 10, 19, 20, 29, 30, 99)]
    assert [item and item.name for item in asked] == [
        None,
        first,
        first,
        second,
        second,
        first,
        first,
    ]


def test_a_champion_does_not_change_in_the_past(registry, tmp_path):
    first, second = enter_many(registry, tmp_path, [1, 2])
    promote(registry, first, hours=20)
    with pytest.raises(UsageError, match="check the clock"):
        promote(registry, second, hours=19)
    with pytest.raises(UsageError, match="check the clock"):
        rollback(registry, hours=19)


def test_verdicts_stand_in_an_adapters_history_and_count_as_gates(registry, tmp_path):
    first, second = enter_many(registry, tmp_path, [1, 2])
    add_scores(registry, first, 10, "gate", {"p_value": 0.01, "days": 12})
    promote(registry, first, hours=11)
    registry.reject(second, at=instant_at(12), reason="no evidence", scores={"p_value": 0.4})
    assert [change.kind for change in registry.get(first).changes] == [
        "adapter_entered",
        "adapter_scored",
        "adapter_promoted",
    ]
    assert registry.get(second).changes[-1].payload["scores"] == {"p_value": 0.4}
    assert registry.adapters()[1].status is Status.REJECTED
    assert registry.gate_results("tiny") == 2
    with pytest.raises(UsageError, match="is the champion"):
        registry.reject(first, at=instant_at(13), reason="no")


def test_a_session_learns_of_changes_by_number_and_can_journal_them(registry, tmp_path):
    (name,) = enter_many(registry, tmp_path, [1])
    seen = registry.changes()[-1].seq
    with Registry.open(tmp_path / "data") as elsewhere:
        promote(elsewhere, name)
    (change,) = registry.changes(seen)
    assert (change.kind, change.name, change.champion) == ("adapter_promoted", name, name)
    with Journal.open(tmp_path / "session.sqlite", "paper", create=True) as session:
        session.append([change.event(instant_at(101))], recorded_at=instant_at(101))
        (row,) = session.read()
    assert (row.kind, row.payload["champion"], row.payload["registry_seq"]) == (
        "registry_changed",
        name,
        change.seq,
    )


def test_settings_with_the_champion_name_its_folder_and_every_forecast_its_adapter(registry, tmp_path):
    bare = StudentSettings(batch=8)
    assert champion_settings(registry, bare) == bare
    adapter = enter(registry, adapter_on_disk(tmp_path / "made"), base=base_fingerprint("tiny"))
    promote(registry, adapter.name)
    settings = champion_settings(registry, bare)
    assert (settings.adapter, settings.batch) == (adapter.folder, 8)
    assert load_student(settings).name == f"tiny + {adapter.name}"
    with pytest.raises(UsageError, match="cannot both answer"):
        champion_settings(registry, settings)


def test_a_champion_of_other_weights_or_with_altered_files_does_not_answer(registry, tmp_path):
    adapter = enter(registry, adapter_on_disk(tmp_path / "made"), base="0" * 64)
    promote(registry, adapter.name)
    with pytest.raises(StudentError, match="other weights"):
        champion_settings(registry, StudentSettings())
    (adapter.folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 99}')
    with pytest.raises(StudentError, match="fingerprint"):
        champion_settings(registry, StudentSettings())


def test_one_base_model_has_one_name_wherever_one_stands(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    assert student_key("model") == student_key(str(tmp_path / "model")) == str(tmp_path.resolve() / "model")
    assert student_key("Qwen/Qwen3-0.6B") == "Qwen/Qwen3-0.6B"
    assert student_key("tiny") == "tiny"


def test_looking_for_a_registry_makes_none(tmp_path):
    assert not registry_exists(tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_journal_that_was_altered_is_not_opened(registry, tmp_path):
    enter_many(registry, tmp_path, [1])
    with sqlite3.connect(tmp_path / "data" / JOURNAL) as database:
        database.execute("DROP TRIGGER journal_no_update")
        database.execute("UPDATE journal_events SET payload = replace(payload, 'grpo', 'gold')")
    database.close()
    with pytest.raises(JournalError, match="altered"):
        Registry.open(tmp_path / "data")


def test_an_event_of_a_later_version_is_refused(registry, tmp_path):
    from engine.journal.journal import Event

    with Journal.open(tmp_path / "data" / JOURNAL, SESSION) as journal:
        journal.append([Event(kind="adapter_melted", as_of=START, payload={"name": "x"})], recorded_at=START)
    with pytest.raises(JournalError, match="incompatible closecall version"):
        registry.adapters()


def test_a_turn_that_never_ends_is_told_in_one_line(registry, tmp_path):
    (name,) = enter_many(registry, tmp_path, [1])
    with Registry.open(tmp_path / "data", lock_timeout=0.05) as hasty:
        with (
            registry._store.transaction(),
            pytest.raises(JournalError, match="another process has been changing"),
        ):
            promote(hasty, name)
        promote(hasty, name)
