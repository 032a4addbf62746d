import os
import re
import socket
import time
from collections import Counter

import pytest

from engine.errors import DataError
from feeds.news.articles import TextSource, decode_page, extract_article, read_article
from feeds.news.http import Page
from feeds.news.sandbox import Sandbox
from tests.support.places import SHARED_DATA
from tests.support.servers.news import direct

PAGES = SHARED_DATA / "html_article_pages"
needs_pages = pytest.mark.skipif(not PAGES.is_dir(), reason="the saved pages are not on this machine")
ENGLISH = "The price of bitcoin rose on Saturday because many of the buyers came back to the market. "

TITLES = {
    "bbc": (
        "Coronavirus: New York ramps up mass burials amid outbreak",
        "coffins being buried in a mass grave",
    ),
    "cointelegraph": ("CME nun zweitgrößte Bitcoin (BTC)-Futures-Börse", "Open Interest der CME erreichte"),
    "economist": ("Why collaborative thinking beats individual smarts", "Thomas Malone modernised how"),
    "latimes": (
        "As his first debate nears, Bloomberg is having to answer",
        "floating above the fray are over",
    ),
    "nytimes.com.blackouts": ("Rolling Blackouts in California Have Power Experts", "the wolf arrives"),
    "parasite": ("'Parasite' scores historic upset at SAG awards", "the most beautiful dream"),
    "coinbase": ("Coinbase vs. Coinbase Pro: How do they compare?", "ideal for beginner investors"),
}


def make_html(*paragraphs: str, title: str = "A title", language: str = "en") -> str:
    body = "".join(f"<p>{text}</p>" for text in paragraphs)
    return f"<html lang='{language}'><head><title>{title}</title></head><body><div>{body}</div></body></html>"


def make_page(html: str | bytes, content_type: str = "text/html") -> Page:
    body = html.encode() if isinstance(html, str) else html
    return Page(url="http://h.example/a?key=secret", content_type=content_type, body=body)


def token_f1(found: str, expected: str) -> float:
    """Twice the words in common over the words in both, 0 to 1."""
    ours, theirs = (Counter(re.findall(r"\w+", text.lower())) for text in (found, expected))
    return 2 * (ours & theirs).total() / (ours.total() + theirs.total())


def saved(name: str) -> dict[str, str]:
    (path,) = PAGES.glob(f"*{name}*.html")
    return extract_article(decode_page(path.read_bytes(), "text/html"))


@needs_pages
def test_the_saved_pages_give_the_texts_that_are_expected_of_them():
    scores = [
        token_f1(
            extract_article(decode_page(path.read_bytes(), "text/html"))["text"],
            path.with_suffix(".expected.txt").read_text(encoding="utf-8"),
        )
        for path in sorted(PAGES.glob("newspaper_*.html"))
    ]
    assert len(scores) == 13
    assert sum(scores) / len(scores) >= 0.99


@needs_pages
def test_trafilatura_speaks_where_newspaper_finds_a_small_part():
    from lxml import html

    scores = {}
    for name in ("cnn", "nytimes-3"):
        found = saved(f"readability_{name}_source")
        expected = html.fromstring((PAGES / f"readability_{name}_expected.html").read_text(encoding="utf-8"))
        scores[name] = (found["text_source"], token_f1(found["text"], expected.text_content()))
    assert scores["cnn"][0] == TextSource.NEWSPAPER and scores["cnn"][1] >= 0.95
    assert scores["nytimes-3"][0] == TextSource.TRAFILATURA and scores["nytimes-3"][1] >= 0.85


@needs_pages
@pytest.mark.parametrize("name", TITLES)
def test_other_saved_pages_have_their_title_and_their_text(name):
    title, words = TITLES[name]
    found = saved(name)
    assert title in found["title"].replace("’", "'")
    assert words in found["text"]


def test_no_socket_is_opened_and_no_file_is_downloaded(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    extract_article(make_html(ENGLISH))  # what is imported may look at sockets once
    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    links = (
        "<meta http-equiv=refresh content='0; url=http://a.example/'><meta property=og:image content=/i.png>"
    )
    html = make_html(*[ENGLISH * 3] * 3).replace("</head>", f"{links}<link rel=icon href=/f.ico></head>")
    assert "buyers came back" in extract_article(html)["text"]
    for path in sorted(PAGES.glob("*.html"))[::5]:
        assert extract_article(decode_page(path.read_bytes(), "text/html"))["text"]


@pytest.mark.parametrize("language", ["zh", "en", ""])
def test_a_chinese_page_is_read_whatever_language_it_states(language):
    sentence = "比特币价格周六上涨，因为许多买家重新回到了市场，分析师认为这一趋势还会继续下去。"
    found = extract_article(make_html(*[sentence * 4] * 4, title="比特币上涨", language=language))
    assert found["title"] == "比特币上涨"
    assert found["text"].count("许多买家") == 16


def test_scripts_and_styles_are_no_text():
    found = extract_article(
        make_html(ENGLISH * 4, "<script>alert('x')</script><style>p{}</style>" + ENGLISH * 3)
    )
    assert "alert" not in found["text"] and "p{}" not in found["text"]


@pytest.mark.parametrize(
    "html", ["", "<html></html>", "<p>", "\0\0", "<?xml version='1.0' encoding='x'?><p>a</p>"]
)
def test_a_page_without_an_article_has_no_text_and_leaves_the_summary(html):
    found = read_article(make_page(html), "What the feed says.", direct)
    assert (found.text, found.text_source) == ("What the feed says.", TextSource.SUMMARY)


def test_a_page_that_is_not_html_is_refused_in_one_line():
    with pytest.raises(DataError, match=r"^http://h\.example/a: not an HTML page"):
        read_article(make_page(b"%PDF-1.4", "application/pdf"), "", direct)


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("日元".encode("shift_jis"), "text/html; charset=Shift_JIS", "日元"),
        ("<meta charset=gb2312>碁".encode("gb18030"), "text/html", "<meta charset=gb2312>碁"),
        ("Börse".encode(), "text/html", "Börse"),
        ("Börse".encode("cp1252"), "text/html", "Börse"),
        ("Börse".encode("utf-16"), "", "Börse"),
        ("Börse".encode(), "text/html; charset=nonsense", "Börse"),
        ("Börse".encode(), "text/html; charset=base64", "Börse"),
        (b"a\xff", "text/html; charset=utf-8", "a\ufffd"),
    ],
)
def test_a_page_is_decoded_by_what_it_says_of_itself(body, content_type, text):
    assert decode_page(body, content_type) == text


def test_a_page_made_to_take_hours_is_left_out_in_time():
    hostile = "<html><body>" + "<p>the of and is to a b</p>" * 100_000
    started = time.monotonic()
    with Sandbox(seconds=2.0) as run:
        with pytest.raises(DataError, match=r"^http://h\.example/a: not readable within 2 s"):
            read_article(make_page(hostile), "", run)
        assert time.monotonic() - started < 5
    with Sandbox() as run:
        assert "buyers" in read_article(make_page(make_html(*[ENGLISH * 3] * 3)), "", run).text


def take_memory(size: int) -> int:
    return len(bytearray(size))


def reach_out(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=1)


def variable(name: str) -> str | None:
    return os.environ.get(name)


def test_a_parser_has_no_network_no_secret_and_no_more_memory_than_it_may(monkeypatch):
    monkeypatch.setenv("EXCHANGE_KEY", "hunter2")
    with Sandbox(memory=600_000_000) as run, socket.create_server(("127.0.0.1", 0)) as server:
        assert run(variable, "EXCHANGE_KEY") is None
        assert run(take_memory, 1_000) == 1_000
        with pytest.raises(DataError, match="not readable within 20 s and 600 MB"):
            run(take_memory, 700_000_000)
        with pytest.raises(DataError, match=r"not readable \(OSError\)"):
            run(reach_out, server.getsockname()[1])
        assert run(take_memory, 1_000) == 1_000
