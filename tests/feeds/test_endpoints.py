"""Addresses of one's own in place of a source's."""

from datetime import UTC, datetime

import pytest

from feeds.history.endpoints import HttpSession, describe_source, rebase_table, require_url


@pytest.mark.parametrize(
    "url",
    [
        *("", "mirror.example", "ftp://mirror.example", "file:///etc/passwd", "http://", "http:///x"),
        *(
            "http://a b.example",
            "http://x.example?key=1",
            "http://x.example#y",
            "http://[::1",
            "http://x:99999",
        ),
        *("http://user:word@x.example", "http://user@x.example", "http://x.example\n"),
    ],
)
def test_what_is_no_plain_address_is_refused(url):
    with pytest.raises(ValueError, match=r"https://mirror\.example|password out"):
        require_url(url)


def test_an_address_is_taken_without_its_last_slash():
    assert require_url("https://mirror.example:8080/binance/") == "https://mirror.example:8080/binance"


def test_scheme_and_host_are_replaced_and_the_paths_stay():
    table = {"public": "https://api.x.com/api/v3", "nested": {"rest": "https://{hostname}"}}
    moved = rebase_table(table, "http://here:1/x")
    assert moved == {"public": "http://here:1/x/api/v3", "nested": {"rest": "http://here:1/x"}}


def test_of_an_address_only_scheme_and_host_are_told():
    assert describe_source("X through y 1", None) == "X through y 1"
    assert (
        describe_source("X", "https://m.example/token") == "X at https://m.example (not the official address)"
    )


@pytest.mark.parametrize(
    ("headers", "dated"),
    [
        ({"Date": "Mon, 01 Jan 2024 10:00:00 GMT"}, datetime(2024, 1, 1, 10, tzinfo=UTC)),
        ({"Date": "Mon, 01 Jan 2024 10:00:00 GMT", "Age": "90"}, datetime(2024, 1, 1, 10, 1, 30, tzinfo=UTC)),
        ({"Date": "Mon, 01 Jan 2024 10:00:00 GMT", "Age": "x"}, datetime(2024, 1, 1, 10, tzinfo=UTC)),
        ({"Date": "yesterday"}, None),
        ({}, None),
    ],
)
def test_an_answers_date_is_read_with_its_age(headers, dated):
    wire = HttpSession(None)
    wire.record_date(headers)
    assert wire.dated == dated
