"""The dashboard in a browser: on this machine, for its own page, and only with the extra."""

import asyncio
import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UsageError
from tests.support.dash_scenes import shared_folder
from tui.cli.dash import dash
from tui.dashboard.web import HOME, create_server, is_allowed, serve


def test_without_the_extra_one_line_says_how_to_have_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "textual_serve", None)
    monkeypatch.setitem(sys.modules, "textual_serve.server", None)
    with pytest.raises(UsageError, match=r"pip install 'closecall\[web\]'"):
        dash(web=True, data=shared_folder())


@pytest.mark.parametrize("asked", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "localhost"])
def test_a_page_of_this_machine_is_answered(asked):
    assert is_allowed("127.0.0.1", asked, None)
    assert is_allowed("127.0.0.1", asked, f"http://{asked}")


@given(st.sampled_from([*HOME, "0.0.0.0", "box.example"]), st.text(max_size=20))
def test_a_page_of_another_site_is_not_answered(host, site):
    assert not is_allowed(host, "localhost:8000", f"http://{site}.example")


def test_a_name_that_leads_here_from_elsewhere_is_not_answered():
    assert not is_allowed("127.0.0.1", "evil.example:8000", None)
    assert not is_allowed("0.0.0.0", "evil.example:8000", "http://evil.example:8000")
    assert not is_allowed("0.0.0.0", "", None)
    assert is_allowed("0.0.0.0", "192.168.1.5:8000", "http://192.168.1.5:8000")
    assert is_allowed("box.example", "Box.example:8000", "http://Box.example:8000")


def test_a_port_that_is_taken_is_named_before_anything_is_promised():
    pytest.importorskip("textual_serve", reason="is an optional extra")
    said = []
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match="another port"):
        serve([], "127.0.0.1", taken.getsockname()[1], said.append)
    assert said == []


def test_a_host_that_is_not_this_machine_is_not_reported_as_in_use():
    pytest.importorskip("textual_serve", reason="is an optional extra")
    with pytest.raises(UsageError, match=r"--host host\.invalid --port 8000 cannot be served.*another host"):
        serve([], "host.invalid", 8000, lambda _line: None)


def test_the_page_comes_with_a_policy_and_foreign_ones_are_turned_away():
    pytest.importorskip("textual_serve", reason="is an optional extra")
    from aiohttp.test_utils import TestClient, TestServer

    async def visit():
        app = await create_server(
            ["--data-dir", "/nowhere"], "127.0.0.1", 8000, lambda _line: None
        )._make_app()
        async with TestClient(TestServer(app)) as client:
            page = await client.get("/")
            foreign = await client.get("/ws", headers={"Origin": "http://evil.example"})
            rebound = await client.get("/", headers={"Host": "evil.example"})
            return page.headers["Content-Security-Policy"], foreign.status, rebound.status

    policy, foreign, rebound = asyncio.run(visit())
    assert "default-src 'self'" in policy
    assert (foreign, rebound) == (403, 403)
