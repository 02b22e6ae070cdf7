"""What is not well-formed even after repairs, read by feedparser, which accepts almost anything."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin

import feedparser

from backend.sources.exact import is_picture
from backend.sources.raw import Markup, RawEntry, RawFeed


def read_tolerantly(text: str, base: str) -> RawFeed | None:
    """The feed that feedparser sees in the text, or `None` when it sees none."""
    # Without sanitising and without a base: ids stay as they are written, as the exact reader takes them.
    parsed: Any = feedparser.parse(
        text.encode("utf-8"),
        response_headers={"content-type": "application/xml; charset=utf-8"},
        resolve_relative_uris=False,
        sanitize_html=False,
    )
    if not parsed.version and not parsed.entries:
        return None
    feed = parsed.feed
    return RawFeed(
        title=feed.get("title") or "",
        title_markup=_markup(feed.get("title_detail")),
        language=feed.get("language") or "",
        entries=[_entry(entry, base) for entry in parsed.entries],
    )


def _entry(entry: Any, base: str) -> RawEntry:
    contents = entry.get("content") or []
    summary = entry.get("summary") or ""
    dates = (entry.get("published"), entry.get("created"), entry.get("updated"))
    return RawEntry(
        guid=entry.get("id") or "",
        link=_link(base, entry.get("link")),
        title=entry.get("title") or "",
        title_markup=_markup(entry.get("title_detail")),
        summary=summary,
        content=(contents[0].get("value") if contents else "") or summary,
        author=entry.get("author") or "",
        cover=_cover(entry, base),
        dates=[date for date in dates if date],
    )


def _markup(detail: Any) -> Markup:
    # feedparser guesses a type where the feed says none; only HTML is taken from it.
    return Markup.HTML if detail and "html" in (detail.get("type") or "") else Markup.UNSAID


def _link(base: str, link: str | None) -> str:
    try:
        found = urljoin(base, (link or "").strip()) if link else ""
    except ValueError:
        return ""
    return found if found.startswith(("http://", "https://")) else ""


def _cover(entry: Any, base: str) -> str:
    attachments = [*(entry.get("media_content") or []), *(entry.get("enclosures") or [])]
    candidates = [(each.get("url"), "image") for each in entry.get("media_thumbnail") or []]
    candidates += [
        (each.get("url") or each.get("href"), each.get("type") or each.get("medium") or "")
        for each in attachments
    ]
    for url, media_type in candidates:
        if url and is_picture(url, media_type):
            return _link(base, url)
    return ""
