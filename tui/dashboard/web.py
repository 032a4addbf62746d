"""The dashboard in a browser, through textual-serve: a process of it for each page that is open.

Whoever reaches the page can act. So it serves this machine only by default, and a page of another site
cannot reach it through its visitor's browser: requests must name this server, and come from its own page.
"""

import errno
import ipaddress
import shlex
import socket
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from engine.errors import UsageError

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.typedefs import Handler, Middleware
    from textual_serve.server import Server

HOME = ("127.0.0.1", "localhost", "::1")
"""Names under which only this machine is meant."""

_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' ws: wss:",
        "frame-ancestors 'none'",
    )
)


def serve(words: Sequence[str], host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve `closecall dash WORDS` until Ctrl-C. Raises UsageError without the extra, host or free port."""
    server = create_server(words, host, port, say)
    try:
        # The server says that it serves before it has the port.
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        cause = "is in use; choose another port"
        if error.errno != errno.EADDRINUSE:
            cause = f"cannot be served: {error.strerror or error}; choose another host or port"
        message = f"--host {host} --port {port} {cause}"
        raise UsageError(message) from error
    server.serve()


def create_server(words: Sequence[str], host: str, port: int, say: Callable[[str], None]) -> "Server":
    """The server, not yet begun. Raises UsageError without the extra."""
    try:
        from textual_serve.server import Server
    except ImportError as error:
        raise UsageError(
            "--web needs textual-serve; install it with: pip install 'closecall[web]'"
        ) from error

    class Guarded(Server):
        """textual-serve's own, but quiet, and closed to other sites."""

        def initialize_logging(self) -> None:
            """Say nothing but what is ours."""

        async def on_startup(self, app: "web.Application") -> None:
            """Say where it is, and who can act."""
            del app
            say(
                f"the dashboard is at http://{format_host(host)}:{port}; Ctrl-C ends it, and no "
                "session with it"
            )
            if host not in HOME:
                say("whoever reaches that address can command your sessions; --readonly refuses all commands")

        async def _make_app(self) -> "web.Application":
            app: web.Application = await super()._make_app()
            app.middlewares.append(_create_guard(host))
            return app

        async def handle_index(self, request: "web.Request") -> "web.StreamResponse":
            """The page, whose parts are where the browser found it."""
            self.public_url = f"http://{request.host}"
            page: web.StreamResponse = await super().handle_index(request)
            return page

    line = shlex.join([sys.executable, "-c", "from tui.cli.main import main; main()", "dash", *words])
    return Guarded(line, host=host, port=port, title="closecall dash")


def format_host(host: str) -> str:
    """A host as an address has it."""
    return f"[{host}]" if ":" in host else host


def is_allowed(host: str, asked: str, origin: str | None) -> bool:
    """Whether a request that names `asked` as its server, and comes from a page of `origin`, is answered."""
    try:
        name, page = urlsplit(f"//{asked}").hostname, asked if origin is None else urlsplit(origin).netloc
    except ValueError:
        return False
    known = name in HOME if host in HOME else name in (host.lower(), *HOME) or _is_address(name or "")
    return page == asked and known


def _is_address(name: str) -> bool:
    """Whether a name is an address: only a domain's name can be pointed at this machine by a stranger."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _create_guard(host: str) -> "Middleware":
    from aiohttp import web

    @web.middleware
    async def guard(request: web.Request, handler: "Handler") -> web.StreamResponse:
        if not is_allowed(host, request.host, request.headers.get("Origin")):
            raise web.HTTPForbidden(text="closecall answers its own page only")
        response = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = _POLICY
        return response

    return guard
