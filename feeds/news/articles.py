"""The text of a saved article page, behind one function.

Knows HTML pages, not the network: newspaper and trafilatura get the page that was fetched, and nothing else.
Which of them spoke is recorded. docs/decisions/0006-article-text.md has the figures behind the choice.
"""

import codecs
import re
import warnings
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from engine.errors import DataError
from feeds.news.http import Page, redact_url
from feeds.news.sandbox import Run

_ENOUGH = 0.6
"""newspaper is believed where it finds this part of the page's paragraph text, counted in characters."""

_MORE = 1.5
"""Else trafilatura is, where it finds so many times as much."""

_TITLE_LENGTH, _TEXT_LENGTH = 1_000, 200_000

_LONGEST_PAGE = 3_000_000

_HEADER_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)

_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)

_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


class TextSource(StrEnum):
    """Where the text of an item comes from."""

    NEWSPAPER = "newspaper"
    TRAFILATURA = "trafilatura"
    SUMMARY = "summary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """A page's title and text, either of which may be empty, and whose text it is."""

    title: str
    text: str
    text_source: TextSource


def read_article(page: Page, summary: str, run: Run) -> Article:
    """The article on `page`, or the feed's own `summary` where the page shows less text than that.

    `run` calls the extractors (`Sandbox`). Raises DataError for a page that is not HTML or that they cannot
    read within their limits.
    """
    if "html" not in page.content_type.lower() and page.content_type:
        raise DataError(f"{redact_url(page.url)}: not an HTML page; its feed's summary is kept")
    try:
        found = run(extract_article, decode_page(page.body, page.content_type))
    except DataError as error:
        raise DataError(f"{redact_url(page.url)}: {error}") from None
    if len(found["text"]) < len(summary):
        return Article(title=found["title"], text=summary, text_source=TextSource.SUMMARY)
    return Article(title=found["title"], text=found["text"], text_source=TextSource(found["speaker"]))


def extract_article(html: str) -> dict[str, str]:
    """Title, text and speaker of a page, as plain JSON.

    newspaper's text, or trafilatura's where newspaper has less than 60% of the text in the page's paragraphs
    and trafilatura has at least half as much again. Pages are read up to 3,000,000 characters.
    """
    html = _DECLARATION.sub("", html[:_LONGEST_PAGE].replace("\0", " "))
    title, text = _extract_with_newspaper(html)
    speaker = TextSource.NEWSPAPER
    if len(text) < _ENOUGH * _count_paragraph_characters(html) or not text:
        other = _extract_with_trafilatura(html)
        if len(other) > _MORE * len(text):
            text, speaker = other, TextSource.TRAFILATURA
    return {"title": title[:_TITLE_LENGTH], "text": text[:_TEXT_LENGTH], "speaker": speaker.value}


def decode_page(body: bytes, content_type: str) -> str:
    """The characters of a page: by its byte-order mark, header or meta tag, else UTF-8, else Windows-1252.

    What cannot be decoded becomes U+FFFD.
    """
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if body.startswith(mark):
            return body.decode(name, "replace").lstrip("\ufeff")
    in_header, in_page = _HEADER_CHARSET.search(content_type), _META_CHARSET.search(body[:4_096])
    named = in_header[1] if in_header else in_page[1].decode("ascii", "replace") if in_page else ""
    # GB2312 on the web is GBK, and both are part of GB18030.
    name = "gb18030" if named.lower() in ("gb2312", "gbk") else named
    for candidate in (name, "utf-8"):
        try:
            return body.decode(candidate)
        except (LookupError, UnicodeDecodeError, ValueError):
            continue
    return body.decode(name if _is_text_encoding(name) else "cp1252", "replace")


def _is_text_encoding(name: str) -> bool:
    try:
        return bool(name) and isinstance(b"".decode(name), str)
    except (LookupError, ValueError):
        return False


def _extract_with_newspaper(html: str) -> tuple[str, str]:
    """Title and text by newspaper; empty where it stumbles, as it does on a page without a body."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it was written for older Pythons
        from newspaper import Article as Newspaper
        from newspaper import Config
        from newspaper.article import ArticleDownloadState

        config = Config()
        config.fetch_images = False
        config.follow_meta_refresh = False
        config.memoize_articles = False
        # The address only serves to complete links, which are not used.
        article = Newspaper("https://page.invalid/", config=config)
        article.set_html(html)
        article.download_state = ArticleDownloadState.SUCCESS
        try:
            article.parse()
        except Exception:  # it documents no errors, and raises many on odd pages
            return "", ""
    return str(article.title or ""), str(article.text or "")


def _extract_with_trafilatura(html: str) -> str:
    import trafilatura

    return trafilatura.extract(html, include_comments=False, include_tables=False) or ""


def _count_paragraph_characters(html: str) -> int:
    """How many characters stand in the page's paragraphs."""
    tree = _parse_html(html)
    if tree is None:
        return 0
    return sum(len(" ".join(str(paragraph.text_content()).split())) for paragraph in tree.iter("p"))


def _parse_html(html: str) -> Any:
    from lxml import etree
    from lxml import html as lxml_html

    try:
        tree = lxml_html.document_fromstring(html)
    except (etree.LxmlError, ValueError):
        return None
    for unseen in list(tree.iter("script", "style", "noscript")):
        unseen.drop_tree()
    return tree
