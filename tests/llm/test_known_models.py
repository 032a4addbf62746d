"""The table of known models: which rows it has, what names find them, and what stays unknown."""

import json
import tomllib
from datetime import date
from importlib.resources import files

import pytest

from llm.known_models import known_model
from llm.memory import weights_bytes
from llm.student import StudentSettings
from llm.transformers_student import load_student
from tests.support.smollm2 import needs_smollm2
from tests.support.students import make_small_adapter, make_small_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_small_model(tmp_path_factory.mktemp("known") / "model")


def test_every_row_is_complete_and_no_model_is_listed_twice():
    rows = tomllib.loads(files("llm").joinpath("known_models.toml").read_text())["models"]
    names = [name.casefold() for row in rows for name in row["names"]]
    assert len(names) == len(set(names)) > 40
    for row in rows:
        assert row.keys() <= {"names", "released", "knowledge_until", "source"}
        assert row["source"].startswith("https://")
        assert row.get("knowledge_until", date.min) < row["released"] < date(2026, 1, 1)


def test_a_model_is_known_by_its_hub_id_and_by_what_its_folder_is_a_copy_of(model, tmp_path):
    assert known_model("qwen/qwen3-0.6b", model).released == date(2025, 4, 29)
    assert known_model("meta-llama/Llama-3.2-1B-Instruct", model).knowledge_until == date(2023, 12, 31)
    assert known_model(str(model), model) is None
    (tmp_path / "closecall.json").write_text(json.dumps({"base": "microsoft/phi-4"}))
    assert known_model("copy", tmp_path).name == "microsoft/phi-4"


def test_a_model_that_was_trained_further_has_not_the_release_of_its_base(tmp_path):
    """`save_pretrained` writes down what was loaded, whatever happened to the weights since."""
    (tmp_path / "config.json").write_text(json.dumps({"_name_or_path": "openai/gpt-oss-20b"}))
    assert known_model("copy", tmp_path) is None


@pytest.mark.parametrize(
    ("base", "adapter", "expected"),
    [
        ("2024-05-01", "2025-01-01", date(2025, 1, 1)),
        ("2024-05-01", None, None),
        (None, "2025-01-01", None),
    ],
)
def test_a_release_is_known_only_where_that_of_model_and_adapter_are(
    model, tmp_path, base, adapter, expected
):
    copy = make_small_model(tmp_path / "model")
    folder = make_small_adapter(copy, tmp_path / "adapter")
    for path, released in ((copy, base), (folder, adapter)):
        if released:
            (path / "closecall.json").write_text(json.dumps({"released": released}))
    assert load_student(StudentSettings(student=str(copy), adapter=folder)).released == expected


@needs_smollm2
@pytest.mark.slow
def test_smollm2_is_a_real_model_of_known_release():
    student = load_student(StudentSettings(student="smollm2"))
    assert (student.released, student.notes) == (date(2024, 11, 1), ())
    ids = student.tokenizer("The capital of France is", return_tensors="pt").input_ids
    assert student.tokenizer.decode(student.model(ids).logits[0, -1].argmax()).strip() == "Paris"
    assert weights_bytes(student.model) == pytest.approx(4 * 134_515_008, rel=0.001)
