"""OPML, the list of feeds that readers exchange: parse and render."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from backend.domain.errors import CascadeError, InvalidInput

MAX_ENTRIES = 20_000
# expat reads these itself or through single-byte codecs; the encodings of Chinese readers it does not.
MULTIBYTE = re.compile(
    rb"""^\s*<\?xml[^>]*encoding\s*=\s*["'](gbk|gb2312|gb18030|big5)["'][^>]*\?>""", re.IGNORECASE
)
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class OpmlEntry:
    """One outline that names a feed, and the line where it starts."""

    title: str
    url: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """One outline that can't become a feed, and why."""

    title: str
    url: str
    line: int
    trouble: CascadeError


@dataclass(frozen=True, slots=True)
class OpmlList:
    """What a file holds."""

    entries: tuple[OpmlEntry, ...]
    refused: tuple[RefusedEntry, ...]


def parse_opml(content: bytes) -> OpmlList:
    """Every feed of the file, however deep its folders. Raises `InvalidInput` when the file is no OPML."""
    collector = _Collector()
    parser = DefusedXMLParser(target=collector)
    collector.line = lambda: int(parser.parser.CurrentLineNumber)
    try:
        parser.feed(_readable(content))
        parser.close()
    except ParseError as error:
        raise InvalidInput("bad_opml", line=error.position[0], detail=str(error)) from None
    except DefusedXmlException:
        detail = "it declares entities, which no list of feeds needs"
        raise InvalidInput("bad_opml", line=collector.line(), detail=detail) from None
    except (ValueError, LookupError) as error:
        raise InvalidInput("bad_opml", line=1, detail=str(error)) from None
    if not collector.seen:
        raise InvalidInput("opml_no_feeds")
    return OpmlList(tuple(collector.entries), tuple(collector.refused))


def render_opml(title: str, entries: Iterable[OpmlEntry]) -> bytes:
    """The list as an OPML 2.0 file."""
    outlines = "".join(
        f'    <outline type="rss" text="{_escape(entry.title)}" title="{_escape(entry.title)}" '
        f'xmlUrl="{_escape(entry.url)}"/>\n'
        for entry in entries
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<opml version="2.0">\n'
        f"  <head><title>{_escape(title)}</title></head>\n  <body>\n{outlines}  </body>\n</opml>\n"
    ).encode()


def _readable(content: bytes) -> bytes:
    content = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    declared = MULTIBYTE.match(content)
    if declared is None:
        return content
    return content[declared.end() :].decode(declared[1].decode(), "replace").encode()


def _escape(text: str) -> str:
    return html.escape(" ".join(NOT_XML.sub("", text).split()))


def _title(attributes: Mapping[str, str]) -> str:
    return attributes.get("title") or attributes.get("text") or ""


def _url(attributes: Mapping[str, str]) -> str:
    return attributes.get("xmlurl") or (attributes.get("url", "") if attributes.get("type") == "rss" else "")


@dataclass
class _Outline:
    attributes: Mapping[str, str]
    line: int
    has_children: bool = False


@dataclass
class _Collector:
    """An XML target: it keeps outlines and forgets the rest, so that a large file costs little memory."""

    entries: list[OpmlEntry] = field(default_factory=list)
    refused: list[RefusedEntry] = field(default_factory=list)
    open: list[_Outline] = field(default_factory=list)
    seen: int = 0
    line: Callable[[], int] = lambda: 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag.casefold() != "outline":
            return
        self.seen += 1
        if self.seen > MAX_ENTRIES:
            raise InvalidInput("too_many_entries", limit=MAX_ENTRIES)
        if self.open:
            self.open[-1].has_children = True
        lowered = {name.casefold(): value.strip() for name, value in attributes.items()}
        self.open.append(_Outline(lowered, self.line()))
        if _url(lowered):
            self.entries.append(OpmlEntry(_title(lowered), _url(lowered), self.line()))

    def end(self, tag: str) -> None:
        if tag.casefold() != "outline":
            return
        outline = self.open.pop()
        # An outline that only holds others is a folder.
        if not outline.has_children and not _url(outline.attributes):
            trouble = InvalidInput("opml_no_url")
            self.refused.append(RefusedEntry(_title(outline.attributes), "", outline.line, trouble))

    def data(self, text: str) -> None:
        """Text between the tags means nothing in OPML."""

    def close(self) -> None:
        """Nothing is left to do."""
