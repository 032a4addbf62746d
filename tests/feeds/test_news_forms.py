"""News archives in the forms of vendors and collections."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from engine.errors import DataError
from engine.model import Precision
from feeds.files.kinds import identify_table
from feeds.files.news import read_news
from feeds.files.news_forms import describe_news_file
from feeds.instruments import guess_instrument
from feeds.quality.news import check_news
from feeds.symbols import NameTable
from tests.support.tables_on_disk import write_lines

NAMES = NameTable.for_instruments([guess_instrument(symbol) for symbol in ("BTCUSDT", "AAPL")])


def read(path):
    return read_news([path], NAMES, timedelta(0))


@pytest.mark.parametrize(
    ("header", "row", "title", "published", "precision", "zone_known"),
    [
        (  # crypto news of Kaggle
            "date,sentiment,source,subject,text,title,url",
            "2023-12-19 06:40:41,{'class': 'negative'},CryptoNews,bitcoin,A text,Rises,https://x.example",
            *("Rises", "2023-12-19T06:40:41", Precision.SECOND, False),
        ),
        (  # FNSPID
            ",Date,Article_title,Stock_symbol,Url,Publisher,Author,Article,Lsa_summary",
            "0,2023-12-16 23:00:00 UTC,Apple rises,AAPL,https://x.example,Zacks,,Long text,Short",
            *("Apple rises", "2023-12-16T23:00:00", Precision.SECOND, True),
        ),
        (  # Benzinga's ratings
            ",title,date,stock",
            "0,Apple falls,2020-06-05 10:30:00-04:00,AAPL",
            *("Apple falls", "2020-06-05T14:30:00", Precision.SECOND, True),
        ),
        (  # Benzinga's headlines
            ",headline,url,publisher,date,stock",
            "2,Apple holds,https://x.example,Benzinga,2020-06-05 00:00:00,AAPL",
            *("Apple holds", "2020-06-05T00:00:00", Precision.SECOND, False),
        ),
        (  # GDELT
            "URL,MobileURL,Date,Title",
            "https://x.example,,2024-01-02 12:15:00,Markets rise",
            *("Markets rise", "2024-01-02T12:15:00", Precision.SECOND, False),
        ),
        (  # Finnhub
            "category,datetime,headline,id,image,related,source,summary,url",
            "company,1704196800,Apple opens,1,,AAPL,Reuters,Text,https://x.example",
            *("Apple opens", "2024-01-02T12:00:00", Precision.SECOND, True),
        ),
        (
            "date,title",
            "20240102121530,Digits",
            *("Digits", "2024-01-02T12:15:30", Precision.SECOND, False),
        ),
        (
            "Date,Headline",
            '"Jan 02, 2024",Markets close',
            *("Markets close", "2024-01-02T00:00:00", Precision.DAY, False),
        ),
    ],
)
def test_an_archive_of_another_form_is_read(tmp_path, header, row, title, published, precision, zone_known):
    path = write_lines(tmp_path / "news.csv", [header, row])
    assert identify_table(path) == "news"
    (item,) = read(path).items
    assert (item.title, item.precision, item.zone_known) == (title, precision, zone_known)
    assert item.published_at == datetime.fromisoformat(published).replace(tzinfo=UTC)
    assert not check_news(path)
    assert describe_news_file(path).startswith("news.csv: published_at = ")


def test_articles_of_gdelt_are_read_from_json(tmp_path):
    article = {
        "url": "https://x.example",
        "title": "Rise",
        "seendate": "20240102T121500Z",
        "domain": "x.example",
    }
    path = tmp_path / "news.json"
    path.write_text(json.dumps({"articles": [article]}))
    (item,) = read(path).items
    assert (item.title, item.source) == ("Rise", "x.example")
    assert item.published_at == datetime(2024, 1, 2, 12, 15, tzinfo=UTC)


def test_times_that_can_be_read_in_two_ways_are_refused(tmp_path):
    path = write_lines(tmp_path / "news.csv", ["date,title", "03/04/2024,t", "05/04/2024,u"])
    with pytest.raises(DataError, match="can be day first or month first"):
        read(path)


def test_news_of_our_own_form_with_a_column_missing_is_refused_by_name(tmp_path):
    path = write_lines(tmp_path / "news.csv", ["published_at,title,text", "2024-01-02,t,"])
    with pytest.raises(DataError, match="no column source, symbols"):
        read(path)
