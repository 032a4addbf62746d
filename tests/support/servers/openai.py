"""An OpenAI-compatible server on loopback that answers by a rule, knows some formats, and fails on order."""

import json
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

from tests.support.servers.faults import Answer, Loopback, Request
from tests.support.students import DOWN, UP

FORMATS = ("structured_outputs", "regex", "grammar", "guided_regex", "response_format")


class OpenAIServer(Loopback):
    """Answers in JSON where it knows the parameter that asks for it, else with a greeting.

    `formats` are the parameters it knows; `strict` makes it refuse those it does not. `fault` is given each
    request for an answer, counted from 1, and returns what is sent instead, or the name of a fault, or None.
    `listed` are its models.
    `seconds` is how long an answer takes.
    """

    def __init__(
        self,
        formats: tuple[str, ...] = FORMATS,
        *,
        strict: bool = False,
        model: str = "student",
        listed: list[dict[str, Any]] | None = None,
        fault: Callable[[int, Mapping[str, Any]], Answer | None] = lambda _number, _body: None,
        system_fingerprint: str = "fp-1",
        logprobs: bool = True,
        seconds: float = 0.0,
    ) -> None:
        super().__init__(self._answer, None)
        self.formats, self.strict, self.model, self.fault = formats, strict, model, fault
        self.listed = [{"id": model, "owned_by": "me"}] if listed is None else listed
        self.system_fingerprint, self.logprobs = system_fingerprint, logprobs
        self.seconds = seconds
        self.asked: list[dict[str, Any]] = []
        self.busy = self.busiest = 0
        self._lock = threading.Lock()

    @property
    def student(self) -> str:
        return f"{self.url}/v1"

    @property
    def prompts(self) -> list[str]:
        """The last message of each request that is not a greeting."""
        texts = [body["messages"][-1]["content"] for body in self.asked]
        return [text for text in texts if text != "Say hello."]

    def _answer(self, request: Request) -> Answer:
        if request.path == "/v1/models":
            return json.dumps({"object": "list", "data": self.listed})
        if request.path != "/v1/chat/completions":
            return 404, json.dumps({"error": {"message": "Not Found"}})
        body = json.loads(request.body)
        with self._lock:
            self.asked.append(body)
            number = len(self.prompts)
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        try:
            greets = body["messages"][-1]["content"] == "Say hello."
            fault = None if greets else self.fault(number, body)
            self.closing.wait(self.seconds)
            return self._complete(body) if fault is None else fault
        finally:
            with self._lock:
                self.busy -= 1

    def _complete(self, body: Mapping[str, Any]) -> Answer:
        unknown = [name for name in FORMATS if name in body and name not in self.formats]
        if self.strict and unknown:
            return 422, json.dumps({"detail": f"Unexpected fields in the request: {unknown}"})
        if "logprobs" in body and not self.logprobs:
            return 400, json.dumps({"error": {"message": "logprobs is not supported"}})
        constrained = any(name in body for name in self.formats)
        prompt = body["messages"][-1]["content"]
        up = re.search(r"[+][0-9.]+$", prompt.split("\n")[0]) is not None
        text = (UP if up else DOWN) if constrained else f"Hello! You said {prompt!r}."
        return completion(
            text,
            model=body["model"],
            system_fingerprint=self.system_fingerprint,
            logprobs=state_logprobs(text, 0.8) if "logprobs" in body and constrained else None,
        )


def completion(text: str, **more: Any) -> str:
    choice = {"message": {"role": "assistant", "content": text}, "logprobs": more.pop("logprobs", None)}
    return json.dumps({"object": "chat.completion", "choices": [choice], **more})


def state_logprobs(text: str, probability: float) -> dict[str, Any]:
    """Tokens of an answer, where the direction that it has gets `probability` and the other the rest."""
    from math import log

    before, direction, after = re.split(r"(?<=direction\": \")(up|down)", text, maxsplit=1)
    other = "down" if direction == "up" else "up"
    alternatives = [
        {"token": direction, "logprob": log(probability)},
        {"token": other, "logprob": log(1 - probability)},
    ]
    tokens = [{"token": token, "logprob": 0.0} for token in (before, direction, after)]
    return {"content": [tokens[0], {**alternatives[0], "top_logprobs": alternatives}, tokens[2]]}
