"""Requests to an OpenAI-compatible server: bounded in time and size, retried, and each failure in one line.

Independent of prompts and answers. Neither proxies nor redirects are followed, so that prompts and the key
reach the named address only.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self, TypeVar, TypeVarTuple
from urllib.parse import urlsplit

import httpx2
import openai
from anyio.from_thread import start_blocking_portal
from pydantic import BaseModel, Field, ValidationError

from engine.errors import StudentError, UsageError
from llm.model_files import first_line

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

KEYS = ("CLOSECALL_API_KEY", "OPENAI_API_KEY")
"""The environment variables that may hold the server's key; the first that is set counts."""

MAX_BYTES = 4 * 1024 * 1024
"""The largest answer that is read."""

MAX_RETRIES = 5
"""How often a request is retried after a lost connection, "too many requests" or a server's failure."""

STALL_S = 600.0
"""A server that finishes no answer for so many seconds is given up."""

_CONNECT_S = 10.0
_TOO_LONG = (
    "context_length",
    "context length",
    "context size",
    "context window",
    "exceed_context",
    "too long",
)


class RejectedRequest(StudentError):
    """The server refuses what a request asks for. Another format is tried, or the run ends; exit code 3."""


def parse_address(url: str, *, allow_remote: bool) -> str:
    """Return the address of a server with its path, "/v1" where it has none.

    Args:
        url: The address, as a user writes it.
        allow_remote: Whether it may be on another machine.

    Raises:
        UsageError: For an address that is malformed, holds a password, or is on another machine.
    """
    place = f"student {url}"
    try:
        parts = urlsplit(url)
        host, known = parts.hostname or "", bool(parts.hostname) and parts.port != 0
    except ValueError:
        host, known = "", False
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise UsageError(
            "student: the address holds a user name or password; leave them out, "
            f"and put the key into {KEYS[0]}"
        )
    if not known or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise UsageError(f"{place}: no address of a server; write http://HOST:PORT/v1")
    if not allow_remote and not _is_loopback(host):
        # Nothing is bound to: the address is one that a user typed.
        remedy = "write 127.0.0.1" if host in ("0.0.0.0", "::") else "allow it with --allow-remote"  # noqa: S104
        raise UsageError(f"{place}: not on this machine, and prompts would leave it; {remedy}")
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{parts.path.rstrip('/') or '/v1'}"


def read_key() -> str:
    """Return the server's key from the environment; "none" where there is none, which servers ignore.

    Raises UsageError for one that no request can carry.
    """
    name = next((name for name in KEYS if os.environ.get(name)), None)
    key = os.environ[name].strip() if name else "none"
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(f"{name}: it holds a character that no key has; set it again")
    return key


class Completion(BaseModel):
    """What a server answers, as far as it is used. Servers leave out much of it."""

    class Choice(BaseModel):
        """One answer."""

        class Message(BaseModel):
            """Its text, and what a model thought before it."""

            content: str | None = None
            reasoning_content: str | None = None
            reasoning: str | None = None

        message: Message
        logprobs: Any = None

    choices: list[Choice] = Field(min_length=1)
    model: str | None = None
    system_fingerprint: str | None = None


class ListedModel(BaseModel):
    """One model of a server, as far as it says what its weights are."""

    id: str
    owned_by: str | None = None
    root: str | None = None
    parent: str | None = None
    max_model_len: int | None = None
    meta: dict[str, Any] | None = None

    @property
    def context(self) -> int | None:
        """Return how many tokens a prompt and its answer may have, where the server states it."""
        stated = (self.meta or {}).get("n_ctx")
        return self.max_model_len or (stated if isinstance(stated, int) else None)


class _ModelList(BaseModel):
    data: list[ListedModel]


class ServerClient:
    """Requests to one server, any number at a time. Use it as a context manager."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self._key = read_key()
        self._url = url
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._portal = self._stack.enter_context(start_blocking_portal())
        http = httpx2.AsyncClient(
            transport=_BoundedTransport(trust_env=False, limits=httpx2.Limits(max_connections=None)),
            trust_env=False,
            follow_redirects=False,
            headers={"Accept-Encoding": "identity"},
        )
        self._client = openai.AsyncOpenAI(
            base_url=self._url,
            api_key=self._key,
            http_client=http,
            timeout=httpx2.Timeout(None, connect=_CONNECT_S),
        )
        self._stack.callback(self._portal.call, self._client.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)  # after an error nothing is waited for

    def start(self, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> "Future[T]":
        """Begin what calls `complete`, beside what has begun."""
        return self._portal.start_task_soon(function, *args)

    def run(self, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """Return what calls `models` or `complete`. Raises StudentError after STALL_S seconds."""
        try:
            return self.start(function, *args).result(STALL_S)
        except TimeoutError as error:
            raise self._stalled() from error

    def wait(self, running: Iterable["Future[T]"]) -> "set[Future[T]]":
        """Return what has ended, once anything has. Raises StudentError after STALL_S seconds without."""
        ended, _ = wait(running, timeout=STALL_S, return_when=FIRST_COMPLETED)
        if not ended:
            raise self._stalled()
        return ended

    def _stalled(self) -> StudentError:
        return StudentError(
            f"student {self.name}: the server has finished no answer within {STALL_S:g} s; lower batch, "
            "or use a smaller model"
        )

    async def models(self) -> list[ListedModel]:
        """Return the models that the server lists; none where it keeps no list. Raises StudentError."""
        try:
            return _ModelList.model_validate_json(await self._request("get", "/models", None, 2)).data
        except (RejectedRequest, ValidationError):
            return []  # some servers have another list, or none

    async def complete(self, body: Mapping[str, Any], retries: int = MAX_RETRIES) -> Completion:
        """Return the answer to a request.

        Args:
            body: The request.
            retries: How often it is tried again where that may help, with growing pauses.

        Raises:
            RejectedRequest: Where the server does not take this request.
            StudentError: For every other failure, with the remedy.
        """
        for _ in range(2):  # what stands between may answer for a server that restarts
            content = await self._request("post", "/chat/completions", body, retries)
            try:
                return Completion.model_validate_json(content)
            except ValidationError:
                shown = self._clean(Exception(content[:300].decode(errors="replace")))
        raise StudentError(
            f"student {self.name}: the server's answer is no chat completion ({shown:.80}); "
            "check that the address is that of an OpenAI-compatible server and ends in /v1"
        )

    async def _request(self, method: str, path: str, body: Mapping[str, Any] | None, retries: int) -> bytes:
        client = self._client.with_options(max_retries=retries)
        try:
            if method == "get":
                response = await client.get(path, cast_to=httpx2.Response)
            else:
                response = await client.post(path, cast_to=httpx2.Response, body=body)
        except openai.APIStatusError as error:
            raise self._refusal(error) from None  # its request holds the key
        except openai.APIConnectionError as error:
            cause = self._clean(error.__cause__ if isinstance(error.__cause__, Exception) else error)
            raise StudentError(
                f"student {self.name}: the server does not answer ({cause}); start it, or correct the address"
            ) from None
        except StudentError as error:  # what is read of an answer has no name yet
            raise StudentError(f"student {self.name}: {error}") from None
        return response.content

    def _refusal(self, error: openai.APIStatusError) -> StudentError:
        status, text = error.status_code, self._clean(error)
        reason = next((remedy for matches, remedy in _REFUSALS if matches(status, text)), None)
        if reason:
            return StudentError(f"student {self.name}: {reason} ({text:.120})")
        return RejectedRequest(
            f"student {self.name}: the server refuses the request ({status}: {text:.120}); see its log"
        )

    def _clean(self, error: Exception) -> str:
        """Return what a server or a library says, in one printable line without the key."""
        body = getattr(error, "body", None)
        message = body.get("message") or body.get("detail") if isinstance(body, dict) else None
        text = first_line(Exception(message) if isinstance(message, str) else error)
        return text if self._key == "none" else text.replace(self._key, "***")


_REFUSALS = (
    (
        lambda status, text: (
            status in (400, 413, 422, 500) and any(word in text.lower() for word in _TOO_LONG)
        ),
        'the prompt exceeds the context; set prompt = "compact", or start the server with a longer one',
    ),
    (lambda status, _: status in (401, 403), f"the server wants another key; set {KEYS[0]}"),
    (
        lambda status, _: status == 404,
        "the server has no such model or path; check --model, and that the address ends in /v1",
    ),
    (lambda status, _: status == 429, "the server has too many requests; lower batch, or try later"),
    (lambda status, _: 300 <= status < 400, "the server redirects, which is not followed; name that address"),
    (lambda status, _: status > 501, "the server fails; see its log"),
)


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, response: httpx2.Response) -> None:
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101  # narrows the type for mypy
        self._stream = response.stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > MAX_BYTES:
                raise StudentError(
                    f"the server's answer has more than {MAX_BYTES:,} bytes; "
                    "check that the address is that of an OpenAI-compatible server"
                )
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class _BoundedTransport(httpx2.AsyncHTTPTransport):
    """Reads no more of an answer than MAX_BYTES, and nothing that is compressed, which could grow."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            await response.aclose()
            raise StudentError("the server compresses its answers unasked; turn that off")
        response.stream = _BoundedStream(response)
        return response


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
