"""Extract the text of an article from a fetched HTML page, with newspaper and trafilatura.

Neither of them touches the network, and which one gave the text is recorded.
docs/decisions/0006-article-text.md has the figures behind the choice.
"""

import codecs
import re
import warnings
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from engine.errors import DataError
from feeds.news.http import Page
from feeds.news.sandbox import Run
from feeds.news.url_policy import redact_url

_MIN_NEWSPAPER_SHARE = 0.6
"""newspaper's text is used where it has this share of the characters in the page's paragraphs."""

_MIN_TRAFILATURA_RATIO = 1.5
"""Otherwise trafilatura's is, where it is so many times as long as newspaper's."""

_MAX_TITLE_LENGTH, _MAX_TEXT_LENGTH = 1_000, 200_000
_MAX_PAGE_LENGTH = 3_000_000
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
    """A page's title and text, either of which may be empty, and where the text comes from."""

    title: str
    text: str
    text_source: TextSource


def read_article(page: Page, summary: str, run: Run) -> Article:
    """Return the article on `page`.

    Args:
        page: The fetched page.
        summary: The feed's own summary, which is used where the page has less text.
        run: Calls the extractors, usually a `Sandbox`.

    Raises:
        DataError: For a page that is not HTML, or that the extractors cannot read within their limits.
    """
    if "html" not in page.content_type.lower() and page.content_type:
        raise DataError(f"{redact_url(page.url)}: not an HTML page; its feed's summary is kept")
    try:
        article = run(extract_article, decode_page(page.body, page.content_type))
    except DataError as error:
        raise DataError(f"{redact_url(page.url)}: {error}") from None
    if len(article["text"]) < len(summary):
        return Article(title=article["title"], text=summary, text_source=TextSource.SUMMARY)
    return Article(
        title=article["title"], text=article["text"], text_source=TextSource(article["text_source"])
    )


def extract_article(html: str) -> dict[str, str]:
    """Return `title`, `text` and `text_source` of a page, as plain JSON.

    The text is newspaper's, or trafilatura's where newspaper has less than 60% of the text in the page's
    paragraphs and trafilatura more than 1.5 times as much. Pages are read up to 3,000,000 characters.
    """
    html = _DECLARATION.sub("", html[:_MAX_PAGE_LENGTH].replace("\0", " "))
    title, text = _extract_with_newspaper(html)
    text_source = TextSource.NEWSPAPER
    if len(text) < _MIN_NEWSPAPER_SHARE * _count_paragraph_characters(html) or not text:
        other = _extract_with_trafilatura(html)
        if len(other) > _MIN_TRAFILATURA_RATIO * len(text):
            text, text_source = other, TextSource.TRAFILATURA
    return {
        "title": title[:_MAX_TITLE_LENGTH],
        "text": text[:_MAX_TEXT_LENGTH],
        "text_source": text_source.value,
    }


def decode_page(body: bytes, content_type: str) -> str:
    """Decode a page by its byte-order mark, header or meta tag, else as UTF-8, else as Windows-1252.

    Bytes that cannot be decoded become U+FFFD.
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
    """Return title and text by newspaper; empty where it fails, as on a page without a body."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # written for older Pythons
        from newspaper import Article as Newspaper
        from newspaper import Config
        from newspaper.article import ArticleDownloadState

        config = Config()
        config.fetch_images = False
        config.follow_meta_refresh = False
        config.memoize_articles = False
        # The address only completes links, which are not used.
        article = Newspaper("https://page.invalid/", config=config)
        article.set_html(html)
        article.download_state = ArticleDownloadState.SUCCESS
        try:
            article.parse()
        except Exception:  # its errors are undocumented, and many on odd pages
            return "", ""
    return str(article.title or ""), str(article.text or "")


def _extract_with_trafilatura(html: str) -> str:
    import trafilatura

    return trafilatura.extract(html, include_comments=False, include_tables=False) or ""


def _count_paragraph_characters(html: str) -> int:
    """Return the number of characters in the page's paragraphs."""
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
    for element in list(tree.iter("script", "style", "noscript")):
        element.drop_tree()
    return tree
