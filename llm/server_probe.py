"""What a server has and how it takes the format of answers, found out by a few requests at the beginning."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import StudentError, UsageError
from llm.prompts import Messages, fold_system_message
from llm.server_client import Completion, ListedModel, RejectedRequest, ServerClient
from llm.structured_output import OutputFormat, order_formats
from llm.student import StudentSettings

_GREETING: Messages = [
    {"role": "system", "content": "You are polite."},
    {"role": "user", "content": "Say hello."},
]
_LOGPROBS: Mapping[str, Any] = {"logprobs": True, "top_logprobs": 20}
_COMPLETE_LISTS = ("vllm", "sglang", "llamacpp", "me", "library", "organization_owner")
"""The owners in the lists of servers that list all they have; `transformers serve` does not list folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What the first requests to a server show.

    Attributes:
        model: The name of the model that is asked for, which is that of an adapter if one is wanted.
        listed: What the server states of the model; None where it does not list it.
        output_format: The strictest format that the server keeps to.
        states_logprobs: Whether it states the probabilities of tokens.
        system_fingerprint: What it states of its configuration.
        folds_system: Whether the model's chat template refuses a system message.
    """

    model: str
    listed: ListedModel | None
    output_format: OutputFormat
    states_logprobs: bool
    system_fingerprint: str | None
    folds_system: bool

    def request(self, messages: Messages, seed: int) -> dict[str, Any]:
        """Return the request for an answer in the format."""
        logprobs = _LOGPROBS if self.states_logprobs else {}
        return _request(self.model, messages, seed) | dict(self.output_format.body) | dict(logprobs)

    def free_request(self, messages: Messages, seed: int) -> dict[str, Any]:
        """Return the request for thoughts in no format."""
        request = _request(self.model, messages, seed)
        if "chat_template_kwargs" in self.output_format.body:
            request["chat_template_kwargs"] = {"enable_thinking": True}
        return request


def probe_server(wanted: StudentSettings, url: str, place: str) -> Server:
    """Ask a server for its models, and greet the model in one format after the other until it keeps to one.

    Args:
        wanted: The settings of the student.
        url: The checked address of the server.
        place: Its host and port, for messages.

    Raises:
        UsageError: Where no model is named and the server has several.
        StudentError: With a remedy, for a server that is down, has no such model, or refuses every request.
    """
    with ServerClient(f"{wanted.model or ''} at {place}".strip(), url) as client:
        models = client.run(client.models)
        model, listed = _select_model(wanted, place, models)
        for greeting in (_GREETING, fold_system_message(_GREETING)):
            try:
                return _find_format(client, wanted, model, listed, greeting)
            except RejectedRequest as error:
                refusal = error
                if not re.search(r"\b(system|roles?)\b", str(error), re.IGNORECASE):
                    break
    raise refusal


def _find_format(
    client: ServerClient, wanted: StudentSettings, model: str, listed: ListedModel | None, greeting: Messages
) -> Server:
    refusal = RejectedRequest(f"student {model}: the server takes no request")
    for output_format in order_formats((listed and listed.owned_by) or ""):
        for logprobs in (_LOGPROBS, {}):
            body = _request(model, greeting, wanted.seed) | dict(output_format.body) | dict(logprobs)
            try:
                completion = client.run(client.complete, body | {"max_tokens": 96}, 1)
            except RejectedRequest as error:
                refusal = error
                continue
            require_model(client.name, model, completion)
            choice = completion.choices[0]
            if not output_format.follows((choice.message.content or "").strip()):
                break  # the server takes the request and ignores what asks for the format
            return Server(
                model=model,
                listed=listed,
                output_format=output_format,
                states_logprobs=bool(logprobs) and choice.logprobs is not None,
                system_fingerprint=completion.system_fingerprint,
                folds_system=greeting is not _GREETING,
            )
    raise refusal  # the last format takes whatever is answered


def require_model(name: str, model: str, completion: Completion) -> None:
    """Raise StudentError where the answer names another model than the one that was asked for."""
    if completion.model and not _same_model(model, completion.model):
        raise StudentError(
            f"student {name}: the server answers as {completion.model!r:.100} where {model!r:.100} "
            "was asked; name the model as the server does"
        )


def _select_model(
    wanted: StudentSettings, place: str, models: Sequence[ListedModel]
) -> tuple[str, ListedModel | None]:
    names = ", ".join(model.id for model in models[:12])
    name = wanted.adapter_name or wanted.model
    if name is None:
        if len(models) != 1:
            has = f"it has {names}" if models else "it does not list them"
            raise UsageError(f"student at {place}: name one of the server's models with --model; {has}")
        return models[0].id, models[0]
    listed = next((model for model in models if _same_model(name, model.id)), None)
    if listed is None and wanted.adapter_name and wanted.model:
        base = next(
            (model for model in models if model.id == wanted.model and model.owned_by == "sglang"), None
        )
        if base is not None:
            return f"{base.id}:{wanted.adapter_name}", base
    if listed is None:
        if any(model.owned_by in _COMPLETE_LISTS for model in models):
            raise StudentError(f"student {name} at {place}: the server has no such model; it has {names}")
        return name, None
    if wanted.adapter_name and wanted.model and listed.parent not in (None, wanted.model):
        raise StudentError(
            f"student {name} at {place}: an adapter for {listed.parent!r:.100}, not for {wanted.model}; "
            "name that model with --model"
        )
    return name, listed


def _same_model(asked: str, stated: str) -> bool:
    """Return whether two names differ at most by the revision or tag that a server adds."""
    return stated in (asked, f"{asked}@main", f"{asked}:latest")


def _request(model: str, messages: Messages, seed: int) -> dict[str, Any]:
    return {"model": model, "messages": messages, "temperature": 0, "seed": seed}
