"""A model on an OpenAI-compatible server as a student.

The server applies the chat template and generates. The format of answers is asked for by the server's own
means, and whatever it answers is read strictly. The weights stay there: such a student is not trained.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from copy import copy
from dataclasses import replace
from datetime import date
from functools import cached_property
from itertools import islice
from typing import Any

from engine.errors import ClosecallError, StudentError, UsageError
from engine.journal.canonical import canonical_json
from engine.model import Observation
from llm.answers import add_probability
from llm.known_models import known_model
from llm.masking import Names
from llm.prompts import Messages, PromptTemplate, find_template, fit_to_token_budget, fold_system_message
from llm.server_client import Completion, ServerClient, parse_address
from llm.server_probe import Server, probe_server, require_model
from llm.structured_output import read_probability_up
from llm.student import DecodingMode, Progress, Quantization, StudentSettings

_ANSWER_TOKENS = 96
_THINK = "\n\nFirst think about it in a few sentences. Do not answer yet."
_CONCLUDE = "Now answer with the JSON object and nothing else."
_LOCAL_ONLY = {
    "adapter": "load it into the server and name it with --adapter-name",
    "quantization": "start the server with it",
    "device": "start the server with it",
    "dtype": "start the server with it",
}


def load_student(wanted: StudentSettings) -> "ServerStudent":
    """Return a student whose address and settings are checked; the server is asked when it is first needed.

    Raises:
        UsageError: For an address that is malformed or on another machine, and for settings that need the
            model in this process.
    """
    url = parse_address(wanted.student, allow_remote=wanted.allow_remote)
    for name, remedy in _LOCAL_ONLY.items():
        if getattr(wanted, name) not in (None, Quantization.NONE):
            raise UsageError(f"student {url}: {name} concerns a model in this process; {remedy}")
    if wanted.mode is DecodingMode.READOUT:
        raise UsageError(
            f'student {url}: a server does not give the distribution that readout reads; set mode = "json", '
            "which keeps the probability of up where the server states it"
        )
    if wanted.samples > 1:
        raise UsageError(f"student {url}: a server is asked for the most probable answer; leave samples out")
    return ServerStudent(wanted, url)


class ServerStudent:
    """A model on a server. Make one with `load_student`."""

    def __init__(self, wanted: StudentSettings, url: str) -> None:
        self.template = _select_template(wanted)
        self.window = self.template.window
        self._wanted = wanted
        self._url = url
        self._place = url.partition("://")[2].partition("/")[0]
        self._thinks = wanted.mode is DecodingMode.THINK

    @cached_property
    def name(self) -> str:
        """Return the model's name and where it is."""
        return f"{self._wanted.adapter_name or self._wanted.model or self._server.model} at {self._place}"

    @cached_property
    def released(self) -> date | None:
        """Return the day of the model's release, where the table of known models has it.

        What an adapter was trained on is not known; a server may list one like a model, with its parent.
        """
        server = self._server
        if self._wanted.adapter_name:
            return None
        if server.listed and server.listed.parent not in (None, server.model):
            return None
        names = (server.model, server.listed.root if server.listed else None)
        known = next(filter(None, (known_model(name) for name in names if name)), None)
        return known.released if known else None

    @cached_property
    def fingerprint(self) -> str:
        """Return the SHA-256 over address, model, adapter, what the server states, and the request."""
        parts = {
            "url": self._url,
            "adapter_name": self._wanted.adapter_name,
            "listed": self._server.listed.model_dump() if self._server.listed else None,
            "system_fingerprint": self._server.system_fingerprint,
            "request": self._answer_request([]),
            "thinking": self._thinking_request([{"role": "user", "content": ""}]) if self._thinks else None,
        }
        return hashlib.sha256(canonical_json(parts).encode()).hexdigest()

    def with_mask(self, names: Names | None) -> "ServerStudent":
        """Return the student with prompts that mask these names, or none."""
        twin = copy(self)
        twin._wanted = replace(self._wanted, mask=names is not None, names=names or ())
        twin.template = _select_template(twin._wanted)
        return twin

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Return, in sentences, what the server does not offer."""
        notes = []
        if self._server.output_format.name == "none":
            notes.append(
                "the server offers no structured output, so the format of answers is left to the model; "
                "what cannot be read is an abstention"
            )
        if not self._server.states_logprobs:
            notes.append("the server states no token probabilities, so none is kept beside the confidence")
        if self._server.folds_system:
            notes.append("its chat template takes no system message, so the task is in the user's")
        if self._max_tokens < self.template.max_tokens:
            notes.append(f"its context limits prompts to about {self._max_tokens:,} tokens")
        return tuple(f"Student {self.name}: {note}." for note in notes)

    def prompt(self, observation: Observation) -> str:
        """Return the chat messages of an observation as JSON; the server applies its template to them."""
        return fit_to_token_budget(
            self.template, observation, self._encode_messages, _estimate_tokens, self._max_tokens
        )

    def answer(self, prompts: Sequence[str], on_progress: Progress) -> list[str]:
        """Return one raw answer for each prompt, in order. Raises StudentError with a remedy."""
        answers: dict[int, str] = {}
        for batch in self.answer_batches(prompts, on_progress):
            answers |= batch
        return [answers[place] for place in range(len(prompts))]

    def answer_batches(self, prompts: Sequence[str], on_progress: Progress) -> Iterator[Mapping[int, str]]:
        """Yield answers by the place of their prompt, as the server gives them.

        At most `batch` requests are under way. After a failure no other is begun, and StudentError is
        raised once those have ended.
        """
        done = 0
        with ServerClient(self.name, self._url) as client:
            for answers in self._request_all(client, prompts):
                done += len(answers)
                on_progress(done, len(prompts))
                yield answers

    def _request_all(self, client: ServerClient, prompts: Sequence[str]) -> Iterator[Mapping[int, str]]:
        waiting, running = iter(enumerate(prompts)), dict[Future[str], int]()
        failure: ClosecallError | None = None
        while True:
            if failure is None:
                for place, prompt in islice(waiting, self._wanted.batch - len(running)):
                    running[client.start(self._answer_one, client, prompt)] = place
            if not running:
                break
            answers = {}
            for future in client.wait(running):
                place = running.pop(future)
                try:
                    answers[place] = future.result()
                except ClosecallError as error:
                    failure = failure or error
            yield answers
        if failure is not None:
            raise type(failure)(f"{failure}; what was answered is kept") from failure

    async def _answer_one(self, client: ServerClient, prompt: str) -> str:
        messages: Messages = json.loads(prompt)
        if not self._thinks:
            return self._read(await client.complete(self._answer_request(messages)))
        thinking = await client.complete(self._thinking_request(messages))
        message = thinking.choices[0].message
        thoughts = message.reasoning_content or message.reasoning or message.content or ""
        thoughts = re.sub(r"</?think>", "", thoughts).strip()
        answered = [{"role": "assistant", "content": thoughts}, {"role": "user", "content": _CONCLUDE}]
        completion = await client.complete(self._answer_request(messages + answered))
        return f"<think>{thoughts}</think>\n{self._read(completion)}"

    def _encode_messages(self, messages: Messages) -> str:
        folded = fold_system_message(messages) if self._server.folds_system else messages
        text = json.dumps(folded, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return text.encode(errors="replace").decode()  # news may carry half a surrogate pair

    def _answer_request(self, messages: Messages) -> dict[str, Any]:
        return {**self._server.request(messages, self._wanted.seed), "max_tokens": _ANSWER_TOKENS}

    def _thinking_request(self, messages: Messages) -> dict[str, Any]:
        *before, last = messages
        asked = [*before, {**last, "content": last["content"] + _THINK}]
        request = self._server.free_request(asked, self._wanted.seed)
        return {**request, "max_tokens": self._wanted.think_tokens}

    def _read(self, completion: Completion) -> str:
        """Return the raw answer. Raises StudentError for that of another model or server."""
        require_model(self.name, self._server.model, completion)
        stated, first = completion.system_fingerprint, self._server.system_fingerprint
        if stated != first:
            raise StudentError(
                f"student {self.name}: the server's fingerprint changed from {first!r:.60} to "
                f"{stated!r:.60}; leave the server as it is while it is asked, and start again"
            )
        choice = completion.choices[0]
        text = (choice.message.content or "").strip()
        if '"probability_up"' in text:
            # The key stands for what the server states of its tokens; a model cannot state it.
            return f"{text} (probability_up by the model)"
        probability = read_probability_up(text, choice.logprobs) if text.endswith("}") else None
        return add_probability(text, probability)

    @cached_property
    def _server(self) -> Server:
        return probe_server(self._wanted, self._url, self._place)

    @cached_property
    def _max_tokens(self) -> int:
        context = self._server.listed.context if self._server.listed else None
        if context is None:
            return self.template.max_tokens
        thoughts = self._wanted.think_tokens + 64 if self._thinks else 0
        return min(self.template.max_tokens, context - _ANSWER_TOKENS - thoughts)


def _estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has: Qwen's, which takes digits one by one, has no more."""
    return len(re.findall(r"[A-Za-z]{1,5}|[^\sA-Za-z]", text))


def _select_template(wanted: StudentSettings) -> PromptTemplate:
    return find_template(wanted.prompt or "full", wanted.task, wanted.names if wanted.mask else None)
