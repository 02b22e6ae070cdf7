"""Well-formed RSS 0.9x/1.0/2.0 and Atom 0.3/1.0 trees to raw feeds, by local names and xml:base."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urljoin, urlsplit
from xml.etree.ElementTree import Element, tostring

from backend.sources.raw import Markup, RawEntry, RawFeed

_BASE = "{http://www.w3.org/XML/1998/namespace}base"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_ABOUT = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about"
_ATOM = ("{http://www.w3.org/2005/Atom}", "{http://purl.org/atom/ns#}")
_MEDIA = ("{http://search.yahoo.com/mrss/}", "{http://search.yahoo.com/mrss}")
_ITUNES = "{http://www.itunes.com/dtds/podcast-1.0.dtd}"
_PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".avif", ".svg")


def read_tree(root: Element, base: str) -> RawFeed | None:
    """The feed in the tree, or `None` when it holds no feed. `base` is the document's own address."""
    kind = _local(root.tag)
    if kind not in {"rss", "rdf", "feed", "channel"}:
        return None
    feed = RawFeed(language=root.get(_LANGUAGE, ""))
    base = _join(base, root.get(_BASE))
    if kind == "feed":
        _read_children(root, base, feed, _read_atom_entry)
        return feed
    channel = next((child for child in root if _local(child.tag) == "channel"), root)
    _read_children(channel, _join(base, channel.get(_BASE)), feed, _read_rss_entry)
    if channel is not root:
        # RSS 1.0, and some 0.9x, keep their items beside the channel.
        outside = RawFeed()
        _read_children(root, base, outside, _read_rss_entry)
        feed.entries += outside.entries
    return feed


def is_picture(url: str, media_type: str) -> bool:
    """Whether an attachment is an image, by its type or else by its name."""
    if media_type:
        return media_type.lower().startswith("image")
    return urlsplit(url).path.lower().endswith(_PICTURES)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""


def _join(base: str, reference: str | None) -> str:
    if not reference:
        return base
    try:
        return urljoin(base, reference.strip())
    except ValueError:
        return base


def _link(base: str, reference: str | None) -> str:
    """An absolute http link, or an empty text."""
    text = "".join((reference or "").split())
    if not text or text.startswith(("https://", "http://")):
        return text
    link = _join(base, text)
    return link if link.lower().startswith(("http://", "https://")) else ""


def _text(element: Element) -> str:
    return (element.text or "").strip() if len(element) == 0 else "".join(element.itertext()).strip()


def _read_children(
    parent: Element, base: str, feed: RawFeed, read_entry: Callable[[Element, str], RawEntry]
) -> None:
    for child in parent:
        name = _local(child.tag)
        if name in {"item", "entry"}:
            feed.entries.append(read_entry(child, _join(base, child.get(_BASE))))
        elif name == "title" and not feed.title and not child.tag.startswith(_MEDIA):
            feed.title, feed.title_markup = _construct(child)
        elif name == "language":
            feed.language = _text(child)


# RSS ---------------------------------------------------------------------------------------------


def _read_rss_entry(item: Element, base: str) -> RawEntry:
    entry = RawEntry(guid=item.get(_ABOUT, "").strip())
    found = _Found(base)
    for child in item:
        name = _local(child.tag)
        if child.tag.startswith(_MEDIA):
            found.media(child, name)
        elif child.tag.startswith(_ATOM) and name == "link":
            found.atom_link(child)
        else:
            _RSS.get(name, _ignore)(child, entry, found)
    entry.link = entry.link or found.permalink or found.alternate
    entry.cover = found.cover
    entry.dates = found.dates_in_order()
    if not entry.content:
        entry.content = entry.summary
    return entry


class _Found:
    """What is weighed only after all children of an entry were seen."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.cover = ""
        self.permalink = ""
        self.alternate = ""
        self.other_link = ""
        self.published: list[str] = []
        self.updated: list[str] = []

    def dates_in_order(self) -> list[str]:
        return [date for date in (*self.published, *self.updated) if date]

    def attachment(self, url: str | None, media_type: str) -> None:
        link = _link(self.base, url)
        if link and not self.cover and is_picture(link, media_type):
            self.cover = link

    def media(self, element: Element, name: str) -> None:
        if name == "thumbnail":
            self.attachment(element.get("url"), "image")
        elif name == "content":
            self.attachment(element.get("url"), element.get("type") or element.get("medium") or "")
        if name in {"group", "content"}:
            for child in element:
                self.media(child, _local(child.tag))

    def atom_link(self, element: Element) -> None:
        link = _link(_join(self.base, element.get(_BASE)), element.get("href") or _text(element))
        relation = element.get("rel", "alternate")
        if relation == "enclosure":
            self.attachment(element.get("href"), element.get("type", ""))
        elif relation == "alternate":
            self.alternate = self.alternate or link
        elif relation in {"self", "related", "via"}:
            self.other_link = self.other_link or link


_RssField = Callable[[Element, RawEntry, _Found], None]


def _ignore(_child: Element, _entry: RawEntry, _found: _Found) -> None:
    """Elements that say nothing that we keep."""


def _rss_title(child: Element, entry: RawEntry, _found: _Found) -> None:
    # The plain element wins over itunes:title and dc:title, wherever it stands.
    if not entry.title or "}" not in child.tag:
        entry.title = _text(child) or entry.title


def _rss_link(child: Element, entry: RawEntry, found: _Found) -> None:
    entry.link = entry.link or _link(found.base, _text(child) or child.get("href"))


def _rss_guid(child: Element, entry: RawEntry, found: _Found) -> None:
    text = _text(child)
    entry.guid = text or entry.guid
    if child.get("isPermaLink", "true").strip().lower() != "false" and text.lower().startswith("http"):
        found.permalink = _link(found.base, text)


def _rss_description(child: Element, entry: RawEntry, _found: _Found) -> None:
    entry.summary = entry.summary or _text(child)


def _rss_content(child: Element, entry: RawEntry, _found: _Found) -> None:
    entry.content = entry.content or _text(child)


def _rss_author(child: Element, entry: RawEntry, _found: _Found) -> None:
    name = next((_text(part) for part in child if _local(part.tag) == "name"), "")
    entry.author = entry.author or name or _text(child)


def _rss_published(child: Element, _entry: RawEntry, found: _Found) -> None:
    found.published.append(_text(child))


def _rss_updated(child: Element, _entry: RawEntry, found: _Found) -> None:
    found.updated.append(_text(child))


def _rss_enclosure(child: Element, _entry: RawEntry, found: _Found) -> None:
    found.attachment(child.get("url"), child.get("type", ""))


def _rss_image(child: Element, _entry: RawEntry, found: _Found) -> None:
    if child.tag.startswith(_ITUNES):
        found.attachment(child.get("href"), "image")


_RSS: dict[str, _RssField] = {
    "title": _rss_title,
    "link": _rss_link,
    "guid": _rss_guid,
    "description": _rss_description,
    "summary": _rss_description,
    "encoded": _rss_content,
    "author": _rss_author,
    "creator": _rss_author,
    "pubdate": _rss_published,
    "date": _rss_published,
    "published": _rss_published,
    "issued": _rss_published,
    "updated": _rss_updated,
    "modified": _rss_updated,
    "enclosure": _rss_enclosure,
    "image": _rss_image,
}


# Atom --------------------------------------------------------------------------------------------


def _construct(element: Element) -> tuple[str, Markup]:
    """An Atom text construct (RFC 4287, 3.1); RSS elements have no `type` and stay unsaid."""
    kind = element.get("type", "").lower()
    if kind == "xhtml" or len(element):
        return _inner_markup(element), Markup.HTML
    if "html" in kind:
        return _text(element), Markup.HTML
    atom = element.tag.startswith(_ATOM[0]) or kind == "text"
    return _text(element), Markup.TEXT if atom else Markup.UNSAID


def _inner_markup(element: Element) -> str:
    for part in element.iter():
        if isinstance(part.tag, str):
            part.tag = part.tag.rpartition("}")[2]
    inner = [tostring(child, encoding="unicode", method="html") for child in element]
    return ((element.text or "") + "".join(inner)).strip()


def _read_atom_entry(element: Element, base: str) -> RawEntry:
    entry = RawEntry()
    found = _Found(base)
    for child in element:
        name = _local(child.tag)
        if child.tag.startswith(_MEDIA):
            found.media(child, name)
        elif name == "link":
            found.atom_link(child)
        else:
            _read_atom_field(name, child, entry, found)
    identity = entry.guid if entry.guid.lower().startswith("http") else ""
    entry.link = found.alternate or _link(base, identity) or found.other_link
    entry.cover = found.cover
    entry.dates = found.dates_in_order()
    if not entry.content:
        entry.content = entry.summary
    return entry


def _read_atom_field(name: str, child: Element, entry: RawEntry, found: _Found) -> None:
    match name:
        case "title":
            entry.title, entry.title_markup = _construct(child)
        case "id":
            entry.guid = _text(child)
        case "summary":
            entry.summary = _construct(child)[0]
        case "content":
            entry.content, entry.content_markup = _construct(child)
        case _:
            _RSS.get(name, _ignore)(child, entry, found)
