"""Bytes to articles: decode, route, read. A strict parser first, repairs next, the tolerant one last.

`benchmarks/parsers.py` measures why in this order.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urljoin, urlsplit

from backend.domain.errors import WorkError
from backend.domain.orders import ArticleDraft
from backend.sources.articles import MAX_TITLE, drafts
from backend.sources.charset import decode
from backend.sources.documents import (
    Format,
    broke_off,
    repaired,
    root_name,
    route,
    strict_tree,
    up_to_the_last_entry,
)
from backend.sources.exact import read_tree
from backend.sources.jsonfeed import read_json_feed
from backend.sources.plaintext import plain
from backend.sources.raw import Markup, RawFeed
from backend.sources.tolerant import read_tolerantly

MAX_TOLERANT = 1024 * 1024
"""Characters that the tolerant reader gets; the worst of them cost it five seconds."""


@dataclass(frozen=True, slots=True)
class ParsedFeed:
    """A feed's title and articles."""

    title: str
    articles: tuple[ArticleDraft, ...]


def parse_feed(body: bytes, content_type: str, url: str, now: datetime) -> ParsedFeed:
    """The feed in an answer's body. Raises `WorkError`: empty_answer, not_a_feed, truncated_feed."""
    text = decode(body, content_type)
    feed = read_text(text, url)
    if feed is None:
        raise _refusal(text, url)
    return ParsedFeed(plain(feed.title, feed.title_markup, MAX_TITLE), drafts(feed, now))


def read_text(text: str, url: str) -> RawFeed | None:
    """The feed in the text, by the reader that its beginning asks for; `None` when there is none. Raises `WorkError` (truncated_feed)."""
    try:
        match route(text):
            case Format.JSON:
                return read_json_feed(text, url)
            case Format.XML:
                return _read_xml(text, url)
            case _:
                return None
    except RecursionError:
        # Thousands of elements within one another: nothing that a feed has.
        return None


def _read_xml(text: str, url: str) -> RawFeed | None:
    tree = strict_tree(text)
    if tree is not None:
        return read_tree(tree, url)
    text = repaired(text)
    tree = strict_tree(text)
    if tree is not None:
        return read_tree(tree, url)
    if broke_off(text):
        raise WorkError("truncated_feed", host=urlsplit(url).hostname or "")
    if len(text) > MAX_TOLERANT:
        text = up_to_the_last_entry(text[:MAX_TOLERANT])
    return read_tolerantly(text, url)


def _refusal(text: str, url: str) -> WorkError:
    host = urlsplit(url).hostname or ""
    if not text.strip():
        return WorkError("empty_answer", host=host)
    return WorkError("not_a_feed", permanent=True, host=host, found=describe(text, url))


_TITLE = re.compile(r"(?is)<title[^>]{0,200}>(.{0,400}?)</title")
_LINK_TAG = re.compile(r"(?is)<link\b[^>]{0,500}>")
_ATTRIBUTE = re.compile(r"""(?is)\b(rel|type|href)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))""")
_NAMES = {
    "opml": "an OPML list of feeds (import it instead)",
    "urlset": "a sitemap",
    "sitemapindex": "a sitemap",
    "error": "an error message in XML",
}


def describe(text: str, url: str) -> str:
    """What a document that is no feed is, in words for its reader."""
    kind = route(text)
    if kind is Format.HTML:
        return _describe_page(text, url)
    if kind is Format.JSON:
        return "JSON that is no JSON Feed"
    root = root_name(text)
    if root:
        return _NAMES.get(root, f"XML with the root <{root[:40]}>")
    readable = sum(character.isprintable() or character.isspace() for character in text[:1000])
    return "plain text" if readable > 0.95 * len(text[:1000]) else "binary data"


def _describe_page(text: str, url: str) -> str:
    title = _TITLE.search(text[:65536])
    words = plain(title.group(1), Markup.HTML, 80) if title else ""
    page = f"an HTML page titled “{words}”" if words else "an HTML page"
    feed = _advertised_feed(text[:65536], url)
    return f"{page}, which names {feed} as its feed" if feed else page


def _advertised_feed(text: str, url: str) -> str:
    for tag in _LINK_TAG.findall(text):
        given = {name.lower(): html.unescape("".join(values)) for name, *values in _ATTRIBUTE.findall(tag)}
        if "alternate" in given.get("rel", "").lower() and re.search(
            r"rss|atom|feed\+json", given.get("type", "")
        ):
            return urljoin(url, given.get("href", "")).partition("?")[0]
    return ""
