"""JSON Feed 1.0 and 1.1 (https://www.jsonfeed.org/version/1.1/)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urljoin

from backend.sources.exact import is_picture
from backend.sources.raw import Markup, RawEntry, RawFeed


def read_json_feed(text: str, base: str) -> RawFeed | None:
    """The feed in the text, or `None` when it is no JSON Feed."""
    try:
        document = json.loads(text, strict=False)
    except ValueError:
        return None
    if not isinstance(document, dict) or not isinstance(document.get("items"), list):
        return None
    if "jsonfeed.org" not in str(document.get("version", "")) and not _looks_like_items(document["items"]):
        return None
    return RawFeed(
        title=_text(document, "title"),
        title_markup=Markup.TEXT,
        language=_text(document, "language"),
        entries=[_entry(item, base, document) for item in document["items"] if isinstance(item, dict)],
    )


def _looks_like_items(items: list[Any]) -> bool:
    """Without the version that the format demands: items that have what only feeds have."""
    return bool(items) and all(isinstance(item, dict) and "id" in item and "url" in item for item in items)


def _entry(item: dict[str, Any], base: str, document: dict[str, Any]) -> RawEntry:
    html_content, text_content = _text(item, "content_html"), _text(item, "content_text")
    dates = (_text(item, "date_published"), _text(item, "date_modified"))
    return RawEntry(
        guid=_text(item, "id"),
        link=_link(base, _text(item, "url") or _text(item, "external_url")),
        title=_text(item, "title"),
        title_markup=Markup.TEXT,
        summary=_text(item, "summary") or text_content or html_content,
        content=html_content or text_content,
        content_markup=Markup.HTML if html_content else Markup.TEXT,
        author=_author(item) or _author(document),
        cover=_cover(item, base),
        dates=[date for date in dates if date],
    )


def _text(mapping: dict[str, Any], name: str) -> str:
    value = mapping.get(name)
    # Ids are numbers in some feeds; readers must coerce them (JSON Feed, "Items").
    return str(value).strip() if isinstance(value, str | int | float) else ""


def _link(base: str, link: str) -> str:
    try:
        found = urljoin(base, link) if link else ""
    except ValueError:
        return ""
    return found if found.startswith(("http://", "https://")) else ""


def _author(mapping: dict[str, Any]) -> str:
    authors = mapping.get("authors")
    several = authors if isinstance(authors, list) else [mapping.get("author")]
    return ", ".join(name for each in several if isinstance(each, dict) and (name := _text(each, "name")))


def _cover(item: dict[str, Any], base: str) -> str:
    picture = _text(item, "image") or _text(item, "banner_image")
    attachments = item.get("attachments")
    for each in attachments if isinstance(attachments, list) else []:
        if (
            not picture
            and isinstance(each, dict)
            and is_picture(_text(each, "url"), _text(each, "mime_type"))
        ):
            picture = _text(each, "url")
    return _link(base, picture)
