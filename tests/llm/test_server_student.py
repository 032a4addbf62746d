"""A student on a server: what it asks, what it takes for an answer, and each failure in one line."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from engine.errors import StudentError, UsageError
from engine.model import Abstention
from engine.timeline import build_observations
from feeds.simulated.market import MarketSettings, simulate
from llm import server_client
from llm.answer_cache import AnswerCache
from llm.answers import GRAMMAR, format_answer, parse_answer
from llm.backends import load_student, require_trainable
from llm.forecaster import forecast
from llm.structured_output import ANSWER_REGEX, FORMATS, read_probability_up
from llm.student import DecodingMode, Quantization, StudentSettings
from strategies.backtest import backtest
from strategies.config_file import load_config
from strategies.paper_runtime.launch import build_launch_spec
from tests.support.own_processes import ran, started
from tests.support.servers.openai import OpenAIServer, completion, state_logprobs
from tests.support.students import DOWN, UP
from training.retraining.source import read_source

SOON = {"Retry-After-Ms": "1"}
NOW = datetime(2030, 1, 1, tzinfo=UTC)
KEY = "sk-secret-1234"


def silent(*_progress):
    pass


@pytest.fixture(scope="module")
def seen():
    market = simulate(MarketSettings(seed=11, coins=1, stocks=1, days=50))
    return build_observations(market.bars, market.news, window=21, start=datetime.min.replace(tzinfo=UTC))[
        -40:
    ]


def settings(server, **changes):
    return replace(
        StudentSettings(student=server.student, model="student", prompt="compact", batch=8), **changes
    )


def answers(server, seen, **changes):
    student = load_student(settings(server, **changes))
    return student.answer([student.prompt(observation) for observation in seen], silent)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("structured_outputs", "structured_outputs"),
        ("regex", "regex"),
        ("grammar", "grammar"),
        ("guided_regex", "guided_regex"),
        ("json_schema", "response_format"),
    ],
)
def test_a_format_that_the_server_keeps_to_is_found(seen, name, parameter, strict):
    with OpenAIServer((parameter,), strict=strict, logprobs=False) as server:
        texts = answers(server, seen[:6])
        formats = [set(body) & {f for other in FORMATS for f in other.body} for body in server.asked[-6:]]
    assert set(texts) == {UP, DOWN}
    assert all(parameter in asked for asked in formats)
    assert [f for f in FORMATS if f.name == name]


def test_a_server_without_formats_is_read_strictly_and_the_user_is_warned(seen):
    with OpenAIServer(()) as server:
        student = load_student(settings(server))
        (text,) = student.answer([student.prompt(seen[0])], silent)
        notes = " ".join(student.notes)
    assert isinstance(parse_answer(text, seen[0]), Abstention)
    assert "no structured output" in notes and "no token probabilities" in notes


def test_a_template_without_system_messages_gets_the_task_in_the_users(seen):
    def refuse(request):
        if "system" in [message["role"] for message in json.loads(request.body or b"{}").get("messages", [])]:
            return 400, '{"error": {"message": "System role not supported"}}'
        return answer(request)

    with OpenAIServer() as server:
        answer, server.answer = server.answer, refuse
        assert len(answers(server, seen[:2], prompt="full")) == 2
        assert server.asked[-1]["messages"][0]["content"].startswith("You forecast a market")


def test_answers_come_in_order_with_no_more_requests_at_once_than_the_batch(seen):
    with OpenAIServer(seconds=0.02) as server:
        texts = answers(server, seen, batch=4)
        alone = answers(server, seen[:3], batch=1)
        assert 2 <= server.busiest <= 4
    assert texts[:3] == alone
    assert len(texts) == len(seen)


def test_the_probability_of_up_is_kept_beside_the_confidence(seen):
    with OpenAIServer() as server:
        texts = answers(server, seen)
    stated = {(json.loads(text)["direction"], json.loads(text)["probability_up"]) for text in texts}
    assert stated == {("up", 0.8), ("down", 0.2)}


def test_a_model_cannot_state_the_probability_itself(seen):
    forged = UP[:-1] + ', "probability_up": 0.9999}'
    with OpenAIServer(
        fault=lambda *_: completion(forged, model="student", system_fingerprint="fp-1")
    ) as server:
        (text,) = answers(server, seen[:1])
    assert isinstance(parse_answer(text, seen[0]), Abstention)


def test_thoughts_are_asked_for_first_and_kept_before_the_answer(seen):
    def think(_number, body):
        if body["max_tokens"] != 40:
            return None
        return completion("<think>Rates fall.</think>", model="student", system_fingerprint="fp-1")

    with OpenAIServer(("regex",), fault=think) as server:
        (text,) = answers(server, seen[:1], mode=DecodingMode.THINK, think_tokens=40)
        first, second = server.asked[-2:]
    assert text.startswith('<think>Rates fall.</think>\n{"direction"')
    assert "regex" not in first and first["chat_template_kwargs"] == {"enable_thinking": True}
    assert second["messages"][-2]["content"] == "Rates fall." and "regex" in second


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ((401, '{"error": {"message": "wrong key sk-secret-1234"}}'), "set CLOSECALL_API_KEY"),
        ((404, '{"error": {"message": "model not found"}}'), "check --model"),
        (
            (400, '{"error": {"message": "This model\'s maximum context length is 128 tokens"}}'),
            'set prompt = "compact"',
        ),
        ((429, '{"error": {"message": "slow down"}}', SOON), "lower batch"),
        ((503, "<html>busy</html>", SOON), "see its log"),
        ((307, "", {"Location": "http://192.0.2.1/v1/chat/completions"}), "name that address"),
        ((422, '{"detail": "Unexpected fields"}'), "Unexpected fields"),
        ("<html>It works!</html>", "no chat completion"),
        ('{"choices": [{"message": {"content": "{\\"dir', "no chat completion"),
        ('{"choices": []}', "no chat completion"),
        ('{"choices": [' + '{"message": ' * 3000, "no chat completion"),
        (UP + " " * (5 << 20), "more than 4,194,304 bytes"),
        ((500, " " * (5 << 20), SOON), "more than 4,194,304 bytes"),
        ((200, "", {"Content-Encoding": "gzip"}), "compresses"),
        (completion(UP, model="another", system_fingerprint="fp-1"), "name the model as the server does"),
        (completion(UP, model="student", system_fingerprint="fp-2"), "fingerprint changed"),
    ],
)
def test_a_failure_is_one_line_with_the_remedy_and_keeps_what_was_answered(
    fault, expected, seen, tmp_path, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with OpenAIServer(fault=lambda number, _: fault if number > 10 else None) as server:
        student = load_student(settings(server, batch=1))
        with AnswerCache(tmp_path / "l.sqlite") as cache:
            with pytest.raises(StudentError) as failure:
                forecast(seen, student, cache, silent)
            assert failure.value.exit_code == 3
            assert expected in str(failure.value) and "is kept" in str(failure.value)
            assert "\n" not in str(failure.value) and KEY not in str(failure.value)
            server.fault = lambda *_: None
            before = len(server.prompts)
            later = forecast(seen, load_student(settings(server)), cache, silent)
            assert later.num_generated == len(server.prompts) - before == len(seen) - 10
            assert not [call for call in later.calls if call.text is None]
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}


def test_passing_failures_are_ridden_out(seen):
    failures = [(429, "{}", SOON), (503, "{}", SOON), (500, "{}", SOON), "<html>restarting", "reset", "cut"]

    def fail(_number, _body):
        return failures.pop() if failures else None

    with OpenAIServer(fault=fail) as server:
        texts = answers(server, seen[:8], batch=2)
    assert failures == [] and len(texts) == 8


def test_a_second_run_asks_for_no_forecast(seen, tmp_path):
    with OpenAIServer() as server, AnswerCache(tmp_path / "l.sqlite") as cache:
        first = forecast(seen, load_student(settings(server)), cache, silent)
        asked = len(server.prompts)
        second = forecast(seen, load_student(settings(server)), cache, silent)
        assert len(server.prompts) == asked == len(seen)
    assert (second.num_generated, second.calls) == (0, first.calls)


def test_a_server_that_finishes_nothing_is_given_up(seen, monkeypatch):
    monkeypatch.setattr(server_client, "STALL_S", 0.3)
    with OpenAIServer(fault=lambda *_: "stall") as server, pytest.raises(StudentError, match="lower batch"):
        answers(server, seen)


def test_a_server_that_is_down_is_named(seen):
    with OpenAIServer() as server:
        student = load_student(settings(server))
    with pytest.raises(StudentError, match=r"does not answer.*start it"):
        student.answer(["[]"], silent)


@pytest.mark.parametrize(
    ("listed", "changes", "kind", "expected"),
    [
        ([{"id": "a", "owned_by": "vllm"}], {}, StudentError, "no such model; it has a"),
        ([{"id": "a"}, {"id": "b"}], {"model": None}, UsageError, "--model; it has a, b"),
        ([], {"model": None}, UsageError, "it does not list them"),
        (
            [{"id": "base"}, {"id": "lora", "parent": "other"}],
            {"model": "base", "adapter_name": "lora"},
            StudentError,
            "an adapter for 'other'",
        ),
    ],
)
def test_a_model_that_the_server_lacks_is_refused(listed, changes, kind, expected):
    with OpenAIServer(listed=listed) as server, pytest.raises(kind, match=expected):
        _ = load_student(settings(server, **changes)).fingerprint


def test_an_adapter_of_sglang_is_asked_for_by_the_names_of_both():
    with OpenAIServer(("regex",), listed=[{"id": "base", "owned_by": "sglang"}]) as server:
        _ = load_student(settings(server, model="base", adapter_name="lora")).fingerprint
        assert [body["model"] for body in server.asked] == ["base:lora"]


def test_the_only_model_of_a_server_needs_no_name(seen):
    with OpenAIServer() as server:
        student = load_student(settings(server, model=None))
        assert student.name == f"student at {server.url[7:]}"
        student.answer([student.prompt(seen[0])], silent)
        assert {body["model"] for body in server.asked} == {"student"}


def test_the_fingerprint_changes_with_whatever_decides_an_answer():
    def fingerprint(listed=None, system_fingerprint="fp-1", formats=("regex",), **changes):
        server.listed = [{"id": "student", "owned_by": "vllm", "created": len(seen), **(listed or {})}]
        server.listed.append({"id": "lora", "parent": "student"})
        server.system_fingerprint, server.formats = system_fingerprint, formats
        seen.append(load_student(settings(server, **changes)).fingerprint)
        return seen[-1]

    seen = []
    with OpenAIServer() as server:
        assert fingerprint() == fingerprint()
        fingerprint({"root": "/models/other"})
        fingerprint({"max_model_len": 4096})
        fingerprint({"meta": {"n_params": 1}})
        fingerprint(system_fingerprint="fp-2")
        fingerprint(formats=("grammar",))
        fingerprint(adapter_name="lora")
        fingerprint(seed=8)
        fingerprint(mode=DecodingMode.THINK)
        fingerprint(mode=DecodingMode.THINK, think_tokens=9)
        with OpenAIServer(formats=("regex",)) as server:
            fingerprint()
    assert len(set(seen)) == len(seen) - 1


def test_a_short_context_leaves_headlines_out(seen):
    item = max(seen, key=lambda observation: len(observation.news))
    with OpenAIServer(listed=[{"id": "student", "max_model_len": 400}]) as server:
        short = load_student(settings(server, prompt="full"))
        limited = short.prompt(item)
        assert "limits prompts to about 304 tokens" in short.notes[-1]
        server.listed = []
        assert len(load_student(settings(server, prompt="full")).prompt(item)) > len(limited)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://192.0.2.7:8000/v1", "--allow-remote"),
        ("http://model.example/v1", "--allow-remote"),
        ("http://0.0.0.0:8000/v1", "write 127.0.0.1"),
        ("http://127.0.0.1.example/v1", "--allow-remote"),
        ("http://127.0.0.1:99999/v1", "write http://HOST:PORT/v1"),
        ("http://127.0.0.1:8000/v1?key=1", "write http://HOST:PORT/v1"),
        ("http:///v1", "write http://HOST:PORT/v1"),
        ("http://user:hunter2@127.0.0.1/v1", "leave them out"),
    ],
)
def test_an_address_elsewhere_or_malformed_is_refused(address, expected):
    with pytest.raises(UsageError) as refused:
        load_student(StudentSettings(student=address, model="m"))
    assert expected in str(refused.value) and "hunter2" not in str(refused.value)
    if expected == "--allow-remote":
        load_student(StudentSettings(student=address, model="m", allow_remote=True))


def test_neither_proxies_nor_the_users_other_settings_are_used(seen, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("CLOSECALL_API_KEY", "ours")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with OpenAIServer() as server:
        assert len(answers(server, seen[:2])) == 2
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer ours"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"adapter": "lora"}, "--adapter-name"),
        ({"quantization": Quantization.NF4}, "start the server with it"),
        ({"dtype": "bfloat16"}, "start the server with it"),
        ({"mode": DecodingMode.READOUT}, 'mode = "json"'),
        ({"samples": 3}, "leave samples out"),
    ],
)
def test_settings_of_a_local_model_are_refused(changes, expected):
    with pytest.raises(UsageError, match=expected):
        load_student(StudentSettings(student="http://127.0.0.1:1/v1", model="m", **changes))


def test_the_name_of_a_model_on_a_server_is_refused_for_a_local_one():
    with pytest.raises(UsageError, match="with --student http://HOST"):
        load_student(StudentSettings(model="qwen"))


@pytest.mark.parametrize(
    ("listed", "changes", "released"),
    [
        ({"id": "student", "root": "Qwen/Qwen3-0.6B"}, {}, date(2025, 4, 29)),
        ({"id": "student", "root": "/models/mine"}, {}, None),
        ({"id": "student", "root": "Qwen/Qwen3-0.6B"}, {"adapter_name": "student"}, None),
        ({"id": "student", "root": "Qwen/Qwen3-0.6B", "parent": "base"}, {}, None),
    ],
)
def test_the_release_of_a_known_model_is_known(listed, changes, released):
    with OpenAIServer(listed=[listed]) as server:
        assert load_student(settings(server, **changes)).released == released


def test_a_run_over_a_server_states_both_probabilities_and_is_not_trained_on(tmp_path):
    with OpenAIServer(("regex",)) as server:
        flags = {"student": server.student, "model": "student", "prompt": "compact"}
        flags["market"] = {"coins": 1, "stocks": 0, "days": 30}
        result = backtest(load_config(None, flags), data_dir=tmp_path, clock=lambda: NOW).result
    assert (result["forecasts"], result["abstentions"]) == (25, 0)
    assert result["student"] == f"student at {server.url[7:]}"
    remedy = "train the local model, then load the adapter into the server"
    with pytest.raises(StudentError, match=remedy):
        read_source(tmp_path, None)
    flags["paper"] = {"retrain": "weekly"}
    with pytest.raises(StudentError, match=remedy):
        build_launch_spec(tmp_path, None, None, flags, replay=True, speed="max", symbol_overrides={})
    with pytest.raises(StudentError, match=remedy):
        require_trainable(StudentSettings(student=server.student.upper()))


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([('"', "up"), ("up", -0.1, {"up": -0.1, "down": -2.3})], 0.9002),
        ([('"', "up"), ("up", -0.1, {"up": -0.1, "x": -3.0})], None),  # "down" may have as much as "x"
        ([('"', "up"), ("up", 0.0, {"up": 0.0, "x": -20.0})], 1.0),
        ([("", '"up'), ('"up', -0.5, {'"up': -0.5, '"down': -1.0, '"': -3.0})], 0.6225),
        ([('"', "up"), ("u", -0.7, {"u": -0.7, "do": -0.8, "d": -3.5})], 0.5087),
        ([('"', "up"), ("up", float("nan"), {"down": -1.0})], None),
        ([('"', "up"), ("up", -0.1, {})], None),
    ],
)
def test_the_probability_is_read_at_the_token_where_the_direction_begins(tokens, expected):
    (quote, _), (token, logprob, alternatives) = tokens
    head = f'{{"direction": {quote}'
    rest = UP.removeprefix(head + token)
    top = [{"token": name, "logprob": value} for name, value in alternatives.items()]
    logprobs = {
        "content": [
            {"token": "<think>", "logprob": -1.0},
            {"token": head, "logprob": 0.0},
            {"token": token, "logprob": logprob, "top_logprobs": top},
            {"token": rest, "logprob": 0.0},
        ]
    }
    assert read_probability_up(UP, logprobs) == expected


@pytest.mark.parametrize("logprobs", [None, {}, [], {"content": None}, {"content": [{"probs": 1}]}, "x"])
def test_other_forms_of_probabilities_are_left_out(logprobs):
    assert read_probability_up(UP, logprobs) is None
    assert read_probability_up("moon", state_logprobs(UP, 0.6)) is None


def test_the_regular_expression_and_the_grammar_accept_the_same():
    from xgrammar import Grammar
    from xgrammar.testing import _is_grammar_accept_string

    texts = [format_answer(*answer) for answer in (("up", 0.5, 100), ("down", 1, 100), ("up", 0.77, 999.99))]
    texts += [format_answer("down", 0.61, 10), format_answer("down", 0.61, 99.99)]
    texts += [format_answer("up", 0.6, 99.99), format_answer("down", 0.6, 100.01), UP.replace("0.60", "0.49")]
    texts += [UP + " ", UP.replace(" ", ""), UP.replace("0.60", "0.6"), UP.replace("up", "side"), ""]
    accepted = [
        [_is_grammar_accept_string(g, text) for text in texts]
        for g in (Grammar.from_ebnf(GRAMMAR), Grammar.from_regex(ANSWER_REGEX))
    ]
    assert accepted[0] == accepted[1] == [True] * 5 + [False] * 8


def test_prompts_are_masked_where_that_is_asked_for(seen):
    names = ((seen[0].symbol, (seen[0].symbol,)),)
    with OpenAIServer() as server:
        plain, masked = (
            load_student(settings(server, prompt="full", mask=mask, names=names)).prompt(seen[0])
            for mask in (False, True)
        )
    assert seen[0].symbol in plain and seen[0].symbol not in masked


def test_prompts_are_chat_messages_in_canonical_json(seen):
    with OpenAIServer() as server:
        student = load_student(settings(server, prompt="full"))
        prompt = student.prompt(seen[-1])
        texts = student.answer([prompt], silent)
        messages = server.asked[-1]["messages"]
    assert [message["role"] for message in messages] == ["system", "user"]
    assert json.dumps(messages, ensure_ascii=False, sort_keys=True, separators=(",", ":")) == prompt
    assert len(texts) == 1


@pytest.mark.slow
def test_a_run_that_is_killed_loses_at_most_one_batch(tmp_path):
    config = tmp_path / "closecall.toml"
    command = [sys.executable, "-c", "from tui.cli.main import main; main()", "backtest"]
    command += ["--config", str(config), "--data-dir", str(tmp_path / "data"), "--json"]
    with OpenAIServer(("regex",), seconds=0.1) as server:
        config.write_text(f'student = "{server.student}"\nbatch = 4\nprompt = "compact"\nmarket.days = 24\n')
        with started(command, stdout=subprocess.DEVNULL) as process:
            while len(server.prompts) < 12 and process.poll() is None:
                time.sleep(0.01)
            process.kill()
            process.wait()
        asked, server.seconds = len(server.prompts), 0.0
        ran(command, stdout=subprocess.DEVNULL, check=True)
        again = len(server.prompts) - len(set(server.prompts))
    assert 12 <= asked < len(set(server.prompts))
    assert again <= 4
