import ssl
import time
import tracemalloc

import pytest

from engine.errors import DataError
from feeds.news.http import Limits, SourceBusy, fetch_page
from feeds.news.url_policy import is_public, origins, parse_url, redact_url
from tests.support.servers.news import (
    Answer,
    Site,
    bomb,
    cut_off,
    dripping_headers,
    endless,
    missing,
    moved,
    news_site,
    packed,
    page,
    self_signed,
    silent,
)

QUICK = Limits(connect=1.0, read=0.3, total=0.6, body=1_000_000, redirects=3)


@pytest.fixture
def site():
    with news_site() as running:
        yield running


def asked(site: Site, path: str, answer: Answer, limits: Limits = QUICK) -> bytes:
    site.pages[path] = answer
    return fetch_page(site.url(path), origins([site.url("/")]), limits).body


def fault(site: Site, answer: Answer, limits: Limits = QUICK) -> str:
    with pytest.raises(DataError) as raised:
        asked(site, "/x", answer, limits)
    message = str(raised.value)
    assert "\n" not in message and site.url("/") in message
    return message


def test_a_page_comes_with_its_address_and_its_content_type(site):
    site.pages["/a"] = page("hello", "text/html; charset=utf-8")
    found = fetch_page(site.url("/a"), origins([site.url("/")]), QUICK)
    assert (found.url, found.content_type, found.body) == (
        site.url("/a"),
        "text/html; charset=utf-8",
        b"hello",
    )


def test_a_packed_page_is_unpacked(site):
    text = bytes(range(256)) * 3_000
    assert asked(site, "/a", packed(text)) == text


def test_a_request_carries_no_cookie_and_no_credential(site, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://user:secret@127.0.0.1:9")
    site.pages["/b"] = page("end")
    site.pages["/a"] = missing(302, Location="/b", Set_Cookie="id=1")
    assert fetch_page(site.url("/a"), origins([site.url("/")]), QUICK).body == b"end"
    sent = {name.lower() for _, headers in site.asked for name in headers}
    assert [path for path, _ in site.asked] == ["/a", "/b"]
    assert sent == {"host", "user-agent", "accept", "accept-encoding", "connection"}


def test_other_alphabets_and_spaces_in_an_address_are_escaped(site):
    site.pages["/%E6%AF%94%20x"] = page("yes")
    assert fetch_page(site.url("/比 x"), origins([site.url("/")]), QUICK).body == b"yes"


def test_a_redirect_to_a_file_is_refused(site):
    site.pages["/x"] = moved("file:///etc/passwd")
    with pytest.raises(DataError, match="'file' is not fetched"):
        fetch_page(site.url("/x"), origins([site.url("/")]), QUICK)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "127.1", "2130706433"])
def test_a_redirect_to_an_internal_host_that_was_not_named_is_refused(site, host):
    with news_site({"/secret": page("secret")}) as other:
        site.pages["/x"] = moved(f"http://{host}:{other.port}/secret")
        with pytest.raises(DataError, match=r"internal address|host is unknown"):
            fetch_page(site.url("/x"), origins([site.url("/")]), QUICK)
        assert other.asked == []


def test_an_internal_host_is_refused_unless_it_is_named(site):
    site.pages["/a"] = page("hello")
    with pytest.raises(DataError, match="leads to an internal address"):
        fetch_page(site.url("/a"), limits=QUICK)
    assert site.asked == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("10.0.0.1", False),
        ("172.16.9.9", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("", False),
    ],
)
def test_only_addresses_that_can_be_reached_from_anywhere_are_public(address, public):
    assert is_public(address) is public


def test_redirects_end(site):
    assert "more than 3 redirects" in fault(site, moved("/x"))


@pytest.mark.parametrize(
    "url", ["ftp://a/b", "file:///etc/passwd", "a", "http://", "http://[", "http://a:0/"]
)
def test_what_is_no_web_address_is_refused(url):
    with pytest.raises(DataError):
        parse_url(url)


def test_a_password_in_an_address_is_refused_and_not_shown():
    with pytest.raises(DataError) as raised:
        fetch_page("https://me:hunter2@example.org/feed?key=abc")
    assert "hunter2" not in str(raised.value) and "abc" not in str(raised.value)


def test_a_query_is_never_shown(site):
    site.pages["/x?token=abc"] = missing(403)
    with pytest.raises(DataError, match="answered HTTP 403") as raised:
        fetch_page(site.url("/x?token=abc"), origins([site.url("/")]), QUICK)
    assert "abc" not in str(raised.value)
    assert redact_url("https://u:p@h:8/a?b#c\nd") == "https://h:8/a"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_source_may_be_asked_again(site, status):
    with pytest.raises(SourceBusy, match=f"HTTP {status}") as raised:
        asked(site, "/x", missing(status, Retry_After="7"))
    assert raised.value.wait == 7.0


def test_a_large_page_ends_at_the_limit(site):
    assert "more than 1,000,000 bytes" in fault(site, page(bytes(1_000_001)))
    assert len(asked(site, "/y", page(bytes(1_000_000)))) == 1_000_000


@pytest.mark.parametrize("hostile", [bomb(), endless(bytes(100_000))], ids=["bomb", "endless"])
def test_unpacking_and_reading_take_bounded_memory(site, hostile):
    tracemalloc.start()
    try:
        message = fault(site, hostile)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "more than 1,000,000 bytes" in message
    assert peak < 10_000_000


@pytest.mark.parametrize(
    "hostile", [silent(), endless(b"x", 0.02), dripping_headers()], ids=["silent", "dripping", "headers"]
)
def test_a_source_that_takes_its_time_is_given_up(site, hostile):
    started = time.monotonic()
    assert "no complete answer" in fault(site, hostile)
    assert time.monotonic() - started < 3


def test_a_page_that_breaks_off_is_not_taken_for_a_whole_one(site):
    assert "not readable" in fault(site, cut_off(b"half", 1_000))


@pytest.mark.parametrize("packing", ["gzip", "br", "zstd"])
def test_a_body_that_cannot_be_unpacked_is_refused(site, packing):
    fault(site, page(b"not packed", Content_Encoding=packing))


def test_an_unreachable_host_is_one_clear_line():
    with news_site() as gone:
        url = gone.url("/x")
    with pytest.raises(SourceBusy, match="Connection refused"):
        fetch_page(url, origins([url]), QUICK)


def test_a_secure_site_must_be_vouched_for(tmp_path, monkeypatch):
    certificate = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with news_site({"/a": page("hello")}, context) as site:
        url = site.url("/a").replace("http://", "https://")
        with pytest.raises(SourceBusy, match=r"no trusted connection \(TLS\)"):
            fetch_page(url, origins([url]), QUICK)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert fetch_page(url, origins([url]), QUICK).body == b"hello"
        wrong = url.replace("127.0.0.1", "localhost")
        with pytest.raises(SourceBusy, match=r"no trusted connection \(TLS\)"):
            fetch_page(wrong, origins([wrong]), QUICK)
